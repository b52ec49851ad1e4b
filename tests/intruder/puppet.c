#include "tests/intruder/puppet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "jail/jail.h"
#include "net/boot.h"
#include "net/channel.h"
#include "net/tls_key.h"
#include "net/wire.h"
#include "supervisor/impl.h"

#define MOST_LINE  (1u << 16)
#define OUR_NUMBER 0xfffe0000u  /* frames from here on are the puppet's: a gate's own never take so high a place */
#define MOST_RIDERS 8

enum status __real_jail_enter(const struct jail_plan *plan);
void __real_loop_run(struct loop *loop);
struct channel *__real_channel_open(struct loop *loop, int fd, const struct channel_events *events);
void __real_child_ended(struct child *child, int status);
enum status __wrap_jail_enter(const struct jail_plan *plan);
void __wrap_loop_run(struct loop *loop);
struct channel *__wrap_channel_open(struct loop *loop, int fd, const struct channel_events *events);
void __wrap_child_ended(struct child *child, int status);
void __real_tls_key_signer(int fd);
void __wrap_tls_key_signer(int fd);

static struct puppet {
    enum role role;
    int line;                       /* to the test; -1: nobody holds the strings */
    uv_poll_t poll;
    struct channel *keeper;         /* of a gate or the courier: its last channel */
    int keeper_fd, signer_fd;       /* behind it, and a gate's stream to the signer */
    struct channel_events real;     /* whose the channel is */
    uint32_t number;
} puppet = { .role = ROLE_SUPERVISOR, .line = -1, .number = OUR_NUMBER };

/* ---- the line -------------------------------------------------------------------------------------------------------- */

static void reach_out(void)
{
    const char *name = getenv("EKIREI_INTRUDER");
    struct sockaddr_un where = { .sun_family = AF_UNIX };
    if (!name || puppet.line >= 0 || strlen(name) + 1 >= sizeof where.sun_path)
        return;
    memcpy(where.sun_path + 1, name, strlen(name)); /* abstract: whoever the role has become */
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    if (fd < 0 || connect(fd, (struct sockaddr *)&where, len) != 0)
        _exit(99);
    puppet.line = fd;
}

static void say(struct slice text)
{
    if (send(puppet.line, text.ptr, text.len, MSG_NOSIGNAL) < 0)
        _exit(99);
}

static void say_number(const char *word, long number)
{
    char text[64];
    int len = snprintf(text, sizeof text, "%s %ld", word, number);
    say((struct slice){ text, (size_t)len });
}

static void say_failed(enum status status)
{
    char text[64];
    int len = snprintf(text, sizeof text, "failed %s", status_name(status));
    say((struct slice){ text, (size_t)len });
}

/* ---- what it is told ------------------------------------------------------------------------------------------------- */

static void say_hex(struct slice octets)
{
    static char text[MOST_LINE];
    size_t len = 0;
    for (size_t i = 0; i < octets.len && len + 3 < sizeof text; i++)
        len += (size_t)snprintf(text + len, 3, "%02x", (unsigned char)octets.ptr[i]);
    say((struct slice){ text, len });
}

/* "ask SESSION KIND ...": as the role itself would; "octets SESSION KIND ..." only shows the frame. */
static void do_ask(char *text, bool is_sent)
{
    struct arena arena = ARENA(65536);
    struct frame frame = { .session = strtoull(text, &text, 0), .number = ++puppet.number };
    enum status status = ask_of_text(text + 1, &arena, &frame.ask);
    struct buf octets = BUF(MOST_LINE / 3);
    if (status == STATUS_OK && !is_sent)
        status = wire_put(&octets, &frame, false);
    else if (status == STATUS_OK)
        status = puppet.keeper ? channel_put(puppet.keeper, &frame) : STATUS_AWAY;
    if (status == STATUS_OK && !is_sent)
        say_hex(buf_slice(&octets));
    else if (status == STATUS_OK)
        say_number("sent", frame.number);
    else
        say_failed(status);
    buf_done(&octets);
    arena_done(&arena);
}

static int send_octets(int fd, const char *octets, size_t len, int riders)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(MOST_RIDERS * sizeof(int))];
    } control = { 0 };
    struct iovec part = { (void *)(uintptr_t)octets, len };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (riders > 0 && riders <= MOST_RIDERS) {
        int descriptors[MOST_RIDERS] = { 0 }; /* standard input, so many times */
        message.msg_control = control.octets;
        message.msg_controllen = CMSG_SPACE((size_t)riders * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN((size_t)riders * sizeof(int)) };
        memcpy(CMSG_DATA(header), descriptors, (size_t)riders * sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len ? 0 : errno;
}

/* "raw RIDERS HEX" to the keeper, "sign RIDERS HEX" to the signer, "word RIDERS HEX" to the supervisor, just as they are. */
static void do_raw(char *text, int fd)
{
    static char octets[MOST_LINE];
    char hex[3] = { 0 };
    size_t len = 0;
    long riders = strtol(text, &text, 10);
    for (text += *text == ' '; text[0] && text[1] && len < sizeof octets; text += 2) {
        memcpy(hex, text, 2);
        octets[len++] = (char)strtoul(hex, NULL, 16);
    }
    say_number("raw", send_octets(fd, octets, len, (int)riders));
}

/* "try PID PORT DIR NAME" */
static void do_try(char *text)
{
    struct mark mark = { .pid = (pid_t)strtol(text, &text, 10) };
    mark.tcp = (uint16_t)strtol(text, &text, 10);
    int at = 0;
    if (sscanf(text, " %2999s %n", mark.dir, &at) != 1)
        return;
    say_number("tried", try_out(puppet.role, text + at, &mark));
}

/* "NAME ROLES\n" for each ask. */
static void list_asks(void)
{
    struct buf list = BUF(MOST_LINE);
    enum status status = STATUS_OK;
    for (enum ask_kind kind = ASK_NONE + 1; kind < ASK_KINDS && status == STATUS_OK; kind++)
        status = buf_print(&list, "%u %s\n", ask_defs[kind].from, ask_defs[kind].name);
    say(buf_slice(&list));
    buf_done(&list);
}

static void on_line(uv_poll_t *poll, int status, int events)
{
    static char text[MOST_LINE];
    (void)poll;
    (void)events;
    ssize_t got = status < 0 ? 0 : recv(puppet.line, text, sizeof text - 1, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0)
        _exit(98);
    text[got] = '\0';
    if (strncmp(text, "try ", 4) == 0)
        do_try(text + 4);
    else if (strncmp(text, "ask ", 4) == 0)
        do_ask(text + 4, true);
    else if (strncmp(text, "octets ", 7) == 0)
        do_ask(text + 7, false);
    else if (strncmp(text, "raw ", 4) == 0)
        do_raw(text + 4, puppet.keeper_fd);
    else if (strncmp(text, "sign ", 5) == 0)
        do_raw(text + 5, puppet.signer_fd);
    else if (strncmp(text, "word ", 5) == 0)
        do_raw(text + 5, ROLE_CONTROL_FD);
    else if (strcmp(text, "list") == 0) {
        struct buf list = BUF(MOST_LINE);
        if (tries_list(&list) == STATUS_OK)
            say(buf_slice(&list));
        buf_done(&list);
    } else if (strcmp(text, "asks") == 0)
        list_asks();
}

/* ---- where the strings are tied -------------------------------------------------------------------------------------- */

/* An open socket has to come from before the walls. */
enum status __wrap_jail_enter(const struct jail_plan *plan)
{
    puppet.role = plan->role;
    reach_out();
    return __real_jail_enter(plan);
}

void __wrap_loop_run(struct loop *loop)
{
    reach_out(); /* the supervisor */
    if (puppet.line >= 0) {
        char text[64];
        int len = snprintf(text, sizeof text, "hello %s %d", role_name(puppet.role), (int)getpid());
        uv_poll_init(&loop->uv, &puppet.poll, puppet.line);
        uv_poll_start(&puppet.poll, UV_READABLE, on_line);
        say((struct slice){ text, (size_t)len });
    }
    __real_loop_run(loop);
}

static void on_frame(void *context, struct frame *frame)
{
    (void)context;
    if (!frame->is_answer || frame->number <= OUR_NUMBER) {
        puppet.real.frame(puppet.real.context, frame);
        return;
    }
    struct buf text = BUF(MOST_LINE - 1);
    if (frame->answer.fd >= 0)
        close(frame->answer.fd);
    if (buf_print(&text, "answer %u ", frame->number) == STATUS_OK && answer_print(&text, &frame->answer) == STATUS_OK)
        say(buf_slice(&text));
    buf_done(&text);
}

static void on_lost(void *context, const char *why)
{
    (void)context;
    puppet.keeper = NULL;
    puppet.real.lost(puppet.real.context, why);
}

struct channel *__wrap_channel_open(struct loop *loop, int fd, const struct channel_events *events)
{
    if (puppet.line < 0 || puppet.role == ROLE_KEEPER)
        return __real_channel_open(loop, fd, events);
    puppet.real = *events;
    puppet.keeper_fd = fd;
    puppet.keeper = __real_channel_open(loop, fd, &(struct channel_events){ .frame = on_frame, .lost = on_lost });
    return puppet.keeper;
}

void __wrap_tls_key_signer(int fd)
{
    puppet.signer_fd = fd;
    __real_tls_key_signer(fd);
}

/* So many ends of one role would make the supervisor wait ever longer; that it waits is tested in tests/e2e/test_life.py. */
void __wrap_child_ended(struct child *child, int status)
{
    if (getenv("EKIREI_INTRUDER_AGAIN"))
        child->crashes = 0;
    __real_child_ended(child, status);
}

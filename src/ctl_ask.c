/* ctl_ask.c - the way to the keeper.
 *
 * A running server answers on DIR/run/control.sock.  Where there is none, a child of ours runs the keeper's own
 * handlers, as the keeper's user when started as root (so that every file it makes belongs to the keeper): the rest of
 * the command runs in that child.  The parent only waits for it: where the store turns out to be locked, a server is
 * just starting, and the parent, which kept its rights, tries the socket again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/must.h"
#include "base/secret.h"
#include "config.h"
#include "ctl_file.h"
#include "ctl_impl.h"
#include "jail/jail.h"
#include "keeper/keeper.h"
#include "net/boot.h"
#include "net/channel.h"

#define PATIENCE   SECONDS(5) /* for a store that somebody else has locked (DESIGN section 9: `serve` waits as long) */
#define ONE_TRY    SECONDS(1) /* of the child: then the socket is tried again */
#define ROWS_ARENA (4u << 20) /* octets of one page's rows: LIMIT_ROWS of the largest row */
#define EXIT_BUSY  75         /* from child to parent: EX_TEMPFAIL of sysexits.h */

/* ---- what goes wrong, in words ---- */

struct explanation {
    enum ask_kind kind; /* ASK_NONE: any */
    enum status status;
    const char *text; /* one %s: the subject */
};

/* clang-format off */
static const struct explanation explanations[] = {
    { ASK_ACCOUNT_ADD,      STATUS_EXISTS,    "%s is there already, as an account, a login name or an alias" },
    { ASK_ACCOUNT_ADD,      STATUS_NOT_FOUND, "%s: its domain is not served here; add it with 'ekirei domain add DOMAIN'" },
    { ASK_ACCOUNT_ADD,      STATUS_MALFORMED, "%s: this is no address, login name or password that an account can have, or no hash that can be checked here (crypt(3), Argon2)" },
    { ASK_ACCOUNT_PASSWORD, STATUS_MALFORMED, "%s: this is no password, or no hash that can be checked here (crypt(3), Argon2)" },
    { ASK_DEVICE_ADD,       STATUS_EXISTS,    "%s has a device of this name already, or its key is some device's already; revoke that first" },
    { ASK_DEVICE_ADD,       STATUS_NOT_FOUND, "there is no account %s; 'ekirei account list' shows all" },
    { ASK_DEVICE_ADD,       STATUS_MALFORMED, "%s: write --from as networks, as in 192.0.2.0/24,2001:db8::/32; a key is good for 'external' only, a password for all but that" },
    { ASK_DEVICE_ADD,       STATUS_TOO_BIG,   "%s has as many devices as an account can have (64)" },
    { ASK_DEVICE_REVOKE,    STATUS_NOT_FOUND, "there is no such device of %s; 'ekirei device list' shows all" },
    { ASK_ALIAS_ADD,        STATUS_EXISTS,    "%s: there is such an account, or such an alias already" },
    { ASK_ALIAS_ADD,        STATUS_NOT_FOUND, "%s: its domain is not served here, or the target is in a domain of ours and does not exist" },
    { ASK_ALIAS_ADD,        STATUS_MALFORMED, "%s: an alias cannot point at itself" },
    { ASK_ALIAS_REMOVE,     STATUS_NOT_FOUND, "there is no such alias %s; 'ekirei alias list' shows all" },
    { ASK_DOMAIN_ADD,       STATUS_EXISTS,    "the domain %s is there already" },
    { ASK_DOMAIN_REMOVE,    STATUS_NOT_FOUND, "there is no domain %s; 'ekirei domain list' shows all" },
    { ASK_DOMAIN_REMOVE,    STATUS_DENIED,    "%s still has accounts or aliases; remove them first" },
    { ASK_LEASE_REVOKE,     STATUS_NOT_FOUND, "there is no account and no address %s" },
    { ASK_QUEUE_SHOW,       STATUS_NOT_FOUND, "there is no message %s in the queue; 'ekirei queue list' shows all" },
    { ASK_QUEUE_CHANGE,     STATUS_NOT_FOUND, "there is no message %s in the queue; 'ekirei queue list' shows all" },
    { ASK_SNAPSHOT,         STATUS_BUSY,      "%s: another backup is being made; try again when it is done" },
    { ASK_SNAPSHOT,         STATUS_FULL,      "%s: the store's disk has no room for a copy of its database; nothing was changed" },
    { ASK_SNAPSHOT,         STATUS_CORRUPT,   "%s: the database is damaged; 'ekirei check' tells more" },
    { ASK_NONE,             STATUS_NOT_FOUND, "there is no account %s; 'ekirei account list' shows all" },
    { ASK_NONE,             STATUS_EXISTS,    "%s is there already" },
    { ASK_NONE,             STATUS_MALFORMED, "%s: this does not have the form it must have" },
    { ASK_NONE,             STATUS_DENIED,    "%s: this may not be changed now" },
    { ASK_NONE,             STATUS_TOO_BIG,   "%s: too long or too many (ekirei-limits(7))" },
    { ASK_NONE,             STATUS_FULL,      "%s: the disk is full, nothing was changed" },
    { ASK_NONE,             STATUS_IO,        "%s: the disk failed, nothing was changed; the log says more" },
    { ASK_NONE,             STATUS_CORRUPT,   "%s: the store is damaged; the log says more" },
    { ASK_NONE,             STATUS_BUSY,      "%s: the server has too much to do; try again" },
    { ASK_NONE,             STATUS_AWAY,      "%s: the server ended before it answered; see whether it was done, and try again" },
    { ASK_NONE,             STATUS_REVOKED,   "%s: this changed in the meantime; try again" },
};
/* clang-format on */

static int explain(enum ask_kind kind, enum status status, const char *subject)
{
    for (size_t at = 0; at < sizeof explanations / sizeof explanations[0]; at++) {
        const struct explanation *e = &explanations[at];
        if (e->status != status || (e->kind != kind && e->kind != ASK_NONE))
            continue;
        struct slice rest = slice_of(e->text), head;
        bool cut = slice_cut(&rest, '%', &head);
        must(cut && rest.len > 0);
        rest = slice_from(rest, 1);
        int code = ctl_failed("%.*s%s%.*s", (int)head.len, head.ptr, subject, (int)rest.len, rest.ptr);
        return code;
    }
    return ctl_failed("%s: %s", subject, status_name(status));
}

/* ---- settings ---- */

int ctl_settings(const struct ctl *ctl, struct settings **out_settings)
{
    char path[FILE_PATH];
    struct buf text = BUF(LIMIT_SETTINGS_FILE), why = BUF(LIMIT_LOG_LINE);
    int code = CTL_DONE;
    file_path(path, ctl->dir, "ekirei.conf");
    enum status status = file_read(path, &text);
    if (status == STATUS_NOT_FOUND)
        code = ctl_failed(
            "there is no %s; 'ekirei init --dir %s --domain DOMAIN' makes one, or name another folder with --dir", path,
            ctl->dir);
    else if (status == STATUS_TOO_BIG)
        code = ctl_usage("%s:1: the file is larger than %u octets", path, LIMIT_SETTINGS_FILE);
    else if (status != STATUS_OK)
        code = ctl_failed("%s cannot be read: %s", path, strerror(errno));
    else if (config_parse(buf_slice(&text), path, out_settings, &why) != STATUS_OK)
        code = ctl_usage("%.*s", (int)why.len, why.ptr);
    buf_done(&text);
    buf_done(&why);
    return code;
}

/* ---- the server's socket ---- */

/* sun_path holds 107 octets and a data folder's path may be longer: so the socket is named from its own folder. */
static int connect_server(const char *dir)
{
    char path[FILE_PATH];
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    file_path(path, dir, "run");
    int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -1;
    snprintf(name.sun_path, sizeof name.sun_path, "/proc/self/fd/%d/control.sock", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&name, sizeof name), error = errno;
    close(folder);
    if (failed != 0 && fd >= 0)
        close(fd);
    errno = error;
    return failed == 0 ? fd : -1;
}

/* ---- without a server ---- */

static int read_key(struct ctl *ctl)
{
    char path[FILE_PATH];
    struct buf text = BUF(KEEPER_KEY_OCTETS);
    file_path(path, ctl->dir, "keys/keeper.key");
    enum status status = file_read(path, &text);
    int error = errno;
    bool fits = status == STATUS_OK && text.len == KEEPER_KEY_OCTETS;
    ctl->key = alloc(sizeof *ctl->key);
    if (fits)
        fits = secret_set(ctl->key, buf_slice(&text)) == STATUS_OK;
    buf_wipe(&text);
    buf_done(&text);
    if (fits)
        return CTL_DONE;
    if (status == STATUS_IO || status == STATUS_NOT_FOUND)
        return ctl_failed("%s cannot be read: %s", path, strerror(status == STATUS_IO ? error : ENOENT));
    return ctl_failed("%s is damaged: it must hold %u octets", path, KEEPER_KEY_OCTETS);
}

/* In the child: gives up root, then opens the store. */
static int open_alone(struct ctl *ctl)
{
    char store[FILE_PATH];
    struct buf why = BUF(LIMIT_LOG_LINE);
    must(ctl->settings); /* read before the fork */
    struct keeper_offline plan = {
        .store_dir = store, .settings = ctl->settings, .keeper_key = secret_slice(ctl->key), .patience = ONE_TRY,
        .as_is = ctl->as_is
    };
    file_path(store, ctl->dir, "store");
    enum status status = file_own_store(store, ctl->settings->uid_keeper, &plan.store_dir);
    if (status != STATUS_OK)
        return ctl_failed("%s: the rights of the keeper's user cannot be taken: %s", store, strerror(errno));
    status = keeper_alone_open(&plan, &ctl->alone, &why);
    if (status == STATUS_BUSY)
        _exit(EXIT_BUSY); /* nothing was printed, nothing is held: the parent goes on */
    if (status == STATUS_OK)
        ctl->is_open = true;
    int code = status == STATUS_OK ? CTL_DONE
               : why.len > 0       ? ctl_failed("%.*s", (int)why.len, why.ptr)
                                   : ctl_failed("the store in %s cannot be opened: %s", store, status_name(status));
    buf_done(&why);
    return code;
}

static int wait_for(pid_t child)
{
    int how;
    while (waitpid(child, &how, 0) < 0)
        if (errno != EINTR)
            return CTL_FAILED;
    return WIFEXITED(how) ? WEXITSTATUS(how) : ctl_failed("the command was ended by signal %d", WTERMSIG(how));
}

static int explain_socket(const struct ctl *ctl)
{
    return ctl_failed("%s/run/control.sock: %s (run this as the user who started the server)", ctl->dir, strerror(errno));
}

/* ---- beside: the child has the store, this process its rights ---- */

/* Never returns: what is asked is answered until nobody asks. */
static void answer_beside(struct ctl *ctl, int fd)
{
    struct buf scratch = BUF(CHANNEL_SCRATCH), out = BUF(CHANNEL_SCRATCH);
    struct arena arena = ARENA(ROWS_ARENA);
    struct frame frame;
    struct answer answer;
    while (channel_take(fd, &arena, &scratch, &frame) == STATUS_OK) {
        keeper_alone_ask(ctl->alone, &frame.ask, &answer);
        if (channel_reply(fd, &out, &frame, &answer) != STATUS_OK)
            break;
        arena_reset(&arena);
    }
    ctl_close(ctl);
    _exit(CTL_DONE);
}

static void become_child(struct ctl *ctl, int fd)
{
    int code = open_alone(ctl);
    if (code != CTL_DONE || write(fd, "", 1) != 1)
        _exit(code);
    ctl->socket = -1;
    answer_beside(ctl, fd);
}

/* The child's exit status where it could not open the store. */
static int open_beside(struct ctl *ctl)
{
    int pair[2];
    char ready;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return ctl_failed("no socket can be made: %s", strerror(errno));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        become_child(ctl, pair[1]);
    }
    close(pair[1]);
    if (child > 0 && read(pair[0], &ready, 1) == 1) {
        ctl->socket = pair[0];
        ctl->child = child;
        ctl->is_open = true;
        return CTL_DONE;
    }
    close(pair[0]);
    return child < 0 ? ctl_failed("no new process can be started: %s", strerror(errno)) : wait_for(child);
}

/* The child goes on with the command; the parent ends with it, unless the store was locked. */
static int open_in_child(struct ctl *ctl)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return ctl_failed("no new process can be started: %s", strerror(errno));
    if (child == 0)
        return open_alone(ctl);
    int code = wait_for(child);
    if (code != EXIT_BUSY)
        _exit(code); /* it did the command, its output and its explanations */
    return code;
}

/* Either the socket is open, or this is the child with an open store, or the command is over. */
static int open_any(struct ctl *ctl)
{
    msec until = clock_now() + PATIENCE;
    for (;;) {
        ctl->socket = connect_server(ctl->dir);
        ctl->is_open = ctl->socket >= 0;
        if (ctl->is_open)
            return CTL_DONE;
        if (errno != ENOENT && errno != ECONNREFUSED)
            return explain_socket(ctl);
        if (!ctl->settings) {
            int code = ctl_settings(ctl, &ctl->settings);
            if (code == CTL_DONE)
                code = read_key(ctl);
            if (code != CTL_DONE)
                return code;
        }
        int code = ctl->beside ? open_beside(ctl) : open_in_child(ctl);
        if (code != EXIT_BUSY)
            return code;
        if (clock_now() > until)
            return ctl_failed("the store in %s is in use by a process that does not answer; try again", ctl->dir);
    }
}

/* ---- one ask ---- */

static void prepare(struct ctl *ctl)
{
    ctl->scratch = BUF(CHANNEL_SCRATCH);
    ctl->answer_arena = ARENA(ROWS_ARENA);
    log_open("ctl", LOG_ERROR);
}

int ctl_ask(struct ctl *ctl, const struct ask *ask, const char *subject, struct answer *out_answer)
{
    if (!ctl->is_open) {
        prepare(ctl);
        int code = open_any(ctl);
        if (code != CTL_DONE)
            return code;
    }
    arena_reset(&ctl->answer_arena);
    if (ctl->alone) {
        keeper_alone_ask(ctl->alone, ask, out_answer);
    } else {
        enum status status = channel_call(ctl->socket, ask, &ctl->answer_arena, &ctl->scratch, out_answer);
        if (status != STATUS_OK)
            return explain(ask->kind, status == STATUS_IO ? STATUS_AWAY : status, subject);
    }
    return out_answer->status == STATUS_OK ? CTL_DONE : explain(ask->kind, out_answer->status, subject);
}

int ctl_reach(struct ctl *ctl, bool *out_served)
{
    *out_served = false;
    ctl->socket = connect_server(ctl->dir);
    if (ctl->socket < 0)
        return errno == ENOENT || errno == ECONNREFUSED ? CTL_DONE : explain_socket(ctl);
    prepare(ctl);
    ctl->is_open = *out_served = true;
    return CTL_DONE;
}

int ctl_lock_in(struct ctl *ctl)
{
    char store[FILE_PATH];
    const char *ignored;
    if (ctl->alone || geteuid() != 0)
        return CTL_DONE;
    int code = ctl->settings ? CTL_DONE : ctl_settings(ctl, &ctl->settings);
    if (code != CTL_DONE)
        return code;
    must(ctl->settings);
    file_path(store, ctl->dir, "store");
    if (file_own_store(store, ctl->settings->uid_keeper, &ignored) != STATUS_OK)
        return ctl_failed("%s: the rights of the keeper's user cannot be taken: %s", store, strerror(errno));
    return CTL_DONE;
}

bool ctl_is_served(const struct ctl *ctl)
{
    return ctl->is_open && !ctl->alone && ctl->child == 0;
}

void ctl_close(struct ctl *ctl)
{
    if (ctl->socket >= 0)
        close(ctl->socket);
    if (ctl->child > 0)
        wait_for(ctl->child);
    ctl->child = 0;
    if (ctl->alone)
        keeper_alone_close(ctl->alone);
    if (ctl->settings)
        settings_release(ctl->settings);
    if (ctl->key) {
        secret_wipe(ctl->key);
        release(ctl->key);
    }
    buf_done(&ctl->scratch);
    arena_done(&ctl->answer_arena);
    ctl->socket = -1;
    ctl->alone = NULL;
    ctl->settings = NULL;
    ctl->key = NULL;
    ctl->is_open = false;
}

struct slice ctl_after(char *room, size_t size, struct slice key)
{
    must(key.len <= size);
    memcpy(room, key.ptr, key.len);
    return (struct slice){ room, key.len };
}

struct slice ctl_after_pair(char *room, size_t size, struct slice first, struct slice second)
{
    must(first.len + 1 + second.len <= size);
    memcpy(room, first.ptr, first.len);
    room[first.len] = ' ';
    memcpy(room + first.len + 1, second.ptr, second.len);
    return (struct slice){ room, first.len + 1 + second.len };
}

/* One seat, one process at a time: start it, give it what it needs, start it again when it dies. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "supervisor/impl.h"

#define LAST_MOMENTS 500u    /* milliseconds between a role's hanging up and its end */
#define REJOIN       100u    /* milliseconds until a lost channel has a successor */
#define MOST_WORKERS 255u
#define UNREADY_FREE 2u      /* ends before it was ready, in a row */

static bool is_gate(enum role role) { return role == ROLE_MX || role == ROLE_USER; }

static void name_of(const struct child *child, char out[32])
{
    if (is_gate(child->role))
        snprintf(out, 32, "%s-%u", role_name(child->role), (unsigned)child->worker);
    else
        snprintf(out, 32, "%s", role_name(child->role));
}

/* ---- what it is given ----------------------------------------------------------------------------------------------- */

/* Without a part of what it needs it would wait for ever: then it is started anew.  Who is away shows as the end of the line. */
static void could_not_give(struct child *child, const char *why)
{
    child->untold = true;
    child_kill(child, why);
}

static void give(struct child *child, struct control_message message)
{
    enum status status = child->control ? control_send(control_fd(child->control), &message) : STATUS_AWAY;
    if (status != STATUS_OK && message.fd >= 0 && !child->control)
        close(message.fd);
    else if (status == STATUS_BUSY)
        could_not_give(child, "it does not read what it is told");
    else if (status == STATUS_IO)
        could_not_give(child, "it cannot be told");
}

void child_tell(struct child *child, enum control_kind kind) { give(child, (struct control_message){ .kind = kind, .fd = -1 }); }

static struct child *find_keeper(struct supervisor *s)
{
    for (struct list *node = s->children.next; node != &s->children; node = node->next) {
        struct child *child = list_element(node, struct child, node);
        if (child->role == ROLE_KEEPER)
            return child;
    }
    return NULL;
}

static void on_join(uv_timer_t *timer);

/* A channel is lost, and both ends of it may live on.  Not at once: what made it fail may do so again. */
static void join_later(struct child *child)
{
    if (child->control && !child->supervisor->stopping)
        uv_timer_start(&child->timer, on_join, REJOIN, 0);
}

/* A new channel between a gate or the courier and the keeper, where both are there. */
static void join(struct child *child)
{
    struct child *keeper = find_keeper(child->supervisor);
    int ends[2];
    if (!keeper || !keeper->control || !child->control)
        return;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        LOG(LOG_ERROR, "supervisor.channel", LOG_ERRNO());
        child->joined = false;
        join_later(child);
        return;
    }
    child->joined = true;
    give(child, (struct control_message){ .kind = CONTROL_CHANNEL, .role = ROLE_KEEPER, .fd = ends[0] });
    give(keeper, (struct control_message){ .kind = CONTROL_CHANNEL, .role = child->role, .worker = child->worker, .fd = ends[1] });
}

/* A new stream between a gate and the keeper's signer, where both are there. */
static void join_signer(struct child *child)
{
    struct child *keeper = find_keeper(child->supervisor);
    int ends[2];
    if (!is_gate(child->role) || !keeper || !keeper->control || !child->control)
        return;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        LOG(LOG_ERROR, "supervisor.signer", LOG_ERRNO());
        child->has_signer = false;
        join_later(child);
        return;
    }
    child->has_signer = true;
    give(child, (struct control_message){ .kind = CONTROL_SIGNER, .role = ROLE_KEEPER, .fd = ends[0] });
    give(keeper, (struct control_message){ .kind = CONTROL_SIGNER, .role = child->role, .worker = child->worker, .fd = ends[1] });
}

/* A keeper that was started meanwhile has been joined to all. */
static void on_join(uv_timer_t *timer)
{
    struct child *child = list_element(timer, struct child, timer);
    if (!child->joined)
        join(child);
    if (!child->has_signer)
        join_signer(child);
}

static void give_listener(struct child *child, int fd, uint8_t service)
{
    int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (again < 0) {
        LOG(LOG_ERROR, "supervisor.listener", LOG_ERRNO());
        could_not_give(child, "it cannot be given its sockets");
    } else
        give(child, (struct control_message){ .kind = CONTROL_LISTEN, .service = service, .fd = again });
}

static void give_all(struct child *child)
{
    struct supervisor *s = child->supervisor;
    if (child->role != ROLE_KEEPER) {
        join(child);
        join_signer(child);
    } else {
        for (struct list *node = s->children.next; node != &s->children; node = node->next) {
            struct child *other = list_element(node, struct child, node);
            if (other == child)
                continue;
            join(other);
            join_signer(other);
        }
        give_listener(child, s->command_line, 0);
    }
    for (size_t i = 0; i < s->port_count; i++)
        if (s->ports[i].role == child->role)
            give_listener(child, s->ports[i].fd, (uint8_t)s->ports[i].service);
    if (is_gate(child->role))
        child_tell(child, CONTROL_COMPLETE);
}

/* Only what the role may know: certificates for gates; their keys, and its own, for the keeper. */
static enum status put_boot(const struct child *child, int *out_fd)
{
    struct boot_pair shown[LIMIT_CERTIFICATES];
    const struct supervisor *s = child->supervisor;
    struct boot boot = { .settings = s->boot.settings, .settings_name = s->boot.settings_name, .dir = s->boot.dir,
        .worker = child->worker, .generation = child->starts };
    if (is_gate(child->role)) {
        for (uint32_t i = 0; i < s->boot.pairs.count; i++)
            shown[i] = (struct boot_pair){ .certificate = row_of(struct boot_pair, s->boot.pairs, i)->certificate };
        boot.pairs = (struct rows){ shown, s->boot.pairs.count };
        boot.ticket_key = (struct slice){ s->tickets[child->role == ROLE_USER], TLS_TICKET_KEY };
    }
    if (child->role == ROLE_KEEPER) {
        boot.pairs = s->boot.pairs;
        boot.keeper_key = s->boot.keeper_key;
        boot.oauth_keys = s->boot.oauth_keys;
        boot.oauth_secret = s->boot.oauth_secret;
    }
    if (child->role == ROLE_COURIER)
        boot.oauth_ca = s->boot.oauth_ca;
    return boot_put(&boot, out_fd);
}

void child_boot(struct child *child)
{
    int fd;
    if (!child->control || put_boot(child, &fd) != STATUS_OK)
        return;
    child->in_force = false;
    /* The keeper has its new keys in the line already (boot_all()).  A gate that takes its certificates asks over a stream that the keeper gets behind them: so it never
     * asks for a key that is not there yet. */
    join_signer(child);
    give(child, (struct control_message){ .kind = CONTROL_BOOT, .fd = fd });
}

/* ---- the process ---------------------------------------------------------------------------------------------------- */

/* In the new process, between fork and exec. */
_Noreturn static void become_role(const struct child *child, int control, int boot)
{
    static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ };
    struct supervisor *s = child->supervisor;
    char program[] = "ekirei", flag[] = "--role", name[32];
    char *const args[] = { program, flag, name, NULL };
    snprintf(name, sizeof name, "%s", role_name(child->role));
    /* A role obeys its supervisor, also when everybody is told to end at once. */
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != s->pid)
        _exit(1);
    int high[] = { fcntl(control, F_DUPFD_CLOEXEC, 10), fcntl(boot, F_DUPFD_CLOEXEC, 10), fcntl(s->nowhere, F_DUPFD_CLOEXEC, 10) };
    if (dup2(high[2], 0) < 0 || dup2(high[2], 1) < 0 || dup2(high[0], ROLE_CONTROL_FD) < 0 || dup2(high[1], ROLE_BOOT_FD) < 0)
        _exit(1);
    /* All of ours is closed by exec; this is for what others left open in us. */
    (void)syscall(SYS_close_range, ROLE_BOOT_FD + 1, ~0u, 0);
    execv("/proc/self/exe", args);
    LOG(LOG_ERROR, "supervisor.exec", LOG_WORD("role", name), LOG_ERRNO());
    _exit(127);
}

static pid_t spawn(const struct child *child, int control, int boot)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    log_flush(); /* or the child would have those lines, too */
    pid_t pid = fork();
    if (pid == 0)
        become_role(child, control, boot);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static void on_overdue(uv_timer_t *timer) { child_kill(list_element(timer, struct child, timer), "it hung up and did not end"); }

static void on_control(void *context, const struct control_message *message)
{
    struct child *child = context;
    if (message->fd >= 0)
        close(message->fd); /* nobody sends us any */
    if (message->kind == CONTROL_GONE) {
        /* It ends, or is about to; one that only hung up would be out of our hands. */
        control_close(child->control);
        child->control = NULL;
        child->ready = false;
        if (!child->supervisor->stopping)
            uv_timer_start(&child->timer, on_overdue, LAST_MOMENTS, 0);
        return;
    }
    if (child->role != ROLE_KEEPER && (message->kind == CONTROL_CHANNEL || message->kind == CONTROL_SIGNER)) {
        *(message->kind == CONTROL_CHANNEL ? &child->joined : &child->has_signer) = false;
        join_later(child);
    }
    if (message->kind == CONTROL_READY)
        child->ready = child->served = true;
    if (message->kind == CONTROL_IN_FORCE)
        child->in_force = true;
    if (message->kind == CONTROL_FAILED && !child->ready)
        child->failed = true;
    supervisor_heard(child, message->kind, message->role, message->worker);
}

static void on_timer(uv_timer_t *timer) { child_start(list_element(timer, struct child, timer)); }

static void start_later(struct child *child)
{
    /* A role that had been at work fell over one input: the others' mail waits for it, so it is back within a second.  One that was killed while it
     * started is not broken yet; one that never gets so far is. */
    unsigned most = LIMIT_SERVED_CRASHES + (child->unready > UNREADY_FREE ? child->unready - UNREADY_FREE : 0);
    if (child->failed || most > LIMIT_CRASHES)
        most = LIMIT_CRASHES;
    unsigned doublings = child->failed || child->crashes > most ? most : child->crashes > 0 ? child->crashes - 1 : 0;
    uv_timer_start(&child->timer, on_timer, LIMIT_RESTART << doublings, 0);
}

static void could_not_start(struct child *child, const char *what)
{
    LOG(LOG_ERROR, "role.not-started", LOG_WORD("role", role_name(child->role)), LOG_WORD("what", what), LOG_ERRNO());
    if (child->control)
        control_close(child->control);
    child->control = NULL;
    child->crashes++;
    child->unready++;
    start_later(child);
    if (child->crashes >= FIRST_TRIES) /* whoever started us waits to hear how it went */
        supervisor_heard(child, CONTROL_FAILED, child->role, child->worker);
}

void child_start(struct child *child)
{
    struct supervisor *s = child->supervisor;
    char name[32];
    int ends[2], boot;
    must(child->pid == 0 && !child->control);
    child->ready = child->served = child->failed = child->untold = false;
    child->in_force = true;
    if (put_boot(child, &boot) != STATUS_OK) {
        could_not_start(child, "boot message");
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        close(boot);
        could_not_start(child, "control line");
        return;
    }
    child->control = control_open(&s->loop, ends[0], on_control, child);
    give_all(child); /* it waits in the line until somebody reads there */
    if (child->untold) {
        close(ends[1]);
        close(boot);
        could_not_start(child, "what it needs");
        return;
    }
    pid_t pid = spawn(child, ends[1], boot);
    close(ends[1]);
    close(boot);
    if (pid < 0) {
        could_not_start(child, "fork");
        return;
    }
    child->pid = pid;
    child->starts++;
    child->started = clock_now();
    name_of(child, name);
    folder_put_pid(s, name, pid);
    LOG(LOG_INFO, "role.started", LOG_WORD("role", name), LOG_NUMBER("child", pid));
}

static unsigned free_number(struct supervisor *s, enum role role)
{
    bool taken[MOST_WORKERS + 1] = { false };
    for (struct list *node = s->children.next; node != &s->children; node = node->next) {
        const struct child *child = list_element(node, struct child, node);
        if (child->role == role)
            taken[child->worker] = true;
    }
    unsigned number = 0;
    while (number < MOST_WORKERS && taken[number])
        number++;
    return number;
}

struct child *child_open(struct supervisor *s, enum role role)
{
    struct child *child = alloc(sizeof *child);
    *child = (struct child){ .supervisor = s, .role = role, .worker = (uint8_t)free_number(s, role) };
    uv_timer_init(&s->loop.uv, &child->timer);
    list_append(&s->children, &child->node);
    return child;
}

static void on_closed(uv_handle_t *handle) { release(list_element(handle, struct child, timer)); }

void child_forget(struct child *child)
{
    must(child->pid == 0 && !child->control);
    list_remove(&child->node);
    uv_close((uv_handle_t *)&child->timer, on_closed);
}

void child_kill(struct child *child, const char *why)
{
    if (child->pid <= 0)
        return;
    LOG(LOG_WARNING, "role.killed", LOG_WORD("role", role_name(child->role)), LOG_NUMBER("child", child->pid), LOG_WORD("why", why));
    kill(child->pid, SIGKILL);
}

static void log_end(const struct child *child, const char *name, int status, msec lived)
{
    int signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    bool expected = child->supervisor->stopping || (status == 0 && child->retiring);
    LOG(expected && status == 0 ? LOG_INFO : LOG_WARNING, "role.ended", LOG_WORD("role", name), LOG_NUMBER("child", child->pid),
        LOG_NUMBER("signal", signal_number), LOG_NUMBER("status", WIFEXITED(status) ? WEXITSTATUS(status) : 0), LOG_NUMBER("lived_ms", lived));
    if (signal_number == SIGSYS)
        LOG(LOG_ERROR, "role.forbidden-call", LOG_WORD("role", name), LOG_WORD("hint", "its jail forbids a system call that it made; the kernel's log has the number"));
}

void child_ended(struct child *child, int status)
{
    msec lived = clock_now() - child->started;
    char name[32];
    name_of(child, name);
    log_end(child, name, status, lived);
    folder_drop_pid(child->supervisor, name);
    child->pid = 0;
    child->ready = false;
    if (child->control)
        control_close(child->control);
    child->control = NULL;
    if (child->supervisor->stopping)
        return;
    if (child->retiring) {
        child_forget(child);
        return;
    }
    child->crashes = lived > LIMIT_GOOD_LIFE ? 1 : child->crashes + 1;
    child->unready = child->served ? 0 : child->unready + 1;
    start_later(child);
}

#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"
#include "jail/jail.h"
#include "supervisor/impl.h"

#define MOST_BOOT_MEMORY (32u << 20)  /* octets of settings and certificates, as load() reads them */
#define MOST_WHY         4096u        /* octets of what is wrong with them */
#define TICKETS_LAST     DAYS(1)      /* then a stolen ticket key opens nothing new */
#define SHORT_LIFE       SECONDS(10)  /* a worker that retires sooner is not full of years but broken */

/* A stop goes from the outside inwards, so that each role still has the one it depends on.  Who is not done at its time is killed: all of it
 * takes less than 2 s (DESIGN section 9). */
static const struct {
    uint8_t roles;
    msec until;
} stop_steps[] = { { ROLE_MX | ROLE_USER, 800 }, { ROLE_COURIER, 1100 }, { ROLE_KEEPER, 1700 } };
#define STOP_STEPS (sizeof stop_steps / sizeof stop_steps[0])

static struct child *child_of(struct list *node) { return list_element(node, struct child, node); }

/* The next one may go while this one is looked at, but not the one after it. */
#define each_child(s, child) \
    (struct list *node_ = (s)->children.next, *next_ = node_->next; node_ != &(s)->children && ((child) = child_of(node_)); \
        node_ = next_, next_ = node_->next)

/* ---- settings ------------------------------------------------------------------------------------------------------- */

static void wipe_slice(struct slice s)
{
    if (s.len > 0)
        wipe((void *)(uintptr_t)s.ptr, s.len);
}

static void drop_boot(struct arena *arena, const struct boot *boot)
{
    for (uint32_t i = 0; i < boot->pairs.count; i++)
        wipe_slice(row_of(struct boot_pair, boot->pairs, i)->key);
    wipe_slice(boot->keeper_key);
    wipe_slice(boot->oauth_secret);
    arena_done(arena);
}

/* Takes the new ones only when they are whole and right (C233). */
static enum status load(struct supervisor *s, struct buf *why)
{
    struct arena arena = ARENA(MOST_BOOT_MEMORY);
    struct boot boot = { 0 };
    struct settings *settings = NULL;
    enum status status = s->plan->load(s->plan->context, &boot, &settings, &arena, why);
    if (status != STATUS_OK) {
        drop_boot(&arena, &boot);
        return status;
    }
    if (s->settings) {
        drop_boot(&s->arena, &s->boot);
        settings_release(s->settings);
    }
    s->arena = arena;
    s->boot = boot;
    s->settings = settings;
    log_open(role_name(ROLE_SUPERVISOR), (enum log_level)settings->log_level);
    return STATUS_OK;
}

/* ---- the pools ------------------------------------------------------------------------------------------------------ */

static uint32_t wanted(const struct supervisor *s, enum role role)
{
    return role == ROLE_MX ? s->settings->mx_workers : role == ROLE_USER ? s->settings->user_workers : 1;
}

/* As many of each role as the settings say.  The keeper comes first: what the others ask then finds its way at once. */
static void fill_pools(struct supervisor *s)
{
    static const enum role roles[] = { ROLE_KEEPER, ROLE_COURIER, ROLE_MX, ROLE_USER };
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        uint32_t count = 0, most = wanted(s, roles[i]);
        struct child *child;
        for each_child (s, child) {
            if (child->role != roles[i] || child->retiring || ++count <= most)
                continue;
            child->retiring = true; /* SIGHUP asked for fewer */
            if (child->pid > 0)
                child_tell(child, CONTROL_RETIRE);
            else
                child_forget(child);
        }
        for (; count < most; count++)
            child_start(child_open(s, roles[i]));
    }
}

static void look_if_ready(struct supervisor *s)
{
    struct child *child;
    for each_child (s, child)
        if (!child->ready && !child->retiring)
            return;
    if (s->is_ready)
        return;
    s->is_ready = true;
    puts("ready");
    fflush(stdout);
    LOG(LOG_INFO, "supervisor.ready");
}

static void look_if_reloaded(struct supervisor *s)
{
    struct child *child;
    for each_child (s, child)
        if (!child->in_force && !child->retiring)
            return;
    if (s->reloading) {
        LOG(LOG_INFO, "supervisor.reloaded");
        s->plan->in_force(s->plan->context, s->settings);
    }
    s->reloading = false;
}

/* Before `ready` nobody relies on us yet, and whoever started us wants to know. */
static void give_up(struct supervisor *s, const struct child *child)
{
    if (s->stopping)
        return;
    fprintf(stderr, "ekirei: the %s cannot start; the lines above say why\n", role_name(child->role));
    supervisor_stop(s, 1);
}

static void retire(struct child *child)
{
    struct supervisor *s = child->supervisor;
    if (child->retiring || s->stopping || (child->role != ROLE_MX && child->role != ROLE_USER))
        return;
    if (clock_now() - child->started < SHORT_LIFE) {
        child_kill(child, "it wants to retire already");
        return;
    }
    child->retiring = true;
    fill_pools(s);
}

void supervisor_heard(struct child *child, enum control_kind kind, enum role role, uint8_t worker)
{
    struct supervisor *s = child->supervisor;
    struct child *other;
    switch (kind) {
    case CONTROL_READY:
        look_if_ready(s);
        break;
    case CONTROL_IN_FORCE:
        look_if_reloaded(s);
        break;
    case CONTROL_FAILED:
        if (!child->ready && !s->is_ready)
            give_up(s, child);
        else if (child->ready && s->reloading) {
            LOG(LOG_ERROR, "supervisor.reload-refused", LOG_WORD("role", role_name(child->role)), LOG_WORD("hint", "it goes on with the old settings"));
            child->in_force = true;
            s->reloading = false;
        }
        break;
    case CONTROL_RETIRE:
        retire(child);
        break;
    case CONTROL_BAD_ASK:
        if (child->role != ROLE_KEEPER)
            break;
        for each_child (s, other)
            if (other->role == role && other->worker == worker && other != child)
                child_kill(other, "the keeper got a forbidden or malformed ask from it");
        break;
    default:
        break;
    }
}

/* ---- the stop ------------------------------------------------------------------------------------------------------- */

static void on_stop_timer(uv_timer_t *timer)
{
    struct supervisor *s = list_element(timer, struct supervisor, stop_timer);
    struct child *child;
    for each_child (s, child)
        if (child->role & stop_steps[s->step].roles)
            child_kill(child, "it did not end in time");
}

static bool has_living(struct supervisor *s, uint8_t roles)
{
    struct child *child;
    for each_child (s, child)
        if ((child->role & roles) && child->pid > 0)
            return true;
    return false;
}

static void begin_step(struct supervisor *s)
{
    struct child *child;
    for each_child (s, child)
        if ((child->role & stop_steps[s->step].roles) && child->pid > 0)
            child_tell(child, CONTROL_STOP);
    msec gone = clock_now() - s->stopped, until = stop_steps[s->step].until;
    uv_timer_start(&s->stop_timer, on_stop_timer, gone < until ? until - gone : 0, 0);
}

/* To the next role, once all of this one have ended. */
static void stop_on(struct supervisor *s)
{
    while (s->step < STOP_STEPS && !has_living(s, stop_steps[s->step].roles)) {
        s->step++;
        if (s->step < STOP_STEPS)
            begin_step(s);
    }
    if (s->step == STOP_STEPS)
        loop_stop(&s->loop);
}

void supervisor_stop(struct supervisor *s, int exit_status)
{
    struct child *child;
    if (s->stopping)
        return;
    LOG(LOG_INFO, "supervisor.stopping");
    s->stopping = true;
    s->exit_status = exit_status;
    s->stopped = clock_now();
    for each_child (s, child)
        uv_timer_stop(&child->timer);
    begin_step(s);
    stop_on(s);
}

/* ---- signals -------------------------------------------------------------------------------------------------------- */

static void collect(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *child;
        for each_child (s, child) {
            if (child->pid != pid)
                continue;
            bool hopeless = !s->is_ready && ((WIFEXITED(status) && WEXITSTATUS(status) != 0) || child->crashes + 1 >= FIRST_TRIES);
            if (hopeless)
                give_up(s, child);
            child_ended(child, status);
            break;
        }
    }
    if (s->stopping)
        stop_on(s);
    else
        look_if_reloaded(s);
}

static void renew_tickets(struct supervisor *s)
{
    random_fill(s->tickets, sizeof s->tickets);
}

static void boot_all(struct supervisor *s)
{
    struct child *child;
    for each_child (s, child)
        if (child->role == ROLE_KEEPER)
            child_boot(child); /* keys before the certificates that they belong to */
    for each_child (s, child)
        if (child->role != ROLE_KEEPER)
            child_boot(child);
}

static void reload(struct supervisor *s)
{
    struct buf why = BUF(MOST_WHY);
    if (s->stopping)
        return;
    if (load(s, &why) != STATUS_OK) {
        LOG(LOG_ERROR, "supervisor.reload-refused", LOG_TEXT("why", buf_slice(&why)), LOG_WORD("hint", "the old settings stay in force"));
        buf_done(&why);
        return;
    }
    buf_done(&why);
    LOG(LOG_INFO, "supervisor.reloading");
    if (ports_are_others(s))
        LOG(LOG_WARNING, "supervisor.ports-unchanged",
            LOG_WORD("hint", "listen.address, listen.port_offset or the first tls.certificate changed: the old ports stay open until the server is restarted"));
    renew_tickets(s);
    s->reloading = true;
    boot_all(s);
    fill_pools(s);
}

static void on_tickets(uv_timer_t *timer)
{
    struct supervisor *s = list_element(timer, struct supervisor, ticket_timer);
    renew_tickets(s);
    boot_all(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct supervisor *s = handle->data;
    if (number == SIGCHLD)
        collect(s);
    else if (number == SIGHUP)
        reload(s);
    else
        supervisor_stop(s, 0);
}

/* ---- start and end -------------------------------------------------------------------------------------------------- */

static enum status prepare(struct supervisor *s)
{
    struct buf why = BUF(MOST_WHY);
    enum status status = load(s, &why);
    if (status != STATUS_OK)
        fprintf(stderr, "ekirei: %.*s\n", (int)why.len, why.ptr ? why.ptr : "");
    buf_done(&why);
    return status;
}

static void watch_signals(struct supervisor *s)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uv_signal_init(&s->loop.uv, &s->signals[i]);
        s->signals[i].data = s;
        must(uv_signal_start(&s->signals[i], on_signal, numbers[i]) == 0);
    }
}

static void serve(struct supervisor *s)
{
    loop_init(&s->loop);
    watch_signals(s);
    uv_timer_init(&s->loop.uv, &s->stop_timer);
    uv_timer_init(&s->loop.uv, &s->ticket_timer);
    uv_timer_start(&s->ticket_timer, on_tickets, TICKETS_LAST, TICKETS_LAST);
    LOG(LOG_INFO, "supervisor.started", LOG_WORD("dir", s->plan->dir), LOG_NUMBER("ports", s->port_count));
    s->plan->in_force(s->plan->context, s->settings);
    fill_pools(s);
    loop_run(&s->loop);
    struct child *child;
    for each_child (s, child)
        child_forget(child);
    loop_done(&s->loop);
    LOG(LOG_INFO, "supervisor.stopped");
}

int supervisor_run(const struct supervisor_plan *plan)
{
    struct supervisor s = { .plan = plan, .pid = getpid() };
    list_init(&s.children);
    log_open(role_name(ROLE_SUPERVISOR), LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    umask(0077);
    /* Before the keys are read: nobody may look into its memory. */
    if (jail_supervise() != STATUS_OK)
        return 1;
    if (prepare(&s) != STATUS_OK)
        return 2;
    s.nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (chdir(plan->dir) != 0 || s.nowhere < 0) {
        fprintf(stderr, "ekirei: %s: %s\n", plan->dir, strerror(errno));
        return 1; /* cppcheck-suppress memleak ; the process ends */
    }
    /* The lock comes first: it tells a second server apart from another program at our ports. */
    if (folder_open(&s) != STATUS_OK)
        return 1;
    renew_tickets(&s);
    if (ports_open(&s) == STATUS_OK)
        serve(&s);
    else
        s.exit_status = 1;
    ports_close(&s);
    folder_close(&s);
    wipe(s.tickets, sizeof s.tickets);
    drop_boot(&s.arena, &s.boot);
    settings_release(s.settings);
    close(s.nowhere);
    return s.exit_status;
}

/* keeper.c - the role: what it opens, whom it talks to, and how it ends. */
#include "keeper/keeper.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "base/secret.h"
#include "jail/jail.h"
#include "keeper/impl.h"
#include "mail/json.h"

#define HASH_THREADS  2u
#define PACK_THREADS  2u
#define LOCK_PATIENCE SECONDS(5) /* DESIGN 9: `serve` waits that long for its predecessor */
#define SOON          50u        /* ms between two looks at delayed logins and late answers */
#define DRAIN         500u       /* ms for the last answers */
#define FILES         4096u

/* ---- the command line's clients ---------------------------------------------------------------------------------- */

/* Root, or whoever started the server: the folder is his (C041). */
static bool may_command(const struct keeper *keeper, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == keeper->owner);
}

static void on_listen(uv_poll_t *poll, int status, int events)
{
    struct keeper *keeper = poll->data;
    (void)events;
    if (status < 0)
        return;
    int fd = accept4(keeper->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (keeper->ctl_clients >= LIMIT_CTL_CLIENTS || !may_command(keeper, fd)) {
        LOG(LOG_WARNING, "keeper.command-refused", LOG_NUMBER("clients", keeper->ctl_clients));
        close(fd);
        return;
    }
    asker_open(keeper, fd, ROLE_CTL, 0);
}

static void stop_listening(struct keeper *keeper)
{
    if (keeper->listen_fd < 0)
        return;
    uv_poll_stop(&keeper->listen);
    uv_close((uv_handle_t *)&keeper->listen, NULL);
    close(keeper->listen_fd);
    keeper->listen_fd = -1;
}

static void start_listening(struct keeper *keeper, int fd)
{
    if (fd < 0 || keeper->listen_fd >= 0 || keeper->stopping) {
        if (fd >= 0)
            close(fd);
        return;
    }
    keeper->listen_fd = fd;
    must(uv_poll_init(&keeper->loop->uv, &keeper->listen, fd) == 0);
    keeper->listen.data = keeper;
    uv_poll_start(&keeper->listen, UV_READABLE, on_listen);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *timer)
{
    upkeep_tick(timer->data);
}

static void on_soon(uv_timer_t *timer)
{
    struct keeper *keeper = timer->data;
    login_delayed(keeper);
    if (!task_retry_late(keeper) && keeper->delayed_count == 0)
        uv_timer_stop(timer);
}

void keeper_soon(struct keeper *keeper)
{
    if (keeper->loop && !keeper->stopping && !uv_is_active((uv_handle_t *)&keeper->soon))
        uv_timer_start(&keeper->soon, on_soon, SOON, SOON);
}

static void start_timers(struct keeper *keeper)
{
    uv_timer_t *timers[] = { &keeper->tick, &keeper->soon, &keeper->due };
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++) {
        uv_timer_init(&keeper->loop->uv, timers[i]);
        timers[i]->data = keeper;
    }
    uv_timer_start(&keeper->tick, on_tick, TICK, TICK);
    keeper->started = keeper_now(keeper);
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

static void *open_reader(void *context)
{
    struct keeper *keeper = context;
    unsigned mine = atomic_fetch_add(&keeper->readers_taken, 1);
    must(mine < READERS);
    return keeper->readers[mine];
}

static void *open_writer(void *context)
{
    return context;
}

static void start_pools(struct keeper *keeper)
{
    const struct pool_plan plans[STAGES] = {
        [STAGE_HASH] = { .name = "hash", .threads = HASH_THREADS, .queue_max = LIMIT_HASH_QUEUE },
        [STAGE_PACK] = { .name = "pack", .threads = PACK_THREADS, .queue_max = LIMIT_ASKS },
        [STAGE_READ] = { .name = "read",
            .threads = READERS,
            .queue_max = LIMIT_ASKS,
            .thread_open = open_reader,
            .context = keeper },
        [STAGE_WRITE] = { .name = "write",
            .threads = 1,
            .queue_max = LIMIT_WRITER_QUEUE,
            .thread_open = open_writer,
            .context = keeper,
            .batch = writer_batch,
            .batch_max = LIMIT_BATCH },
    };
    for (int i = 0; i < STAGES; i++)
        keeper->pools[i] = pool_open(keeper->loop, &plans[i]);
}

static void close_pool(struct keeper *keeper, enum stage stage)
{
    struct pool *pool = keeper->pools[stage];
    pool_close(pool); /* carries out what waits; what that asks of a pool behind it still goes there */
    keeper->pools[stage] = NULL;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

struct dummy_making {
    uint32_t cost;
    char verifier[VAULT_VERIFIER];
};

static enum status dummy_work(struct task *task, struct store *none)
{
    struct dummy_making *making = task->state;
    (void)none;
    return keeper_make_dummy(making->cost, making->verifier);
}

static void dummy_made(struct task *task)
{
    struct dummy_making *making = task->state;
    if (task->status == STATUS_OK)
        keeper_take_dummy(task->keeper, making->cost, making->verifier);
    else /* the one before serves on */
        LOG(LOG_WARNING, "keeper.dummy", LOG_STATUS(task->status));
    task_drop(task);
}

/* Unknown names cost as much as known ones, also where the cost of a hash was changed. */
static void renew_dummy(struct keeper *keeper)
{
    struct task *task = task_new(keeper, NULL, NULL);
    struct dummy_making *making = task_state(task, sizeof *making);
    making->cost = keeper->settings->auth_hash_cost;
    task_go(task, STAGE_HASH, dummy_work, dummy_made);
}

static void take_settings(struct keeper *keeper, int fd)
{
    struct arena arena = ARENA(2u << 20);
    struct buf octets = { 0 }, why = BUF(1024);
    struct boot boot = { 0 };
    struct settings *settings = NULL;
    enum status status = boot_get(fd, &arena, &octets, &boot);
    if (status == STATUS_OK)
        status = keeper->parse(&boot, &settings, &why);
    if (status == STATUS_OK && (status = signer_take(keeper->signer, &boot.pairs, &why)) != STATUS_OK)
        settings_release(settings);
    if (status == STATUS_OK) {
        settings_release(keeper->settings);
        keeper->settings = settings;
        oauth_take(keeper, boot.oauth_keys, boot.oauth_secret);
        log_open("keeper", (enum log_level)settings->log_level);
        renew_dummy(keeper);
        LOG(LOG_INFO, "keeper.settings");
        control_tell(keeper->control, CONTROL_IN_FORCE);
    } else {
        LOG(LOG_ERROR, "keeper.settings", LOG_STATUS(status), LOG_TEXT("why", buf_slice(&why)));
        control_tell(keeper->control, CONTROL_FAILED);
    }
    buf_wipe(&octets);
    buf_done(&octets);
    buf_done(&why);
    arena_done(&arena);
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

static void drop_waiting(struct list *waiting)
{
    while (!list_is_empty(waiting)) {
        struct task *task = list_element(waiting->next, struct task, waiting);
        task_resume(task);
        task_answer(task, STATUS_AWAY);
    }
}

/* What was asked is finished and answered; nothing new begins. */
void keeper_stop(struct keeper *keeper)
{
    if (keeper->stopping)
        return;
    keeper->stopping = true;
    stop_listening(keeper);
    drop_waiting(&keeper->delayed);
    drop_waiting(&keeper->oauth.waiting);
    drop_waiting(&keeper->errands.polls);
    drop_waiting(&keeper->claims);
    drop_waiting(&keeper->offers);
    close_pool(keeper, STAGE_HASH);
    close_pool(keeper, STAGE_READ);
    close_pool(keeper, STAGE_PACK);
    close_pool(keeper, STAGE_WRITE);
    drop_waiting(&keeper->claims); /* those that were under way */
    drop_waiting(&keeper->oauth.waiting);
    (void)task_retry_late(keeper);
    log_flush(); /* before the answers, as at the end of any pass */
    while (!list_is_empty(&keeper->clients)) {
        struct list *node = keeper->clients.next;
        channel_drain(list_element(node, struct client, node)->channel, DRAIN);
        if (keeper->clients.next == node) /* it was not lost meanwhile, which closes it */
            asker_close(list_element(node, struct client, node));
    }
    upkeep_last(keeper);
    loop_stop(keeper->loop);
}

static void on_control(void *context, const struct control_message *message)
{
    struct keeper *keeper = context;
    switch (message->kind) {
    case CONTROL_CHANNEL:
        if (message->fd >= 0 && !keeper->stopping)
            asker_open(keeper, message->fd, message->role, message->worker);
        else if (message->fd >= 0)
            close(message->fd);
        return;
    case CONTROL_SIGNER:
        if (message->fd >= 0)
            signer_join(keeper->signer, message->fd, message->role, message->worker);
        return;
    case CONTROL_LISTEN:
        start_listening(keeper, message->fd);
        return;
    case CONTROL_BOOT:
        take_settings(keeper, message->fd);
        return;
    case CONTROL_STOP:
        keeper_stop(keeper);
        return;
    case CONTROL_GONE:
        log_flush();
        _exit(1); /* nothing that was answered is lost: it is on the disk */
    default:
        if (message->fd >= 0)
            close(message->fd);
    }
}

static enum status open_store(struct keeper *keeper, const char *dir, struct buf *why)
{
    struct store_plan plan = { .dir = dir, .mode = STORE_WRITER, .patience = LOCK_PATIENCE };
    TRY(body_store_open(&keeper->bodies, dir));
    TRY(store_open(&plan, &keeper->writer, why));
    plan.mode = STORE_READER;
    for (unsigned i = 0; i < READERS; i++)
        TRY(store_open(&plan, &keeper->readers[i], why));
    return STATUS_OK;
}

enum status keeper_open(
    struct keeper *keeper, const char *store_dir, struct settings *settings, struct slice key, struct buf *why)
{
    uint32_t cost = settings->auth_hash_cost;
    TRY(open_store(keeper, store_dir, why));
    TRY(keeper_init(keeper, settings, key));
    TRY(keeper_make_dummy(cost, keeper->dummies[cost]));
    keeper->dummy = keeper->dummies[cost];
    start_pools(keeper);
    start_timers(keeper);
    queue_release(keeper); /* whoever had claimed messages is gone, or will find them claimed by another */
    return STATUS_OK;
}

void keeper_close(struct keeper *keeper)
{
    for (unsigned i = 0; i < READERS; i++)
        store_close(keeper->readers[i]);
    store_close(keeper->writer); /* last: it checkpoints, and lets go of the lock */
    if (keeper->bodies.dir >= 0)
        body_store_close(&keeper->bodies);
    keeper_done(keeper);
}

static enum status enter(struct keeper *keeper, const struct role_start *start, struct buf *why)
{
    struct buf dir = BUF(4096);
    struct settings *settings = start->settings;
    TRY(buf_print(&dir, "%.*s/store%c", (int)start->boot.dir.len, start->boot.dir.ptr, '\0'));
    struct jail_plan plan = { .role = ROLE_KEEPER,
        .uid = jail_uid(ROLE_KEEPER, settings->uid_keeper),
        .root = dir.ptr,
        .file_size = UINT64_MAX,
        .files = FILES };
    enum status status = jail_enter(&plan);
    if (status != STATUS_OK && buf_print(why, "the jail cannot be entered") != STATUS_OK)
        buf_clear(why);
    if (status == STATUS_OK)
        status = keeper_open(keeper, jail_path(&plan), settings, start->boot.keeper_key, why);
    if (status == STATUS_OK)
        oauth_take(keeper, start->boot.oauth_keys, start->boot.oauth_secret);
    if (status == STATUS_OK) {
        keeper->signer = signer_open(control_fd(keeper->control)); /* only now: threads inherit the jail */
        status = signer_take(keeper->signer, &start->boot.pairs, why);
    }
    buf_done(&dir);
    return status;
}

static int fail(struct keeper *keeper, enum status status, const struct buf *why)
{
    LOG(LOG_ERROR, "keeper.failed", LOG_STATUS(status), LOG_TEXT("why", buf_slice(why)));
    control_tell(keeper->control, CONTROL_FAILED);
    return 1;
}

static int run(struct keeper *keeper, struct role_start *start)
{
    struct buf why = BUF(1024);
    enum status status = enter(keeper, start, &why);
    buf_wipe(start->octets);
    int code = 0;
    if (status != STATUS_OK) {
        code = fail(keeper, status, &why);
    } else {
        control_tell(keeper->control, CONTROL_READY);
        LOG(LOG_INFO, "keeper.store", LOG_WORD("engine", store_engine()));
        LOG(LOG_INFO, "keeper.ready", LOG_NUMBER("accounts", keeper->directory.by_id.count),
            LOG_NUMBER("domains", keeper->directory.domains.count));
        loop_run(keeper->loop);
        LOG(LOG_INFO, "keeper.stopped");
    }
    buf_done(&why);
    return code;
}

int keeper_run(struct role_start *start)
{
    struct loop loop;
    struct keeper *keeper = alloc(sizeof *keeper);
    log_open("keeper", (enum log_level)start->settings->log_level);
    /* The supervisor says when to stop, also where a signal went to all of its processes. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (!signer_prepare())
        LOG(LOG_WARNING, "keeper.memory", LOG_WORD("what", "private keys may leave copies in memory that was given back"));
    vault_init();
    json_start(random_u64());
    loop_init(&loop);
    keeper->loop = &loop;
    keeper->bodies.dir = -1;
    keeper->owner = getuid();
    keeper->parse = start->parse;
    keeper->control = control_open(&loop, start->control, on_control, keeper);
    int code = run(keeper, start);
    keeper_close(keeper);
    if (keeper->signer)
        signer_close(keeper->signer);
    control_close(keeper->control);
    loop_done(&loop);
    release(keeper);
    return code;
}

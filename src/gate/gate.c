#include "gate/gate.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "gate/impl.h"
#include "jail/jail.h"
#include "net/tls_key.h"

#define OTHER_FILES  64u          /* descriptors that belong to no session: loop, listeners, control, channel, log */
#define STAGING_LEAST (UINT64_C(1) << 30) /* octets: a message may be as long after a reload raised message.size_limit; the jail cannot grow */
#define STOP_PATIENCE 500u        /* milliseconds for commands that are under way at the stop */
#define STOP_REST     150u        /* then for last words */
#define LAST_WORD     50u         /* milliseconds for the keeper to hear that sessions ended */

static void on_stop_timer(uv_timer_t *timer)
{
    struct gate *gate = list_element(timer, struct gate, timer);
    if (gate->cut) {
        loop_stop(&gate->loop);
        return;
    }
    gate->cut = true;
    visitors_each(gate, conn_abort);
    uv_timer_start(&gate->timer, on_stop_timer, STOP_REST, 0);
}

void gate_look_if_done(struct gate *gate)
{
    if (gate->visitor_count == 0 && (gate->stopping || gate->retiring))
        loop_stop(&gate->loop);
}

static void stop(struct gate *gate)
{
    if (gate->stopping)
        return;
    gate->stopping = true;
    listeners_watch(gate);
    listeners_close(gate);
    visitors_each(gate, conn_stop);
    uv_timer_start(&gate->timer, on_stop_timer, STOP_PATIENCE, 0);
    gate_look_if_done(gate);
}

void gate_retire(struct gate *gate)
{
    if (gate->retiring || gate->stopping)
        return;
    gate->retiring = true;
    LOG(LOG_INFO, "gate.retiring", LOG_NUMBER("connections", gate->taken), LOG_NUMBER("sessions", gate->visitor_count));
    listeners_watch(gate);
    listeners_close(gate);
    control_tell(gate->control, CONTROL_RETIRE);
    gate_look_if_done(gate);
}

/* ---- settings ------------------------------------------------------------------------------------------------------- */

static void take_boot(struct gate *gate, int fd)
{
    struct arena arena = ARENA(65536);
    struct buf octets = { 0 }, why = BUF(1024);
    struct boot boot;
    struct settings *settings = NULL;
    struct house house = { 0 };
    enum status status = boot_get(fd, &arena, &octets, &boot);
    if (status == STATUS_OK)
        status = gate->start->parse(&boot, &settings, &why);
    if (status == STATUS_OK)
        status = house_open(gate->role, &boot, settings, &house, &why);
    if (status == STATUS_OK) {
        house_close(&gate->house);
        gate->house = house;
        log_open(role_name(gate->role), (enum log_level)settings->log_level);
        control_tell(gate->control, CONTROL_IN_FORCE);
    } else {
        LOG(LOG_ERROR, "gate.settings-refused", LOG_STATUS(status), LOG_TEXT("why", buf_slice(&why)));
        if (settings)
            settings_release(settings);
        control_tell(gate->control, CONTROL_FAILED);
    }
    buf_wipe(&octets); /* the tickets' key */
    buf_done(&octets);
    buf_done(&why);
    arena_done(&arena);
}

/* ---- the supervisor's word ------------------------------------------------------------------------------------------ */

static void on_control(void *context, const struct control_message *message)
{
    struct gate *gate = context;
    switch (message->kind) {
    case CONTROL_CHANNEL:
        post_open(gate, message->fd);
        listeners_watch(gate);
        return;
    case CONTROL_SIGNER:
        tls_key_signer(message->fd);
        return;
    case CONTROL_LISTEN:
        listener_open(gate, message->fd, (enum service)message->service);
        return;
    case CONTROL_BOOT:
        take_boot(gate, message->fd);
        return;
    case CONTROL_COMPLETE:
        gate->complete = true;
        listeners_watch(gate);
        break;
    case CONTROL_RETIRE:
        gate_retire(gate);
        break;
    case CONTROL_STOP:
        stop(gate);
        break;
    case CONTROL_GONE:
        log_flush();
        _exit(0); /* nobody is there who could start another */
    default:
        break;
    }
    if (message->fd >= 0)
        close(message->fd);
}

static void on_signer_lost(void *context)
{
    struct gate *gate = context;
    control_tell(gate->control, CONTROL_SIGNER);
}

/* ---- start and end -------------------------------------------------------------------------------------------------- */

/* A session has its socket and perhaps a body that arrives.  The jail's limit is for good, so it is as high as a reload may want it, unless the
 * system has set less that is still enough for now. */
static uint64_t files_wanted(const struct settings *settings)
{
    uint64_t most = 2 * LIMIT_GATE_SESSIONS + OTHER_FILES, enough = 2 * (uint64_t)settings->connections + OTHER_FILES;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < most && files.rlim_max >= enough)
        return files.rlim_max;
    return most;
}

static enum status enter_jail(struct gate *gate)
{
    const struct settings *settings = gate->house.settings;
    uint64_t staged = settings->message_size_limit * 2;
    struct jail_plan plan = { .role = gate->role, .files = files_wanted(settings),
        .uid = jail_uid(gate->role, gate->role == ROLE_MX ? settings->uid_mx : settings->uid_user),
        .file_size = staged > STAGING_LEAST ? staged : STAGING_LEAST };
    TRY(jail_enter(&plan));
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < 2 * OTHER_FILES)
        return STATUS_IO;
    uint64_t most = (files.rlim_cur - OTHER_FILES) / 2;
    gate->visitor_most = most < LIMIT_GATE_SESSIONS ? (uint32_t)most : LIMIT_GATE_SESSIONS;
    return STATUS_OK;
}

/* Everything that wants a file or a key comes before the jail. */
static enum status open_house(struct gate *gate)
{
    struct buf why = BUF(1024);
    struct role_start *start = gate->start;
    enum status status = house_open(gate->role, &start->boot, start->settings, &gate->house, &why);
    if (status != STATUS_OK)
        LOG(LOG_ERROR, "gate.certificates-refused", LOG_STATUS(status), LOG_TEXT("why", buf_slice(&why)));
    buf_wipe(start->octets);
    start->boot = (struct boot){ .worker = start->boot.worker, .generation = start->boot.generation };
    buf_done(&why);
    return status;
}

static void run(struct gate *gate)
{
    loop_run(&gate->loop);
    if (gate->keeper)
        channel_drain(gate->keeper, LAST_WORD);
}

int gate_run(enum role role, struct role_start *start)
{
    struct gate *gate = alloc(sizeof *gate);
    gate->role = role;
    gate->start = start;
    /* Unique while the server runs: pool and worker, which start of it, which connection (proto/session.h shows the worker in a session's name). */
    gate->first_id = (uint64_t)(start->boot.worker & 0xff) << 48 | (start->boot.generation & 0xffff) << 32 | 1;
    gate->pending = alloc(LIMIT_ASKS * sizeof *gate->pending);
    gate->pending_free = -1;
    list_init(&gate->listeners);
    list_init(&gate->visitors);
    signal(SIGPIPE, SIG_IGN);
    loop_init(&gate->loop);
    crowd_init(gate);
    uv_timer_init(&gate->loop.uv, &gate->timer);
    gate->control = control_open(&gate->loop, start->control, on_control, gate);
    tls_key_watch(on_signer_lost, gate);
    if (open_house(gate) != STATUS_OK || enter_jail(gate) != STATUS_OK) {
        control_tell(gate->control, CONTROL_FAILED);
        return 1;
    }
    run(gate);
    return 0;
}

#include "policy/policy.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "jail/jail.h"
#include "policy/impl.h"
#include "policy/endpoint.h"

#define TICK           1000u /* milliseconds between looks at deadlines */
#define SWEEP          10000 /* milliseconds between sweeps */
#define ACCEPTS_A_TURN 32
#define OTHER_FILES    64u
#define OUTPUT         (1u << 20) /* octets that it may write to a file: nothing but "ready" on standard output */
#define SPARE_UID      64999u     /* the last of those that `init` gives out from the other end */

/* ---- logs -------------------------------------------------------------------------------------------------------- */

static void on_ended(void *context, const struct lease *lease, enum lease_end end)
{
    const struct desk *desk = context;
    LOG(LOG_INFO, "lease.ended", LOG_NUMBER("lease", lease->id),
        LOG_TEXT("account", book_name(&desk->book, lease->account)), LOG_IP("peer", lease->peer),
        LOG_WORD("reason", lease_end_name(end)),
        LOG_NUMBER("messages", lease->messages_used + lease->messages_reserved));
}

static void tell_all(struct desk *desk)
{
    struct slice key;
    void *value;
    msec now = loop_now(&desk->loop);
    for (size_t at = 0; map_each(&desk->book.leases.by_id, &at, &key, &value);) {
        const struct lease *lease = value;
        if (now < lease->until)
            LOG(LOG_INFO, "lease.live", LOG_NUMBER("lease", lease->id),
                LOG_TEXT("account", book_name(&desk->book, lease->account)), LOG_IP("peer", lease->peer),
                LOG_NUMBER("seconds", (lease->until - now) / 1000), LOG_NUMBER("messages", lease_messages_left(lease)),
                LOG_NUMBER("recipients", lease_recipients_left(lease)));
    }
    LOG(LOG_INFO, "policy.status", LOG_NUMBER("leases", desk->book.leases.count),
        LOG_NUMBER("accounts", desk->book.names.count), LOG_NUMBER("transactions", desk->book.transactions.count),
        LOG_NUMBER("policy", desk->doors[TRADE_POLICY].inside),
        LOG_NUMBER("reports", desk->doors[TRADE_REPORT].inside));
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void on_signal(uv_signal_t *handle, int number)
{
    struct desk *desk = handle->data;
    if (number == SIGUSR1)
        tell_all(desk);
    else
        loop_stop(&desk->loop);
}

static void on_knock(uv_poll_t *handle, int status, int events)
{
    struct door *door = handle->data;
    (void)status; /* accepting names the error */
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            guest_take(door, fd);
        else if (errno == EAGAIN)
            return;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            LOG(LOG_WARNING, "policy.accept", LOG_ERRNO(), LOG_NUMBER("connections", door->inside));
            uv_poll_stop(&door->poll); /* until the next tick */
            return;
        }
        /* Other errors are of that one connection, which is gone. */
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct desk *desk = list_element(timer, struct desk, timer);
    msec now = loop_now(&desk->loop);
    for (int i = 0; i < TRADES; i++) /* one that found no descriptor left */
        uv_poll_start(&desk->doors[i].poll, UV_READABLE, on_knock);
    guests_tick(desk, now);
    if (now - desk->swept < SWEEP)
        return;
    desk->swept = now;
    book_sweep(&desk->book, now);
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

static void watch_signal(struct desk *desk, uv_signal_t *handle, int number)
{
    uv_signal_init(&desk->loop.uv, handle);
    handle->data = desk;
    uv_signal_start(handle, on_signal, number);
}

static enum status open_door(struct desk *desk, enum trade trade, struct slice endpoint, const char *setting)
{
    struct door *door = &desk->doors[trade];
    TRY(endpoint_listen(endpoint, setting, &door->fd));
    door->desk = desk;
    door->trade = trade;
    must(uv_poll_init(&desk->loop.uv, &door->poll, door->fd) == 0);
    door->poll.data = door;
    uv_poll_start(&door->poll, UV_READABLE, on_knock);
    return STATUS_OK;
}

static enum status open_doors(struct desk *desk)
{
    const struct settings *settings = desk->plan->settings;
    uint32_t line = 0;
    if (book_senders(&desk->book, desk->plan->senders, &line) != STATUS_OK) {
        fprintf(stderr, "ekirei: policy.senders, line %u: write LOGIN ADDRESS...\n", line);
        return STATUS_MALFORMED;
    }
    TRY(open_door(desk, TRADE_POLICY, settings->policy_listen, "policy.listen"));
    return open_door(desk, TRADE_REPORT, settings->policy_reports, "policy.reports");
}

/* The cryptographic library sets itself up at its first use: that is before the walls. */
static void warm_up(const struct desk *desk)
{
    struct reporter reporter;
    struct report report;
    struct slice wire =
        S("LOGIN 0 pop3 192.0.2.1 - x 0000000000000000000000000000000000000000000000000000000000000000\n");
    reporter_init(&reporter, desk->plan->key, S("0123456789abcdef"));
    must(reporter_feed(&reporter, &wire, &report) == REPORT_BAD);
    reporter_done(&reporter);
}

static enum status enter_jail(const struct desk *desk)
{
    uint32_t preset = desk->plan->settings->uid_policy;
    struct jail_plan plan = { .role = ROLE_POLICY,
        .files = LIMIT_POLICY_CONNECTIONS + LIMIT_REPORT_CONNECTIONS + OTHER_FILES,
        .uid = jail_uid(ROLE_POLICY, preset ? preset : SPARE_UID),
        .file_size = OUTPUT };
    return jail_enter(&plan);
}

static void run(struct desk *desk)
{
    static const char ready[] = "ready\n";
    if (write(1, ready, sizeof ready - 1) < 0)
        LOG(LOG_WARNING, "policy.output", LOG_ERRNO());
    LOG(LOG_INFO, "policy.ready", LOG_TEXT("policy", desk->plan->settings->policy_listen),
        LOG_TEXT("reports", desk->plan->settings->policy_reports), LOG_NUMBER("senders", desk->book.senders.count));
    loop_run(&desk->loop);
    LOG(LOG_INFO, "policy.stopped", LOG_NUMBER("leases", desk->book.leases.count));
}

int policy_run(const struct policy_plan *plan)
{
    static struct desk desk;
    desk = (struct desk){ .plan = plan };
    signal(SIGPIPE, SIG_IGN);
    log_open(role_name(ROLE_POLICY), (enum log_level)plan->settings->log_level);
    list_init(&desk.guests);
    loop_init(&desk.loop);
    book_init(&desk.book, plan->settings);
    desk.book.leases.ended = on_ended;
    desk.book.leases.context = &desk;
    watch_signal(&desk, &desk.term, SIGTERM);
    watch_signal(&desk, &desk.interrupt, SIGINT);
    watch_signal(&desk, &desk.tell, SIGUSR1);
    uv_timer_init(&desk.loop.uv, &desk.timer);
    uv_timer_start(&desk.timer, on_tick, TICK, TICK);
    warm_up(&desk);
    bool good = open_doors(&desk) == STATUS_OK && enter_jail(&desk) == STATUS_OK;
    if (good)
        run(&desk);
    guests_close(&desk);
    loop_done(&desk.loop);
    book_done(&desk.book);
    log_flush();
    return good ? 0 : 1;
}

/* Who is connected: Postfix's smtpd processes, and those who report logins. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "base/random.h"
#include "policy/impl.h"

#define READ_ROOM 16384u       /* octets of one read; its answers fit into OUT_ROOM */
#define OUT_ROOM  (512u << 10) /* an answer is shorter than 160 octets, and a question no shorter than 29 */

struct guest {
    struct list node;
    struct desk *desk;
    struct door *door;
    uv_poll_t poll;
    int fd;
    union {
        struct policy policy;
        struct reporter reporter;
    };
    struct buf out;
    struct ip from; /* all zero: by a unix socket */
    msec deadline;
    bool waits;    /* half a question came, or an answer is not read: the deadline stands */
    bool has_told; /* a good report came */
    bool is_over;  /* all is said; what waits is written, then it goes */
    bool is_closed;
};

static char shared_in[READ_ROOM]; /* one loop reads one guest at a time */

static msec now_of(struct guest *guest)
{
    return loop_now(&guest->desk->loop);
}

/* ---- Postfix ----------------------------------------------------------------------------------------------------- */

static void log_verdict(const struct policy_query *query, const struct book_verdict *verdict)
{
    bool used = verdict->action == POLICY_OK;
    if (!verdict->is_new)
        return;
    if (verdict->action == POLICY_DUNNO) {
        LOG(LOG_INFO, "lease.settled", LOG_NUMBER("lease", verdict->lease), LOG_TEXT("account", verdict->account),
            LOG_IP("peer", query->client), LOG_TEXT("transaction", query->instance));
        return;
    }
    LOG(LOG_INFO, used ? "lease.used" : "lease.refused", LOG_NUMBER("lease", verdict->lease),
        LOG_TEXT("account", verdict->account), LOG_IP("peer", query->client), LOG_TEXT("transaction", query->instance),
        LOG_TEXT("sender", query->sender), LOG_TEXT("recipient", query->recipient),
        LOG_WORD("reason", policy_action_name(verdict->action)), LOG_NUMBER("messages", verdict->messages_left),
        LOG_NUMBER("recipients", verdict->recipients_left));
}

static void put(struct guest *guest, enum status status)
{
    must(status == STATUS_OK || guest->is_over); /* OUT_ROOM */
}

/* False: nothing more is to be had from these octets. */
static bool talk_policy(struct guest *guest, struct slice *wire)
{
    struct policy_query query;
    enum policy_event event = policy_feed(&guest->policy, wire, &query);
    if (event == POLICY_BAD) {
        LOG(LOG_WARNING, "policy.malformed", LOG_IP("from", guest->from),
            LOG_WORD("hint", "policy.listen is for Postfix's check_policy_service alone"));
        guest->is_over = true;
    }
    if (event != POLICY_ASKED)
        return false;
    struct book_verdict verdict = book_judge(&guest->desk->book, &query, now_of(guest));
    log_verdict(&query, &verdict);
    put(guest, policy_put(&guest->out, verdict.action));
    guest->waits = false;
    return true;
}

/* ---- reports ----------------------------------------------------------------------------------------------------- */

static void take_login(struct guest *guest, const struct report *report)
{
    msec now = now_of(guest);
    struct book_login login = book_login(&guest->desk->book, report, now);
    const struct lease *lease = login.lease;
    const char *protocol = report->imap ? "imap" : "pop3";
    if (!lease) {
        const char *reason = *login.refusal ? login.refusal : "not-wanted";
        LOG(LOG_INFO, "lease.refused", LOG_TEXT("account", report->name), LOG_IP("peer", report->peer),
            LOG_WORD("protocol", protocol), LOG_WORD("reason", reason));
        put(guest, buf_print(&guest->out, "NO %s\n", reason));
        return;
    }
    LOG(LOG_INFO, login.renewed ? "lease.renewed" : "lease.granted", LOG_NUMBER("lease", lease->id),
        LOG_TEXT("account", book_name(&guest->desk->book, lease->account)), LOG_IP("peer", report->peer),
        LOG_WORD("protocol", protocol), LOG_NUMBER("seconds", (lease->until - now) / 1000),
        LOG_NUMBER("messages", lease_messages_left(lease)));
    put(guest, buf_print(&guest->out, "OK lease=%u seconds=%llu messages=%u\n", lease->id,
                   (unsigned long long)(lease->until - now) / 1000, lease_messages_left(lease)));
}

static bool talk_report(struct guest *guest, struct slice *wire)
{
    struct report report;
    enum report_event event = reporter_feed(&guest->reporter, wire, &report);
    if (event == REPORT_BAD) {
        LOG(LOG_WARNING, "report.refused", LOG_IP("from", guest->from), LOG_WORD("reason", guest->reporter.why));
        put(guest, buf_print(&guest->out, "NO %s\n", guest->reporter.why));
        guest->is_over = true;
    }
    if (event != REPORT_TOLD)
        return false;
    if (report.kind == REPORT_LOGIN) {
        take_login(guest, &report);
    } else {
        book_failed(&guest->desk->book, &report, now_of(guest));
        put(guest, buf_put(&guest->out, S("OK\n")));
    }
    guest->has_told = true;
    guest->deadline = now_of(guest) + LIMIT_REPORT_IDLE;
    return true;
}

/* ---- octets ------------------------------------------------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle)
{
    struct guest *guest = list_element((uv_poll_t *)(void *)handle, struct guest, poll);
    close(guest->fd);
    if (guest->door->trade == TRADE_POLICY)
        policy_done(&guest->policy);
    else
        reporter_done(&guest->reporter);
    buf_done(&guest->out);
    guest->door->inside--;
    release(guest);
}

static void guest_close(struct guest *guest)
{
    if (guest->is_closed)
        return;
    guest->is_closed = true;
    list_remove(&guest->node);
    uv_close((uv_handle_t *)&guest->poll, on_closed);
}

/* False: the peer is gone. */
static bool write_out(struct guest *guest)
{
    while (guest->out.len > 0) {
        ssize_t sent = send(guest->fd, guest->out.ptr, guest->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN;
        buf_drop(&guest->out, (size_t)sent);
    }
    return true;
}

static void set_deadline(struct guest *guest)
{
    bool report = guest->door->trade == TRADE_REPORT;
    bool waits = guest->out.len > 0 || (!report && policy_is_amid(&guest->policy));
    if (waits && !guest->waits)
        guest->deadline = now_of(guest) + LIMIT_POLICY_WAIT;
    else if (!waits && !report)
        guest->deadline = now_of(guest) + LIMIT_POLICY_IDLE;
    guest->waits = waits;
}

static void on_ready(uv_poll_t *handle, int status, int events);

/* While answers wait for a reader, nothing more is read from him. */
static void settle(struct guest *guest)
{
    if (!write_out(guest) || (guest->is_over && guest->out.len == 0)) {
        guest_close(guest);
        return;
    }
    set_deadline(guest);
    uv_poll_start(&guest->poll, guest->out.len > 0 ? UV_WRITABLE : UV_READABLE, on_ready);
}

static void take(struct guest *guest, struct slice wire)
{
    bool (*talk)(struct guest *, struct slice *) = guest->door->trade == TRADE_POLICY ? talk_policy : talk_report;
    while (!guest->is_over && wire.len > 0 && talk(guest, &wire))
        continue;
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct guest *guest = list_element(handle, struct guest, poll);
    (void)status; /* reading says more */
    if (guest->is_closed)
        return;
    if (guest->out.len == 0 && (events & UV_READABLE || status < 0)) {
        ssize_t got = recv(guest->fd, shared_in, sizeof shared_in, MSG_DONTWAIT);
        if (got > 0)
            take(guest, (struct slice){ shared_in, (size_t)got });
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            guest->is_over = true;
    }
    log_flush(); /* first: what anybody is told now stands in the log */
    settle(guest);
}

static struct ip peer_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name = { .any.sa_family = AF_UNSPEC };
    socklen_t size = sizeof name;
    struct ip ip = { { 0 } };
    if (getpeername(fd, &name.any, &size) != 0)
        return ip;
    if (name.any.sa_family == AF_INET6) {
        memcpy(ip.octets, &name.v6.sin6_addr, 16);
    } else if (name.any.sa_family == AF_INET) {
        ip.octets[10] = ip.octets[11] = 0xff;
        memcpy(ip.octets + 12, &name.v4.sin_addr, 4);
    }
    return ip;
}

/* ---- coming and going -------------------------------------------------------------------------------------------- */

void guest_take(struct door *door, int fd)
{
    static const uint32_t most[TRADES] = {
        [TRADE_POLICY] = LIMIT_POLICY_CONNECTIONS, [TRADE_REPORT] = LIMIT_REPORT_CONNECTIONS
    };
    if (door->inside >= most[door->trade]) {
        LOG(LOG_WARNING, "policy.crowded", LOG_NUMBER("connections", door->inside));
        close(fd);
        return;
    }
    struct guest *guest = alloc(sizeof *guest);
    char nonce[REPORT_NONCE / 2];
    *guest = (struct guest){ .desk = door->desk, .door = door, .fd = fd, .from = peer_of(fd), .out = BUF(OUT_ROOM) };
    guest->deadline = now_of(guest) + (door->trade == TRADE_POLICY ? LIMIT_POLICY_IDLE : LIMIT_REPORT_FIRST);
    door->inside++;
    list_append(&door->desk->guests, &guest->node);
    must(uv_poll_init(&door->desk->loop.uv, &guest->poll, fd) == 0);
    if (door->trade == TRADE_POLICY) {
        policy_init(&guest->policy);
    } else {
        random_fill(nonce, sizeof nonce);
        reporter_init(&guest->reporter, door->desk->plan->key, (struct slice){ nonce, sizeof nonce });
        put(guest, report_greet(&guest->out, &guest->reporter));
    }
    settle(guest);
}

void guests_tick(struct desk *desk, msec now)
{
    for (struct list *node = desk->guests.next, *next; node != &desk->guests; node = next) {
        next = node->next;
        struct guest *guest = list_element(node, struct guest, node);
        if (now >= guest->deadline)
            guest_close(guest);
    }
}

void guests_close(struct desk *desk)
{
    while (!list_is_empty(&desk->guests))
        guest_close(list_element(desk->guests.next, struct guest, node));
}

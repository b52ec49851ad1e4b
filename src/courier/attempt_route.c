#include <netinet/in.h>
#include <string.h>

#include "base/log.h"
#include "base/must.h"
#include "courier/attempt.h"

static void on_connect(uv_connect_t *connecting, int status)
{
    struct attempt *a = connecting->data;
    if (status == UV_ECANCELED || a->over)
        return;
    if (status != 0) {
        LOG(LOG_INFO, "courier.unreachable", LOG_NUMBER("queue", a->claim.id), LOG_IP("peer", a->route.addresses[a->address]),
            LOG_WORD("reason", uv_strerror(status)));
        attempt_close_socket(a);
        attempt_connect_next(a);
        return;
    }
    uv_tcp_nodelay(&a->tcp, 1);
    uv_timer_stop(&a->timer);
    attempt_talk(a);
}

static void on_slow_connect(uv_timer_t *timer)
{
    struct attempt *a = timer->data;
    attempt_close_socket(a);
    attempt_connect_next(a);
}

static void connect_to(struct attempt *a, struct ip ip)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)a->settings->smarthost_port) };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = six.sin6_port };
    memcpy(&six.sin6_addr, ip.octets, 16);
    memcpy(&four.sin_addr, ip.octets + 12, 4);
    const struct sockaddr *to = ip_is_v4(ip) ? (const struct sockaddr *)&four : (const struct sockaddr *)&six;
    uv_tcp_init(&a->courier->loop.uv, &a->tcp);
    a->tcp.data = a;
    a->has_tcp = true;
    a->closing++;
    a->connecting.data = a;
    if (uv_tcp_connect(&a->connecting, &a->tcp, to, on_connect) != 0) {
        attempt_close_socket(a);
        attempt_connect_next(a);
        return;
    }
    /* RFC 5321 4.5.3.2 leaves the connect to TCP; thirty seconds an address are enough. */
    uv_timer_start(&a->timer, on_slow_connect, SECONDS(30), 0);
}

/* The handle of the last address must be closed before it is used again. */
static void connect_later(uv_timer_t *timer)
{
    struct attempt *a = timer->data;
    if (a->closing > 1)
        uv_timer_start(&a->timer, connect_later, 1, 0);
    else
        connect_to(a, a->route.addresses[a->address]);
}

void attempt_connect_next(struct attempt *a)
{
    a->address = a->stage == ATTEMPT_ROUTE ? 0 : a->address + 1;
    a->stage = ATTEMPT_CONNECT;
    if (a->address < a->route.count) {
        uv_timer_start(&a->timer, connect_later, 0, 0);
        return;
    }
    struct buf text = BUF(LIMIT_REPLY_LINE);
    must(buf_print(&text, "4.4.1 No connection to %.*s port %u", (int)a->settings->smarthost_host.len, a->settings->smarthost_host.ptr,
        a->settings->smarthost_port) == STATUS_OK);
    attempt_defer_all(a, buf_slice(&text));
    buf_done(&text);
}

static void on_route(void *context, const struct dns_answer *answer)
{
    struct attempt *a = context;
    if (a->over) {
        /* Aborted while the name was looked up: this was the last reference. */
        a->closing--;
        if (a->closing == 0)
            attempt_release(a);
        return;
    }
    a->closing--;
    a->route = *answer;
    if (answer->status == STATUS_OK)
        attempt_connect_next(a);
    else
        attempt_defer_all(a, answer->status == STATUS_NOT_FOUND ? S("4.4.3 The smarthost's name has no address") : S("4.4.3 The smarthost's name could not be looked up"));
}

void attempt_route(struct attempt *a)
{
    if (a->settings->smarthost_host.len == 0) {
        attempt_defer_all(a, S("4.4.4 No route: no smarthost is set (setting smarthost)"));
        return;
    }
    a->closing++;
    dns_find(a->courier->dns, a->settings->smarthost_host, on_route, a);
}

/* Who comes in: the listening sockets, and the connections that were taken from them. */
#include "gate/impl.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "base/random.h"

#define ACCEPTS_A_TURN 32   /* then those who are inside have their turn */
#define PAUSE          100u /* milliseconds without accepting, when the system has no descriptor left */

static const struct service_row {
    enum service service;
    const struct protocol *protocol;
    enum scope scope;
    bool implicit_tls;
} services[] = {
    { SERVICE_MX, &smtp_protocol, SCOPE_MX, false },
    { SERVICE_SUBMISSION, &smtp_protocol, SCOPE_SUBMISSION, false },
    { SERVICE_SUBMISSIONS, &smtp_protocol, SCOPE_SUBMISSION, true },
    { SERVICE_POP3, &pop3_protocol, SCOPE_POP3, false },
    { SERVICE_POP3S, &pop3_protocol, SCOPE_POP3, true },
    { SERVICE_LEGACY_SUBMISSION, &smtp_protocol, SCOPE_LEGACY_SUBMISSION, false },
    { SERVICE_LEGACY_SUBMISSIONS, &smtp_protocol, SCOPE_LEGACY_SUBMISSION, true },
    { SERVICE_LEGACY_POP3, &pop3_protocol, SCOPE_LEGACY_POP3, false },
    { SERVICE_LEGACY_POP3S, &pop3_protocol, SCOPE_LEGACY_POP3, true },
};

static const struct service_row *find_service(enum service service)
{
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (services[i].service == service)
            return &services[i];
    return NULL;
}

union socket_name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static struct ip ip_of(const union socket_name *name, uint16_t *out_port)
{
    struct ip ip = { { 0 } };
    if (name->any.sa_family == AF_INET6) {
        memcpy(ip.octets, &name->v6.sin6_addr, 16);
        *out_port = ntohs(name->v6.sin6_port);
    } else {
        ip.octets[10] = ip.octets[11] = 0xff;
        memcpy(ip.octets + 12, &name->v4.sin_addr, 4);
        *out_port = ntohs(name->v4.sin_port);
    }
    return ip;
}

/* Octets that were sent without waiting for a greeting: only strangers' servers are measured by it (C015). */
static bool is_early(enum service service, int fd)
{
    char octet;
    return service == SERVICE_MX && recv(fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Where TLS comes first nothing can be said to who is at the wrong door, and old TLS is for nobody else. */
static bool is_misplaced(const struct settings *settings, const struct service_row *service, struct ip peer)
{
    if (!service->implicit_tls || !service_is_legacy(service->service) || networks_have(settings->legacy_networks, peer))
        return false;
    LOG(LOG_INFO, "gate.turned-away", LOG_IP("peer", peer), LOG_WORD("why", "a legacy port, and not in legacy.networks"));
    return true;
}

/* ---- connections ---------------------------------------------------------------------------------------------------- */

static void on_gone(void *context, struct conn *conn)
{
    struct visitor *visitor = context;
    struct gate *gate = visitor->gate;
    (void)conn;
    post_forget(visitor);
    crowd_leave(visitor);
    list_remove(&visitor->node);
    release(visitor);
    gate->visitor_count--;
    listeners_watch(gate);
    gate_look_if_done(gate);
}

static void on_heard(void *context) { crowd_heard(context); }

static void let_in(struct gate *gate, const struct service_row *service, int fd, const union socket_name *peer)
{
    const struct settings *settings = gate->house.settings;
    union socket_name local = { 0 };
    socklen_t size = sizeof local;
    uint16_t local_port, peer_port;
    struct ip ip = ip_of(peer, &peer_port);
    if (getsockname(fd, &local.any, &size) != 0 || (service->implicit_tls && !gate->house.contexts[service->scope]) ||
        is_misplaced(settings, service, ip)) {
        close(fd);
        return;
    }
    struct visitor *visitor = alloc(sizeof *visitor);
    struct conn_host host = { .loop = &gate->loop, .ask = post_ask, .gone = on_gone, .heard = on_heard, .context = visitor };
    struct conn_plan plan = { .protocol = service->protocol, .tls = gate->house.contexts[service->scope], .implicit_tls = service->implicit_tls };
    *visitor = (struct visitor){ .gate = gate, .id = gate->first_id + gate->taken, .line = gate->line };
    visitor->ip = ip;
    crowd_enter(visitor);
    plan.env.settings = gate->house.settings;
    plan.env.peer = visitor->ip;
    plan.env.peer_port = peer_port;
    plan.env.local = ip_of(&local, &local_port);
    plan.env.service = service->service;
    plan.env.id = visitor->id;
    random_fill(plan.env.seed, sizeof plan.env.seed);
    plan.env.started = clock_wall();
    plan.env.offers = gate->offers.mechanisms;
    plan.env.early = is_early(service->service, fd);
    plan.env.crowded = !visitor->counted;
    list_init(&visitor->asks);
    list_append(&gate->visitors, &visitor->node);
    gate->visitor_count++;
    gate->taken++;
    visitor->conn = conn_open(&host, &plan, fd);
}

void visitors_each(struct gate *gate, void (*call)(struct conn *conn))
{
    /* None of them goes before the end of the pass (net/conn.h). */
    for (struct list *node = gate->visitors.next; node != &gate->visitors; node = node->next)
        call(list_element(node, struct visitor, node)->conn);
}

/* ---- listening sockets ---------------------------------------------------------------------------------------------- */

static void on_pause_over(uv_timer_t *timer)
{
    struct gate *gate = list_element(timer, struct gate, timer);
    gate->pausing = false;
    listeners_watch(gate);
}

static void could_not_accept(struct listener *listener)
{
    struct gate *gate = listener->gate;
    LOG(LOG_WARNING, "gate.accept", LOG_ERRNO(), LOG_NUMBER("sessions", gate->visitor_count));
    gate->pausing = true;
    listeners_watch(gate);
    uv_timer_start(&gate->timer, on_pause_over, PAUSE, 0);
}

static bool has_room(const struct gate *gate) { return gate->visitor_count < gate->visitor_most && gate->taken < LIMIT_WORKER_CONNECTIONS; }

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct listener *listener = handle->data;
    struct gate *gate = listener->gate;
    (void)status; /* accepting names the error */
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && has_room(gate); i++) {
        union socket_name peer = { 0 };
        socklen_t size = sizeof peer;
        int fd = accept4(listener->fd, &peer.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            let_in(gate, listener->service, fd, &peer);
        else if (errno == EAGAIN)
            break; /* another worker was quicker */
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM || errno == EINVAL) {
            could_not_accept(listener);
            break;
        }
        /* Other errors are of that one connection, which is gone. */
    }
    if (!has_room(gate))
        listeners_watch(gate);
    if (gate->taken >= LIMIT_WORKER_CONNECTIONS)
        gate_retire(gate);
}

void listener_open(struct gate *gate, int fd, enum service service)
{
    const struct service_row *known = find_service(service);
    if (!known || fd < 0) {
        LOG(LOG_ERROR, "gate.listener", LOG_NUMBER("service", service));
        if (fd >= 0)
            close(fd);
        return;
    }
    struct listener *listener = alloc(sizeof *listener);
    *listener = (struct listener){ .gate = gate, .fd = fd, .service = known };
    must(uv_poll_init(&gate->loop.uv, &listener->poll, fd) == 0);
    listener->poll.data = listener;
    list_append(&gate->listeners, &listener->node);
    if (gate->listening)
        uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

void listeners_watch(struct gate *gate)
{
    bool wanted = gate->complete && gate->keeper && !gate->pausing && !gate->retiring && !gate->stopping && has_room(gate);
    if (wanted != gate->listening)
        for (struct list *node = gate->listeners.next; node != &gate->listeners; node = node->next) {
            struct listener *listener = list_element(node, struct listener, node);
            if (wanted)
                uv_poll_start(&listener->poll, UV_READABLE, on_readable);
            else
                uv_poll_stop(&listener->poll);
        }
    gate->listening = wanted;
    if (wanted && !gate->told_ready) {
        gate->told_ready = true;
        control_tell(gate->control, CONTROL_READY);
    }
}

static void on_closed(uv_handle_t *handle) { release(list_element((uv_poll_t *)(void *)handle, struct listener, poll)); }

void listeners_close(struct gate *gate)
{
    struct list *node;
    while ((node = list_take(&gate->listeners))) {
        struct listener *listener = list_element(node, struct listener, node);
        uv_close((uv_handle_t *)&listener->poll, on_closed);
        close(listener->fd);
    }
    gate->listening = false;
}

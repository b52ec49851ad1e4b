/* The listening sockets: one per address and port, held open for good and shared by a pool's workers. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "supervisor/impl.h"

#define BACKLOG         4096 /* as the system lets us by default: who is dropped there waits a second before he tries again (RFC 6298 2.1) */
#define FIRST_INHERITED 3   /* sd_listen_fds(3) */

static const struct standard_port {
    enum service service;
    enum role role;
    uint16_t number;
    bool is_tls;  /* from the first octet: no use without a certificate */
    uint16_t set; /* where there is no standard: the setting's place in struct settings */
} standard_ports[] = {
    { SERVICE_MX, ROLE_MX, 25, false, 0 },
    { SERVICE_SUBMISSION, ROLE_USER, 587, false, 0 },
    { SERVICE_SUBMISSIONS, ROLE_USER, 465, true, 0 },
    { SERVICE_POP3, ROLE_USER, 110, false, 0 },
    { SERVICE_POP3S, ROLE_USER, 995, true, 0 },
    { SERVICE_LEGACY_SUBMISSION, ROLE_USER, 0, false, offsetof(struct settings, legacy_submission_port) },
    { SERVICE_LEGACY_SUBMISSIONS, ROLE_USER, 0, true, offsetof(struct settings, legacy_submissions_port) },
    { SERVICE_LEGACY_POP3, ROLE_USER, 0, false, offsetof(struct settings, legacy_pop3_port) },
    { SERVICE_LEGACY_POP3S, ROLE_USER, 0, true, offsetof(struct settings, legacy_pop3s_port) },
};
#define PORTS (sizeof standard_ports / sizeof standard_ports[0])

/* Without the offset; 0: none. */
static uint32_t number_of(const struct settings *settings, const struct standard_port *port)
{
    return port->set == 0 ? port->number : *(const uint32_t *)(const void *)((const char *)settings + port->set);
}

/* Either form, as the kernel wants it. */
struct socket_name {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t size;
};

static struct socket_name name_of(struct ip ip, uint16_t port)
{
    struct socket_name name = { 0 };
    if (ip_is_v4(ip)) {
        name.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
        memcpy(&name.v4.sin_addr, ip.octets + 12, 4);
        name.size = sizeof name.v4;
    } else {
        name.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
        memcpy(&name.v6.sin6_addr, ip.octets, 16);
        name.size = sizeof name.v6;
    }
    return name;
}

static bool is_same(const struct socket_name *a, const struct socket_name *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return a->v6.sin6_port == b->v6.sin6_port && memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
}

/* ---- sockets that systemd opened for us (sd_listen_fds(3)), so that nothing of ours has to be root ---- */

static int inherited_count(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t number = 0, ours = 0;
    if (!pid || !count || slice_number(slice_of(pid), INT32_MAX, &ours) != STATUS_OK || ours != (uint64_t)getpid() ||
        slice_number(slice_of(count), 1000, &number) != STATUS_OK)
        return 0;
    return (int)number;
}

static bool get_name(int fd, struct socket_name *out_name)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    struct socket_name name = { .size = sizeof name.v6 };
    if (getsockname(fd, &name.any, &name.size) != 0 || (name.any.sa_family != AF_INET && name.any.sa_family != AF_INET6) ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens)
        return false;
    *out_name = name;
    return true;
}

/* One that listens at "::" for IPv4, too, as systemd makes them by itself (BindIPv6Only= in systemd.socket(5)). */
static bool covers(int fd, const struct socket_name *name, const struct socket_name *wanted)
{
    int only = 1;
    socklen_t size = sizeof only;
    return name->any.sa_family == AF_INET6 && wanted->any.sa_family == AF_INET && wanted->v4.sin_addr.s_addr == htonl(INADDR_ANY) &&
           name->v6.sin6_port == wanted->v4.sin_port && IN6_IS_ADDR_UNSPECIFIED(&name->v6.sin6_addr) &&
           getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size) == 0 && !only;
}

static int find_inherited(const struct socket_name *wanted, bool *out_covered)
{
    int count = inherited_count();
    *out_covered = false;
    for (int fd = FIRST_INHERITED; fd < FIRST_INHERITED + count; fd++) {
        struct socket_name name;
        if (!get_name(fd, &name))
            continue;
        if (is_same(&name, wanted))
            return fd;
        *out_covered = *out_covered || covers(fd, &name, wanted);
    }
    return -1;
}

static bool is_used(const struct supervisor *s, int fd)
{
    for (size_t i = 0; i < s->port_count; i++)
        if (s->ports[i].fd == fd)
            return true;
    return false;
}

/* A socket nobody accepts from would let clients wait for ever: better they are refused. */
static void close_unused(const struct supervisor *s)
{
    int count = inherited_count();
    for (int fd = FIRST_INHERITED; fd < FIRST_INHERITED + count; fd++) {
        struct socket_name name;
        if (is_used(s, fd) || !get_name(fd, &name))
            continue;
        LOG(LOG_WARNING, "supervisor.socket-unused",
            LOG_NUMBER("port", ntohs(name.any.sa_family == AF_INET ? name.v4.sin_port : name.v6.sin6_port)),
            LOG_WORD("hint", "no address of listen.address with a port of ours: correct the .socket unit, listen.address or listen.port_offset"));
        close(fd);
    }
}

static void set_options(int fd)
{
    const int yes = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* what is accepted inherits it */
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* workers share it: who comes too late must not wait in accept() */
}

static int open_one(const struct socket_name *name)
{
    const int yes = 1;
    int fd = socket(name->any.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    set_options(fd);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (name->any.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    if (bind(fd, &name->any, name->size) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static const char *advice(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "ports below 1024 are for root: start as root, set listen.port_offset, or use systemd sockets";
    case EADDRINUSE:
        return "another program has it: `ss -ltnp` names it; stop that, or set listen.port_offset";
    case EADDRNOTAVAIL:
        return "this machine has no such address: correct listen.address";
    case EAFNOSUPPORT:
        return "this machine has no IPv6: take the address out of listen.address";
    default:
        return "correct listen.address or listen.port_offset";
    }
}

static bool is_any(struct ip ip) { return ip_equal(ip, (struct ip){ 0 }); }

/* NOT_FOUND: the machine has no IPv6, and "::" only meant "whatever there is".  EXISTS: another socket serves it already. */
static enum status open_port(const struct supervisor *s, struct slice address, uint16_t number, msec until, int *out_fd)
{
    struct ip ip;
    TRY(ip_parse(address, &ip));
    struct socket_name name = name_of(ip, number);
    bool covered;
    int fd = find_inherited(&name, &covered);
    if (fd >= 0)
        set_options(fd);
    else if (covered)
        return STATUS_EXISTS;
    else
        while ((fd = open_one(&name)) < 0 && errno == EADDRINUSE && clock_now() < until)
            (void)poll(NULL, 0, RETRY);
    if (fd < 0 && is_any(ip) && s->settings->listen_address.count > 1 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
        return STATUS_NOT_FOUND;
    if (fd < 0) {
        fprintf(stderr, "ekirei: cannot listen on %.*s port %u: %s; %s\n", (int)address.len, address.ptr, (unsigned)number,
            strerror(errno), advice(errno));
        return STATUS_IO;
    }
    *out_fd = fd;
    return STATUS_OK;
}

static enum status open_address(struct supervisor *s, struct slice address, msec until)
{
    for (size_t i = 0; i < PORTS; i++) {
        const struct standard_port *standard = &standard_ports[i];
        uint32_t number = number_of(s->settings, standard);
        if (number == 0 || (standard->is_tls && s->boot.pairs.count == 0))
            continue;
        struct port *port = &s->ports[s->port_count];
        enum status status = open_port(s, address, (uint16_t)(number + s->settings->port_offset), until, &port->fd);
        if (status == STATUS_NOT_FOUND) {
            LOG(LOG_WARNING, "supervisor.no-ipv6", LOG_TEXT("address", address));
            return STATUS_OK;
        }
        if (status == STATUS_EXISTS)
            continue;
        TRY(status);
        port->service = standard->service;
        port->role = standard->role;
        s->port_count++;
    }
    return STATUS_OK;
}

/* ---- all of them ---- */

/* What they were opened for: SIGHUP cannot move them, for ports below 1024 the rights may be gone. */
static void print_wanted(const struct supervisor *s, struct buf *out)
{
    enum status status = buf_print(out, "%u %d", s->settings->port_offset, s->boot.pairs.count > 0);
    for (size_t i = 0; i < PORTS && status == STATUS_OK; i++)
        status = buf_print(out, " %u", number_of(s->settings, &standard_ports[i]));
    for (size_t i = 0; i < s->settings->listen_address.count && status == STATUS_OK; i++)
        status = buf_print(out, " %.*s", (int)s->settings->listen_address.rows[i].len, s->settings->listen_address.rows[i].ptr);
    (void)status; /* cut short it still tells apart what differs before */
}

bool ports_are_others(const struct supervisor *s)
{
    struct buf now = BUF(LIMIT_SETTINGS_FILE);
    print_wanted(s, &now);
    bool others = !slice_equal(buf_slice(&now), buf_slice(&s->ports_wanted));
    buf_done(&now);
    return others;
}

enum status ports_open(struct supervisor *s)
{
    msec until = clock_now() + PATIENCE;
    s->ports = alloc(s->settings->listen_address.count * PORTS * sizeof *s->ports);
    for (size_t i = 0; i < s->settings->listen_address.count; i++)
        TRY(open_address(s, s->settings->listen_address.rows[i], until));
    if (s->boot.pairs.count == 0)
        LOG(LOG_WARNING, "supervisor.no-certificate", LOG_WORD("hint", "tls.certificate is empty: ports 465, 995 and their legacy kin stay closed"));
    close_unused(s);
    s->ports_wanted = BUF(LIMIT_SETTINGS_FILE);
    print_wanted(s, &s->ports_wanted);
    if (s->port_count > 0)
        return STATUS_OK;
    fprintf(stderr, "ekirei: listen.address names no address of this machine\n");
    return STATUS_NOT_FOUND;
}

void ports_close(struct supervisor *s)
{
    for (size_t i = 0; i < s->port_count; i++)
        close(s->ports[i].fd);
    s->port_count = 0;
    buf_done(&s->ports_wanted);
    release(s->ports);
    s->ports = NULL;
}

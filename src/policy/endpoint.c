#include "policy/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define BACKLOG 1024

static enum status read_unix(struct slice path, struct endpoint *out_endpoint)
{
    if (path.len == 0 || path.ptr[0] != '/' || path.len >= sizeof out_endpoint->local.sun_path)
        return STATUS_MALFORMED;
    out_endpoint->local = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(out_endpoint->local.sun_path, path.ptr, path.len);
    out_endpoint->size = sizeof out_endpoint->local;
    return STATUS_OK;
}

enum status endpoint_read(struct slice text, struct endpoint *out_endpoint)
{
    struct ip ip;
    uint64_t port;
    size_t colon = slice_find_last(text, ':');
    if (slice_starts(text, S("unix:")))
        return read_unix(slice_from(text, 5), out_endpoint);
    struct slice host = slice_upto(text, colon);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_upto(slice_from(host, 1), host.len - 2);
    TRY(ip_parse(host, &ip));
    TRY(slice_number(slice_from(text, colon + 1), UINT16_MAX, &port));
    if (ip_is_v4(ip)) {
        out_endpoint->v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        memcpy(&out_endpoint->v4.sin_addr, ip.octets + 12, 4);
        out_endpoint->size = sizeof out_endpoint->v4;
    } else {
        out_endpoint->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        memcpy(&out_endpoint->v6.sin6_addr, ip.octets, 16);
        out_endpoint->size = sizeof out_endpoint->v6;
    }
    return STATUS_OK;
}

static bool is_here(const struct endpoint *endpoint)
{
    if (endpoint->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&endpoint->v6.sin6_addr);
    return endpoint->any.sa_family != AF_INET || ntohl(endpoint->v4.sin_addr.s_addr) >> 24 == 127;
}

/* A socket that nobody listens at any more stays behind when its process ends: nothing in the jail can remove it. */
static void remove_stale(const struct endpoint *endpoint)
{
    struct stat about;
    if (lstat(endpoint->local.sun_path, &about) != 0 || !S_ISSOCK(about.st_mode))
        return;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe >= 0 && connect(probe, &endpoint->any, endpoint->size) != 0 && errno == ECONNREFUSED)
        (void)unlink(endpoint->local.sun_path);
    if (probe >= 0)
        close(probe);
}

static int open_name(const struct endpoint *endpoint)
{
    const int yes = 1;
    bool local = endpoint->any.sa_family == AF_UNIX;
    int fd = socket(endpoint->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (local) {
        remove_stale(endpoint);
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* what is accepted inherits it */
    }
    /* Postfix and the mailbox server are other users; who may come near is the folder's to say. */
    if (bind(fd, &endpoint->any, endpoint->size) == 0 && (!local || chmod(endpoint->local.sun_path, 0666) == 0) &&
        listen(fd, BACKLOG) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

enum status endpoint_listen(struct slice text, const char *setting, int *out_fd)
{
    struct endpoint endpoint = { .size = 0 };
    if (endpoint_read(text, &endpoint) != STATUS_OK) {
        fprintf(stderr,
            "ekirei: %s: '%.*s' is no address to listen at: write 127.0.0.1:10040, [::1]:10040 or unix:/path\n", setting,
            (int)text.len, text.ptr);
        return STATUS_MALFORMED;
    }
    if (!is_here(&endpoint))
        LOG(LOG_WARNING, "settings.risk", LOG_WORD("setting", setting),
            LOG_WORD("what", "other machines can reach it: only over a network that you trust"));
    *out_fd = open_name(&endpoint);
    if (*out_fd < 0) {
        fprintf(stderr, "ekirei: %s: cannot listen at %.*s: %s\n", setting, (int)text.len, text.ptr, strerror(errno));
        return STATUS_IO;
    }
    return STATUS_OK;
}

/* client.c - one connection of the load generator, in clear or TLS, and the events of all. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

enum { EVENTS = 64, READ = 65536 };

int resumed, attempted;
static int epoll_fd, opened;
static SSL_CTX *context;

void client_prepare(void)
{
    epoll_fd = epoll_create1(0);
    context = SSL_CTX_new(TLS_client_method());
    if (epoll_fd < 0 || !context)
        fail("prepare", strerror(errno));
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(
        context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(
        context, plan.resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
}

/* From 127.0.0.1, or from 127.1.0.0 on: a server counts connections by address. */
static void choose_source(int fd)
{
    int late = 1;
    struct sockaddr_in from = { .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(0x7f010000u + (uint32_t)(opened % plan.sources) + 1u) };
    if (plan.sources < 2)
        return;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof late);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0)
        fail("bind", strerror(errno));
}

static void watch(struct client *c, bool writing)
{
    struct epoll_event event = { .events = EPOLLIN | (writing ? EPOLLOUT : 0u), .data.ptr = c };
    if (c->watched_for_writing == writing)
        return;
    c->watched_for_writing = writing;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) != 0)
        fail("epoll_ctl", strerror(errno));
}

static void shake(struct client *c)
{
    int done = SSL_connect(c->ssl);
    if (done == 1) {
        c->phase = TALKING;
        attempted += c->tried;
        resumed += SSL_session_reused(c->ssl);
        watch(c, false);
        mode->stands(c);
        return;
    }
    int reason = SSL_get_error(c->ssl, done);
    if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
        fail("TLS", "no handshake");
    watch(c, reason == SSL_ERROR_WANT_WRITE);
}

void client_secure(struct client *c)
{
    c->ssl = SSL_new(context);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
        fail("TLS", "no memory");
    if (plan.resume && c->ticket) {
        c->tried = true;
        SSL_set_session(c->ssl, c->ticket);
        SSL_SESSION_free(c->ticket);
        c->ticket = NULL;
    }
    c->phase = SHAKING;
    shake(c);
}

void client_open(struct client *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)plan.port) };
    int one = 1;
    SSL_SESSION *ticket = c->ticket;
    memset(c, 0, offsetof(struct client, line));
    c->out_len = 0;
    c->ticket = ticket;
    c->began = now();
    c->phase = TALKING;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || inet_pton(AF_INET, plan.host, &to.sin_addr) != 1)
        fail("socket", strerror(errno));
    choose_source(c->fd);
    opened++;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        fail("epoll_ctl", strerror(errno));
    if (strcmp(plan.tls, "yes") == 0)
        client_secure(c);
    else
        mode->stands(c);
}

void client_close(struct client *c)
{
    if (c->ssl) {
        if (plan.resume) {
            SSL_SESSION *session = SSL_get1_session(c->ssl);
            if (session && SSL_SESSION_is_resumable(session))
                c->ticket = session;
            else
                SSL_SESSION_free(session);
            SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN); /* without it OpenSSL holds the session for bad */
        }
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    close(c->fd);
    c->fd = -1;
}

static ssize_t move_out(struct client *c)
{
    if (!c->ssl)
        return write(c->fd, c->out, c->out_len);
    int done = SSL_write(c->ssl, c->out, (int)c->out_len);
    if (done > 0)
        return done;
    int reason = SSL_get_error(c->ssl, done);
    errno = reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
}

static void flush(struct client *c)
{
    while (c->out_len > 0) {
        ssize_t done = move_out(c);
        if (done < 0 && errno == EAGAIN) {
            watch(c, true);
            return;
        }
        if (done < 0)
            fail("write", strerror(errno));
        c->out += done;
        c->out_len -= (size_t)done;
    }
    watch(c, false);
}

void client_put(struct client *c, const char *octets, size_t len)
{
    if (c->out_len > 0)
        fail("write", "the server does not read");
    c->out = octets;
    c->out_len = len;
    flush(c);
}

void client_say(struct client *c, const char *format, ...)
{
    va_list words;
    va_start(words, format);
    int len = vsnprintf(c->commands, sizeof c->commands, format, words);
    va_end(words);
    if (len < 0 || (size_t)len >= sizeof c->commands)
        fail("too long", c->commands);
    client_put(c, c->commands, (size_t)len);
}

static void take_line(struct client *c, const char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r')
        len--;
    mode->line(c, line, len);
}

static void take(struct client *c, const char *octets, size_t len)
{
    const char *end;
    while (c->fd >= 0 && len > 0 && (end = memchr(octets, '\n', len))) {
        size_t part = (size_t)(end - octets);
        if (c->line_len == 0) {
            take_line(c, octets, part);
        } else {
            size_t room = sizeof c->line - c->line_len, taken = part < room ? part : room, whole = c->line_len + taken;
            memcpy(c->line + c->line_len, octets, taken);
            c->line_len = 0;
            take_line(c, c->line, whole);
        }
        octets = end + 1;
        len -= part + 1;
    }
    size_t room = sizeof c->line - c->line_len, rest = c->fd >= 0 ? len : 0;
    rest = rest < room ? rest : room;
    memcpy(c->line + c->line_len, octets, rest);
    c->line_len += rest;
}

static void readable(struct client *c)
{
    static char octets[READ];
    SSL *before;
    do {
        before = c->ssl;
        ssize_t len = c->ssl ? SSL_read(c->ssl, octets, sizeof octets) : read(c->fd, octets, sizeof octets);
        int reason = c->ssl && len <= 0 ? SSL_get_error(c->ssl, (int)len) : SSL_ERROR_NONE;
        if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE || (!c->ssl && len < 0 && errno == EAGAIN))
            return;
        if (len <= 0)
            fail("the server hung up", c->commands);
        take(c, octets, (size_t)len);
        if (mode->rest && c->fd >= 0)
            mode->rest(c);
    } while (c->ssl && c->ssl == before && c->phase == TALKING && c->fd >= 0);
}

void client_event(struct client *c, uint32_t events)
{
    if (c->phase == SHAKING) {
        shake(c);
        return;
    }
    if (events & EPOLLOUT)
        flush(c);
    if (c->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        readable(c);
}

bool wait_for_events(int milliseconds)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll_fd, events, EVENTS, milliseconds);
    for (int i = 0; i < count; i++) {
        struct client *c = events[i].data.ptr;
        if (c->fd >= 0)
            client_event(c, events[i].events);
    }
    return count > 0;
}

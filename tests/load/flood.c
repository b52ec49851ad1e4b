/* flood.c - a peer who means harm: many connections, and what each of them says.  One process, epoll, no TLS: what looks like a
 * handshake is octets that somebody else made.
 *
 *   flood PORT [name=value]...
 *     count=N     connections that are kept open at once (1)        total=N    opened in all, then no more (0: no end)
 *     sources=N   addresses they come from, from 127.66.0.1 on (1)  address=A  the first of them
 *     rate=N      new connections a second (0: as fast as it goes)  life=MS    hangs up after so long (0: never)
 *     hello=FILE  steps with a NUL between two: each is said when the reply to the one before came; then comes `first`
 *     first=FILE  said when the greeting came                       early=1    said at once
 *     then=FILE   said behind it, `times` times (0: for ever)       drip=MS    one octet of `then` every so often
 *     deaf=1      replies are never read                            again=1    another connection for each that has ended
 *     stays=1     also after the other side has hung up; with deaf
 *
 * A line on standard input is answered with a line of counts; its end ends the program. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS      512
#define CONNECTING  512     /* under way at once: the server's backlog is no target, its program is */
#define PIECE       65536u  /* octets of one write */

struct octets {
    char *ptr;
    size_t len;
};

static struct {
    uint16_t port;
    uint64_t count, total, sources, rate, life, times, drip;
    bool early, deaf, again, stays;
    uint32_t address;
    struct octets hello, first, then;
} wish = { .count = 1, .sources = 1, .times = 1, .address = 0x7f420001 };

static struct {
    uint64_t opened, failed, ended, sent, received, open, greeted;
} counts;

enum phase { FREE, CONNECTING_NOW, TALKING };

struct peer {
    enum phase phase;
    int fd;
    bool greeted, begun, done; /* begun: `first` is due; done: all is said */
    size_t hello_at, first_at, then_at;
    uint64_t time, since, next_drip;
    uint32_t events;
    bool watched;
};

static struct peer *peers;
static uint64_t connecting, started, cursor;
static int poller;
static char scrap[1 << 18];

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

_Noreturn static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void watch(struct peer *peer)
{
    bool writes = peer->phase == CONNECTING_NOW || (peer->begun && !peer->done && (wish.drip == 0 || peer->first_at < wish.first.len));
    uint32_t events = (writes ? EPOLLOUT : 0u) | (!wish.deaf || !peer->begun ? EPOLLIN : wish.stays ? 0u : EPOLLRDHUP);
    if (peer->watched && events == peer->events)
        return;
    struct epoll_event event = { .events = events, .data.ptr = peer };
    if (epoll_ctl(poller, peer->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, peer->fd, &event) != 0)
        die("epoll_ctl");
    peer->watched = true;
    peer->events = events;
}

static void hang_up(struct peer *peer)
{
    connecting -= peer->phase == CONNECTING_NOW;
    counts.open -= peer->phase == TALKING;
    close(peer->fd);
    *peer = (struct peer){ 0 };
}

static bool open_one(struct peer *peer, uint64_t now)
{
    struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET, .sin_port = htons(wish.port) };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    from.sin_addr.s_addr = htonl(wish.address + (uint32_t)(counts.opened % wish.sources));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (wish.life > 0) { /* a reset at the end: so many ports would rest for a minute */
        struct linger hard = { .l_onoff = 1 };
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    counts.opened++;
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        counts.failed++;
        close(fd);
        return false;
    }
    *peer = (struct peer){ .phase = CONNECTING_NOW, .fd = fd, .since = now };
    connecting++;
    watch(peer);
    return true;
}

static bool may_open(uint64_t now)
{
    if (connecting >= CONNECTING || (wish.total > 0 && counts.opened >= wish.total) || (!wish.again && wish.total == 0 && counts.opened >= wish.count))
        return false;
    return wish.rate == 0 || counts.opened * 1000 < wish.rate * (now - started + 1);
}

static void open_more(uint64_t now)
{
    for (uint64_t looked = 0; looked < wish.count && may_open(now); looked++) {
        struct peer *peer = &peers[cursor++ % wish.count];
        if (peer->phase == FREE && !open_one(peer, now))
            return;
    }
}

/* False: the connection is over. */
static bool put(struct peer *peer, const char *octets, size_t len, size_t *at)
{
    ssize_t sent = send(peer->fd, octets, len, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN;
    counts.sent += (uint64_t)sent;
    *at += (size_t)sent;
    return true;
}

static bool put_then(struct peer *peer, size_t most)
{
    size_t left = wish.then.len - peer->then_at;
    if (!put(peer, wish.then.ptr + peer->then_at, left < most ? left : most, &peer->then_at))
        return false;
    if (peer->then_at == wish.then.len) {
        peer->then_at = 0;
        peer->done = ++peer->time == wish.times;
    }
    return true;
}

static bool say(struct peer *peer)
{
    if (!peer->begun)
        return true;
    if (peer->first_at < wish.first.len)
        return put(peer, wish.first.ptr + peer->first_at, wish.first.len - peer->first_at, &peer->first_at);
    if (wish.then.len == 0)
        peer->done = true;
    return peer->done || wish.drip > 0 || put_then(peer, PIECE);
}

static bool hear(struct peer *peer)
{
    ssize_t got = recv(peer->fd, scrap, wish.deaf ? 64 : sizeof scrap, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    counts.received += (uint64_t)got;
    counts.greeted += !peer->greeted;
    peer->greeted = true;
    if (peer->hello_at < wish.hello.len) {
        const char *step = wish.hello.ptr + peer->hello_at, *end = memchr(step, 0, wish.hello.len - peer->hello_at);
        size_t len = end ? (size_t)(end - step) : wish.hello.len - peer->hello_at;
        peer->hello_at += end ? 1 : 0;
        return put(peer, step, len, &peer->hello_at);
    }
    peer->begun = true;
    return true;
}

static void on_event(struct peer *peer, uint32_t events)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (peer->phase == CONNECTING_NOW && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        if (getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
            counts.failed++;
            hang_up(peer);
            return;
        }
        peer->phase = TALKING;
        peer->begun = wish.early;
        connecting--;
        counts.open++;
    }
    bool alive = !(events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP));
    if (alive && (events & EPOLLIN))
        alive = hear(peer);
    if (alive && peer->phase == TALKING)
        alive = say(peer);
    if (!alive) {
        counts.ended++;
        hang_up(peer);
    } else {
        watch(peer);
    }
}

/* Clocks of all of them: a look at each every ten milliseconds is cheap enough. */
static void tick(uint64_t now)
{
    for (uint64_t i = 0; i < wish.count; i++) {
        struct peer *peer = &peers[i];
        if (peer->phase != TALKING)
            continue;
        bool alive = true;
        if (wish.drip > 0 && wish.then.len > 0 && peer->begun && !peer->done && peer->first_at == wish.first.len && now >= peer->next_drip) {
            alive = peer->next_drip == 0 || put_then(peer, 1);
            peer->next_drip = now + wish.drip;
        }
        if (!alive)
            counts.ended++;
        if (!alive || (wish.life > 0 && now - peer->since >= wish.life))
            hang_up(peer);
    }
}

static void report(void)
{
    ssize_t got = read(0, scrap, sizeof scrap);
    if (got <= 0)
        exit(0);
    printf("{\"opened\": %llu, \"failed\": %llu, \"greeted\": %llu, \"ended\": %llu, \"open\": %llu, \"sent\": %llu, \"received\": %llu}\n",
        (unsigned long long)counts.opened, (unsigned long long)counts.failed, (unsigned long long)counts.greeted, (unsigned long long)counts.ended,
        (unsigned long long)counts.open, (unsigned long long)counts.sent, (unsigned long long)counts.received);
    fflush(stdout);
}

static struct octets read_file(const char *path)
{
    struct octets all = { malloc(16 << 20), 0 };
    FILE *file = fopen(path, "rb");
    if (!file || !all.ptr)
        die(path);
    all.len = fread(all.ptr, 1, 16 << 20, file);
    fclose(file);
    return all;
}

static void take_wish(const char *name, const char *value)
{
    static const struct {
        const char *name;
        uint64_t *number;
        bool *flag;
        struct octets *octets;
    } words[] = { { "count", &wish.count, NULL, NULL }, { "total", &wish.total, NULL, NULL }, { "sources", &wish.sources, NULL, NULL },
        { "rate", &wish.rate, NULL, NULL }, { "life", &wish.life, NULL, NULL }, { "times", &wish.times, NULL, NULL }, { "drip", &wish.drip, NULL, NULL },
        { "early", NULL, &wish.early, NULL }, { "deaf", NULL, &wish.deaf, NULL }, { "again", NULL, &wish.again, NULL }, { "stays", NULL, &wish.stays, NULL },
        { "hello", NULL, NULL, &wish.hello }, { "first", NULL, NULL, &wish.first }, { "then", NULL, NULL, &wish.then } };
    struct in_addr address;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].name, name) != 0)
            continue;
        if (words[i].number)
            *words[i].number = strtoull(value, NULL, 10);
        else if (words[i].flag)
            *words[i].flag = value[0] == '1';
        else
            *words[i].octets = read_file(value);
        return;
    }
    if (strcmp(name, "address") != 0 || inet_pton(AF_INET, value, &address) != 1) {
        fprintf(stderr, "flood: %s=%s?\n", name, value);
        exit(2);
    }
    wish.address = ntohl(address.s_addr);
}

static void begin(int argc, char **argv)
{
    struct rlimit files;
    if (argc < 2)
        exit(2);
    wish.port = (uint16_t)strtoul(argv[1], NULL, 10);
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            exit(2);
        *value = 0;
        take_wish(argv[i], value + 1);
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (wish.count + 16 > files.rlim_cur)
        wish.count = files.rlim_cur - 16;
    peers = calloc(wish.count, sizeof *peers);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    if (!peers || poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event) != 0)
        die("begin");
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    uint64_t looked = started = now_ms();
    for (;;) {
        struct epoll_event events[EVENTS];
        int found = epoll_wait(poller, events, EVENTS, 10);
        for (int i = 0; i < found; i++) {
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else
                report();
        }
        uint64_t now = now_ms();
        if (now - looked >= 10) {
            tick(now);
            looked = now;
        }
        open_more(now);
    }
}

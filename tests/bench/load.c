/* load.c - the load generator: many SMTP sessions from one process, deterministic mail, figures on one line.
 *
 *   load PORT SESSIONS MESSAGES OCTETS PER-CONNECTION ACCOUNTS DOMAIN
 *
 * Sends MESSAGES messages of about OCTETS octets over SESSIONS parallel connections to 127.0.0.1:PORT, PER-CONNECTION messages on each before it is closed and opened anew
 * (0: all on one), to u0@DOMAIN .. u(ACCOUNTS-1)@DOMAIN in turn.  MAIL, RCPT and DATA go in one write, as every MTA with PIPELINING does.  Prints
 *   sent=N seconds=S rate=R p50_ms=A p99_ms=B
 * where the latencies run from MAIL to the reply to the end of data.  It talks to loopback only, and stops by itself. */
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
#include <time.h>
#include <unistd.h>

enum stage { GREETING, EHLO, ENVELOPE, BODY, QUIT };

struct client {
    int fd;
    enum stage stage;
    int replies_due; /* final reply lines that are still to come */
    int on_connection;
    double began;
    char line[1024];
    size_t line_len;
    const char *out; /* what is left to write */
    size_t out_len;
};

struct plan {
    int port, sessions, messages, octets, per_connection, accounts;
    const char *domain;
};

enum { BODIES = 40, EXIT_AFTER_SECONDS = 300 };

static struct plan plan;
static char *bodies[BODIES];
static size_t body_len[BODIES];
static double *latencies;
static int started, finished, failed, epoll_fd;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Words of English and Japanese mail in even lines; the same octets in every run. */
static void make_body(int number)
{
    static const char *const words[] = { "invoice", "meeting", "tomorrow", "the", "of", "attached", "please", "regards", "office", "report", "\xe4\xbc\x9a\xe8\xad\xb0",
        "\xe8\xab\x8b\xe6\xb1\x82\xe6\x9b\xb8", "server", "delivery", "monthly", "and", "to", "copier", "scan", "page", "quarter", "budget", "draft", "review" };
    size_t room = (size_t)plan.octets + 2048;
    char *text = malloc(room);
    if (text == NULL)
        die("malloc");
    int len = snprintf(text, room,
        "From: Sender <sender@elsewhere.test>\r\nTo: somebody@%s\r\nSubject: load message %d\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        "Message-ID: <load-%d@elsewhere.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        plan.domain, number, number);
    uint64_t state = (uint64_t)number * 2654435761u + 1;
    size_t at = (size_t)len, column = 0;
    while (at + 16 < (size_t)plan.octets) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const char *word = words[(state >> 33) % (sizeof(words) / sizeof(*words))];
        size_t word_len = strlen(word);
        memcpy(text + at, word, word_len);
        at += word_len;
        column += word_len + 1;
        if (column > 68) {
            memcpy(text + at, "\r\n", 2);
            at += 2;
            column = 0;
        } else {
            text[at++] = ' ';
        }
    }
    memcpy(text + at, "\r\n.\r\n", 5);
    bodies[number] = text;
    body_len[number] = at + 5;
}

static void watch(struct client *c, bool writing)
{
    struct epoll_event event = { .events = EPOLLIN | (writing ? EPOLLOUT : 0u), .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void flush(struct client *c)
{
    while (c->out_len > 0) {
        ssize_t done = write(c->fd, c->out, c->out_len);
        if (done < 0 && errno == EAGAIN) {
            watch(c, true);
            return;
        }
        if (done < 0)
            die("write");
        c->out += done;
        c->out_len -= (size_t)done;
    }
}

static void put(struct client *c, const char *octets, size_t len)
{
    c->out = octets;
    c->out_len = len;
    flush(c);
}

static void connect_client(struct client *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)plan.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;
    *c = (struct client){ .fd = socket(AF_INET, SOCK_STREAM, 0), .stage = GREETING, .replies_due = 1 };
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void next_message(struct client *c)
{
    char text[512];
    if (started >= plan.messages || (plan.per_connection > 0 && c->on_connection >= plan.per_connection)) {
        c->stage = QUIT;
        c->replies_due = 1;
        put(c, "QUIT\r\n", 6);
        return;
    }
    int number = started++;
    c->on_connection++;
    c->began = now();
    c->stage = ENVELOPE;
    c->replies_due = 3;
    int len = snprintf(text, sizeof(text), "MAIL FROM:<sender@elsewhere.test>\r\nRCPT TO:<u%d@%s>\r\nDATA\r\n", number % plan.accounts, plan.domain);
    put(c, text, (size_t)len);
    if (c->out_len > 0) {
        fprintf(stderr, "load: a short write of an envelope\n");
        exit(1);
    }
}

/* All replies of a stage are in. */
static void advance(struct client *c)
{
    int number = started % BODIES;
    switch (c->stage) {
    case GREETING:
        c->stage = EHLO;
        c->replies_due = 1;
        put(c, "EHLO load.test\r\n", 16);
        return;
    case ENVELOPE:
        c->stage = BODY;
        c->replies_due = 1;
        put(c, bodies[number], body_len[number]);
        return;
    case BODY:
        latencies[finished++] = now() - c->began;
        next_message(c);
        return;
    case EHLO:
        next_message(c);
        return;
    case QUIT:
        close(c->fd);
        c->fd = -1;
        if (started < plan.messages)
            connect_client(c);
        return;
    }
}

static void take_line(struct client *c)
{
    if (c->line_len > 3 && c->line[3] == '-')
        return;
    if (c->line[0] != '2' && c->line[0] != '3') {
        if (failed++ < 5)
            fprintf(stderr, "load: %.*s\n", (int)c->line_len, c->line);
        exit(1);
    }
    if (--c->replies_due == 0)
        advance(c);
}

static void readable(struct client *c)
{
    char octets[65536];
    ssize_t len = read(c->fd, octets, sizeof(octets));
    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0)
        die("the server hung up");
    for (ssize_t i = 0; i < len && c->fd >= 0; i++) {
        if (octets[i] == '\n') {
            take_line(c);
            c->line_len = 0;
        } else if (c->line_len < sizeof(c->line)) {
            c->line[c->line_len++] = octets[i];
        }
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < 0 || value > 1000000000)
        die(text);
    return (int)value;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: load PORT SESSIONS MESSAGES OCTETS PER-CONNECTION ACCOUNTS DOMAIN\n");
        return 2;
    }
    plan = (struct plan){ number(argv[1]), number(argv[2]), number(argv[3]), number(argv[4]), number(argv[5]), number(argv[6]), argv[7] };
    latencies = malloc(sizeof(double) * (size_t)plan.messages);
    for (int i = 0; i < BODIES; i++)
        make_body(i);
    epoll_fd = epoll_create1(0);
    struct client *clients = calloc((size_t)plan.sessions, sizeof(*clients));
    double begin = now();
    for (int i = 0; i < plan.sessions; i++)
        connect_client(&clients[i]);
    while (finished < plan.messages && now() - begin < EXIT_AFTER_SECONDS) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll_fd, events, 64, 1000);
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                flush(c);
                if (c->out_len == 0)
                    watch(c, false);
            }
            if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP)))
                readable(c);
        }
    }
    double seconds = now() - begin;
    if (finished == 0)
        return 1;
    qsort(latencies, (size_t)finished, sizeof(double), compare);
    printf("sent=%d seconds=%.3f rate=%.1f p50_ms=%.2f p99_ms=%.2f\n", finished, seconds, finished / seconds, latencies[finished / 2] * 1e3,
        latencies[(size_t)finished * 99 / 100] * 1e3);
    return finished == plan.messages ? 0 : 1;
}

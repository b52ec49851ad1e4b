/* load.c - load MODE key=value ...
 *
 *   smtp        `count` messages of `octets` over `sessions` connections, `each` on one before it is opened anew (0:
 * all), to u0@domain .. in turn session     `count` times: connect, TLS (tls=yes|start|no), log in
 * (mechanism=PLAIN|SCRAM-SHA-256|none), STAT in POP3, in submission a message of `octets` (0: none), QUIT; with
 * resume=1 each connection but a slot's first tries to resume retr        one POP3 session: `count` RETR of
 * messages 1..`messages`, `in_flight` at once list        one POP3 session: `count` times `command` (UIDL, LIST) idle
 * `sessions` sessions after login, held until standard input ends; says "held=N" when they stand primitives  `count`
 * TLS handshakes in memory with `certificate` and `key`, and the single steps
 *
 * The first `skip` of all are not counted.  The last line is figures: sent=N seconds=S rate=R p50_ms=A p99_ms=B and
 * more.  It talks to loopback, and stops by itself. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { AT_ONCE = 64 }; /* logins under way while idle sessions are being opened */

struct plan plan = { .host = "127.0.0.1",
    .tls = "no",
    .protocol = "smtp",
    .mechanism = "PLAIN",
    .domain = "bench.test",
    .password = "x1234567",
    .name = "",
    .command = "UIDL",
    .certificate = "",
    .key = "",
    .helo = "load.test",
    .sessions = 1,
    .count = 1,
    .octets = 0,
    .accounts = 1,
    .in_flight = 1,
    .messages = 1,
    .sources = 1,
    .seed = 1,
    .patience = 300 };

static const struct {
    const char *key;
    const char **text;
    int *number;
} options[] = {
    /* clang-format off */
    { "host", &plan.host, NULL }, { "tls", &plan.tls, NULL }, { "protocol", &plan.protocol, NULL },
    { "mechanism", &plan.mechanism, NULL }, { "domain", &plan.domain, NULL }, { "password", &plan.password, NULL },
    { "name", &plan.name, NULL }, { "command", &plan.command, NULL }, { "certificate", &plan.certificate, NULL },
    { "key", &plan.key, NULL }, { "helo", &plan.helo, NULL }, { "port", NULL, &plan.port },
    { "sessions", NULL, &plan.sessions }, { "count", NULL, &plan.count }, { "octets", NULL, &plan.octets },
    { "each", NULL, &plan.each }, { "accounts", NULL, &plan.accounts }, { "in_flight", NULL, &plan.in_flight },
    { "messages", NULL, &plan.messages }, { "sources", NULL, &plan.sources }, { "seed", NULL, &plan.seed },
    { "resume", NULL, &plan.resume }, { "patience", NULL, &plan.patience }, { "first", NULL, &plan.first },
    { "skip", NULL, &plan.skip },
    /* clang-format on */
};

const struct mode *mode;
static double *latencies, begin;
static int begun, finished, skipped;
static size_t octets_read;

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

_Noreturn void fail(const char *what, const char *detail)
{
    fprintf(stderr, "load: %s: %s\n", what, detail);
    exit(1);
}

int take_number(void)
{
    return to_do() > 0 ? begun++ : -1;
}
void finished_octets(size_t octets)
{
    octets_read += octets;
}
void start_clock(void)
{
    begin = now();
}
bool all_finished(void)
{
    return finished == plan.count;
}
int to_do(void)
{
    return plan.skip + plan.count - begun;
}

void finished_one(double seconds)
{
    if (skipped == plan.skip)
        latencies[finished++] = seconds;
    else if (++skipped == plan.skip)
        start_clock();
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void read_option(const char *word)
{
    const char *equals = strchr(word, '=');
    for (size_t i = 0; equals && i < sizeof options / sizeof *options; i++) {
        if (strlen(options[i].key) != (size_t)(equals - word) ||
            strncmp(options[i].key, word, (size_t)(equals - word)) != 0)
            continue;
        char *end = NULL;
        long value = options[i].number ? strtol(equals + 1, &end, 10) : 0;
        if (options[i].text)
            *options[i].text = equals + 1;
        else if (equals[1] == 0 || *end != 0 || value < 0 || value > 1000000000)
            break;
        else
            *options[i].number = (int)value;
        return;
    }
    fail("no such option", word);
}

static void allow_descriptors(int wanted)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t need = (rlim_t)wanted + 64;
    if (limit.rlim_cur >= need)
        return;
    struct rlimit raised = { need, limit.rlim_max > need ? limit.rlim_max : need };
    if (setrlimit(RLIMIT_NOFILE, &raised) != 0)
        fail("RLIMIT_NOFILE", "this many sessions need a raised limit of open files (run as root)");
}

static void print_figures(double seconds)
{
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    qsort(latencies, (size_t)finished, sizeof *latencies, compare);
    printf("sent=%d seconds=%.4f rate=%.1f p50_ms=%.3f p99_ms=%.3f octets=%zu attempted=%d resumed=%d switches=%ld\n",
        finished, seconds, finished / seconds, finished ? latencies[finished / 2] * 1e3 : 0.0,
        finished ? latencies[(size_t)finished * 99 / 100] * 1e3 : 0.0, octets_read, attempted, resumed,
        own.ru_nvcsw + own.ru_nivcsw);
}

static int run(struct client *clients)
{
    int wanted = plan.sessions < to_do() ? plan.sessions : to_do();
    for (int i = 0; i < wanted; i++)
        client_open(&clients[i]);
    double last = now();
    while (!all_finished()) {
        if (wait_for_events(1000))
            last = now();
        else if (now() - last > plan.patience)
            fail("no reply", "the server says nothing any more");
    }
    print_figures(now() - begin);
    return 0;
}

/* Not all at once: a login costs a handshake, and who waits too long for his is sent away. */
static int hold(struct client *clients)
{
    int opened = 0;
    double last = now();
    while (held < plan.sessions) {
        while (opened < plan.sessions && opened - held < AT_ONCE)
            client_open(&clients[opened++]);
        if (wait_for_events(1000))
            last = now();
        else if (now() - last > plan.patience)
            fail("no reply", "the server says nothing any more");
    }
    printf("held=%d seconds=%.3f\n", held, now() - begin);
    fflush(stdout);
    char octet;
    ssize_t got = read(STDIN_FILENO, &octet, 1);
    while (got == 0 && wait_for_events(0)) /* a session that was ended meanwhile ends the program with its reason */
        ;
    printf("alive=%d\n", held);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct mode *const modes[] = { &mode_smtp, &mode_session, &mode_retr, &mode_list, &mode_idle };
    for (int i = 2; i < argc; i++)
        read_option(argv[i]);
    if (argc > 1 && strcmp(argv[1], "primitives") == 0)
        return primitives();
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i]->name, argv[1]) == 0)
            mode = modes[i];
    if (!mode || plan.port == 0)
        fail("usage", "load smtp|session|retr|list|idle|primitives port=N key=value ... (load.c tells)");
    allow_descriptors(plan.sessions);
    latencies = calloc((size_t)plan.count + 1, sizeof *latencies);
    struct client *clients = calloc((size_t)plan.sessions, sizeof *clients);
    if (!latencies || !clients)
        fail("memory", "none");
    client_prepare();
    mode->prepare();
    start_clock();
    return mode == &mode_idle ? hold(clients) : run(clients);
}

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "ctl_impl.h"
#include "demo_impl.h"

#define WORDS_MOST  40u
#define FIRST_PORTS 20000u
#define LAST_PORTS  60000u
#define PORTS_STEP  1000u
#define START_LIMIT SECONDS(30)
#define STOP_LIMIT  SECONDS(5)
#define READ_END    0
#define WRITE_END   1

void demo_say(const struct demo *demo, const char *english, const char *japanese)
{
    printf("%s\n", demo->japanese ? japanese : english);
    fflush(stdout);
}

bool demo_wrong(const struct demo *demo, const char *what)
{
    fflush(stdout);
    ctl_failed("demo: %s%s%s", what, demo->log[0] != '\0' ? "; the server's log: " : "", demo->log);
    return false;
}

/* ---- signals ----
 *
 * They stay blocked all the time and are looked at between two steps: so nothing is ever left behind. */

static sigset_t endings(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

bool demo_is_over(void)
{
    sigset_t pending, set = endings();
    sigpending(&pending);
    for (int signal = 1; signal < NSIG; signal++)
        if (sigismember(&set, signal) == 1 && sigismember(&pending, signal) == 1)
            return true;
    return false;
}

void demo_wait(const struct demo *demo)
{
    sigset_t set = endings();
    struct timespec second = { .tv_sec = 1 };
    int how;
    while (sigtimedwait(&set, NULL, &second) < 0) {
        if (demo->server > 0 && waitpid(demo->server, &how, WNOHANG | WNOWAIT) == demo->server) {
            demo_wrong(demo, "the server ended");
            return;
        }
    }
}

/* ---- children ---- */

/* The program itself, with --dir; never returns. */
_Noreturn static void become(const struct demo *demo, const char *const *words)
{
    const char *list[WORDS_MOST + 4] = { "ekirei" };
    sigset_t none;
    size_t count = 1;
    for (; *words; words++) {
        must(count < WORDS_MOST);
        list[count++] = *words;
    }
    list[count++] = "--dir";
    list[count++] = demo->dir;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execv("/proc/self/exe", (char *const *)(uintptr_t)list);
    _exit(127);
}

static bool read_all(int fd, struct buf *out)
{
    char page[4096];
    ssize_t got;
    while ((got = read(fd, page, sizeof page)) > 0)
        if (buf_put(out, (struct slice){ page, (size_t)got }) != STATUS_OK)
            return false;
    return got == 0;
}

bool demo_command(const struct demo *demo, const char *const *words, const char *input, struct buf *out)
{
    int in[2], answer[2], how = 0;
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(answer, O_CLOEXEC) != 0)
        return demo_wrong(demo, strerror(errno));
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return demo_wrong(demo, strerror(errno));
    if (child == 0) {
        dup2(in[READ_END], STDIN_FILENO);
        dup2(answer[WRITE_END], STDOUT_FILENO);
        become(demo, words);
    }
    /* Shorter than a pipe, so that this never waits. */
    bool wrote = !input || write(in[WRITE_END], input, strlen(input)) == (ssize_t)strlen(input);
    close(in[READ_END]);
    close(in[WRITE_END]);
    close(answer[WRITE_END]);
    bool read_it = read_all(answer[READ_END], out);
    close(answer[READ_END]);
    while (waitpid(child, &how, 0) < 0 && errno == EINTR)
        continue;
    if (wrote && read_it && WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return true;
    return demo_wrong(demo, "one of its own commands failed");
}

/* ---- the folder and the ports ---- */

static bool is_free(uint32_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
        sizeof on); /* as the server does: connections that are just over do no harm */
    bool bound = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return bound;
}

static bool choose_ports(struct demo *demo)
{
    static const uint32_t ports[] = { 25, 80, 110, 143, 443, 465, 587, 993, 995, 4190 };
    for (demo->offset = FIRST_PORTS; demo->offset <= LAST_PORTS; demo->offset += PORTS_STEP) {
        size_t at = 0;
        while (at < sizeof ports / sizeof ports[0] && is_free(demo->offset + ports[at]))
            at++;
        if (at == sizeof ports / sizeof ports[0])
            return true;
    }
    return demo_wrong(demo, "no free ports between 20000 and 65000");
}

bool demo_make(struct demo *demo)
{
    char offset[16];
    struct buf out = BUF(LIMIT_FRAME);
    const char *base = getenv("TMPDIR");
    sigset_t set = endings();
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a server that hangs up is a wrong answer, not our end */
    file_path(demo->folder, base && base[0] == '/' ? base : "/tmp", "ekirei-demo-XXXXXX");
    if (!mkdtemp(demo->folder)) {
        ctl_failed("no temporary folder can be made: %s: %s", demo->folder, strerror(errno));
        demo->folder[0] = '\0';
        return false;
    }
    file_path(demo->dir, demo->folder, "data");
    if (!choose_ports(demo))
        return false;
    snprintf(offset, sizeof offset, "%u", demo->offset);
    /* An empty list lets our own loopback have leases: nobody else can reach it. */
    const char *const words[] = { "init", "--domain", DEMO_DOMAIN, "--hostname", DEMO_HOST, "--port-offset", offset,
        "--set", "listen.address=127.0.0.1", "--set", "pop_before_smtp.never_networks=", "--json", NULL };
    bool made = demo_command(demo, words, NULL, &out);
    buf_done(&out);
    return made;
}

/* ---- the server ---- */

static bool wait_ready(struct demo *demo)
{
    msec until = clock_now() + START_LIMIT;
    struct buf said = BUF(4096);
    bool ready = false, open = true;
    while (!ready && open && clock_now() < until && !demo_is_over()) {
        struct pollfd wait = { .fd = demo->ready, .events = POLLIN };
        char page[256];
        if (poll(&wait, 1, 100) <= 0)
            continue;
        ssize_t got = read(demo->ready, page, sizeof page);
        open = got > 0 && buf_put(&said, (struct slice){ page, (size_t)got }) == STATUS_OK;
        ready = slice_has(buf_slice(&said), S("ready\n"));
    }
    buf_done(&said);
    return ready || demo_wrong(demo, "the server does not start");
}

bool demo_serve(struct demo *demo)
{
    static const char *const words[] = { "serve", NULL };
    int out[2];
    file_path(demo->log, demo->folder, "server.log");
    if (pipe2(out, O_CLOEXEC) != 0)
        return demo_wrong(demo, strerror(errno));
    fflush(stdout);
    pid_t parent = getpid();
    demo->server = fork();
    if (demo->server < 0)
        return demo_wrong(demo, strerror(errno));
    if (demo->server == 0) {
        int log = open(demo->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(out[WRITE_END], STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        setpgid(0, 0); /* Ctrl-C is for the demo, which ends the server itself */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (log < 0 || getppid() != parent)
            _exit(127);
        become(demo, words);
    }
    close(out[WRITE_END]);
    demo->ready = out[READ_END];
    return wait_ready(demo);
}

static void stop_server(struct demo *demo)
{
    msec until = clock_now() + STOP_LIMIT;
    struct timespec moment = { .tv_nsec = 20000000 };
    int how;
    if (demo->server <= 0)
        return;
    kill(demo->server, SIGTERM);
    while (waitpid(demo->server, &how, WNOHANG) == 0) {
        if (clock_now() > until) {
            kill(demo->server, SIGKILL);
            waitpid(demo->server, &how, 0);
            break;
        }
        nanosleep(&moment, NULL);
    }
    demo->server = 0;
}

void demo_unmake(struct demo *demo)
{
    stop_server(demo);
    if (demo->ready >= 0)
        close(demo->ready);
    SSL_CTX_free(demo->tls);
    if (demo->folder[0] != '\0')
        file_remove_all(demo->folder);
}

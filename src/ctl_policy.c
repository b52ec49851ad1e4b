/* ctl_policy.c - `ekirei policy` and `ekirei report`: beside other people's servers. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
#include "base/scoped.h"
#include "base/secret.h"
#include "config.h"
#include "ctl_file.h"
#include "ctl_impl.h"
#include "mail/coding.h"
#include "policy/endpoint.h"
#include "policy/policy.h"
#include "proto/policy/report.h"

#define KEY_NAME  "keys/report.key"
#define KEY_TEXT  (2 * REPORT_KEY + 2) /* hex digits and a line end */
#define LINE_MOST 256u                 /* octets of the server's lines */

/* ---- the key ---- */

/* In hex, so that other people's scripts can read it.  `others`: bits of its mode that must not be set. */
static int read_key(const char *path, mode_t others, struct secret *out_key)
{
    struct buf text = BUF(KEY_TEXT), key = BUF(REPORT_KEY);
    struct stat about;
    int code = CTL_DONE;
    enum status status = file_read(path, &text);
    struct slice digits = buf_slice(&text);
    while (digits.len > 0 && (digits.ptr[digits.len - 1] == '\n' || digits.ptr[digits.len - 1] == '\r'))
        digits.len--;
    if (status == STATUS_NOT_FOUND)
        code = ctl_failed("there is no %s; 'ekirei policy --make-key' makes one", path);
    else if (status == STATUS_IO || stat(path, &about) != 0)
        code = ctl_failed("%s cannot be read: %s", path, strerror(errno));
    else if (about.st_mode & others)
        code = ctl_failed("%s can be read or written by others: whoever has it can open leases; chmod it to 600", path);
    else if (status != STATUS_OK || digits.len != 2 * REPORT_KEY || hex_decode(&key, digits) != STATUS_OK ||
             secret_set(out_key, buf_slice(&key)) != STATUS_OK)
        code = ctl_failed("%s is no such key: %u hex digits in one line", path, 2 * REPORT_KEY);
    buf_wipe(&text);
    buf_wipe(&key);
    buf_done(&text);
    buf_done(&key);
    return code;
}

static int make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return CTL_DONE;
    return ctl_failed("%s cannot be made: %s", path, strerror(errno));
}

static int make_key(struct ctl *ctl)
{
    char folder[FILE_PATH], path[FILE_PATH], key[REPORT_KEY];
    struct buf text = BUF(KEY_TEXT);
    file_path(folder, ctl->dir, "keys");
    file_path(path, ctl->dir, KEY_NAME);
    int code = make_folder(ctl->dir);
    if (code == CTL_DONE)
        code = make_folder(folder);
    random_fill(key, sizeof key);
    enum status status = hex_encode(&text, (struct slice){ key, sizeof key });
    if (status == STATUS_OK)
        status = buf_put_byte(&text, '\n');
    must(status == STATUS_OK);
    if (code == CTL_DONE)
        status = file_make(path, buf_slice(&text), 0600);
    if (code == CTL_DONE && status == STATUS_EXISTS)
        code = ctl_failed("%s is there already; nothing was changed", path);
    else if (code == CTL_DONE && status != STATUS_OK)
        code = ctl_failed("%s cannot be written: %s", path, strerror(errno));
    wipe(key, sizeof key);
    buf_wipe(&text);
    buf_done(&text);
    if (code != CTL_DONE)
        return code;
    return ctl_print_line(ctl, json_pack("{s:s}", "key", path),
        "made %s: give a copy to those who report logins, and to nobody else", path);
}

/* ---- ekirei policy ---- */

/* Without a settings file all is as it is by default: beside other servers nothing else is to be set up. */
static int read_settings(struct ctl *ctl, struct settings **out_settings)
{
    static const struct {
        enum ctl_option option;
        const char *setting;
    } given[] = { { OPTION_LISTEN, "policy.listen" }, { OPTION_REPORTS, "policy.reports" } };
    char path[FILE_PATH];
    struct buf why = BUF(LIMIT_LOG_LINE);
    int code = CTL_DONE;
    file_path(path, ctl->dir, "ekirei.conf");
    if (access(path, F_OK) == 0 || errno != ENOENT)
        code = ctl_settings(ctl, out_settings);
    else
        *out_settings = config_default();
    for (size_t i = 0; i < sizeof given / sizeof given[0] && code == CTL_DONE; i++) {
        const char *value = ctl->values[given[i].option];
        if (value && config_set(*out_settings, slice_of(given[i].setting), slice_of(value), &why) != STATUS_OK)
            code = ctl_usage("%.*s", (int)why.len, why.ptr);
    }
    buf_done(&why);
    return code;
}

static int read_senders(const struct ctl *ctl, struct slice name, struct buf *out)
{
    char path[FILE_PATH];
    struct buf whole = BUF(FILE_PATH);
    if (name.len == 0)
        return CTL_DONE;
    enum status status = name.ptr[0] == '/' ? STATUS_OK : buf_print(&whole, "%s/", ctl->dir);
    if (status == STATUS_OK)
        status = buf_put(&whole, name);
    if (status == STATUS_OK)
        status = buf_put_byte(&whole, '\0');
    if (status == STATUS_OK) {
        memcpy(path, whole.ptr, whole.len);
        status = file_read(path, out);
    }
    buf_done(&whole);
    if (status == STATUS_OK)
        return CTL_DONE;
    return ctl_usage("policy.senders: %.*s cannot be read: %s", (int)name.len, name.ptr,
        status == STATUS_IO ? strerror(errno) : status == STATUS_NOT_FOUND ? "there is no such file" : status_name(status));
}

int cmd_policy(struct ctl *ctl)
{
    static struct secret key;
    struct settings *settings = NULL;
    struct buf senders = BUF(LIMIT_POLICY_SENDERS_FILE);
    char path[FILE_PATH];
    if (ctl->values[OPTION_MAKE_KEY])
        return make_key(ctl);
    if (ctl->json)
        return ctl_usage("'policy' has no --json: it prints 'ready', and its log goes to stderr");
    file_path(path, ctl->dir, KEY_NAME);
    int code = read_settings(ctl, &settings);
    if (code == CTL_DONE)
        code = read_key(path, 077, &key);
    if (code == CTL_DONE)
        code = read_senders(ctl, settings->policy_senders, &senders);
    if (code != CTL_DONE)
        return code;
    struct policy_plan plan = { .settings = settings, .key = secret_slice(&key), .senders = buf_slice(&senders) };
    /* It ends at once: in its jail the exit handlers of libraries could only be in the way. */
    _exit(policy_run(&plan));
}

/* ---- ekirei report ---- */

struct call {
    int fd;
    msec until;
    struct buf held; /* of a line */
};

static bool wait_for(const struct call *call, short events)
{
    struct pollfd wanted = { .fd = call->fd, .events = events };
    msec now = clock_now();
    int ready;
    do
        ready = now < call->until ? poll(&wanted, 1, (int)(call->until - now)) : 0;
    while (ready < 0 && errno == EINTR && (now = clock_now()) < call->until);
    return ready > 0;
}

static bool call_open(struct call *call, const struct endpoint *endpoint)
{
    int failed = 0;
    socklen_t size = sizeof failed;
    call->fd = socket(endpoint->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (call->fd < 0)
        return false;
    if (connect(call->fd, &endpoint->any, endpoint->size) == 0)
        return true;
    if (errno != EINPROGRESS || !wait_for(call, POLLOUT))
        return false;
    return getsockopt(call->fd, SOL_SOCKET, SO_ERROR, &failed, &size) == 0 && failed == 0;
}

static bool call_say(struct call *call, struct slice text)
{
    while (text.len > 0) {
        ssize_t sent = send(call->fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0)
            text = slice_from(text, (size_t)sent);
        else if ((errno != EAGAIN && errno != EINTR) || !wait_for(call, POLLOUT))
            return false;
    }
    return true;
}

/* The server says nothing that it was not asked: one line at a time. */
static bool call_hear(struct call *call, struct slice *out_line)
{
    char octet = 0;
    buf_clear(&call->held);
    while (wait_for(call, POLLIN)) {
        ssize_t got = recv(call->fd, &octet, 1, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0 || (octet != '\n' && buf_put_byte(&call->held, octet) != STATUS_OK))
            return false;
        if (octet == '\n') {
            *out_line = buf_slice(&call->held);
            return true;
        }
    }
    return false;
}

/* NULL: it was taken; else why there is no lease. */
static const char *call_talk(
    struct call *call, const struct endpoint *endpoint, struct slice key, const struct report *report)
{
    static char refusal[LINE_MOST];
    struct slice line, nonce;
    struct buf text = BUF(LIMIT_REPORT_OCTETS + 1);
    if (!call_open(call, endpoint))
        return "nobody answers there";
    if (!call_hear(call, &line) || report_greeting(line, &nonce) != STATUS_OK)
        return "it does not greet as 'ekirei policy' does";
    bool said = report_put(&text, key, nonce, report) == STATUS_OK && call_say(call, buf_slice(&text));
    buf_done(&text);
    if (!said || !call_hear(call, &line))
        return "it did not answer in time";
    if (slice_starts(line, S("OK")))
        return NULL;
    snprintf(refusal, sizeof refusal, "%.*s", (int)line.len, line.ptr);
    return refusal;
}

static int read_report(const struct ctl *ctl, struct report *out_report)
{
    const char *protocol = ctl->arguments[2] ? ctl->arguments[2] : "pop3", *local = ctl->values[OPTION_LOCAL];
    struct report report = { .kind = ctl->values[OPTION_FAILED] ? REPORT_FAIL : REPORT_LOGIN, .sequence = 1 };
    report.name = slice_of(ctl->arguments[0]);
    report.imap = strcmp(protocol, "imap") == 0;
    report.has_local = local && *local;
    if (!report.imap && strcmp(protocol, "pop3") != 0)
        return ctl_usage("'%s' is neither pop3 nor imap", protocol);
    if (ip_parse(slice_of(ctl->arguments[1]), &report.peer) != STATUS_OK)
        return ctl_usage("'%s' is no address", ctl->arguments[1]);
    if (report.has_local && ip_parse(slice_of(local), &report.local) != STATUS_OK)
        return ctl_usage("--local: '%s' is no address", local);
    if (report.name.len == 0 || report.name.len > LIMIT_LOGIN_NAME)
        return ctl_usage("a login name has 1 to %u octets", LIMIT_LOGIN_NAME);
    *out_report = report;
    return CTL_DONE;
}

/* The user's login goes on whatever becomes of this: no lease is the worst that may happen, and the log says so. */
int cmd_report(struct ctl *ctl)
{
    const char *to = ctl->values[OPTION_TO] ? ctl->values[OPTION_TO] : "127.0.0.1:10041";
    struct call call = { .fd = -1, .until = clock_now() + LIMIT_REPORT_CALL, .held = BUF(LINE_MOST) };
    struct report report;
    struct endpoint endpoint;
    struct secret key;
    if (endpoint_read(slice_of(to), &endpoint) != STATUS_OK)
        return ctl_usage("--to: '%s' is no address to connect to: write 127.0.0.1:10041, [::1]:10041 or unix:/path", to);
    int code = read_report(ctl, &report);
    if (code == CTL_DONE)
        code = read_key(ctl->values[OPTION_KEY], 007, &key);
    if (code != CTL_DONE)
        return code;
    const char *why = call_talk(&call, &endpoint, secret_slice(&key), &report);
    if (why)
        ctl_warn("%s at %s: no lease from %s: %s", ctl->arguments[0], ctl->arguments[1], to, why);
    if (call.fd >= 0)
        close(call.fd);
    buf_done(&call.held);
    secret_wipe(&key);
    return CTL_DONE;
}

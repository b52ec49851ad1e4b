#include "net/https.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/must.h"
#include "base/scoped.h"
#include "base/secret.h"

#define MOST_TRUST   (4u << 20)      /* octets of the system's certificates: some 250 KB are usual */
#define MOST_HEADERS 65536u          /* octets of a reply's header fields */
#define MOST_RESOLVE (LIMIT_DOMAIN + 16u + DNS_ADDRESSES * (IP_TEXT + 2u))
#define CONNECTIONS  8L              /* kept open for the next errand */

struct https {
    struct loop *loop;
    struct dns *dns;
    CURLM *multi;
    uv_timer_t timer;
    struct buf system, own; /* PEM; own empty: the system's */
};

/* One descriptor of curl's. */
struct watch {
    struct https *https;
    uv_poll_t poll;
    curl_socket_t fd;
};

struct visit {
    struct https *https;
    CURL *easy;
    CURLU *url;
    struct curl_slist *addresses;
    struct loop_flush later; /* a failure that is known at once must not be told before https_ask() returned */
    void (*done)(void *context, const struct https_reply *reply);
    void *context;
    struct buf body, form;
    size_t headers;          /* octets */
    bool literal;            /* the host is an address */
    char error[CURL_ERROR_SIZE];
    const char *why;
};

/* ---- the end ------------------------------------------------------------------------------------------------------- */

static void tell(struct visit *visit, const struct https_reply *reply)
{
    visit->done(visit->context, reply);
    if (visit->easy)
        curl_easy_cleanup(visit->easy);
    curl_slist_free_all(visit->addresses);
    curl_url_cleanup(visit->url);
    buf_wipe(&visit->form);
    buf_wipe(&visit->body);
    buf_done(&visit->form);
    buf_done(&visit->body);
    release(visit);
}

static void tell_failure(struct loop_flush *later)
{
    struct visit *visit = list_element(later, struct visit, later);
    tell(visit, &(struct https_reply){ .why = visit->why });
}

static void fail(struct visit *visit, const char *why)
{
    visit->why = why;
    visit->later.run = tell_failure;
    loop_flush_later(visit->https->loop, &visit->later);
}

static void finish(struct https *https, const CURLMsg *message)
{
    struct visit *visit = NULL;
    long code = 0;
    CURLcode result = message->data.result;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&visit);
    curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &code);
    curl_multi_remove_handle(https->multi, visit->easy);
    struct https_reply reply = { .code = (uint32_t)code, .body = buf_slice(&visit->body) };
    if (result != CURLE_OK)
        reply = (struct https_reply){ .why = visit->error[0] ? visit->error : curl_easy_strerror(result) };
    tell(visit, &reply);
}

static void finish_all(struct https *https)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(https->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            finish(https, message);
}

/* ---- curl on the loop ---------------------------------------------------------------------------------------------- */

static void act(struct https *https, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(https->multi, fd, events, &running);
    finish_all(https);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    act(watch->https, watch->fd, what);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long wait, void *context)
{
    struct https *https = context;
    (void)multi;
    if (wait < 0)
        uv_timer_stop(&https->timer);
    else
        uv_timer_start(&https->timer, on_timer, (uint64_t)wait, 0);
    return 0;
}

static void on_watch_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *of_socket)
{
    struct https *https = context;
    struct watch *watch = of_socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            (void)curl_multi_assign(https->multi, fd, NULL);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        }
        return 0;
    }
    if (!watch) {
        watch = alloc(sizeof *watch);
        *watch = (struct watch){ .https = https, .fd = fd };
        must(uv_poll_init(&https->loop->uv, &watch->poll, fd) == 0);
        watch->poll.data = watch;
        (void)curl_multi_assign(https->multi, fd, watch);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    must(uv_poll_start(&watch->poll, events, on_ready) == 0);
    return 0;
}

/* ---- one visit ----------------------------------------------------------------------------------------------------- */

static size_t take_body(char *octets, size_t size, size_t count, void *context)
{
    struct visit *visit = context;
    struct slice part = { octets, size * count };
    /* Anything but the whole makes curl give up. */
    return buf_put(&visit->body, part) == STATUS_OK ? part.len : 0;
}

static size_t take_header(char *octets, size_t size, size_t count, void *context)
{
    struct visit *visit = context;
    (void)octets;
    visit->headers += size * count;
    return visit->headers <= MOST_HEADERS ? size * count : 0;
}

#define SET(option, value) must(curl_easy_setopt(visit->easy, (option), (value)) == CURLE_OK)

static void set_trust(struct visit *visit)
{
    const struct https *https = visit->https;
    const struct buf *pem = https->own.len > 0 ? &https->own : &https->system;
    struct curl_blob blob = { .data = pem->ptr, .len = pem->len, .flags = CURL_BLOB_COPY };
    SET(CURLOPT_CAINFO, NULL);
    SET(CURLOPT_CAPATH, NULL); /* there are no files in the jail */
    SET(CURLOPT_CAINFO_BLOB, &blob);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void set_walls(struct visit *visit)
{
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PROXY, ""); /* also against those that the environment names */
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)LIMIT_ERRAND_WAIT);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)LIMIT_ERRAND);
    SET(CURLOPT_USERAGENT, "ekirei");
}

static enum status set_text(struct visit *visit, CURLoption option, struct slice text)
{
    char copy[LIMIT_SECRET + 1];
    if (text.len > LIMIT_SECRET || memchr(text.ptr, 0, text.len))
        return STATUS_MALFORMED;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    SET(option, copy); /* it copies */
    wipe(copy, sizeof copy);
    return STATUS_OK;
}

static enum status set_up(struct visit *visit, const struct https_wish *wish)
{
    SET(CURLOPT_PRIVATE, visit);
    SET(CURLOPT_ERRORBUFFER, visit->error);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, visit);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, visit);
    SET(CURLOPT_CURLU, visit->url);
    set_walls(visit);
    set_trust(visit);
    if (wish->post) {
        TRY(buf_put(&visit->form, wish->form));
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)visit->form.len);
        SET(CURLOPT_POSTFIELDS, visit->form.ptr ? visit->form.ptr : ""); /* it does not copy */
    }
    if (wish->user.len == 0)
        return STATUS_OK;
    SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    TRY(set_text(visit, CURLOPT_USERNAME, wish->user));
    return set_text(visit, CURLOPT_PASSWORD, wish->password);
}

/* "+host:port:address,address": curl asks nobody then.  It is forgotten again after a minute, as any answer. */
static void set_addresses(struct visit *visit, const struct dns_answer *answer)
{
    char *host = NULL, *port = NULL, text[MOST_RESOLVE + 1];
    struct buf line = BUF(MOST_RESOLVE);
    must(curl_url_get(visit->url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
         curl_url_get(visit->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
    enum status status = buf_print(&line, "+%s:%s:", host, port);
    for (size_t i = 0; i < answer->count && status == STATUS_OK; i++) {
        char address[IP_TEXT];
        ip_text(answer->addresses[i], address);
        status = buf_print(&line, ip_is_v4(answer->addresses[i]) ? "%s%s" : "%s[%s]", i > 0 ? "," : "", address);
    }
    must(status == STATUS_OK); /* the name was measured */
    snprintf(text, sizeof text, "%.*s", (int)line.len, line.ptr);
    visit->addresses = curl_slist_append(NULL, text);
    must(visit->addresses);
    SET(CURLOPT_RESOLVE, visit->addresses);
    buf_done(&line);
    curl_free(host);
    curl_free(port);
}

static void on_addresses(void *context, const struct dns_answer *answer)
{
    struct visit *visit = context;
    if (answer->status != STATUS_OK) {
        fail(visit, answer->status == STATUS_NOT_FOUND ? "the server's name has no address" : "the server's name could not be looked up");
        return;
    }
    if (!visit->literal)
        set_addresses(visit, answer);
    must(curl_multi_add_handle(visit->https->multi, visit->easy) == CURLM_OK);
}

/* Its host, without brackets.  NULL: no URL that we go to. */
static const char *read_url(struct visit *visit, struct slice url, char out_host[LIMIT_DOMAIN + 1])
{
    char text[LIMIT_URL + 1], *part = NULL;
    if (url.len > LIMIT_URL || memchr(url.ptr, 0, url.len))
        return "the URL is too long, or no text";
    memcpy(text, url.ptr, url.len);
    text[url.len] = 0;
    if (curl_url_set(visit->url, CURLUPART_URL, text, 0) != CURLUE_OK)
        return "this is no URL";
    CURLUcode found = curl_url_get(visit->url, CURLUPART_SCHEME, &part, 0);
    bool secure = found == CURLUE_OK && strcmp(part, "https") == 0;
    curl_free(part);
    if (!secure)
        return "the URL is not https";
    part = NULL;
    found = curl_url_get(visit->url, CURLUPART_USER, &part, 0);
    curl_free(part);
    if (found != CURLUE_NO_USER)
        return "the URL holds a name or password";
    part = NULL;
    if (curl_url_get(visit->url, CURLUPART_HOST, &part, 0) != CURLUE_OK || strlen(part) > LIMIT_DOMAIN) {
        curl_free(part);
        return "the URL has no host";
    }
    size_t len = strlen(part), brackets = part[0] == '[';
    memcpy(out_host, part + brackets, len - 2 * brackets);
    out_host[len - 2 * brackets] = 0;
    curl_free(part);
    return NULL;
}

void https_ask(struct https *https, const struct https_wish *wish, void (*done)(void *, const struct https_reply *), void *context)
{
    struct visit *visit = alloc(sizeof *visit);
    char host[LIMIT_DOMAIN + 1];
    *visit = (struct visit){ .https = https, .done = done, .context = context, .body = BUF(LIMIT_ERRAND), .form = BUF(LIMIT_ERRAND) };
    list_init(&visit->later.node);
    visit->easy = curl_easy_init();
    visit->url = curl_url();
    must(visit->easy && visit->url);
    const char *wrong = read_url(visit, wish->url, host);
    if (!wrong && set_up(visit, wish) != STATUS_OK)
        wrong = "the form or the password is too long";
    if (wrong)
        fail(visit, wrong);
    else
        visit->literal = ip_parse(slice_of(host), &(struct ip){ 0 }) == STATUS_OK;
    if (!wrong)
        dns_find(https->dns, slice_of(host), on_addresses, visit);
}

/* ---- whole --------------------------------------------------------------------------------------------------------- */

/* What this machine trusts; nothing of it, nobody. */
static void read_system(struct https *https)
{
    const char *path = curl_version_info(CURLVERSION_NOW)->cainfo;
    if (!path)
        path = "/etc/ssl/certs/ca-certificates.crt";
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char *room;
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && buf_reserve(&https->system, 65536, &room) == STATUS_OK) {
        got = read(fd, room, 65536);
        buf_grown(&https->system, got > 0 ? (size_t)got : 0);
    }
    if (got != 0)
        LOG(LOG_WARNING, "https.trust", LOG_WORD("path", path), LOG_WORD("why", fd < 0 ? "cannot be opened" : "cannot be read whole"));
}

struct https *https_open(struct loop *loop, struct dns *dns)
{
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    struct https *https = alloc(sizeof *https);
    *https = (struct https){ .loop = loop, .dns = dns, .system = BUF(MOST_TRUST), .own = BUF(LIMIT_PEM) };
    read_system(https);
    https->multi = curl_multi_init();
    must(https->multi);
    must(curl_multi_setopt(https->multi, CURLMOPT_SOCKETFUNCTION, set_socket) == CURLM_OK);
    must(curl_multi_setopt(https->multi, CURLMOPT_SOCKETDATA, https) == CURLM_OK);
    must(curl_multi_setopt(https->multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK);
    must(curl_multi_setopt(https->multi, CURLMOPT_TIMERDATA, https) == CURLM_OK);
    must(curl_multi_setopt(https->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS) == CURLM_OK);
    must(uv_timer_init(&loop->uv, &https->timer) == 0);
    https->timer.data = https;
    return https;
}

void https_trust(struct https *https, struct slice certificates)
{
    buf_clear(&https->own);
    if (buf_put(&https->own, certificates) != STATUS_OK)
        LOG(LOG_ERROR, "https.trust", LOG_STATUS(STATUS_TOO_BIG)); /* then the system's; LIMIT_PEM bounds the boot message, too */
}

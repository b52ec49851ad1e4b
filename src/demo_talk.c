#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/must.h"
#include "base/secret.h"
#include "ctl_impl.h"
#include "demo_impl.h"

#define PATIENCE 20 /* seconds for one answer */
#define LINE     2048u

bool talk_secure(struct talk *talk)
{
    talk->tls = SSL_new(talk->demo->tls);
    if (!talk->tls)
        return demo_wrong(talk->demo, "OpenSSL has no memory");
    /* The certificate is for this name: a mail program would insist, and so do we. */
    bool set = SSL_set1_host(talk->tls, DEMO_HOST) == 1 && SSL_set_tlsext_host_name(talk->tls, DEMO_HOST) == 1 &&
               SSL_set_fd(talk->tls, talk->fd) == 1;
    talk->len = 0;
    if (!set || SSL_connect(talk->tls) != 1) {
        ERR_print_errors_fp(stderr);
        return demo_wrong(talk->demo, "no TLS connection");
    }
    printf("       [%s]\n", talk_protection(talk));
    return true;
}

bool talk_open(struct talk *talk, const struct demo *demo, enum demo_port port, bool tls)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(demo->offset + (uint32_t)port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = PATIENCE };
    *talk = (struct talk){ .demo = demo, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    if (talk->fd < 0 || setsockopt(talk->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(talk->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        connect(talk->fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return demo_wrong(demo, "nobody answers at the port");
    printf("       [127.0.0.1:%u]\n", demo->offset + (uint32_t)port);
    return !tls || talk_secure(talk);
}

void talk_close(struct talk *talk)
{
    if (talk->tls)
        SSL_shutdown(talk->tls);
    SSL_free(talk->tls);
    if (talk->fd >= 0)
        close(talk->fd);
    talk->tls = NULL;
    talk->fd = -1;
}

const char *talk_protection(const struct talk *talk)
{
    static char text[128];
    if (!talk->tls)
        return "no encryption";
    snprintf(text, sizeof text, "%s %s", SSL_get_version(talk->tls), SSL_get_cipher_name(talk->tls));
    return text;
}

/* ---- out ---- */

bool talk_send_raw(struct talk *talk, struct slice octets)
{
    while (octets.len > 0) {
        ssize_t sent = talk->tls ? SSL_write(talk->tls, octets.ptr, (int)octets.len)
                                 : send(talk->fd, octets.ptr, octets.len, MSG_NOSIGNAL);
        if (sent <= 0)
            return demo_wrong(talk->demo, "the server does not read");
        octets = slice_from(octets, (size_t)sent);
    }
    return true;
}

bool talk_send(struct talk *talk, const char *format, ...)
{
    char line[LINE];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line - 2, format, args);
    va_end(args);
    must(len >= 0 && (size_t)len < sizeof line - 2);
    printf("    C: %s\n", line);
    memcpy(line + len, "\r\n", 2); /* NOLINT(bugprone-not-null-terminated-result): it goes out with its length */
    return talk_send_raw(talk, (struct slice){ line, (size_t)len + 2 });
}

bool talk_send_secret(struct talk *talk, const char *command, const char *secret)
{
    char line[LINE];
    printf("    C: %s ********\n", command);
    int len = snprintf(line, sizeof line, "%s %s\r\n", command, secret);
    must(len > 0 && (size_t)len < sizeof line);
    bool sent = talk_send_raw(talk, (struct slice){ line, (size_t)len });
    wipe(line, sizeof line);
    return sent;
}

/* ---- in ---- */

static bool read_line(struct talk *talk, struct slice *out_line, size_t *out_used)
{
    for (;;) {
        char *end = memmem(talk->in, talk->len, "\r\n", 2);
        if (end) {
            *out_line = (struct slice){ talk->in, (size_t)(end - talk->in) };
            *out_used = out_line->len + 2;
            return true;
        }
        size_t room = sizeof talk->in - talk->len;
        ssize_t got = room == 0   ? 0
                      : talk->tls ? SSL_read(talk->tls, talk->in + talk->len, (int)room)
                                  : recv(talk->fd, talk->in + talk->len, room, 0);
        if (got <= 0)
            return demo_wrong(talk->demo, "the server does not answer");
        talk->len += (size_t)got;
    }
}

static void drop_line(struct talk *talk, size_t used)
{
    memmove(talk->in, talk->in + used, talk->len - used);
    talk->len -= used;
}

static void show(struct slice line)
{
    printf("    S: ");
    ctl_show_text(line.ptr, line.len);
    printf("\n");
}

/* Of the ten extensions only two matter here; once is enough for the others. */
static bool is_dull(const struct talk *talk, struct slice line)
{
    static const char *const dull[] = { "PIPELINING", "ENHANCEDSTATUSCODES", "LIMITS", "CHUNKING", "HELP", "SIZE",
        "8BITMIME", "BINARYMIME", "SMTPUTF8", "DSN" };
    struct slice word = slice_from(line, 4);
    if (talk->whole || !slice_starts(line, S("250")))
        return false;
    for (size_t at = 0; at < sizeof dull / sizeof dull[0]; at++)
        if (slice_starts(word, slice_of(dull[at])))
            return true;
    return false;
}

bool talk_expect(struct talk *talk, const char *code, const char *has)
{
    bool found = !has, last = false, left_out = false;
    while (!last) {
        struct slice line = NO_SLICE;
        size_t used = 0;
        if (!read_line(talk, &line, &used))
            return false;
        bool dull = is_dull(talk, line);
        if (!dull)
            show(line);
        else if (!left_out)
            printf("    S: 250-...\n");
        left_out = left_out || dull;
        /* "250-" goes on, "250 " ends (RFC 5321 4.2.1); a POP3 line begins with a sign and stands alone. */
        bool digits = line.len >= 4 && line.ptr[0] >= '2' && line.ptr[0] <= '5';
        last = !digits || line.ptr[3] != '-';
        found = found || slice_has(line, slice_of(has));
        snprintf(talk->reply, sizeof talk->reply, "%.*s", (int)line.len, line.ptr);
        drop_line(talk, used);
    }
    fflush(stdout);
    if (strncmp(talk->reply, code, strlen(code)) != 0) {
        printf("    ! %s...\n", code);
        return demo_wrong(talk->demo, "the server should have said something else");
    }
    if (found)
        return true;
    printf("    ! ...%s...\n", has);
    return demo_wrong(talk->demo, "the server's answer lacks something");
}

bool talk_listing(struct talk *talk, struct buf *out, bool shown)
{
    for (;;) {
        struct slice line = NO_SLICE;
        size_t used = 0;
        if (!read_line(talk, &line, &used))
            return false;
        if (shown)
            show(line);
        bool end = slice_equal(line, S("."));
        if (line.len > 1 && line.ptr[0] == '.')
            line = slice_from(line, 1); /* RFC 1939 3: byte-stuffing */
        if (!end && (buf_put(out, line) != STATUS_OK || buf_put_byte(out, '\n') != STATUS_OK))
            return demo_wrong(talk->demo, "the listing is too long");
        drop_line(talk, used);
        if (end)
            return true;
    }
}

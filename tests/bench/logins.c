/* logins.c - the load generator of logins: connect, perhaps TLS, log in, QUIT, and again; figures on one line.
 *
 *   logins PORT smtp|pop3 tls|clear PLAIN|SCRAM-SHA-256 SESSIONS LOGINS ACCOUNTS DOMAIN PASSWORD
 *
 * LOGINS times over SESSIONS threads, as u0@DOMAIN .. u(ACCOUNTS-1)@DOMAIN in turn, at 127.0.0.1:PORT.  TLS begins with the first octet and is
 * never resumed.  What SCRAM derives from a password is made before the clock runs and kept, as clients keep it.  Prints
 *   logins=N seconds=S rate=R p50_ms=A p99_ms=B
 * where the latencies run from connect() to the reply to QUIT.  Whatever is refused ends it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 1024, HASH = 32, NONCE = 24, PATIENCE = 60 };

static struct {
    int port, sessions, logins, accounts;
    bool pop3, scram;
    const char *domain, *password;
    SSL_CTX *tls; /* NULL: in clear */
} plan;

static double *latencies;
static atomic_int next_login;

struct client {
    int fd;
    SSL *ssl;
    char held[LINE];
    size_t held_len;
    char line[LINE]; /* the last reply, without CRLF */
};

/* What SCRAM needs of an account's password: made before the clock runs, and only read after that. */
static struct kept {
    bool ready;
    uint8_t client_key[HASH], stored_key[HASH];
} *kept;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void fail(const char *what, const char *detail)
{
    fprintf(stderr, "logins: %s: %s\n", what, detail);
    exit(1);
}

static int number_of(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < 1 || value > 1000000)
        fail("no such number", text);
    return (int)value;
}

/* ---- a connection -------------------------------------------------------------------------------------------------- */

static void open_client(struct client *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)plan.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = PATIENCE };
    int one = 1;
    *c = (struct client){ .fd = socket(AF_INET, SOCK_STREAM, 0) };
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect", "refused");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!plan.tls)
        return;
    c->ssl = SSL_new(plan.tls);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
        fail("TLS", "no handshake");
}

static void close_client(struct client *c)
{
    SSL_free(c->ssl);
    close(c->fd);
}

static void put(struct client *c, const char *text)
{
    char wire[LINE + 2];
    int len = snprintf(wire, sizeof wire, "%s\r\n", text);
    ssize_t sent = c->ssl ? SSL_write(c->ssl, wire, len) : write(c->fd, wire, (size_t)len);
    if (sent != len)
        fail("write", text);
}

static void get_line(struct client *c)
{
    char *end;
    while (!(end = memchr(c->held, '\n', c->held_len))) {
        size_t room = sizeof c->held - c->held_len;
        ssize_t got = room == 0 ? 0
                      : c->ssl  ? SSL_read(c->ssl, c->held + c->held_len, (int)room)
                                : read(c->fd, c->held + c->held_len, room);
        if (got <= 0)
            fail("the server hung up after", c->line);
        c->held_len += (size_t)got;
    }
    size_t len = (size_t)(end - c->held), whole = len + 1;
    if (len > 0 && c->held[len - 1] == '\r')
        len--;
    memcpy(c->line, c->held, len);
    c->line[len] = 0;
    memmove(c->held, c->held + whole, c->held_len - whole);
    c->held_len -= whole;
}

/* The last line of a reply, which must begin so in the protocol at hand. */
static void expect(struct client *c, const char *smtp, const char *pop3)
{
    const char *wanted = plan.pop3 ? pop3 : smtp;
    do
        get_line(c);
    while (!plan.pop3 && c->line[0] != 0 && c->line[3] == '-');
    if (strncmp(c->line, wanted, strlen(wanted)) != 0)
        fail("refused", c->line);
}

/* ---- mechanisms ---------------------------------------------------------------------------------------------------- */

static void encode(char *out, const void *octets, size_t len)
{
    EVP_EncodeBlock((unsigned char *)out, octets, (int)len);
}

/* What stands in base64 behind "334 " or "+ ", as text. */
static void decode_challenge(const struct client *c, char out[LINE])
{
    const char *base64 = strchr(c->line, ' ') + 1;
    size_t len = strlen(base64);
    int got = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)base64, (int)len);
    if (got < 0)
        fail("base64", base64);
    while (len > 0 && base64[len - 1] == '=') {
        got--;
        len--;
    }
    out[got] = 0;
}

static void log_in_plain(struct client *c, const char *name)
{
    char message[LINE / 2], text[LINE] = "AUTH PLAIN ";
    int len = snprintf(message, sizeof message, "%c%s%c%s", 0, name, 0, plan.password);
    encode(text + strlen(text), message, (size_t)len);
    put(c, text);
    expect(c, "235", "+OK");
}

static void hmac(const uint8_t key[HASH], const char *text, size_t len, uint8_t out[HASH])
{
    if (!HMAC(EVP_sha256(), key, HASH, (const unsigned char *)text, len, out, NULL))
        fail("HMAC", "no memory");
}

/* RFC 5802 section 3 */
static void derive(struct kept *keys, const char *server_first)
{
    const char *salt = strstr(server_first, ",s="), *rounds = strstr(server_first, ",i=");
    uint8_t raw[LINE], salted[HASH];
    if (!salt || !rounds || rounds - salt - 3 > 64)
        fail("SCRAM", server_first);
    int base64_len = (int)(rounds - salt - 3), len = EVP_DecodeBlock(raw, (const uint8_t *)salt + 3, base64_len);
    for (const char *at = rounds; at[-1] == '='; at--)
        len--;
    if (PKCS5_PBKDF2_HMAC(plan.password, -1, raw, len, number_of(rounds + 3), EVP_sha256(), HASH, salted) != 1)
        fail("SCRAM", "no key");
    hmac(salted, "Client Key", 10, keys->client_key);
    EVP_Digest(keys->client_key, HASH, keys->stored_key, NULL, EVP_sha256(), NULL);
    keys->ready = true;
}

static void log_in_scram(struct client *c, const char *name, struct kept *keys)
{
    uint8_t random[NONCE / 4 * 3], proof[HASH];
    char nonce[NONCE + 1], first[LINE / 4], server[LINE], last[LINE / 2], message[LINE * 2], text[LINE];
    RAND_bytes(random, sizeof random);
    encode(nonce, random, sizeof random);
    snprintf(first, sizeof first, "n,,n=%s,r=%s", name, nonce);
    snprintf(text, sizeof text, "AUTH SCRAM-SHA-256 ");
    encode(text + strlen(text), first, strlen(first));
    put(c, text);
    expect(c, "334", "+ ");
    decode_challenge(c, server);
    if (!keys->ready)
        derive(keys, server);
    int len = snprintf(last, sizeof last, "c=biws,%.*s", (int)strcspn(server, ","), server);
    int whole = snprintf(message, sizeof message, "%s,%s,%s", first + 3, server, last);
    hmac(keys->stored_key, message, (size_t)whole, proof);
    for (int i = 0; i < HASH; i++)
        proof[i] ^= keys->client_key[i];
    memcpy(last + len, ",p=", 3);
    encode(last + len + 3, proof, HASH);
    encode(text, last, strlen(last));
    put(c, text);
    expect(c, "334", "+ ");
    put(c, "");
    expect(c, "235", "+OK");
}

/* ---- the run ------------------------------------------------------------------------------------------------------- */

static void log_in(int number)
{
    struct client c;
    char name[LINE / 8];
    double began = now();
    snprintf(name, sizeof name, "u%d@%s", number % plan.accounts, plan.domain);
    open_client(&c);
    expect(&c, "220", "+OK");
    if (!plan.pop3) {
        put(&c, "EHLO load.test");
        expect(&c, "250", "");
    }
    if (plan.scram)
        log_in_scram(&c, name, &kept[number % plan.accounts]);
    else
        log_in_plain(&c, name);
    put(&c, "QUIT");
    expect(&c, "221", "+OK");
    close_client(&c);
    latencies[number] = now() - began;
}

static void *run(void *none)
{
    int number;
    while ((number = atomic_fetch_add(&next_login, 1)) < plan.logins)
        log_in(number);
    return none;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static SSL_CTX *open_tls(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx)
        fail("TLS", "no memory");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

int main(int argc, char **argv)
{
    if (argc != 10) {
        fprintf(stderr, "usage: logins PORT smtp|pop3 tls|clear PLAIN|SCRAM-SHA-256 SESSIONS LOGINS ACCOUNTS DOMAIN PASSWORD\n");
        return 2;
    }
    plan.port = number_of(argv[1]);
    plan.pop3 = strcmp(argv[2], "pop3") == 0;
    plan.tls = strcmp(argv[3], "tls") == 0 ? open_tls() : NULL;
    plan.scram = strcmp(argv[4], "PLAIN") != 0;
    plan.sessions = number_of(argv[5]);
    plan.logins = number_of(argv[6]);
    plan.accounts = number_of(argv[7]);
    plan.domain = argv[8];
    plan.password = argv[9];
    latencies = calloc((size_t)plan.logins, sizeof *latencies);
    kept = calloc((size_t)plan.accounts, sizeof *kept);
    pthread_t *threads = calloc((size_t)plan.sessions, sizeof *threads);
    if (!latencies || !kept || !threads)
        fail("memory", "none");
    for (int i = 0; plan.scram && i < plan.accounts && i < plan.logins; i++)
        log_in(i);
    double began = now();
    for (int i = 0; i < plan.sessions; i++)
        if (pthread_create(&threads[i], NULL, run, NULL) != 0)
            fail("thread", "none");
    for (int i = 0; i < plan.sessions; i++)
        pthread_join(threads[i], NULL);
    double seconds = now() - began;
    qsort(latencies, (size_t)plan.logins, sizeof *latencies, compare);
    printf("logins=%d seconds=%.3f rate=%.1f p50_ms=%.2f p99_ms=%.2f\n", plan.logins, seconds, plan.logins / seconds,
        latencies[plan.logins / 2] * 1e3, latencies[(size_t)plan.logins * 99 / 100] * 1e3);
    return 0;
}

#include "net/tls_impl.h"

#include <limits.h>
#include <openssl/err.h>
#include <string.h>

#include "base/alloc.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/must.h"
#include "net/tls_bind.h"

#define RECORD      16384u /* plain octets in one record (RFC 8446 5.1) */
#define RECORD_ADDS 64u    /* octets that a record adds at most: header, nonce, padding, tag */

struct tls {
    struct tls_context *context;
    SSL *ssl;
    struct slice in;  /* what is left of the octets being fed */
    struct buf *wire; /* where records go during a call */
    const char *problem;
    struct tls_binding exporter; /* once somebody has wanted it */
    bool ready, ended, broken;
};

/* ---- the BIO: octets come from tls->in and go to tls->wire ------------------------------------------------------- */

static int bio_read(BIO *bio, char *room, size_t size, size_t *out_read)
{
    struct tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->in.len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    size_t len = size < tls->in.len ? size : tls->in.len;
    memcpy(room, tls->in.ptr, len);
    tls->in = slice_from(tls->in, len);
    *out_read = len;
    return 1;
}

static int bio_write(BIO *bio, const char *octets, size_t len, size_t *out_written)
{
    struct tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!tls->wire || buf_put(tls->wire, (struct slice){ octets, len }) != STATUS_OK)
        return 0;
    *out_written = len;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* everything else is not known here */
}

static BIO *bio_open(struct tls *tls)
{
    static BIO_METHOD *method; /* for the life of the process */
    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tls");
        must(method && BIO_meth_set_read_ex(method, bio_read) && BIO_meth_set_write_ex(method, bio_write) &&
             BIO_meth_set_ctrl(method, bio_control));
    }
    BIO *bio = BIO_new(method);
    must(bio);
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    return bio;
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

struct tls *tls_open(struct tls_context *context)
{
    struct tls *tls = alloc(sizeof *tls);
    tls->context = tls_context_hold(context);
    tls->problem = "";
    tls->ssl = SSL_new(context->of_pair[0]);
    must(tls->ssl);
    BIO *bio = bio_open(tls);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

struct tls *tls_open_client(struct tls_context *context, struct slice server_name)
{
    struct tls *tls = tls_open(context);
    char name[LIMIT_DOMAIN + 1];
    struct ip literal;
    SSL_set_connect_state(tls->ssl);
    /* RFC 6066 3: no address literals. */
    if (server_name.len > 0 && server_name.len < sizeof name && ip_parse(server_name, &literal) != STATUS_OK) {
        memcpy(name, server_name.ptr, server_name.len);
        name[server_name.len] = '\0';
        SSL_set_tlsext_host_name(tls->ssl, name);
    }
    return tls;
}

/* After a call of OpenSSL that did not succeed. */
static enum status judge(struct tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        must(tls->in.len == 0);
        return STATUS_OK;
    case SSL_ERROR_ZERO_RETURN:
        tls->ended = true;
        return STATUS_OK;
    default:
        tls->broken = true;
        tls->problem = tls_last_reason();
        return STATUS_MALFORMED;
    }
}

static enum status read_all(struct tls *tls, struct buf *plain)
{
    for (;;) {
        char *room;
        size_t free_room = plain->max - plain->len, got, size = free_room < RECORD ? free_room : RECORD;
        if (size == 0 || buf_reserve(plain, size, &room) != STATUS_OK) {
            tls->broken = true;
            tls->problem = "no room for what was received";
            return STATUS_MALFORMED;
        }
        int result = SSL_read_ex(tls->ssl, room, size, &got);
        if (result != 1)
            return judge(tls, result);
        buf_grown(plain, got);
    }
}

enum status tls_feed(struct tls *tls, struct slice cipher, struct buf *plain, struct buf *wire)
{
    if (tls->broken)
        return STATUS_MALFORMED;
    if (tls->ended)
        return STATUS_OK; /* RFC 8446 6.1: what follows close_notify is ignored */
    enum status status = STATUS_OK;
    tls->in = cipher;
    tls->wire = wire;
    ERR_clear_error();
    if (!tls->ready) {
        int result = SSL_do_handshake(tls->ssl);
        tls->ready = result == 1;
        if (result != 1)
            status = judge(tls, result);
    }
    if (tls->ready && status == STATUS_OK)
        status = read_all(tls, plain);
    tls->in = NO_SLICE;
    tls->wire = NULL;
    return status;
}

enum status tls_write(struct tls *tls, struct slice plain, struct buf *wire)
{
    must(tls->ready);
    size_t written;
    if (tls->broken)
        return STATUS_MALFORMED;
    if (plain.len == 0)
        return STATUS_OK;
    /* A record that is cut would break the session: all or nothing. */
    if (wire->max - wire->len < plain.len + (plain.len / RECORD + 2) * RECORD_ADDS)
        return STATUS_TOO_BIG;
    tls->wire = wire;
    ERR_clear_error();
    int result = SSL_write_ex(tls->ssl, plain.ptr, plain.len, &written);
    tls->wire = NULL;
    if (result == 1)
        return STATUS_OK;
    tls->broken = true;
    tls->problem = tls_last_reason();
    return STATUS_MALFORMED;
}

void tls_shutdown(struct tls *tls, struct buf *wire)
{
    if (!tls->ready || tls->broken)
        return;
    tls->wire = wire;
    ERR_clear_error();
    SSL_shutdown(tls->ssl); /* an alert that finds no room is no loss: the connection ends anyway */
    ERR_clear_error();
    tls->wire = NULL;
}

bool tls_is_ready(const struct tls *tls) { return tls->ready; }
bool tls_is_ended(const struct tls *tls) { return tls->ended; }

struct tls_view tls_view(const struct tls *tls)
{
    const unsigned char *alpn;
    unsigned int alpn_len;
    SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_len);
    return (struct tls_view){
        .version = slice_of(SSL_get_version(tls->ssl)),
        .cipher = slice_of(SSL_get_cipher_name(tls->ssl)),
        .sni = slice_of(SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name)),
        .alpn = { (const char *)alpn, alpn_len },
        .resumed = SSL_session_reused(tls->ssl) == 1,
    };
}

/* Where a session is resumed no certificate is sent: the client remembers the one that it saw under the name which the session bears. */
static const struct tls_binding *end_point_shown(const struct tls *tls)
{
    const struct tls_context *context = tls->context;
    SSL_CTX *ctx = SSL_get_SSL_CTX(tls->ssl);
    if (SSL_session_reused(tls->ssl)) {
        const char *name = SSL_SESSION_get0_hostname(SSL_get_session(tls->ssl));
        ctx = name ? tls_find_pair(context, name) : NULL;
    }
    size_t at = context->pair_count - 1;
    while (at > 0 && context->of_pair[at] != ctx)
        at--; /* who asked for no name of ours saw the first */
    return &context->end_points[at];
}

struct tls_bindings tls_bindings(const struct tls *tls)
{
    must(tls->ready && SSL_is_server(tls->ssl));
    return tls_bind(tls->ssl, end_point_shown(tls));
}

struct slice tls_exporter(struct tls *tls)
{
    must(tls->ready);
    if (tls->exporter.len == 0)
        tls_bind_exporter(tls->ssl, &tls->exporter);
    return (struct slice){ tls->exporter.octets, tls->exporter.len };
}

const char *tls_problem(const struct tls *tls)
{
    return tls->problem;
}

void tls_close(struct tls *tls)
{
    SSL_free(tls->ssl);
    tls_context_release(tls->context);
    release(tls);
}

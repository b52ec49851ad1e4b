#include "net/tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/alloc.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/must.h"
#include "net/tls_bind.h"
#include "net/tls_key.h"

#define RECORD      16384u /* plain octets in one record (RFC 8446 5.1) */
#define RECORD_ADDS 64u    /* octets that a record adds at most: header, nonce, padding, tag */
/* Forward secrecy first; plain RSA stays for port 25, where the other choice would be no encryption at all.  No DHE:
 * its cost falls on the server. */
/* RFC 8446 9.1.  The one of 128 bits first: what agrees on its key (X25519) and proves who it is has no more, and SHA-256 costs a third less than SHA-384 where CPUs know it;
 * a handshake makes some forty of them. */
#define CIPHERS_OF_TLS13     "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_BEFORE_TLS13 "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AESGCM:RSA+AES:!aNULL:!PSK:!SRP:!DSS:!aDH"

struct tls_context {
    uint32_t holders;
    SSL_CTX **of_pair; /* one a pair; the first is the default, and the client's only one */
    size_t pair_count;
    struct tls_binding *end_points; /* one a pair */
    struct map names; /* of certificates, lower case -> SSL_CTX: fixed once open (C063) */
    struct buf alpn;
};

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

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

static const char *last_reason(void)
{
    unsigned long error = ERR_peek_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    ERR_clear_error();
    return reason ? reason : "no reason given";
}

static enum status complain(struct buf *why, size_t pair, const char *what)
{
    /* A text that does not fit is cut at its caller's limit: what failed is said by the status already. */
    if (buf_print(why, "certificate %zu: %s", pair + 1, what) != STATUS_OK)
        buf_clear(why);
    ERR_clear_error();
    return STATUS_MALFORMED;
}

/* The name as the table has it: lower case, without one trailing dot (C064).  Empty where it cannot be a name. */
static struct slice fold_name(struct slice name, char room[LIMIT_DOMAIN])
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len > LIMIT_DOMAIN || slice_find(name, '\0') < name.len)
        return NO_SLICE;
    for (size_t i = 0; i < name.len; i++)
        room[i] = octet_lower(name.ptr[i]);
    return (struct slice){ room, name.len };
}

static SSL_CTX *find_pair(const struct tls_context *context, const char *asked)
{
    char room[LIMIT_DOMAIN], wild[LIMIT_DOMAIN + 1];
    struct slice name = fold_name(slice_of(asked), room);
    SSL_CTX *found = name.len > 0 ? map_find(&context->names, name) : NULL;
    size_t dot = slice_find(name, '.');
    /* RFC 6125 6.4.3: the star stands for the whole first label and no more. */
    if (!found && dot > 0 && dot < name.len) {
        struct slice rest = slice_from(name, dot);
        wild[0] = '*';
        memcpy(wild + 1, rest.ptr, rest.len);
        found = map_find(&context->names, (struct slice){ wild, rest.len + 1 });
    }
    return found;
}

static int on_server_name(SSL *ssl, int *alert, void *argument)
{
    const struct tls_context *context = argument;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *found = asked ? find_pair(context, asked) : NULL;
    (void)alert;
    if (!found)
        return SSL_TLSEXT_ERR_NOACK; /* RFC 6066 3: go on with the default certificate */
    SSL_set_SSL_CTX(ssl, found);
    return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
    unsigned int len, void *argument)
{
    const struct tls_context *context = argument;
    unsigned char *chosen;
    (void)ssl;
    if (len == 0 || SSL_select_next_proto(&chosen, out_len, (const unsigned char *)context->alpn.ptr,
                        (unsigned int)context->alpn.len, offered, len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2: no_application_protocol; keeps browsers out (C062) */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* All names of the certificate's subjectAltName.  The subject's common name is not read (RFC 9525 2). */
static void learn_names(struct tls_context *context, X509 *certificate, SSL_CTX *ctx)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char room[LIMIT_DOMAIN];
        if (name->type != GEN_DNS)
            continue;
        struct slice text = { (const char *)ASN1_STRING_get0_data(name->d.dNSName),
            (size_t)ASN1_STRING_length(name->d.dNSName) };
        struct slice folded = fold_name(text, room);
        if (folded.len > 0 && !map_find(&context->names, folded)) /* the first pair that has a name keeps it */
            map_put(&context->names, folded, ctx);
    }
    GENERAL_NAMES_free(names);
}

static enum status load_chain(SSL_CTX *ctx, struct slice pem, size_t pair, X509 **out_first, struct buf *why)
{
    if (pem.len == 0 || pem.len > INT_MAX)
        return complain(why, pair, "is empty");
    BIO *text = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    must(text);
    X509 *first = PEM_read_bio_X509_AUX(text, NULL, NULL, NULL), *next;
    long taken = first ? SSL_CTX_use_certificate(ctx, first) : 0;
    while (taken == 1 && (next = PEM_read_bio_X509(text, NULL, NULL, NULL)))
        if ((taken = SSL_CTX_add0_chain_cert(ctx, next)) != 1)
            X509_free(next);
    BIO_free(text);
    /* Where a chain ends, OpenSSL leaves "no start line"; anything else is a broken certificate. */
    unsigned long error = ERR_peek_last_error();
    bool ended = error == 0 || ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    if (taken != 1 || !ended) {
        X509_free(first);
        return complain(why, pair,
            first && taken != 1 ? last_reason() : "the file holds no whole chain of certificates in PEM form");
    }
    ERR_clear_error();
    *out_first = first;
    return STATUS_OK;
}

static enum status load_pair(
    struct tls_context *context, SSL_CTX *ctx, const struct tls_pair *pair, size_t number, struct buf *why)
{
    X509 *certificate;
    EVP_PKEY *key;
    TRY(load_chain(ctx, pair->certificate, number, &certificate, why));
    /* That the key belongs to the certificate was seen to by whoever has it (signer_check(), C070). */
    enum status status = tls_key_open(certificate, &key);
    if (status != STATUS_OK) {
        X509_free(certificate);
        return complain(why, number, "its key is of no kind that works here: RSA, EC, Ed25519 and Ed448 do");
    }
    if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
        status = complain(why, number, last_reason());
    else
        learn_names(context, certificate, ctx);
    EVP_PKEY_free(key);
    X509_free(certificate);
    return status;
}

/* The one place where contexts are made: one chosen by SNI must behave as the default does. */
static SSL_CTX *make_context(struct tls_context *context, const struct tls_plan *plan)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    must(ctx && plan->ticket_key.len == TLS_TICKET_KEY);
    unsigned char keys[TLS_TICKET_KEY];
    memcpy(keys, plan->ticket_key.ptr, sizeof keys);
    if (plan->min_version < TLS1_2_VERSION)
        SSL_CTX_set_security_level(ctx, 0); /* they sign with MD5 and SHA-1 (RFC 2246 7.4.3) */
    must(SSL_CTX_set_min_proto_version(ctx, (int)plan->min_version) == 1);
    must(SSL_CTX_set_cipher_list(ctx, CIPHERS_BEFORE_TLS13) == 1 && SSL_CTX_set_ciphersuites(ctx, CIPHERS_OF_TLS13) == 1);
    SSL_CTX_set_options(ctx,
        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* Nothing is kept, but TLS 1.2 still gets a session id: Outlook fails without one (D16). */
    SSL_CTX_set_session_cache_mode(
        ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR);
    tls_bind_tickets(ctx, plan);
    if (plan->asks_for_key)
        tls_ask_for_key(ctx);
    must(SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof keys) == 1);
    SSL_CTX_set_num_tickets(ctx, 1); /* mail programs come back one at a time */
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, context);
    if (context->alpn.len > 0)
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, context);
    OPENSSL_cleanse(keys, sizeof keys);
    return ctx;
}

/* Whoever needs old versions names no server and knows no elliptic curves: an RSA pair, where there is one, is its default. */
static void prefer_rsa(struct tls_context *context)
{
    size_t at = 0;
    while (at < context->pair_count && !EVP_PKEY_is_a(SSL_CTX_get0_privatekey(context->of_pair[at]), "RSA"))
        at++;
    SSL_CTX *first = context->of_pair[0];
    if (at < context->pair_count) {
        context->of_pair[0] = context->of_pair[at];
        context->of_pair[at] = first;
    }
}

enum status tls_context_open(const struct tls_plan *plan, struct tls_context **out_context, struct buf *why)
{
    must(plan->pair_count > 0);
    struct tls_context *context = alloc(sizeof *context);
    context->holders = 1;
    context->alpn = BUF(256);
    context->of_pair = alloc(plan->pair_count * sizeof(SSL_CTX *));
    context->end_points = alloc(plan->pair_count * sizeof *context->end_points);
    context->pair_count = plan->pair_count;
    enum status status = buf_put(&context->alpn, plan->alpn);
    for (size_t i = 0; status == STATUS_OK && i < plan->pair_count; i++) {
        context->of_pair[i] = make_context(context, plan);
        status = load_pair(context, context->of_pair[i], &plan->pairs[i], i, why);
    }
    if (status == STATUS_OK && plan->min_version < TLS1_2_VERSION)
        prefer_rsa(context);
    for (size_t i = 0; status == STATUS_OK && i < plan->pair_count; i++)
        tls_bind_end_point(SSL_CTX_get0_certificate(context->of_pair[i]), &context->end_points[i]);
    ERR_clear_error();
    if (status == STATUS_OK)
        *out_context = context;
    else
        tls_context_release(context);
    return status;
}

enum status tls_context_open_client(struct tls_context **out_context)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(ctx);
        ERR_clear_error();
        return STATUS_IO;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    struct tls_context *context = alloc(sizeof *context);
    *context = (struct tls_context){ .holders = 1, .of_pair = alloc(sizeof(SSL_CTX *)), .pair_count = 1 };
    context->of_pair[0] = ctx;
    *out_context = context;
    return STATUS_OK;
}

struct tls_context *tls_context_hold(struct tls_context *context)
{
    must(context->holders > 0);
    context->holders++;
    return context;
}

void tls_context_release(struct tls_context *context)
{
    must(context->holders > 0);
    if (--context->holders > 0)
        return;
    for (size_t i = 0; i < context->pair_count; i++)
        SSL_CTX_free(context->of_pair[i]);
    release(context->of_pair);
    release(context->end_points);
    map_done(&context->names);
    buf_done(&context->alpn);
    release(context);
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
        tls->problem = last_reason();
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
    tls->problem = last_reason();
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
        ctx = name ? find_pair(context, name) : NULL;
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

/* tls_context.c - how every context of the house is made, and found by the server's name. */
#include "net/tls_impl.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/must.h"
#include "net/tls_bind.h"
#include "net/tls_key.h"

/* Forward secrecy first; plain RSA stays for port 25, where the other choice would be no encryption at all.  No DHE:
 * its cost falls on the server.
 * RFC 8446 9.1: the one of 128 bits first: what agrees on its key (X25519) and proves who it is has no more, and SHA-256 costs a third less than SHA-384 where CPUs know it;
 * a handshake makes some forty of them. */
#define CIPHERS_OF_TLS13     "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_BEFORE_TLS13 "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AESGCM:RSA+AES:!aNULL:!PSK:!SRP:!DSS:!aDH"
const char *tls_last_reason(void)
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

SSL_CTX *tls_find_pair(const struct tls_context *context, const char *asked)
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
    SSL_CTX *found = asked ? tls_find_pair(context, asked) : NULL;
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
            first && taken != 1 ? tls_last_reason() : "the file holds no whole chain of certificates in PEM form");
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
        status = complain(why, number, tls_last_reason());
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

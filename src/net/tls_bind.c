#include "net/tls_bind.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/limits.h"
#include "base/must.h"

#define EXPORTER_LABEL  "EXPORTER-Channel-Binding"
#define EXPORTER_OCTETS 32u

_Static_assert(TLS_BINDING_OCTETS >= EVP_MAX_MD_SIZE, "any hash fits");

/* RFC 7627 1, RFC 9266 4.2: without the extended master secret a man in the middle can make two connections with the same secrets. */
static bool is_bound(const SSL *ssl)
{
    return SSL_version(ssl) == TLS1_2_VERSION && SSL_get_extms_support((SSL *)(uintptr_t)ssl) == 1;
}

static bool has_exporter(const SSL *ssl) { return SSL_version(ssl) >= TLS1_3_VERSION || is_bound(ssl); }

/* The context is there and empty (RFC 9266 2): under TLS 1.2 that gives other octets than no context (RFC 5705 4). */
void tls_bind_exporter(SSL *ssl, struct tls_binding *out)
{
    static const unsigned char nothing[1];
    if (has_exporter(ssl) && SSL_export_keying_material(ssl, (unsigned char *)out->octets, EXPORTER_OCTETS, EXPORTER_LABEL, sizeof EXPORTER_LABEL - 1,
            nothing, 0, 1) == 1)
        out->len = EXPORTER_OCTETS;
    ERR_clear_error();
}

/* RFC 5929 3.1: the first Finished message of the handshake: the client's in a full one, the server's in a resumed one.  We are the server. */
static void bind_unique(SSL *ssl, struct tls_binding *out)
{
    size_t len = SSL_session_reused(ssl) ? SSL_get_finished(ssl, out->octets, sizeof out->octets)
                                         : SSL_get_peer_finished(ssl, out->octets, sizeof out->octets);
    if (len > 0 && len <= sizeof out->octets)
        out->len = (uint8_t)len;
}

/* RFC 5929 4.1: the hash of the certificate's own signature, but never MD5 or SHA-1; where that has no single hash, as Ed25519, there is no
 * binding. */
void tls_bind_end_point(const X509 *certificate, struct tls_binding *out)
{
    int hash = NID_undef;
    unsigned int len;
    if (!certificate || X509_get_signature_info((X509 *)(uintptr_t)certificate, &hash, NULL, NULL, NULL) != 1 || hash == NID_undef)
        return;
    if (hash == NID_md5 || hash == NID_sha1)
        hash = NID_sha256;
    const EVP_MD *digest = EVP_get_digestbynid(hash);
    if (digest && X509_digest(certificate, digest, (unsigned char *)out->octets, &len) == 1)
        out->len = (uint8_t)len;
}

/* SHA-256 of the whole SubjectPublicKeyInfo (RFC 5280 4.1): the algorithm belongs to the key.  A session that is resumed brings the certificate of
 * the handshake in which the key was proved. */
static void find_peer_key(const SSL *ssl, struct tls_binding *out)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    unsigned char *info = NULL;
    unsigned int len;
    int size = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &info) : 0;
    if (size > 0 && EVP_Digest(info, (size_t)size, (unsigned char *)out->octets, &len, EVP_sha256(), NULL) == 1)
        out->len = (uint8_t)len;
    OPENSSL_free(info);
}

struct tls_bindings tls_bind(SSL *ssl, const struct tls_binding *end_point)
{
    int version = SSL_version(ssl);
    struct tls_bindings bindings = { .has_exporter = has_exporter(ssl), .outdated = version < TLS1_2_VERSION };
    if (is_bound(ssl)) /* under TLS 1.3 there is none (RFC 8446 C.5) */
        bind_unique(ssl, &bindings.unique);
    if (version >= TLS1_2_VERSION)
        bindings.end_point = *end_point;
    find_peer_key(ssl, &bindings.peer_key);
    ERR_clear_error();
    return bindings;
}

/* ---- contexts ------------------------------------------------------------------------------------------------------ */

/* A client's certificate is the envelope of a key: who may use the key is asked at the login (RFC 4422 A), so nobody's signature, name or date
 * on it is looked at.  That the client holds the key OpenSSL has checked. */
static int on_certificate(X509_STORE_CTX *chain, void *argument)
{
    (void)argument;
    bool fine = sk_X509_num(X509_STORE_CTX_get0_untrusted(chain)) <= (int)LIMIT_PEER_CERTIFICATES;
    X509_STORE_CTX_set_error(chain, fine ? X509_V_OK : X509_V_ERR_CERT_CHAIN_TOO_LONG);
    return fine;
}

void tls_ask_for_key(SSL_CTX *ctx)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL); /* who has none goes on without; the list of authorities is empty */
    SSL_CTX_set_cert_verify_callback(ctx, on_certificate, NULL);
    SSL_CTX_set_max_cert_list(ctx, LIMIT_PEER_CHAIN);
}

/* C066: a ticket is good where all of this is the same.  It brings the client's key along, and what it says of our certificate (RFC 5929 4) must
 * still be so. */
void tls_bind_tickets(SSL_CTX *ctx, const struct tls_plan *plan)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    must(hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
    must(EVP_DigestUpdate(hash, plan->ticket_scope.ptr, plan->ticket_scope.len) == 1);
    must(EVP_DigestUpdate(hash, plan->asks_for_key ? "\0key" : "\0-", plan->asks_for_key ? 4 : 2) == 1);
    for (size_t i = 0; i < plan->pair_count; i++)
        must(EVP_DigestUpdate(hash, plan->pairs[i].certificate.ptr, plan->pairs[i].certificate.len) == 1);
    must(EVP_DigestFinal_ex(hash, digest, &len) == 1 && len <= SSL_MAX_SID_CTX_LENGTH);
    must(SSL_CTX_set_session_id_context(ctx, digest, len) == 1);
    EVP_MD_CTX_free(hash);
}

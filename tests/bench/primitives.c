/* primitives.c - what TLS costs at least: full handshakes between two ends in memory, of which only the server's CPU is
 * counted, and its single steps. Same library, same certificate and key, same settings as ekirei's: TLS 1.3, X25519,
 * AES-128 and SHA-256, one ticket. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "load.h"

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static SSL_CTX *server_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, plan.certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, plan.key, SSL_FILETYPE_PEM) != 1)
        fail("certificate and key", plan.certificate);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 1);
    if (SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1)
        fail("cipher suite", "TLS_AES_128_GCM_SHA256");
    return ctx;
}

/* Seconds of the server's CPU for one handshake, its ticket included. */
static double handshake(SSL_CTX *server_ctx, SSL_CTX *client_ctx)
{
    double spent = -cpu();
    SSL *server = SSL_new(server_ctx);
    BIO *server_end, *client_end;
    BIO_new_bio_pair(&server_end, 0, &client_end, 0);
    SSL_set_bio(server, server_end, server_end);
    SSL_set_accept_state(server);
    spent += cpu();
    SSL *client = SSL_new(client_ctx);
    SSL_set_bio(client, client_end, client_end);
    SSL_set_connect_state(client);
    for (int flight = 0; !SSL_is_init_finished(server) || !SSL_is_init_finished(client); flight++) {
        SSL_do_handshake(client);
        spent -= cpu();
        SSL_do_handshake(server);
        spent += cpu();
        if (flight > 10)
            fail("a handshake in memory", "does not end");
    }
    spent -= cpu();
    SSL_free(server);
    spent += cpu();
    SSL_free(client);
    return spent;
}

static EVP_PKEY *read_key(void)
{
    FILE *file = fopen(plan.key, "r");
    EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    if (!key)
        fail("key", plan.key);
    fclose(file);
    return key;
}

static double sign_seconds(EVP_PKEY *key)
{
    unsigned char text[130] = { 0 },
                  signature[1024]; /* 130: what a server signs in TLS 1.3 with SHA-256 (RFC 8446 4.4.3) */
    double spent = -cpu();
    for (int i = 0; i < plan.count; i++) {
        size_t len = sizeof signature;
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        if (EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) != 1 ||
            EVP_DigestSign(md, signature, &len, text, sizeof text) != 1)
            fail("sign", "no");
        EVP_MD_CTX_free(md);
    }
    return (spent + cpu()) / plan.count;
}

static double agree_seconds(const char *group)
{
    EVP_PKEY *peer = strcmp(group, "P-256") == 0 ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, group);
    double spent = -cpu();
    for (int i = 0; i < plan.count; i++) {
        unsigned char secret[64];
        size_t len = sizeof secret;
        EVP_PKEY *own = strcmp(group, "P-256") == 0 ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, group);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
        if (EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, peer) != 1 ||
            EVP_PKEY_derive(ctx, secret, &len) != 1)
            fail("derive", group);
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_free(own);
    }
    EVP_PKEY_free(peer);
    return (spent + cpu()) / plan.count;
}

int primitives(void)
{
    SSL_CTX *server = server_context(), *client = SSL_CTX_new(TLS_client_method());
    EVP_PKEY *key = read_key();
    double seconds = 0;
    SSL_CTX_set_verify(client, SSL_VERIFY_NONE, NULL);
    for (int i = 0; i < 50; i++)
        handshake(server, client);
    for (int i = 0; i < plan.count; i++)
        seconds += handshake(server, client);
    printf("handshake_us=%.1f sign_us=%.1f x25519_us=%.1f p256_us=%.1f\n", seconds / plan.count * 1e6,
        sign_seconds(key) * 1e6, agree_seconds("X25519") * 1e6, agree_seconds("P-256") * 1e6);
    EVP_PKEY_free(key);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return 0;
}

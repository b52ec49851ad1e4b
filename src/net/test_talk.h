/* test_talk.h - a client of plain OpenSSL that talks to a struct tls of ours, for tests. */
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/test_pair.h"

struct talk {
    struct tls *server;
    SSL_CTX *ctx;
    SSL *client;
    BIO *to_client, *from_client;
    struct buf plain, wire;
    enum status status;
    SSL_SESSION *session; /* the last ticket */
};

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct talk *talk = SSL_get_app_data(ssl);
    SSL_SESSION_free(talk->session);
    talk->session = session;
    return 1;
}

static struct talk open_talk(struct tls_context *context, int max_version, const char *name)
{
    struct talk talk = { .server = tls_open(context),
        .ctx = SSL_CTX_new(TLS_client_method()),
        .plain = BUF(1 << 20),
        .wire = BUF(1 << 20) };
    SSL_CTX_set_session_cache_mode(talk.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(talk.ctx, keep_session);
    SSL_CTX_set_security_level(talk.ctx, 0);
    SSL_CTX_set_min_proto_version(talk.ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(talk.ctx, max_version);
    talk.client = SSL_new(talk.ctx);
    talk.to_client = BIO_new(BIO_s_mem());
    talk.from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(talk.client, talk.to_client, talk.from_client);
    SSL_set_connect_state(talk.client);
    if (name)
        SSL_set_tlsext_host_name(talk.client, name);
    return talk;
}

static struct tls_context *open_context(const struct tls_plan *from)
{
    struct tls_context *context;
    struct buf why = BUF(256);
    assert_int_equal(tls_context_open(from, &context, &why), STATUS_OK);
    buf_done(&why);
    return context;
}

/* Carries octets in both directions, at most `cut` at a time, until nothing moves. */
static void pump(struct talk *talk, size_t cut)
{
    char octets[65536], read[1024];
    SSL_set_app_data(talk->client, talk);
    for (bool moved = true; moved;) {
        moved = false;
        if (!SSL_is_init_finished(talk->client))
            SSL_do_handshake(talk->client);
        else
            (void)SSL_read(talk->client, read, 0); /* takes tickets in */
        ERR_clear_error();
        int len = BIO_read(talk->from_client, octets, sizeof octets);
        for (size_t at = 0; len > 0 && at < (size_t)len; at += cut) {
            struct slice piece = slice_upto((struct slice){ octets + at, (size_t)len - at }, cut);
            moved = true;
            if (talk->status == STATUS_OK)
                talk->status = tls_feed(talk->server, piece, &talk->plain, &talk->wire);
        }
        if (talk->wire.len > 0) {
            assert_int_equal(BIO_write(talk->to_client, talk->wire.ptr, (int)talk->wire.len), talk->wire.len);
            buf_clear(&talk->wire);
            moved = true;
        }
    }
}

static void close_talk(struct talk *talk)
{
    SSL_SESSION_free(talk->session);
    SSL_free(talk->client);
    SSL_CTX_free(talk->ctx);
    tls_close(talk->server);
    buf_done(&talk->plain);
    buf_done(&talk->wire);
    ERR_clear_error();
}

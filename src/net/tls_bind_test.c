#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "net/test_talk.h"

static struct test_pair server_pair, other_pair, client_pair;
static struct tls_pair pairs[2];
static const char ticket_key[80] = "eighty octets that sign and hide what a client remembers of its session";

static int begin(void **state)
{
    (void)state;
    server_pair = test_pair_make("server", "DNS:mail.example", false);
    other_pair = test_pair_make("other", "DNS:other.example", true);
    client_pair = test_pair_make("client", "DNS:copier.example", false);
    pairs[0] = test_pair_view(&server_pair);
    pairs[1] = test_pair_view(&other_pair);
    return 0;
}

static int end(void **state)
{
    (void)state;
    test_pair_done(&server_pair);
    test_pair_done(&other_pair);
    test_pair_done(&client_pair);
    return 0;
}

static struct tls_plan plan(void)
{
    return (struct tls_plan){ .pairs = pairs,
        .pair_count = 2,
        .min_version = TLS1_2_VERSION,
        .ticket_key = { ticket_key, sizeof ticket_key },
        .ticket_scope = S("submission") };
}

static struct tls_context *open_context(const struct tls_plan *from)
{
    struct tls_context *context;
    struct buf why = BUF(256);
    assert_int_equal(tls_context_open(from, &context, &why), STATUS_OK);
    buf_done(&why);
    return context;
}

static void use_pair(SSL *client, const struct test_pair *pair)
{
    BIO *text = BIO_new_mem_buf(pair->certificate.ptr, (int)pair->certificate.len);
    X509 *certificate = PEM_read_bio_X509(text, NULL, NULL, NULL);
    BIO_free(text);
    text = BIO_new_mem_buf(pair->key.ptr, (int)pair->key.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(text, NULL, NULL, NULL);
    BIO_free(text);
    assert_int_equal(SSL_use_certificate(client, certificate), 1);
    assert_int_equal(SSL_use_PrivateKey(client, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static struct talk shake(struct tls_context *context, int version, const char *name, const struct test_pair *shown, SSL_SESSION *session)
{
    struct talk talk = open_talk(context, version, name);
    if (shown)
        use_pair(talk.client, shown);
    if (session)
        assert_int_equal(SSL_set_session(talk.client, session), 1);
    pump(&talk, 65536);
    assert_int_equal(talk.status, STATUS_OK);
    assert_true(tls_is_ready(talk.server));
    return talk;
}

static void check_binding(const struct tls_binding *binding, const void *expected, size_t len)
{
    assert_int_equal(binding->len, len);
    assert_memory_equal(binding->octets, expected, len);
}

static void check_exporter(const struct talk *talk, const struct tls_bindings *bindings)
{
    unsigned char expected[32];
    assert_int_equal(SSL_export_keying_material(talk->client, expected, sizeof expected, "EXPORTER-Channel-Binding", 24,
                         (const unsigned char *)"", 0, 1),
        1);
    check_binding(&bindings->exporter, expected, sizeof expected);
}

/* What a client has: the certificate that it saw, now or when the session began. */
static void check_end_point(const struct talk *talk, const struct tls_bindings *bindings)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    unsigned int len;
    X509 *seen = SSL_get0_peer_certificate(talk->client);
    assert_int_equal(X509_digest(seen, EVP_sha256(), expected, &len), 1);
    check_binding(&bindings->end_point, expected, len);
}

/* RFC 9266: TLS 1.3, in full and resumed; tls-unique is no more. */
static void tls_13_has_an_exporter_and_an_end_point(void **state)
{
    (void)state;
    static const char *const names[] = { NULL, "mail.example", "other.example" };
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    for (size_t i = 0; i < 3; i++) {
        struct talk full = shake(context, TLS1_3_VERSION, names[i], NULL, NULL);
        struct talk again = shake(context, TLS1_3_VERSION, names[i], NULL, full.session);
        assert_true(tls_view(again.server).resumed);
        const struct talk *both[] = { &full, &again };
        for (size_t j = 0; j < 2; j++) {
            struct tls_bindings bindings = tls_bindings(both[j]->server);
            check_exporter(both[j], &bindings);
            check_end_point(both[j], &bindings);
            assert_int_equal(bindings.unique.len, 0);
            assert_int_equal(bindings.peer_key.len, 0);
            assert_false(bindings.outdated);
        }
        struct tls_bindings one = tls_bindings(full.server), two = tls_bindings(again.server);
        assert_memory_not_equal(one.exporter.octets, two.exporter.octets, one.exporter.len);
        close_talk(&full);
        close_talk(&again);
    }
    tls_context_release(context);
}

/* RFC 5929 3.1: the client's Finished comes first in a full handshake, the server's in a resumed one. */
static void tls_12_has_unique_and_exporter(void **state)
{
    (void)state;
    static const char *const names[] = { NULL, "other.example" };
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    for (size_t i = 0; i < 2; i++) {
        char expected[64];
        struct talk full = shake(context, TLS1_2_VERSION, names[i], NULL, NULL);
        struct tls_bindings bindings = tls_bindings(full.server);
        size_t len = SSL_get_finished(full.client, expected, sizeof expected);
        check_binding(&bindings.unique, expected, len);
        check_exporter(&full, &bindings);
        check_end_point(&full, &bindings);
        struct talk again = shake(context, TLS1_2_VERSION, names[i], NULL, full.session);
        assert_true(tls_view(again.server).resumed);
        bindings = tls_bindings(again.server);
        len = SSL_get_peer_finished(again.client, expected, sizeof expected);
        check_binding(&bindings.unique, expected, len);
        check_exporter(&again, &bindings);
        check_end_point(&again, &bindings);
        close_talk(&full);
        close_talk(&again);
    }
    tls_context_release(context);
}

/* RFC 7627: two connections with equal secrets can be made without it. */
static void c065_no_binding_without_the_extended_master_secret(void **state)
{
    (void)state;
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    struct talk talk = open_talk(context, TLS1_2_VERSION, NULL);
    SSL_set_options(talk.client, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    pump(&talk, 65536);
    assert_true(tls_is_ready(talk.server));
    struct tls_bindings bindings = tls_bindings(talk.server);
    assert_int_equal(bindings.unique.len, 0);
    assert_int_equal(bindings.exporter.len, 0);
    check_end_point(&talk, &bindings);
    close_talk(&talk);
    tls_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_13_has_an_exporter_and_an_end_point),
        cmocka_unit_test(tls_12_has_unique_and_exporter),
        cmocka_unit_test(c065_no_binding_without_the_extended_master_secret),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

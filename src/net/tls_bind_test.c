#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/limits.h"
#include "net/test_talk.h"

static struct test_pair server_pair, other_pair, client_pair;
static struct tls_pair pairs[2];
static struct signer *signer;
static const char ticket_key[80] = "eighty octets that sign and hide what a client remembers of its session";

static int begin(void **state)
{
    (void)state;
    server_pair = test_pair_make("server", "DNS:mail.example", false);
    other_pair = test_pair_make("other", "DNS:other.example", true);
    client_pair = test_pair_make("client", "DNS:copier.example", false);
    pairs[0] = test_pair_view(&server_pair);
    pairs[1] = test_pair_view(&other_pair);
    signer = test_signer((const struct test_pair *[]){ &server_pair, &other_pair }, 2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    test_signer_done(signer);
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

static void check_slice(struct slice binding, const void *expected, size_t len)
{
    assert_int_equal(binding.len, len);
    assert_memory_equal(binding.ptr, expected, len);
}

static void check_exporter(const struct talk *talk, const struct tls_bindings *bindings)
{
    unsigned char expected[32];
    assert_int_equal(SSL_export_keying_material(talk->client, expected, sizeof expected, "EXPORTER-Channel-Binding", 24,
                         (const unsigned char *)"", 0, 1),
        1);
    assert_true(bindings->has_exporter);
    check_slice(tls_exporter(talk->server), expected, sizeof expected);
    check_slice(tls_exporter(talk->server), expected, sizeof expected); /* a second time it is the same */
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
        struct slice one = tls_exporter(full.server), two = tls_exporter(again.server);
        assert_memory_not_equal(one.ptr, two.ptr, one.len);
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
    assert_false(bindings.has_exporter);
    assert_int_equal(tls_exporter(talk.server).len, 0);
    check_end_point(&talk, &bindings);
    close_talk(&talk);
    tls_context_release(context);
}

/* RFC 5929 4.1: which hash. */
static void end_points_follow_the_signature(void **state)
{
    (void)state;
    static const struct {
        bool rsa;
        const EVP_MD *(*signs)(void), *(*binds)(void); /* NULL: Ed25519; no binding */
    } rows[] = { { true, EVP_sha1, EVP_sha256 }, { true, EVP_md5, EVP_sha256 }, { true, EVP_sha384, EVP_sha384 },
        { false, EVP_sha512, EVP_sha512 }, { false, NULL, NULL } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EVP_PKEY *key = rows[i].rsa ? EVP_RSA_gen(2048) : rows[i].signs ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        struct test_pair made = test_pair_sign("server", "DNS:mail.example", key, rows[i].signs ? rows[i].signs() : NULL);
        struct tls_pair pair = test_pair_view(&made);
        struct tls_plan from = plan();
        test_signer_take(signer, (const struct test_pair *[]){ &server_pair, &other_pair, &made }, 3);
        from.pairs = &pair;
        from.pair_count = 1;
        from.min_version = TLS1_1_VERSION; /* MD5 signatures need its level of security */
        struct tls_context *context = open_context(&from);
        struct talk talk = shake(context, TLS1_3_VERSION, NULL, NULL, NULL);
        struct tls_bindings bindings = tls_bindings(talk.server);
        if (rows[i].binds) {
            unsigned char expected[EVP_MAX_MD_SIZE];
            unsigned int len;
            assert_int_equal(X509_digest(SSL_get0_peer_certificate(talk.client), rows[i].binds(), expected, &len), 1);
            check_binding(&bindings.end_point, expected, len);
        } else {
            assert_int_equal(bindings.end_point.len, 0);
        }
        close_talk(&talk);
        tls_context_release(context);
        test_pair_done(&made);
    }
}

/* ---- the client's key ---------------------------------------------------------------------------------------------- */

static void key_digest(const struct test_pair *pair, unsigned char out_digest[32])
{
    BIO *text = BIO_new_mem_buf(pair->key.ptr, (int)pair->key.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(text, NULL, NULL, NULL);
    unsigned char *info = NULL;
    int len = i2d_PUBKEY(key, &info);
    assert_true(len > 0);
    assert_int_equal(EVP_Digest(info, (size_t)len, out_digest, NULL, EVP_sha256(), NULL), 1);
    OPENSSL_free(info);
    EVP_PKEY_free(key);
    BIO_free(text);
}

static void c067_a_key_is_known_by_its_digest_and_stays_known_in_resumed_sessions(void **state)
{
    (void)state;
    unsigned char expected[32];
    struct tls_plan from = plan();
    from.asks_for_key = true;
    struct tls_context *context = open_context(&from);
    key_digest(&client_pair, expected);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct talk full = shake(context, version, "other.example", &client_pair, NULL);
        struct tls_bindings bindings = tls_bindings(full.server);
        check_binding(&bindings.peer_key, expected, sizeof expected);
        assert_int_equal(sk_X509_NAME_num(SSL_get0_peer_CA_list(full.client)), version == TLS1_2_VERSION ? 0 : -1);
        /* The certificate is not shown again, and counts all the same. */
        struct talk again = shake(context, version, "other.example", NULL, full.session);
        assert_true(tls_view(again.server).resumed);
        bindings = tls_bindings(again.server);
        check_binding(&bindings.peer_key, expected, sizeof expected);
        close_talk(&full);
        close_talk(&again);
        struct talk without = shake(context, version, NULL, NULL, NULL); /* none: that is no error */
        bindings = tls_bindings(without.server);
        assert_int_equal(bindings.peer_key.len, 0);
        close_talk(&without);
    }
    tls_context_release(context);
}

static void c067_nobody_is_asked_for_a_key_without_the_setting(void **state)
{
    (void)state;
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct talk talk = shake(context, version, NULL, &client_pair, NULL);
        struct tls_bindings bindings = tls_bindings(talk.server);
        assert_int_equal(bindings.peer_key.len, 0);
        close_talk(&talk);
    }
    tls_context_release(context);
}

static bool resumes(const struct tls_plan *first, const struct tls_plan *then, int version)
{
    struct tls_context *one = open_context(first), *two = open_context(then);
    struct talk full = shake(one, version, "other.example", &client_pair, NULL);
    struct talk again = shake(two, version, "other.example", &client_pair, full.session);
    bool resumed = tls_view(again.server).resumed;
    close_talk(&full);
    close_talk(&again);
    tls_context_release(one);
    tls_context_release(two);
    return resumed;
}

static void c066_tickets_end_where_keys_are_asked_for_or_certificates_change(void **state)
{
    (void)state;
    struct tls_pair turned[] = { pairs[1], pairs[0] };
    struct tls_plan from = plan(), asking = plan(), changed = plan();
    asking.asks_for_key = true;
    changed.pairs = turned;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_true(resumes(&asking, &asking, version));
        assert_false(resumes(&asking, &from, version));
        assert_false(resumes(&from, &asking, version));
        assert_false(resumes(&from, &changed, version));
    }
}

static void c067_long_chains_are_refused(void **state)
{
    (void)state;
    struct tls_plan from = plan();
    from.asks_for_key = true;
    struct tls_context *context = open_context(&from);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (size_t more = LIMIT_PEER_CERTIFICATES - 1; more <= LIMIT_PEER_CERTIFICATES; more++) {
            struct talk talk = open_talk(context, version, NULL);
            use_pair(talk.client, &client_pair);
            for (size_t i = 0; i < more; i++)
                assert_int_equal(SSL_add1_chain_cert(talk.client, SSL_get_certificate(talk.client)), 1);
            pump(&talk, 65536);
            assert_int_equal(talk.status == STATUS_OK, more < LIMIT_PEER_CERTIFICATES);
            assert_int_equal(tls_is_ready(talk.server), more < LIMIT_PEER_CERTIFICATES);
            close_talk(&talk);
        }
    tls_context_release(context);
}

/* ---- old versions: RFC 8996 ---------------------------------------------------------------------------------------- */

static void c071_old_versions_where_they_are_allowed_bind_nothing(void **state)
{
    (void)state;
    static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION };
    static const char *const names[] = { NULL, "other.example" }; /* ECDSA, RSA */
    struct tls_plan from = plan();
    from.min_version = TLS1_VERSION;
    from.asks_for_key = true;
    struct tls_context *context = open_context(&from);
    for (size_t i = 0; i < 4; i++) {
        struct talk talk = open_talk(context, versions[i / 2], names[i % 2]);
        assert_int_equal(SSL_set_cipher_list(talk.client, "DEFAULT@SECLEVEL=0"), 1);
        pump(&talk, 65536);
        assert_true(tls_is_ready(talk.server));
        struct tls_bindings bindings = tls_bindings(talk.server);
        assert_true(bindings.outdated);
        assert_false(bindings.has_exporter);
        assert_int_equal(tls_exporter(talk.server).len + bindings.unique.len + bindings.end_point.len, 0);
        close_talk(&talk);
    }
    tls_context_release(context);
}

static bool shakes_with(const struct tls_plan *from, int version, const char *cipher)
{
    struct tls_context *context = open_context(from);
    struct talk talk = open_talk(context, version, NULL);
    assert_int_equal(SSL_set_cipher_list(talk.client, cipher), 1);
    pump(&talk, 65536);
    bool ready = tls_is_ready(talk.server);
    close_talk(&talk);
    tls_context_release(context);
    return ready;
}

/* A copier of 2003: TLS 1.0, no name, no elliptic curves. */
static void d60_old_devices_find_an_rsa_certificate(void **state)
{
    (void)state;
    struct tls_plan from = plan();
    assert_false(shakes_with(&from, TLS1_2_VERSION, "AES128-SHA@SECLEVEL=0")); /* the default there is of an elliptic curve */
    from.min_version = TLS1_VERSION;
    assert_true(shakes_with(&from, TLS1_VERSION, "AES128-SHA@SECLEVEL=0"));
    from.pair_count = 1;
    assert_false(shakes_with(&from, TLS1_VERSION, "AES128-SHA@SECLEVEL=0"));
    assert_true(shakes_with(&from, TLS1_VERSION, "ECDHE-ECDSA-AES128-SHA@SECLEVEL=0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_13_has_an_exporter_and_an_end_point),
        cmocka_unit_test(tls_12_has_unique_and_exporter),
        cmocka_unit_test(c065_no_binding_without_the_extended_master_secret),
        cmocka_unit_test(end_points_follow_the_signature),
        cmocka_unit_test(c067_a_key_is_known_by_its_digest_and_stays_known_in_resumed_sessions),
        cmocka_unit_test(c067_nobody_is_asked_for_a_key_without_the_setting),
        cmocka_unit_test(c066_tickets_end_where_keys_are_asked_for_or_certificates_change),
        cmocka_unit_test(c067_long_chains_are_refused),
        cmocka_unit_test(c071_old_versions_where_they_are_allowed_bind_nothing),
        cmocka_unit_test(d60_old_devices_find_an_rsa_certificate),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

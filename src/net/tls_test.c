#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "net/test_talk.h"

static struct test_pair ours, second_pair;
static struct tls_pair pairs[2];
static struct signer *signer;
static const char ticket_key[80] = "a key for tickets that is eighty octets long, or nearly so, and zero behind that";
static const char other_key[80] = "another one";

static int begin(void **state)
{
    (void)state;
    ours = test_pair_make("default", "DNS:mail.example,DNS:*.wild.example", false);
    second_pair = test_pair_make("second", "DNS:other.example,DNS:mail.example", true);
    pairs[0] = test_pair_view(&ours);
    pairs[1] = test_pair_view(&second_pair);
    signer = test_signer((const struct test_pair *[]){ &ours, &second_pair }, 2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    test_signer_done(signer);
    test_pair_done(&ours);
    test_pair_done(&second_pair);
    return 0;
}

static struct tls_plan plan(void)
{
    return (struct tls_plan){ .pairs = pairs,
        .pair_count = 2,
        .min_version = TLS1_2_VERSION,
        .ticket_key = { ticket_key, sizeof ticket_key },
        .ticket_scope = S("pop3"),
        .alpn = S("\x04pop3") };
}

static void check_words(int max_version, const char *version, size_t cut)
{
    char got[64] = { 0 };
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    struct talk talk = open_talk(context, max_version, "mail.example");
    tls_context_release(context); /* the session keeps it */
    pump(&talk, cut);
    assert_true(tls_is_ready(talk.server));
    assert_true(slice_equal(tls_view(talk.server).version, slice_of(version)));
    assert_true(slice_equal(tls_view(talk.server).sni, S("mail.example")));
    assert_int_equal(tls_view(talk.server).alpn.len, 0);
    assert_false(tls_view(talk.server).resumed);
    assert_int_equal(SSL_write(talk.client, "CAPA\r\n", 6), 6);
    pump(&talk, cut);
    assert_true(slice_equal(buf_slice(&talk.plain), S("CAPA\r\n")));
    assert_int_equal(tls_write(talk.server, S("+OK\r\n"), &talk.wire), STATUS_OK);
    pump(&talk, cut);
    assert_int_equal(SSL_read(talk.client, got, sizeof got), 5);
    assert_string_equal(got, "+OK\r\n");
    assert_false(tls_is_ended(talk.server));
    SSL_shutdown(talk.client);
    tls_shutdown(talk.server, &talk.wire);
    pump(&talk, cut);
    assert_true(tls_is_ended(talk.server));
    assert_int_equal(SSL_get_shutdown(talk.client) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    assert_int_equal(talk.status, STATUS_OK);
    close_talk(&talk);
}

static void words_go_both_ways_however_they_are_cut(void **state)
{
    (void)state;
    check_words(TLS1_3_VERSION, "TLSv1.3", 65536);
    check_words(TLS1_3_VERSION, "TLSv1.3", 1);
    check_words(TLS1_2_VERSION, "TLSv1.2", 7);
}

static void large_texts_come_whole(void **state)
{
    (void)state;
    static char text[100000], got[100000];
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    struct talk talk = open_talk(context, TLS1_3_VERSION, NULL);
    struct buf narrow = BUF(1000);
    memset(text, 'x', sizeof text);
    pump(&talk, 65536);
    /* No room: nothing is written, and the session lives on. */
    assert_int_equal(tls_write(talk.server, (struct slice){ text, sizeof text }, &narrow), STATUS_TOO_BIG);
    assert_int_equal(narrow.len, 0);
    assert_int_equal(tls_write(talk.server, (struct slice){ text, sizeof text }, &talk.wire), STATUS_OK);
    size_t len = 0;
    int some;
    assert_true(BIO_write(talk.to_client, talk.wire.ptr, (int)talk.wire.len) > 0);
    while (len < sizeof got && (some = SSL_read(talk.client, got + len, (int)(sizeof got - len))) > 0)
        len += (size_t)some;
    assert_int_equal(len, sizeof text);
    assert_memory_equal(got, text, sizeof text);
    buf_clear(&talk.wire);
    assert_int_equal(SSL_write(talk.client, text, sizeof text), sizeof text);
    pump(&talk, 5000);
    assert_int_equal(talk.plain.len, sizeof text);
    tls_context_release(context);
    close_talk(&talk);
}

static void c064_names_choose_certificates(void **state)
{
    (void)state;
    static const struct {
        const char *name, *subject;
    } rows[] = {
        { NULL, "default" },
        { "mail.example", "default" },
        { "other.example", "second" },
        { "OTHER.Example", "second" },
        { "other.example.", "second" },
        { "a.wild.example", "default" },
        { "unknown.example", "default" },
        { "x.other.example", "default" },
    };
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char subject[64] = { 0 };
        struct talk talk = open_talk(context, TLS1_3_VERSION, rows[i].name);
        pump(&talk, 65536);
        assert_true(tls_is_ready(talk.server));
        X509 *peer = SSL_get1_peer_certificate(talk.client);
        X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, subject, sizeof subject);
        assert_string_equal(subject, rows[i].subject);
        X509_free(peer);
        close_talk(&talk);
    }
    tls_context_release(context);
    /* The star is one label, and not an empty one. */
    struct tls_pair turned[] = { pairs[1], pairs[0] };
    from.pairs = turned;
    context = open_context(&from);
    static const struct {
        const char *name, *subject;
    } stars[] = { { "a.wild.example", "default" }, { "a.b.wild.example", "second" }, { "wild.example", "second" } };
    for (size_t i = 0; i < 3; i++) {
        char subject[64] = { 0 };
        struct talk talk = open_talk(context, TLS1_2_VERSION, stars[i].name);
        pump(&talk, 65536);
        X509 *peer = SSL_get1_peer_certificate(talk.client);
        X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, subject, sizeof subject);
        assert_string_equal(subject, stars[i].subject);
        X509_free(peer);
        close_talk(&talk);
    }
    tls_context_release(context);
}

static void c062_alpn_without_a_protocol_of_ours_ends_the_handshake(void **state)
{
    (void)state;
    static const char *const names[] = { NULL, "other.example" }; /* the latter is served by the second context */
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    for (size_t i = 0; i < 2; i++) {
        struct talk talk = open_talk(context, TLS1_3_VERSION, names[i]);
        SSL_set_alpn_protos(talk.client, (const unsigned char *)"\x08http/1.1", 9);
        pump(&talk, 65536);
        assert_false(tls_is_ready(talk.server));
        assert_int_equal(talk.status, STATUS_MALFORMED);
        assert_string_equal(tls_problem(talk.server), "no application protocol");
        close_talk(&talk);
        talk = open_talk(context, TLS1_3_VERSION, names[i]);
        SSL_set_alpn_protos(talk.client, (const unsigned char *)"\x08http/1.1\x04pop3", 14);
        pump(&talk, 65536);
        assert_true(slice_equal(tls_view(talk.server).alpn, S("pop3")));
        close_talk(&talk);
    }
    tls_context_release(context);
}

/* Talks to `first`, then shows its ticket to `then`: is that session resumed? */
static bool resumes(const struct tls_plan *first, const struct tls_plan *then, int version, const char *name)
{
    struct tls_context *one = open_context(first), *two = open_context(then);
    struct talk talk = open_talk(one, version, name);
    pump(&talk, 65536);
    assert_non_null(talk.session);
    struct talk again = open_talk(two, version, name);
    SSL_set_session(again.client, talk.session);
    pump(&again, 65536);
    assert_true(tls_is_ready(again.server)); /* a full handshake otherwise, not a failure */
    bool resumed = tls_view(again.server).resumed;
    assert_int_equal(resumed, SSL_session_reused(again.client));
    close_talk(&talk);
    close_talk(&again);
    tls_context_release(one);
    tls_context_release(two);
    return resumed;
}

static void tickets_are_good_for_every_worker_of_the_pool(void **state)
{
    (void)state;
    struct tls_plan from = plan(), rotated = plan();
    rotated.ticket_key = (struct slice){ other_key, sizeof other_key };
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_true(resumes(&from, &from, version, NULL));
        assert_true(resumes(&from, &from, version, "other.example"));
        assert_false(resumes(&from, &rotated, version, NULL));
    }
}

static void c066_a_ticket_of_one_service_is_no_good_for_another(void **state)
{
    (void)state;
    struct tls_plan from = plan(), other = plan();
    other.ticket_scope = S("mx");
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_false(resumes(&from, &other, version, NULL));
        assert_false(resumes(&other, &from, version, "other.example"));
    }
}

static void c071_old_versions_are_refused(void **state)
{
    (void)state;
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    struct talk talk = open_talk(context, TLS1_1_VERSION, NULL);
    pump(&talk, 65536);
    assert_int_equal(talk.status, STATUS_MALFORMED);
    assert_false(tls_is_ready(talk.server));
    close_talk(&talk);
    tls_context_release(context);
    from.min_version = TLS1_3_VERSION;
    context = open_context(&from);
    talk = open_talk(context, TLS1_2_VERSION, "other.example");
    pump(&talk, 65536);
    assert_int_equal(talk.status, STATUS_MALFORMED);
    close_talk(&talk);
    tls_context_release(context);
}

static void d16_tls_12_clients_get_a_session_id(void **state)
{
    (void)state;
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    struct talk talk = open_talk(context, TLS1_2_VERSION, NULL);
    unsigned int len = 0;
    SSL_set_options(talk.client, SSL_OP_NO_TICKET);
    pump(&talk, 65536);
    assert_true(tls_is_ready(talk.server));
    SSL_SESSION_get_id(SSL_get_session(talk.client), &len);
    assert_int_equal(len, 32);
    close_talk(&talk);
    tls_context_release(context);
}

static void c065_renegotiation_is_refused(void **state)
{
    (void)state;
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    struct talk talk = open_talk(context, TLS1_2_VERSION, NULL);
    pump(&talk, 65536);
    assert_true(tls_is_ready(talk.server));
    size_t before = (size_t)BIO_number_written(talk.to_client);
    assert_int_equal(SSL_renegotiate(talk.client), 1);
    SSL_do_handshake(talk.client);
    pump(&talk, 65536);
    /* A warning comes back, and no ServerHello with a certificate. */
    assert_in_range((size_t)BIO_number_written(talk.to_client) - before, 1, 64);
    close_talk(&talk);
    tls_context_release(context);
}

static void what_is_no_tls_breaks_that_session(void **state)
{
    (void)state;
    struct tls_plan from = plan();
    struct tls_context *context = open_context(&from);
    struct tls *tls = tls_open(context);
    struct buf plain = BUF(65536), wire = BUF(65536);
    assert_int_equal(tls_feed(tls, S("EHLO client.example\r\n"), &plain, &wire), STATUS_MALFORMED);
    assert_true(strlen(tls_problem(tls)) > 0);
    assert_int_equal(plain.len, 0);
    assert_int_equal(tls_feed(tls, S("more"), &plain, &wire), STATUS_MALFORMED);
    tls_shutdown(tls, &wire);
    tls_close(tls);
    tls_context_release(context);
    buf_done(&plain);
    buf_done(&wire);
}

static void check_refused(struct tls_pair bad, const char *word)
{
    struct tls_plan from = plan();
    struct tls_pair list[] = { pairs[0], bad };
    struct tls_context *context = NULL;
    struct buf why = BUF(256);
    from.pairs = list;
    assert_int_equal(tls_context_open(&from, &context, &why), STATUS_MALFORMED);
    assert_null(context);
    assert_true(slice_starts(buf_slice(&why), S("certificate 2: ")));
    assert_true(slice_has(buf_slice(&why), slice_of(word)));
    buf_done(&why);
}

static void c070_bad_chains_are_explained(void **state)
{
    (void)state;
    check_refused((struct tls_pair){ NO_SLICE }, "is empty");
    check_refused((struct tls_pair){ slice_upto(pairs[0].certificate, pairs[0].certificate.len / 2) }, "no whole chain");
    /* Half a chain: the second certificate is cut. */
    struct buf chain = BUF(65536);
    assert_int_equal(buf_put(&chain, pairs[0].certificate), STATUS_OK);
    assert_int_equal(buf_put(&chain, slice_upto(pairs[1].certificate, pairs[1].certificate.len / 2)), STATUS_OK);
    check_refused((struct tls_pair){ buf_slice(&chain) }, "no whole chain");
    buf_done(&chain);
}

static void check_bad_pair(struct slice certificate, struct slice key, const char *word)
{
    struct buf why = BUF(256);
    struct boot_pair bad = { certificate, key };
    assert_int_equal(signer_check(&bad, 1, &why), STATUS_MALFORMED);
    assert_true(slice_starts(buf_slice(&why), S("certificate 2: ")));
    assert_true(slice_has(buf_slice(&why), slice_of(word)));
    /* All or nothing: what the signer has goes on. */
    struct boot_pair rows[] = { { pairs[0].certificate, buf_slice(&ours.key) }, bad };
    buf_clear(&why);
    assert_int_equal(signer_take(signer, &(struct rows){ rows, 2 }, &why), STATUS_MALFORMED);
    assert_true(slice_has(buf_slice(&why), slice_of(word)));
    buf_done(&why);
}

static void c070_bad_pairs_are_explained(void **state)
{
    (void)state;
    struct slice key = buf_slice(&ours.key);
    check_bad_pair(pairs[0].certificate, buf_slice(&second_pair.key), "does not belong");
    check_bad_pair(pairs[0].certificate, S("no key"), "no private key");
    check_bad_pair(pairs[0].certificate, slice_upto(key, key.len / 2), "no private key");
    check_bad_pair(NO_SLICE, key, "is empty");
    check_bad_pair(slice_upto(pairs[0].certificate, pairs[0].certificate.len / 2), key, "no whole chain");
    struct buf chain = BUF(65536);
    assert_int_equal(buf_put(&chain, pairs[0].certificate), STATUS_OK);
    assert_int_equal(buf_put(&chain, slice_upto(pairs[1].certificate, pairs[1].certificate.len / 2)), STATUS_OK);
    check_bad_pair(buf_slice(&chain), key, "no whole chain");
    buf_done(&chain);
}

static void our_client_talks_to_our_server(void **state)
{
    (void)state;
    struct tls_plan from = plan();
    struct tls_context *server_context = open_context(&from), *client_context;
    assert_int_equal(tls_context_open_client(&client_context), STATUS_OK);
    struct tls *server = tls_open(server_context), *client = tls_open_client(client_context, S("other.example"));
    struct buf to_server = BUF(65536), to_client = BUF(65536), plain = BUF(65536);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tls_feed(client, buf_slice(&to_client), &plain, &to_server), STATUS_OK);
        buf_clear(&to_client);
        assert_int_equal(tls_feed(server, buf_slice(&to_server), &plain, &to_client), STATUS_OK);
        buf_clear(&to_server);
    }
    assert_true(tls_is_ready(client) && tls_is_ready(server));
    assert_true(slice_equal(tls_view(server).sni, S("other.example")));
    assert_int_equal(tls_write(client, S("EHLO"), &to_server), STATUS_OK);
    assert_int_equal(tls_feed(server, buf_slice(&to_server), &plain, &to_client), STATUS_OK);
    assert_true(slice_equal(buf_slice(&plain), S("EHLO")));
    tls_close(client);
    tls_close(server);
    tls_context_release(client_context);
    tls_context_release(server_context);
    buf_done(&to_server);
    buf_done(&to_client);
    buf_done(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_go_both_ways_however_they_are_cut),
        cmocka_unit_test(large_texts_come_whole),
        cmocka_unit_test(c064_names_choose_certificates),
        cmocka_unit_test(c062_alpn_without_a_protocol_of_ours_ends_the_handshake),
        cmocka_unit_test(tickets_are_good_for_every_worker_of_the_pool),
        cmocka_unit_test(c066_a_ticket_of_one_service_is_no_good_for_another),
        cmocka_unit_test(c071_old_versions_are_refused),
        cmocka_unit_test(d16_tls_12_clients_get_a_session_id),
        cmocka_unit_test(c065_renegotiation_is_refused),
        cmocka_unit_test(what_is_no_tls_breaks_that_session),
        cmocka_unit_test(c070_bad_chains_are_explained),
        cmocka_unit_test(c070_bad_pairs_are_explained),
        cmocka_unit_test(our_client_talks_to_our_server),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

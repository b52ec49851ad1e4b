/* The gate's end and the signer's, with nothing between them but the stream; and an intruder at the gate's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/control.h"
#include "net/sign.h"
#include "net/test_talk.h"

static const char ticket_key[80] = "a key for tickets that is eighty octets long, or nearly so, and zero behind that";

enum { P256, RSA2048, ED25519, P384, P521, ED448, KINDS };
static struct test_pair made[KINDS];
static char names[KINDS][SIGN_KEY_NAME];

static EVP_PKEY *make_key(int kind)
{
    switch (kind) {
    case P384:
        return EVP_EC_gen("P-384");
    case P521:
        return EVP_EC_gen("P-521");
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, kind == ED25519 ? "ED25519" : "ED448");
    }
}

static X509 *certificate_of(const struct test_pair *pair)
{
    BIO *text = BIO_new_mem_buf(pair->certificate.ptr, (int)pair->certificate.len);
    X509 *certificate = PEM_read_bio_X509(text, NULL, NULL, NULL);
    BIO_free(text);
    return certificate;
}

static EVP_PKEY *key_of(const struct test_pair *pair)
{
    BIO *text = BIO_new_mem_buf(pair->key.ptr, (int)pair->key.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(text, NULL, NULL, NULL);
    BIO_free(text);
    return key;
}

static int begin(void **state)
{
    (void)state;
    log_open("test", (enum log_level)(LOG_ERROR + 1));
    for (int kind = 0; kind < KINDS; kind++) {
        if (kind == P256 || kind == RSA2048)
            made[kind] = test_pair_make("server", "DNS:mail.example", kind == RSA2048);
        else
            made[kind] = test_pair_sign("server", "DNS:mail.example", make_key(kind), kind == ED25519 || kind == ED448 ? NULL : EVP_sha256());
        X509 *certificate = certificate_of(&made[kind]);
        assert_int_equal(sign_name(X509_get0_pubkey(certificate), names[kind]), STATUS_OK);
        X509_free(certificate);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++)
        test_pair_done(&made[kind]);
    return 0;
}

static struct signer *signer_of_all(void)
{
    const struct test_pair *all[KINDS];
    for (int kind = 0; kind < KINDS; kind++)
        all[kind] = &made[kind];
    return test_signer(all, KINDS);
}

/* ---- handshakes ------------------------------------------------------------------------------------------------------ */

static struct tls_context *context_of(int kind, uint32_t min_version)
{
    struct tls_pair pair = test_pair_view(&made[kind]);
    struct tls_plan plan = { .pairs = &pair, .pair_count = 1, .min_version = min_version, .ticket_key = { ticket_key, sizeof ticket_key }, .ticket_scope = S("pop3") };
    return open_context(&plan);
}

struct shaken {
    bool ready;
    char problem[100];
};

static struct shaken shake(struct tls_context *context, int version, const char *ciphers, const char *algorithms)
{
    struct shaken shaken = { 0 };
    struct talk talk = open_talk(context, version, NULL);
    if (ciphers)
        assert_int_equal(SSL_set_cipher_list(talk.client, ciphers), 1);
    if (algorithms)
        assert_int_equal(SSL_set1_sigalgs_list(talk.client, algorithms), 1);
    pump(&talk, 65536);
    shaken.ready = tls_is_ready(talk.server);
    snprintf(shaken.problem, sizeof shaken.problem, "%s", tls_problem(talk.server));
    close_talk(&talk);
    return shaken;
}

/* What a client and a server of ours agree on was signed by the signer, and the client has checked it. */
static void every_kind_of_key_signs_in_every_version(void **state)
{
    (void)state;
    static const struct {
        int kind, version;
        const char *ciphers, *algorithms;
    } rows[] = {
        { P256, TLS1_3_VERSION, NULL, NULL },
        { P256, TLS1_2_VERSION, NULL, NULL },
        { P256, TLS1_2_VERSION, NULL, "ECDSA+SHA512" },
        { P256, TLS1_2_VERSION, "ALL:@SECLEVEL=0", "ECDSA+SHA224" },
        { P256, TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL },
        { P384, TLS1_3_VERSION, NULL, NULL },
        { P384, TLS1_2_VERSION, NULL, NULL },
        { P521, TLS1_3_VERSION, NULL, NULL },
        { ED25519, TLS1_3_VERSION, NULL, NULL },
        { ED25519, TLS1_2_VERSION, NULL, NULL },
        { ED448, TLS1_3_VERSION, NULL, NULL },
        { RSA2048, TLS1_3_VERSION, NULL, NULL },
        { RSA2048, TLS1_3_VERSION, NULL, "rsa_pss_rsae_sha512" },
        { RSA2048, TLS1_2_VERSION, "ECDHE", "rsa_pss_rsae_sha384" },
        { RSA2048, TLS1_2_VERSION, "ECDHE", "RSA+SHA256" },
        { RSA2048, TLS1_2_VERSION, "ECDHE", "RSA+SHA512" },
        { RSA2048, TLS1_2_VERSION, "ECDHE:@SECLEVEL=0", "RSA+SHA1" },
        { RSA2048, TLS1_1_VERSION, "ECDHE:@SECLEVEL=0", NULL },       /* MD5 and SHA-1 together */
        { RSA2048, TLS1_VERSION, "ECDHE:@SECLEVEL=0", NULL },
        { RSA2048, TLS1_2_VERSION, "AES128-GCM-SHA256", NULL },       /* an encrypted premaster secret */
        { RSA2048, TLS1_VERSION, "AES128-SHA:@SECLEVEL=0", NULL },
    };
    struct signer *signer = signer_of_all();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tls_context *context = context_of(rows[i].kind, TLS1_VERSION);
        struct shaken shaken = shake(context, rows[i].version, rows[i].ciphers, rows[i].algorithms);
        if (!shaken.ready)
            print_message("row %zu: %s\n", i, shaken.problem);
        assert_true(shaken.ready);
        tls_context_release(context);
    }
    test_signer_done(signer);
}

static void a_resumed_session_needs_no_signer(void **state)
{
    (void)state;
    struct signer *signer = signer_of_all();
    struct tls_context *context = context_of(P256, TLS1_2_VERSION);
    struct talk talk = open_talk(context, TLS1_3_VERSION, NULL);
    pump(&talk, 65536);
    test_signer_done(signer);
    struct talk again = open_talk(context, TLS1_3_VERSION, NULL);
    SSL_set_session(again.client, talk.session);
    pump(&again, 65536);
    assert_true(tls_is_ready(again.server) && tls_view(again.server).resumed);
    close_talk(&talk);
    close_talk(&again);
    tls_context_release(context);
}

static void the_private_half_cannot_be_had(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        X509 *certificate = certificate_of(&made[kind]);
        EVP_PKEY *key;
        OSSL_PARAM *parts = NULL;
        unsigned char *octets = NULL, raw[64];
        size_t len = sizeof raw;
        BIGNUM *number = NULL;
        assert_int_equal(tls_key_open(certificate, &key), STATUS_OK);
        assert_int_equal(X509_check_private_key(certificate, key), 1);
        assert_true(i2d_PrivateKey(key, &octets) <= 0);
        assert_true(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &parts) != 1);
        assert_true(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number) != 1);
        assert_true(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_D, &number) != 1);
        assert_true(EVP_PKEY_get_raw_private_key(key, raw, &len) != 1);
        X509 *other = certificate_of(&made[(kind + 1) % KINDS]);
        assert_int_not_equal(X509_check_private_key(other, key), 1);
        X509_free(other);
        X509_free(certificate);
        EVP_PKEY_free(key);
        ERR_clear_error();
    }
}

/* ---- when nobody is there -------------------------------------------------------------------------------------------- */

static void check_alert(struct tls_context *context, const char *problem)
{
    struct talk talk = open_talk(context, TLS1_3_VERSION, NULL);
    pump(&talk, 65536);
    assert_false(tls_is_ready(talk.server));
    assert_int_equal(talk.status, STATUS_MALFORMED);
    assert_string_equal(tls_problem(talk.server), problem);
    close_talk(&talk);
}

/* The alert that a client reads: RFC 8446 6.2. */
static int alert_seen;
static void on_info(const SSL *ssl, int where, int number)
{
    (void)ssl;
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
        alert_seen = number & 0xff;
}

static void without_a_signer_handshakes_fail_and_later_ones_go_well(void **state)
{
    (void)state;
    struct signer *signer = signer_of_all();
    for (int kind = P256; kind <= RSA2048; kind++) {
        struct tls_context *context = context_of(kind, TLS1_2_VERSION);
        tls_key_signer(-1);
        check_alert(context, "the signer is away");
        struct talk talk = open_talk(context, TLS1_2_VERSION, NULL);
        SSL_set_info_callback(talk.client, on_info);
        alert_seen = 0;
        pump(&talk, 65536);
        assert_int_equal(alert_seen, SSL_AD_INTERNAL_ERROR);
        close_talk(&talk);
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        signer_join(signer, ends[0], ROLE_USER, 0);
        tls_key_signer(ends[1]);
        assert_true(shake(context, TLS1_3_VERSION, NULL, NULL).ready);
        tls_context_release(context);
    }
    test_signer_done(signer);
}

static void a_signer_that_dies_is_noticed_at_once(void **state)
{
    (void)state;
    struct tls_context *context = context_of(P256, TLS1_2_VERSION);
    struct signer *signer = signer_of_all();
    assert_true(shake(context, TLS1_3_VERSION, NULL, NULL).ready);
    signer_close(signer); /* its ends are closed, ours is not */
    msec before = clock_now();
    check_alert(context, "the signer is away");
    assert_in_range(clock_now() - before, 0, LIMIT_SIGN_WAIT - 100);
    signer = signer_of_all();
    assert_true(shake(context, TLS1_3_VERSION, NULL, NULL).ready);
    test_signer_done(signer);
    tls_context_release(context);
}

static void one_wait_runs_out_and_no_more(void **state)
{
    (void)state;
    struct tls_context *context = context_of(P256, TLS1_2_VERSION);
    struct signer *signer = signer_of_all();
    int slow[2], ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, slow), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    signer_join(signer, ends[0], ROLE_USER, 0);
    tls_key_signer(slow[1]);
    msec before = clock_now();
    check_alert(context, "the signer does not answer");
    assert_in_range(clock_now() - before, LIMIT_SIGN_WAIT - 50, LIMIT_SIGN_WAIT + 1000);
    before = clock_now();
    for (int i = 0; i < 5; i++)
        check_alert(context, "the signer does not answer");
    assert_in_range(clock_now() - before, 0, 2 * LIMIT_SIGN_WAIT);
    /* It was slow, not gone: what it was asked is answered now, by a real one, and the next handshake is served by it. */
    char octets[SIGN_FRAME];
    ssize_t len = read(slow[0], octets, sizeof octets);
    assert_int_equal(write(ends[1], octets, (size_t)len), len);
    len = read(ends[1], octets, sizeof octets);
    assert_int_equal(write(slow[0], octets, (size_t)len), len);
    signer_join(signer, slow[0], ROLE_USER, 0);
    assert_true(shake(context, TLS1_3_VERSION, NULL, NULL).ready);
    close(ends[1]);
    test_signer_done(signer);
    tls_context_release(context);
}

/* ---- keys that come and go ------------------------------------------------------------------------------------------- */

static void old_keys_stay_for_one_more_set(void **state)
{
    (void)state;
    const struct test_pair *both[] = { &made[P256], &made[P384] }, *turned[] = { &made[P384], &made[P256] }, *one[] = { &made[P384] };
    struct tls_context *leaving = context_of(P256, TLS1_2_VERSION), *staying = context_of(P384, TLS1_2_VERSION);
    struct signer *signer = test_signer(both, 2);
    test_signer_take(signer, turned, 2);
    assert_true(shake(leaving, TLS1_3_VERSION, NULL, NULL).ready && shake(staying, TLS1_3_VERSION, NULL, NULL).ready);
    test_signer_take(signer, one, 1);
    assert_true(shake(leaving, TLS1_3_VERSION, NULL, NULL).ready && shake(staying, TLS1_3_VERSION, NULL, NULL).ready);
    test_signer_take(signer, both, 2); /* it came back: counted anew */
    test_signer_take(signer, one, 1);
    assert_true(shake(leaving, TLS1_3_VERSION, NULL, NULL).ready);
    test_signer_take(signer, one, 1);
    assert_true(shake(staying, TLS1_3_VERSION, NULL, NULL).ready);
    check_alert(leaving, "the signer has no such key");
    assert_true(shake(staying, TLS1_3_VERSION, NULL, NULL).ready); /* and the stream goes on */
    test_signer_done(signer);
    tls_context_release(leaving);
    tls_context_release(staying);
}

/* ---- an intruder ----------------------------------------------------------------------------------------------------- */

struct intruder {
    struct signer *signer;
    int stream, told; /* told: the supervisor's end */
};

static struct intruder break_in(void)
{
    struct intruder in;
    struct boot_pair rows[KINDS];
    struct buf why = BUF(256);
    int control[2], ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    for (int kind = 0; kind < KINDS; kind++)
        rows[kind] = (struct boot_pair){ buf_slice(&made[kind].certificate), buf_slice(&made[kind].key) };
    in = (struct intruder){ .signer = signer_open(control[1]), .stream = ends[1], .told = control[0] };
    assert_int_equal(signer_take(in.signer, &(struct rows){ rows, KINDS }, &why), STATUS_OK);
    signer_join(in.signer, ends[0], ROLE_MX, 7);
    return in;
}

static void leave(struct intruder *in)
{
    signer_close(in->signer);
    close(in->stream);
    close(in->told);
}

/* The end of the stream, and the supervisor knows whose it was. */
static void check_thrown_out(struct intruder *in)
{
    struct pollfd both[] = { { .fd = in->stream, .events = POLLIN }, { .fd = in->told, .events = POLLIN } };
    unsigned char octets[8];
    assert_int_equal(poll(&both[0], 1, 5000), 1);
    assert_true(recv(in->stream, octets, sizeof octets, 0) <= 0);
    assert_int_equal(poll(&both[1], 1, 5000), 1);
    assert_int_equal(recv(in->told, octets, sizeof octets, 0), 4);
    assert_int_equal(octets[0], CONTROL_BAD_ASK);
    assert_int_equal(octets[1], ROLE_MX);
    assert_int_equal(octets[3], 7);
    leave(in);
}

static void put_octets(struct intruder *in, struct slice octets) { assert_int_equal(send(in->stream, octets.ptr, octets.len, MSG_NOSIGNAL), octets.len); }

static void put_ask(struct intruder *in, const struct sign_ask *ask)
{
    struct buf frame = BUF(SIGN_FRAME);
    assert_int_equal(sign_put(&frame, sign_ask_fields, ask), STATUS_OK);
    put_octets(in, buf_slice(&frame));
    buf_done(&frame);
}

/* Into `room`, behind which the answer's octets live. */
static struct sign_answer get_answer(struct intruder *in, char room[SIGN_FRAME])
{
    struct sign_answer answer;
    size_t len, used;
    ssize_t got = recv(in->stream, room, SIGN_FRAME, 0);
    assert_true(got > 0);
    len = (size_t)got;
    assert_int_equal(sign_get((struct slice){ room, len }, sign_answer_fields, &answer, &used), STATUS_OK);
    assert_int_equal(used, len);
    return answer;
}

static struct slice name_of(int kind) { return (struct slice){ names[kind], SIGN_KEY_NAME }; }

#define SCHEME_ECDSA 0x0403
#define SCHEME_PSS   0x0804
#define SCHEME_PKCS1 0x0401

/* RFC 8446 4.4.3 */
static size_t put_new(char out[256], const char *words, size_t hash)
{
    memset(out, ' ', 64);
    size_t len = strlen(words) + 1;
    memcpy(out + 64, words, len);
    memset(out + 64 + len, 'h', hash);
    return 64 + len + hash;
}

/* RFC 8422 5.4 */
static size_t put_old(char out[256], uint8_t type, uint16_t curve, uint8_t point)
{
    memset(out, 'r', 64);
    char head[] = { (char)type, (char)(curve >> 8), (char)curve, (char)point, 4 };
    memset(out + 68, 'p', point);
    memcpy(out + 64, head, sizeof head);
    return 68u + point;
}

static const char server_words[] = "TLS 1.3, server CertificateVerify";

static void check_signs(struct slice octets, int kind, uint32_t scheme, bool signs)
{
    struct intruder in = break_in();
    char room[SIGN_FRAME];
    put_ask(&in, &(struct sign_ask){ .number = 9, .kind = SIGN_HANDSHAKE, .detail = scheme, .key = name_of(kind), .octets = octets });
    if (!signs) {
        check_thrown_out(&in);
        return;
    }
    struct sign_answer answer = get_answer(&in, room);
    assert_int_equal(answer.status, STATUS_OK);
    assert_int_equal(answer.number, 9);
    assert_true(answer.octets.len >= 64);
    leave(&in);
}

static void handshakes_of_a_server_are_signed_and_nothing_else(void **state)
{
    (void)state;
    char octets[256];
#define MADE(make) ((struct slice){ octets, (make) })
    check_signs(MADE(put_new(octets, server_words, 32)), P256, SCHEME_ECDSA, true);
    check_signs(MADE(put_new(octets, server_words, 48)), RSA2048, SCHEME_PSS, true);
    check_signs(MADE(put_old(octets, 3, 23, 65)), P256, SCHEME_ECDSA, true);
    check_signs(MADE(put_old(octets, 3, 29, 32)), RSA2048, SCHEME_PKCS1, true);
    /* A client's proof (RFC 8446 4.4.3), other words, other lengths, a space that is none. */
    check_signs(MADE(put_new(octets, "TLS 1.3, client CertificateVerify", 32)), P256, SCHEME_ECDSA, false);
    check_signs(MADE(put_new(octets, "TLS 1.3, server CertificateVerifz", 32)), P256, SCHEME_ECDSA, false);
    for (size_t hash = 0; hash < 70; hash++)
        if (hash != 32 && hash != 48)
            assert_false(sign_is_handshake(MADE(put_new(octets, server_words, hash)), sign_scheme(SCHEME_ECDSA)));
    check_signs(MADE(put_new(octets, server_words, 33)), P256, SCHEME_ECDSA, false);
    size_t len = put_new(octets, server_words, 32);
    octets[63] = '\t';
    check_signs((struct slice){ octets, len }, P256, SCHEME_ECDSA, false);
    /* What TLS 1.3 does not have (RFC 8446 4.2.3) is not signed for it. */
    check_signs(MADE(put_new(octets, server_words, 32)), RSA2048, SCHEME_PKCS1, false);
    check_signs(MADE(put_new(octets, server_words, 32)), P256, 0x0203, false);
    /* Parameters of other forms: an explicit curve, one that we do not offer, a compressed point, one cut or longer, DHE. */
    check_signs(MADE(put_old(octets, 1, 23, 65)), P256, SCHEME_ECDSA, false);
    check_signs(MADE(put_old(octets, 3, 22, 65)), P256, SCHEME_ECDSA, false);
    check_signs(MADE(put_old(octets, 3, 23, 33)), P256, SCHEME_ECDSA, false);
    check_signs(MADE(put_old(octets, 3, 23, 65) - 1), P256, SCHEME_ECDSA, false);
    check_signs(MADE(put_old(octets, 3, 23, 65) + 1), P256, SCHEME_ECDSA, false);
    put_old(octets, 3, 23, 65);
    octets[68] = 2;
    check_signs((struct slice){ octets, 133 }, P256, SCHEME_ECDSA, false);
    /* A digest, nothing, a DKIM signature's header, and what follows 64 octets of one's own choice. */
    check_signs(S("0123456789abcdef0123456789abcdef"), P256, SCHEME_ECDSA, false);
    check_signs(NO_SLICE, P256, SCHEME_ECDSA, false);
    check_signs(S("from:Alice <alice@our.test>\r\nto:bob@elsewhere.test\r\nsubject:hello\r\ndkim-signature:v=1; a=rsa-sha256; d=our.test; s=mail; h=from:to:subject; bh=; b="),
        RSA2048, SCHEME_PKCS1, false);
}

static void certificates_are_not_signed(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) { /* each to be signed by the key of its own, and by RSA's */
        X509 *certificate = certificate_of(&made[kind]);
        unsigned char *octets = NULL;
        int len = i2d_re_X509_tbs(certificate, &octets);
        assert_true(len > 0);
        struct slice tbs = { (const char *)octets, (size_t)len };
        assert_false(sign_is_handshake(tbs, sign_scheme(SCHEME_ECDSA)));
        check_signs(tbs, RSA2048, SCHEME_PKCS1, false);
        if (kind == P256)
            check_signs(tbs, P256, SCHEME_ECDSA, false);
        OPENSSL_free(octets);
        X509_free(certificate);
    }
}

static void keys_sign_in_their_own_way_only(void **state)
{
    (void)state;
    char octets[256], room[SIGN_FRAME];
    struct slice fine = { octets, put_new(octets, server_words, 32) };
    check_signs(fine, P256, SCHEME_PSS, false);
    check_signs(fine, RSA2048, SCHEME_ECDSA, false);
    check_signs(fine, ED25519, SCHEME_ECDSA, false);
    check_signs(fine, P256, 0x0807, false);
    check_signs(fine, P256, 0x9999, false);
    struct intruder in = break_in();
    put_ask(&in, &(struct sign_ask){ .kind = SIGN_OPEN, .detail = 0x0303, .key = name_of(P256), .octets = fine });
    check_thrown_out(&in);
    in = break_in();
    put_ask(&in, &(struct sign_ask){ .kind = 3, .detail = SCHEME_ECDSA, .key = name_of(P256), .octets = fine });
    check_thrown_out(&in);
    /* A name that nobody has is no crime: a gate may be a moment behind. */
    in = break_in();
    put_ask(&in, &(struct sign_ask){ .kind = SIGN_HANDSHAKE, .detail = SCHEME_ECDSA, .key = S("nobody"), .octets = fine });
    assert_int_equal(get_answer(&in, room).status, STATUS_NOT_FOUND);
    put_ask(&in, &(struct sign_ask){ .kind = SIGN_HANDSHAKE, .detail = SCHEME_ECDSA, .key = name_of(P256), .octets = fine });
    assert_int_equal(get_answer(&in, room).status, STATUS_OK);
    leave(&in);
}

static void frames_that_are_none_end_the_stream(void **state)
{
    (void)state;
    char octets[256];
    struct slice fine = { octets, put_new(octets, server_words, 32) };
    struct buf frame = BUF(2 * SIGN_FRAME);
    struct sign_ask ask = { .number = 1, .kind = SIGN_HANDSHAKE, .detail = SCHEME_ECDSA, .key = name_of(P256), .octets = fine };
    assert_int_equal(sign_put(&frame, sign_ask_fields, &ask), STATUS_OK);
    static const char lengths[][8] = { "\xff\xff\xff\xff", "\0\0\0\0", "\1\0\0\0x", "\0\0\1\0" };
    for (size_t i = 0; i < 4; i++) {
        struct intruder in = break_in();
        put_octets(&in, (struct slice){ lengths[i], i == 2 ? 5 : 4 });
        check_thrown_out(&in);
    }
    /* Every octet of lengths within, too long by one; then two asks at once. */
    static const size_t counts[] = { 13, 49 };
    for (size_t i = 0; i < 2; i++) {
        struct intruder in = break_in();
        frame.ptr[counts[i]]++;
        put_octets(&in, buf_slice(&frame));
        check_thrown_out(&in);
        frame.ptr[counts[i]]--;
    }
    struct intruder in = break_in();
    size_t len = frame.len;
    char *room;
    assert_int_equal(buf_reserve(&frame, len, &room), STATUS_OK);
    memcpy(room, frame.ptr, len);
    buf_grown(&frame, len);
    put_octets(&in, buf_slice(&frame));
    check_thrown_out(&in);
    /* Octet by octet is no crime. */
    in = break_in();
    char answer[SIGN_FRAME];
    for (size_t i = 0; i < len; i++)
        put_octets(&in, slice_upto(slice_from(buf_slice(&frame), i), 1));
    assert_int_equal(get_answer(&in, answer).status, STATUS_OK);
    leave(&in);
    buf_done(&frame);
}

static void a_gate_has_two_streams_at_most(void **state)
{
    (void)state;
    struct intruder in = break_in();
    int more[2][2];
    char octet;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, more[i]), 0);
        signer_join(in.signer, more[i][0], ROLE_MX, 7);
    }
    assert_int_equal(recv(in.stream, &octet, 1, 0), 0); /* the oldest goes */
    in.stream = (close(in.stream), more[0][1]);
    char octets[256], room[SIGN_FRAME];
    struct slice fine = { octets, put_new(octets, server_words, 32) };
    put_ask(&in, &(struct sign_ask){ .kind = SIGN_HANDSHAKE, .detail = SCHEME_ECDSA, .key = name_of(P256), .octets = fine });
    assert_int_equal(get_answer(&in, room).status, STATUS_OK);
    close(more[1][1]);
    leave(&in);
}

/* ---- premaster secrets ----------------------------------------------------------------------------------------------- */

static void encrypt(const char *plain, size_t len, unsigned char out[256])
{
    EVP_PKEY *key = key_of(&made[RSA2048]);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    size_t size = 256;
    assert_int_equal(EVP_PKEY_encrypt_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING), 1);
    assert_int_equal(EVP_PKEY_encrypt(context, out, &size, (const unsigned char *)plain, len), 1);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
}

static void open_one(struct intruder *in, uint32_t version, const unsigned char octets[256], char out[SIGN_SECRET])
{
    char room[SIGN_FRAME];
    put_ask(in, &(struct sign_ask){ .kind = SIGN_OPEN, .detail = version, .key = name_of(RSA2048), .octets = { (const char *)octets, 256 } });
    struct sign_answer answer = get_answer(in, room);
    assert_int_equal(answer.status, STATUS_OK);
    assert_int_equal(answer.octets.len, SIGN_SECRET);
    memcpy(out, answer.octets.ptr, SIGN_SECRET);
}

/* Wrong padding, length or version: the answer looks as a right one does, is the same whenever it is asked for, and depends on all of the question. */
static void wrong_secrets_look_like_right_ones(void **state)
{
    (void)state;
    struct intruder in = break_in();
    char secret[SIGN_SECRET], first[SIGN_SECRET], again[SIGN_SECRET];
    unsigned char octets[256];
    memset(secret, 's', sizeof secret);
    memcpy(secret, "\3\3", 2);
    encrypt(secret, sizeof secret, octets);
    open_one(&in, 0x0303, octets, first);
    assert_memory_equal(first, secret, SIGN_SECRET);
    for (int kind = 0; kind < 4; kind++) {
        uint32_t version = kind == 0 ? 0x0302 : 0x0303;
        if (kind == 1)
            encrypt(secret, 47, octets);
        if (kind == 2)
            encrypt("\3\1", 2, octets);
        if (kind == 3)
            memset(octets, 1, sizeof octets);
        open_one(&in, version, octets, first);
        open_one(&in, version, octets, again);
        assert_memory_equal(first, again, SIGN_SECRET);
        assert_int_equal((first[0] << 8 | first[1]), version);
        assert_memory_not_equal(first + 2, secret + 2, SIGN_SECRET - 2);
        open_one(&in, 0x0301, octets, again);
        assert_memory_not_equal(first + 2, again + 2, SIGN_SECRET - 2);
        octets[255] ^= 1;
        open_one(&in, version, octets, again);
        assert_memory_not_equal(first + 2, again + 2, SIGN_SECRET - 2);
        encrypt(secret, sizeof secret, octets);
    }
    /* What RSA cannot take is public, and may be told. */
    char room[SIGN_FRAME];
    memset(octets, 0xff, sizeof octets);
    put_ask(&in, &(struct sign_ask){ .kind = SIGN_OPEN, .detail = 0x0303, .key = name_of(RSA2048), .octets = { (const char *)octets, 256 } });
    assert_int_equal(get_answer(&in, room).status, STATUS_IO);
    leave(&in);
}

/* ---- many gates ------------------------------------------------------------------------------------------------------ */

#define GATES  16
#define ROUNDS 200

struct gate {
    pthread_t thread;
    struct intruder in;
    unsigned signed_right;
};

static void *run_gate(void *context)
{
    struct gate *gate = context;
    char octets[256], room[SIGN_FRAME];
    struct slice fine = { octets, put_new(octets, server_words, 32) };
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct sign_ask ask = { .number = i, .kind = SIGN_HANDSHAKE, .detail = SCHEME_ECDSA, .key = name_of(P256), .octets = fine };
        struct buf frame = BUF(SIGN_FRAME);
        struct sign_answer answer = { .status = STATUS_IO };
        size_t len = 0;
        ssize_t got = -1;
        if (sign_put(&frame, sign_ask_fields, &ask) == STATUS_OK && send(gate->in.stream, frame.ptr, frame.len, MSG_NOSIGNAL) > 0)
            got = recv(gate->in.stream, room, sizeof room, 0);
        if (got > 0 && sign_get((struct slice){ room, (size_t)got }, sign_answer_fields, &answer, &len) == STATUS_OK)
            gate->signed_right += answer.status == STATUS_OK && answer.number == i;
        buf_done(&frame);
    }
    return NULL;
}

/* Keys change places under them all the while. */
static void many_gates_are_served_while_keys_change(void **state)
{
    (void)state;
    struct intruder in = break_in();
    struct gate gates[GATES] = { 0 };
    const struct test_pair *pairs[2][2] = { { &made[P256], &made[ED25519] }, { &made[P384], &made[P256] } };
    for (int i = 0; i < GATES; i++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        signer_join(in.signer, ends[0], ROLE_USER, (uint8_t)i);
        gates[i].in.stream = ends[1];
        assert_int_equal(pthread_create(&gates[i].thread, NULL, run_gate, &gates[i]), 0);
    }
    for (int i = 0; i < 50; i++)
        test_signer_take(in.signer, pairs[i % 2], 2);
    for (int i = 0; i < GATES; i++) {
        pthread_join(gates[i].thread, NULL);
        assert_int_equal(gates[i].signed_right, ROUNDS);
        close(gates[i].in.stream);
    }
    leave(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_key_signs_in_every_version),
        cmocka_unit_test(a_resumed_session_needs_no_signer),
        cmocka_unit_test(the_private_half_cannot_be_had),
        cmocka_unit_test(without_a_signer_handshakes_fail_and_later_ones_go_well),
        cmocka_unit_test(a_signer_that_dies_is_noticed_at_once),
        cmocka_unit_test(one_wait_runs_out_and_no_more),
        cmocka_unit_test(old_keys_stay_for_one_more_set),
        cmocka_unit_test(handshakes_of_a_server_are_signed_and_nothing_else),
        cmocka_unit_test(certificates_are_not_signed),
        cmocka_unit_test(keys_sign_in_their_own_way_only),
        cmocka_unit_test(frames_that_are_none_end_the_stream),
        cmocka_unit_test(a_gate_has_two_streams_at_most),
        cmocka_unit_test(wrong_secrets_look_like_right_ones),
        cmocka_unit_test(many_gates_are_served_while_keys_change),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

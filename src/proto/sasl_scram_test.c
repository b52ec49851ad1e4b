#include "proto/sasl_keeper_testing.h"

#define CLIENT_1   "fyko+d2lbbFgONRv9qkxdawL"
#define SERVER_1   "3rfcNHYJY1ZVvWVs7j"
#define CLIENT_256 "rOprNGfwEbeRWgbNEkqO"
#define SERVER_256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

/* RFC 5802 5. */
static struct test_keeper keeper_1 = { .password = "pencil", .salt = { "\x41\x25\xc2\x47\xe4\x3a\xb1\xe9\x3c\x6d\xff\x76", 12 },
    .nonce = { SERVER_1, sizeof SERVER_1 - 1 }, .rounds = 4096 };
/* RFC 7677 3. */
static struct test_keeper keeper_256 = { .password = "pencil",
    .salt = { "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81", 16 },
    .nonce = { SERVER_256, sizeof SERVER_256 - 1 }, .rounds = 4096 };

/* ---- the vectors of the RFCs ------------------------------------------------------------------------------------------------ */

static void scram_sha_1_of_rfc_5802(void **state)
{
    (void)state;
    assert_int_equal(start("SCRAM-SHA-1", S("n,,n=user,r=" CLIENT_1)), SASL_ASK);
    struct ask ask = filled();
    assert_int_equal(ask.kind, ASK_SCRAM);
    assert_text(ask.scram.name, "user");
    assert_int_equal(ask.scram.authzid.len, 0);
    assert_int_equal(ask.scram.from.mechanism, MECHANISM_SCRAM_SHA_1);
    assert_int_equal(keeper_answers(&keeper_1), SASL_CHALLENGE);
    assert_text(challenge(), "r=" CLIENT_1 SERVER_1 ",s=QSXCR+Q6sek8bf92,i=4096");
    assert_int_equal(step(S("c=biws,r=" CLIENT_1 SERVER_1 ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")), SASL_ASK);
    ask = filled();
    assert_int_equal(ask.kind, ASK_LOGIN_SCRAM);
    assert_text(ask.login_scram.message, "n=user,r=" CLIENT_1 ",r=" CLIENT_1 SERVER_1 ",s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=" CLIENT_1 SERVER_1);
    assert_int_equal(keeper_answers(&keeper_1), SASL_CHALLENGE);
    assert_text(challenge(), "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    assert_true(sasl.is_bound);
    assert_int_equal(sasl_step(&sasl, S("")), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_OK);
    assert_text(sasl.address, "user@a.example");
}

static void to_final(void)
{
    assert_int_equal(start("SCRAM-SHA-256", S("n,,n=user,r=" CLIENT_256)), SASL_ASK);
    assert_int_equal(keeper_answers(&keeper_256), SASL_CHALLENGE);
}

#define FINAL_256 "c=biws,r=" CLIENT_256 SERVER_256
#define PROOF_256 "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static void scram_sha_256_of_rfc_7677(void **state)
{
    (void)state;
    assert_int_equal(start_empty("SCRAM-SHA-256"), SASL_CHALLENGE); /* RFC 4954 4: an empty challenge first */
    assert_int_equal(sasl.challenge.len, 0);
    assert_int_equal(step(S("n,,n=user,r=" CLIENT_256)), SASL_ASK);
    assert_int_equal(keeper_answers(&keeper_256), SASL_CHALLENGE);
    assert_text(challenge(), "r=" CLIENT_256 SERVER_256 ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    assert_int_equal(step(S(FINAL_256 ",p=" PROOF_256)), SASL_ASK);
    assert_int_equal(keeper_answers(&keeper_256), SASL_CHALLENGE);
    assert_text(challenge(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_int_equal(sasl_step(&sasl, S("")), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_OK);
}

/* ---- client-first ------------------------------------------------------------------------------------------------------------ */

static void extensions_are_ignored_and_names_unquoted(void **state)
{
    (void)state;
    assert_int_equal(start("SCRAM-SHA-256", S("n,a=bo=2Css,n=us=3Der=2C,r=x,y=1,z=a=b")), SASL_ASK);
    assert_text(sasl.name, "us=er,");
    assert_text(sasl.authzid, "bo,ss");
    assert_text(filled().scram.authzid, "bo,ss");
    assert_text(sasl.scram.bare, "n=us=3Der=2C,r=x,y=1,z=a=b");
    assert_int_equal(start("SCRAM-SHA-256", S("n,,n=\xef\xbc\xb5ser,r=!~")), SASL_ASK); /* the keeper folds */
    assert_text(sasl.name, "\xef\xbc\xb5ser");
}

static void C086_bad_first_messages(void **state)
{
    (void)state;
    static const struct slice bad[] = { S(""), S("n"), S("n,"), S("n,,"), S("n,,n=user"), S("n,,n=user,"), S("n,,n=user,r="), S("n,,n=,r=x"),
        S("n,,r=x,n=user"), S("x,,n=user,r=x"), S("N,,n=user,r=x"), S(",,n=user,r=x"), S("n,n=user,r=x"), S("nn,,n=user,r=x"),
        S("p,,n=user,r=x"), S("p=,,n=user,r=x"), S("p=tls_x,,n=user,r=x"), S("n,a=,n=user,r=x"), S("n,b=boss,n=user,r=x"),
        S("n,,n=us=er,r=x"), S("n,,n=us=2cer,r=x"), S("n,,n=us=2,r=x"), S("n,,n=us=,r=x"), S("n,,n=user,r=x y"), S("n,,n=user,r=x\x7f"),
        S("n,,n=user,r=\xc3\xbc"), S("n,,n=user,r=x,"), S("n,,n=user,r=x,1=a"), S("n,,n=user,r=x,y"), S("n,,n=user,r=x,y="),
        S("n,,n=user,r=x,m=y"), S("n,,n=us\0er,r=x"), S("n,,n=\xff,r=x"), S("n,,n=us\ner,r=x"), S("n,a=\1,n=user,r=x"),
        S("F,n,,n=user,r=x"), S(" n,,n=user,r=x"), S("n,,n=user,r=x,y=\xed\xa0\x80") };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(start("SCRAM-SHA-256", bad[i]), SASL_MALFORMED);
    /* RFC 5802 5.1: "m" is for what a server has to know, and this one does not. */
    assert_int_equal(start("SCRAM-SHA-256", S("n,,m=x,n=user,r=x")), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_WRONG);
    assert_string_equal(sasl.why, "extensions-not-supported");
}

static void nonces_and_names_are_bounded(void **state)
{
    (void)state;
    struct buf text = BUF(8192);
    for (size_t len = LIMIT_SCRAM_NONCE; len <= LIMIT_SCRAM_NONCE + 1; len++) {
        buf_clear(&text);
        assert_ok(buf_put(&text, S("n,,n=user,r=")));
        for (size_t i = 0; i < len; i++)
            assert_ok(buf_put_byte(&text, 'x'));
        assert_int_equal(start("SCRAM-SHA-1", buf_slice(&text)), len <= LIMIT_SCRAM_NONCE ? SASL_ASK : SASL_MALFORMED);
    }
    for (size_t len = LIMIT_LOGIN_NAME; len <= LIMIT_LOGIN_NAME + 1; len++) {
        buf_clear(&text);
        assert_ok(buf_put(&text, S("n,,n=")));
        for (size_t i = 0; i < len; i++)
            assert_ok(buf_put(&text, S("=2C")));
        assert_ok(buf_put(&text, S(",r=x")));
        assert_int_equal(start("SCRAM-SHA-1", buf_slice(&text)), len <= LIMIT_LOGIN_NAME ? SASL_ASK : SASL_MALFORMED);
    }
    buf_done(&text);
}

/* ---- channel binding --------------------------------------------------------------------------------------------------------- */

static void refused(const char *mechanism, struct slice first, const char *why)
{
    assert_int_equal(start(mechanism, first), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_WRONG);
    assert_string_equal(sasl.why, why);
    assert_false(sasl.is_bound);
}

/* RFC 5802 6. */
static void a_downgrade_is_seen(void **state)
{
    (void)state;
    refused("SCRAM-SHA-256", S("y,,n=user,r=x"), "server-does-support-channel-binding");
    refused("SCRAM-SHA-1", S("y,,n=user,r=x"), "server-does-support-channel-binding");
    test_tls.exporter = test_tls.end_point = NO_SLICE; /* nothing to bind to: the client is right */
    assert_int_equal(start("SCRAM-SHA-256", S("y,,n=user,r=x")), SASL_ASK);
    test_tls.outdated = true;
    assert_int_equal(start("SCRAM-SHA-256", S("y,,n=user,r=x")), SASL_ASK);
    scene.tls = NULL;
    assert_int_equal(start("SCRAM-SHA-256", S("y,,n=user,r=x")), SASL_ASK);
}

static void bindings_belong_to_plus_and_plus_to_bindings(void **state)
{
    (void)state;
    refused("SCRAM-SHA-256", S("p=tls-exporter,,n=user,r=x"), "channel-binding-not-supported");
    refused("SCRAM-SHA-256-PLUS", S("n,,n=user,r=x"), "other-error");
    refused("SCRAM-SHA-256-PLUS", S("y,,n=user,r=x"), "other-error");
    refused("SCRAM-SHA-256-PLUS", S("p=tls-unique,,n=user,r=x"), "unsupported-channel-binding-type"); /* not in TLS 1.3 */
    refused("SCRAM-SHA-1-PLUS", S("p=TLS-EXPORTER,,n=user,r=x"), "unsupported-channel-binding-type");
    refused("SCRAM-SHA-1-PLUS", S("p=x,,n=user,r=x"), "unsupported-channel-binding-type");
    assert_int_equal(start("SCRAM-SHA-256-PLUS", S("p=tls-exporter,,n=user,r=x")), SASL_ASK);
    assert_int_equal(start("SCRAM-SHA-1-PLUS", S("p=tls-server-end-point,a=boss,n=user,r=x")), SASL_ASK);
}

/* c= is the header and the data, octet for octet. */
static void C065_the_binding_is_compared(void **state)
{
    (void)state;
    static const struct {
        struct slice bound;
        bool fits;
    } rows[] = { { S("p=tls-exporter,,0123456789abcdef0123456789abcdef"), true }, { S("p=tls-exporter,,0123456789abcdef0123456789abcdeg"), false },
        { S("p=tls-exporter,,0123456789abcdef0123456789abcde"), false }, { S("p=tls-exporter,,0123456789abcdef0123456789abcdef0"), false },
        { S("p=tls-exporter,,"), false }, { S("n,,"), false }, { S("p=tls-exporter,a=x,0123456789abcdef0123456789abcdef"), false },
        { S("p=tls-server-end-point,,\0end"), false } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf final = BUF(1024);
        assert_int_equal(start("SCRAM-SHA-256-PLUS", S("p=tls-exporter,,n=user,r=x")), SASL_ASK);
        assert_int_equal(keeper_answers(&keeper_256), SASL_CHALLENGE);
        assert_ok(buf_put(&final, S("c=")));
        assert_ok(base64_encode(&final, rows[i].bound));
        assert_ok(buf_put(&final, S(",r=x" SERVER_256 ",p=" PROOF_256)));
        assert_int_equal(step(buf_slice(&final)), rows[i].fits ? SASL_ASK : SASL_DONE);
        if (!rows[i].fits)
            assert_string_equal(sasl.why, "channel-bindings-dont-match");
        buf_done(&final);
        arena_reset(&test_arena);
    }
}

/* ---- client-final ------------------------------------------------------------------------------------------------------------- */

static void the_header_and_the_nonce_are_compared(void **state)
{
    (void)state;
    static const struct {
        struct slice final;
        const char *why;
    } rows[] = { { S("c=eSws,r=" CLIENT_256 SERVER_256 ",p=" PROOF_256), "channel-bindings-dont-match" }, /* "y,," now */
        { S("c=biw=,r=" CLIENT_256 SERVER_256 ",p=" PROOF_256), "channel-bindings-dont-match" },
        { S("c=biwt,r=" CLIENT_256 SERVER_256 ",p=" PROOF_256), "channel-bindings-dont-match" },
        { S("c=biws,r=" CLIENT_256 ",p=" PROOF_256), "other-error" },
        { S("c=biws,r=" CLIENT_256 SERVER_256 "x,p=" PROOF_256), "other-error" },
        { S("c=biws,r=x" SERVER_256 ",p=" PROOF_256), "other-error" },
        { S("c=biws,r=" SERVER_256 ",p=" PROOF_256), "other-error" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        to_final();
        assert_int_equal(step(rows[i].final), SASL_DONE);
        assert_int_equal(sasl.verdict, LOGIN_WRONG);
        assert_string_equal(sasl.why, rows[i].why);
    }
}

static void bad_final_messages(void **state)
{
    (void)state;
    static const struct slice bad[] = { S(""), S("c=biws"), S(FINAL_256), S(FINAL_256 ","), S(FINAL_256 ",p="), S("p=" PROOF_256),
        S("r=" CLIENT_256 SERVER_256 ",c=biws,p=" PROOF_256), S(FINAL_256 ",p=" PROOF_256 ","), S(FINAL_256 ",p=" PROOF_256 ",x=1"),
        S(FINAL_256 ",m=1,p=" PROOF_256), S("m=1," FINAL_256 ",p=" PROOF_256), S(FINAL_256 ",x,p=" PROOF_256),
        S(FINAL_256 ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="), /* 20 octets */
        S(FINAL_256 ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndQ=="), S(FINAL_256 ",p=" PROOF_256 "AAAA"),
        S(FINAL_256 ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ"), S(FINAL_256 ",p=!"), S(FINAL_256 ",p=\xff"),
        S(FINAL_256 ",x=\0,p=" PROOF_256) };
    for (size_t i = 0; i < COUNT(bad); i++) {
        to_final();
        assert_int_equal(step(bad[i]), SASL_MALFORMED);
        assert_false(sasl.is_bound);
    }
    to_final();
    assert_int_equal(sasl_step(&sasl, S("*")), SASL_CANCELLED);
    to_final();
    assert_int_equal(step(S(FINAL_256 ",x=1,y==,p=" PROOF_256)), SASL_ASK); /* the proof is wrong by now, as the keeper will say */
    assert_int_equal(keeper_answers(&keeper_256), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_WRONG);
    assert_string_equal(sasl.why, "invalid-proof");
}

/* Extensions may not make the message longer than any ask takes. */
static void long_messages_are_malformed(void **state)
{
    (void)state;
    struct buf first = BUF(16384), final = BUF(16384);
    assert_ok(buf_put(&first, S("n,,n=user,r=" CLIENT_256 ",x=")));
    for (int i = 0; i < 8000; i++)
        assert_ok(buf_put_byte(&first, 'x'));
    assert_ok(buf_put(&final, S(FINAL_256 ",x=")));
    for (int i = 0; i < 8000; i++)
        assert_ok(buf_put_byte(&final, 'x'));
    assert_ok(buf_put(&final, S(",p=" PROOF_256)));
    assert_int_equal(start("SCRAM-SHA-256", buf_slice(&first)), SASL_ASK);
    assert_int_equal(keeper_answers(&keeper_256), SASL_CHALLENGE);
    assert_int_equal(step(buf_slice(&final)), SASL_MALFORMED);
    buf_done(&first);
    buf_done(&final);
}

/* ---- the keeper's answers, and the end ------------------------------------------------------------------------------------------ */

static void answers_that_make_no_sense(void **state)
{
    (void)state;
    static const struct answer_scram bad[] = { { .salt = S(""), .nonce = S("x"), .rounds = 1 }, { .salt = S("x"), .nonce = S(""), .rounds = 1 },
        { .salt = S("x"), .nonce = S("x"), .rounds = 0 }, { .salt = S("x"), .nonce = S("a,b"), .rounds = 1 },
        { .salt = S("x"), .nonce = S("a b"), .rounds = 1 } };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(start("SCRAM-SHA-256", S("n,,n=user,r=x")), SASL_ASK);
        assert_int_equal(sasl_answer(&sasl, &(struct answer){ .kind = ASK_SCRAM, .scram = bad[i] }), SASL_DONE);
        assert_int_equal(sasl.verdict, LOGIN_BUSY);
    }
    to_final();
    assert_int_equal(step(S(FINAL_256 ",p=" PROOF_256)), SASL_ASK);
    struct answer answer = { .kind = ASK_LOGIN_SCRAM, .login = { .verdict = LOGIN_OK, .address = S("a@b"), .signature = S("short") } };
    assert_int_equal(sasl_answer(&sasl, &answer), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_BUSY);
    assert_true(sasl.is_bound);
}

/* Whoever does not take our signature is not logged in, and the session cannot go on: the keeper knows it as somebody's. */
static void the_client_has_the_last_word(void **state)
{
    (void)state;
    static const struct {
        struct slice line;
        enum sasl_outcome outcome;
    } rows[] = { { S(""), SASL_DONE }, { S("="), SASL_DONE }, { S("*"), SASL_CANCELLED }, { S("AA=="), SASL_MALFORMED }, { S("!"), SASL_MALFORMED } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        to_final();
        assert_int_equal(step(S(FINAL_256 ",p=" PROOF_256)), SASL_ASK);
        assert_int_equal(keeper_answers(&keeper_256), SASL_CHALLENGE);
        assert_int_equal(sasl_step(&sasl, rows[i].line), rows[i].outcome);
        assert_true(sasl.is_bound);
    }
}

static void the_proof_is_gone_afterwards(void **state)
{
    (void)state;
    static const char zeros[32];
    to_final();
    assert_int_equal(step(S(FINAL_256 ",p=" PROOF_256)), SASL_ASK);
    assert_memory_not_equal(sasl.secret.bytes, zeros, sizeof zeros);
    sasl_done(&sasl);
    assert_memory_equal(sasl.secret.bytes, zeros, sizeof zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scram_sha_1_of_rfc_5802), TEST(scram_sha_256_of_rfc_7677), TEST(extensions_are_ignored_and_names_unquoted),
        TEST(C086_bad_first_messages), TEST(nonces_and_names_are_bounded), TEST(a_downgrade_is_seen),
        TEST(bindings_belong_to_plus_and_plus_to_bindings), TEST(C065_the_binding_is_compared),
        TEST(the_header_and_the_nonce_are_compared), TEST(bad_final_messages), TEST(long_messages_are_malformed),
        TEST(answers_that_make_no_sense), TEST(the_client_has_the_last_word), TEST(the_proof_is_gone_afterwards),
    };
    return run_group("sasl_scram", tests, COUNT(tests));
}

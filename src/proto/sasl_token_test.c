#include "proto/sasl_testing.h"

#define TOKEN "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

/* ---- OAUTHBEARER: RFC 7628 ------------------------------------------------------------------------------------------------------- */

static void oauthbearer_of_rfc_7628(void **state)
{
    (void)state;
    static const struct slice lines[] = {
        S("bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyI"
          "HZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"),
        S("bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRmd"
          "DRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB") };
    for (size_t i = 0; i < COUNT(lines); i++) {
        assert_int_equal(sasl_start(&sasl, sasl_find(S("OAUTHBEARER")), &scene, lines[i], &test_arena), SASL_ASK);
        struct ask ask = filled();
        assert_int_equal(ask.kind, ASK_LOGIN_TOKEN);
        assert_text(ask.login_token.name, "user@example.com");
        assert_text(ask.login_token.token, TOKEN);
        assert_int_equal(ask.login_token.from.mechanism, MECHANISM_OAUTHBEARER);
    }
    assert_int_equal(answer_verdict(LOGIN_OK), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_OK);
}

static void the_token_may_say_who(void **state)
{
    (void)state;
    assert_int_equal(start("OAUTHBEARER", S("y,,\1auth=beareR   abc.def-_~+/==\1x=y\1\1")), SASL_ASK);
    assert_int_equal(filled().login_token.name.len, 0);
    assert_text(filled().login_token.token, "abc.def-_~+/==");
    assert_int_equal(start("OAUTHBEARER", S("n,a=us=3Der,\1auth=Bearer a\1\1")), SASL_ASK);
    assert_text(filled().login_token.name, "us=er");
}

static void bad_oauthbearer_messages(void **state)
{
    (void)state;
    static const struct slice bad[] = { S(""), S("\1"), S("n,,"), S("n,,\1"), S("n,,\1\1"), S("n,,\1auth=Bearer a\1"), S("n,,auth=Bearer a\1\1"),
        S("\1auth=Bearer a\1\1"), S("n,,\1auth=Bearer a"), S("n,,\1auth=Bearer a\1\1\1"), S("n,,\1auth=Bearer a\1auth=Bearer b\1\1"),
        S("n,,\1host=x\1\1"), S("n,,\1auth\1\1"), S("n,,\1=Bearer a\1\1"), S("n,,\1au th=x\1auth=Bearer a\1\1"),
        S("n,,\1port=0\1auth=Bearer a\1\1"), S("n,,\1port=65536\1auth=Bearer a\1\1"), S("n,,\1port=x\1auth=Bearer a\1\1"),
        S("n,,\1host=a b\1auth=Bearer a\1\1"), S("n,,\1auth=Bearer a\0\1\1"), S("n,,\1auth=Bearer \xc3\xbc\1\1"),
        S("p=tls-exporter,,\1auth=Bearer a\1\1"), S("n,user=someuser@example.com,\1auth=Bearer a\1\1"), S("n,a=us=er,\1auth=Bearer a\1\1"),
        S("n,a=\xff,\1auth=Bearer a\1\1"), S("n,,\1\1auth=Bearer a\1\1") };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(start("OAUTHBEARER", bad[i]), SASL_MALFORMED);
}

/* RFC 7628 3.2.2 and 4.3. */
static void the_failure_says_where_tokens_come_from(void **state)
{
    (void)state;
    test_settings.oauth_scope = S("example_scope");
    test_settings.oauth_configuration = S("https://example.com/.well-known/openid-configuration");
    assert_int_equal(sasl_start(&sasl, sasl_find(S("OAUTHBEARER")), &scene,
        S("bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9AQE="), &test_arena), SASL_CHALLENGE);
    assert_text(sasl.challenge, "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4"
        "YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0=");
    assert_int_equal(sasl_step(&sasl, S("AQ==")), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_WRONG);
    test_settings.oauth_scope = NO_SLICE;
    test_settings.oauth_configuration = S("https://x/\"\\\n");
    assert_int_equal(start("OAUTHBEARER", S("n,,\1auth=OAuth realm=\"x\"\1\1")), SASL_CHALLENGE);
    assert_text(challenge(), "{\"status\":\"invalid_token\",\"openid-configuration\":\"https://x/\\u0022\\u005c\\u000a\"}");
}

/* One dummy response, whatever it is; then it has failed, and not before. */
static void C090_whatever_comes_behind_the_failure(void **state)
{
    (void)state;
    static const struct slice rows[] = { S("AQ=="), S(""), S("="), S("!!!"), S("bixhPXVzZXIsAWF1dGg9QmVhcmVyIGEBAQ=="), S("AA") };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(start(i % 2 ? "XOAUTH2" : "OAUTHBEARER", i % 2 ? S("user=joe\1auth=Bearer a\1\1") : S("n,,\1auth=Bearer a\1\1")), SASL_ASK);
        assert_int_equal(answer_verdict(LOGIN_WRONG), SASL_CHALLENGE);
        assert_false(sasl.is_bound);
        assert_int_equal(sasl_step(&sasl, rows[i]), SASL_DONE);
        assert_int_equal(sasl.verdict, LOGIN_WRONG);
    }
    assert_int_equal(start("OAUTHBEARER", S("n,,\1auth=Bearer a\1\1")), SASL_ASK);
    assert_int_equal(answer_verdict(LOGIN_WRONG), SASL_CHALLENGE);
    assert_int_equal(sasl_step(&sasl, S("*")), SASL_CANCELLED);
    assert_int_equal(sasl.verdict, LOGIN_WRONG); /* it counts all the same */
    assert_int_equal(start("OAUTHBEARER", S("n,,\1auth=Bearer a\1\1")), SASL_ASK);
    assert_int_equal(answer_verdict(LOGIN_BUSY), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_BUSY);
}

/* ---- XOAUTH2 ---------------------------------------------------------------------------------------------------------------------- */

static void xoauth2(void **state)
{
    (void)state;
    assert_int_equal(start("XOAUTH2", S("user=user@example.com\1auth=Bearer " TOKEN "\1\1")), SASL_ASK);
    struct ask ask = filled();
    assert_int_equal(ask.kind, ASK_LOGIN_TOKEN);
    assert_text(ask.login_token.name, "user@example.com");
    assert_text(ask.login_token.token, TOKEN);
    assert_int_equal(ask.login_token.from.mechanism, MECHANISM_XOAUTH2);
    test_settings.oauth_scope = S("mail");
    assert_int_equal(answer_verdict(LOGIN_WRONG), SASL_CHALLENGE);
    assert_text(challenge(), "{\"status\":\"400\",\"schemes\":\"bearer\",\"scope\":\"mail\"}");
}

static void bad_xoauth2_messages(void **state)
{
    (void)state;
    static const struct slice bad[] = { S(""), S("user=joe"), S("user=joe\1"), S("user=\1auth=Bearer a\1\1"), S("user=joe\1auth=Bearer a\1"),
        S("user=joe\1auth=Bearer a"), S("auth=Bearer a\1user=joe\1\1"), S("user=joe\1auth=\1"), S("user=joe\1auth=Bearer a\1x\1\1"),
        S("user=jo\xff\1auth=Bearer a\1\1"), S("user=joe\0\1auth=Bearer a\1\1"), S("user=joe\1auth=Bearer \0\1\1"), S("USER=joe\1auth=Bearer a\1\1") };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(start("XOAUTH2", bad[i]), SASL_MALFORMED);
    static const struct slice foreign[] = { S("user=joe\1auth=\1\1"), S("user=joe\1auth=Basic abc\1\1"), S("user=joe\1auth=Bearer\1\1"),
        S("user=joe\1auth=Bearer a b\1\1"), S("user=joe\1auth=Bearer =\1\1"), S("user=joe\1auth=Bearer a=b\1\1") };
    for (size_t i = 0; i < COUNT(foreign); i++) {
        assert_int_equal(start("XOAUTH2", foreign[i]), SASL_CHALLENGE); /* the failure, and nobody was asked */
        assert_int_equal(sasl_step(&sasl, S("")), SASL_DONE);
        assert_int_equal(sasl.verdict, LOGIN_WRONG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(oauthbearer_of_rfc_7628), TEST(the_token_may_say_who), TEST(bad_oauthbearer_messages),
        TEST(the_failure_says_where_tokens_come_from), TEST(C090_whatever_comes_behind_the_failure), TEST(xoauth2), TEST(bad_xoauth2_messages),
    };
    return run_group("sasl_token", tests, COUNT(tests));
}

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "mail/coding.h"
#include "proto/sasl.h"

static struct arena arena = ARENA(65536);
static struct sasl sasl;
static struct buf encoded = BUF(65536);

static struct slice base64(struct slice plain)
{
    buf_clear(&encoded);
    assert_int_equal(base64_encode(&encoded, plain), STATUS_OK);
    return buf_slice(&encoded);
}

static enum sasl_outcome plain(struct slice message)
{
    return sasl_start(&sasl, sasl_find(S("plain")), message.len == 0 ? S("=") : base64(message), &arena);
}

static int tidy(void **state)
{
    (void)state;
    sasl_done(&sasl);
    arena_reset(&arena);
    return 0;
}

static void plain_with_initial_response(void **state)
{
    (void)state;
    assert_int_equal(plain(S("\0joe@a.example\0p w\xc3\xbc")), SASL_READY);
    assert_true(slice_equal(sasl.name, S("joe@a.example")));
    assert_true(slice_equal(secret_slice(&sasl.secret), S("p w\xc3\xbc")));
    assert_int_equal(sasl.authzid.len, 0);
    assert_int_equal(plain(S("boss\0joe\0pw")), SASL_READY);
    assert_true(slice_equal(sasl.authzid, S("boss")) && slice_equal(sasl.name, S("joe")));
}

static void plain_with_an_empty_challenge(void **state)
{
    (void)state;
    assert_int_equal(sasl_start(&sasl, sasl_find(S("PLAIN")), NO_SLICE, &arena), SASL_CHALLENGE);
    assert_int_equal(sasl.challenge.len, 0);
    assert_int_equal(sasl_step(&sasl, S("AGpvZQBwdw==")), SASL_READY);
    assert_true(slice_equal(sasl.name, S("joe")));
}

/* C078, C077: strict base64, exact padding, nothing behind it. */
static void C078_bad_base64_is_malformed(void **state)
{
    (void)state;
    static const struct slice bad[] = { S("===="), S("AGpvZQBwdw="), S("AGpvZQBwdw"), S("AGpvZQBwdw==="), S("AGpv ZQBwdw=="),
        S("AGpvZQBwdw==AAAA"), S("A"), S("AG=vZQBwdw=="), S("AGpvZQBwdw!=") };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sasl_start(&sasl, sasl_find(S("PLAIN")), bad[i], &arena), SASL_MALFORMED);
}

/* C086: exactly two NULs, no empty name. */
static void C086_plain_fields_are_not_confused(void **state)
{
    (void)state;
    assert_int_equal(plain(S("\0joe\0pw\0x")), SASL_MALFORMED);
    assert_int_equal(plain(S("\0joe\0pw\0")), SASL_MALFORMED);
    assert_int_equal(plain(S("\0\0pw")), SASL_MALFORMED);
    assert_int_equal(plain(S("\0joe\0")), SASL_MALFORMED);
    assert_int_equal(plain(S("joe\0pw")), SASL_MALFORMED);
    assert_int_equal(plain(S("joe")), SASL_MALFORMED);
    assert_int_equal(plain(S("")), SASL_MALFORMED);
}

/* C087 */
static void C087_names_are_utf8(void **state)
{
    (void)state;
    assert_int_equal(plain(S("\0\xff\xfe\0pw")), SASL_MALFORMED);
    assert_int_equal(plain(S("\0joe\0\xc3")), SASL_MALFORMED);
    assert_int_equal(plain(S("\xed\xa0\x80\0joe\0pw")), SASL_MALFORMED);
    assert_int_equal(plain(S("\0jo\re\0pw")), SASL_MALFORMED);
}

/* C088: too long before any hashing. */
static void C088_long_fields_are_malformed(void **state)
{
    (void)state;
    struct buf message = BUF(8192);
    for (size_t len = LIMIT_SECRET; len <= LIMIT_SECRET + 1; len++) {
        buf_clear(&message);
        assert_int_equal(buf_put(&message, S("\0joe\0")), STATUS_OK);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(buf_put_byte(&message, 'x'), STATUS_OK);
        assert_int_equal(plain(buf_slice(&message)), len <= LIMIT_SECRET ? SASL_READY : SASL_MALFORMED);
    }
    buf_clear(&message);
    assert_int_equal(buf_put_byte(&message, '\0'), STATUS_OK);
    for (size_t i = 0; i < LIMIT_LOGIN_NAME + 1; i++)
        assert_int_equal(buf_put_byte(&message, 'x'), STATUS_OK);
    assert_int_equal(buf_put(&message, S("\0pw")), STATUS_OK);
    assert_int_equal(plain(buf_slice(&message)), SASL_MALFORMED);
    buf_done(&message);
}

/* D04: these two prompts and no others. */
static void D04_login_prompts(void **state)
{
    (void)state;
    assert_int_equal(sasl_start(&sasl, sasl_find(S("LOGIN")), NO_SLICE, &arena), SASL_CHALLENGE);
    assert_true(slice_equal(sasl.challenge, S("VXNlcm5hbWU6")));
    assert_int_equal(sasl_step(&sasl, S("am9l")), SASL_CHALLENGE);
    assert_true(slice_equal(sasl.challenge, S("UGFzc3dvcmQ6")));
    assert_int_equal(sasl_step(&sasl, S("cHc=")), SASL_READY);
    assert_true(slice_equal(sasl.name, S("joe")) && slice_equal(secret_slice(&sasl.secret), S("pw")));
}

/* D03: an initial response is the name. */
static void D03_login_with_initial_response(void **state)
{
    (void)state;
    assert_int_equal(sasl_start(&sasl, sasl_find(S("login")), S("am9l"), &arena), SASL_CHALLENGE);
    assert_true(slice_equal(sasl.challenge, S("UGFzc3dvcmQ6")));
    assert_int_equal(sasl_step(&sasl, S("cHc=")), SASL_READY);
    assert_true(slice_equal(sasl.name, S("joe")));
}

static void a_star_cancels_and_empty_fields_fail(void **state)
{
    (void)state;
    assert_int_equal(sasl_start(&sasl, sasl_find(S("LOGIN")), NO_SLICE, &arena), SASL_CHALLENGE);
    assert_int_equal(sasl_step(&sasl, S("*")), SASL_CANCELLED);
    assert_int_equal(sasl_start(&sasl, sasl_find(S("LOGIN")), NO_SLICE, &arena), SASL_CHALLENGE);
    assert_int_equal(sasl_step(&sasl, S("")), SASL_MALFORMED);
    assert_int_equal(sasl_start(&sasl, sasl_find(S("LOGIN")), S("="), &arena), SASL_MALFORMED);
}

static void the_secret_is_gone_afterwards(void **state)
{
    (void)state;
    static const char zeros[sizeof sasl.secret.bytes];
    assert_int_equal(plain(S("\0joe\0pw")), SASL_READY);
    sasl_done(&sasl);
    assert_memory_equal(sasl.secret.bytes, zeros, sizeof zeros);
}

static void mechanisms_are_announced_in_order(void **state)
{
    (void)state;
    assert_string_equal(sasl_each(0)->name, "PLAIN");
    assert_string_equal(sasl_each(1)->name, "LOGIN");
    assert_null(sasl_each(2));
    assert_null(sasl_find(S("NTLM"))); /* C081 */
    assert_null(sasl_find(S("PLAI")));
    assert_null(sasl_find(S("")));
}

static void secrets_are_shown_only_where_the_administrator_said_so(void **state)
{
    (void)state;
    struct network web, office;
    struct ip inside, printer, outside;
    assert_int_equal(network_parse(S("127.0.0.0/8"), &web), STATUS_OK);
    assert_int_equal(network_parse(S("192.0.2.0/24"), &office), STATUS_OK);
    assert_int_equal(ip_parse(S("127.0.0.1"), &inside), STATUS_OK);
    assert_int_equal(ip_parse(S("192.0.2.7"), &printer), STATUS_OK);
    assert_int_equal(ip_parse(S("198.51.100.7"), &outside), STATUS_OK);
    struct settings none = { .holders = 1 };
    struct settings some = { .holders = 1, .auth_plaintext_networks = { &web, 1 }, .legacy_networks = { &office, 1 } };
    assert_int_equal(password_lane(&none, inside, false), LANE_CLOSED);
    assert_int_equal(password_lane(&none, inside, true), LANE_OPEN);
    assert_int_equal(password_lane(&some, inside, false), LANE_OPEN);
    assert_int_equal(password_lane(&some, printer, false), LANE_DEVICES_ONLY);
    assert_int_equal(password_lane(&some, printer, true), LANE_OPEN);
    assert_int_equal(password_lane(&some, outside, false), LANE_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(plain_with_initial_response, tidy),
        cmocka_unit_test_teardown(plain_with_an_empty_challenge, tidy),
        cmocka_unit_test_teardown(C078_bad_base64_is_malformed, tidy),
        cmocka_unit_test_teardown(C086_plain_fields_are_not_confused, tidy),
        cmocka_unit_test_teardown(C087_names_are_utf8, tidy),
        cmocka_unit_test_teardown(C088_long_fields_are_malformed, tidy),
        cmocka_unit_test_teardown(D04_login_prompts, tidy),
        cmocka_unit_test_teardown(D03_login_with_initial_response, tidy),
        cmocka_unit_test_teardown(a_star_cancels_and_empty_fields_fail, tidy),
        cmocka_unit_test_teardown(the_secret_is_gone_afterwards, tidy),
        cmocka_unit_test_teardown(mechanisms_are_announced_in_order, tidy),
        cmocka_unit_test_teardown(secrets_are_shown_only_where_the_administrator_said_so, tidy),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&encoded);
    arena_done(&arena);
    return failed;
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "keeper/vault.h"
#include "mail/coding.h"

static const char key[32] = "a key of thirty-two octets......";

static void test_verifier(void **state)
{
    char verifier[VAULT_VERIFIER], again[VAULT_VERIFIER];
    (void)state;
    assert_int_equal(vault_hash(1, S("right"), verifier), STATUS_OK);
    assert_int_equal(vault_hash(1, S("right"), again), STATUS_OK);
    assert_true(slice_starts(slice_of(verifier), S("$argon2id$")));
    assert_string_not_equal(verifier, again); /* salted */
    assert_true(vault_verify(slice_of(verifier), S("right")));
    assert_false(vault_verify(slice_of(verifier), S("Right")));
    assert_false(vault_verify(slice_of(verifier), S("")));
    assert_false(vault_verify(S(""), S("right")));
    assert_false(vault_verify(S("$argon2id$nonsense"), S("right")));
}

static void test_costs_grow(void **state)
{
    char verifier[VAULT_VERIFIER];
    (void)state;
    for (uint32_t cost = 1; cost <= 10; cost += 3) {
        assert_int_equal(vault_hash(cost, S("x"), verifier), STATUS_OK);
        assert_true(vault_verify(slice_of(verifier), S("x")));
    }
    /* DESIGN 9: cost 1 is for tests, under 0.1 ms; here with room for a slow machine and sanitizers. */
    msec begun = clock_now();
    for (int i = 0; i < 100; i++)
        assert_int_equal(vault_hash(1, S("x"), verifier), STATUS_OK);
    assert_true(clock_now() - begun < 200);
}

static void test_C235_sealed_opens_only_where_it_belongs(void **state)
{
    struct buf sealed = BUF(1024);
    struct secret out;
    (void)state;
    assert_int_equal(vault_seal(key, 7, S("scanner"), S("secret"), &sealed), STATUS_OK);
    assert_false(slice_has(buf_slice(&sealed), S("secret")));
    assert_int_equal(vault_open(key, 7, S("scanner"), buf_slice(&sealed), &out), STATUS_OK);
    assert_true(slice_equal(secret_slice(&out), S("secret")));
    assert_int_equal(vault_open(key, 8, S("scanner"), buf_slice(&sealed), &out), STATUS_CORRUPT);
    assert_int_equal(vault_open(key, 7, S("Scanner"), buf_slice(&sealed), &out), STATUS_CORRUPT);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.ptr[i] ^= 1;
        assert_int_equal(vault_open(key, 7, S("scanner"), buf_slice(&sealed), &out), STATUS_CORRUPT);
        sealed.ptr[i] ^= 1;
        assert_int_equal(vault_open(key, 7, S("scanner"), slice_upto(buf_slice(&sealed), i), &out), STATUS_CORRUPT);
    }
    buf_done(&sealed);
}

/* The nonce is drawn anew each time, 192 bits of it: the same secret sealed again shows nothing. */
static void test_C236_sealing_again_repeats_nothing(void **state)
{
    struct buf one = BUF(1024), two = BUF(1024);
    (void)state;
    assert_int_equal(vault_seal(key, 7, S("scanner"), S("secret"), &one), STATUS_OK);
    assert_int_equal(vault_seal(key, 7, S("scanner"), S("secret"), &two), STATUS_OK);
    assert_int_equal(one.len, two.len);
    for (size_t i = 0; i + 8 <= one.len; i++)
        assert_memory_not_equal(one.ptr + i, two.ptr + i, 8);
    buf_done(&one);
    buf_done(&two);
}

static void test_device_passwords(void **state)
{
    char one[VAULT_PASSWORD], two[VAULT_PASSWORD];
    (void)state;
    for (int i = 0; i < 200; i++) {
        bool letter = false;
        vault_password(one);
        vault_password(two);
        assert_string_not_equal(one, two);
        assert_int_equal(strlen(one), 27);
        for (const char *at = one; *at; at++) {
            bool here = (*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z');
            assert_true(here || (*at >= '0' && *at <= '9') || *at == '-');
            letter = letter || here;
        }
        assert_true(letter);
    }
}

static void test_apop_vector(void **state) /* RFC 1939 7 */
{
    char digest[16];
    struct buf hex = BUF(64);
    (void)state;
    vault_apop(S("<1896.697170952@dbc.mtview.ca.us>"), S("tanstaaf"), digest);
    assert_int_equal(hex_encode(&hex, (struct slice){ digest, 16 }), STATUS_OK);
    assert_true(slice_equal(buf_slice(&hex), S("c4c9334bac560ecc979e58001b3e22fb")));
    buf_done(&hex);
}

static void assert_cram(const char *expected, struct slice key_octets, struct slice challenge)
{
    char digest[16];
    struct buf hex = BUF(64);
    vault_cram(challenge, key_octets, digest);
    assert_int_equal(hex_encode(&hex, (struct slice){ digest, 16 }), STATUS_OK);
    assert_true(slice_equal(buf_slice(&hex), slice_of(expected)));
    buf_done(&hex);
}

static void test_cram_vectors(void **state) /* RFC 2195 2, RFC 2202 2 */
{
    char b[16], aa[80], dd[50];
    (void)state;
    memset(b, 0x0b, sizeof b);
    memset(aa, 0xaa, sizeof aa);
    memset(dd, 0xdd, sizeof dd);
    assert_cram("b913a602c7eda7a495b4e6e7334d3890", S("tanstaaftanstaaf"), S("<1896.697170952@postoffice.reston.mci.net>"));
    assert_cram("9294727a3638bb1c13f48ef8158bfc9d", (struct slice){ b, 16 }, S("Hi There"));
    assert_cram("750c783e6ab0b503eaa86e310a5db738", S("Jefe"), S("what do ya want for nothing?"));
    assert_cram("56be34521d144c88dbb8c733f0e8b3f6", (struct slice){ aa, 16 }, (struct slice){ dd, 50 });
    assert_cram("6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd", (struct slice){ aa, 80 }, S("Test Using Larger Than Block-Size Key - Hash Key First"));
}

/* The vectors of the schemes' own descriptions. */
static void test_imported_vectors(void **state)
{
    static const struct {
        const char *secret, *hash;
    } rows[] = {
        { "Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1" },
        { "Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5" },
        { "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" },
    };
    char verifier[VAULT_VERIFIER];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(vault_import(slice_of(rows[i].hash), verifier), STATUS_OK);
        assert_string_equal(verifier, rows[i].hash);
        assert_true(vault_verify(slice_of(verifier), slice_of(rows[i].secret)));
        assert_false(vault_verify(slice_of(verifier), S("hello world!")));
        assert_false(vault_verify(slice_of(verifier), S("")));
        assert_false(vault_is_current(slice_of(verifier), 1));
        struct slice cut = slice_upto(slice_of(verifier), strlen(verifier) - 1);
        assert_false(vault_verify(cut, slice_of(rows[i].secret)));
        assert_int_equal(vault_import(cut, verifier), STATUS_MALFORMED);
    }
    /* A phrase ends at its NUL there: another one must not fit. */
    assert_int_equal(vault_import(slice_of(rows[1].hash), verifier), STATUS_OK);
    assert_false(vault_verify(slice_of(verifier), S("Hello world!\0more")));
}

static void test_C088_imports_that_cost_too_much(void **state)
{
    static const char *const dear[] = { "$6$rounds=1000001$saltstring$", "$6$rounds=99999999999999999999$saltstring$", "$5$rounds=999999999$saltstring$",
        "$2b$15$abcdefghijklmnopqrstuu", "$2y$31$abcdefghijklmnopqrstuu", "$y$jFT$abcdefghijklmnop$", "$y$j9z$abcdefghijklmnop$", "$7$zU..../....abcdefghijklmnop$",
        "$sha1$4000000000$abcdefgh$", "$md5,rounds=4000000000$abcdefgh$", "_zzzzsalt", "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$x",
        "$argon2i$v=19$m=65536,t=4000000000,p=1$c2FsdHNhbHRzYWx0c2FsdA$x" };
    char verifier[VAULT_VERIFIER];
    (void)state;
    msec begun = clock_now();
    for (size_t i = 0; i < sizeof dear / sizeof *dear; i++)
        assert_int_equal(vault_import(slice_of(dear[i]), verifier), STATUS_MALFORMED);
    assert_true(clock_now() - begun < 500); /* none of them was computed */
}

static void test_current(void **state)
{
    char verifier[VAULT_VERIFIER];
    (void)state;
    for (uint32_t cost = 1; cost <= 4; cost++) {
        assert_int_equal(vault_hash(cost, S("x"), verifier), STATUS_OK);
        for (uint32_t other = 1; other <= 10; other++)
            assert_int_equal(vault_is_current(slice_of(verifier), other), other == cost);
    }
    assert_false(vault_is_current(S(""), 1));
}

static void test_digest(void **state) /* FIPS 180-2, B.1 */
{
    uint8_t out[32];
    struct buf hex = BUF(128);
    (void)state;
    struct vault_digest *digest = vault_digest_open();
    vault_digest_put(digest, S("a"));
    vault_digest_put(digest, S("bc"));
    vault_digest_close(digest, out);
    assert_int_equal(hex_encode(&hex, (struct slice){ (char *)out, 32 }), STATUS_OK);
    assert_true(slice_equal(buf_slice(&hex), S("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")));
    buf_done(&hex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verifier),
        cmocka_unit_test(test_costs_grow),
        cmocka_unit_test(test_C235_sealed_opens_only_where_it_belongs),
        cmocka_unit_test(test_C236_sealing_again_repeats_nothing),
        cmocka_unit_test(test_device_passwords),
        cmocka_unit_test(test_apop_vector),
        cmocka_unit_test(test_cram_vectors),
        cmocka_unit_test(test_imported_vectors),
        cmocka_unit_test(test_C088_imports_that_cost_too_much),
        cmocka_unit_test(test_current),
        cmocka_unit_test(test_digest),
    };
    vault_init();
    return cmocka_run_group_tests_name("vault", tests, NULL, NULL);
}

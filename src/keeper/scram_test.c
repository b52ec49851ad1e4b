#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "keeper/scram.h"
#include "mail/coding.h"

static struct slice decoded(struct buf *room, const char *base64)
{
    buf_clear(room);
    assert_int_equal(base64_decode(room, slice_of(base64)), STATUS_OK);
    return buf_slice(room);
}

static void assert_base64(const char *expected, const uint8_t *octets, size_t size)
{
    struct buf text = BUF(128);
    assert_int_equal(base64_encode(&text, (struct slice){ (const char *)octets, size }), STATUS_OK);
    assert_true(slice_equal(buf_slice(&text), slice_of(expected)));
    buf_done(&text);
}

/* RFC 7677 3: user, pencil; its salt has the 16 octets that ours have. */
static void test_RFC_7677_example(void **state)
{
    struct buf salt = BUF(64), proof = BUF(64);
    struct scram_keys keys;
    uint8_t signature[SCRAM_KEY];
    (void)state;
    struct slice message = S("n=user,r=rOprNGfwEbeRWgbNEkqO,"
                             "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
                             "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    decoded(&salt, "W22ZaJ0SNY7soEsUEjb6gQ==");
    assert_int_equal(salt.len, SCRAM_SALT);
    scram_make(SCRAM_SHA_256, S("pencil"), (const uint8_t *)salt.ptr, 4096, &keys);
    assert_base64("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", keys.stored, 32);
    assert_base64("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", keys.server, 32);
    decoded(&proof, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_true(scram_try(SCRAM_SHA_256, &keys, message, buf_slice(&proof), signature));
    assert_base64("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", signature, 32);
    for (size_t i = 0; i < proof.len; i++) {
        proof.ptr[i] ^= 1;
        assert_false(scram_try(SCRAM_SHA_256, &keys, message, buf_slice(&proof), signature));
        proof.ptr[i] ^= 1;
        assert_false(scram_try(SCRAM_SHA_256, &keys, message, slice_upto(buf_slice(&proof), i), signature));
    }
    assert_false(scram_try(SCRAM_SHA_256, &keys, slice_from(message, 1), buf_slice(&proof), signature));
    buf_done(&salt);
    buf_done(&proof);
}

/* RFC 5802 5: the proof of the example, from its StoredKey and ServerKey; its salt is shorter than ours. */
static void test_RFC_5802_example(void **state)
{
    struct buf room = BUF(64);
    struct scram_keys keys = { .rounds = 4096 };
    uint8_t signature[SCRAM_KEY];
    (void)state;
    struct slice message = S("n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
                             "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
                             "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j");
    memcpy(keys.stored, decoded(&room, "6dlGYMOdZcOPutkcNY8U2g7vK9Y=").ptr, 20);
    memcpy(keys.server, decoded(&room, "D+CSWLOshSulAsxiupA+qs2/fTE=").ptr, 20);
    struct slice proof = decoded(&room, "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
    assert_true(scram_try(SCRAM_SHA_1, &keys, message, proof, signature));
    assert_base64("rmF9pqV8S7suAoZWja4dJRkFsKQ=", signature, 20);
    keys.rounds = 0;
    assert_false(scram_try(SCRAM_SHA_1, &keys, message, proof, signature));
    buf_done(&room);
}

static void test_verifiers_are_packed(void **state)
{
    struct scram_verifier verifier = { 0 }, again;
    char blob[SCRAM_BLOB];
    (void)state;
    memset(verifier.salt, 7, sizeof verifier.salt);
    scram_make(SCRAM_SHA_256, S("x"), verifier.salt, 600000 / 100, &verifier.keys[SCRAM_SHA_256]);
    size_t one = scram_pack(&verifier, blob);
    assert_int_equal(scram_unpack((struct slice){ blob, one }, &again), STATUS_OK);
    assert_memory_equal(&verifier, &again, sizeof again);
    assert_int_equal(again.keys[SCRAM_SHA_1].rounds, 0);
    scram_make(SCRAM_SHA_1, S("x"), verifier.salt, 4096, &verifier.keys[SCRAM_SHA_1]);
    size_t both = scram_pack(&verifier, blob);
    assert_int_equal(scram_unpack((struct slice){ blob, both }, &again), STATUS_OK);
    assert_memory_equal(&verifier, &again, sizeof again);
    for (size_t cut = 0; cut < both; cut++)
        if (cut != 1 + SCRAM_SALT && cut != 1 + SCRAM_SALT + 45) /* whole entries */
            assert_int_equal(scram_unpack((struct slice){ blob, cut }, &again), STATUS_CORRUPT);
    blob[0] = 9;
    assert_int_equal(scram_unpack((struct slice){ blob, both }, &again), STATUS_CORRUPT);
}

static void test_salts_and_rounds(void **state)
{
    static const char key[32] = "a key of thirty-two octets......", other[32] = "another of thirty-two octets....";
    uint8_t one[SCRAM_SALT], two[SCRAM_SALT];
    (void)state;
    scram_salt(key, S("alice@our.test"), one, NULL);
    scram_salt(key, S("alice@our.test"), two, NULL);
    assert_memory_equal(one, two, sizeof one);
    scram_salt(key, S("bob@our.test"), two, NULL);
    assert_memory_not_equal(one, two, sizeof one);
    scram_salt(other, S("alice@our.test"), two, NULL);
    assert_memory_not_equal(one, two, sizeof one);
    for (uint32_t cost = 1; cost <= 10; cost++)
        assert_true(scram_rounds(SCRAM_SHA_256, cost, false) >= 4096); /* RFC 7677 4 */
    assert_int_equal(scram_rounds(SCRAM_SHA_256, 5, false), 100000);
    assert_int_equal(scram_rounds(SCRAM_SHA_1, 5, false), 4096);
    assert_int_equal(scram_rounds(SCRAM_SHA_1, 5, true), 100000);
}

/* One account in four has not logged in since the cost was changed. */
static void test_C075_rounds_of_names_that_nobody_has(void **state)
{
    static const char key[32] = "a key of thirty-two octets......";
    uint32_t counts[SCRAM_COSTS] = { 0 }, old = 0;
    uint8_t salt[SCRAM_SALT];
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char name[16];
        uint64_t draw;
        uint32_t last = 0;
        snprintf(name, sizeof name, "name-%d", i);
        scram_salt(key, slice_of(name), salt, &draw);
        counts[4] = 100;
        counts[2] = 0;
        assert_int_equal(scram_rounds_of_nobody(counts, 100, 100000, draw), 100000);
        for (uint32_t behind = 50; behind > 0; behind -= 5) { /* one after the other logs in */
            counts[2] = behind;
            counts[4] = 200 - behind;
            uint32_t rounds = scram_rounds_of_nobody(counts, 200, 100000, draw);
            assert_true(rounds == 25000 || rounds == 100000);
            assert_true(rounds >= last);
            last = rounds;
            old += behind == 50 && rounds == 25000;
        }
        memset(counts, 0, sizeof counts);
        assert_int_equal(scram_rounds_of_nobody(counts, 0, 4096, draw), 4096);
    }
    assert_in_range(old, 200, 300);
    assert_int_equal(scram_cost_of(100000), 4);
    assert_int_equal(scram_cost_of(7), SCRAM_COSTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_RFC_7677_example),
        cmocka_unit_test(test_RFC_5802_example),
        cmocka_unit_test(test_verifiers_are_packed),
        cmocka_unit_test(test_salts_and_rounds),
        cmocka_unit_test(test_C075_rounds_of_names_that_nobody_has),
    };
    scram_init();
    return cmocka_run_group_tests_name("scram", tests, NULL, NULL);
}

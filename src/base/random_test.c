#include "base/random.h"
#include "base/sip.h"
#include "base/testing.h"

/* The example of the paper (Aumasson and Bernstein 2012, appendix A). */
static void test_sip_hash(void **none)
{
    unsigned char key_octets[16], text[15];
    uint64_t key[2];
    (void)none;
    for (unsigned char i = 0; i < sizeof key_octets; i++)
        key_octets[i] = i;
    for (unsigned char i = 0; i < sizeof text; i++)
        text[i] = i;
    memcpy(key, key_octets, sizeof key);
    assert_true(sip_hash((struct slice){ (const char *)text, sizeof text }, key) == 0xa129ca6149be45e5u);
}

static void test_stream_repeats(void **none)
{
    struct random_stream a = { 1, 2, 0 }, b = a;
    (void)none;
    for (int i = 0; i < 100; i++)
        assert_true(random_next(&a) == random_next(&b));
    assert_true(random_next(&a) != random_next(&a));
}

/* Either half of the seed makes another stream. */
static void test_both_halves_count(void **none)
{
    (void)none;
    for (uint64_t i = 0; i < 64; i++) {
        struct random_stream plain = { 7, 7, 0 }, low = { 7 ^ 1ull << i, 7, 0 }, high = { 7, 7 ^ 1ull << i, 0 };
        uint64_t number = random_next(&plain);
        assert_true(random_next(&low) != number && random_next(&high) != number);
    }
}

/* No bit stands still, none is drawn much more often than not. */
static void test_bits_are_even(void **none)
{
    struct random_stream stream = { 3 };
    int set[64] = { 0 };
    (void)none;
    for (int i = 0; i < 4000; i++) {
        uint64_t number = random_next(&stream);
        for (int bit = 0; bit < 64; bit++)
            set[bit] += (int)(number >> bit & 1);
    }
    for (int bit = 0; bit < 64; bit++)
        assert_in_range(set[bit], 1800, 2200);
}

static void test_fill_differs(void **none)
{
    uint64_t seed[2] = { 0 }, other[2] = { 0 };
    (void)none;
    random_fill(seed, sizeof seed);
    random_fill(other, sizeof other);
    assert_memory_not_equal(seed, other, sizeof seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sip_hash),
        cmocka_unit_test(test_stream_repeats),
        cmocka_unit_test(test_both_halves_count),
        cmocka_unit_test(test_bits_are_even),
        cmocka_unit_test(test_fill_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/map.h"

#include "base/map.c"
#include "base/testing.h"

static int values[20000];

static void siphash_agrees_with_its_authors(void **state)
{
    (void)state;
    /* Test vectors of "SipHash: a fast short-input PRF", key 00..0f, messages 00..: lengths 0, 1, 8 and 15. */
    static const unsigned char octets[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    uint64_t key[2];
    memcpy(key, octets, sizeof key);
    const char *text = (const char *)octets;
    assert_true(sip_hash((struct slice){ text, 0 }, key) == 0x726fdb47dd0e0e31u);
    assert_true(sip_hash((struct slice){ text, 1 }, key) == 0x74f839c593dc67fdu);
    assert_true(sip_hash((struct slice){ text, 8 }, key) == 0x93f5f5799a932462u);
    assert_true(sip_hash((struct slice){ text, 15 }, key) == 0xa129ca6149be45e5u);
}

static void many_keys_come_and_go(void **state)
{
    (void)state;
    struct map m = { 0 };
    for (uint64_t i = 0; i < COUNT(values); i++)
        map_put(&m, map_key(i), &values[i]);
    assert_int_equal(m.count, COUNT(values));
    for (uint64_t i = 0; i < COUNT(values); i++)
        assert_ptr_equal(map_find(&m, map_key(i)), &values[i]);
    for (uint64_t i = 0; i < COUNT(values); i += 2)
        assert_ptr_equal(map_take(&m, map_key(i)), &values[i]);
    for (uint64_t i = 0; i < COUNT(values); i++)
        assert_ptr_equal(map_find(&m, map_key(i)), i % 2 ? &values[i] : NULL);
    for (uint64_t i = 0; i < COUNT(values); i++)
        assert_ptr_equal(map_take(&m, map_key(i)), i % 2 ? &values[i] : NULL);
    assert_int_equal(m.count, 0);
    map_done(&m);
    assert_null(map_find(&m, S("x")));
}

static void a_small_map_stays_small_for_ever(void **state)
{
    (void)state;
    struct map m = { 0 };
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t old = i - 4;
        map_put(&m, map_key(i), &values[0]);
        assert_true(i < 4 || map_take(&m, map_key(old)) == &values[0]);
        assert_in_range(m.cap, 1, 32);
        assert_in_range(m.used, m.count, m.cap - 1);
    }
    map_done(&m);
}

static void keys_are_octets_and_are_copied(void **state)
{
    (void)state;
    struct map m = { 0 };
    char key[] = "a\0b";
    map_put(&m, (struct slice){ key, 3 }, &values[1]);
    map_put(&m, NO_SLICE, &values[2]);
    key[2] = 'c';
    assert_ptr_equal(map_find(&m, S("a\0b")), &values[1]);
    assert_null(map_find(&m, S("a\0c")));
    assert_null(map_find(&m, S("a")));
    assert_ptr_equal(map_find(&m, S("")), &values[2]);
    map_put(&m, S("a\0b"), &values[3]);
    assert_int_equal(m.count, 2);
    assert_ptr_equal(map_take(&m, S("a\0b")), &values[3]);
    assert_null(map_take(&m, S("a\0b")));
    map_done(&m);
    map_put(&m, S("alone"), &values[1]);
    assert_non_null(map_take(&m, S("alone")));
    assert_int_equal(m.used, 0); /* no grave is left where none is needed */
    map_done(&m);
}

static void each_visits_once_while_visited_entries_go(void **state)
{
    (void)state;
    struct map m = { 0 };
    for (uint64_t i = 0; i < 1000; i++)
        map_put(&m, map_key(i), &values[i]);
    size_t count = 0;
    struct slice key;
    void *value;
    memset(values, 0, sizeof values);
    for (size_t at = 0; map_each(&m, &at, &key, &value); count++) {
        uint64_t number;
        memcpy(&number, key.ptr, sizeof number);
        assert_ptr_equal(value, &values[number]);
        assert_int_equal(values[number]++, 0);
        if (number % 3 == 0)
            assert_ptr_equal(map_take(&m, map_key(number)), value);
    }
    assert_int_equal(count, 1000);
    assert_int_equal(m.count, 666);
    map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_agrees_with_its_authors),
        cmocka_unit_test(many_keys_come_and_go),
        cmocka_unit_test(a_small_map_stays_small_for_ever),
        cmocka_unit_test(keys_are_octets_and_are_copied),
        cmocka_unit_test(each_visits_once_while_visited_entries_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

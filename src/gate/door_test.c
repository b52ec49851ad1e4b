#include "gate/door.h"

#include <stdio.h>

#include "base/testing.h"

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_ok(ip_parse(slice_of(text), &ip));
    return ip;
}

static void test_C227_one_address(void **state)
{
    (void)state;
    struct door door = { 0 };
    for (int i = 0; i < 50; i++)
        assert_true(door_enter(&door, ip_of("192.0.2.1"), 50, 1000));
    assert_false(door_enter(&door, ip_of("192.0.2.1"), 50, 1000));
    /* The same address in its other form is no way round it (C104). */
    assert_false(door_enter(&door, ip_of("::ffff:192.0.2.1"), 50, 1000));
    assert_true(door_enter(&door, ip_of("192.0.2.2"), 50, 1000));
    door_leave(&door, ip_of("192.0.2.1"));
    assert_true(door_enter(&door, ip_of("192.0.2.1"), 50, 1000));
    assert_false(door_enter(&door, ip_of("192.0.2.1"), 50, 1000));
    assert_int_equal(door.inside, 51);
    door_done(&door);
}

static void test_C227_a_network_of_ipv6(void **state)
{
    (void)state;
    struct door door = { 0 };
    char text[64];
    unsigned let_in = 0;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(text, sizeof text, "2001:db8:0:1::%x:%x", i & 0xff, i);
        let_in += door_enter(&door, ip_of(text), 50, 20000);
    }
    assert_int_equal(let_in, 50);
    assert_true(door_enter(&door, ip_of("2001:db8:0:2::1"), 50, 20000));
    assert_int_equal(door.addresses.count, 2);
    door_done(&door);
}

static void test_C227_from_everywhere(void **state)
{
    (void)state;
    struct door door = { 0 };
    char text[64];
    unsigned let_in = 0;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(text, sizeof text, "10.%u.%u.1", i >> 8, i & 0xff);
        let_in += door_enter(&door, ip_of(text), 50, 3000);
    }
    assert_int_equal(let_in, 3000);
    assert_false(door_enter(&door, ip_of("127.0.0.1"), 50, 3000));
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "10.%u.%u.1", i >> 8, i & 0xff);
        door_leave(&door, ip_of(text));
    }
    assert_int_equal(door.inside, 0);
    assert_int_equal(door.addresses.count, 0); /* nothing is remembered of who is gone */
    assert_true(door_enter(&door, ip_of("127.0.0.1"), 50, 3000));
    door_done(&door);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_C227_one_address),
        cmocka_unit_test(test_C227_a_network_of_ipv6),
        cmocka_unit_test(test_C227_from_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

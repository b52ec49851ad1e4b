#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "keeper/throttle.h"

static struct ip ip_of(const char *text)
{
    struct ip ip = { 0 };
    assert_int_equal(ip_parse(slice_of(text), &ip), STATUS_OK);
    return ip;
}

static void test_C076_delay_grows_and_is_forgotten(void **state)
{
    struct throttle t = { 0 };
    struct ip peer = ip_of("192.0.2.1");
    msec now = 5000, last = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(throttle_delay(&t, S("alice"), peer, now), 0);
        throttle_failed(&t, S("alice"), peer, now);
    }
    for (int i = 0; i < 12; i++) {
        msec delay = throttle_delay(&t, S("Alice"), peer, now);
        assert_true(delay >= last && delay > 0 && delay <= SECONDS(10));
        last = delay;
        throttle_failed(&t, S("alice"), peer, now);
    }
    assert_int_equal(last, SECONDS(10));
    /* Nobody is locked out from elsewhere; the neighbour's network shares the delay for this name. */
    assert_int_equal(throttle_delay(&t, S("alice"), ip_of("198.51.100.1"), now), 0);
    assert_int_equal(throttle_delay(&t, S("alice"), ip_of("192.0.2.9"), now), SECONDS(10));
    assert_int_equal(throttle_delay(&t, S("bob"), peer, now), 0);
    throttle_passed(&t, S("alice"), peer);
    assert_int_equal(throttle_delay(&t, S("alice"), peer, now), 0);
    for (int i = 0; i < 5; i++)
        throttle_failed(&t, S("alice"), peer, now);
    now += MINUTES(16);
    assert_int_equal(throttle_delay(&t, S("alice"), peer, now), 0);
    throttle_forget(&t, now);
    assert_int_equal(t.entries.count, 0);
    throttle_done(&t);
}

static void test_C076_one_address_many_names(void **state)
{
    struct throttle t = { 0 };
    char name[32];
    (void)state;
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "name%d", i);
        throttle_failed(&t, slice_of(name), ip_of("2001:db8::1"), 1);
    }
    assert_true(throttle_delay(&t, S("fresh"), ip_of("2001:db8::2"), 1) > 0); /* the same /64 */
    assert_int_equal(throttle_delay(&t, S("fresh"), ip_of("2001:db8:0:1::2"), 1), 0);
    throttle_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_C076_delay_grows_and_is_forgotten),
        cmocka_unit_test(test_C076_one_address_many_names),
    };
    return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}

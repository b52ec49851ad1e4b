#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "keeper/place.h"

#define NOW ((wall)1900000000000)

static struct ip ip_of(const char *text)
{
    struct ip ip = { 0 };
    assert_int_equal(ip_parse(slice_of(text), &ip), STATUS_OK);
    return ip;
}

static int setup(void **state)
{
    static struct places places;
    place_init(&places);
    *state = &places;
    return 0;
}

static int teardown(void **state)
{
    place_done(*state);
    return 0;
}

static void test_networks(void **state)
{
    struct places *p = *state;
    assert_false(place_has(p, 1));
    assert_true(place_note(p, 1, ip_of("192.0.2.1"), NOW));
    assert_false(place_note(p, 1, ip_of("::ffff:192.0.2.1"), NOW));
    assert_true(place_knows(p, 1, ip_of("192.0.2.99"), NOW)); /* the same /24: at home */
    assert_true(place_note(p, 1, ip_of("192.0.2.99"), NOW));  /* and yet a new address */
    assert_true(place_note(p, 1, ip_of("192.0.3.1"), NOW));
    assert_true(place_note(p, 1, ip_of("2001:db8::1"), NOW));
    assert_false(place_note(p, 1, ip_of("2001:db8::2"), NOW)); /* the same /64 */
    assert_true(place_knows(p, 1, ip_of("2001:db8::ffff:1"), NOW));
    assert_false(place_knows(p, 1, ip_of("2001:db8:0:1::1"), NOW));
    assert_true(place_note(p, 2, ip_of("192.0.2.1"), NOW)); /* another's place is not his */
    assert_false(place_knows(p, 0, ip_of("192.0.2.1"), NOW));
    assert_true(place_has(p, 1));
    place_forget_account(p, 1);
    assert_false(place_has(p, 1));
    assert_false(place_knows(p, 1, ip_of("192.0.2.1"), NOW));
    assert_true(place_knows(p, 2, ip_of("192.0.2.1"), NOW));
    place_forget_account(p, 1);
}

static void test_places_grow_old(void **state)
{
    struct places *p = *state;
    struct ip home = ip_of("192.0.2.1"), away = ip_of("198.51.100.1");
    place_note(p, 1, home, NOW);
    place_note(p, 1, away, NOW);
    place_note(p, 1, home, NOW + DAYS(89));
    assert_true(place_knows(p, 1, home, NOW + DAYS(100)));
    assert_true(place_knows(p, 1, away, NOW + DAYS(90)));
    assert_false(place_knows(p, 1, away, NOW + DAYS(91)));
    assert_true(place_note(p, 1, away, NOW + DAYS(91))); /* he is told anew */
    assert_true(place_knows(p, 1, away, NOW + DAYS(92)));
    place_forget(p, NOW + DAYS(180));
    assert_int_equal(p->rows.count, 1);
    place_forget(p, NOW + DAYS(182));
    assert_int_equal(p->rows.count, 0);
    assert_int_equal(p->accounts.count, 0);
    /* A clock that goes back makes nothing old. */
    place_note(p, 1, home, NOW);
    assert_true(place_knows(p, 1, home, NOW - DAYS(300)));
}

static void test_the_latest_are_kept(void **state)
{
    struct places *p = *state;
    char text[32];
    place_note(p, 2, ip_of("10.0.0.1"), NOW);
    for (unsigned at = 0; at <= LIMIT_PLACES_ACCOUNT; at++) {
        snprintf(text, sizeof text, "10.1.%u.1", at);
        assert_true(place_note(p, 1, ip_of(text), NOW + at));
        if (at == 1)
            place_note(p, 1, ip_of("10.1.0.1"), NOW + MINUTES(1)); /* used again: not the oldest any more */
    }
    assert_int_equal(p->rows.count, LIMIT_PLACES_ACCOUNT + 1);
    assert_true(place_knows(p, 1, ip_of("10.1.0.1"), NOW));
    assert_false(place_knows(p, 1, ip_of("10.1.1.1"), NOW));
    assert_true(place_knows(p, 1, ip_of("10.1.2.1"), NOW));
    assert_true(place_knows(p, 2, ip_of("10.0.0.1"), NOW));
}

static void test_what_the_store_is_told(void **state)
{
    struct places *p = *state;
    struct store_place rows[4];
    place_put(p, &(struct store_place){ .account = 7, .address = ip_of("203.0.113.9"), .first = 5, .last = NOW }, NOW);
    place_put(p, &(struct store_place){ .account = 7, .address = ip_of("203.0.112.0"), .first = 5, .last = NOW - DAYS(91) }, NOW);
    assert_true(place_knows(p, 7, ip_of("203.0.113.9"), NOW));
    assert_false(place_has(p, 1));
    assert_int_equal(p->rows.count, 1); /* what is too old is left there */
    assert_int_equal(place_take_fresh(p, rows, 4), 0);
    assert_false(place_note(p, 7, ip_of("203.0.113.9"), NOW + MINUTES(5)));
    assert_int_equal(place_take_fresh(p, rows, 4), 0); /* the store knows it well enough */
    place_note(p, 7, ip_of("203.0.113.9"), NOW + MINUTES(61));
    for (unsigned at = 0; at < 5; at++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%u.1", at);
        place_note(p, 1, ip_of(text), NOW + at);
    }
    assert_int_equal(place_take_fresh(p, rows, 4), 4);
    assert_int_equal(rows[0].account, 7);
    assert_int_equal(rows[0].first, 5);
    assert_int_equal(rows[0].last, NOW + MINUTES(61));
    assert_true(ip_equal(rows[0].address, ip_of("203.0.113.9")));
    place_forget_account(p, 7);
    assert_int_equal(place_take_fresh(p, rows, 4), 2);
    assert_int_equal(place_take_fresh(p, rows, 4), 0);
    /* One that goes while it waits to be told is not told. */
    place_note(p, 3, ip_of("10.0.0.1"), NOW);
    place_forget_account(p, 3);
    assert_int_equal(place_take_fresh(p, rows, 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define PLACES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        PLACES(test_networks),
        PLACES(test_places_grow_old),
        PLACES(test_the_latest_are_kept),
        PLACES(test_what_the_store_is_told),
    };
    return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "keeper/throttle.h"

static struct throttle_try of(const char *name, const char *peer, uint64_t password)
{
    struct throttle_try attempt = { .name = slice_of(name), .fingerprint = password };
    assert_int_equal(ip_parse(slice_of(peer), &attempt.peer), STATUS_OK);
    return attempt;
}

static msec delay(const struct throttle *t, struct throttle_try attempt, msec now)
{
    return throttle_delay(t, &attempt, now);
}

static void fail_once(struct throttle *t, struct throttle_try attempt, msec now)
{
    throttle_failed(t, &attempt, now);
}

static struct throttle_try at_home(struct throttle_try attempt)
{
    attempt.is_home = true;
    return attempt;
}

static struct throttle_try nobody(struct throttle_try attempt)
{
    attempt.is_nobody = true;
    return attempt;
}

static void test_C076_delay_grows_and_is_forgotten(void **state)
{
    struct throttle t = { 0 };
    struct throttle_try alice = of("alice", "192.0.2.1", 0);
    msec now = 5000, last = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(delay(&t, alice, now), 0);
        fail_once(&t, alice, now);
    }
    for (int i = 0; i < 12; i++) {
        msec wait = delay(&t, of("Alice", "192.0.2.1", 0), now);
        assert_true(wait >= last && wait > 0 && wait <= SECONDS(10));
        last = wait;
        fail_once(&t, alice, now);
    }
    assert_int_equal(last, SECONDS(10));
    /* Nobody is locked out from elsewhere; the neighbour's network shares the delay for this name. */
    assert_int_equal(delay(&t, of("alice", "198.51.100.1", 0), now), 0);
    assert_int_equal(delay(&t, of("alice", "192.0.2.9", 0), now), SECONDS(10));
    assert_int_equal(delay(&t, of("bob", "192.0.2.1", 0), now), 0);
    throttle_passed(&t, &alice);
    assert_int_equal(delay(&t, alice, now), 0);
    for (int i = 0; i < 5; i++)
        fail_once(&t, alice, now);
    now += MINUTES(16);
    assert_int_equal(delay(&t, alice, now), 0);
    throttle_forget(&t, now);
    assert_int_equal(t.entries.count, 0);
    assert_int_equal(t.networks.count, 0);
    throttle_done(&t);
}

static void test_C076_one_address_many_names(void **state)
{
    struct throttle t = { 0 };
    char name[32];
    (void)state;
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "name%d", i);
        fail_once(&t, of(name, "2001:db8::1", 0), 1);
    }
    assert_true(delay(&t, of("fresh", "2001:db8::2", 0), 1) > 0); /* the same /64 */
    assert_int_equal(delay(&t, of("fresh", "2001:db8:0:1::2", 0), 1), 0);
    throttle_done(&t);
}

/* Few tries from each address of one network, always another name: no address ever has too many. */
static void test_C076_one_network_many_names(void **state)
{
    struct throttle t = { 0 };
    char name[32], peer[32];
    (void)state;
    for (unsigned i = 0; i + 1 < LIMIT_SPRAY_NAMES; i++) {
        assert_int_equal(delay(&t, of("fresh", "192.0.2.200", 0), 1), 0);
        snprintf(name, sizeof name, "name%u", i);
        snprintf(peer, sizeof peer, "192.0.2.%u", i);
        fail_once(&t, of(name, peer, 0), 1);
        fail_once(&t, of("the-same", peer, 0), 1);
    }
    assert_int_equal(delay(&t, of("fresh", "192.0.2.200", 0), 1), LIMIT_SPRAY_DELAY);
    assert_int_equal(delay(&t, of("fresh", "192.0.3.200", 0), 1), 0);
    assert_int_equal(delay(&t, at_home(of("fresh", "192.0.2.200", 0)), 1), 0);
    assert_int_equal(throttle_report(&t, 1).networks, 1);
    assert_int_equal(delay(&t, of("fresh", "192.0.2.200", 0), 1 + MINUTES(16)), 0);
    throttle_done(&t);
}

/* An office behind one address: the phone with its owner's old password holds up its owner, and nobody else. */
static void test_C076_an_office_shares_no_mistakes(void **state)
{
    struct throttle t = { 0 };
    char name[32];
    (void)state;
    for (int i = 0; i < 500; i++)
        fail_once(&t, at_home(of("bob", "192.0.2.1", 77)), 1);
    assert_int_equal(delay(&t, at_home(of("bob", "192.0.2.1", 5)), 1), LIMIT_LONGEST_DELAY);
    assert_int_equal(delay(&t, at_home(of("alice", "192.0.2.1", 6)), 1), 0);
    assert_int_equal(delay(&t, of("carol", "192.0.2.1", 7), 1), 0); /* nor one who is here for the first time */
    /* A guesser behind the same address, who knows no names, holds up only those who are new there. */
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "guess%d", i);
        fail_once(&t, nobody(of(name, "192.0.2.1", 1000 + (uint64_t)i)), 1);
    }
    assert_int_equal(delay(&t, at_home(of("alice", "192.0.2.1", 6)), 1), 0);
    assert_true(delay(&t, of("carol", "192.0.2.1", 7), 1) > 0);
    /* The owner from elsewhere, where nothing ever happened, is not locked out either: he waits, at most the longest. */
    assert_true(delay(&t, of("bob", "198.51.100.1", 5), 1) <= LIMIT_SPRAY_DELAY);
    throttle_done(&t);
}

/* One password under many names, each from another network: neither name nor address ever has two failures. */
static void test_C076_one_password_many_names(void **state)
{
    struct throttle t = { 0 };
    char name[32], peer[32];
    msec now = MINUTES(1);
    (void)state;
    for (unsigned i = 0; i < LIMIT_SPRAY_NAMES; i++) {
        snprintf(name, sizeof name, "name%u", i);
        snprintf(peer, sizeof peer, "10.%u.0.1", i);
        assert_int_equal(delay(&t, of(name, peer, 42), now), 0);
        fail_once(&t, of(name, peer, 42), now);
        now += SECONDS(20);
    }
    assert_int_equal(delay(&t, of("next", "10.99.0.1", 42), now), LIMIT_LONGEST_DELAY);
    assert_int_equal(delay(&t, at_home(of("next", "10.99.0.1", 42)), now), 0); /* he may have such a password */
    assert_int_equal(delay(&t, of("next", "10.99.0.1", 43), now), 0);
    assert_int_equal(delay(&t, of("next", "10.99.0.1", 0), now), 0); /* none was shown */
    fail_once(&t, of("next", "10.99.0.1", 42), now);
    struct throttle_news news = throttle_report(&t, now);
    assert_int_equal(news.passwords, 1);
    assert_int_equal(news.tries, 2); /* the one that was too much, and the one behind it */
    assert_true(throttle_has_news(&news));
    news = throttle_report(&t, now);
    assert_false(throttle_has_news(&news)); /* told once */
    assert_int_equal(delay(&t, of("next", "10.99.0.1", 42), now + MINUTES(61)), 0);
    throttle_done(&t);
}

/* The same password again and again under one name, or slowly, is not sprayed. */
static void test_C076_what_is_no_spray(void **state)
{
    struct throttle t = { 0 };
    char name[32], peer[32];
    msec now = MINUTES(1);
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        snprintf(peer, sizeof peer, "10.0.%u.1", i);
        fail_once(&t, of("bob", peer, 42), now); /* a phone that travels */
    }
    assert_int_equal(delay(&t, of("alice", "10.99.0.1", 42), now), 0);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "name%u", i);
        snprintf(peer, sizeof peer, "10.1.%u.1", i);
        fail_once(&t, of(name, peer, 43), now);
        now += MINUTES(10);
        assert_int_equal(delay(&t, of("alice", "10.99.0.1", 43), now), 0);
    }
    throttle_done(&t);
}

/* Passwords that are tried once fill the table, and drive out none that was tried under several names. */
static void test_C076_a_flood_of_passwords(void **state)
{
    struct throttle t = { 0 };
    char name[32], peer[32];
    uint64_t random = 88172645463325252u;
    (void)state;
    for (unsigned i = 0; i < LIMIT_SPRAY_NAMES; i++) {
        for (unsigned j = 0; j < 3 * LIMIT_SPRAYS; j++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            struct throttle_try attempt = of("flood", "10.200.0.1", random);
            fail_once(&t, attempt, 1000 + i);
        }
        snprintf(name, sizeof name, "name%u", i);
        snprintf(peer, sizeof peer, "10.%u.0.1", i);
        fail_once(&t, of(name, peer, 42), 1000 + i);
        if (i == 0) /* a second name, before the flood goes on */
            fail_once(&t, of("other", peer, 42), 1000 + i);
    }
    assert_int_equal(delay(&t, of("next", "10.99.0.1", 42), 2000), LIMIT_LONGEST_DELAY);
    throttle_done(&t);
}

/* A botnet that comes once from each address, with names from a list: a storm, in which strangers wait a little. */
static void test_C076_storm_of_unknown_names(void **state)
{
    struct throttle t = { 0 };
    char name[32], peer[32];
    msec now = MINUTES(100);
    (void)state;
    for (unsigned i = 0; i <= LIMIT_UNKNOWN_RATE; i++) {
        assert_int_equal(delay(&t, of("owner", "198.51.100.1", 9), now), 0);
        snprintf(name, sizeof name, "name%u", i);
        snprintf(peer, sizeof peer, "10.%u.%u.1", i / 200, i % 200);
        fail_once(&t, nobody(of(name, peer, 1000 + i)), now);
    }
    assert_int_equal(delay(&t, of("owner", "198.51.100.1", 9), now), LIMIT_SPRAY_DELAY);
    assert_int_equal(delay(&t, nobody(of("nobody", "198.51.100.1", 9)), now), LIMIT_SPRAY_DELAY);
    assert_int_equal(delay(&t, at_home(of("owner", "198.51.100.1", 9)), now), 0);
    assert_int_equal(delay(&t, of("owner", "198.51.100.1", 9), now + MINUTES(1)), LIMIT_SPRAY_DELAY);
    struct throttle_news news = throttle_report(&t, now + MINUTES(1));
    assert_true(news.unknown > LIMIT_UNKNOWN_RATE && throttle_has_news(&news));
    assert_int_equal(delay(&t, of("owner", "198.51.100.1", 9), now + MINUTES(2)), 0);
    /* Wrong passwords of names that exist are no storm: people have many devices. */
    for (unsigned i = 0; i <= 2 * LIMIT_UNKNOWN_RATE; i++) {
        snprintf(name, sizeof name, "name%u", i);
        snprintf(peer, sizeof peer, "10.%u.%u.1", i / 200, i % 200);
        fail_once(&t, of(name, peer, 1000 + i), now + MINUTES(3));
    }
    assert_int_equal(delay(&t, of("owner", "198.51.100.1", 9), now + MINUTES(3)), 0);
    throttle_done(&t);
}

/* However many come: the memory has an end, and those who are known go on being counted. */
static void test_C076_memory_is_bounded(void **state)
{
    struct throttle t = { 0 };
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        fail_once(&t, of("early", "192.0.2.1", 0), 1);
    for (uint32_t i = 0; i < LIMIT_FAILURES_KNOWN; i++) {
        struct throttle_try attempt = { .name = S("x"), .fingerprint = i + 1 };
        attempt.peer.octets[0] = 0x20;
        memcpy(attempt.peer.octets + 4, &i, sizeof i);
        fail_once(&t, attempt, 1);
    }
    assert_true(t.entries.count <= LIMIT_FAILURES_KNOWN);
    assert_true(t.networks.count <= LIMIT_SOURCES);
    msec before = delay(&t, at_home(of("early", "192.0.2.1", 0)), 1);
    fail_once(&t, of("early", "192.0.2.1", 0), 1);
    assert_true(delay(&t, at_home(of("early", "192.0.2.1", 0)), 1) > before);
    throttle_done(&t);
}

/* One account, guessed at from all the /64s of one site, three times from each: what a tunnel gives away for nothing. */
static void test_C076_one_name_from_a_site_of_ipv6(void **state)
{
    struct throttle t = { 0 };
    char peer[40];
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        snprintf(peer, sizeof peer, "2001:db8:7:%x::1", i);
        fail_once(&t, of("alice", peer, 1000 + i), 1);
    }
    msec wait = delay(&t, of("alice", "2001:db8:7:ffff::1", 0), 1);
    assert_true(wait >= LIMIT_FIRST_DELAY);
    fail_once(&t, of("alice", "2001:db8:7:fffe::1", 0), 1);
    assert_true(delay(&t, of("alice", "2001:db8:7:ffff::1", 0), 1) >= wait);
    /* Others there, and the owner elsewhere or at home, know nothing of it. */
    assert_int_equal(delay(&t, of("bob", "2001:db8:7:ffff::1", 0), 1), 0);
    assert_int_equal(delay(&t, of("alice", "2001:db8:8::1", 0), 1), 0);
    assert_int_equal(delay(&t, of("alice", "192.0.2.1", 0), 1), 0);
    assert_int_equal(delay(&t, at_home(of("alice", "2001:db8:7:ffff::1", 0)), 1), 0);
    /* A right password from one of them does not clear the others. */
    struct throttle_try passed = of("alice", "2001:db8:7:1::1", 0);
    throttle_passed(&t, &passed);
    assert_true(delay(&t, of("alice", "2001:db8:7:ffff::1", 0), 1) >= LIMIT_FIRST_DELAY);
    throttle_done(&t);
}

/* Who fills it with names and networks until there is no room to count him shall not guess on at full speed. */
static void test_C076_a_full_memory_slows_strangers(void **state)
{
    struct throttle t = { 0 };
    (void)state;
    for (uint32_t i = 0; i < LIMIT_FAILURES_KNOWN; i++) {
        struct throttle_try attempt = { .name = S("x") };
        attempt.peer.octets[0] = 0x20;
        memcpy(attempt.peer.octets + 4, &i, sizeof i);
        fail_once(&t, attempt, 1);
    }
    struct throttle_try late = of("victim", "2001:db8:9::1", 0);
    for (unsigned i = 0; i < 20; i++)
        fail_once(&t, late, 1);
    assert_int_equal(delay(&t, late, 1), LIMIT_SPRAY_DELAY);
    assert_int_equal(delay(&t, of("owner", "198.51.100.1", 0), 1), LIMIT_SPRAY_DELAY);
    assert_int_equal(delay(&t, at_home(of("owner", "198.51.100.1", 0)), 1), 0);
    throttle_forget(&t, 1 + LIMIT_FAILURE_AGE + 1);
    assert_int_equal(delay(&t, of("owner", "198.51.100.1", 0), 1 + LIMIT_FAILURE_AGE + 1), 0);
    throttle_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_C076_delay_grows_and_is_forgotten),
        cmocka_unit_test(test_C076_one_address_many_names),
        cmocka_unit_test(test_C076_one_network_many_names),
        cmocka_unit_test(test_C076_an_office_shares_no_mistakes),
        cmocka_unit_test(test_C076_one_password_many_names),
        cmocka_unit_test(test_C076_what_is_no_spray),
        cmocka_unit_test(test_C076_a_flood_of_passwords),
        cmocka_unit_test(test_C076_storm_of_unknown_names),
        cmocka_unit_test(test_C076_memory_is_bounded),
        cmocka_unit_test(test_C076_one_name_from_a_site_of_ipv6),
        cmocka_unit_test(test_C076_a_full_memory_slows_strangers),
    };
    return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}

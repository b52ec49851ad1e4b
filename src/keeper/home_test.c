/* Places from which accounts are used: kept by the store, and what others do to an account matters less there (C076). */
#include "keeper/test_house.h"
#include "proto/refusal.h"

#define HOME "192.0.2.7"
#define AWAY "198.51.100.7"

static int setup(void **state)
{
    int code = house_setup(state);
    struct house *h = *state;
    h->settings->auth_throttle = true;
    return code;
}

static bool log_in(struct house *h, const char *name, const char *secret, const char *peer)
{
    static uint64_t session = 100;
    struct ask end = { .kind = ASK_END_SESSION, .fd = -1 };
    struct answer_login answer = house_login(h, END_USER, ++session, name, secret, PROTOCOL_POP3, peer);
    house_put(h, END_USER, session, &end);
    return answer.verdict == LOGIN_OK;
}

/* Milliseconds of one login. */
static msec time_of(struct house *h, const char *name, const char *secret, const char *peer)
{
    msec begin = clock_now();
    log_in(h, name, secret, peer);
    return clock_now() - begin;
}

/* Names of one network until it is conspicuous. */
static void guess_names(struct house *h, const char *peer)
{
    char name[32];
    for (unsigned i = 0; i < LIMIT_SPRAY_NAMES; i++) {
        snprintf(name, sizeof name, "guess%u", i);
        assert_false(log_in(h, name, "wrong", peer));
    }
}

static void test_C076_home_is_home_after_a_restart(void **state)
{
    struct house *h = *state;
    assert_true(log_in(h, "alice", "secret-alice", HOME));
    house_stop(h);
    house_start(h);
    guess_names(h, HOME);
    assert_true(time_of(h, "alice", "secret-alice", "192.0.2.200") < 1000); /* the same /24 */
    assert_true(time_of(h, "bob", "secret-bob", HOME) >= LIMIT_SPRAY_DELAY); /* for the first time here: he waits */
    assert_true(time_of(h, "bob", "secret-bob", HOME) < 1000);               /* and is at home then */
    assert_true(time_of(h, "carol", "secret-carol", AWAY) < 1000);
}

/* An account that is made anew for another person has no home. */
static void test_places_go_with_their_account(void **state)
{
    struct house *h = *state;
    struct ask off = { .kind = ASK_ACCOUNT_REMOVE, .fd = -1, .account = { S("alice@our.test") } };
    assert_true(log_in(h, "alice", "secret-alice", HOME));
    assert_true(place_has(&h->keeper->places, 1));
    assert_ok(house_ask(h, END_CTL, 0, &off).status);
    assert_false(place_has(&h->keeper->places, 1));
    house_add(h, "alice@our.test", true);
    guess_names(h, HOME);
    assert_true(time_of(h, "alice", "secret-alice", HOME) >= LIMIT_SPRAY_DELAY);
}

/* All ways to type a name share a counter, whether anybody has it or not: who tries two of them learns nothing. */
static void test_C074_other_ways_to_type_a_name(void **state)
{
    static const char *const ways[] = { "bob", "BOB@our.test", "ｂｏｂ" }, *const nobodys[] = { "nob", "NOB@our.test", "ｎｏｂ" };
    struct house *h = *state;
    for (size_t at = 0; at < LIMIT_FREE_BY_NAME; at++) {
        assert_true(time_of(h, ways[at % 3], "wrong", HOME) < LIMIT_FIRST_DELAY);
        assert_true(time_of(h, nobodys[at % 3], "wrong", AWAY) < LIMIT_FIRST_DELAY);
    }
    assert_true(time_of(h, "Bob@our.test.", "wrong", HOME) >= LIMIT_FIRST_DELAY);
    assert_true(time_of(h, "Nob@our.test.", "wrong", AWAY) >= LIMIT_FIRST_DELAY);
}

/* Nor who tries it under several domains: a login name, an account of another domain, and nobody have the same delays. */
static void test_C074_other_domains_of_a_name(void **state)
{
    static const char *const locals[] = { "nob", "boss", "dave" }, *const tails[] = { "@our.test", "@second.test" };
    struct house *h = *state;
    struct ask domain = { .kind = ASK_DOMAIN_ADD, .fd = -1, .domain = { S("second.test") } };
    struct ask boss = { .kind = ASK_ACCOUNT_ADD, .fd = -1, .account_add = { .address = S("erin@our.test"), .login = S("boss"), .secret = S("x") } };
    assert_ok(house_ask(h, END_CTL, 0, &domain).status);
    assert_ok(house_ask(h, END_CTL, 0, &boss).status);
    house_add(h, "dave@second.test", false);
    for (size_t i = 0; i < 3; i++) {
        char peer[32], name[32];
        snprintf(peer, sizeof peer, "203.0.%zu.7", 113 + i);
        for (size_t k = 0; k < LIMIT_FREE_BY_NAME; k++)
            assert_true(time_of(h, locals[i], "wrong", peer) < LIMIT_FIRST_DELAY);
        for (size_t k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "%s%s", locals[i], tails[k]);
            assert_true(time_of(h, name, "wrong", peer) >= LIMIT_FIRST_DELAY);
        }
    }
    /* A right password of one namesake gives no new tries at another. */
    house_add(h, "bob@second.test", false);
    for (size_t k = 0; k < LIMIT_FREE_BY_NAME; k++)
        log_in(h, "bob@our.test", "wrong", "198.51.100.99");
    assert_true(log_in(h, "bob@second.test", "secret-bob", "198.51.100.99"));
    assert_true(time_of(h, "bob@our.test", "wrong", "198.51.100.99") >= LIMIT_FIRST_DELAY);
    /* Who is at home waits for his own mistakes, and not for those of his namesake. */
    house_add(h, "alice@second.test", false);
    assert_true(log_in(h, "alice@our.test", "secret-alice", HOME));
    for (size_t k = 0; k <= LIMIT_FREE_BY_NAME; k++)
        log_in(h, "alice@second.test", "wrong", HOME);
    assert_true(time_of(h, "alice@our.test", "wrong", HOME) < LIMIT_FIRST_DELAY);
}

static uint32_t put_login(struct house *h, const char *name, const char *secret, const char *peer)
{
    static uint64_t session = 100000;
    struct ask ask = { .kind = ASK_LOGIN, .fd = -1,
        .login = { slice_of(name), slice_of(secret), NO_SLICE,
            { .session = S("s"), .peer = house_ip(peer), .protocol = PROTOCOL_POP3, .mechanism = MECHANISM_PASSWORD, .encrypted = 1 } } };
    return house_put(h, END_USER, ++session, &ask);
}

/* Those who have to wait longest give up their places: whoever guesses at many doors at once keeps nobody else out. */
static void test_C076_a_queue_of_guessers_keeps_nobody_out(void **state)
{
    struct house *h = *state;
    for (size_t i = 0; i < LIMIT_FREE_BY_NAME; i++) {
        log_in(h, "alice", "wrong", AWAY);
        log_in(h, "bob", "wrong", HOME);
    }
    for (uint32_t i = 0; i < LIMIT_DELAYED_LOGINS + 10; i++)
        put_login(h, "alice", "wrong", AWAY);
    struct answer bob = house_get(h, END_USER, put_login(h, "bob", "secret-bob", HOME));
    assert_ok(bob.status);
    assert_int_equal(bob.login.verdict, LOGIN_OK);
    assert_true(h->keeper->delayed_count <= LIMIT_DELAYED_LOGINS);
}

/* The same account, guessed at from network after network of one site: they wait for each other, as they would at one address. */
static void test_C076_a_site_of_ipv6_is_one_guesser(void **state)
{
    struct house *h = *state;
    char peer[40];
    for (unsigned i = 0; i < LIMIT_FREE_BY_ADDRESS + 2; i++) {
        snprintf(peer, sizeof peer, "2001:db8:7:%x::1", i);
        assert_false(log_in(h, "alice", "wrong", peer));
    }
    msec begin = clock_now();
    uint32_t last = 0;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(peer, sizeof peer, "2001:db8:7:%x::2", i);
        last = put_login(h, "alice", "wrong", peer);
    }
    assert_int_equal(house_get(h, END_USER, last).login.verdict, LOGIN_WRONG);
    assert_true(clock_now() - begin >= 3 * 4 * LIMIT_FIRST_DELAY);
}

/* However many strangers want to be hashed: some places are for those who were here before (C088). */
static void test_C076_C088_a_place_for_those_at_home(void **state)
{
    struct house *h = *state;
    char name[32];
    house_stop(h);
    h->settings->auth_throttle = false; /* as before the storm is seen */
    house_start(h);
    assert_true(log_in(h, "alice", "secret-alice", HOME));
    for (unsigned i = 0; i < 2 * LIMIT_HASHES_USER; i++) {
        snprintf(name, sizeof name, "guess%u", i);
        put_login(h, name, "wrong", AWAY);
    }
    assert_int_equal(house_get(h, END_USER, put_login(h, "alice", "wrong", HOME)).login.verdict, LOGIN_WRONG);
    struct ask why = { .kind = ASK_WHY, .fd = -1, .why = { S(AWAY), REFUSAL_LOGIN_BUSY } };
    assert_true(house_ask(h, END_CTL, 0, &why).why.rows.count > 0); /* there was no room for all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, setup, house_teardown)
        HOUSE(test_C076_home_is_home_after_a_restart),
        HOUSE(test_places_go_with_their_account),
        HOUSE(test_C074_other_ways_to_type_a_name),
        HOUSE(test_C074_other_domains_of_a_name),
        HOUSE(test_C076_a_queue_of_guessers_keeps_nobody_out),
        HOUSE(test_C076_a_site_of_ipv6_is_one_guesser),
        HOUSE(test_C076_C088_a_place_for_those_at_home),
    };
    return cmocka_run_group_tests_name("home", tests, NULL, NULL);
}

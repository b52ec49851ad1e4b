/* Mail to owners about their logins: who gets it, how often, and that it is mail like any other. */
#include "keeper/test_house.h"
#include "proto/refusal.h"

#define HOME   "192.0.2.7"
#define AWAY   "198.51.100.9"
#define FAR    "2001:db8:5::9"

static void start(struct house *h, bool notices)
{
    house_stop(h);
    h->settings->auth_notices = notices;
    h->settings->lease_accounts = LEASE_ALL;
    h->settings->auth_throttle = false;
    house_start(h);
}

static void pop(struct house *h, uint64_t session, const char *name, const char *peer)
{
    char secret[40];
    snprintf(secret, sizeof secret, "secret-%s", name);
    struct answer_login login = house_login(h, END_USER, session, name, secret, PROTOCOL_POP3, peer);
    assert_int_equal(login.verdict, LOGIN_OK);
    struct ask end = { .kind = ASK_END_SESSION, .fd = -1 };
    house_put(h, END_USER, session, &end);
}

/* What is in the INBOX, by a login at home. */
static uint32_t count(struct house *h, const char *name)
{
    static uint64_t session = 1000;
    char secret[40];
    snprintf(secret, sizeof secret, "secret-%s", name);
    house_login(h, END_USER, ++session, name, secret, PROTOCOL_POP3, HOME);
    return house_messages(h, session);
}

/* It is written behind the login's answer. */
static uint32_t count_after(struct house *h, const char *name, uint32_t expected)
{
    struct timespec nap = { .tv_nsec = 10000000 };
    uint32_t found = count(h, name);
    for (int i = 0; i < 300 && found < expected; i++) {
        nanosleep(&nap, NULL);
        found = count(h, name);
    }
    return found;
}

static struct slice newest(struct house *h, const char *name, uint32_t uid)
{
    static uint64_t session = 900000;
    char secret[40];
    snprintf(secret, sizeof secret, "secret-%s", name);
    house_login(h, END_USER, ++session, name, secret, PROTOCOL_POP3, HOME);
    return house_fetch(h, session, uid);
}

static void typed_in_clear(struct house *h, const char *name, const char *peer)
{
    struct ask ask = { .kind = ASK_REFUSED, .fd = -1, .refused = { .name = slice_of(name), .session = S("s1"),
        .peer = house_ip(peer), .code = REFUSAL_NEEDS_TLS, .protocol = PROTOCOL_POP3 } };
    house_put(h, END_USER, 800, &ask);
}

static void test_a_new_place_is_told_once(void **state)
{
    struct house *h = *state;
    start(h, true);
    pop(h, 1, "alice", HOME); /* the first of all */
    pop(h, 2, "alice", HOME);
    assert_int_equal(count(h, "alice"), 0);
    pop(h, 3, "alice", AWAY);
    assert_int_equal(count_after(h, "alice", 1), 1);
    struct slice text = newest(h, "alice", 1);
    assert_true(slice_starts(text, S("Return-Path: <>\r\nFrom: <postmaster@our.test>\r\nTo: <alice@our.test>\r\n")));
    assert_true(slice_has(text, S("Auto-Submitted: auto-generated\r\n")));
    assert_true(slice_has(text, S(AWAY)) && slice_has(text, S("POP3")) && slice_has(text, S("the account's own")));
    pop(h, 4, "alice", AWAY); /* known from now on */
    pop(h, 5, "alice", "::ffff:" AWAY);
    pop(h, 6, "alice", FAR);
    assert_int_equal(count_after(h, "alice", 2), 2);
    assert_int_equal(count(h, "bob"), 0);
}

static void test_a_device_is_named(void **state)
{
    struct house *h = *state;
    start(h, true);
    pop(h, 1, "bob", HOME);
    struct ask add = { .kind = ASK_DEVICE_ADD, .fd = -1,
        .device_add = { .address = S("bob@our.test"), .name = S("scanner 3"), .rights = RIGHT_POP3 | RIGHT_LEASE } };
    struct answer made = house_ask(h, END_CTL, 0, &add);
    assert_ok(made.status);
    char secret[80];
    snprintf(secret, sizeof secret, "%.*s", (int)made.device_add.secret.len, made.device_add.secret.ptr);
    assert_int_equal(house_login(h, END_USER, 2, "bob", secret, PROTOCOL_POP3, AWAY).verdict, LOGIN_OK);
    assert_int_equal(count_after(h, "bob", 1), 1);
    assert_true(slice_has(newest(h, "bob", 1), S("scanner 3")));
}

static void test_five_a_day_and_no_more(void **state)
{
    struct house *h = *state;
    start(h, true);
    pop(h, 1, "alice", HOME);
    for (unsigned i = 0; i < LIMIT_NOTICES_DAY + 3; i++) {
        char peer[32];
        snprintf(peer, sizeof peer, "2001:db8:%x::1", i + 16);
        pop(h, 2 + i, "alice", peer);
    }
    assert_int_equal(count_after(h, "alice", LIMIT_NOTICES_DAY), LIMIT_NOTICES_DAY);
    struct timespec nap = { .tv_nsec = 200000000 };
    nanosleep(&nap, NULL);
    assert_int_equal(count(h, "alice"), LIMIT_NOTICES_DAY);
}

static void test_no_notices_no_mail(void **state)
{
    struct house *h = *state;
    start(h, false);
    pop(h, 1, "alice", HOME);
    pop(h, 2, "alice", AWAY);
    typed_in_clear(h, "alice", HOME);
    struct timespec nap = { .tv_nsec = 200000000 };
    nanosleep(&nap, NULL);
    assert_int_equal(count(h, "alice"), 0);
}

/* Without a lease there is nothing to warn of: a phone that travels fills no mailbox. */
static void test_a_login_without_a_lease_is_not_told(void **state)
{
    struct house *h = *state;
    start(h, true);
    house_stop(h);
    h->settings->lease_accounts = LEASE_FLAGGED;
    house_start(h);
    pop(h, 1, "bob", HOME);
    pop(h, 2, "bob", AWAY);
    struct timespec nap = { .tv_nsec = 200000000 };
    nanosleep(&nap, NULL);
    assert_int_equal(count(h, "bob"), 0);
}

static void test_a_password_in_clear_is_told_once_a_day(void **state)
{
    struct house *h = *state;
    start(h, true);
    typed_in_clear(h, "bob", AWAY); /* before he was anywhere: likely he himself, setting up */
    assert_int_equal(count_after(h, "bob", 1), 1);
    struct slice text = newest(h, "bob", 1);
    assert_true(slice_has(text, S("EK-2\r\n")) && slice_has(text, S(AWAY)) && slice_has(text, S("To: <bob@our.test>")));
    typed_in_clear(h, "bob@our.test", HOME);
    pop(h, 1, "alice", HOME);
    typed_in_clear(h, "alice", AWAY); /* anybody may type her name there */
    typed_in_clear(h, "nobody", AWAY);
    typed_in_clear(h, "alice", "192.0.2.99"); /* where she has been */
    typed_in_clear(h, "alice", "192.0.2.98");
    assert_int_equal(count_after(h, "alice", 1), 1);
    assert_true(slice_has(newest(h, "alice", 1), S(" 192.0.2.99\r\n")));
    struct timespec nap = { .tv_nsec = 200000000 };
    nanosleep(&nap, NULL);
    assert_int_equal(count(h, "alice"), 1);
    assert_int_equal(count(h, "bob"), 1);
}

static void test_a_disabled_account_gets_none(void **state)
{
    struct house *h = *state;
    start(h, true);
    struct ask set = { .kind = ASK_ACCOUNT_SET, .fd = -1, .account_set = { S("carol@our.test"), 0, 2 } };
    assert_ok(house_ask(h, END_CTL, 0, &set).status);
    typed_in_clear(h, "carol", HOME);
    struct timespec nap = { .tv_nsec = 200000000 };
    nanosleep(&nap, NULL);
    set.account_set.enabled = 1;
    assert_ok(house_ask(h, END_CTL, 0, &set).status);
    assert_int_equal(count(h, "carol"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_setup, house_teardown)
        HOUSE(test_a_new_place_is_told_once),
        HOUSE(test_a_device_is_named),
        HOUSE(test_five_a_day_and_no_more),
        HOUSE(test_no_notices_no_mail),
        HOUSE(test_a_login_without_a_lease_is_not_told),
        HOUSE(test_a_password_in_clear_is_told_once_a_day),
        HOUSE(test_a_disabled_account_gets_none),
    };
    return cmocka_run_group_tests_name("notice", tests, NULL, NULL);
}

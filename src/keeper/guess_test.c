/* What a guesser learns and gains: nothing by the time of a refusal, by odd names, or by what was right for somebody else. */
#include <stdlib.h>
#include <time.h>

#include "keeper/test_house.h"

#define LAN "192.0.2.7"
#define TRIES 50 /* of each kind; the kinds take turns, so that whatever else the machine does falls on all alike */
#define ROUNDS 5

enum kind { UNKNOWN, WRONG, DISABLED, DEVICES, KINDS };
static const char *const names[KINDS] = { "nobody@our.test", "wrong@our.test", "disabled@our.test", "devices@our.test" };

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

/* One account is disabled, another has device passwords: both are refused no sooner and no later. */
static void prepare(struct house *h)
{
    for (size_t kind = WRONG; kind < KINDS; kind++)
        house_add(h, names[kind], false);
    struct ask off = { .kind = ASK_ACCOUNT_SET, .fd = -1, .account_set = { slice_of(names[DISABLED]), 0, 2 } };
    assert_ok(house_ask(h, END_CTL, 0, &off).status);
    for (int i = 0; i < 3; i++) {
        struct ask add = { .kind = ASK_DEVICE_ADD, .fd = -1, .device_add = { .address = slice_of(names[DEVICES]),
            .name = { &"abc"[i], 1 }, .rights = RIGHTS_ALL } };
        assert_ok(house_ask(h, END_CTL, 0, &add).status);
    }
}

static bool are_alike(struct house *h, uint32_t cost, uint64_t session)
{
    static uint64_t took[KINDS][TRIES];
    bool alike = true;
    for (size_t i = 0; i < TRIES; i++)
        for (size_t kind = 0; kind < KINDS; kind++) {
            uint64_t began = nanoseconds();
            struct answer_login login = house_login(h, END_USER, session++, names[kind], "wrong", PROTOCOL_POP3, LAN);
            took[kind][i] = nanoseconds() - began;
            assert_int_equal(login.verdict, LOGIN_WRONG);
        }
    for (size_t kind = 0; kind < KINDS; kind++)
        qsort(took[kind], TRIES, sizeof took[kind][0], by_size);
    for (size_t kind = WRONG; kind < KINDS; kind++) {
        uint64_t one = took[UNKNOWN][TRIES / 2], other = took[kind][TRIES / 2];
        print_message("cost %u: %s %u us, %s %u us\n", (unsigned)cost, names[UNKNOWN], (unsigned)(one / 1000), names[kind],
            (unsigned)(other / 1000));
        alike = alike && one * 4 < other * 5 && other * 4 < one * 5; /* within 1.25 */
    }
    return alike;
}

/* A difference that is there shows every time; what a busy machine adds does not. */
static void measure(struct house *h, uint32_t cost)
{
    bool alike = false;
    house_stop(h);
    h->settings->auth_hash_cost = cost;
    h->settings->auth_throttle = false;
    house_start(h);
    prepare(h);
    for (uint64_t round = 0; round < ROUNDS && !alike; round++)
        alike = are_alike(h, cost, 1 + round * TRIES * KINDS);
    assert_true(alike);
}

static void test_C074_time_tells_nothing_at_the_least_cost(void **state) { measure(*state, 1); }

static void test_C074_time_tells_nothing_at_the_usual_cost(void **state) { measure(*state, 5); }

/* Nothing in a name is expanded, quoted or looked up as anything else, and what looks like SQL is a sender as any other. */
static void test_C042_C043_C044_odd_names_are_octets(void **state)
{
    struct house *h = *state;
    static const char *const odd[] = { "%9999999u", "%u", "' OR '1'='1", "alice' --", "alice@our.test' --", "*)(uid=*", "*", "%",
        "alice%", "_lice", "\"alice\"@our.test\"", "alice@our.test\" OR \"a\"=\"a", "../alice", "${alice}" };
    uint64_t session = 1;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_int_equal(house_login(h, END_USER, session++, odd[i], "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
    static const char sender[] = "\"x'/**/UNION/**/SELECT/**/1;DROP/**/TABLE/**/message;--\"@else.test";
    assert_int_equal(house_mail(h, END_MX, session, sender, LAN), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_MX, session, "\"bob' OR 1=1 --\"@our.test"), MAIL_NO_SUCH_USER);
    assert_int_equal(house_rcpt(h, END_MX, session, "bob@our.test"), MAIL_OK);
    assert_int_equal(house_deliver(h, END_MX, session, sender, "bob@our.test", NULL, "x\r\n").deliver.verdict, MAIL_OK);
    assert_int_equal(house_login(h, END_USER, ++session, "bob", "secret-bob", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_int_equal(house_messages(h, session), 1);
}

/* A password that was right lately is known again, but only as that account's, and only until it changes. */
static void test_C082_what_is_known_again_is_one_accounts(void **state)
{
    struct house *h = *state;
    uint64_t session = 1;
    for (int i = 0; i < 2; i++)
        assert_int_equal(house_login(h, END_USER, session++, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_int_equal(house_login(h, END_USER, session++, "bob", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(house_login(h, END_USER, session++, "nobody", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
    struct ask change = { .kind = ASK_ACCOUNT_PASSWORD, .fd = -1, .account_password = { S("alice@our.test"), S("another") } };
    assert_ok(house_ask(h, END_CTL, 0, &change).status);
    assert_int_equal(house_login(h, END_USER, session++, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(house_login(h, END_USER, session++, "alice", "another", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    struct ask off = { .kind = ASK_ACCOUNT_SET, .fd = -1, .account_set = { S("alice@our.test"), 0, 2 } };
    assert_ok(house_ask(h, END_CTL, 0, &off).status);
    assert_int_equal(house_login(h, END_USER, session++, "alice", "another", PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_C074_time_tells_nothing_at_the_least_cost, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C074_time_tells_nothing_at_the_usual_cost, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C042_C043_C044_odd_names_are_octets, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C082_what_is_known_again_is_one_accounts, house_setup, house_teardown),
    };
    return cmocka_run_group_tests_name("guess", tests, NULL, NULL);
}

/* What a guesser learns and gains: nothing by the time of a refusal, by odd names, or by what was right for somebody else. */
#include <stdlib.h>
#include <time.h>

#include "keeper/test_house.h"

#define LAN "192.0.2.7"
#define TRIES  1000 /* of each kind; the kinds take turns, so that whatever else the machine does falls on all alike */
#define ROUNDS 8
/* A sanitizer adds to every octet that is touched, and more octets are touched where there is an account. */
#if defined(__SANITIZE_ADDRESS__)
#define PARTS 4
#else
#define PARTS 10
#endif

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

/* ---- ways to guess: each takes the time of the one question that counts ---- */

static uint64_t time_of(struct house *h, uint64_t session, const struct ask *ask)
{
    uint64_t began = nanoseconds();
    struct answer answer = house_ask(h, END_USER, session, ask);
    uint64_t took = nanoseconds() - began;
    assert_ok(answer.status);
    if (ask->kind != ASK_SCRAM)
        assert_int_equal(answer.login.verdict, LOGIN_WRONG);
    return took;
}

static struct login_from from_of(uint8_t mechanism)
{
    return (struct login_from){ .session = S("s1"),
        .peer = house_ip(LAN),
        .protocol = mechanism == MECHANISM_CRAM_MD5 ? PROTOCOL_SMTP : PROTOCOL_POP3,
        .mechanism = mechanism,
        .encrypted = 1 };
}

static uint64_t by_password(struct house *h, uint64_t session, const char *name)
{
    struct ask ask = { .kind = ASK_LOGIN, .fd = -1, .login = { slice_of(name), S("wrong"), .from = from_of(MECHANISM_PLAIN) } };
    return time_of(h, session, &ask);
}

static uint64_t by_digest(struct house *h, uint64_t session, const char *name, uint8_t mechanism)
{
    struct ask ask = { .kind = ASK_LOGIN_DIGEST,
        .fd = -1,
        .login_digest = { slice_of(name), S("<1.2@mail.our.test>"), S("0123456789abcdef"), from_of(mechanism) } };
    return time_of(h, session, &ask);
}

static uint64_t by_apop(struct house *h, uint64_t session, const char *name)
{
    return by_digest(h, session, name, MECHANISM_APOP);
}

static uint64_t by_cram(struct house *h, uint64_t session, const char *name)
{
    return by_digest(h, session, name, MECHANISM_CRAM_MD5);
}

static uint64_t by_salt(struct house *h, uint64_t session, const char *name)
{
    struct ask ask = { .kind = ASK_SCRAM, .fd = -1, .scram = { .name = slice_of(name), .from = from_of(MECHANISM_SCRAM_SHA_256) } };
    return time_of(h, session, &ask);
}

static uint64_t by_proof(struct house *h, uint64_t session, const char *name)
{
    struct ask ask = { .kind = ASK_SCRAM, .fd = -1, .scram = { .name = slice_of(name), .from = from_of(MECHANISM_SCRAM_SHA_256) } };
    struct answer half = house_ask(h, END_USER, session, &ask);
    char message[64];
    assert_ok(half.status);
    snprintf(message, sizeof message, "r=%.*s", (int)half.scram.nonce.len, half.scram.nonce.ptr);
    struct ask proof = { .kind = ASK_LOGIN_SCRAM,
        .fd = -1,
        .login_scram = { .name = slice_of(name), .message = slice_of(message), .proof = S("0123456789abcdef0123456789abcdef"),
            .from = from_of(MECHANISM_SCRAM_SHA_256) } };
    return time_of(h, session, &proof);
}

struct guessing {
    const char *what;
    uint64_t (*try)(struct house *h, uint64_t session, const char *name);
    uint32_t cost, tries;
};

static bool are_alike(struct house *h, const struct guessing *guessing)
{
    static uint64_t took[KINDS][TRIES];
    struct ask end = { .kind = ASK_END_SESSION, .fd = -1 };
    bool alike = true;
    for (size_t i = 0; i < guessing->tries; i++) {
        for (size_t turn = 0; turn < KINDS; turn++) {
            size_t kind = (i + turn) % KINDS; /* nobody always comes behind the same one */
            took[kind][i] = guessing->try(h, 1, names[kind]);
            house_put(h, END_USER, 1, &end);
        }
        arena_reset(&h->arena);
    }
    for (size_t kind = 0; kind < KINDS; kind++)
        qsort(took[kind], guessing->tries, sizeof took[kind][0], by_size);
    for (size_t kind = WRONG; kind < KINDS; kind++) {
        uint64_t one = took[UNKNOWN][guessing->tries / 2], other = took[kind][guessing->tries / 2];
        print_message("%s, cost %u: %s %.1f us, %s %.1f us\n", guessing->what, (unsigned)guessing->cost, names[UNKNOWN],
            (double)one / 1000, names[kind], (double)other / 1000);
        alike = alike && one * PARTS < other * (PARTS + 1) && other * PARTS < one * (PARTS + 1); /* within 1.1 */
    }
    return alike;
}

/* A difference that is there shows every time; what a busy machine adds does not. */
static void measure(struct house *h, const struct guessing *guessing)
{
    bool alike = false;
    house_stop(h);
    h->settings->auth_hash_cost = guessing->cost;
    h->settings->auth_throttle = false;
    house_start(h);
    prepare(h);
    for (int round = 0; round < ROUNDS && !alike; round++)
        alike = are_alike(h, guessing);
    assert_true(alike);
}

static void test_C074_time_tells_nothing_at_the_least_cost(void **state)
{
    measure(*state, &(struct guessing){ "password", by_password, 1, TRIES });
}

static void test_C074_time_tells_nothing_at_the_usual_cost(void **state)
{
    const char *wished = getenv("GUESS_TRIES"); /* `make torture` has the time */
    unsigned long tries = wished ? strtoul(wished, NULL, 10) : 50;
    assert_in_range(tries, 1, TRIES);
    measure(*state, &(struct guessing){ "password", by_password, 5, (uint32_t)tries });
}

static void test_C074_time_of_digests(void **state)
{
    measure(*state, &(struct guessing){ "APOP", by_apop, 1, TRIES });
}

static void test_C074_time_of_cram(void **state)
{
    measure(*state, &(struct guessing){ "CRAM-MD5", by_cram, 1, TRIES });
}

static void test_C074_C075_time_of_salts(void **state)
{
    measure(*state, &(struct guessing){ "SCRAM, first half", by_salt, 1, TRIES });
}

static void test_C074_C075_time_of_proofs(void **state)
{
    measure(*state, &(struct guessing){ "SCRAM, second half", by_proof, 1, TRIES });
}

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

/* A login whose hash is renewed in the background, and a new password at the same moment: the new one stands. */
static void test_C093_a_rehash_undoes_no_change(void **state)
{
    struct house *h = *state;
    char old[32] = "secret-alice", new[32];
    uint64_t session = 1;
    for (int i = 0; i < 12; i++) {
        house_stop(h);
        h->settings->auth_hash_cost = 1 + (uint32_t)(i + 1) % 2; /* another one each time: every login renews */
        house_start(h);
        snprintf(new, sizeof new, "password %d", i);
        struct ask login = { .kind = ASK_LOGIN, .fd = -1, .login = { S("alice"), slice_of(old), .from = from_of(MECHANISM_PLAIN) } };
        struct ask change = { .kind = ASK_ACCOUNT_PASSWORD, .fd = -1, .account_password = { S("alice@our.test"), slice_of(new), 0 } };
        uint32_t first = house_put(h, END_USER, session++, &login);
        if (i % 3 == 0)
            assert_ok(house_get(h, END_USER, first).status);
        assert_ok(house_ask(h, END_CTL, 0, &change).status);
        if (i % 3 != 0)
            assert_ok(house_get(h, END_USER, first).status);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(house_login(h, END_USER, session++, "alice", old, PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
            assert_int_equal(house_login(h, END_USER, session++, "alice", new, PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
            house_stop(h);
            house_start(h);
        }
        memcpy(old, new, sizeof old);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_C074_time_tells_nothing_at_the_least_cost, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C074_time_tells_nothing_at_the_usual_cost, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C074_time_of_digests, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C074_time_of_cram, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C074_C075_time_of_salts, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C074_C075_time_of_proofs, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C042_C043_C044_odd_names_are_octets, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C093_a_rehash_undoes_no_change, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(test_C082_what_is_known_again_is_one_accounts, house_setup, house_teardown),
    };
    return cmocka_run_group_tests_name("guess", tests, NULL, NULL);
}

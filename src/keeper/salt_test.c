/* What SCRAM's first half says about names: nothing, also to who compares the salts of several (C075); and what the administrator is told
 * where nothing is stored that a proof could be checked against. */
#include "keeper/test_client.h"

static uint64_t fresh(void)
{
    static uint64_t session = 1;
    return session++;
}

static struct answer_scram begin(struct house *h, const char *name, const char *authzid)
{
    struct scram_try try = { .name = name, .mechanism = MECHANISM_SCRAM_SHA_256, .authzid = authzid };
    struct answer answer = client_scram_begin(h, END_USER, fresh(), &try);
    assert_ok(answer.status);
    return answer.scram;
}

static void add(struct house *h, const char *address, const char *login)
{
    struct ask ask = { .kind = ASK_ACCOUNT_ADD, .fd = -1,
        .account_add = { .address = slice_of(address), .login = slice_of(login), .secret = S("secret") } };
    assert_ok(house_ask(h, END_CTL, 0, &ask).status);
}

static void move_in(struct house *h)
{
    struct ask domain = { .kind = ASK_DOMAIN_ADD, .fd = -1, .domain = { S("second.test") } };
    assert_ok(house_ask(h, END_CTL, 0, &domain).status);
    add(h, "dave@second.test", "");
    add(h, "erin@our.test", "boss");
    add(h, "Zo\xC3\x8B@our.test", "");
}

/* Nobody, an account of each domain, a login name: whoever tries all ways to write one of them sees the same. */
static const char *const locals[] = { "nobody", "alice", "dave", "erin", "boss", "zo\xC3\xAB" };
enum { LOCALS = sizeof locals / sizeof *locals };

static void test_C075_salts_of_all_ways_to_write_a_name(void **state)
{
    struct house *h = *state;
    static const char *const tails[] = { "", "@our.test", "@second.test", "@OUR.test", "@else.test" };
    move_in(h);
    for (size_t i = 0; i < LOCALS; i++) {
        struct answer_scram first = begin(h, locals[i], NULL);
        for (size_t k = 0; k < sizeof tails / sizeof *tails; k++) {
            char name[64];
            snprintf(name, sizeof name, "%s%s", locals[i], tails[k]);
            struct answer_scram one = begin(h, name, NULL);
            if (!slice_equal(one.salt, first.salt))
                print_message("%s\n", name);
            assert_true(slice_equal(one.salt, first.salt));
            assert_int_equal(one.rounds, first.rounds);
        }
    }
}

/* To act for another is nobody's right: that is said at the end, and not by another salt. */
static void test_C075_C086_salts_and_authorization_identities(void **state)
{
    struct house *h = *state;
    static const char *const others[] = { "bob@our.test", "nobody", "erin", "zo\xC3\x8B" };
    move_in(h);
    for (size_t i = 0; i < LOCALS; i++)
        for (size_t k = 0; k < sizeof others / sizeof *others; k++)
            assert_true(slice_equal(begin(h, locals[i], others[k]).salt, begin(h, locals[i], NULL).salt));
}

static void test_every_way_to_write_a_name_logs_in(void **state)
{
    struct house *h = *state;
    static const char *const ways[] = { "dave", "DAVE@second.test", "boss", "erin@our.test", "zo\xC3\xAB", "Zo\xC3\x8B@our.test" };
    move_in(h);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct answer got = client_scram(h, END_USER, fresh(), &(struct scram_try){ ways[i], "secret", .mechanism = MECHANISM_SCRAM_SHA_256 });
        assert_ok(got.status);
        assert_int_equal(got.login.verdict, LOGIN_OK);
    }
}

/* An account with devices alone, from before the cost grew: its rounds would be nobody else's. */
static void test_C075_rounds_of_devices_alone(void **state)
{
    struct house *h = *state;
    char made[VAULT_VERIFIER] = "";
    client_crypt("from elsewhere", "$5$", 1000, made);
    struct ask import = { .kind = ASK_ACCOUNT_PASSWORD, .fd = -1, .account_password = { S("bob@our.test"), slice_of(made), 1 } };
    assert_ok(house_ask(h, END_CTL, 0, &import).status);
    struct ask add = { .kind = ASK_DEVICE_ADD, .fd = -1, .device_add = { .address = S("bob@our.test"), .name = S("phone"), .rights = RIGHTS_ALL } };
    struct answer device = house_ask(h, END_CTL, 0, &add);
    assert_ok(device.status);
    struct slice secret;
    assert_ok(arena_copy(&h->arena, device.device_add.secret, &secret));
    house_stop(h);
    h->settings->auth_hash_cost = 2;
    house_start(h);
    /* All others have moved on. */
    assert_int_equal(house_login(h, END_USER, fresh(), "alice", "secret-alice", PROTOCOL_SMTP, "192.0.2.7").verdict, LOGIN_OK);
    assert_int_equal(house_login(h, END_USER, fresh(), "carol", "secret-carol", PROTOCOL_SMTP, "192.0.2.7").verdict, LOGIN_OK);
    house_stop(h); /* which waits for it */
    house_start(h);
    for (size_t i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "nobody%zu", i);
        assert_int_equal(begin(h, name, NULL).rounds, begin(h, "bob", NULL).rounds);
    }
    for (int i = 0; i < 2; i++) {
        struct answer got = client_scram(h, END_USER, fresh(), &(struct scram_try){ "bob", secret.ptr, .mechanism = MECHANISM_SCRAM_SHA_256 });
        assert_ok(got.status);
        assert_int_equal(got.login.verdict, LOGIN_OK);
    }
}

/* ---- the true reason ---- */

static void assert_reason(struct house *h, const char *about, const char *reason)
{
    struct ask ask = { .kind = ASK_WHY, .fd = -1, .why = { .about = slice_of(about) } };
    struct answer answer = house_ask(h, END_CTL, 0, &ask);
    assert_ok(answer.status);
    assert_true(answer.why.rows.count > 0);
    assert_text(reason, row_of(struct why_row, answer.why.rows, 0)->detail);
}

static uint8_t try(struct house *h, const char *name, const char *secret, uint8_t mechanism)
{
    struct answer got = client_scram(h, END_USER, fresh(), &(struct scram_try){ name, secret, .mechanism = mechanism });
    assert_ok(got.status);
    assert_int_equal(got.login.account, 0);
    return got.login.verdict;
}

static void test_reason_where_there_are_no_keys(void **state)
{
    struct house *h = *state;
    char made[VAULT_VERIFIER] = "";
    client_crypt("from elsewhere", "$5$", 1000, made);
    struct ask import = { .kind = ASK_ACCOUNT_PASSWORD, .fd = -1, .account_password = { S("bob@our.test"), slice_of(made), 1 } };
    assert_ok(house_ask(h, END_CTL, 0, &import).status);
    assert_int_equal(try(h, "bob", "from elsewhere", MECHANISM_SCRAM_SHA_256), LOGIN_WRONG);
    assert_reason(h, "bob", "no-scram-verifier");
    assert_int_equal(try(h, "carol", "wrong", MECHANISM_SCRAM_SHA_256), LOGIN_WRONG);
    assert_reason(h, "carol", "wrong-password");
    /* SHA-1 is not kept of people: there no key is missing, the way is none. */
    assert_int_equal(try(h, "carol", "secret-carol", MECHANISM_SCRAM_SHA_1), LOGIN_WRONG);
    assert_reason(h, "carol", "no-device-password");
    assert_int_equal(try(h, "nobody", "wrong", MECHANISM_SCRAM_SHA_256), LOGIN_WRONG);
    assert_reason(h, "nobody", "unknown-name");
    /* One login that shows the password makes the keys. */
    assert_int_equal(house_login(h, END_USER, fresh(), "bob", "from elsewhere", PROTOCOL_POP3, "192.0.2.7").verdict, LOGIN_OK);
    house_stop(h); /* which waits for it */
    house_start(h);
    assert_int_equal(try(h, "bob", "wrong", MECHANISM_SCRAM_SHA_256), LOGIN_WRONG);
    assert_reason(h, "bob", "wrong-password");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_setup, house_teardown)
        HOUSE(test_C075_salts_of_all_ways_to_write_a_name),
        HOUSE(test_C075_C086_salts_and_authorization_identities),
        HOUSE(test_C075_rounds_of_devices_alone),
        HOUSE(test_every_way_to_write_a_name_logs_in),
        HOUSE(test_reason_where_there_are_no_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

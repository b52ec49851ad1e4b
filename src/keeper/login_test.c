/* Every way of proving oneself, as the keeper decides it. */
#include "keeper/test_client.h"

#define LAN "192.0.2.7"

static uint64_t next_session = 1;

static uint8_t scram(struct house *h, const struct scram_try *try)
{
    struct answer answer = client_scram(h, END_USER, next_session++, try);
    assert_ok(answer.status);
    return answer.login.verdict;
}

#define SCRAM(...) scram(h, &(struct scram_try){ __VA_ARGS__ })

static void test_scram_of_a_person(void **state)
{
    struct house *h = *state;
    assert_int_equal(SCRAM("alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256), LOGIN_OK);
    assert_int_equal(SCRAM("Alice@our.test", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256_PLUS), LOGIN_OK);
    assert_int_equal(SCRAM("alice", "secret-bob", .mechanism = MECHANISM_SCRAM_SHA_256), LOGIN_WRONG);
    assert_int_equal(SCRAM("nobody", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256), LOGIN_WRONG);
    /* Never where a listener could guess at it at home, and SHA-1 is a setting. */
    assert_int_equal(SCRAM("alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256, .cleartext = true), LOGIN_WRONG);
    assert_int_equal(SCRAM("alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256, .device_only = true), LOGIN_WRONG);
    assert_int_equal(SCRAM("alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_1), LOGIN_WRONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_setup, house_teardown)
        HOUSE(test_scram_of_a_person),
    };
    return cmocka_run_group_tests_name("login", tests, NULL, NULL);
}

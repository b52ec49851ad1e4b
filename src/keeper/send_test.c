/* Who nearly may send, and is told why not: a lease of the other family of addresses (C104), or of another EHLO name (C096). */
#include <unistd.h>

#include "keeper/test_house.h"

#define V4     "192.0.2.7"
#define V6     "2001:db8::7"
#define ALICE  "alice@our.test"

struct said {
    const char *sender, *peer, *helo;
    bool in_clear;
};

static struct answer_mail mail(struct house *h, uint64_t session, struct said said)
{
    struct ask ask = { .kind = ASK_MAIL,
        .fd = -1,
        .mail = { .sender = slice_of(said.sender),
            .helo = slice_of(said.helo ? said.helo : "scanner"),
            .session = S("s1"),
            .peer = house_ip(said.peer),
            .encrypted = !said.in_clear,
            .submission = 1 } };
    struct answer answer = house_ask(h, END_USER, session, &ask);
    assert_ok(answer.status);
    return answer.mail;
}

static void check(struct answer_mail answer, enum mail_verdict verdict, const char *other)
{
    struct ip none = { 0 };
    assert_int_equal(answer.verdict, verdict);
    assert_true(ip_equal(answer.other, other ? house_ip(other) : none));
}

static void pop(struct house *h, uint64_t session, const char *name, const char *secret, const char *peer)
{
    assert_int_equal(house_login(h, END_USER, session, name, secret, PROTOCOL_POP3, peer).verdict, LOGIN_OK);
}

static void end_leases(struct house *h, const char *about)
{
    struct ask ask = { .kind = ASK_LEASE_REVOKE, .fd = -1, .lease_revoke = { slice_of(about) } };
    assert_ok(house_ask(h, END_CTL, 0, &ask).status);
}

static void test_C104_the_other_family_is_named(void **state)
{
    struct house *h = *state;
    check(mail(h, 9, (struct said){ ALICE, V4 }), MAIL_PROVE_YOURSELF, NULL);
    pop(h, 1, "alice", "secret-alice", V6);
    check(mail(h, 2, (struct said){ ALICE, V4 }), MAIL_OTHER_ADDRESS, V6);
    check(mail(h, 2, (struct said){ ALICE, "::ffff:" V4 }), MAIL_OTHER_ADDRESS, V6);
    check(mail(h, 2, (struct said){ ALICE, V6 }), MAIL_OK, NULL);
    pop(h, 3, "alice", "secret-alice", V4);
    check(mail(h, 2, (struct said){ ALICE, "::ffff:" V4 }), MAIL_OK, NULL);
    end_leases(h, V6);
    check(mail(h, 2, (struct said){ ALICE, V6 }), MAIL_OTHER_ADDRESS, V4);
    end_leases(h, "");
    check(mail(h, 2, (struct said){ ALICE, V6 }), MAIL_PROVE_YOURSELF, NULL);
}

/* Nobody is told where somebody is, if it would not help him to be there. */
static void test_C104_nothing_is_told_without_need(void **state)
{
    struct house *h = *state;
    pop(h, 1, "alice", "secret-alice", V6);
    check(mail(h, 2, (struct said){ ALICE, "2001:db8::8" }), MAIL_PROVE_YOURSELF, NULL); /* the same family */
    check(mail(h, 2, (struct said){ ALICE, V4, .in_clear = true }), MAIL_PROVE_YOURSELF, NULL); /* no lease would do here */
    check(mail(h, 2, (struct said){ "bob@our.test", V4 }), MAIL_PROVE_YOURSELF, NULL);
    check(mail(h, 2, (struct said){ "alice@else.test", V4 }), MAIL_PROVE_YOURSELF, NULL);
    check(mail(h, 2, (struct said){ "", V4 }), MAIL_PROVE_YOURSELF, NULL);
    check(mail(h, 2, (struct said){ "postmaster@our.test", V4 }), MAIL_PROVE_YOURSELF, NULL); /* she reads it, and may not send as it */
    assert_int_equal(house_mail(h, END_MX, 2, ALICE, V4), MAIL_OK); /* strangers' port: no word of it */
    assert_int_equal(house_login(h, END_USER, 5, "alice", "wrong", PROTOCOL_SMTP, V4).verdict, LOGIN_WRONG);
    check(mail(h, 5, (struct said){ ALICE, V4 }), MAIL_PROVE_YOURSELF, NULL); /* who guesses passwords hears nothing */
    struct ask off = { .kind = ASK_ACCOUNT_SET, .fd = -1, .account_set = { S(ALICE), 0, 2 } };
    assert_ok(house_ask(h, END_CTL, 0, &off).status);
    check(mail(h, 6, (struct said){ ALICE, V4 }), MAIL_PROVE_YOURSELF, NULL);
}

static void test_C104_aliases_and_the_end_of_a_lease(void **state)
{
    struct house *h = *state;
    assert_ok(house_alias(h, "sales@our.test", "bob@our.test"));
    assert_ok(house_alias(h, "sales@our.test", ALICE));
    pop(h, 1, "alice", "secret-alice", V6);
    check(mail(h, 2, (struct said){ "sales@our.test", V4 }), MAIL_OTHER_ADDRESS, V6);
    /* Over between MAIL and RCPT: the answer to RCPT has no room for an address, and says what to do all the same. */
    pop(h, 3, "alice", "secret-alice", V4);
    check(mail(h, 4, (struct said){ ALICE, V4 }), MAIL_OK, NULL);
    end_leases(h, V4);
    assert_int_equal(house_rcpt(h, END_USER, 4, "far@else.test"), MAIL_PROVE_YOURSELF);
}

/* Who asks for one name after another learns ten addresses, and not where everybody is. */
static void test_C104_few_are_told_of_to_one_network(void **state)
{
    struct house *h = *state;
    char address[32], peer[32], name[32], secret[32];
    for (unsigned i = 0; i < LIMIT_TOLD_ACCOUNTS + 2; i++) {
        snprintf(name, sizeof name, "user%u", i);
        snprintf(address, sizeof address, "user%u@our.test", i);
        snprintf(secret, sizeof secret, "secret-user%u", i);
        snprintf(peer, sizeof peer, "2001:db8:%u::7", i + 1);
        house_add(h, address, true);
        pop(h, 10 + i, name, secret, peer);
        if (i < LIMIT_TOLD_ACCOUNTS)
            check(mail(h, 2, (struct said){ address, V4 }), MAIL_OTHER_ADDRESS, peer);
        else
            check(mail(h, 2, (struct said){ address, "192.0.2.99" }), MAIL_PROVE_YOURSELF, NULL);
    }
    /* Who was told goes on being told, and other networks have their own ten. */
    check(mail(h, 2, (struct said){ "user0@our.test", "192.0.2.99" }), MAIL_OTHER_ADDRESS, "2001:db8:1::7");
    check(mail(h, 2, (struct said){ address, "198.51.100.7" }), MAIL_OTHER_ADDRESS, peer);
}

/* ---- a device's time --------------------------------------------------------------------------------------------------- */

/* Its lease ends with it, and not when its minutes are over. */
static void test_C108_a_lease_ends_with_its_device(void **state)
{
    struct house *h = *state;
    struct ask add = { .kind = ASK_DEVICE_ADD, .fd = -1,
        .device_add = { .address = S(ALICE), .name = S("copier"), .rights = RIGHT_LEASE, .expires = clock_wall() + 2000 } };
    struct answer device = house_ask(h, END_CTL, 0, &add);
    assert_ok(device.status);
    struct slice secret;
    assert_ok(arena_copy(&h->arena, device.device_add.secret, &secret));
    pop(h, 1, "alice", secret.ptr, V4);
    check(mail(h, 2, (struct said){ ALICE, V4 }), MAIL_OK, NULL);
    assert_int_equal(house_rcpt(h, END_USER, 2, "far@else.test"), MAIL_OK);
    while (clock_wall() <= add.device_add.expires)
        usleep(100000);
    assert_int_equal(house_rcpt(h, END_USER, 2, "far@else.test"), MAIL_PROVE_YOURSELF);
    check(mail(h, 3, (struct said){ ALICE, V4 }), MAIL_PROVE_YOURSELF, NULL);
    check(mail(h, 3, (struct said){ ALICE, V6 }), MAIL_PROVE_YOURSELF, NULL);
    pop(h, 4, "alice", "secret-alice", V4); /* the owner's own is another matter */
    check(mail(h, 3, (struct said){ ALICE, V4 }), MAIL_OK, NULL);
}

/* ---- pinned to an EHLO name ------------------------------------------------------------------------------------------- */

static void pin(struct house *h)
{
    house_stop(h);
    h->settings->lease_pin_helo = true;
    h->settings->lease_messages = h->settings->lease_recipients = 50;
    house_start(h);
}

static uint8_t send_as(struct house *h, uint64_t session, const char *helo)
{
    struct answer_mail answer = mail(h, session, (struct said){ ALICE, V4, helo });
    if (answer.verdict != MAIL_OK)
        return answer.verdict;
    assert_int_equal(house_rcpt(h, END_USER, session, "far@else.test"), MAIL_OK);
    return house_deliver(h, END_USER, session, ALICE, "far@else.test", ALICE, "x\r\n").deliver.verdict;
}

static void test_C096_the_first_message_pins_its_name(void **state)
{
    struct house *h = *state;
    pin(h);
    pop(h, 1, "alice", "secret-alice", V4);
    check(mail(h, 2, (struct said){ ALICE, V4, "first" }), MAIL_OK, NULL); /* begun, not sent: pins nothing */
    assert_int_equal(send_as(h, 3, "Scanner.lan"), MAIL_OK);
    assert_int_equal(send_as(h, 3, "scanner.LAN"), MAIL_OK);
    assert_int_equal(send_as(h, 4, "laptop"), MAIL_OTHER_HELO);
    check(mail(h, 4, (struct said){ "bob@our.test", V4, "laptop" }), MAIL_PROVE_YOURSELF, NULL); /* not his to know */
    assert_int_equal(house_rcpt(h, END_USER, 2, "far@else.test"), MAIL_OTHER_HELO); /* another one was first */
    pop(h, 5, "alice", "secret-alice", V4); /* a renewal changes nothing */
    assert_int_equal(send_as(h, 4, "laptop"), MAIL_OTHER_HELO);
    check(mail(h, 4, (struct said){ ALICE, V6, "laptop" }), MAIL_PROVE_YOURSELF, NULL); /* nor would it do there */
    check(mail(h, 4, (struct said){ ALICE, V6, "scanner.lan" }), MAIL_OTHER_ADDRESS, V4);
}

static void test_C096_a_pin_is_forgotten_with_what_it_was_for(void **state)
{
    struct house *h = *state;
    pin(h);
    pop(h, 1, "alice", "secret-alice", V4);
    assert_int_equal(send_as(h, 2, "one"), MAIL_OK);
    end_leases(h, ALICE);
    pop(h, 3, "alice", "secret-alice", V4);
    assert_int_equal(send_as(h, 2, "two"), MAIL_OK);
    struct ask change = { .kind = ASK_ACCOUNT_PASSWORD, .fd = -1, .account_password = { S(ALICE), S("another-one") } };
    assert_ok(house_ask(h, END_CTL, 0, &change).status);
    pop(h, 4, "alice", "another-one", V4);
    assert_int_equal(send_as(h, 2, "three"), MAIL_OK);
    assert_int_equal(send_as(h, 2, "two"), MAIL_OTHER_HELO);
}

static void test_names_are_free_without_the_setting(void **state)
{
    struct house *h = *state;
    pop(h, 1, "alice", "secret-alice", V4);
    assert_int_equal(send_as(h, 2, "one"), MAIL_OK);
    assert_int_equal(send_as(h, 2, "two"), MAIL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_setup, house_teardown)
        HOUSE(test_C104_the_other_family_is_named),
        HOUSE(test_C104_nothing_is_told_without_need),
        HOUSE(test_C104_aliases_and_the_end_of_a_lease),
        HOUSE(test_C104_few_are_told_of_to_one_network),
        HOUSE(test_C108_a_lease_ends_with_its_device),
        HOUSE(test_C096_the_first_message_pins_its_name),
        HOUSE(test_C096_a_pin_is_forgotten_with_what_it_was_for),
        HOUSE(test_names_are_free_without_the_setting),
    };
    return cmocka_run_group_tests_name("send", tests, NULL, NULL);
}

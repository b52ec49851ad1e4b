#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ask/ask.h"
#include "base/random.h"
#include "proto/lease.h"

#define START 1000000u

struct bench {
    struct leases leases;
    struct settings settings;
    msec now;
    unsigned ended[LEASE_FAILURES + 1];
};

static void on_ended(void *context, const struct lease *lease, enum lease_end end)
{
    (void)lease;
    ((struct bench *)context)->ended[end]++;
}

static int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){ .now = START };
    bench.leases.ended = on_ended;
    bench.leases.context = &bench;
    bench.settings.lease_accounts = LEASE_FLAGGED;
    bench.settings.lease_window = MINUTES(10);
    bench.settings.lease_cap = MINUTES(60);
    bench.settings.lease_messages = 20;
    bench.settings.lease_recipients = 50;
    bench.settings.lease_shared_accounts = 3;
    bench.settings.lease_imap = true;
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    lease_done(&((struct bench *)*state)->leases);
    return 0;
}

static struct ip ip_of(const char *text)
{
    struct ip ip = { 0 };
    assert_int_equal(ip_parse(slice_of(text), &ip), STATUS_OK);
    return ip;
}

/* The id, or 0 where it was refused. */
static uint32_t grant(struct bench *b, uint32_t account, const char *peer)
{
    struct lease_wish wish = { .account = account, .peer = ip_of(peer), .protocol = PROTOCOL_POP3 };
    const struct lease *lease = NULL;
    enum lease_grant answer = lease_grant(&b->leases, &wish, &b->settings, b->now, &lease);
    assert_int_equal(lease != NULL, answer == LEASE_OPENED || answer == LEASE_RENEWED);
    return lease ? lease->id : 0;
}

static bool lives(struct bench *b, uint32_t id)
{
    return lease_find(&b->leases, id, b->now) != NULL;
}

static void test_C101_window_ends_at_its_second_without_a_sweep(void **state)
{
    struct bench *b = *state;
    uint32_t id = grant(b, 1, "192.0.2.1");
    b->now += MINUTES(10) - 1;
    assert_true(lives(b, id));
    b->now += 1;
    assert_false(lives(b, id));
    assert_null(lease_at(&b->leases, ip_of("192.0.2.1"), NULL, b->now));
    struct lease_hold hold = { 0 };
    assert_false(lease_reserve(&b->leases, &hold, id, 1, b->now));
    lease_expire(&b->leases, b->now);
    assert_int_equal(b->leases.count, 0);
    assert_int_equal(b->ended[LEASE_EXPIRED], 1);
}

static void test_C098_login_renews_up_to_the_cap(void **state)
{
    struct bench *b = *state;
    uint32_t id = grant(b, 1, "192.0.2.1");
    for (int i = 0; i < 11; i++) {
        b->now += MINUTES(5);
        assert_int_equal(grant(b, 1, "192.0.2.1"), id);
    }
    b->now += MINUTES(5) - 1;
    assert_true(lives(b, id));
    b->now += 1;
    assert_false(lives(b, id)); /* sixty minutes after the first */
    uint32_t next = grant(b, 1, "192.0.2.1");
    assert_true(next != 0 && next != id);
}

static void test_C097_sending_does_not_renew(void **state)
{
    struct bench *b = *state;
    uint32_t id = grant(b, 1, "192.0.2.1");
    b->now += MINUTES(9);
    struct lease_hold hold = { 0 };
    assert_true(lease_reserve(&b->leases, &hold, id, 1, b->now));
    lease_commit(&b->leases, &hold);
    b->now += MINUTES(1);
    assert_false(lives(b, id));
}

static void test_C109_counts_are_reserved_committed_and_given_back(void **state)
{
    struct bench *b = *state;
    b->settings.lease_messages = 2;
    b->settings.lease_recipients = 3;
    uint32_t id = grant(b, 1, "192.0.2.1");
    struct lease_hold one = { 0 }, two = { 0 }, three = { 0 };
    assert_true(lease_reserve(&b->leases, &one, id, 1, b->now));
    assert_true(lease_reserve(&b->leases, &one, id, 1, b->now)); /* the same message */
    assert_true(lease_reserve(&b->leases, &two, id, 1, b->now));
    assert_false(lease_reserve(&b->leases, &three, id, 1, b->now));
    assert_false(lease_reserve(&b->leases, &two, id, 1, b->now)); /* recipients are used up */
    lease_give_back(&b->leases, &one);
    lease_give_back(&b->leases, &one); /* nothing to give */
    assert_int_equal(lease_recipients_left(lease_find(&b->leases, id, b->now)), 2);
    lease_commit(&b->leases, &two);
    assert_true(lease_reserve(&b->leases, &three, id, 2, b->now));
    lease_commit(&b->leases, &three);
    assert_int_equal(lease_messages_left(lease_find(&b->leases, id, b->now)), 0);
    assert_int_equal(lease_recipients_left(lease_find(&b->leases, id, b->now)), 0);
}

static void test_login_sets_counts_anew_but_not_what_is_under_way(void **state)
{
    struct bench *b = *state;
    b->settings.lease_messages = 2;
    uint32_t id = grant(b, 1, "192.0.2.1");
    struct lease_hold done = { 0 }, open = { 0 };
    assert_true(lease_reserve(&b->leases, &done, id, 1, b->now));
    lease_commit(&b->leases, &done);
    assert_true(lease_reserve(&b->leases, &open, id, 1, b->now));
    assert_int_equal(grant(b, 1, "192.0.2.1"), id);
    assert_int_equal(lease_messages_left(lease_find(&b->leases, id, b->now)), 1);
    lease_commit(&b->leases, &open);
    assert_int_equal(lease_messages_left(lease_find(&b->leases, id, b->now)), 1);
}

static void test_C095_C104_C105_bound_to_account_and_exact_address(void **state)
{
    struct bench *b = *state;
    uint32_t one = grant(b, 1, "192.0.2.1"), two = grant(b, 2, "192.0.2.1"), six = grant(b, 1, "2001:db8::1");
    assert_true(one && two && six && one != two && one != six);
    const struct lease *at = lease_at(&b->leases, ip_of("::ffff:192.0.2.1"), NULL, b->now);
    assert_int_equal(at->id, one);
    at = lease_at(&b->leases, at->peer, at, b->now);
    assert_int_equal(at->id, two);
    assert_null(lease_at(&b->leases, at->peer, at, b->now));
    assert_null(lease_at(&b->leases, ip_of("2001:db8::2"), NULL, b->now)); /* the same /64 */
    assert_null(lease_at(&b->leases, ip_of("192.0.2.2"), NULL, b->now));
}

static void test_C095_too_many_accounts_make_an_address_shared(void **state)
{
    struct bench *b = *state;
    for (uint32_t account = 1; account <= 3; account++)
        assert_true(grant(b, account, "192.0.2.1") != 0);
    assert_int_equal(grant(b, 4, "192.0.2.1"), 0);
    /* Those that were there end, too, and nobody gets one while such logins go on. */
    assert_int_equal(b->leases.count, 0);
    assert_int_equal(b->ended[LEASE_SHARED], 3);
    b->now += MINUTES(59);
    assert_int_equal(grant(b, 1, "192.0.2.1"), 0);
    assert_true(grant(b, 1, "192.0.2.2") != 0);
    /* An hour after the others were last seen it is no longer shared. */
    b->now += MINUTES(61);
    lease_expire(&b->leases, b->now);
    assert_true(grant(b, 2, "192.0.2.1") != 0);
}

static void test_an_office_may_share(void **state)
{
    struct bench *b = *state;
    struct network office = { .base = ip_of("192.0.2.0"), .bits = 120 };
    b->settings.lease_office_networks = (struct networks){ &office, 1 };
    for (uint32_t account = 1; account <= 30; account++)
        assert_true(grant(b, account, "192.0.2.1") != 0);
}

static void test_office_is_named(void **state)
{
    struct bench *b = *state;
    struct network rows[3] = { { .base = ip_of("192.0.2.0"), .bits = 120 }, { .base = ip_of("192.0.0.0"), .bits = 112 },
        { .base = ip_of("2001:db8:7::"), .bits = 48 } };
    struct slice names[3] = { S("Tokyo"), S("Kanto"), S("2001:db8:7::/48") };
    b->settings.lease_office_networks = (struct networks){ rows, 3 };
    b->settings.lease_office_names = (struct slices){ names, 3 };
    assert_true(slice_equal(lease_office(&b->settings, ip_of("192.0.2.9")), S("Tokyo"))); /* the first that fits */
    assert_true(slice_equal(lease_office(&b->settings, ip_of("::ffff:192.0.3.9")), S("Kanto")));
    assert_true(slice_equal(lease_office(&b->settings, ip_of("2001:db8:7:1::9")), S("2001:db8:7::/48")));
    assert_int_equal(lease_office(&b->settings, ip_of("2001:db8:8::9")).len, 0);
}

/* A household, or an office, has one /64, and each machine in it a hundred addresses a day (RFC 8981). */
static void test_C095_C105_accounts_are_counted_by_64_and_leases_stay_exact(void **state)
{
    struct bench *b = *state;
    uint32_t one = grant(b, 1, "2001:db8:1:2::1"), two = grant(b, 2, "2001:db8:1:2:ffff::2");
    assert_true(one && two && grant(b, 1, "2001:db8:1:2::1:1") && grant(b, 1, "2001:db8:1:2::1:2"));
    assert_int_equal(lease_crowd(&b->leases, ip_of("2001:db8:1:2::77"), b->now), 2); /* one account, many addresses */
    assert_null(lease_at(&b->leases, ip_of("2001:db8:1:2::3"), NULL, b->now));
    assert_true(grant(b, 3, "2001:db8:1:2::3") != 0);
    assert_true(grant(b, 4, "2001:db8:1:3::4") != 0); /* the next /64 is another place */
    assert_int_equal(grant(b, 4, "2001:db8:1:2::4"), 0);
    assert_false(lives(b, one) || lives(b, two));
    assert_int_equal(b->leases.count, 1);
    assert_int_equal(b->ended[LEASE_SHARED], 5);
    assert_int_equal(grant(b, 1, "2001:db8:1:2::9"), 0);
    assert_int_equal(b->leases.places.count, 1); /* refusals leave no addresses behind */
    b->now += MINUTES(61);
    lease_expire(&b->leases, b->now);
    assert_int_equal(b->leases.crowds.count + b->leases.places.count, 0);
    assert_true(grant(b, 1, "2001:db8:1:2::9") != 0);
}

/* Whoever logs in where too many do is noticed; how many more there are is not remembered for ever. */
static void test_C095_a_crowd_has_an_end(void **state)
{
    struct bench *b = *state;
    for (uint32_t account = 1; account <= 3; account++)
        assert_true(grant(b, account, "192.0.2.1") != 0);
    for (uint32_t account = 4; account <= 40; account++)
        assert_int_equal(grant(b, account, "192.0.2.1"), 0);
    assert_int_equal(lease_crowd(&b->leases, ip_of("192.0.2.1"), b->now), 4);
    /* The oldest made room, and so it is shared until an hour after the last. */
    b->now += MINUTES(59);
    assert_int_equal(grant(b, 41, "192.0.2.1"), 0);
    b->now += MINUTES(2);
    assert_true(grant(b, 42, "192.0.2.1") != 0);
}

static void test_crowds_are_listed(void **state)
{
    struct bench *b = *state;
    struct ip network;
    uint32_t accounts, seen = 0, total = 0;
    grant(b, 1, "192.0.2.1");
    grant(b, 2, "192.0.2.1");
    grant(b, 1, "2001:db8:1:2::1");
    for (size_t at = 0; lease_each_crowd(&b->leases, &at, b->now, &network, &accounts); seen++) {
        total += accounts;
        assert_int_equal(accounts, ip_equal(network, ip_of("192.0.2.1")) ? 2 : 1);
        assert_true(ip_equal(network, ip_of("192.0.2.1")) || ip_equal(network, ip_of("2001:db8:1:2::")));
    }
    assert_true(seen == 2 && total == 3);
}

/* A device that is good until tonight has no lease tomorrow, whatever the window. */
static void test_a_lease_ends_with_its_device(void **state)
{
    struct bench *b = *state;
    struct lease_wish wish = { .account = 1, .device = 7, .peer = ip_of("192.0.2.1"), .most = MINUTES(3) };
    const struct lease *lease;
    assert_int_equal(lease_grant(&b->leases, &wish, &b->settings, b->now, &lease), LEASE_OPENED);
    assert_int_equal(lease->until, b->now + MINUTES(3));
    wish.most = MINUTES(30);
    assert_int_equal(lease_grant(&b->leases, &wish, &b->settings, b->now, &lease), LEASE_RENEWED);
    assert_int_equal(lease->until, b->now + MINUTES(10));
}

/* The n-th address of an IPv6 /64, or of IPv4. */
static struct ip numbered(const char *network, uint32_t n)
{
    struct ip ip = ip_of(network);
    for (unsigned i = 0; i < 3; i++)
        ip.octets[15 - i] = (uint8_t)(n >> (8 * i));
    return ip;
}

static enum lease_grant grant_at(struct bench *b, uint32_t account, struct ip peer)
{
    const struct lease *lease;
    return lease_grant(&b->leases, &(struct lease_wish){ .account = account, .peer = peer }, &b->settings, b->now, &lease);
}

/* A thousand addresses of each of a hundred accounts, from `first` on: what the table holds. */
static void fill(struct bench *b, uint32_t first)
{
    char network[32];
    for (uint32_t account = 1; account <= LIMIT_LEASES / LIMIT_LEASES_ACCOUNT; account++) {
        snprintf(network, sizeof network, "2001:db8:1:%x::", account);
        for (uint32_t i = 0; i < LIMIT_LEASES_ACCOUNT; i++)
            assert_int_equal(grant_at(b, account, numbered(network, first + i)), LEASE_OPENED);
    }
}

static void test_C088_full_tables_refuse_and_recover(void **state)
{
    struct bench *b = *state;
    fill(b, 0);
    assert_int_equal(b->leases.count, LIMIT_LEASES);
    assert_int_equal(grant_at(b, 2000, ip_of("192.0.2.1")), LEASE_REFUSED_FULL);
    assert_int_equal(grant_at(b, 7, numbered("2001:db8:1:7::", 3)), LEASE_RENEWED);
    /* Refusals leave no addresses behind; whose network it was is remembered, until that is full, too. */
    for (uint32_t i = 0; b->leases.crowds.count < LIMIT_LEASE_PLACES; i++)
        assert_int_equal(grant_at(b, 2000, numbered("::ffff:10.0.0.0", i)), LEASE_REFUSED_FULL);
    assert_int_equal(b->leases.places.count, LIMIT_LEASES);
    assert_int_equal(grant_at(b, 2000, ip_of("198.51.100.1")), LEASE_REFUSED_FULL);
    assert_int_equal(b->leases.crowds.count, LIMIT_LEASE_PLACES);
    /* Addresses without a lease are there until somebody sweeps: then they are what is full. */
    assert_int_equal(lease_revoke(&b->leases, 0, 0, NULL, LEASE_REVOKED, b->now), LIMIT_LEASES);
    fill(b, LIMIT_LEASES_ACCOUNT);
    assert_int_equal(b->leases.places.count, LIMIT_LEASE_PLACES);
    struct ip gone = numbered("2001:db8:1:7::", LIMIT_LEASES_ACCOUNT);
    assert_int_equal(lease_revoke(&b->leases, 7, 0, &gone, LEASE_REVOKED, b->now), 1);
    assert_int_equal(grant_at(b, 7, ip_of("2001:db8:1:7:ffff::")), LEASE_REFUSED_FULL);
    b->now += MINUTES(61);
    lease_expire(&b->leases, b->now);
    assert_int_equal(b->leases.count + b->leases.places.count + b->leases.crowds.count, 0);
    assert_int_equal(grant_at(b, 2000, ip_of("192.0.2.1")), LEASE_OPENED);
}

/* IPv4 has no such neighbourhood, in whichever form it is written. */
static void test_C104_v4_mapped_is_counted_by_its_address(void **state)
{
    struct bench *b = *state;
    for (uint32_t account = 1; account <= 20; account++) {
        char peer[32];
        snprintf(peer, sizeof peer, "%s198.51.100.%u", account % 2 ? "::ffff:" : "", account);
        assert_true(grant(b, account, peer) != 0);
    }
    assert_true(grant(b, 50, "::ffff:203.0.113.1") && grant(b, 51, "203.0.113.1") && grant(b, 52, "203.0.113.1"));
    assert_int_equal(lease_crowd(&b->leases, ip_of("203.0.113.1"), b->now), 3);
    assert_int_equal(grant(b, 53, "::ffff:203.0.113.1"), 0);
}

static void test_an_office_within_a_shared_network_is_left_alone(void **state)
{
    struct bench *b = *state;
    struct network office = { .base = ip_of("2001:db8:1:2::7"), .bits = 128 };
    b->settings.lease_office_networks = (struct networks){ &office, 1 };
    for (uint32_t account = 1; account <= 9; account++)
        assert_true(grant(b, account, "2001:db8:1:2::7") != 0);
    assert_int_equal(lease_crowd(&b->leases, office.base, b->now), 0);
    for (uint32_t account = 11; account <= 13; account++)
        assert_true(grant(b, account, "2001:db8:1:2::8") != 0);
    assert_int_equal(grant(b, 14, "2001:db8:1:2::9"), 0);
    assert_int_equal(b->leases.count, 9);
    assert_true(grant(b, 10, "2001:db8:1:2::7") != 0);
}

static void test_leases_of_an_account_wherever_they_are(void **state)
{
    struct bench *b = *state;
    static const char *const at[] = { "192.0.2.1", "2001:db8::1", "192.0.2.2" };
    for (int i = 0; i < 3; i++)
        grant(b, 1, at[i]);
    grant(b, 2, at[0]);
    struct ip gone = ip_of(at[1]);
    assert_int_equal(lease_revoke(&b->leases, 1, 0, &gone, LEASE_REVOKED, b->now), 1);
    unsigned count = 0;
    for (const struct lease *lease = NULL; (lease = lease_of(&b->leases, 1, lease, b->now)); count++)
        assert_true(lease->account == 1 && !ip_equal(lease->peer, gone));
    assert_int_equal(count, 2);
    b->now += MINUTES(10);
    assert_null(lease_of(&b->leases, 1, NULL, b->now)); /* over, though nobody swept */
    assert_null(lease_of(&b->leases, 3, NULL, b->now));
}

static void test_one_account_many_times_is_not_shared(void **state)
{
    struct bench *b = *state;
    b->settings.lease_shared_accounts = 1;
    for (int i = 0; i < 20; i++) {
        assert_true(grant(b, 1, "192.0.2.1") != 0);
        b->now += MINUTES(7);
    }
    assert_int_equal(grant(b, 2, "192.0.2.1"), 0);
}

static void test_C106_never_networks_and_own_addresses(void **state)
{
    struct bench *b = *state;
    struct lease_asker asker = { .flagged = true, .peer = ip_of("127.0.0.1"), .local = ip_of("127.0.0.1") };
    assert_null(lease_refusal(&b->settings, &asker)); /* an empty list means none */
    struct network never[2] = { { .base = ip_of("127.0.0.0"), .bits = 104 },
        { .base = ip_of("100.64.0.0"), .bits = 106 } };
    b->settings.lease_never_networks = (struct networks){ never, 2 };
    assert_non_null(lease_refusal(&b->settings, &asker));
    asker.peer = ip_of("100.100.1.1");
    assert_non_null(lease_refusal(&b->settings, &asker));
    asker.peer = asker.local = ip_of("192.0.2.1");
    assert_non_null(lease_refusal(&b->settings, &asker));
    asker.local = ip_of("192.0.2.250");
    assert_null(lease_refusal(&b->settings, &asker));
    /* In its mapped form, too; and another address of ours than the one that was called. */
    asker.peer = ip_of("::ffff:127.0.0.1");
    assert_non_null(lease_refusal(&b->settings, &asker));
    asker.peer = ip_of("::ffff:192.0.2.250");
    assert_non_null(lease_refusal(&b->settings, &asker));
    struct slice ours[2] = { S("192.0.2.251"), S("2001:db8::25") };
    b->settings.listen_address = (struct slices){ ours, 2 };
    asker.peer = ip_of("2001:db8::25");
    assert_non_null(lease_refusal(&b->settings, &asker));
    asker.peer = ip_of("2001:db8::26");
    assert_null(lease_refusal(&b->settings, &asker));
    struct slice all[2] = { S("*"), S("2001:db8::26") }; /* what is no single address does not hide the next */
    b->settings.listen_address = (struct slices){ all, 2 };
    assert_string_equal(lease_refusal(&b->settings, &asker), "own-address");
}

static void test_ends_have_words(void **state)
{
    static const char *const words[] = { "expired", "revoked", "account-changed", "shared-address", "failed-logins" };
    (void)state;
    for (int end = LEASE_EXPIRED; end <= LEASE_FAILURES; end++)
        assert_string_equal(lease_end_name((enum lease_end)end), words[end]);
}

static void test_who_gets_one(void **state)
{
    struct bench *b = *state;
    static const struct {
        uint32_t accounts;
        bool imap_set, flagged, device, device_may, uses_auth, imap, granted;
    } rows[] = {
        /* accounts       set    flagged device may    auth   imap   granted */
        { LEASE_FLAGGED, true, true, false, false, false, false, true },
        { LEASE_FLAGGED, true, false, false, false, false, false, false },
        { LEASE_FLAGGED, true, true, false, false, true, false, true }, /* flagged wins over SMTP AUTH */
        { LEASE_FLAGGED, true, true, true, true, false, false, true },  /* flagged by the device's own right */
        { LEASE_FLAGGED, true, true, true, false, false, false,
            false }, /* the account is flagged, the device has not the right */
        { LEASE_ALL, true, false, false, false, false, false, true },
        { LEASE_ALL, true, false, false, false, true, false, false },
        { LEASE_ALL, true, false, true, false, false, false, false },
        { LEASE_NONE, true, true, true, true, false, false, false },
        { LEASE_FLAGGED, true, true, false, false, false, true, true },
        { LEASE_FLAGGED, false, true, false, false, false, true, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        b->settings.lease_accounts = rows[i].accounts;
        b->settings.lease_imap = rows[i].imap_set;
        struct lease_asker asker = { .flagged = rows[i].flagged,
            .device = rows[i].device,
            .device_may = rows[i].device_may,
            .uses_auth = rows[i].uses_auth,
            .imap = rows[i].imap,
            .peer = ip_of("192.0.2.1"),
            .local = ip_of("192.0.2.250") };
        if ((lease_refusal(&b->settings, &asker) == NULL) != rows[i].granted)
            fail_msg("row %zu", i);
    }
}

static void test_ten_failures_end_it_here_only(void **state)
{
    struct bench *b = *state;
    uint32_t here = grant(b, 1, "192.0.2.1"), there = grant(b, 1, "192.0.2.2"), other = grant(b, 2, "192.0.2.1");
    for (int i = 0; i < 9; i++)
        lease_failed(&b->leases, 1, ip_of("192.0.2.1"), b->now);
    assert_true(lives(b, here));
    grant(b, 1, "192.0.2.1"); /* the right password in between: a neighbour's typos do not add up for ever */
    for (int i = 0; i < 9; i++)
        lease_failed(&b->leases, 1, ip_of("192.0.2.1"), b->now);
    assert_true(lives(b, here));
    lease_failed(&b->leases, 1, ip_of("192.0.2.1"), b->now);
    assert_false(lives(b, here));
    assert_true(lives(b, there) && lives(b, other));
}

static void test_C108_revoked_by_account_device_and_address(void **state)
{
    struct bench *b = *state;
    struct lease_wish wish = { .account = 1, .device = 7, .peer = ip_of("192.0.2.3"), .protocol = PROTOCOL_POP3 };
    const struct lease *lease;
    uint32_t plain = grant(b, 1, "192.0.2.1"), other = grant(b, 2, "192.0.2.1");
    assert_int_equal(lease_grant(&b->leases, &wish, &b->settings, b->now, &lease), LEASE_OPENED);
    uint32_t device = lease->id;
    struct lease_hold hold = { 0 };
    assert_true(lease_reserve(&b->leases, &hold, device, 1, b->now));
    assert_int_equal(lease_revoke(&b->leases, 1, 7, NULL, LEASE_CHANGED, b->now), 1);
    assert_false(lives(b, device));
    assert_true(lives(b, plain));
    assert_false(lease_reserve(&b->leases, &hold, device, 1, b->now));
    /* A new one at the same place has nothing to do with what the old one had reserved. */
    assert_int_equal(lease_grant(&b->leases, &wish, &b->settings, b->now, &lease), LEASE_OPENED);
    lease_give_back(&b->leases, &hold);
    assert_int_equal(lease_messages_left(lease), 20);
    struct ip peer = ip_of("192.0.2.1");
    assert_int_equal(lease_revoke(&b->leases, 0, 0, &peer, LEASE_REVOKED, b->now), 2);
    assert_false(lives(b, plain) || lives(b, other));
    assert_int_equal(lease_revoke(&b->leases, 0, 0, NULL, LEASE_REVOKED, b->now), 1);
    assert_int_equal(b->leases.count, 0);
}

/* ---- grant, renew, reserve, commit, give back, revoke, time: in any order
 * ---------------------------------------------- */

#define ACCOUNTS 3u
#define PEERS    2u
#define HOLDS    6u

/* What must be true, kept beside the table: committed since the last login and reserved, of each account at each
 * address. */
struct model {
    bool open;
    uint32_t id, used, used_recipients;
    msec until, cap;
};
struct model_hold {
    struct lease_hold hold;
    unsigned account, peer;
    uint32_t id;
};

static const char *const peers[PEERS] = { "192.0.2.1", "192.0.2.2" };

static void check(struct bench *b, const struct model m[ACCOUNTS][PEERS], const struct model_hold holds[HOLDS])
{
    for (unsigned a = 0; a < ACCOUNTS; a++)
        for (unsigned p = 0; p < PEERS; p++) {
            const struct model *model = &m[a][p];
            bool open = model->open && b->now < model->until;
            assert_int_equal(lives(b, model->id), open);
            if (!open)
                continue;
            uint32_t reserved = 0, recipients = 0;
            for (unsigned h = 0; h < HOLDS; h++)
                if (holds[h].id == model->id && holds[h].hold.message) {
                    reserved++;
                    recipients += holds[h].hold.recipients;
                }
            const struct lease *lease = lease_find(&b->leases, model->id, b->now);
            assert_true(model->used + reserved <= lease->messages);
            assert_int_equal(lease_messages_left(lease), lease->messages - model->used - reserved);
            assert_true(model->used_recipients + recipients <= lease->recipients);
            assert_int_equal(lease_recipients_left(lease), lease->recipients - model->used_recipients - recipients);
        }
}

static void step_login(struct bench *b, struct model *model, unsigned a, unsigned p)
{
    bool renews = model->open && b->now < model->until;
    uint32_t id = grant(b, a + 1, peers[p]);
    assert_int_equal(id == model->id, renews);
    if (!renews)
        model->cap = b->now + b->settings.lease_cap;
    msec until = b->now + b->settings.lease_window;
    *model =
        (struct model){ .open = true, .id = id, .cap = model->cap, .until = until < model->cap ? until : model->cap };
}

static void step_reserve(struct bench *b, const struct model *model, struct model_hold *hold, uint32_t recipients)
{
    if (hold->hold.message && hold->id != model->id)
        return; /* one transaction, one lease */
    const struct lease *lease = lease_find(&b->leases, model->id, b->now);
    bool room =
        lease && (hold->hold.message || lease_messages_left(lease) > 0) && lease_recipients_left(lease) >= recipients;
    assert_int_equal(lease_reserve(&b->leases, &hold->hold, model->id, recipients, b->now), room);
    if (room)
        hold->id = model->id;
}

static void step_commit(struct bench *b, struct model m[ACCOUNTS][PEERS], struct model_hold *hold)
{
    for (unsigned a = 0; a < ACCOUNTS; a++)
        for (unsigned p = 0; p < PEERS; p++)
            if (hold->hold.message && m[a][p].open && m[a][p].id == hold->id) {
                m[a][p].used++;
                m[a][p].used_recipients += hold->hold.recipients;
            }
    lease_commit(&b->leases, &hold->hold);
}

static void test_C109_any_order_never_overdraws(void **state) /* and A5 23 */
{
    struct bench *b = *state;
    b->settings.lease_messages = 2;
    b->settings.lease_recipients = 5;
    b->settings.lease_window = 10;
    b->settings.lease_cap = 25;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct random_stream random = { seed };
        struct model m[ACCOUNTS][PEERS] = { 0 };
        struct model_hold holds[HOLDS] = { 0 };
        lease_done(&b->leases);
        for (int step = 0; step < 400; step++) {
            unsigned a = (unsigned)(random_next(&random) % ACCOUNTS), p = (unsigned)(random_next(&random) % PEERS);
            struct model_hold *hold = &holds[random_next(&random) % HOLDS];
            struct ip peer = ip_of(peers[p]);
            switch (random_next(&random) % 8) {
            case 0:
                step_login(b, &m[a][p], a, p);
                break;
            case 1:
            case 2:
            case 3:
                step_reserve(b, &m[a][p], hold, (uint32_t)(random_next(&random) % 3));
                break;
            case 4:
                step_commit(b, m, hold);
                break;
            case 5:
                lease_give_back(&b->leases, &hold->hold);
                break;
            case 6:
                b->now += random_next(&random) % 6;
                if (random_next(&random) % 2)
                    lease_expire(&b->leases, b->now);
                break;
            default:
                if (random_next(&random) % 4 == 0) {
                    lease_revoke(&b->leases, a + 1, 0, &peer, LEASE_REVOKED, b->now);
                    m[a][p].open = false;
                }
            }
            check(b, (const struct model(*)[PEERS])m, holds);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define BENCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        BENCH(test_C101_window_ends_at_its_second_without_a_sweep),
        BENCH(test_C098_login_renews_up_to_the_cap),
        BENCH(test_C097_sending_does_not_renew),
        BENCH(test_C109_counts_are_reserved_committed_and_given_back),
        BENCH(test_login_sets_counts_anew_but_not_what_is_under_way),
        BENCH(test_C095_C104_C105_bound_to_account_and_exact_address),
        BENCH(test_C095_too_many_accounts_make_an_address_shared),
        BENCH(test_an_office_may_share),
        BENCH(test_office_is_named),
        BENCH(test_C095_C105_accounts_are_counted_by_64_and_leases_stay_exact),
        BENCH(test_C095_a_crowd_has_an_end),
        BENCH(test_crowds_are_listed),
        BENCH(test_a_lease_ends_with_its_device),
        BENCH(test_C088_full_tables_refuse_and_recover),
        cmocka_unit_test(test_ends_have_words),
        BENCH(test_C104_v4_mapped_is_counted_by_its_address),
        BENCH(test_an_office_within_a_shared_network_is_left_alone),
        BENCH(test_leases_of_an_account_wherever_they_are),
        BENCH(test_one_account_many_times_is_not_shared),
        BENCH(test_C106_never_networks_and_own_addresses),
        BENCH(test_who_gets_one),
        BENCH(test_ten_failures_end_it_here_only),
        BENCH(test_C108_revoked_by_account_device_and_address),
        BENCH(test_C109_any_order_never_overdraws),
    };
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}

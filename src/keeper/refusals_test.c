#include "base/testing.h"
#include "keeper/impl.h"
#include "proto/refusal.h"

#define NOW ((wall)1795428245000)

static struct refusals refusals;
static struct arena arena = ARENA(4u << 20);

static int begin(void **state)
{
    (void)state;
    refusals = (struct refusals){ 0 };
    refusals_init(&refusals);
    return 0;
}

static int end(void **state)
{
    (void)state;
    refusals_done(&refusals);
    arena_done(&arena);
    return 0;
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_int_equal(ip_parse(slice_of(text), &ip), STATUS_OK);
    return ip;
}

static void note(const char *name, uint32_t account, const char *peer, uint32_t code, const char *detail, wall when)
{
    struct refused refused = { .name = slice_of(name), .session = S("u0-1a"), .detail = slice_of(detail), .peer = ip_of(peer),
        .code = code, .account = account, .protocol = PROTOCOL_POP3 };
    refusals_note(&refusals, &refused, when);
}

static struct rows find(struct refusals_query query)
{
    struct rows rows;
    arena_reset(&arena);
    assert_int_equal(refusals_find(&refusals, &query, 100, &arena, &rows), STATUS_OK);
    return rows;
}

static struct rows of_account(uint32_t account)
{
    return find((struct refusals_query){ .name = S("-"), .accounts = &account, .account_count = 1 });
}

static struct rows of_peer(const char *peer)
{
    return find((struct refusals_query){ .by_peer = true, .peer = ip_of(peer) });
}

static void the_latest_first_and_counted(void **state)
{
    (void)state;
    note("alice", 7, "192.0.2.1", REFUSAL_LOGIN, "wrong-password", NOW);
    note("alice", 7, "192.0.2.1", REFUSAL_LEASE_USED_UP, "", NOW + 1);
    note("alice@our.test", 7, "192.0.2.1", REFUSAL_LOGIN, "device-network", NOW + 2);
    struct rows rows = of_account(7);
    assert_int_equal(rows.count, 2);
    const struct why_row *row = row_of(struct why_row, rows, 0);
    assert_int_equal(row->code, REFUSAL_LOGIN);
    assert_int_equal(row->count, 2);
    assert_true(row->when == NOW + 2);
    assert_true(slice_equal(row->detail, S("device-network")) && slice_equal(row->name, S("alice@our.test")));
    assert_true(slice_equal(row->session, S("u0-1a")));
    row = row_of(struct why_row, rows, 1);
    assert_int_equal(row->code, REFUSAL_LEASE_USED_UP);
    assert_int_equal(find((struct refusals_query){ .code = REFUSAL_LOGIN }).count, 1);
    assert_int_equal(find((struct refusals_query){ .code = REFUSAL_CROWDED }).count, 0);
    assert_int_equal(of_account(8).count, 0);
    assert_int_equal(find((struct refusals_query){ .name = S("ALICE@our.test") }).count, 1);
}

static void by_address_and_its_network(void **state)
{
    (void)state;
    note("", 0, "2001:db8:1:2::5", REFUSAL_CROWDED, "", NOW);
    note("", 0, "192.0.2.1", REFUSAL_CROWDED, "", NOW);
    assert_int_equal(of_peer("2001:db8:1:2:ffff::1").count, 1);
    assert_int_equal(of_peer("2001:db8:1:3::5").count, 0);
    assert_int_equal(of_peer("::ffff:192.0.2.1").count, 1); /* C104 */
    assert_int_equal(of_peer("192.0.2.2").count, 0);
}

/* Whoever makes up names and addresses pushes out his own rows only. */
static void strangers_push_out_no_accounts(void **state)
{
    (void)state;
    char name[32], peer[32];
    note("alice", 7, "192.0.2.1", REFUSAL_LOGIN, "wrong-password", NOW);
    for (uint32_t i = 0; i < LIMIT_REFUSALS_STRANGERS + 100; i++) {
        snprintf(name, sizeof name, "nobody%u", i);
        note(name, 0, "198.51.100.1", REFUSAL_LOGIN, "unknown-name", NOW + 1);
    }
    assert_int_equal(refusals.counts[REFUSALS_OF_STRANGERS], LIMIT_REFUSALS_STRANGERS);
    assert_int_equal(of_account(7).count, 1);
    assert_int_equal(find((struct refusals_query){ .name = S("nobody50") }).count, 0); /* the oldest went */
    assert_int_equal(find((struct refusals_query){ .name = S("nobody5000") }).count, 1);
    /* Nor does who guesses at one account from everywhere push out another's. */
    note("bob", 8, "192.0.2.1", REFUSAL_LOGIN, "wrong-password", NOW);
    for (uint32_t i = 0; i < 3 * REFUSAL_PLACES; i++) {
        snprintf(peer, sizeof peer, "2001:db8:%x::1", i);
        note("alice", 7, peer, REFUSAL_LOGIN, "wrong-password", NOW + 2);
    }
    assert_true(of_account(7).count <= REFUSAL_PLACES && of_account(7).count > REFUSAL_PLACES / 4);
    assert_int_equal(of_account(8).count, 1);
    assert_int_equal(row_of(struct why_row, of_account(7), 0)->count, 1); /* places that share a row are not added up */
}

static void a_gate_tells_into_a_part_of_its_own(void **state)
{
    (void)state;
    struct refused refused = { .name = S("alice"), .session = S("u0-1a"), .peer = ip_of("192.0.2.9"), .code = REFUSAL_NEEDS_TLS,
        .protocol = PROTOCOL_SMTP, .told = true };
    note("alice", 7, "192.0.2.1", REFUSAL_LOGIN, "wrong-password", NOW);
    for (uint32_t i = 0; i < LIMIT_REFUSALS_TOLD + 10; i++) {
        refused.account = 100 + i;
        refusals_note(&refusals, &refused, NOW + 1);
    }
    assert_int_equal(refusals.counts[REFUSALS_TOLD], LIMIT_REFUSALS_TOLD);
    assert_int_equal(of_account(7).count, 1);
}

static void what_is_no_text_is_left_out_and_what_is_old_forgotten(void **state)
{
    (void)state;
    struct refused refused = { .name = S("a\x01z"), .session = S("\xff"), .detail = S("x\nforged"), .peer = ip_of("192.0.2.9"), .code = 1 };
    refusals_note(&refusals, &refused, NOW);
    const struct why_row *row = row_of(struct why_row, of_peer("192.0.2.9"), 0);
    assert_true(row->name.len == 0 && row->session.len == 0 && row->detail.len == 0);
    note("bob", 8, "192.0.2.1", REFUSAL_LOGIN, "wrong-password", NOW + LIMIT_REFUSAL_AGE);
    refusals_forget(&refusals, NOW + LIMIT_REFUSAL_AGE + 1);
    assert_int_equal(of_peer("192.0.2.9").count, 0);
    assert_int_equal(of_account(8).count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_latest_first_and_counted, begin, end),
        cmocka_unit_test_setup_teardown(by_address_and_its_network, begin, end),
        cmocka_unit_test_setup_teardown(strangers_push_out_no_accounts, begin, end),
        cmocka_unit_test_setup_teardown(a_gate_tells_into_a_part_of_its_own, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_text_is_left_out_and_what_is_old_forgotten, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

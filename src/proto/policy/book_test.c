#include "proto/policy/book.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/testing.h"

#define WINDOW MINUTES(10)

static struct settings settings;
static struct book book;
static msec now;
static uint32_t ended;

static void on_ended(void *context, const struct lease *lease, enum lease_end end)
{
    (void)context;
    (void)lease;
    (void)end;
    ended++;
}

static int begin(void **state)
{
    (void)state;
    settings = (struct settings){ .holders = 1,
        .lease_accounts = LEASE_FLAGGED,
        .lease_window = WINDOW,
        .lease_cap = MINUTES(60),
        .lease_messages = 3,
        .lease_recipients = 6,
        .lease_shared_accounts = 3,
        .lease_imap = true,
        .policy_domain = S("acc.test") };
    book_init(&book, &settings);
    book.leases.ended = on_ended;
    now = 1000;
    ended = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    book_done(&book);
    return 0;
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_ok(ip_parse(slice_of(text), &ip));
    return ip;
}

static struct book_login login(const char *name, const char *peer)
{
    struct report report = { .name = slice_of(name), .peer = ip_of(peer) };
    return book_login(&book, &report, now);
}

static struct policy_query query(const char *instance, const char *sender, const char *to)
{
    return (struct policy_query){ .state = POLICY_RCPT,
        .has_client = true,
        .client = ip_of("192.0.2.7"),
        .instance = slice_of(instance),
        .sender = slice_of(sender),
        .recipient = slice_of(to) };
}

static enum policy_action rcpt(const char *instance, const char *sender, const char *to)
{
    struct policy_query q = query(instance, sender, to);
    return book_judge(&book, &q, now).action;
}

static enum policy_action at_end(const char *instance, const char *sender, enum policy_state state)
{
    struct policy_query q = query(instance, sender, "");
    q.state = state;
    return book_judge(&book, &q, now).action;
}

/* ---- whose senders ---- */

static void test_C095_senders(void **state)
{
    uint32_t line = 0;
    (void)state;
    assert_ok(book_senders(&book, S("# x\r\n\n  alice   sales@acc.test  Info@ACC.test\nzoe @Boss.Test\n"), &line));
    static const struct {
        const char *sender;
        bool alice, zoe;
    } rows[] = { { "alice@acc.test", true, false }, { "ALICE@ACC.test.", true, false },
        { "alice+a+b@acc.test", true, false }, { "sales@acc.test", true, false }, { "info+x@acc.test", true, false },
        { "x@boss.test", false, true }, { "zoe@acc.test", false, true }, { "", false, false },
        { "alice", false, false }, { "+alice@acc.test", false, false }, { "alice@acc.test.evil.test", false, false },
        { "\"alice\"@acc.test", true, false }, { "bob@acc.test", false, false }, { "x@sub.boss.test", false, false },
        { "@boss.test", false, false }, { "alice@[192.0.2.1]", false, false } };
    for (int zoe = 0; zoe < 2; zoe++)
        for (size_t i = 0; i < COUNT(rows); i++) {
            end(NULL);
            begin(NULL);
            settings.lease_messages = 100;
            assert_ok(book_senders(&book, S("alice sales@acc.test Info@ACC.test\nzoe @Boss.Test\n"), &line));
            assert_non_null(login(zoe ? "zoe" : "Alice", "192.0.2.7").lease);
            bool wanted = zoe ? rows[i].zoe : rows[i].alice;
            if ((rcpt("i", rows[i].sender, "far@x.test") == POLICY_OK) != wanted)
                fail_msg("%s as %s", rows[i].sender, zoe ? "zoe" : "alice");
        }
}

static void test_senders_malformed(void **state)
{
    static const struct {
        struct slice text;
        uint32_t line;
    } rows[] = { { { "alice\n", 6 }, 1 }, { { "#\nalice x\n", 10 }, 2 }, { { "alice a@b.test\nbob b@\n", 22 }, 2 },
        { { "a @\n", 4 }, 1 }, { { "a b@c.test\0\n", 12 }, 1 }, { { "a \xff@c.test\n", 12 }, 1 },
        { { "a @b_.test@c\n", 13 }, 1 } };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint32_t line = 0;
        assert_status(book_senders(&book, rows[i].text, &line), STATUS_MALFORMED);
        assert_int_equal(line, rows[i].line);
    }
}

/* Of several accounts at one address the sender chooses; of several that own him, one that has room. */
static void test_two_accounts(void **state)
{
    uint32_t line;
    (void)state;
    assert_ok(book_senders(&book, S("alice sales@acc.test\nbob sales@acc.test\n"), &line));
    login("alice", "192.0.2.7");
    login("bob", "192.0.2.7");
    struct policy_query q = query("1", "bob@acc.test", "far@x.test");
    assert_text(book_judge(&book, &q, now).account, "bob@acc.test");
    for (char name[2] = "a"; name[0] < 'a' + 5; name[0]++)
        assert_int_equal(rcpt(name, "sales@acc.test", "far@x.test"), POLICY_OK); /* 3 + 3 - 1 */
    assert_int_equal(rcpt("z", "sales@acc.test", "far@x.test"), POLICY_USED_UP);
}

/* ---- counts ---- */

static void test_C109_counts(void **state)
{
    (void)state;
    login("alice", "192.0.2.7");
    assert_int_equal(rcpt("1", "alice@acc.test", "a@x.test"), POLICY_OK);
    assert_int_equal(rcpt("1", "alice@acc.test", "a@x.test"), POLICY_OK); /* the same once more: not counted */
    assert_int_equal(rcpt("1", "alice@acc.test", "b@x.test"), POLICY_OK);
    assert_int_equal(rcpt("2", "alice@acc.test", "a@x.test"), POLICY_OK);
    assert_int_equal(rcpt("3", "alice@acc.test", "a@x.test"), POLICY_OK);
    assert_int_equal(rcpt("4", "alice@acc.test", "a@x.test"), POLICY_USED_UP); /* messages */
    assert_int_equal(rcpt("3", "alice@acc.test", "b@x.test"), POLICY_OK);
    assert_int_equal(rcpt("3", "alice@acc.test", "c@x.test"), POLICY_OK);
    assert_int_equal(rcpt("3", "alice@acc.test", "d@x.test"), POLICY_USED_UP); /* recipients */
    assert_int_equal(book.transactions.count, 3);
    assert_int_equal(at_end("3", "alice@acc.test", POLICY_DATA), POLICY_DUNNO);
    assert_int_equal(at_end("3", "alice@acc.test", POLICY_END_OF_MESSAGE), POLICY_DUNNO);
    assert_int_equal(at_end("3", "alice@acc.test", POLICY_END_OF_MESSAGE), POLICY_DUNNO); /* asked again */
    assert_int_equal(book.transactions.count, 2);
    assert_int_equal(rcpt("5", "alice@acc.test", "a@x.test"), POLICY_USED_UP);
}

/* What may have been sent is never given back: neither by a renewal while it is under way, nor by time. */
static void test_nothing_comes_back(void **state)
{
    (void)state;
    login("alice", "192.0.2.7");
    assert_int_equal(rcpt("1", "alice@acc.test", "a@x.test"), POLICY_OK);
    assert_int_equal(rcpt("2", "alice@acc.test", "a@x.test"), POLICY_OK);
    assert_int_equal(at_end("2", "alice@acc.test", POLICY_END_OF_MESSAGE), POLICY_DUNNO);
    assert_true(login("alice", "192.0.2.7").renewed); /* 2 was sent and paid for, 1 is still under way */
    assert_int_equal(rcpt("3", "alice@acc.test", "a@x.test"), POLICY_OK);
    assert_int_equal(rcpt("4", "alice@acc.test", "a@x.test"), POLICY_OK);
    assert_int_equal(rcpt("5", "alice@acc.test", "a@x.test"), POLICY_USED_UP);
    settings.lease_window = MINUTES(60);
    now += LIMIT_POLICY_TRANSACTION / 2;
    login("alice", "192.0.2.7"); /* 1, 3 and 4 count against the new number, too */
    assert_int_equal(rcpt("5", "alice@acc.test", "a@x.test"), POLICY_USED_UP);
    now += LIMIT_POLICY_TRANSACTION / 2;
    book_sweep(&book, now); /* by now they count as sent */
    assert_int_equal(book.transactions.count, 0);
    assert_int_equal(rcpt("5", "alice@acc.test", "a@x.test"), POLICY_USED_UP);
    login("alice", "192.0.2.7");
    assert_int_equal(rcpt("5", "alice@acc.test", "a@x.test"), POLICY_OK);
}

/* One transaction is one client's and one sender's, whatever the instance says. */
static void test_instances(void **state)
{
    (void)state;
    login("alice", "192.0.2.7");
    login("bob", "192.0.2.7");
    assert_int_equal(rcpt("1", "alice@acc.test", "a@x.test"), POLICY_OK);
    assert_int_equal(rcpt("1", "bob@acc.test", "a@x.test"), POLICY_OK);
    assert_int_equal(rcpt("1", "eve@acc.test", "a@x.test"), POLICY_DUNNO);
    struct policy_query q = query("1", "alice@acc.test", "b@x.test");
    q.client = ip_of("192.0.2.8");
    assert_int_equal(book_judge(&book, &q, now).action, POLICY_DUNNO);
    assert_int_equal(book.transactions.count, 2);
    assert_int_equal(rcpt("", "alice@acc.test", "a@x.test"), POLICY_DUNNO); /* without one nothing could be counted */
}

/* Long recipients that differ only at their end are two. */
static void test_long_recipients(void **state)
{
    char one[600], two[600];
    (void)state;
    memset(one, 'x', sizeof one - 1);
    one[sizeof one - 1] = '\0';
    memcpy(two, one, sizeof one);
    two[sizeof two - 2] = 'y';
    login("alice", "192.0.2.7");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rcpt("1", "alice@acc.test", one), POLICY_OK);
        assert_int_equal(rcpt("1", "alice@acc.test", two), POLICY_OK);
    }
    assert_int_equal(rcpt("1", "alice@acc.test", one), POLICY_USED_UP);
}

/* ---- time ---- */

static void test_C101_over_at_its_second(void **state)
{
    (void)state;
    login("alice", "192.0.2.7");
    assert_int_equal(rcpt("1", "alice@acc.test", "a@x.test"), POLICY_OK);
    now += WINDOW - 1;
    assert_int_equal(rcpt("1", "alice@acc.test", "b@x.test"), POLICY_OK);
    assert_int_equal(at_end("1", "alice@acc.test", POLICY_DATA), POLICY_DUNNO);
    now++;
    assert_int_equal(rcpt("1", "alice@acc.test", "b@x.test"), POLICY_OVER);
    assert_int_equal(at_end("1", "alice@acc.test", POLICY_DATA), POLICY_OVER);
    assert_int_equal(at_end("1", "alice@acc.test", POLICY_END_OF_MESSAGE), POLICY_OVER);
    assert_int_equal(rcpt("2", "alice@acc.test", "b@x.test"), POLICY_DUNNO);
}

static void test_C101_forgotten_accounts(void **state)
{
    (void)state;
    uint32_t first = login("alice", "192.0.2.7").lease->account;
    for (now += LIMIT_SHARED_AGE; book.names.count > 0; now += MINUTES(10)) {
        book_sweep(&book, now);
        assert_true(book.leases.count == 0 || book.names.count > 0); /* no lease without its name */
    }
    assert_int_equal(ended, 1);
    assert_int_equal(book_name(&book, first).len, 0);
    assert_int_not_equal(login("alice", "192.0.2.7").lease->account, first); /* a number is given once */
}

static void test_failures(void **state)
{
    (void)state;
    login("alice", "192.0.2.7");
    struct report wrong = { .kind = REPORT_FAIL, .name = S("ALICE@acc.test"), .peer = ip_of("192.0.2.7") };
    struct report nobody = { .kind = REPORT_FAIL, .name = S("nobody"), .peer = ip_of("192.0.2.7") };
    for (uint32_t i = 1; i < LIMIT_LEASE_FAILURES; i++)
        book_failed(&book, &wrong, now);
    for (uint32_t i = 0; i < 100; i++)
        book_failed(&book, &nobody, now);
    assert_int_equal(book.names.count, 1);
    assert_int_equal(rcpt("1", "alice@acc.test", "a@x.test"), POLICY_OK);
    book_failed(&book, &wrong, now);
    assert_int_equal(at_end("1", "alice@acc.test", POLICY_END_OF_MESSAGE), POLICY_OVER);
    assert_int_equal(rcpt("2", "alice@acc.test", "a@x.test"), POLICY_DUNNO);
}

/* ---- what is not a lease's business ---- */

static void test_no_opinion(void **state)
{
    (void)state;
    login("alice", "192.0.2.7");
    for (int refuse = 0; refuse < 2; refuse++) {
        settings.policy_refuse = refuse;
        struct policy_query q = query("1", "alice@acc.test", "a@x.test");
        q.login = S("alice");
        assert_int_equal(book_judge(&book, &q, now).action, POLICY_DUNNO);
        q = query("1", "alice@acc.test", "a@x.test");
        q.state = POLICY_OTHER;
        assert_int_equal(book_judge(&book, &q, now).action, POLICY_DUNNO);
        assert_int_equal(at_end("9", "alice@acc.test", POLICY_END_OF_MESSAGE), POLICY_DUNNO);
        q = query("1", "alice@acc.test", "a@x.test");
        q.has_client = false;
        assert_int_equal(book_judge(&book, &q, now).action, refuse ? POLICY_PROVE : POLICY_DUNNO);
        assert_int_equal(rcpt("1", "bob@acc.test", "a@x.test"), refuse ? POLICY_FOREIGN : POLICY_DUNNO);
        assert_int_equal(rcpt("1", "", "a@x.test"), refuse ? POLICY_FOREIGN : POLICY_DUNNO);
    }
    assert_int_equal(book.transactions.count, 0);
}

/* As an administrator marks a port for submission. */
static void test_C112_submission(void **state)
{
    (void)state;
    struct policy_query q = query("1", "alice@acc.test", "a@x.test");
    q.submission = true;
    assert_int_equal(book_judge(&book, &q, now).action, POLICY_PROVE);
    login("bob", "192.0.2.7");
    assert_int_equal(book_judge(&book, &q, now).action, POLICY_FOREIGN);
    login("alice", "192.0.2.7");
    assert_int_equal(book_judge(&book, &q, now).action, POLICY_OK);
}

static void test_C104_other_family(void **state)
{
    (void)state;
    settings.policy_refuse = true;
    login("alice", "2001:db8::7");
    assert_int_equal(rcpt("1", "alice+x@acc.test", "a@x.test"), POLICY_FAMILY);
    assert_int_equal(rcpt("1", "bob@acc.test", "a@x.test"), POLICY_PROVE);
    login("bob", "192.0.2.8"); /* of the same family: nobody's business */
    assert_int_equal(rcpt("1", "bob@acc.test", "a@x.test"), POLICY_PROVE);
    login("alice", "192.0.2.7");
    assert_int_equal(rcpt("1", "alice@acc.test", "a@x.test"), POLICY_OK);
    settings.policy_refuse = false;
    assert_int_equal(rcpt("1", "carol@acc.test", "a@x.test"), POLICY_DUNNO);
}

/* A neighbour behind the same address says another name. */
static void test_C096_pinned_helo(void **state)
{
    (void)state;
    settings.lease_pin_helo = true;
    login("alice", "192.0.2.7");
    struct policy_query mine = query("1", "alice@acc.test", "a@x.test"),
                        other = query("2", "alice@acc.test", "a@x.test");
    mine.helo = S("copier.acc.test");
    other.helo = S("pc.acc.test");
    assert_int_equal(book_judge(&book, &mine, now).action, POLICY_OK);
    assert_int_equal(book_judge(&book, &other, now).action, POLICY_DUNNO);
    other.submission = true;
    assert_int_equal(book_judge(&book, &other, now).action, POLICY_HELO);
    now += DAYS(2);
    book_sweep(&book, now);
    login("alice", "192.0.2.7");
    assert_int_equal(book_judge(&book, &other, now).action, POLICY_HELO);
    mine.instance = S("3");
    mine.helo = S("Copier.ACC.test");
    assert_int_equal(book_judge(&book, &mine, now).action, POLICY_OK);
}

static void test_C106_refusals(void **state)
{
    static const struct network never[] = { { { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0 } }, 120 } };
    (void)state;
    settings.lease_never_networks = (struct networks){ never, 1 };
    assert_string_equal(login("alice", "192.0.2.7").refusal, "never-network");
    assert_int_equal(book.names.count, 0);
    assert_non_null(login("alice", "198.51.100.7").lease);
    settings.lease_accounts = LEASE_NONE;
    assert_string_equal(login("alice", "198.51.100.7").refusal, "");
}

/* The table is full: the oldest transaction counts as sent, and no count is overdrawn. */
static void test_full(void **state)
{
    (void)state;
    settings.lease_messages = LIMIT_POLICY_TRANSACTIONS + 1;
    settings.lease_recipients = 2 * LIMIT_POLICY_TRANSACTIONS;
    login("alice", "192.0.2.7");
    for (uint32_t i = 0; i <= LIMIT_POLICY_TRANSACTIONS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        assert_int_equal(rcpt(name, "alice@acc.test", "a@x.test"), POLICY_OK);
    }
    assert_int_equal(book.transactions.count, LIMIT_POLICY_TRANSACTIONS);
    assert_int_equal(
        rcpt("0", "alice@acc.test", "b@x.test"), POLICY_USED_UP); /* forgotten, and there is no new message for it */
}

/* Every order of logins, questions, ends and time: sent messages never exceed what the logins paid for. */
static void test_C109_any_order(void **state)
{
    static const char *const instances[] = { "a", "b", "c", "d" };
    uint64_t seed = 1;
    (void)state;
    for (int round = 0; round < 300; round++) {
        end(NULL);
        begin(NULL);
        uint32_t paid = 0, taken = 0, made = 0;
        char names[COUNT(instances)][16];
        bool open[COUNT(instances)] = { 0 };
        for (int step = 0; step < 120; step++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t at = (seed >> 33) % COUNT(instances);
            switch ((seed >> 40) % 8) {
            case 0:
                paid += login("alice", "192.0.2.7").lease ? settings.lease_messages : 0;
                break;
            case 1:
                now += MINUTES(1);
                book_sweep(&book, now);
                break;
            case 2:
                if (open[at])
                    (void)at_end(names[at], "alice@acc.test", POLICY_END_OF_MESSAGE);
                open[at] = false;
                break;
            default:
                if (!open[at])
                    snprintf(names[at], sizeof names[at], "%s%u", instances[at], made++);
                if (rcpt(names[at], "alice@acc.test", "x@x.test") == POLICY_OK) {
                    taken += !open[at];
                    open[at] = true;
                }
            }
            assert_true(taken <= paid);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = { TEST(test_C095_senders), TEST(test_senders_malformed), TEST(test_two_accounts),
        TEST(test_C109_counts), TEST(test_nothing_comes_back), TEST(test_instances), TEST(test_long_recipients),
        TEST(test_C101_over_at_its_second), TEST(test_C101_forgotten_accounts), TEST(test_failures),
        TEST(test_no_opinion), TEST(test_C112_submission), TEST(test_C104_other_family), TEST(test_C096_pinned_helo),
        TEST(test_C106_refusals), TEST(test_full), TEST(test_C109_any_order) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

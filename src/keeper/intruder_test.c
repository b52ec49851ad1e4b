/* A gate in an intruder's hands: it sends whatever a frame can hold.  What it may not have, the keeper does not give,
 * and the other gates do not notice (DESIGN sections 2, 5, 8). */
#include <dirent.h>
#include <unistd.h>

#include "base/random.h"
#include "keeper/test_client.h"
#include "proto/refusal.h"

#define LAN "192.0.2.7"

static struct ask login_of(const char *name, const char *secret, uint8_t protocol)
{
    return (struct ask){ .kind = ASK_LOGIN,
        .fd = -1,
        .login = { .name = slice_of(name),
            .secret = slice_of(secret),
            .from.session = S("x"),
            .from.peer = house_ip(LAN),
            .from.local = house_ip("192.0.2.250"),
            .from.protocol = protocol,
            .from.mechanism = MECHANISM_PLAIN,
            .from.encrypted = 1 } };
}

static struct ask mail_of(const char *sender)
{
    return (struct ask){ .kind = ASK_MAIL,
        .fd = -1,
        .mail = { .sender = slice_of(sender), .peer = house_ip(LAN), .encrypted = 1, .submission = 1 } };
}

static void assert_alive(struct house *h, int end)
{
    assert_int_equal(house_rcpt(h, end, 999, "nobody@our.test"), end == END_MX ? MAIL_NO_SUCH_USER : MAIL_PROVE_YOURSELF);
}

/* ---- what is somebody else's ------------------------------------------------------------------------------------- */

static void test_sessions_of_other_gates(void **state)
{
    struct house *h = *state;
    struct ask end = { .kind = ASK_END_SESSION, .fd = -1 };
    assert_int_equal(house_login(h, END_USER, 2, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    house_put(h, END_MX, 2, &end); /* the same number, but not the same session */
    assert_alive(h, END_MX);
    assert_int_equal(house_messages(h, 2), 0);
    /* Nor does the number open the mailbox to another gate. */
    struct ask fetch = { .kind = ASK_FETCH, .fd = -1, .fetch = { .uid = 1 } };
    assert_status(STATUS_AWAY, house_ask(h, END_MX, 2, &fetch).status);
    assert_int_equal(house_messages(h, 2), 0);
}

static void test_strangers_gate_opens_no_mailbox_and_no_lease(void **state)
{
    struct house *h = *state;
    struct ask ask = login_of("alice", "secret-alice", PROTOCOL_POP3);
    assert_status(STATUS_MALFORMED, house_ask(h, END_MX, 1, &ask).status);
    ask.login.from.protocol = PROTOCOL_SMTP;
    struct answer answer = house_ask(h, END_MX, 1, &ask);
    assert_int_equal(answer.login.verdict, LOGIN_OK);
    assert_int_equal(answer.login.lease, 0);
    /* And the login relays nothing: the address is in no listed network. */
    struct ask mail = mail_of("alice@our.test");
    assert_int_equal(house_ask(h, END_MX, 1, &mail).mail.proof, PROOF_NONE);
    assert_int_equal(house_rcpt(h, END_MX, 1, "victim@else.test"), MAIL_NOT_LOCAL);
}

static void test_login_to_send_opens_no_mailbox(void **state)
{
    struct house *h = *state;
    struct ask add = { .kind = ASK_DEVICE_ADD,
        .fd = -1,
        .device_add = { .address = S("alice@our.test"), .name = S("scanner"), .rights = RIGHT_SMTP } };
    struct answer added = house_ask(h, END_CTL, 0, &add);
    assert_ok(added.status);
    struct slice secret;
    assert_ok(arena_copy(&h->arena, added.device_add.secret, &secret));
    struct ask ask = login_of("alice", "", PROTOCOL_SMTP);
    ask.login.secret = secret;
    assert_int_equal(house_ask(h, END_USER, 1, &ask).login.verdict, LOGIN_OK);
    struct ask list = { .kind = ASK_DROP_LIST, .fd = -1 };
    assert_status(STATUS_AWAY, house_ask(h, END_USER, 1, &list).status); /* the channel is closed */
    assert_alive(h, END_MX);
}

static void test_mail_of_others_by_any_number(void **state)
{
    struct house *h = *state;
    static const uint64_t offsets[] = { 0, 1, 7, 65536, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX };
    static const uint32_t uids[] = { 0, 1, 2, INT32_MAX, UINT32_MAX };
    assert_ok(house_deliver(h, END_MX, 1, "x@else.test", "bob@our.test", NULL, "bob's secret\r\n").status);
    assert_ok(house_deliver(h, END_MX, 1, "x@else.test", "alice@our.test", NULL, "for alice\r\n").status);
    assert_int_equal(house_login(h, END_USER, 2, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    for (size_t u = 0; u < sizeof uids / sizeof *uids; u++) {
        for (size_t o = 0; o < sizeof offsets / sizeof *offsets; o++) {
            struct ask fetch = { .kind = ASK_FETCH, .fd = -1, .fetch = { uids[u], UINT32_MAX, offsets[o] } };
            struct answer answer = house_ask(h, END_USER, 2, &fetch);
            if (uids[u] == 1 && offsets[o] == 0) {
                assert_ok(answer.status);
                assert_int_equal(answer.fetch.rows.count, 1);
            } else {
                assert_true(answer.status != STATUS_AWAY && (answer.status != STATUS_OK || uids[u] == 1));
            }
        }
    }
    assert_text("Return-Path: <x>\r\nReceived: here\r\nfor alice\r\n", house_fetch(h, 2, 1));
    /* Everything there is: her own. */
    struct uid_range all = { 1, UINT32_MAX };
    struct ask expunge = { .kind = ASK_EXPUNGE, .fd = -1, .expunge = { { &all, 1 } } };
    assert_int_equal(house_ask(h, END_USER, 2, &expunge).expunge.removed, 1);
    assert_int_equal(house_login(h, END_USER, 3, "bob", "secret-bob", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_int_equal(house_messages(h, 3), 1);
}

/* ---- mail -------------------------------------------------------------------------------------------------------- */

static void test_lies_about_a_message(void **state)
{
    struct house *h = *state;
    struct deliver_recipient rows[5];
    for (size_t i = 0; i < 5; i++)
        rows[i] = (struct deliver_recipient){ .address = S("victim@else.test") };
    struct deliver_author forged = { S("bob@our.test") }, own = { S("alice@our.test") };
    struct ask mail = mail_of("alice@our.test");
    struct ask deliver = { .kind = ASK_DELIVER,
        .fd = -1,
        .deliver = { .sender = S("alice@our.test"), .recipients = { rows, 1 }, .authors = { &forged, 1 }, .body = S("x\r\n") } };
    assert_int_equal(house_login(h, END_USER, 1, "alice", "secret-alice", PROTOCOL_POP3, LAN).lease, 1);
    assert_int_equal(house_ask(h, END_USER, 2, &mail).mail.proof, PROOF_LEASE);
    assert_int_equal(house_ask(h, END_USER, 2, &deliver).deliver.verdict, MAIL_FORGED_AUTHOR);
    /* Another sender than at MAIL. */
    deliver.deliver.authors.at = &own;
    deliver.deliver.sender = S("bob@our.test");
    assert_int_equal(house_ask(h, END_USER, 2, &mail).mail.proof, PROOF_LEASE);
    assert_int_equal(house_ask(h, END_USER, 2, &deliver).deliver.verdict, MAIL_FOREIGN_SENDER);
    /* Five recipients that were never asked for: the lease pays four. */
    deliver.deliver.sender = S("alice@our.test");
    deliver.deliver.recipients.count = 5;
    assert_int_equal(house_ask(h, END_USER, 2, &mail).mail.proof, PROOF_LEASE);
    assert_int_equal(house_ask(h, END_USER, 2, &deliver).deliver.verdict, MAIL_LEASE_USED_UP);
    /* All of it was given back. */
    struct ask list = { .kind = ASK_LEASE_LIST, .fd = -1 };
    struct answer leases = house_ask(h, END_CTL, 0, &list);
    const struct lease_row *row = row_of(struct lease_row, leases.lease_list.rows, 0);
    assert_int_equal(row->messages_left, 2);
    assert_int_equal(row->recipients_left, 4);
}

static void test_size_that_is_not_so(void **state)
{
    struct house *h = *state;
    struct deliver_recipient row = { .address = S("alice@our.test") };
    struct ask deliver = { .kind = ASK_DELIVER, .fd = -1, .deliver = { .recipients = { &row, 1 }, .body = S("x\r\n"), .growth = 6 } };
    assert_status(STATUS_MALFORMED, house_ask(h, END_MX, 1, &deliver).status);
    deliver.deliver.growth = UINT64_MAX;
    assert_status(STATUS_MALFORMED, house_ask(h, END_MX, 1, &deliver).status);
    deliver.deliver.growth = 0;
    deliver.deliver.staged = UINT64_MAX;
    assert_status(STATUS_MALFORMED, house_ask(h, END_MX, 1, &deliver).status);
    assert_alive(h, END_MX);
}

static void test_what_it_writes_stays_in_its_message(void **state)
{
    struct house *h = *state;
    struct deliver_recipient row = { .address = S("alice@our.test") };
    struct ask deliver = { .kind = ASK_DELIVER,
        .fd = -1,
        .deliver = { .recipients = { &row, 1 },
            .return_path = S("\r\n.\r\n\0\r\nFrom x"),
            .prefix = S("\r\n\r\n.\r\nQUIT\r\n"),
            .body = S("\r\n.\r\n") } };
    assert_ok(house_ask(h, END_MX, 1, &deliver).status);
    assert_ok(house_deliver(h, END_MX, 1, "x@else.test", "alice@our.test", NULL, "next\r\n").status);
    assert_int_equal(house_login(h, END_USER, 2, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_int_equal(house_messages(h, 2), 2);
    assert_text("Return-Path: <x>\r\nReceived: here\r\nnext\r\n", house_fetch(h, 2, 2));
}

/* ---- floods ------------------------------------------------------------------------------------------------------ */

static void test_answers_nobody_reads(void **state)
{
    struct house *h = *state;
    char noise[3000];
    random_fill(noise, sizeof noise);
    struct deliver_recipient row = { .address = S("alice@our.test") };
    struct ask deliver = { .kind = ASK_DELIVER, .fd = -1, .deliver = { .recipients = { &row, 1 }, .body = { noise, sizeof noise } } };
    assert_ok(house_ask(h, END_MX, 1, &deliver).status);
    assert_int_equal(house_login(h, END_USER, 1, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    struct ask fetch = { .kind = ASK_FETCH, .fd = -1, .fetch = { .uid = 1 } };
    for (uint32_t i = 0; i < 3 * LIMIT_ASKS; i++)
        house_put(h, END_USER, 1, &fetch);
    /* Neither all the memory nor all the time: that gate is closed, and the other is served. */
    assert_alive(h, END_MX);
    char octets[65536];
    ssize_t got;
    uint64_t total = 0;
    while ((got = read(h->ends[END_USER], octets, sizeof octets)) > 0)
        total += (uint64_t)got;
    assert_true(total < (64u << 20));
    assert_alive(h, END_MX);
}

static uint32_t open_descriptors(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void test_descriptors_nobody_takes(void **state)
{
    struct house *h = *state;
    struct ask stage = { .kind = ASK_STAGE, .fd = -1 };
    uint32_t before = open_descriptors();
    for (uint32_t i = 0; i < 8000; i++)
        house_put(h, END_USER, 1, &stage);
    assert_alive(h, END_MX);
    assert_true(open_descriptors() < before + 700);
    /* The other gate's large messages still find a place. */
    struct answer answer = house_ask(h, END_MX, 1, &stage);
    if (geteuid() == 0) { /* else the kernel counts those under way for the whole user */
        assert_ok(answer.status);
        close(answer.fd);
    }
}

static void test_more_sessions_than_a_gate_has(void **state)
{
    struct house *h = *state;
    struct ask mail = mail_of("alice@our.test");
    uint32_t first = h->number + 1, busy = 0, most = 2 * LIMIT_GATE_SESSIONS;
    for (uint32_t i = 0; i < most + 10; i++)
        house_put(h, END_USER, 100 + i, &mail);
    for (uint32_t i = 0; i < most + 10; i++) {
        struct answer answer = house_get(h, END_USER, first + i);
        busy += answer.status == STATUS_BUSY;
        assert_true((answer.status == STATUS_BUSY) == (i >= most));
        if (i % 1000 == 0)
            arena_reset(&h->arena);
    }
    assert_int_equal(busy, 10);
    struct ask ask = login_of("alice", "secret-alice", PROTOCOL_SMTP);
    assert_int_equal(house_ask(h, END_MX, 1, &ask).login.verdict, LOGIN_OK); /* another gate has its own share */
    struct ask end = { .kind = ASK_END_SESSION, .fd = -1 };
    house_put(h, END_USER, 100, &end);
    assert_int_equal(house_ask(h, END_USER, 5, &mail).mail.verdict, MAIL_PROVE_YOURSELF);
}

static void test_flood_of_logins(void **state)
{
    struct house *h = *state;
    house_stop(h);
    h->settings->auth_hash_cost = 3; /* a few milliseconds each for names that do not exist */
    house_start(h);
    struct ask guess = login_of("nobody", "guess", PROTOCOL_SMTP);
    uint32_t busy = 0;
    for (uint32_t i = 0; i < 200; i++)
        house_put(h, END_MX, 100 + i, &guess);
    assert_int_equal(house_login(h, END_USER, 2, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    for (uint32_t i = 0; i < 200; i++) {
        struct answer answer = house_get(h, END_MX, 0);
        assert_ok(answer.status);
        assert_int_not_equal(answer.login.verdict, LOGIN_OK);
        busy += answer.login.verdict == LOGIN_BUSY;
    }
    assert_true(busy > 50);
    /* The share comes back. */
    assert_int_equal(house_ask(h, END_MX, 1, &guess).login.verdict, LOGIN_WRONG);
}

static void test_ranges_of_expunge(void **state)
{
    struct house *h = *state;
    struct uid_range ranges[3] = { { 1, UINT32_MAX }, { 1, UINT32_MAX }, { 5, 6 } };
    struct ask expunge = { .kind = ASK_EXPUNGE, .fd = -1, .expunge = { { ranges, 2 } } };
    assert_int_equal(house_login(h, END_USER, 1, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_status(STATUS_MALFORMED, house_ask(h, END_USER, 1, &expunge).status);
    ranges[0] = (struct uid_range){ 0, 1 };
    expunge.expunge.ranges.count = 1;
    assert_status(STATUS_MALFORMED, house_ask(h, END_USER, 1, &expunge).status);
    ranges[0] = (struct uid_range){ 1, 1 };
    ranges[1] = (struct uid_range){ 3, 4 };
    expunge.expunge.ranges.count = 3;
    assert_ok(house_ask(h, END_USER, 1, &expunge).status);
}

/* Who has a whole network of IPv6 logs in from everywhere. */
static void test_leases_of_one_account(void **state)
{
    struct house *h = *state;
    struct leases leases = { 0 };
    const struct lease *lease;
    uint32_t granted = 0;
    struct ip peer = house_ip("2001:db8::");
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(peer.octets + 10, &i, sizeof i);
        struct lease_wish wish = { .account = 1, .peer = peer };
        granted += lease_grant(&leases, &wish, h->settings, 1000, &lease) == LEASE_OPENED;
    }
    assert_int_equal(granted, 1000);
    struct lease_wish renewal = { .account = 1, .peer = house_ip("2001:db8::") };
    assert_int_equal(lease_grant(&leases, &renewal, h->settings, 1000, &lease), LEASE_RENEWED);
    /* Nobody else is the poorer, and the addresses are forgotten in time. */
    struct lease_wish other = { .account = 2, .peer = house_ip(LAN) };
    assert_int_equal(lease_grant(&leases, &other, h->settings, 1000, &lease), LEASE_OPENED);
    assert_int_equal(lease_revoke(&leases, 1, 0, NULL, LEASE_REVOKED, 1000), 1000);
    assert_int_equal(lease_grant(&leases, &renewal, h->settings, 1000, &lease), LEASE_OPENED);
    lease_expire(&leases, 1000 + MINUTES(61));
    assert_int_equal(leases.count, 0);
    lease_expire(&leases, 1000 + MINUTES(122));
    assert_int_equal(leases.places.count, 0);
    assert_int_equal(leases.by_account.count, 0);
    lease_done(&leases);
}

/* ---- logins ------------------------------------------------------------------------------------------------------ */

#define KEY "0123456789abcdef0123456789abcdef"

static struct login_from whence(uint8_t protocol, uint8_t mechanism)
{
    return (struct login_from){ .session = S("x"),
        .peer = house_ip(LAN),
        .local = house_ip("192.0.2.250"),
        .protocol = protocol,
        .mechanism = mechanism,
        .encrypted = 1 };
}

static void test_C085_proofs_out_of_nowhere(void **state)
{
    struct house *h = *state;
    struct scram_try try = { "alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256, .skip_begin = true };
    assert_int_equal(client_scram(h, END_USER, 1, &try).login.verdict, LOGIN_WRONG); /* without a first half */
    try.skip_begin = false;
    try.stale_message = true;
    assert_int_equal(client_scram(h, END_USER, 2, &try).login.verdict, LOGIN_WRONG); /* with a nonce of its own */
    try.stale_message = false;
    try.other_name = "bob";
    assert_int_equal(client_scram(h, END_USER, 3, &try).login.verdict, LOGIN_WRONG); /* of another than began */
    try.other_name = "ALICE";
    assert_int_equal(client_scram(h, END_USER, 4, &try).login.verdict, LOGIN_WRONG); /* as it was typed, no other way */
    try.other_name = NULL;
    try.replay = true;
    /* The first was right: who asks again on a session that is logged in is no gate of ours. */
    assert_status(STATUS_AWAY, client_scram(h, END_USER, 5, &try).status);
    assert_alive(h, END_MX);
}

static void test_C086_names_that_change_between_the_halves(void **state)
{
    struct house *h = *state;
    struct scram_try begun = { "bob", "secret-bob", .mechanism = MECHANISM_SCRAM_SHA_256 }, proved = begun;
    struct answer half = client_scram_begin(h, END_USER, 1, &begun);
    proved.authzid = "alice";
    assert_int_equal(client_scram_proof(h, END_USER, 1, &proved, &half.scram).login.verdict, LOGIN_WRONG);
    begun.authzid = "alice";
    half = client_scram_begin(h, END_USER, 2, &begun);
    assert_ok(half.status); /* as for any name */
    assert_int_equal(client_scram_proof(h, END_USER, 2, &proved, &half.scram).login.verdict, LOGIN_WRONG);
    /* Bob's salt and nonce, Alice's proof. */
    begun.authzid = NULL;
    half = client_scram_begin(h, END_USER, 3, &begun);
    struct scram_try alice = { "alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256, .other_name = "bob" };
    assert_int_equal(client_scram_proof(h, END_USER, 3, &alice, &half.scram).login.verdict, LOGIN_WRONG);
}

static void test_C088_lengths_that_are_not_so(void **state)
{
    struct house *h = *state;
    char long_name[LIMIT_LOGIN_NAME + 1];
    memset(long_name, 'x', sizeof long_name);
    struct ask digest = { .kind = ASK_LOGIN_DIGEST, .fd = -1,
        .login_digest = { S("alice"), S("<1.2@x>"), NO_SLICE, whence(PROTOCOL_POP3, MECHANISM_APOP) } };
    struct ask key = { .kind = ASK_LOGIN_KEY, .fd = -1, .login_key = { .from = whence(PROTOCOL_POP3, MECHANISM_EXTERNAL) } };
    static const char octets[80] = { 0 };
    for (size_t size = 0; size < 65; size++) {
        digest.login_digest.digest = (struct slice){ octets, size };
        key.login_key.key = (struct slice){ octets, size };
        assert_status(size == 16 ? STATUS_OK : STATUS_MALFORMED, house_ask(h, END_USER, 1000 + size, &digest).status);
        assert_status(size == 32 ? STATUS_OK : STATUS_MALFORMED, house_ask(h, END_USER, 2000 + size, &key).status);
    }
    /* The longest name there is; a longer one does not come through the frame. */
    struct ask begin = { .kind = ASK_SCRAM, .fd = -1,
        .scram = { .name = { long_name, LIMIT_LOGIN_NAME }, .from = whence(PROTOCOL_POP3, MECHANISM_SCRAM_SHA_256) } };
    assert_ok(house_ask(h, END_USER, 1, &begin).status);
    begin.scram.authzid = begin.scram.name;
    assert_ok(house_ask(h, END_USER, 2, &begin).status);
    static const struct slice bad[] = { { "", 0 }, { "a\tb", 3 }, { "a\x7f", 2 } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin.scram.name = bad[i];
        assert_status(STATUS_MALFORMED, house_ask(h, END_USER, 3, &begin).status);
    }
}

static void test_mechanisms_that_do_not_fit(void **state)
{
    struct house *h = *state;
    for (unsigned mechanism = 0; mechanism < 256; mechanism++) {
        bool password = mechanism >= MECHANISM_PASSWORD && mechanism <= MECHANISM_LOGIN;
        bool digests = mechanism == MECHANISM_APOP || mechanism == MECHANISM_CRAM_MD5;
        bool halves = mechanism >= MECHANISM_SCRAM_SHA_1 && mechanism <= MECHANISM_SCRAM_SHA_256_PLUS;
        struct login_from from = whence(PROTOCOL_POP3, (uint8_t)mechanism);
        struct ask asks[] = {
            { .kind = ASK_LOGIN, .fd = -1, .login = { S("alice"), S("wrong"), .from = from } },
            { .kind = ASK_LOGIN_DIGEST, .fd = -1, .login_digest = { S("alice"), S("<1>"), S("0123456789abcdef"), from } },
            { .kind = ASK_SCRAM, .fd = -1, .scram = { .name = S("alice"), .from = from } },
            { .kind = ASK_LOGIN_KEY, .fd = -1, .login_key = { .key = S(KEY), .from = from } },
        };
        const bool fits[] = { password, digests, halves, mechanism == MECHANISM_EXTERNAL };
        for (size_t i = 0; i < 4; i++)
            assert_status(fits[i] ? STATUS_OK : STATUS_MALFORMED, house_ask(h, END_USER, 10 * mechanism + i, &asks[i]).status);
    }
    for (unsigned protocol = 0; protocol < 256; protocol++) {
        struct ask apop = { .kind = ASK_LOGIN_DIGEST, .fd = -1,
            .login_digest = { S("alice"), S("<1>"), S("0123456789abcdef"), whence((uint8_t)protocol, MECHANISM_APOP) } };
        assert_status(protocol == PROTOCOL_POP3 ? STATUS_OK : STATUS_MALFORMED, house_ask(h, END_USER, 5000 + protocol, &apop).status);
    }
}

/* The gate for strangers' mail: whatever it shows, it opens no mailbox, and no lease. */
static void test_keys_and_proofs_at_port_25(void **state)
{
    struct house *h = *state;
    struct ask add = { .kind = ASK_DEVICE_ADD, .fd = -1,
        .device_add = { .address = S("alice@our.test"), .name = S("key"), .key = S(KEY), .rights = RIGHTS_ALL } };
    assert_ok(house_ask(h, END_CTL, 0, &add).status);
    struct ask key = { .kind = ASK_LOGIN_KEY, .fd = -1, .login_key = { .key = S(KEY), .from = whence(PROTOCOL_POP3, MECHANISM_EXTERNAL) } };
    assert_status(STATUS_MALFORMED, house_ask(h, END_MX, 1, &key).status);
    key.login_key.from.protocol = PROTOCOL_IMAP;
    assert_status(STATUS_MALFORMED, house_ask(h, END_MX, 1, &key).status);
    key.login_key.from.protocol = PROTOCOL_SMTP;
    struct answer answer = house_ask(h, END_MX, 1, &key);
    assert_int_equal(answer.login.verdict, LOGIN_OK);
    assert_int_equal(answer.login.lease, 0);
    struct scram_try try = { "alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256, .protocol = PROTOCOL_POP3 };
    assert_status(STATUS_MALFORMED, client_scram(h, END_MX, 2, &try).status);
    try.protocol = PROTOCOL_SMTP;
    answer = client_scram(h, END_MX, 2, &try);
    assert_int_equal(answer.login.verdict, LOGIN_OK);
    assert_int_equal(answer.login.lease, 0);
    struct ask mail = mail_of("alice@our.test");
    assert_int_equal(house_ask(h, END_MX, 2, &mail).mail.proof, PROOF_NONE);
    assert_int_equal(house_rcpt(h, END_MX, 2, "victim@else.test"), MAIL_NOT_LOCAL);
    struct ask list = { .kind = ASK_LEASE_LIST, .fd = -1 };
    assert_int_equal(house_ask(h, END_CTL, 0, &list).lease_list.rows.count, 0);
}

/* Another gate's half: the session's number is the same, the session is not. */
static void test_halves_of_other_gates(void **state)
{
    struct house *h = *state;
    struct scram_try try = { "alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256, .protocol = PROTOCOL_SMTP };
    struct answer half = client_scram_begin(h, END_USER, 7, &try);
    assert_ok(half.status);
    assert_int_equal(client_scram_proof(h, END_MX, 7, &try, &half.scram).login.verdict, LOGIN_WRONG);
    assert_int_equal(client_scram_proof(h, END_USER, 7, &try, &half.scram).login.verdict, LOGIN_OK);
}

/* A flood of passwords holds up nobody's proof: they do not wait in one queue. */
static void test_flood_of_passwords_and_scram(void **state)
{
    struct house *h = *state;
    house_stop(h);
    h->settings->auth_hash_cost = 5;
    house_start(h);
    struct ask guess = login_of("nobody", "guess", PROTOCOL_SMTP);
    for (uint32_t i = 0; i < LIMIT_HASHES_USER; i++)
        house_put(h, END_USER, 100 + i, &guess);
    struct scram_try try = { "alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256 };
    msec began = clock_now();
    assert_int_equal(client_scram(h, END_USER, 1, &try).login.verdict, LOGIN_OK);
    assert_true(clock_now() - began < 500); /* the flood lasts longer than a second */
}

static void test_every_ask_has_a_handler(void **state)
{
    (void)state;
    for (int kind = ASK_NONE + 1; kind < ASK_KINDS; kind++)
        if (!serve_knows((enum ask_kind)kind))
            fail_msg("%s", ask_defs[kind].name);
    assert_false(serve_knows(ASK_NONE));
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void test_login_name_is_nobody_elses_address(void **state)
{
    struct house *h = *state;
    struct ask add = { .kind = ASK_ACCOUNT_ADD,
        .fd = -1,
        .account_add = { .address = S("dora@our.test"), .login = S("erik@our.test"), .secret = S("one") } };
    assert_ok(house_ask(h, END_CTL, 0, &add).status);
    add.account_add = (struct ask_account_add){ .address = S("Erik@our.test"), .secret = S("two") };
    assert_status(STATUS_EXISTS, house_ask(h, END_CTL, 0, &add).status);
    add.account_add = (struct ask_account_add){ .address = S("frida@our.test"), .login = S("Gustav"), .secret = S("one") };
    assert_ok(house_ask(h, END_CTL, 0, &add).status);
    add.account_add = (struct ask_account_add){ .address = S("gustav@our.test"), .secret = S("two") };
    assert_status(STATUS_EXISTS, house_ask(h, END_CTL, 0, &add).status);
}

#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_setup, house_teardown)

/* ---- what it says of others' refusals ------------------------------------------------------------------------------ */

static struct ask refused_of(const char *name, uint32_t code)
{
    return (struct ask){ .kind = ASK_REFUSED,
        .fd = -1,
        .refused = { .name = slice_of(name), .session = S("x"), .peer = house_ip(LAN), .code = code, .protocol = PROTOCOL_SMTP } };
}

static struct rows why(struct house *h, const char *about, uint32_t code)
{
    struct ask ask = { .kind = ASK_WHY, .fd = -1, .why = { .about = slice_of(about), .code = code } };
    struct answer answer = house_ask(h, END_CTL, 0, &ask);
    assert_ok(answer.status);
    return answer.why.rows;
}

static void test_made_up_refusals(void **state)
{
    struct house *h = *state;
    assert_int_equal(house_login(h, END_USER, 1, "bob", "wrong", PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
    struct ask ask = refused_of("alice", REFUSAL_NEEDS_TLS);
    house_put(h, END_MX, 2, &ask);
    ask = refused_of("alice", 99); /* there is no such thing */
    house_put(h, END_MX, 2, &ask);
    ask = refused_of("b\x01b", REFUSAL_CROWDED);
    house_put(h, END_MX, 2, &ask);
    assert_alive(h, END_MX); /* answered behind them: they were heard */
    struct rows rows = why(h, "alice@our.test", 0);
    assert_int_equal(rows.count, 1);
    assert_int_equal(row_of(struct why_row, rows, 0)->code, REFUSAL_NEEDS_TLS);
    assert_int_equal(why(h, "", REFUSAL_CROWDED).count, 1);
    assert_int_equal(row_of(struct why_row, why(h, "", REFUSAL_CROWDED), 0)->name.len, 0);
    /* However many it makes up, it is heard so often a second, and what the keeper knows itself stays. */
    char name[32];
    for (uint32_t i = 0; i < 20 * LIMIT_TOLD_RATE; i++) {
        snprintf(name, sizeof name, "name%u", i);
        ask = refused_of(name, REFUSAL_CROWDED);
        house_put(h, END_MX, 2, &ask);
    }
    assert_alive(h, END_MX);
    rows = why(h, "bob", 0);
    assert_int_equal(rows.count, 1);
    assert_text("wrong-password", row_of(struct why_row, rows, 0)->detail);
    assert_true(h->keeper->refusals.counts[REFUSALS_OF_STRANGERS] <= 10 * LIMIT_TOLD_RATE);
    /* And it does not learn what was refused to others. */
    struct ask ask_why = { .kind = ASK_WHY, .fd = -1, .why = { .about = S("bob") } };
    assert_status(STATUS_AWAY, house_ask(h, END_MX, 3, &ask_why).status);
    assert_alive(h, END_USER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOUSE(test_sessions_of_other_gates),
        HOUSE(test_strangers_gate_opens_no_mailbox_and_no_lease),
        HOUSE(test_login_to_send_opens_no_mailbox),
        HOUSE(test_mail_of_others_by_any_number),
        HOUSE(test_lies_about_a_message),
        HOUSE(test_size_that_is_not_so),
        HOUSE(test_made_up_refusals),
        HOUSE(test_what_it_writes_stays_in_its_message),
        HOUSE(test_answers_nobody_reads),
        HOUSE(test_descriptors_nobody_takes),
        HOUSE(test_more_sessions_than_a_gate_has),
        HOUSE(test_flood_of_logins),
        HOUSE(test_ranges_of_expunge),
        HOUSE(test_leases_of_one_account),
        HOUSE(test_C085_proofs_out_of_nowhere),
        HOUSE(test_C086_names_that_change_between_the_halves),
        HOUSE(test_C088_lengths_that_are_not_so),
        HOUSE(test_mechanisms_that_do_not_fit),
        HOUSE(test_keys_and_proofs_at_port_25),
        HOUSE(test_halves_of_other_gates),
        HOUSE(test_flood_of_passwords_and_scram),
        cmocka_unit_test(test_every_ask_has_a_handler),
        HOUSE(test_login_name_is_nobody_elses_address),
    };
    return cmocka_run_group_tests_name("intruder", tests, NULL, NULL);
}

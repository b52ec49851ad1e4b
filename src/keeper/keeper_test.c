#include "keeper/test_house.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"

#define LAN   "192.0.2.7"
#define OTHER "198.51.100.9"

static void set_enabled(struct house *h, const char *address, uint8_t enabled)
{
    struct ask ask = { .kind = ASK_ACCOUNT_SET, .fd = -1, .account_set = { slice_of(address), enabled, 2 } };
    assert_ok(house_ask(h, END_CTL, 0, &ask).status);
}

static void reset(struct house *h, uint64_t session)
{
    struct ask ask = { .kind = ASK_RESET, .fd = -1 };
    house_put(h, END_USER, session, &ask);
}

/* ---- mail from outside
 * ------------------------------------------------------------------------------------------------ */

static void test_message_comes_in_and_is_read(void **state)
{
    struct house *h = *state;
    assert_int_equal(house_mail(h, END_MX, 1, "stranger@else.test", OTHER), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_MX, 1, "alice@our.test"), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_MX, 1, "ALICE+news@our.test"), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_MX, 1, "nobody@our.test"), MAIL_NO_SUCH_USER);
    assert_int_equal(house_rcpt(h, END_MX, 1, "someone@else.test"), MAIL_NOT_LOCAL);
    struct answer answer =
        house_deliver(h, END_MX, 1, "stranger@else.test", "Alice@our.test", NULL, "Subject: x\r\n\r\nhello\r\n");
    assert_ok(answer.status);
    assert_int_equal(answer.deliver.verdict, MAIL_OK);
    assert_int_equal(house_login(h, END_USER, 2, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_int_equal(house_messages(h, 2), 1);
    assert_text("Return-Path: <x>\r\nReceived: here\r\nSubject: x\r\n\r\nhello\r\n", house_fetch(h, 2, 1));
    struct uid_range range = { 1, 1 };
    struct ask expunge = { .kind = ASK_EXPUNGE, .fd = -1, .expunge = { { &range, 1 } } };
    answer = house_ask(h, END_USER, 2, &expunge);
    assert_ok(answer.status);
    assert_int_equal(answer.expunge.removed, 1);
    assert_int_equal(house_messages(h, 2), 0);
}

static void test_gate_that_lies_does_not_relay(void **state)
{
    struct house *h = *state;
    /* No MAIL, no RCPT: DELIVER decides anew. */
    struct answer answer = house_deliver(h, END_MX, 1, "x@else.test", "victim@else.test", NULL, "x\r\n");
    assert_ok(answer.status);
    assert_int_equal(answer.deliver.verdict, MAIL_NOT_LOCAL);
    answer = house_deliver(h, END_USER, 1, "alice@our.test", "bob@our.test", NULL, "x\r\n");
    assert_int_equal(answer.deliver.verdict, MAIL_PROVE_YOURSELF);
    /* The pool for strangers cannot make itself a submission port. */
    struct ask ask = { .kind = ASK_MAIL,
        .fd = -1,
        .mail = { .sender = S("alice@our.test"), .peer = house_ip(LAN), .submission = 1, .encrypted = 1 } };
    assert_int_equal(house_login(h, END_USER, 2, "alice@our.test", "secret-alice", PROTOCOL_POP3, LAN).lease, 1);
    answer = house_ask(h, END_MX, 3, &ask);
    assert_int_equal(answer.mail.proof, PROOF_NONE);
    assert_int_equal(house_rcpt(h, END_MX, 3, "victim@else.test"), MAIL_NOT_LOCAL);
}

static void test_mail_survives_a_restart(void **state)
{
    struct house *h = *state;
    assert_ok(house_deliver(h, END_MX, 1, "x@else.test", "bob@our.test", NULL, "kept\r\n").status);
    house_stop(h);
    house_start(h);
    assert_int_equal(house_login(h, END_USER, 2, "bob", "secret-bob", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_int_equal(house_messages(h, 2), 1);
    /* C107: leases do not. */
    struct ask ask = { .kind = ASK_LEASE_LIST, .fd = -1 };
    assert_int_equal(house_ask(h, END_CTL, 0, &ask).lease_list.rows.count, 0);
}

static void put_noise(int fd, struct buf *noise, size_t size)
{
    char *room;
    assert_ok(buf_reserve(noise, size, &room));
    random_fill(room, size); /* does not shrink: it must end up in a file of its own */
    buf_grown(noise, size);
    for (size_t at = 0; at < size;) {
        ssize_t sent = pwrite(fd, room + at, size - at, (off_t)at);
        assert_true(sent > 0);
        at += (size_t)sent;
    }
}

static void test_large_body_travels_by_descriptor(void **state)
{
    struct house *h = *state;
    struct buf noise = BUF(4u << 20);
    struct ask stage = { .kind = ASK_STAGE, .fd = -1 };
    struct answer staged = house_ask(h, END_MX, 1, &stage);
    assert_ok(staged.status);
    assert_int_equal(staged.stage.verdict, MAIL_OK);
    assert_true(staged.fd >= 0);
    put_noise(staged.fd, &noise, 700001);
    struct deliver_recipient rows[2] = { { .address = S("alice@our.test") }, { .address = S("bob@our.test") } };
    struct ask ask = { .kind = ASK_DELIVER,
        .fd = staged.fd,
        .deliver = { .recipients = { rows, 2 },
            .return_path = S("Return-Path: <>\r\n"),
            .prefix = S("Received: here\r\n"),
            .id = S("big"),
            .staged = 700001 } };
    struct answer answer = house_ask(h, END_MX, 1, &ask);
    assert_ok(answer.status);
    assert_int_equal(answer.deliver.verdict, MAIL_OK);
    /* Larger than what was written, no descriptor at all, and one that could hold a thread up. */
    ask.deliver.staged = 700002;
    assert_status(STATUS_MALFORMED, house_ask(h, END_MX, 1, &ask).status);
    close(ask.fd);
    ask.fd = -1;
    assert_status(STATUS_MALFORMED, house_ask(h, END_MX, 1, &ask).status);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    ask.fd = pipes[0];
    assert_status(STATUS_MALFORMED, house_ask(h, END_MX, 1, &ask).status);
    close(pipes[0]);
    close(pipes[1]);
    house_login(h, END_USER, 2, "bob", "secret-bob", PROTOCOL_POP3, LAN);
    assert_int_equal(house_messages(h, 2), 1);
    struct slice got = house_fetch(h, 2, 1);
    struct slice head = S("Return-Path: <>\r\nReceived: here\r\n");
    assert_true(slice_starts(got, head));
    assert_true(slice_equal(slice_from(got, head.len), buf_slice(&noise)));
    buf_done(&noise);
}

/* ---- logins
 * ----------------------------------------------------------------------------------------------------------- */

static void test_login_names_and_wrong_passwords(void **state)
{
    struct house *h = *state;
    uint64_t session = 1;
    static const char *const right[] = { "alice", "ALICE@our.test", "alice@OUR.test" };
    for (size_t i = 0; i < 3; i++) {
        struct answer_login login = house_login(h, END_USER, session++, right[i], "secret-alice", PROTOCOL_IMAP, LAN);
        assert_int_equal(login.verdict, LOGIN_OK);
        assert_text("alice@our.test", login.address);
    }
    assert_int_equal(
        house_login(h, END_USER, session++, "alice", "secret-bob", PROTOCOL_IMAP, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(
        house_login(h, END_USER, session++, "nobody", "secret-bob", PROTOCOL_IMAP, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(house_login(h, END_USER, session++, "alice", "", PROTOCOL_IMAP, LAN).verdict, LOGIN_WRONG);
    set_enabled(h, "alice@our.test", 0);
    assert_int_equal(
        house_login(h, END_USER, session++, "alice", "secret-alice", PROTOCOL_IMAP, LAN).verdict, LOGIN_WRONG);
    set_enabled(h, "alice@our.test", 1);
    assert_int_equal(
        house_login(h, END_USER, session++, "alice", "secret-alice", PROTOCOL_IMAP, LAN).verdict, LOGIN_OK);
}

static struct ask plain_login(const char *authzid, bool encrypted)
{
    return (struct ask){ .kind = ASK_LOGIN,
        .fd = -1,
        .login = { .name = S("alice"),
            .secret = S("secret-alice"),
            .authzid = slice_of(authzid),
            .from.session = S("s"),
            .from.peer = house_ip(LAN),
            .from.protocol = PROTOCOL_SMTP,
            .from.mechanism = MECHANISM_PLAIN,
            .from.encrypted = encrypted } };
}

static void test_C086_authzid_and_plain_text(void **state)
{
    struct house *h = *state;
    struct ask other = plain_login("bob@our.test", true), same = plain_login("alice@our.test", true),
               bare = plain_login("", false);
    assert_int_equal(house_ask(h, END_USER, 1, &other).login.verdict, LOGIN_WRONG);
    assert_int_equal(house_ask(h, END_USER, 2, &same).login.verdict, LOGIN_OK);
    /* No person's password without TLS, whatever the gate thinks. */
    assert_int_equal(house_ask(h, END_USER, 3, &bare).login.verdict, LOGIN_WRONG);
}

static struct slice add_device(struct house *h, const char *name, uint8_t rights, uint32_t mechanisms, const char *from)
{
    struct ask ask = { .kind = ASK_DEVICE_ADD,
        .fd = -1,
        .device_add = { .address = S("carol@our.test"),
            .name = slice_of(name),
            .from = slice_of(from),
            .mechanisms = mechanisms,
            .rights = rights } };
    struct answer answer = house_ask(h, END_CTL, 0, &ask);
    assert_ok(answer.status);
    return answer.device_add.secret;
}

static void test_device_passwords_and_apop(void **state)
{
    struct house *h = *state;
    char secret[64], digest[16];
    struct slice made = add_device(h, "scanner", RIGHTS_ALL, 0, "");
    assert_in_range(made.len, 20, 31);
    snprintf(secret, sizeof secret, "%.*s", (int)made.len, made.ptr);
    struct answer_login login = house_login(h, END_USER, 1, "carol", secret, PROTOCOL_POP3, LAN);
    assert_int_equal(login.verdict, LOGIN_OK);
    assert_int_equal(login.lease, 1); /* a device with the right, on an account without the flag */
    vault_apop(S("<1.2@mail.our.test>"), slice_of(secret), digest);
    struct ask ask = { .kind = ASK_LOGIN_DIGEST,
        .fd = -1,
        .login_digest = { .name = S("carol@our.test"),
            .challenge = S("<1.2@mail.our.test>"),
            .digest = { digest, 16 },
            .from = { .session = S("s"),
                .peer = house_ip(LAN),
                .protocol = PROTOCOL_POP3,
                .mechanism = MECHANISM_APOP,
                .encrypted = 1 } } };
    assert_int_equal(house_ask(h, END_USER, 2, &ask).login.verdict, LOGIN_OK);
    ask.login_digest.challenge = S("<1.3@mail.our.test>");
    assert_int_equal(house_ask(h, END_USER, 3, &ask).login.verdict, LOGIN_WRONG);
    ask.login_digest.challenge = S("<1.2@mail.our.test>");
    ask.login_digest.from.encrypted = 0;
    assert_int_equal(house_ask(h, END_USER, 4, &ask).login.verdict, LOGIN_WRONG);
    /* A person's password is no secret for APOP. */
    vault_apop(S("<1.2@mail.our.test>"), S("secret-carol"), digest);
    ask.login_digest.from.encrypted = 1;
    assert_int_equal(house_ask(h, END_USER, 5, &ask).login.verdict, LOGIN_WRONG);
}

static void test_device_limits_and_revocation(void **state)
{
    struct house *h = *state;
    char pop[64], here[64], plain[64];
    struct slice made = add_device(h, "pop only", RIGHT_POP3, 0, "");
    snprintf(pop, sizeof pop, "%.*s", (int)made.len, made.ptr);
    made = add_device(h, "from here", RIGHTS_ALL, 0, "203.0.113.0/24,192.0.2.7");
    snprintf(here, sizeof here, "%.*s", (int)made.len, made.ptr);
    made = add_device(h, "plain", 0, 1u << MECHANISM_PLAIN, "");
    snprintf(plain, sizeof plain, "%.*s", (int)made.len, made.ptr);
    struct answer_login login = house_login(h, END_USER, 1, "carol", pop, PROTOCOL_POP3, LAN);
    assert_int_equal(login.verdict, LOGIN_OK);
    assert_int_equal(login.lease, 0);
    assert_int_equal(house_login(h, END_USER, 2, "carol", pop, PROTOCOL_SMTP, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(house_login(h, END_USER, 3, "carol", here, PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_int_equal(house_login(h, END_USER, 4, "carol", here, PROTOCOL_POP3, OTHER).verdict, LOGIN_WRONG);
    assert_int_equal(house_login(h, END_USER, 5, "carol", plain, PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(house_messages(h, 1), 0);
    assert_int_equal(house_mail(h, END_USER, 9, "carol@our.test", LAN), MAIL_OK);
    struct ask revoke = { .kind = ASK_DEVICE_REVOKE, .fd = -1, .device_revoke = { S("carol@our.test"), NO_SLICE } };
    assert_int_equal(house_ask(h, END_CTL, 0, &revoke).count.count, 3);
    /* At once: sessions, leases, and the password that was right a moment ago. */
    struct ask list = { .kind = ASK_DROP_LIST, .fd = -1 };
    assert_status(STATUS_REVOKED, house_ask(h, END_USER, 1, &list).status);
    assert_int_equal(house_mail(h, END_USER, 10, "carol@our.test", LAN), MAIL_PROVE_YOURSELF);
    assert_int_equal(house_login(h, END_USER, 6, "carol", pop, PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
}

static void test_C093_C108_a_change_ends_sessions_at_once(void **state)
{
    struct house *h = *state;
    struct ask list = { .kind = ASK_DROP_LIST, .fd = -1 };
    house_login(h, END_USER, 1, "alice", "secret-alice", PROTOCOL_POP3, LAN);
    assert_ok(house_ask(h, END_USER, 1, &list).status);
    struct ask password = {
        .kind = ASK_ACCOUNT_PASSWORD, .fd = -1, .account_password = { S("alice@our.test"), S("new one") }
    };
    assert_ok(house_ask(h, END_CTL, 0, &password).status);
    assert_status(STATUS_REVOKED, house_ask(h, END_USER, 1, &list).status);
    assert_int_equal(house_mail(h, END_USER, 2, "alice@our.test", LAN), MAIL_PROVE_YOURSELF);
    assert_int_equal(house_login(h, END_USER, 3, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(house_login(h, END_USER, 4, "alice", "new one", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    struct ask removed = { .kind = ASK_ACCOUNT_REMOVE, .fd = -1, .account = { S("alice@our.test") } };
    assert_ok(house_ask(h, END_CTL, 0, &removed).status);
    assert_status(STATUS_REVOKED, house_ask(h, END_USER, 4, &list).status);
    assert_int_equal(house_rcpt(h, END_MX, 1, "alice@our.test"), MAIL_NO_SUCH_USER);
}

/* ---- submission
 * ------------------------------------------------------------------------------------------------------- */

static void test_lease_from_login_to_queue(void **state)
{
    struct house *h = *state;
    assert_int_equal(house_mail(h, END_USER, 1, "alice@our.test", LAN), MAIL_PROVE_YOURSELF);
    assert_int_equal(house_login(h, END_USER, 2, "alice", "secret-alice", PROTOCOL_POP3, LAN).lease, 1);
    assert_int_equal(house_login(h, END_USER, 3, "bob", "secret-bob", PROTOCOL_POP3, LAN).lease, 0); /* not flagged */
    assert_int_equal(house_mail(h, END_USER, 1, "alice@our.test", OTHER), MAIL_PROVE_YOURSELF);
    assert_int_equal(house_mail(h, END_USER, 1, "bob@our.test", LAN), MAIL_FOREIGN_SENDER); /* C095 */
    assert_int_equal(house_mail(h, END_USER, 1, "", LAN), MAIL_FOREIGN_SENDER);
    /* The session that was open before the login. */
    assert_int_equal(house_mail(h, END_USER, 1, "alice+scan@our.test", LAN), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_USER, 1, "friend@else.test"), MAIL_OK);
    struct answer answer =
        house_deliver(h, END_USER, 1, "alice+scan@our.test", "friend@else.test", "bob@our.test", "x\r\n");
    assert_int_equal(answer.deliver.verdict, MAIL_FORGED_AUTHOR); /* C092 */
    /* What failed is given back: two messages are left. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(house_mail(h, END_USER, 1, "alice@our.test", LAN), MAIL_OK);
        assert_int_equal(house_rcpt(h, END_USER, 1, "friend@else.test"), MAIL_OK);
        answer = house_deliver(h, END_USER, 1, "alice@our.test", "friend@else.test", "alice@our.test", "x\r\n");
        assert_ok(answer.status);
        assert_int_equal(answer.deliver.verdict, MAIL_OK);
    }
    assert_int_equal(house_mail(h, END_USER, 1, "alice@our.test", LAN), MAIL_LEASE_USED_UP);
    struct ask list = { .kind = ASK_QUEUE_LIST, .fd = -1 };
    assert_int_equal(house_ask(h, END_CTL, 0, &list).queue_list.rows.count, 2);
    /* A new login sets the counts anew. */
    assert_int_equal(house_login(h, END_USER, 4, "alice", "secret-alice", PROTOCOL_POP3, LAN).lease, 1);
    assert_int_equal(house_mail(h, END_USER, 1, "alice@our.test", LAN), MAIL_OK);
}

static void test_C109_lease_counts_over_parallel_sessions(void **state)
{
    struct house *h = *state;
    house_login(h, END_USER, 1, "alice", "secret-alice", PROTOCOL_POP3, LAN);
    for (uint64_t s = 10; s < 14; s++)
        assert_int_equal(house_mail(h, END_USER, s, "alice@our.test", LAN), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_USER, 10, "a@else.test"), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_USER, 11, "a@else.test"), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_USER, 12, "a@else.test"), MAIL_LEASE_USED_UP);
    reset(h, 10);
    assert_int_equal(house_rcpt(h, END_USER, 12, "a@else.test"), MAIL_OK);
    struct ask end = { .kind = ASK_END_SESSION, .fd = -1 };
    house_put(h, END_USER, 11, &end);
    assert_int_equal(house_rcpt(h, END_USER, 13, "a@else.test"), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_USER, 13, "b@else.test"), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_USER, 13, "c@else.test"), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_USER, 13, "d@else.test"), MAIL_LEASE_USED_UP);
}

static void test_lease_dies_between_rcpt_and_data(void **state)
{
    struct house *h = *state;
    house_login(h, END_USER, 1, "alice", "secret-alice", PROTOCOL_POP3, LAN);
    assert_int_equal(house_mail(h, END_USER, 2, "alice@our.test", LAN), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_USER, 2, "a@else.test"), MAIL_OK);
    struct ask revoke = { .kind = ASK_LEASE_REVOKE, .fd = -1, .lease_revoke = { S(LAN) } };
    assert_int_equal(house_ask(h, END_CTL, 0, &revoke).count.count, 1);
    assert_int_equal(
        house_deliver(h, END_USER, 2, "alice@our.test", "a@else.test", NULL, "x\r\n").deliver.verdict, MAIL_LEASE_OVER);
    struct ask list = { .kind = ASK_QUEUE_LIST, .fd = -1 };
    assert_int_equal(house_ask(h, END_CTL, 0, &list).queue_list.rows.count, 0);
}

static void test_failed_auth_cancels_the_lease_in_its_session(void **state) /* A5, 22 */
{
    struct house *h = *state;
    house_login(h, END_USER, 1, "alice", "secret-alice", PROTOCOL_POP3, LAN);
    assert_int_equal(house_login(h, END_USER, 2, "alice", "wrong", PROTOCOL_SMTP, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(house_mail(h, END_USER, 2, "alice@our.test", LAN), MAIL_PROVE_YOURSELF);
    assert_int_equal(house_mail(h, END_USER, 3, "alice@our.test", LAN), MAIL_OK);
}

static void test_login_and_its_sender(void **state)
{
    struct house *h = *state;
    assert_ok(house_alias(h, "sales@our.test", "bob@our.test"));
    assert_int_equal(house_login(h, END_USER, 1, "bob", "secret-bob", PROTOCOL_SMTP, OTHER).verdict, LOGIN_OK);
    assert_int_equal(house_mail(h, END_USER, 1, "sales@our.test", OTHER), MAIL_OK);
    assert_int_equal(house_mail(h, END_USER, 1, "alice@our.test", OTHER), MAIL_FOREIGN_SENDER);
    assert_int_equal(house_mail(h, END_USER, 1, "postmaster@our.test", OTHER), MAIL_FOREIGN_SENDER);
    assert_int_equal(house_mail(h, END_USER, 1, "bob@our.test", OTHER), MAIL_OK);
    assert_int_equal(house_rcpt(h, END_USER, 1, "far@else.test"), MAIL_OK);
    /* Another envelope sender at the end than at the beginning. */
    assert_int_equal(
        house_deliver(h, END_USER, 1, "alice@our.test", "far@else.test", "bob@our.test", "x\r\n").deliver.verdict,
        MAIL_FOREIGN_SENDER);
}

/* ---- the courier
 * ------------------------------------------------------------------------------------------------------ */

static void test_claim_waits_and_bounce_comes_home(void **state)
{
    struct house *h = *state;
    struct ask claim = { .kind = ASK_CLAIM, .fd = -1 };
    uint32_t waiting = house_put(h, END_COURIER, 0, &claim);
    house_login(h, END_USER, 1, "bob", "secret-bob", PROTOCOL_SMTP, OTHER);
    house_mail(h, END_USER, 1, "bob@our.test", OTHER);
    house_rcpt(h, END_USER, 1, "far@else.test");
    assert_ok(
        house_deliver(h, END_USER, 1, "bob@our.test", "far@else.test", "bob@our.test", "Subject: out\r\n\r\nx\r\n")
            .status);
    struct answer claimed = house_get(h, END_COURIER, waiting);
    assert_ok(claimed.status);
    assert_text("bob@our.test", claimed.claim.sender);
    assert_int_equal(claimed.claim.recipients.count, 1);
    struct ask body = { .kind = ASK_QUEUE_BODY, .fd = -1, .queue_body = { .id = claimed.claim.id } };
    struct answer page = house_ask(h, END_COURIER, 0, &body);
    assert_ok(page.status);
    assert_int_equal(page.queue_body.next, 0);
    assert_int_equal(page.queue_body.skip, strlen("Return-Path: <x>\r\n"));
    struct ask show = { .kind = ASK_QUEUE_SHOW, .fd = -1, .queue_show = { claimed.claim.id } };
    struct answer shown = house_ask(h, END_CTL, 0, &show);
    assert_ok(shown.status);
    assert_text("Received: here\r\nSubject: out\r\n", shown.queue_show.header);
    struct settle_recipient row = { .id = row_of(struct claim_recipient, claimed.claim.recipients, 0)->id,
        .outcome = SETTLE_FAILED,
        .reply = S("550 no") };
    struct ask settle = { .kind = ASK_SETTLE,
        .fd = -1,
        .settle = { .id = claimed.claim.id, .recipients = { &row, 1 }, .bounce = S("Subject: sorry\r\n\r\nno\r\n") } };
    struct answer settled = house_ask(h, END_COURIER, 0, &settle);
    assert_ok(settled.status);
    assert_int_equal(settled.settle.done, 1);
    house_login(h, END_USER, 2, "bob", "secret-bob", PROTOCOL_POP3, OTHER);
    assert_int_equal(house_messages(h, 2), 1);
    assert_text("Return-Path: <>\r\nSubject: sorry\r\n\r\nno\r\n", house_fetch(h, 2, 1));
    /* Once only. */
    assert_status(STATUS_NOT_FOUND, house_ask(h, END_COURIER, 0, &settle).status);
    assert_int_equal(house_messages(h, 2), 1);
}

/* ---- who may ask
 * ------------------------------------------------------------------------------------------------------ */

static void test_C041_forbidden_ask_closes_that_channel_only(void **state)
{
    struct house *h = *state;
    struct ask list = { .kind = ASK_ACCOUNT_LIST, .fd = -1 };
    house_put(h, END_MX, 1, &list);
    assert_true(house_is_closed(h, END_MX));
    assert_int_equal(send(h->ends[END_COURIER], "\x05\x00\x00\x00garbage", 11, MSG_NOSIGNAL), 11);
    assert_true(house_is_closed(h, END_COURIER));
    /* A session without a binding is no crime: the keeper may have been restarted. */
    struct ask fetch = { .kind = ASK_FETCH, .fd = -1, .fetch = { .uid = 1 } };
    assert_status(STATUS_REVOKED, house_ask(h, END_USER, 77, &fetch).status);
    assert_int_equal(house_ask(h, END_CTL, 0, &list).account_list.rows.count, 3);
    house_login(h, END_USER, 1, "bob", "secret-bob", PROTOCOL_POP3, LAN);
    struct ask again = plain_login("", true);
    house_put(h, END_USER, 1, &again);
    assert_true(house_is_closed(h, END_USER));
}

static void test_commands(void **state)
{
    struct house *h = *state;
    struct ask ask = {
        .kind = ASK_ACCOUNT_ADD, .fd = -1, .account_add = { .address = S("alice@our.test"), .secret = S("x") }
    };
    assert_status(STATUS_EXISTS, house_ask(h, END_CTL, 0, &ask).status);
    ask.account_add.address = S("dan@else.test");
    assert_status(STATUS_NOT_FOUND, house_ask(h, END_CTL, 0, &ask).status);
    ask.account_add.address = S("not an address");
    assert_status(STATUS_MALFORMED, house_ask(h, END_CTL, 0, &ask).status);
    ask.account_add.address = S("dan@our.test");
    ask.account_add.login = S("Bob");
    assert_status(STATUS_EXISTS, house_ask(h, END_CTL, 0, &ask).status);
    ask.account_add.login = S("daniel");
    assert_ok(house_ask(h, END_CTL, 0, &ask).status);
    assert_int_equal(house_login(h, END_USER, 1, "Daniel", "x", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_status(STATUS_EXISTS, house_alias(h, "bob@our.test", "alice@our.test"));
    assert_status(STATUS_NOT_FOUND, house_alias(h, "x@our.test", "nobody@our.test"));
    assert_status(STATUS_NOT_FOUND, house_alias(h, "x@else.test", "alice@our.test"));
    assert_ok(house_alias(h, "x@our.test", "Far.Away@Else.test"));
    assert_ok(house_alias(h, "@our.test", "alice@our.test"));
    struct ask list = { .kind = ASK_ALIAS_LIST, .fd = -1 };
    struct answer answer = house_ask(h, END_CTL, 0, &list);
    assert_int_equal(answer.alias_list.rows.count, 2);
    assert_text("Far.Away@else.test", row_of(struct alias_row, answer.alias_list.rows, 1)->target);
    struct ask domain = { .kind = ASK_DOMAIN_REMOVE, .fd = -1, .domain = { S("our.test") } };
    assert_status(STATUS_DENIED, house_ask(h, END_CTL, 0, &domain).status);
    struct ask about = { .kind = ASK_STATUS, .fd = -1 };
    answer = house_ask(h, END_CTL, 0, &about);
    assert_ok(answer.status);
    assert_int_equal(answer.about.accounts, 4);
    assert_true(answer.about.commits > 0 && answer.about.jobs >= answer.about.commits && answer.about.disk_free > 0);
}

static void test_lists_come_in_pages(void **state)
{
    struct house *h = *state;
    char name[64], last[64] = "";
    for (int i = 0; i < 130; i++) {
        snprintf(name, sizeof name, "user%03d@our.test", i);
        house_add(h, name, false);
    }
    uint32_t count = 0, pages = 0;
    struct answer answer;
    do {
        struct ask ask = { .kind = ASK_ACCOUNT_LIST, .fd = -1, .list = { .after = slice_of(last) } };
        answer = house_ask(h, END_CTL, 0, &ask);
        assert_ok(answer.status);
        for (uint32_t i = 0; i < answer.account_list.rows.count; i++) {
            struct slice address = row_of(struct account_row, answer.account_list.rows, i)->address;
            assert_true(slice_compare(address, slice_of(last)) > 0);
            snprintf(last, sizeof last, "%.*s", (int)address.len, address.ptr);
            count++;
        }
        pages++;
    } while (answer.account_list.more);
    assert_int_equal(count, 133);
    assert_int_equal(pages, 2);
}

static void test_C220_disk_reserve_refuses_before_anything_is_taken(void **state)
{
    struct house *h = *state;
    house_stop(h);
    h->settings->disk_reserve = UINT64_MAX / 2;
    house_start(h);
    struct ask stage = { .kind = ASK_STAGE, .fd = -1 };
    assert_int_equal(house_ask(h, END_MX, 1, &stage).stage.verdict, MAIL_DISK_FULL);
    assert_int_equal(
        house_deliver(h, END_MX, 1, "x@else.test", "bob@our.test", NULL, "x\r\n").deliver.verdict, MAIL_DISK_FULL);
}

/* Whoever is at the other end takes nothing any more, and that shows only when the last answers are sent. */
static void test_stop_with_an_answer_for_nobody(void **state)
{
    struct house *h = *state;
    house_put(h, END_COURIER, 0, &(struct ask){ .kind = ASK_CLAIM, .fd = -1 });
    for (int i = 0; i < 500 && __atomic_load_n(&h->keeper->claim_count, __ATOMIC_RELAXED) == 0; i++)
        usleep(10000);
    assert_int_equal(h->keeper->claim_count, 1);
    assert_int_equal(shutdown(h->ends[END_COURIER], SHUT_RD), 0);
    house_stop(h);
    house_start(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_setup, house_teardown)
        HOUSE(test_message_comes_in_and_is_read),
        HOUSE(test_gate_that_lies_does_not_relay),
        HOUSE(test_mail_survives_a_restart),
        HOUSE(test_large_body_travels_by_descriptor),
        HOUSE(test_login_names_and_wrong_passwords),
        HOUSE(test_C086_authzid_and_plain_text),
        HOUSE(test_device_passwords_and_apop),
        HOUSE(test_device_limits_and_revocation),
        HOUSE(test_C093_C108_a_change_ends_sessions_at_once),
        HOUSE(test_lease_from_login_to_queue),
        HOUSE(test_C109_lease_counts_over_parallel_sessions),
        HOUSE(test_lease_dies_between_rcpt_and_data),
        HOUSE(test_failed_auth_cancels_the_lease_in_its_session),
        HOUSE(test_login_and_its_sender),
        HOUSE(test_claim_waits_and_bounce_comes_home),
        HOUSE(test_C041_forbidden_ask_closes_that_channel_only),
        HOUSE(test_commands),
        HOUSE(test_lists_come_in_pages),
        HOUSE(test_C220_disk_reserve_refuses_before_anything_is_taken),
        HOUSE(test_stop_with_an_answer_for_nobody),
    };
    return cmocka_run_group_tests_name("keeper", tests, NULL, NULL);
}

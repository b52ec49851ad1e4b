/* Every way of proving oneself, as the keeper decides it. */
#include <sodium.h>
#include <unistd.h>

#include "keeper/test_client.h"

#define LAN   "192.0.2.7"
#define OTHER "198.51.100.9"
#define S256  .mechanism = MECHANISM_SCRAM_SHA_256
#define S1    .mechanism = MECHANISM_SCRAM_SHA_1

static uint64_t fresh(void)
{
    static uint64_t session = 1;
    return session++;
}

static uint8_t scram(struct house *h, const struct scram_try *try)
{
    struct answer answer = client_scram(h, END_USER, fresh(), try);
    assert_ok(answer.status);
    return answer.login.verdict;
}

#define SCRAM(...) scram(h, &(struct scram_try){ __VA_ARGS__ })

static uint8_t plain(struct house *h, const char *name, const char *secret)
{
    return house_login(h, END_USER, fresh(), name, secret, PROTOCOL_POP3, LAN).verdict;
}

static uint8_t digest(struct house *h, const char *name, const char *secret, uint8_t mechanism, bool encrypted)
{
    struct answer answer =
        client_digest(h, fresh(), name, secret, mechanism, mechanism == MECHANISM_APOP ? PROTOCOL_POP3 : PROTOCOL_SMTP, encrypted);
    assert_ok(answer.status);
    return answer.login.verdict;
}

static struct answer_scram begin(struct house *h, uint64_t session, const char *name, uint8_t mechanism)
{
    struct answer answer = client_scram_begin(h, END_USER, session, &(struct scram_try){ name, .mechanism = mechanism });
    assert_ok(answer.status);
    return answer.scram;
}

struct device_plan {
    const char *account, *name, *from;
    uint8_t rights;
    uint32_t mechanisms;
};

/* Its password, in the arena. */
static const char *add_device(struct house *h, const struct device_plan *plan)
{
    struct ask ask = { .kind = ASK_DEVICE_ADD,
        .fd = -1,
        .device_add = { .address = slice_of(plan->account),
            .name = slice_of(plan->name),
            .from = slice_of(plan->from),
            .mechanisms = plan->mechanisms,
            .rights = plan->rights } };
    struct answer answer = house_ask(h, END_CTL, 0, &ask);
    struct slice copy;
    assert_ok(answer.status);
    assert_ok(arena_copy(&h->arena, answer.device_add.secret, &copy));
    return copy.ptr;
}

#define DEVICE(...) add_device(h, &(struct device_plan){ __VA_ARGS__ })

static enum status set_password(struct house *h, const char *address, const char *secret, bool hashed)
{
    struct ask ask = { .kind = ASK_ACCOUNT_PASSWORD,
        .fd = -1,
        .account_password = { slice_of(address), slice_of(secret), hashed } };
    return house_ask(h, END_CTL, 0, &ask).status;
}

static void restart(struct house *h)
{
    house_stop(h);
    house_start(h);
}

/* ---- people ------------------------------------------------------------------------------------------------------ */

static void test_scram_of_a_person(void **state)
{
    struct house *h = *state;
    assert_int_equal(SCRAM("alice", "secret-alice", S256), LOGIN_OK);
    assert_int_equal(SCRAM("Alice@our.test", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_256_PLUS), LOGIN_OK);
    assert_int_equal(SCRAM("alice", "secret-bob", S256), LOGIN_WRONG);
    assert_int_equal(SCRAM("nobody", "secret-alice", S256), LOGIN_WRONG);
    restart(h);
    assert_int_equal(SCRAM("alice", "secret-alice", S256), LOGIN_OK);
    struct ask off = { .kind = ASK_ACCOUNT_SET, .fd = -1, .account_set = { S("alice@our.test"), 0, 2 } };
    assert_ok(house_ask(h, END_CTL, 0, &off).status);
    assert_int_equal(SCRAM("alice", "secret-alice", S256), LOGIN_WRONG);
}

static void test_scram_sha_1_of_people_is_a_setting(void **state)
{
    struct house *h = *state;
    assert_int_equal(SCRAM("alice", "secret-alice", S1), LOGIN_WRONG);
    house_stop(h);
    h->settings->auth_scram_sha1 = true;
    house_start(h);
    /* The next login that shows the password makes what is missing. */
    assert_int_equal(SCRAM("alice", "secret-alice", S1), LOGIN_WRONG);
    assert_int_equal(plain(h, "alice", "secret-alice"), LOGIN_OK);
    restart(h); /* which waits for it */
    assert_int_equal(SCRAM("alice", "secret-alice", S1), LOGIN_OK);
    assert_int_equal(SCRAM("alice", "secret-alice", .mechanism = MECHANISM_SCRAM_SHA_1_PLUS), LOGIN_OK);
    assert_int_equal(SCRAM("alice", "secret-alice", S256), LOGIN_OK);
}

/* One password, typed on two keyboards. */
static void test_passwords_have_one_form(void **state)
{
    struct house *h = *state;
    static const char composed[] = "caf\xC3\xA9 au lait", apart[] = "cafe\xCC\x81\xC2\xA0" "au lait";
    assert_ok(set_password(h, "alice@our.test", composed, false));
    assert_int_equal(plain(h, "alice", composed), LOGIN_OK);
    assert_int_equal(plain(h, "alice", apart), LOGIN_OK);
    assert_int_equal(SCRAM("alice", composed, S256), LOGIN_OK); /* a client has prepared it already */
    assert_int_equal(plain(h, "alice", "cafe au lait"), LOGIN_WRONG);
    /* What no profile allows is taken as it is. */
    assert_ok(set_password(h, "alice@our.test", "bell\x07", false));
    assert_int_equal(plain(h, "alice", "bell\x07"), LOGIN_OK);
    assert_int_equal(SCRAM("alice", "bell\x07", S256), LOGIN_OK);
}

/* ---- what does not tell ------------------------------------------------------------------------------------------ */

static void test_C075_names_do_not_show(void **state)
{
    struct house *h = *state;
    static const char *const names[] = { "alice", "nobody", "NOBODY@our.test", "nobody@else.test", "n\xC3\xB6@our.test", "\"q q\"@our.test" };
    for (uint8_t m = MECHANISM_SCRAM_SHA_1; m <= MECHANISM_SCRAM_SHA_256_PLUS; m++) {
        struct answer_scram known = begin(h, fresh(), "alice@our.test", m);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            struct answer_scram one = begin(h, fresh(), names[i], m), two = begin(h, fresh(), names[i], m);
            assert_true(slice_equal(one.salt, two.salt));
            assert_false(slice_equal(one.nonce, two.nonce));
            assert_int_equal(one.rounds, known.rounds);
            assert_int_equal(one.salt.len, known.salt.len);
            assert_int_equal(one.nonce.len, known.nonce.len);
            assert_int_equal(slice_equal(one.salt, known.salt), i == 0);
        }
    }
    /* With and without the default domain, as for one that exists. */
    struct answer_scram before = begin(h, fresh(), "nobody", MECHANISM_SCRAM_SHA_256);
    assert_true(slice_equal(begin(h, fresh(), "Nobody@our.test", MECHANISM_SCRAM_SHA_256).salt, before.salt));
    restart(h);
    assert_true(slice_equal(begin(h, fresh(), "nobody", MECHANISM_SCRAM_SHA_256).salt, before.salt));
}

static void test_C073_one_answer_for_all(void **state)
{
    struct house *h = *state;
    house_add(h, "off@our.test", false);
    struct ask off = { .kind = ASK_ACCOUNT_SET, .fd = -1, .account_set = { S("off@our.test"), 0, 2 } };
    assert_ok(house_ask(h, END_CTL, 0, &off).status);
    static const char *const names[] = { "alice", "nobody", "off@our.test" };
    for (size_t i = 0; i < 3; i++) {
        struct answer got[] = { client_scram(h, END_USER, fresh(), &(struct scram_try){ names[i], "wrong", S256 }),
            client_scram(h, END_USER, fresh(), &(struct scram_try){ names[i], "secret-off", S256 }),
            client_digest(h, fresh(), names[i], "wrong", MECHANISM_CRAM_MD5, PROTOCOL_SMTP, true),
            client_digest(h, fresh(), names[i], "wrong", MECHANISM_APOP, PROTOCOL_POP3, true) };
        for (size_t k = 0; k < sizeof got / sizeof *got; k++) {
            assert_ok(got[k].status);
            assert_int_equal(got[k].login.verdict, LOGIN_WRONG);
            assert_int_equal(got[k].login.account, 0);
            assert_int_equal(got[k].login.signature.len, 0);
            assert_int_equal(got[k].login.address.len, 0);
        }
    }
}

/* ---- one use ----------------------------------------------------------------------------------------------------- */

static void test_C085_a_nonce_is_good_for_one_proof(void **state)
{
    struct house *h = *state;
    struct scram_try right = { "alice", "secret-alice", S256 }, wrong = { "alice", "wrong", S256 };
    struct answer_scram half = begin(h, 500, "alice", MECHANISM_SCRAM_SHA_256);
    assert_int_equal(client_scram_proof(h, END_USER, 500, &wrong, &half).login.verdict, LOGIN_WRONG);
    assert_int_equal(client_scram_proof(h, END_USER, 500, &right, &half).login.verdict, LOGIN_WRONG); /* spent */
    struct answer_scram again = begin(h, 500, "alice", MECHANISM_SCRAM_SHA_256);
    assert_int_equal(client_scram_proof(h, END_USER, 500, &right, &half).login.verdict, LOGIN_WRONG); /* the older one */
    again = begin(h, 500, "alice", MECHANISM_SCRAM_SHA_256);
    assert_int_equal(client_scram_proof(h, END_USER, 501, &right, &again).login.verdict, LOGIN_WRONG); /* another's */
    assert_int_equal(client_scram_proof(h, END_USER, 500, &right, &again).login.verdict, LOGIN_OK);
    /* What was overheard, in a session of its own. */
    struct answer_scram fresh = begin(h, 502, "alice", MECHANISM_SCRAM_SHA_256);
    assert_false(slice_equal(fresh.nonce, again.nonce));
    assert_int_equal(client_scram_proof(h, END_USER, 502, &right, &again).login.verdict, LOGIN_WRONG);
}

static void test_C080_a_new_exchange_is_new(void **state)
{
    struct house *h = *state;
    struct scram_try right = { "alice", "secret-alice", S256 };
    struct answer_scram half = begin(h, 600, "alice", MECHANISM_SCRAM_SHA_256);
    /* Another mechanism in between, and another one for the second half. */
    assert_int_equal(house_login(h, END_USER, 600, "alice", "wrong", PROTOCOL_POP3, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(client_digest(h, 600, "alice", "wrong", MECHANISM_APOP, PROTOCOL_POP3, true).login.verdict, LOGIN_WRONG);
    right.other_mechanism = MECHANISM_SCRAM_SHA_256_PLUS;
    assert_int_equal(client_scram_proof(h, END_USER, 600, &right, &half).login.verdict, LOGIN_WRONG);
    right.other_mechanism = 0;
    half = begin(h, 600, "alice", MECHANISM_SCRAM_SHA_256);
    assert_int_equal(client_scram_proof(h, END_USER, 600, &right, &half).login.verdict, LOGIN_OK);
}

static void test_C086_acting_for_another(void **state)
{
    struct house *h = *state;
    assert_int_equal(SCRAM("alice", "secret-alice", S256, .authzid = "bob@our.test"), LOGIN_WRONG);
    assert_int_equal(SCRAM("alice", "secret-alice", S256, .authzid = "nobody"), LOGIN_WRONG);
    assert_int_equal(SCRAM("alice", "secret-alice", S256, .authzid = "ALICE@our.test"), LOGIN_OK);
}

static void test_C088_lengths_are_bounded(void **state)
{
    struct house *h = *state;
    char octets[LIMIT_SECRET + 1];
    memset(octets, 'x', sizeof octets);
    octets[LIMIT_SECRET] = '\0';
    assert_int_equal(plain(h, "alice", octets), LOGIN_WRONG);
    static const size_t sizes[] = { 1, 19, 21, 31, 33, 64 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_status(STATUS_MALFORMED, client_scram(h, END_USER, fresh(), &(struct scram_try){ "alice", "secret-alice", S256, .proof_size = sizes[i] }).status);
    /* The other hash's. */
    assert_status(STATUS_MALFORMED, client_scram(h, END_USER, fresh(), &(struct scram_try){ "alice", "secret-alice", S256, .proof_size = 20 }).status);
    /* First halves cost little; still a session gets no more than it can need. */
    struct answer answer = { .status = STATUS_OK };
    uint32_t begun = 0;
    for (; answer.status == STATUS_OK && begun < 1000; begun++)
        answer = client_scram_begin(h, END_USER, 700, &(struct scram_try){ "alice", S256 });
    assert_status(STATUS_BUSY, answer.status);
    assert_int_equal(begun, LIMIT_SCRAM_BEGINS + 1);
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

static void test_C084_every_key_is_tried(void **state)
{
    struct house *h = *state;
    const char *secrets[6];
    for (int i = 0; i < 6; i++) {
        char name[2] = { (char)('a' + i), '\0' };
        secrets[i] = DEVICE("carol@our.test", name, .rights = RIGHTS_ALL);
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(SCRAM("carol", secrets[i], S256), LOGIN_OK);
        assert_int_equal(SCRAM("carol", secrets[i], S1), LOGIN_OK);
        assert_int_equal(digest(h, "carol", secrets[i], MECHANISM_CRAM_MD5, true), LOGIN_OK);
        assert_int_equal(digest(h, "carol", secrets[i], MECHANISM_APOP, true), LOGIN_OK);
        assert_int_equal(plain(h, "carol", secrets[i]), LOGIN_OK);
        assert_int_equal(SCRAM("alice", secrets[i], S256), LOGIN_WRONG);
        assert_int_equal(digest(h, "bob", secrets[i], MECHANISM_CRAM_MD5, true), LOGIN_WRONG);
    }
    assert_int_equal(SCRAM("carol", "secret-carol", S256), LOGIN_OK);
    /* A person's password is no secret for digests. */
    assert_int_equal(digest(h, "carol", "secret-carol", MECHANISM_CRAM_MD5, true), LOGIN_WRONG);
}

static void test_rights_of_devices(void **state)
{
    struct house *h = *state;
    const char *s256 = DEVICE("carol@our.test", "s256", .mechanisms = 1u << MECHANISM_SCRAM_SHA_256);
    const char *plus = DEVICE("carol@our.test", "plus", .mechanisms = 1u << MECHANISM_SCRAM_SHA_256_PLUS);
    const char *old = DEVICE("carol@our.test", "old", .mechanisms = 1u << MECHANISM_PASSWORD | 1u << MECHANISM_PLAIN | 1u << MECHANISM_LOGIN | 1u << MECHANISM_APOP);
    const char *cram = DEVICE("carol@our.test", "cram", .rights = RIGHT_SMTP, .mechanisms = 1u << MECHANISM_CRAM_MD5);
    const char *here = DEVICE("carol@our.test", "here", .from = "203.0.113.0/24", .rights = RIGHTS_ALL);
    assert_int_equal(SCRAM("carol", s256, S256), LOGIN_OK);
    assert_int_equal(SCRAM("carol", s256, .mechanism = MECHANISM_SCRAM_SHA_256_PLUS), LOGIN_OK); /* as good, and better */
    assert_int_equal(SCRAM("carol", s256, S1), LOGIN_WRONG);
    assert_int_equal(plain(h, "carol", s256), LOGIN_WRONG);
    assert_int_equal(SCRAM("carol", plus, .mechanism = MECHANISM_SCRAM_SHA_256_PLUS), LOGIN_OK);
    assert_int_equal(SCRAM("carol", plus, S256), LOGIN_WRONG);
    assert_int_equal(plain(h, "carol", old), LOGIN_OK);
    assert_int_equal(digest(h, "carol", old, MECHANISM_APOP, true), LOGIN_OK);
    assert_int_equal(digest(h, "carol", old, MECHANISM_CRAM_MD5, true), LOGIN_WRONG);
    assert_int_equal(SCRAM("carol", old, S256), LOGIN_WRONG);
    assert_int_equal(digest(h, "carol", cram, MECHANISM_CRAM_MD5, true), LOGIN_OK);
    assert_int_equal(SCRAM("carol", here, S256, .peer = LAN), LOGIN_WRONG);
    assert_int_equal(SCRAM("carol", here, S256, .peer = "203.0.113.9"), LOGIN_OK);
}

static struct network *one_network(struct house *h, const char *text, struct networks *out)
{
    struct network *row = arena_take(&h->settings->arena, sizeof *row);
    assert_ok(network_parse(slice_of(text), row));
    *out = (struct networks){ row, 1 };
    return row;
}

static void test_C110_without_tls(void **state)
{
    struct house *h = *state;
    house_stop(h);
    one_network(h, "198.51.100.0/24", &h->settings->legacy_networks);
    house_start(h);
    const char *secret = DEVICE("carol@our.test", "copier", .rights = RIGHTS_ALL);
    struct ask key = { .kind = ASK_DEVICE_ADD, .fd = -1,
        .device_add = { .address = S("carol@our.test"), .name = S("key"), .key = S("0123456789abcdef0123456789abcdef"), .rights = RIGHTS_ALL } };
    assert_ok(house_ask(h, END_CTL, 0, &key).status);
    /* Devices in their lane, people nowhere. */
    assert_int_equal(SCRAM("carol", secret, S256, .cleartext = true, .peer = OTHER), LOGIN_OK);
    assert_int_equal(SCRAM("carol", secret, S1, .cleartext = true, .device_only = true, .peer = OTHER), LOGIN_OK);
    assert_int_equal(SCRAM("carol", secret, S256, .cleartext = true, .peer = LAN), LOGIN_WRONG);
    assert_int_equal(SCRAM("carol", "secret-carol", S256, .cleartext = true, .peer = OTHER), LOGIN_WRONG);
    assert_int_equal(SCRAM("carol", "secret-carol", S256, .device_only = true, .peer = OTHER), LOGIN_WRONG);
    assert_int_equal(digest(h, "carol", secret, MECHANISM_CRAM_MD5, false), LOGIN_WRONG); /* from LAN */
    struct ask external = { .kind = ASK_LOGIN_KEY, .fd = -1,
        .login_key = { .key = S("0123456789abcdef0123456789abcdef"),
            .from = { .session = S("s"), .peer = house_ip(OTHER), .protocol = PROTOCOL_POP3, .mechanism = MECHANISM_EXTERNAL } } };
    assert_int_equal(house_ask(h, END_USER, fresh(), &external).login.verdict, LOGIN_WRONG);
    external.login_key.from.encrypted = 1;
    external.login_key.from.device_only = 1; /* TLS 1.0 */
    assert_int_equal(house_ask(h, END_USER, fresh(), &external).login.verdict, LOGIN_WRONG);
    external.login_key.from.device_only = 0;
    assert_int_equal(house_ask(h, END_USER, fresh(), &external).login.verdict, LOGIN_OK);
    house_stop(h);
    one_network(h, "192.0.2.0/24", &h->settings->auth_plaintext_networks);
    house_start(h);
    assert_int_equal(SCRAM("carol", "secret-carol", S256, .cleartext = true, .peer = LAN), LOGIN_OK);
    assert_int_equal(digest(h, "carol", secret, MECHANISM_CRAM_MD5, false), LOGIN_OK);
}

static void test_lease_alone_shows_an_empty_maildrop(void **state)
{
    struct house *h = *state;
    const char *secret = DEVICE("carol@our.test", "copier", .rights = RIGHT_LEASE);
    assert_int_equal(house_deliver(h, END_MX, 1, "x@else.test", "carol@our.test", NULL, "kept\r\n").deliver.verdict, MAIL_OK);
    struct answer_login login = house_login(h, END_USER, 800, "carol", secret, PROTOCOL_POP3, LAN);
    assert_int_equal(login.verdict, LOGIN_OK);
    assert_int_equal(login.lease, 1);
    assert_int_equal(house_messages(h, 800), 0);
    struct ask fetch = { .kind = ASK_FETCH, .fd = -1, .fetch = { .uid = 1 } };
    assert_status(STATUS_DENIED, house_ask(h, END_USER, 800, &fetch).status);
    struct uid_range all = { 1, UINT32_MAX };
    struct ask expunge = { .kind = ASK_EXPUNGE, .fd = -1, .expunge = { { &all, 1 } } };
    assert_status(STATUS_DENIED, house_ask(h, END_USER, 800, &expunge).status);
    assert_int_equal(house_login(h, END_USER, 801, "carol", secret, PROTOCOL_SMTP, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(house_login(h, END_USER, 802, "carol", secret, PROTOCOL_IMAP, LAN).verdict, LOGIN_WRONG);
    assert_int_equal(house_login(h, END_USER, 803, "carol", "secret-carol", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    assert_int_equal(house_messages(h, 803), 1);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static struct ask key_of(const char *key, const char *authzid)
{
    return (struct ask){ .kind = ASK_LOGIN_KEY, .fd = -1,
        .login_key = { .authzid = slice_of(authzid), .key = slice_of(key),
            .from = { .session = S("s"), .peer = house_ip(LAN), .protocol = PROTOCOL_SMTP, .mechanism = MECHANISM_EXTERNAL, .encrypted = 1 } } };
}

static void test_keys(void **state)
{
    struct house *h = *state;
    static const char one[] = "0123456789abcdef0123456789abcdef", other[] = "0123456789abcdef0123456789abcdeg";
    struct ask add = { .kind = ASK_DEVICE_ADD, .fd = -1,
        .device_add = { .address = S("carol@our.test"), .name = S("laptop"), .key = slice_of(one), .rights = RIGHTS_ALL, .mechanisms = 1u << MECHANISM_PLAIN } };
    assert_status(STATUS_MALFORMED, house_ask(h, END_CTL, 0, &add).status);
    add.device_add.mechanisms = 0;
    struct answer added = house_ask(h, END_CTL, 0, &add);
    assert_ok(added.status);
    assert_int_equal(added.device_add.secret.len, 0);
    add.device_add.address = S("bob@our.test");
    assert_status(STATUS_EXISTS, house_ask(h, END_CTL, 0, &add).status);
    add.device_add.key = S("short");
    assert_status(STATUS_MALFORMED, house_ask(h, END_CTL, 0, &add).status);
    struct ask list = { .kind = ASK_DEVICE_LIST, .fd = -1 };
    struct answer devices = house_ask(h, END_CTL, 0, &list);
    assert_int_equal(devices.device_list.rows.count, 1);
    assert_text(one, row_of(struct device_row, devices.device_list.rows, 0)->key);
    struct ask login = key_of(one, "");
    struct answer answer = house_ask(h, END_USER, fresh(), &login);
    assert_int_equal(answer.login.verdict, LOGIN_OK);
    assert_text("carol@our.test", answer.login.address);
    login = key_of(other, "");
    assert_int_equal(house_ask(h, END_USER, fresh(), &login).login.verdict, LOGIN_WRONG);
    login = key_of(other, "carol@our.test");
    assert_int_equal(house_ask(h, END_USER, fresh(), &login).login.verdict, LOGIN_WRONG);
    login = key_of(one, "bob@our.test");
    assert_int_equal(house_ask(h, END_USER, fresh(), &login).login.verdict, LOGIN_WRONG);
    login = key_of(one, "carol");
    assert_int_equal(house_ask(h, END_USER, fresh(), &login).login.verdict, LOGIN_OK);
    /* No secret goes with it, not even an empty one. */
    assert_int_equal(plain(h, "carol", ""), LOGIN_WRONG);
    assert_int_equal(SCRAM("carol", "", S256), LOGIN_WRONG);
    assert_int_equal(digest(h, "carol", "", MECHANISM_CRAM_MD5, true), LOGIN_WRONG);
    house_stop(h);
    h->settings->auth_client_certificates = false; /* whatever a gate says */
    house_start(h);
    assert_int_equal(house_ask(h, END_USER, fresh(), &login).login.verdict, LOGIN_WRONG);
    house_stop(h);
    h->settings->auth_client_certificates = true;
    house_start(h);
    assert_int_equal(house_ask(h, END_USER, fresh(), &login).login.verdict, LOGIN_OK);
    struct ask revoke = { .kind = ASK_DEVICE_REVOKE, .fd = -1, .device_revoke = { S("carol@our.test"), S("laptop") } };
    assert_ok(house_ask(h, END_CTL, 0, &revoke).status);
    assert_int_equal(house_ask(h, END_USER, fresh(), &login).login.verdict, LOGIN_WRONG);
}

/* ---- changes ----------------------------------------------------------------------------------------------------- */

static void test_C093_a_new_password_ends_the_old_one(void **state)
{
    struct house *h = *state;
    const char *secret = DEVICE("alice@our.test", "phone", .rights = RIGHTS_ALL);
    assert_int_equal(client_scram(h, END_USER, 900, &(struct scram_try){ "alice", "secret-alice", S256 }).login.verdict, LOGIN_OK);
    struct answer_scram half = begin(h, 901, "alice", MECHANISM_SCRAM_SHA_256);
    assert_ok(set_password(h, "alice@our.test", "another", false));
    struct ask list = { .kind = ASK_DROP_LIST, .fd = -1 };
    assert_status(STATUS_REVOKED, house_ask(h, END_USER, 900, &list).status);
    struct scram_try old = { "alice", "secret-alice", S256 };
    assert_int_equal(client_scram_proof(h, END_USER, 901, &old, &half).login.verdict, LOGIN_WRONG);
    assert_int_equal(SCRAM("alice", "secret-alice", S256), LOGIN_WRONG);
    assert_int_equal(SCRAM("alice", "another", S256), LOGIN_OK);
    assert_int_equal(SCRAM("alice", secret, S256), LOGIN_OK);
    struct ask revoke = { .kind = ASK_DEVICE_REVOKE, .fd = -1, .device_revoke = { S("alice@our.test"), NO_SLICE } };
    assert_ok(house_ask(h, END_CTL, 0, &revoke).status);
    assert_int_equal(SCRAM("alice", secret, S256), LOGIN_WRONG);
}

/* With other rounds all keys of an account are made anew: a proof is tried against each of them. */
static void test_cost_grows_and_sessions_live_on(void **state)
{
    struct house *h = *state;
    const char *secret = DEVICE("alice@our.test", "phone", .rights = RIGHTS_ALL), *bobs = DEVICE("bob@our.test", "phone", .rights = RIGHTS_ALL);
    house_stop(h);
    h->settings->auth_hash_cost = 2;
    house_start(h);
    /* What has the old rounds is asked for with them. */
    assert_int_equal(begin(h, fresh(), "alice", MECHANISM_SCRAM_SHA_256).rounds, 4096);
    assert_int_equal(begin(h, fresh(), "nobody", MECHANISM_SCRAM_SHA_256).rounds, 4096); /* C075: all have them */
    assert_int_equal(SCRAM("alice", "secret-alice", S256), LOGIN_OK);
    uint64_t session = fresh();
    assert_int_equal(house_login(h, END_USER, session, "alice", "secret-alice", PROTOCOL_POP3, LAN).verdict, LOGIN_OK);
    for (int i = 0; i < 400 && begin(h, fresh(), "alice", MECHANISM_SCRAM_SHA_256).rounds == 4096; i++)
        usleep(5000);
    assert_int_equal(begin(h, fresh(), "alice", MECHANISM_SCRAM_SHA_256).rounds, 10000);
    assert_int_equal(house_messages(h, session), 0); /* the session is still hers */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(SCRAM("alice", "secret-alice", S256), LOGIN_OK);
        assert_int_equal(SCRAM("alice", secret, S256), LOGIN_OK);
        assert_int_equal(SCRAM("alice", secret, S1), LOGIN_OK);
        restart(h);
    }
    assert_ok(set_password(h, "bob@our.test", "another", false));
    assert_int_equal(SCRAM("bob", bobs, S256), LOGIN_OK);
    assert_int_equal(SCRAM("bob", "another", S256), LOGIN_OK);
}

/* What stood in the store before there was SCRAM. */
static void test_old_stores(void **state)
{
    struct house *h = *state;
    const char *secret = DEVICE("alice@our.test", "phone", .rights = RIGHTS_ALL);
    uint32_t alice = house_login(h, END_USER, fresh(), "alice", "secret-alice", PROTOCOL_POP3, LAN).account;
    house_stop(h);
    struct store *store;
    struct buf why = BUF(256);
    char verifier[VAULT_VERIFIER];
    assert_ok(store_open(&(struct store_plan){ .dir = h->dir, .mode = STORE_WRITER }, &store, &why));
    assert_ok(vault_hash(1, S("secret-alice"), verifier));
    assert_ok(store->verbs->begin(store));
    assert_ok(store->verbs->account_password(store, alice, slice_of(verifier), NO_SLICE));
    struct store_device device = { .id = 1 };
    struct store_rehash bare = { .account = alice, .expected = slice_of(verifier), .password = slice_of(verifier), .devices = &device, .device_count = 1 };
    assert_ok(store->verbs->account_rehash(store, &bare));
    assert_ok(store->verbs->commit(store));
    store_close(store);
    buf_done(&why);
    house_start(h);
    struct answer_scram known = begin(h, fresh(), "alice", MECHANISM_SCRAM_SHA_256), unknown = begin(h, fresh(), "nobody", MECHANISM_SCRAM_SHA_256);
    assert_int_equal(known.rounds, unknown.rounds);
    assert_int_equal(known.salt.len, unknown.salt.len);
    assert_int_equal(SCRAM("alice", "secret-alice", S256), LOGIN_WRONG); /* nothing to check it against, but ... */
    assert_int_equal(SCRAM("alice", secret, S256), LOGIN_OK);            /* ... a device's secret is sealed here */
    assert_int_equal(plain(h, "alice", "secret-alice"), LOGIN_OK);
    restart(h);
    assert_int_equal(SCRAM("alice", "secret-alice", S256), LOGIN_OK);
    assert_int_equal(SCRAM("alice", secret, S256), LOGIN_OK);
    assert_int_equal(SCRAM("alice", secret, S1), LOGIN_OK);
}

/* ---- hashes from elsewhere --------------------------------------------------------------------------------------- */

static void test_imported_hashes(void **state)
{
    struct house *h = *state;
    char made[VAULT_VERIFIER] = "";
    static const struct {
        const char *prefix, *scheme;
        unsigned long count;
    } kinds[] = { { "$6$", "{SHA512-CRYPT}", 0 }, { "$5$", "", 2000 }, { "$1$", "{MD5-CRYPT}", 0 }, { "$2b$", "{BLF-CRYPT}", 4 }, { "$2y$", "", 4 },
        { "$y$", "", 1 }, { "$y$", "{CRYPT}", 5 }, { "$gy$", "", 1 }, { "$7$", "", 6 }, { "$sha1", "", 1000 }, { "", "{DES-CRYPT}", 0 } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        client_crypt("from elsewhere", kinds[i].prefix, kinds[i].count, made);
        char typed[VAULT_VERIFIER + 16];
        snprintf(typed, sizeof typed, "%s%s", kinds[i].scheme, made);
        assert_ok(set_password(h, "bob@our.test", typed, true));
        assert_int_equal(SCRAM("bob", "from elsewhere", S256), LOGIN_WRONG);
        assert_int_equal(plain(h, "bob", "nothing from elsewhere"), LOGIN_WRONG);
        assert_int_equal(plain(h, "bob", typed), LOGIN_WRONG);
        assert_int_equal(plain(h, "bob", "secret-bob"), LOGIN_WRONG);
        assert_int_equal(plain(h, "bob", "from elsewhere"), LOGIN_OK);
        restart(h); /* by then it is one of ours */
        assert_int_equal(SCRAM("bob", "from elsewhere", S256), LOGIN_OK);
        assert_int_equal(plain(h, "bob", "from elsewhere"), LOGIN_OK);
        assert_true(slice_starts(directory_find(&h->keeper->directory, S("bob@our.test"))->password, S("$argon2id$")));
    }
    /* Argon2 as others make it. */
    assert_int_equal(crypto_pwhash_str_alg(made, "from elsewhere", 14, 3, 65536, crypto_pwhash_ALG_ARGON2I13), 0);
    struct ask add = { .kind = ASK_ACCOUNT_ADD, .fd = -1,
        .account_add = { .address = S("dora@our.test"), .secret = slice_of(made), .hashed = 1 } };
    assert_ok(house_ask(h, END_CTL, 0, &add).status);
    assert_int_equal(plain(h, "dora", "from elsewhere"), LOGIN_OK);
    static const char *const bad[] = { "", "secret", "{PLAIN}secret", "$6$saltstring$", "$6$rounds=999999999$saltstring$x", "$argon2id$", "$9$x$y",
        "$2b$31$abcdefghijklmnopqrstuuZ1OnFMYKKmsbUzRNBJ3eqnsm7cMZ6sS" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_status(STATUS_MALFORMED, set_password(h, "bob@our.test", bad[i], true));
}

/* ---- offers ------------------------------------------------------------------------------------------------------ */

static void test_offers_wait_for_a_change(void **state)
{
    struct house *h = *state;
    struct ask ask = { .kind = ASK_OFFERS, .fd = -1 };
    struct answer first = house_ask(h, END_USER, 0, &ask);
    assert_ok(first.status);
    assert_int_not_equal(first.offers.serial, 0);
    assert_int_equal(first.offers.mechanisms, 0);
    ask.offers.known = first.offers.serial;
    uint32_t waiting = house_put(h, END_USER, 0, &ask);
    DEVICE("carol@our.test", "any", .rights = RIGHTS_ALL); /* names none: nothing changes */
    DEVICE("carol@our.test", "cram", .mechanisms = 1u << MECHANISM_CRAM_MD5);
    struct answer second = house_get(h, END_USER, waiting);
    assert_ok(second.status);
    assert_int_equal(second.offers.mechanisms, 1u << MECHANISM_CRAM_MD5);
    assert_int_not_equal(second.offers.serial, first.offers.serial);
    assert_int_equal(house_ask(h, END_MX, 0, &ask).offers.serial, second.offers.serial); /* who is behind hears at once */
    ask.offers.known = second.offers.serial;
    waiting = house_put(h, END_USER, 0, &ask);
    struct ask revoke = { .kind = ASK_DEVICE_REVOKE, .fd = -1, .device_revoke = { S("carol@our.test"), S("cram") } };
    assert_ok(house_ask(h, END_CTL, 0, &revoke).status);
    assert_int_equal(house_get(h, END_USER, waiting).offers.mechanisms, 0);
    ask.offers.known = house_ask(h, END_USER, 0, &(struct ask){ .kind = ASK_OFFERS, .fd = -1 }).offers.serial;
    house_put(h, END_USER, 0, &ask); /* and one waits while the keeper stops */
}

/* auth.mechanisms: the keeper holds to it, too. */
static void test_mechanisms_that_are_switched_off(void **state)
{
    struct house *h = *state;
    struct ask login = { .kind = ASK_LOGIN,
        .fd = -1,
        .login = { S("carol"), S("secret-carol"), NO_SLICE,
            { .session = S("s"), .peer = house_ip(LAN), .protocol = PROTOCOL_SMTP, .mechanism = MECHANISM_PLAIN, .encrypted = 1 } } };
    house_stop(h);
    h->settings->auth_mechanisms = MECHANISMS_ALL & ~(1u << MECHANISM_LOGIN);
    house_start(h);
    assert_int_equal(house_ask(h, END_USER, fresh(), &login).login.verdict, LOGIN_OK);
    login.login.from.mechanism = MECHANISM_LOGIN;
    assert_int_equal(house_ask(h, END_USER, fresh(), &login).login.verdict, LOGIN_WRONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_setup, house_teardown)
        HOUSE(test_scram_of_a_person),
        HOUSE(test_scram_sha_1_of_people_is_a_setting),
        HOUSE(test_passwords_have_one_form),
        HOUSE(test_C075_names_do_not_show),
        HOUSE(test_C073_one_answer_for_all),
        HOUSE(test_C085_a_nonce_is_good_for_one_proof),
        HOUSE(test_C080_a_new_exchange_is_new),
        HOUSE(test_C086_acting_for_another),
        HOUSE(test_C088_lengths_are_bounded),
        HOUSE(test_C084_every_key_is_tried),
        HOUSE(test_rights_of_devices),
        HOUSE(test_C110_without_tls),
        HOUSE(test_lease_alone_shows_an_empty_maildrop),
        HOUSE(test_keys),
        HOUSE(test_C093_a_new_password_ends_the_old_one),
        HOUSE(test_cost_grows_and_sessions_live_on),
        HOUSE(test_old_stores),
        HOUSE(test_imported_hashes),
        HOUSE(test_offers_wait_for_a_change),
        HOUSE(test_mechanisms_that_are_switched_off),
    };
    return cmocka_run_group_tests_name("login", tests, NULL, NULL);
}

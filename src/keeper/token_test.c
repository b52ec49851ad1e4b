/* Logins by token: signed ones with keys that the courier brings, and others that are asked about. */
#include "keeper/test_house.h"
#include "mail/test_token.h"

#define URL    "https://id.test/jwks"
#define ASKED  "https://id.test/introspect"
#define TLS    1
#define LEGACY 2

struct world {
    struct house *house;
    EVP_PKEY *keys[2];
    struct buf set, token;
    uint64_t session;
};

static void put_set(struct buf *out, EVP_PKEY *key, const char *id)
{
    buf_clear(out);
    assert_ok(buf_print(out, "{\"keys\":[{\"kid\":\"%s\",\"use\":\"sig\",", id));
    token_put_jwk(out, key);
    assert_ok(buf_put(out, S("}]}")));
}

static void set_up(struct settings *s, bool keys, bool asks)
{
    s->oauth_jwks = keys ? S(URL) : NO_SLICE;
    s->oauth_introspection = asks ? S(ASKED) : NO_SLICE;
    s->oauth_issuer = S("https://id.test");
    s->oauth_audience = S("ekirei");
    s->oauth_claim = S("email");
    s->oauth_client = S("mail server");
}

static int open_world(void **state, bool keys, bool asks)
{
    struct world *w = alloc(sizeof *w);
    assert_int_equal(house_setup(state), 0);
    w->house = *state;
    house_stop(w->house);
    set_up(w->house->settings, keys, asks);
    house_start(w->house);
    w->set = BUF(65536);
    w->token = BUF(65536);
    for (int i = 0; i < 2; i++)
        w->keys[i] = EVP_EC_gen("P-256");
    put_set(&w->set, w->keys[0], "k0");
    *state = w;
    return 0;
}

static int with_keys(void **state)
{
    return open_world(state, true, false);
}

static int with_questions(void **state)
{
    return open_world(state, false, true);
}

static int with_both(void **state)
{
    return open_world(state, true, true);
}

static int close_world(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 2; i++)
        EVP_PKEY_free(w->keys[i]);
    buf_done(&w->set);
    buf_done(&w->token);
    *state = w->house;
    release(w);
    return house_teardown(state);
}

static struct slice make(struct world *w, int key, const char *id, const char *email, int seconds)
{
    char header[100], payload[300];
    snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", id);
    snprintf(payload, sizeof payload, "{\"iss\":\"https://id.test\",\"aud\":\"ekirei\",\"exp\":%lld,\"email\":\"%s\"}",
        (long long)(clock_wall() / 1000) + seconds, email);
    token_make(&w->token, w->keys[key], "ES256", header, payload);
    return buf_slice(&w->token);
}

static struct ask question(struct slice token, uint8_t protocol)
{
    return (struct ask){ .kind = ASK_LOGIN_TOKEN,
        .fd = -1,
        .login_token = { .token = token,
            .from.session = S("u0-1"),
            .from.peer = house_ip("192.0.2.7"),
            .from.local = house_ip("192.0.2.250"),
            .from.protocol = protocol,
            .from.mechanism = MECHANISM_OAUTHBEARER,
            .from.encrypted = 1 } };
}

/* A login that is under way: each in a session of its own. */
static uint32_t begin(struct world *w, const char *name, struct slice token, int how)
{
    struct ask ask = question(token, PROTOCOL_POP3);
    ask.login_token.name = slice_of(name);
    ask.login_token.from.encrypted = how == TLS;
    ask.login_token.from.device_only = how == LEGACY;
    return house_put(w->house, END_USER, ++w->session, &ask);
}

static struct answer_login end(struct world *w, uint32_t number)
{
    struct answer answer = house_get(w->house, END_USER, number);
    assert_ok(answer.status);
    return answer.login;
}

static uint8_t login(struct world *w, const char *name, struct slice token)
{
    return end(w, begin(w, name, token, TLS)).verdict;
}

static struct answer_errand take_errand(struct world *w)
{
    struct answer answer = house_ask(w->house, END_COURIER, 0, &(struct ask){ .kind = ASK_ERRAND, .fd = -1 });
    assert_ok(answer.status);
    return answer.errand;
}

static void bring(struct world *w, uint64_t id, uint32_t code, struct slice body)
{
    struct ask ask = { .kind = ASK_ERRAND_DONE, .fd = -1, .errand_done = { .id = id, .code = code, .body = body } };
    house_put(w->house, END_COURIER, 0, &ask);
}

/* The first token fetches the keys. */
static void bring_keys(struct world *w)
{
    uint32_t number = begin(w, "", make(w, 0, "k0", "alice@our.test", 60), TLS);
    struct answer_errand errand = take_errand(w);
    assert_int_equal(errand.kind, ERRAND_GET);
    assert_text(URL, errand.url);
    assert_int_equal(errand.form.len, 0);
    assert_int_equal(errand.user.len, 0);
    bring(w, errand.id, 200, buf_slice(&w->set));
    assert_int_equal(end(w, number).verdict, LOGIN_OK);
}

/* ---- signed tokens ------------------------------------------------------------------------------------------------- */

static void a_token_names_its_account(void **state)
{
    struct world *w = *state;
    bring_keys(w);
    struct answer_login answer = end(w, begin(w, "", make(w, 0, "k0", "Alice@OUR.test", 60), TLS));
    assert_int_equal(answer.verdict, LOGIN_OK);
    assert_text("alice@our.test", answer.address);
    assert_int_equal(answer.lease, 1); /* flagged, as for her password */
    answer = end(w, begin(w, "bob", make(w, 0, "k0", "bob@our.test", 60), TLS));
    assert_int_equal(answer.verdict, LOGIN_OK);
    assert_int_equal(answer.lease, 0);
    /* The session is bound to him. */
    assert_int_equal(house_messages(w->house, w->session), 0);
}

static void C086_the_name_must_be_the_tokens(void **state)
{
    struct world *w = *state;
    bring_keys(w);
    assert_int_equal(login(w, "bob@our.test", make(w, 0, "k0", "bob@our.test", 60)), LOGIN_OK);
    assert_int_equal(login(w, "alice@our.test", make(w, 0, "k0", "bob@our.test", 60)), LOGIN_WRONG);
    assert_int_equal(login(w, "nobody@our.test", make(w, 0, "k0", "bob@our.test", 60)), LOGIN_WRONG);
    assert_int_equal(login(w, "nobody@our.test", make(w, 0, "k0", "nobody@our.test", 60)), LOGIN_WRONG);
    assert_int_equal(login(w, "", make(w, 0, "k0", "nobody@our.test", 60)), LOGIN_WRONG);
    assert_int_equal(login(w, "", make(w, 0, "k0", "", 60)), LOGIN_WRONG);
}

static void C089_bad_tokens_open_nothing(void **state)
{
    struct world *w = *state;
    bring_keys(w);
    assert_int_equal(login(w, "", make(w, 0, "k0", "alice@our.test", -1)), LOGIN_WRONG);
    assert_int_equal(login(w, "", make(w, 1, "k0", "alice@our.test", 60)), LOGIN_WRONG);
    struct slice token = make(w, 0, "k0", "alice@our.test", 60);
    assert_int_equal(login(w, "", slice_upto(token, token.len - 2)), LOGIN_WRONG);
    assert_int_equal(login(w, "", slice_upto(token, slice_find_last(token, '.') + 1)), LOGIN_WRONG);
    assert_int_equal(login(w, "", S("opaque")), LOGIN_WRONG);
    assert_int_equal(login(w, "", S("")), LOGIN_WRONG);
    token_make(&w->token, w->keys[0], "ES256", "{\"alg\":\"none\",\"kid\":\"k0\"}", "{\"email\":\"alice@our.test\"}");
    assert_int_equal(login(w, "", buf_slice(&w->token)), LOGIN_WRONG);
    assert_int_equal(house_login(w->house, END_USER, ++w->session, "alice", "secret-alice", PROTOCOL_POP3, "192.0.2.7").verdict, LOGIN_OK);
}

static void tokens_need_TLS(void **state)
{
    struct world *w = *state;
    bring_keys(w);
    assert_int_equal(end(w, begin(w, "", make(w, 0, "k0", "alice@our.test", 60), 0)).verdict, LOGIN_WRONG);
    assert_int_equal(end(w, begin(w, "", make(w, 0, "k0", "alice@our.test", 60), LEGACY)).verdict, LOGIN_WRONG);
}

static void the_disabled_have_no_tokens(void **state)
{
    struct world *w = *state;
    bring_keys(w);
    struct ask ask = { .kind = ASK_ACCOUNT_SET, .fd = -1, .account_set = { .address = S("bob@our.test"), .enabled = 0, .pop_before_smtp = 2 } };
    assert_int_equal(login(w, "", make(w, 0, "k0", "bob@our.test", 60)), LOGIN_OK);
    assert_ok(house_ask(w->house, END_CTL, 0, &ask).status);
    assert_int_equal(login(w, "", make(w, 0, "k0", "bob@our.test", 60)), LOGIN_WRONG);
}

/* ---- key sets ------------------------------------------------------------------------------------------------------ */

static void an_unknown_key_is_looked_for_once(void **state)
{
    struct world *w = *state;
    /* The first fetch brings nothing of use: nobody gets in, and nobody is told that his token is wrong. */
    uint32_t number = begin(w, "", make(w, 0, "k0", "alice@our.test", 60), TLS);
    bring(w, take_errand(w).id, 200, S("<html>no keys today</html>"));
    assert_int_equal(end(w, number).verdict, LOGIN_BUSY);
    /* And is not repeated for the next minute, whoever comes. */
    assert_int_equal(login(w, "", make(w, 0, "k0", "alice@our.test", 60)), LOGIN_BUSY);
}

static void the_last_good_set_is_kept(void **state)
{
    struct world *w = *state;
    bring_keys(w);
    uint32_t number = begin(w, "", make(w, 1, "k1", "alice@our.test", 60), TLS);
    struct answer_errand errand = take_errand(w);
    assert_int_equal(errand.kind, ERRAND_GET);
    bring(w, errand.id, 503, buf_slice(&w->set));
    assert_int_equal(end(w, number).verdict, LOGIN_WRONG);
    assert_int_equal(login(w, "", make(w, 0, "k0", "alice@our.test", 60)), LOGIN_OK);
    /* For the next minute unknown keys cost the issuer nothing. */
    assert_int_equal(login(w, "", make(w, 1, "k1", "alice@our.test", 60)), LOGIN_WRONG);
    assert_int_equal(login(w, "", make(w, 1, "k2", "alice@our.test", 60)), LOGIN_WRONG);
    /* A second answer to the same errand is nobody's. */
    put_set(&w->set, w->keys[1], "k1");
    bring(w, errand.id, 200, buf_slice(&w->set));
    assert_int_equal(login(w, "", make(w, 1, "k1", "alice@our.test", 60)), LOGIN_WRONG);
    assert_int_equal(login(w, "", make(w, 0, "k0", "alice@our.test", 60)), LOGIN_OK);
}

static void keys_are_changed_by_their_owner(void **state)
{
    struct world *w = *state;
    bring_keys(w);
    put_set(&w->set, w->keys[1], "k1");
    uint32_t number = begin(w, "", make(w, 1, "k1", "alice@our.test", 60), TLS);
    bring(w, take_errand(w).id, 200, buf_slice(&w->set));
    assert_int_equal(end(w, number).verdict, LOGIN_OK);
    assert_int_equal(login(w, "", make(w, 0, "k0", "alice@our.test", 60)), LOGIN_WRONG);
}

/* ---- introspection ------------------------------------------------------------------------------------------------- */

static uint8_t asked(struct world *w, const char *name, struct slice token, uint32_t code, struct slice body)
{
    uint32_t number = begin(w, name, token, TLS);
    struct answer_errand errand = take_errand(w);
    assert_int_equal(errand.kind, ERRAND_FORM);
    assert_text(ASKED, errand.url);
    assert_text("mail%20server", errand.user);
    bring(w, errand.id, code, body);
    return end(w, number).verdict;
}

static void others_are_asked_about(void **state)
{
    struct world *w = *state;
    uint32_t number = begin(w, "", S("a/b+c=&token=x"), TLS);
    struct answer_errand errand = take_errand(w);
    assert_text("token_type_hint=access_token&token=a%2Fb%2Bc%3D%26token%3Dx", errand.form);
    bring(w, errand.id, 200, S("{\"active\":true,\"email\":\"alice@our.test\"}"));
    assert_int_equal(end(w, number).verdict, LOGIN_OK);
    /* Known for a minute; and for her alone. */
    assert_int_equal(login(w, "", S("a/b+c=&token=x")), LOGIN_OK);
    assert_int_equal(login(w, "bob@our.test", S("a/b+c=&token=x")), LOGIN_WRONG);
}

static void C089_only_a_good_answer_lets_in(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *body;
        uint32_t code;
        uint8_t verdict;
    } rows[] = {
        { "{\"active\":false}", 200, LOGIN_WRONG },
        { "{\"active\":false,\"email\":\"alice@our.test\"}", 200, LOGIN_WRONG },
        { "{\"active\":true,\"email\":\"nobody@our.test\"}", 200, LOGIN_WRONG },
        { "{\"active\":true,\"email\":\"alice@our.test\",\"exp\":1}", 200, LOGIN_WRONG },
        { "{\"active\":true,\"email\":\"alice@our.test\",\"aud\":\"other\"}", 200, LOGIN_WRONG },
        { "", 200, LOGIN_WRONG },
        { "{\"active\":true,\"email\":\"alice@our.test\"}", 500, LOGIN_BUSY },
        { "{\"active\":true,\"email\":\"alice@our.test\"}", 401, LOGIN_BUSY },
        { "{\"active\":true,\"email\":\"alice@our.test\"}", 302, LOGIN_BUSY },
        { "", 0, LOGIN_BUSY },
    };
    /* The same token each time: what was not good is not remembered. */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(asked(w, "", S("opaque"), rows[i].code, slice_of(rows[i].body)), rows[i].verdict);
    assert_int_equal(asked(w, "alice", S("opaque"), 200, S("{\"active\":true,\"email\":\"alice@our.test\"}")), LOGIN_OK);
}

static void signed_tokens_are_not_asked_about(void **state)
{
    struct world *w = *state;
    bring_keys(w);
    assert_int_equal(login(w, "", make(w, 1, "k0", "alice@our.test", 60)), LOGIN_WRONG);
    assert_int_equal(asked(w, "", S("opaque"), 200, S("{\"active\":true,\"email\":\"bob@our.test\"}")), LOGIN_OK);
}

static void C088_few_wait_at_once(void **state)
{
    struct world *w = *state;
    enum { SHARE = LIMIT_TOKENS_WAITING / 2, OF_STRANGERS = SHARE - SHARE / 4 };
    uint32_t numbers[SHARE];
    char token[20];
    assert_int_equal(house_login(w->house, END_USER, 1000, "alice", "secret-alice", PROTOCOL_POP3, "192.0.2.7").verdict, LOGIN_OK);
    for (unsigned i = 0; i < SHARE; i++) {
        snprintf(token, sizeof token, "opaque-%u", i);
        if (i == OF_STRANGERS)
            assert_int_equal(login(w, "", S("one-more")), LOGIN_BUSY);
        /* The rest is for those who were here before. */
        numbers[i] = begin(w, i < OF_STRANGERS ? "" : "alice", slice_of(token), TLS);
    }
    assert_int_equal(login(w, "alice", S("one-more")), LOGIN_BUSY);
    /* The other gate has places of its own. */
    struct ask ask = question(S("of-another"), PROTOCOL_SMTP);
    uint32_t other = house_put(w->house, END_MX, 1, &ask);
    for (unsigned i = 0; i < SHARE; i++)
        bring(w, take_errand(w).id, 200, S("{\"active\":true,\"email\":\"alice@our.test\"}"));
    struct answer_errand errand = take_errand(w);
    assert_true(slice_has(errand.form, S("of-another")));
    bring(w, errand.id, 200, S("{\"active\":true,\"email\":\"bob@our.test\"}"));
    assert_int_equal(house_get(w->house, END_MX, other).login.verdict, LOGIN_OK);
    for (unsigned i = 0; i < SHARE; i++)
        assert_int_equal(end(w, numbers[i]).verdict, LOGIN_OK);
}

/* Sessions that end while they wait, and a keeper that stops, leave nothing behind. */
static void who_waits_may_go(void **state)
{
    struct world *w = *state;
    uint32_t number = begin(w, "", S("opaque"), TLS);
    struct ask over = { .kind = ASK_END_SESSION, .fd = -1 };
    house_put(w->house, END_USER, w->session, &over);
    bring(w, take_errand(w).id, 200, S("{\"active\":true,\"email\":\"alice@our.test\"}"));
    assert_status(STATUS_DENIED, house_get(w->house, END_USER, number).status);
    begin(w, "", S("other"), TLS);
    (void)take_errand(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_names_its_account, with_keys, close_world),
        cmocka_unit_test_setup_teardown(C086_the_name_must_be_the_tokens, with_keys, close_world),
        cmocka_unit_test_setup_teardown(C089_bad_tokens_open_nothing, with_keys, close_world),
        cmocka_unit_test_setup_teardown(tokens_need_TLS, with_keys, close_world),
        cmocka_unit_test_setup_teardown(the_disabled_have_no_tokens, with_keys, close_world),
        cmocka_unit_test_setup_teardown(an_unknown_key_is_looked_for_once, with_keys, close_world),
        cmocka_unit_test_setup_teardown(the_last_good_set_is_kept, with_keys, close_world),
        cmocka_unit_test_setup_teardown(keys_are_changed_by_their_owner, with_keys, close_world),
        cmocka_unit_test_setup_teardown(others_are_asked_about, with_questions, close_world),
        cmocka_unit_test_setup_teardown(C089_only_a_good_answer_lets_in, with_questions, close_world),
        cmocka_unit_test_setup_teardown(signed_tokens_are_not_asked_about, with_both, close_world),
        cmocka_unit_test_setup_teardown(C088_few_wait_at_once, with_questions, close_world),
        cmocka_unit_test_setup_teardown(who_waits_may_go, with_questions, close_world),
    };
    vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* libgsasl's client on one side, our steps on the other: whoever reads the RFCs differently than they do is seen here. */
#include <gsasl.h>

#include "proto/sasl_keeper_testing.h"

static struct test_keeper keeper = { .password = "p,w=\xc3\xbc", .salt = { "0123456789abcdef", 16 }, .nonce = { "server%nonce", 12 },
    .rounds = 4096 };

struct client {
    const char *password;
    struct slice exporter, unique; /* what it believes to be its channel */
};

static int callback(Gsasl *context, Gsasl_session *session, Gsasl_property property)
{
    const struct client *client = gsasl_callback_hook_get(context);
    struct slice binding = property == GSASL_CB_TLS_EXPORTER ? client->exporter : property == GSASL_CB_TLS_UNIQUE ? client->unique : NO_SLICE;
    if (binding.len > 0) {
        struct slice text = base64(binding);
        return gsasl_property_set_raw(session, property, text.ptr, text.len);
    }
    switch (property) {
    case GSASL_AUTHID:
        return gsasl_property_set(session, property, "us=er,one");
    case GSASL_PASSWORD:
        return gsasl_property_set(session, property, client->password);
    default:
        return GSASL_NO_CALLBACK;
    }
}

static Gsasl_session *open_client(Gsasl *context, const char *mechanism)
{
    Gsasl_session *session = NULL;
    assert_int_equal(gsasl_client_start(context, mechanism, &session), GSASL_OK);
    return session;
}

/* base64() leaves no NUL behind its text: gsasl wants one. */
static int client_says(Gsasl_session *session, struct slice challenge_text, char **out_line)
{
    struct buf text = BUF(65536);
    assert_ok(buf_put(&text, challenge_text));
    assert_ok(buf_put_byte(&text, '\0'));
    int code = gsasl_step64(session, text.ptr, out_line);
    buf_done(&text);
    return code;
}

/* Until we are done, or the client does not want to go on.  True: both are content. */
static bool talk(const char *mechanism, struct client client)
{
    Gsasl *context = NULL;
    assert_int_equal(gsasl_init(&context), GSASL_OK);
    gsasl_callback_hook_set(context, &client);
    gsasl_callback_set(context, callback);
    Gsasl_session *session = open_client(context, mechanism);
    enum sasl_outcome outcome = start_empty(mechanism);
    int code = GSASL_NEEDS_MORE, steps = 0;
    while (outcome == SASL_CHALLENGE && steps++ < 10) {
        char *line = NULL;
        code = client_says(session, sasl.challenge, &line);
        if (code != GSASL_OK && code != GSASL_NEEDS_MORE)
            break;
        outcome = sasl_step(&sasl, slice_of(line));
        gsasl_free(line);
        if (outcome == SASL_ASK)
            outcome = keeper_answers(&keeper);
    }
    gsasl_finish(session);
    gsasl_done(context);
    assert_true(steps < 10);
    assert_int_not_equal(outcome, SASL_MALFORMED);
    return outcome == SASL_DONE && sasl.verdict == LOGIN_OK && code == GSASL_OK;
}

static void passwords_and_digests(void **state)
{
    static const char *const names[] = { "PLAIN", "LOGIN", "CRAM-MD5" };
    for (size_t i = 0; i < COUNT(names); i++) {
        fresh(state);
        assert_true(talk(names[i], (struct client){ .password = keeper.password }));
        assert_text(sasl.name, "us=er,one");
        fresh(state);
        assert_false(talk(names[i], (struct client){ .password = "wrong" }));
        assert_int_equal(sasl.verdict, LOGIN_WRONG);
    }
}

static void scram(void **state)
{
    static const char *const names[] = { "SCRAM-SHA-1", "SCRAM-SHA-256" };
    for (size_t i = 0; i < COUNT(names); i++) {
        fresh(state);
        assert_true(talk(names[i], (struct client){ .password = keeper.password }));
        assert_text(sasl.name, "us=er,one");
        fresh(state);
        assert_false(talk(names[i], (struct client){ .password = "wrong" }));
        assert_int_equal(sasl.verdict, LOGIN_WRONG);
        assert_string_equal(sasl.why, "invalid-proof");
    }
}

static struct slice make_exporter(void *context)
{
    ++*(int *)context;
    return S("made when it is wanted");
}

static void scram_plus(void **state)
{
    static const char *const names[] = { "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS" };
    for (size_t i = 0; i < COUNT(names); i++) {
        fresh(state);
        assert_true(talk(names[i], (struct client){ .password = keeper.password, .exporter = test_tls.exporter }));
        fresh(state);
        assert_false(talk(names[i], (struct client){ .password = "wrong", .exporter = test_tls.exporter }));
        assert_string_equal(sasl.why, "invalid-proof");
        fresh(state); /* another channel: there is somebody between us */
        assert_false(talk(names[i], (struct client){ .password = keeper.password, .exporter = S("0123456789abcdef0123456789abcdeX") }));
        assert_string_equal(sasl.why, "channel-bindings-dont-match");
        fresh(state); /* made when it is wanted, and no sooner */
        int made = 0;
        test_tls = (struct tls_facts){ .version = S("TLSv1.3"), .export = make_exporter, .context = &made };
        assert_true(sasl_stand(sasl_find(slice_of(names[i])), &scene) >= SASL_ACCEPTED);
        assert_int_equal(made, 0);
        assert_true(talk(names[i], (struct client){ .password = keeper.password, .exporter = S("made when it is wanted") }));
        assert_int_equal(made, 1);
        fresh(state); /* TLS 1.2 */
        test_tls = (struct tls_facts){ .version = S("TLSv1.2"), .unique = S("finished-mac") };
        assert_true(talk(names[i], (struct client){ .password = keeper.password, .unique = test_tls.unique }));
        fresh(state); /* tls-unique in TLS 1.3 */
        assert_false(talk(names[i], (struct client){ .password = keeper.password, .unique = S("finished-mac") }));
        assert_string_equal(sasl.why, "unsupported-channel-binding-type");
    }
}

/* The client checks us as well. */
static void a_server_without_the_key_is_seen(void **state)
{
    (void)state;
    Gsasl *context = NULL;
    struct client client = { .password = keeper.password };
    char *line = NULL;
    assert_int_equal(gsasl_init(&context), GSASL_OK);
    gsasl_callback_hook_set(context, &client);
    gsasl_callback_set(context, callback);
    Gsasl_session *session = open_client(context, "SCRAM-SHA-256");
    assert_int_equal(start_empty("SCRAM-SHA-256"), SASL_CHALLENGE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(client_says(session, sasl.challenge, &line), GSASL_NEEDS_MORE);
        assert_int_equal(sasl_step(&sasl, slice_of(line)), SASL_ASK);
        gsasl_free(line);
        if (i == 0)
            assert_int_equal(keeper_answers(&keeper), SASL_CHALLENGE);
    }
    struct answer answer = { .kind = ASK_LOGIN_SCRAM, .login = { .verdict = LOGIN_OK, .address = S("a@b"),
        .signature = S("0123456789abcdef0123456789abcdef") } };
    assert_int_equal(sasl_answer(&sasl, &answer), SASL_CHALLENGE);
    assert_int_equal(client_says(session, sasl.challenge, &line), GSASL_AUTHENTICATION_ERROR);
    assert_int_equal(sasl_step(&sasl, S("*")), SASL_CANCELLED);
    assert_true(sasl.is_bound);
    gsasl_finish(session);
    gsasl_done(context);
}

static void external(void **state)
{
    (void)state;
    assert_true(talk("EXTERNAL", (struct client){ .password = "" }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(passwords_and_digests), TEST(scram), TEST(scram_plus), TEST(a_server_without_the_key_is_seen), TEST(external),
    };
    return run_group("sasl_gsasl", tests, COUNT(tests));
}

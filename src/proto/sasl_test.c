#include "proto/sasl_testing.h"

static struct slice secret(void) { return secret_slice(&sasl.secret); }

/* ---- PLAIN ------------------------------------------------------------------------------------------------------------- */

static void plain_asks_with_all_it_was_told(void **state)
{
    (void)state;
    assert_int_equal(start("plain", S("\0joe@a.example\0p w\xc3\xbc")), SASL_ASK);
    struct ask ask = filled();
    assert_int_equal(ask.kind, ASK_LOGIN);
    assert_text(ask.login.name, "joe@a.example");
    assert_text(ask.login.secret, "p w\xc3\xbc");
    assert_int_equal(ask.login.authzid.len, 0);
    assert_text(ask.login.from.session, "u0-1a");
    assert_int_equal(ask.login.from.protocol, PROTOCOL_SMTP);
    assert_int_equal(ask.login.from.mechanism, MECHANISM_PLAIN);
    assert_true(ask.login.from.encrypted && !ask.login.from.device_only);
    assert_true(ip_equal(ask.login.from.peer, scene.peer) && ip_equal(ask.login.from.local, scene.local));
    assert_int_equal(start("PLAIN", S("boss\0joe\0pw")), SASL_ASK);
    assert_text(filled().login.authzid, "boss");
    assert_text(filled().login.name, "joe");
}

static void plain_of_rfc_4616_4954_and_5034(void **state)
{
    (void)state;
    static const struct {
        const char *line, *authzid, *name, *password;
    } rows[] = { { "dGVzdAB0ZXN0ADEyMzQ=", "test", "test", "1234" }, { "dGVzdAB0ZXN0AHRlc3Q=", "test", "test", "test" },
        { "AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "", "tim", "tanstaaftanstaaf" }, { "VXJzZWwAS3VydAB4aXBqM3BsbXE=", "Ursel", "Kurt", "xipj3plmq" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(sasl_start(&sasl, sasl_find(S("PLAIN")), &scene, slice_of(rows[i].line), &test_arena), SASL_ASK);
        assert_octets(sasl.authzid, slice_of(rows[i].authzid));
        assert_octets(sasl.name, slice_of(rows[i].name));
        assert_octets(secret(), slice_of(rows[i].password));
    }
}

static void plain_with_an_empty_challenge(void **state)
{
    (void)state;
    assert_int_equal(start_empty("PLAIN"), SASL_CHALLENGE);
    assert_int_equal(sasl.challenge.len, 0);
    assert_int_equal(sasl_step(&sasl, S("AGpvZQBwdw==")), SASL_ASK);
    assert_text(sasl.name, "joe");
}

/* C078, C077: strict base64, exact padding, nothing behind it. */
static void C078_bad_base64_is_malformed(void **state)
{
    (void)state;
    static const struct slice bad[] = { S("===="), S("AGpvZQBwdw="), S("AGpvZQBwdw"), S("AGpvZQBwdw==="), S("AGpv ZQBwdw=="),
        S("AGpvZQBwdw==AAAA"), S("A"), S("AG=vZQBwdw=="), S("AGpvZQBwdw!=") };
    static const char *const names[] = { "PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "OAUTHBEARER", "XOAUTH2", "EXTERNAL" };
    for (size_t n = 0; n < COUNT(names); n++)
        for (size_t i = 0; i < COUNT(bad); i++)
            assert_int_equal(sasl_start(&sasl, sasl_find(slice_of(names[n])), &scene, bad[i], &test_arena), SASL_MALFORMED);
}

/* C086: exactly two NULs, no empty name. */
static void C086_plain_fields_are_not_confused(void **state)
{
    (void)state;
    static const struct slice bad[] = { S("\0joe\0pw\0x"), S("\0joe\0pw\0"), S("\0\0pw"), S("\0joe\0"), S("joe\0pw"), S("joe"), S("") };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(start("PLAIN", bad[i]), SASL_MALFORMED);
}

static void C087_names_are_utf8(void **state)
{
    (void)state;
    static const struct slice bad[] = { S("\0\xff\xfe\0pw"), S("\0joe\0\xc3"), S("\xed\xa0\x80\0joe\0pw"), S("\0jo\re\0pw") };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(start("PLAIN", bad[i]), SASL_MALFORMED);
}

/* C088: too long before any hashing. */
static void C088_long_fields_are_malformed(void **state)
{
    (void)state;
    struct buf message = BUF(8192);
    for (size_t len = LIMIT_SECRET; len <= LIMIT_SECRET + 1; len++) {
        buf_clear(&message);
        assert_ok(buf_put(&message, S("\0joe\0")));
        for (size_t i = 0; i < len; i++)
            assert_ok(buf_put_byte(&message, 'x'));
        assert_int_equal(start("PLAIN", buf_slice(&message)), len <= LIMIT_SECRET ? SASL_ASK : SASL_MALFORMED);
    }
    buf_clear(&message);
    assert_ok(buf_put_byte(&message, '\0'));
    for (size_t i = 0; i < LIMIT_LOGIN_NAME + 1; i++)
        assert_ok(buf_put_byte(&message, 'x'));
    assert_ok(buf_put(&message, S("\0pw")));
    assert_int_equal(start("PLAIN", buf_slice(&message)), SASL_MALFORMED);
    buf_done(&message);
}

/* ---- LOGIN ------------------------------------------------------------------------------------------------------------- */

/* D04: these two prompts and no others. */
static void D04_login_prompts(void **state)
{
    (void)state;
    assert_int_equal(start_empty("LOGIN"), SASL_CHALLENGE);
    assert_text(sasl.challenge, "VXNlcm5hbWU6");
    assert_int_equal(sasl_step(&sasl, S("am9l")), SASL_CHALLENGE);
    assert_text(sasl.challenge, "UGFzc3dvcmQ6");
    assert_int_equal(sasl_step(&sasl, S("cHc=")), SASL_ASK);
    assert_text(filled().login.name, "joe");
    assert_text(filled().login.secret, "pw");
}

/* D03: an initial response is the name. */
static void D03_login_with_initial_response(void **state)
{
    (void)state;
    assert_int_equal(start("login", S("joe")), SASL_CHALLENGE);
    assert_text(sasl.challenge, "UGFzc3dvcmQ6");
    assert_int_equal(sasl_step(&sasl, S("cHc=")), SASL_ASK);
    assert_text(sasl.name, "joe");
}

static void a_star_cancels_and_empty_fields_fail(void **state)
{
    (void)state;
    assert_int_equal(start_empty("LOGIN"), SASL_CHALLENGE);
    assert_int_equal(sasl_step(&sasl, S("*")), SASL_CANCELLED);
    assert_int_equal(start_empty("LOGIN"), SASL_CHALLENGE);
    assert_int_equal(sasl_step(&sasl, S("")), SASL_MALFORMED);
    assert_int_equal(start("LOGIN", S("")), SASL_MALFORMED);
}

/* ---- CRAM-MD5, APOP, USER and PASS ------------------------------------------------------------------------------------------ */

/* RFC 2195 2: the form of a msg-id; C085: never the same. */
static void C085_every_challenge_is_new(void **state)
{
    (void)state;
    char seen[64][128] = { { 0 } };
    for (size_t i = 0; i < COUNT(seen); i++) {
        assert_int_equal(start_empty("CRAM-MD5"), SASL_CHALLENGE);
        struct slice stamp = challenge();
        assert_true(stamp.len < sizeof seen[0] && slice_starts(stamp, S("<u0-1a.")) && slice_ends_nocase(stamp, S("@mail.example.test>")));
        assert_octets(sasl.stamp, stamp);
        memcpy(seen[i], stamp.ptr, stamp.len);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(seen[i], seen[j]);
        arena_reset(&test_arena);
    }
}

static void cram_md5_of_rfc_2195_and_4954(void **state)
{
    (void)state;
    assert_int_equal(start_empty("CRAM-MD5"), SASL_CHALLENGE);
    assert_int_equal(sasl_step(&sasl, S("dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw")), SASL_ASK);
    struct ask ask = filled();
    assert_int_equal(ask.kind, ASK_LOGIN_DIGEST);
    assert_text(ask.login_digest.name, "tim");
    assert_text(ask.login_digest.digest, "\xb9\x13\xa6\x02\xc7\xed\xa7\xa4\x95\xb4\xe6\xe7\x33\x4d\x38\x90");
    assert_octets(ask.login_digest.challenge, sasl.stamp);
    assert_int_equal(ask.login_digest.from.mechanism, MECHANISM_CRAM_MD5);
    assert_int_equal(start_empty("CRAM-MD5"), SASL_CHALLENGE);
    assert_int_equal(sasl_step(&sasl, S("cmpzMyBlYzNhNTlmZWQzOTVhYmExZWM2MzY3YzRmNGI0MWFjMA==")), SASL_ASK);
    assert_text(sasl.name, "rjs3");
}

/* A name may hold spaces; the digest is what stands behind the last. */
static void cram_md5_fields(void **state)
{
    (void)state;
    static const struct slice bad[] = { S("tim"), S("tim "), S(" b913a602c7eda7a495b4e6e7334d3890"), S("tim b913a602c7eda7a495b4e6e7334d389"),
        S("tim b913a602c7eda7a495b4e6e7334d38900"), S("tim b913a602c7eda7a495b4e6e7334d389g"), S("tim b913a602c7eda7a495b4e6e7334d3890 "),
        S("t\0im b913a602c7eda7a495b4e6e7334d3890"), S("\xff b913a602c7eda7a495b4e6e7334d3890"), S("") };
    assert_int_equal(start_empty("CRAM-MD5"), SASL_CHALLENGE);
    assert_int_equal(step(S("tim the first b913a602c7eda7a495b4e6e7334d3890")), SASL_ASK);
    assert_text(sasl.name, "tim the first");
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(start_empty("CRAM-MD5"), SASL_CHALLENGE);
        assert_int_equal(step(bad[i]), SASL_MALFORMED);
    }
}

/* RFC 4954 4, RFC 5034 4. */
static void an_initial_response_where_the_server_speaks_first_is_refused(void **state)
{
    (void)state;
    assert_int_equal(start("CRAM-MD5", S("tim b913a602c7eda7a495b4e6e7334d3890")), SASL_TOO_EARLY);
    assert_int_equal(start("CRAM-MD5", S("")), SASL_TOO_EARLY);
}

static void apop_of_rfc_1939(void **state)
{
    (void)state;
    struct slice stamp = S("<1896.697170952@dbc.mtview.ca.us>");
    scene.protocol = PROTOCOL_POP3;
    assert_int_equal(sasl_apop(&sasl, &scene, S("mrose"), stamp, S("c4c9334bac560ecc979e58001b3e22fb"), &test_arena), SASL_ASK);
    struct ask ask = filled();
    assert_int_equal(ask.kind, ASK_LOGIN_DIGEST);
    assert_octets(ask.login_digest.challenge, stamp);
    assert_int_equal(ask.login_digest.digest.len, 16);
    assert_int_equal(ask.login_digest.from.mechanism, MECHANISM_APOP);
    assert_int_equal(sasl_apop(&sasl, &scene, S("mrose"), stamp, S("c4c9334bac560ecc979e58001b3e22f"), &test_arena), SASL_MALFORMED);
    assert_int_equal(sasl_apop(&sasl, &scene, S("m\xff"), stamp, S("c4c9334bac560ecc979e58001b3e22fb"), &test_arena), SASL_MALFORMED);
}

static void passwords_that_are_nobodys_are_wrong_at_once(void **state)
{
    (void)state;
    scene.protocol = PROTOCOL_POP3;
    assert_int_equal(sasl_password(&sasl, &scene, S("joe"), S("p w"), &test_arena), SASL_ASK);
    assert_int_equal(filled().login.from.mechanism, MECHANISM_PASSWORD);
    assert_int_equal(sasl_password(&sasl, &scene, S("joe"), S("\xff"), &test_arena), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_WRONG);
}

/* ---- EXTERNAL ---------------------------------------------------------------------------------------------------------- */

/* RFC 4422 A.1; C067: it is the key that counts, and there is one. */
static void C067_external_asks_for_the_key(void **state)
{
    (void)state;
    assert_int_equal(start("EXTERNAL", S("")), SASL_ASK);
    struct ask ask = filled();
    assert_int_equal(ask.kind, ASK_LOGIN_KEY);
    assert_octets(ask.login_key.key, test_tls.peer_key);
    assert_int_equal(ask.login_key.authzid.len, 0);
    assert_int_equal(start_empty("EXTERNAL"), SASL_CHALLENGE);
    assert_int_equal(sasl.challenge.len, 0);
    assert_int_equal(step(S("joe@a.example")), SASL_ASK);
    assert_text(filled().login_key.authzid, "joe@a.example");
    assert_int_equal(start_empty("EXTERNAL"), SASL_CHALLENGE);
    assert_int_equal(sasl_step(&sasl, S("")), SASL_ASK);
    assert_int_equal(start("EXTERNAL", S("jo\0e")), SASL_MALFORMED);
    assert_int_equal(start("EXTERNAL", S("\xc3")), SASL_MALFORMED);
}

/* ---- how it ends ---------------------------------------------------------------------------------------------------------- */

static void the_keepers_word_ends_it(void **state)
{
    (void)state;
    assert_int_equal(start("PLAIN", S("\0joe\0pw")), SASL_ASK);
    assert_int_equal(answer_verdict(LOGIN_OK), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_OK);
    assert_text(sasl.address, "joe@a.example");
    for (enum login_verdict verdict = LOGIN_WRONG; verdict <= LOGIN_TOO_SOON; verdict++) {
        assert_int_equal(start("PLAIN", S("\0joe\0pw")), SASL_ASK);
        assert_int_equal(answer_verdict(verdict), SASL_DONE);
        assert_int_equal(sasl.verdict, verdict);
        assert_false(sasl.is_bound);
    }
}

static void words_that_make_no_sense_are_no_login(void **state)
{
    (void)state;
    assert_int_equal(start("PLAIN", S("\0joe\0pw")), SASL_ASK);
    assert_int_equal(sasl_answer(&sasl, &(struct answer){ .kind = ASK_LOGIN, .login = { .verdict = LOGIN_OK } }), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_BUSY); /* nobody's address */
    assert_true(sasl.is_bound);
    for (unsigned verdict = LOGIN_TOO_SOON + 1; verdict <= 256; verdict++) {
        assert_int_equal(start("PLAIN", S("\0joe\0pw")), SASL_ASK);
        struct answer answer = { .kind = ASK_LOGIN, .login = { .verdict = (uint8_t)verdict, .address = S("x") } };
        assert_int_equal(sasl_answer(&sasl, &answer), SASL_DONE);
        assert_int_equal(sasl.verdict, LOGIN_BUSY);
    }
    assert_int_equal(start("PLAIN", S("\0joe\0pw")), SASL_ASK);
    assert_int_equal(sasl_answer(&sasl, &(struct answer){ .kind = ASK_LOGIN, .status = STATUS_AWAY }), SASL_DONE);
    assert_int_equal(sasl.verdict, LOGIN_BUSY);
    assert_status(sasl.status, STATUS_AWAY);
}

static void the_secret_is_gone_afterwards(void **state)
{
    (void)state;
    static const char zeros[sizeof sasl.secret.bytes];
    assert_int_equal(start("PLAIN", S("\0joe\0pw")), SASL_ASK);
    sasl_done(&sasl);
    assert_memory_equal(sasl.secret.bytes, zeros, sizeof zeros);
    assert_int_equal(start("XOAUTH2", S("user=joe\1auth=Bearer abc\1\1")), SASL_ASK);
    struct slice token = sasl.token;
    assert_text(token, "abc");
    sasl_done(&sasl);
    assert_memory_equal(token.ptr, zeros, token.len);
}

/* C059: the name, and nothing of the password. */
static void C059_the_name_beside_a_password_in_clear(void **state)
{
    (void)state;
    assert_text(sasl_typed_name(S("plain"), S("AGpvZQBwdw=="), &test_arena), "joe");
    assert_text(sasl_typed_name(S("LOGIN"), S("am9l"), &test_arena), "joe");
    assert_int_equal(sasl_typed_name(S("PLAIN"), S("am9l"), &test_arena).len, 0);     /* no NUL */
    assert_int_equal(sasl_typed_name(S("PLAIN"), S("AAA="), &test_arena).len, 0);     /* two NULs, no name */
    assert_int_equal(sasl_typed_name(S("PLAIN"), S("AGpvZQBwdw="), &test_arena).len, 0);
    assert_int_equal(sasl_typed_name(S("LOGIN"), S("//8="), &test_arena).len, 0);     /* not UTF-8 */
    assert_int_equal(sasl_typed_name(S("CRAM-MD5"), S("am9l"), &test_arena).len, 0);
    assert_int_equal(sasl_typed_name(S("LOGIN"), NO_SLICE, &test_arena).len, 0);
}

/* ---- the offer rule --------------------------------------------------------------------------------------------------------- */

static struct slice list(void)
{
    buf_clear(&test_text);
    size_t index = 0;
    const struct sasl_mechanism *row;
    while ((row = sasl_next(&scene, &index)) != NULL)
        assert_ok(buf_print(&test_text, " %s", mechanism_name(sasl_kind(row))));
    return buf_slice(&test_text);
}

static enum sasl_standing standing(enum mechanism kind) { return sasl_stand(sasl_row(kind), &scene); }

static void mechanisms_are_listed_in_order(void **state)
{
    (void)state;
    assert_text(list(), " EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2");
    scene.offers = 1u << MECHANISM_CRAM_MD5;
    assert_text(list(), " EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN CRAM-MD5 OAUTHBEARER XOAUTH2");
    scene.offers = 1u << MECHANISM_SCRAM_SHA_1;
    assert_text(list(), " EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN LOGIN OAUTHBEARER XOAUTH2");
    scene.offers = 0;
    test_settings.auth_scram_sha1 = true;
    assert_text(list(), " EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN LOGIN OAUTHBEARER XOAUTH2");
    test_settings = (struct settings){ .hostname = S("x"), .auth_mechanisms = MECHANISMS_ALL };
    test_tls = (struct tls_facts){ .version = S("TLSv1.2") };
    assert_text(list(), " SCRAM-SHA-256 PLAIN LOGIN");
    scene.tls = NULL;
    assert_text(list(), "");
}

static void unknown_mechanisms_are_not_found(void **state)
{
    (void)state;
    static const char *const names[] = { "NTLM", "PLAI", "PLAINX", "", "APOP", "PASS", "none", "SCRAM-SHA-512", "GSSAPI" }; /* C081 */
    for (size_t i = 0; i < COUNT(names); i++)
        assert_null(sasl_find(slice_of(names[i])));
}

static void listed_and_taken_are_not_the_same(void **state)
{
    (void)state;
    assert_int_equal(standing(MECHANISM_CRAM_MD5), SASL_ACCEPTED);
    assert_int_equal(standing(MECHANISM_SCRAM_SHA_1), SASL_ACCEPTED);
    assert_int_equal(standing(MECHANISM_SCRAM_SHA_1_PLUS), SASL_ACCEPTED);
    assert_int_equal(standing(MECHANISM_APOP), SASL_REFUSED); /* in SMTP */
    assert_int_equal(standing(MECHANISM_PASSWORD), SASL_REFUSED);
    scene.protocol = PROTOCOL_POP3;
    assert_int_equal(standing(MECHANISM_APOP), SASL_OFFERED);
    assert_int_equal(standing(MECHANISM_PASSWORD), SASL_OFFERED);
    scene.protocol = PROTOCOL_IMAP;
    assert_int_equal(standing(MECHANISM_APOP), SASL_REFUSED);
    assert_int_equal(standing(MECHANISM_PASSWORD), SASL_OFFERED);
}

static void each_need_is_a_need(void **state)
{
    (void)state;
    test_tls.peer_key = NO_SLICE;
    assert_int_equal(standing(MECHANISM_EXTERNAL), SASL_REFUSED);
    test_tls.peer_key = S("k");
    test_settings.auth_client_certificates = false;
    assert_int_equal(standing(MECHANISM_EXTERNAL), SASL_REFUSED);
    test_settings.oauth_jwks = NO_SLICE;
    assert_int_equal(standing(MECHANISM_OAUTHBEARER), SASL_REFUSED);
    test_settings.oauth_introspection = S("https://x");
    assert_int_equal(standing(MECHANISM_OAUTHBEARER), SASL_OFFERED);
    test_tls.exporter = NO_SLICE;
    assert_int_equal(standing(MECHANISM_SCRAM_SHA_256_PLUS), SASL_OFFERED); /* by the certificate */
    test_tls.end_point = NO_SLICE;
    assert_int_equal(standing(MECHANISM_SCRAM_SHA_256_PLUS), SASL_REFUSED);
    test_tls.unique = S("u");
    assert_int_equal(standing(MECHANISM_SCRAM_SHA_256_PLUS), SASL_OFFERED);
}

/* C058: nothing at all in clear, but where the administrator said so. */
static void C058_in_clear(void **state)
{
    (void)state;
    struct network net;
    assert_ok(network_parse(S("198.51.100.0/24"), &net));
    scene.tls = NULL;
    scene.protocol = PROTOCOL_POP3;
    for (enum mechanism kind = MECHANISM_PASSWORD; kind < MECHANISM_COUNT; kind++)
        assert_int_equal(standing(kind), SASL_NEEDS_TLS);
    test_settings.auth_apop_without_tls = true;
    assert_int_equal(standing(MECHANISM_APOP), SASL_OFFERED);
    test_settings.auth_plaintext_networks = (struct networks){ &net, 1 };
    assert_text(list(), " SCRAM-SHA-256 PLAIN LOGIN");
    test_settings.auth_plaintext_networks = (struct networks){ NULL, 0 };
    test_settings.legacy_networks = (struct networks){ &net, 1 };
    assert_text(list(), " SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN CRAM-MD5");
    assert_int_equal(standing(MECHANISM_OAUTHBEARER), SASL_NEEDS_TLS);
    assert_int_equal(standing(MECHANISM_EXTERNAL), SASL_NEEDS_TLS);
    assert_int_equal(standing(MECHANISM_SCRAM_SHA_256_PLUS), SASL_NEEDS_TLS);
}

/* C071: TLS 1.0 and 1.1 are as good as none. */
static void C071_outdated_tls_is_none(void **state)
{
    (void)state;
    struct network net;
    assert_ok(network_parse(S("198.51.100.0/24"), &net));
    test_tls.outdated = true;
    assert_text(list(), "");
    assert_int_equal(standing(MECHANISM_PLAIN), SASL_NEEDS_TLS);
    test_settings.legacy_networks = (struct networks){ &net, 1 };
    assert_text(list(), " SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN CRAM-MD5");
    assert_int_equal(start("PLAIN", S("\0joe\0pw")), SASL_ASK);
    assert_true(!filled().login.from.encrypted && filled().login.from.device_only);
}

static void secrets_are_shown_only_where_the_administrator_said_so(void **state)
{
    (void)state;
    struct network web, office;
    struct ip inside, printer, outside;
    assert_ok(network_parse(S("127.0.0.0/8"), &web));
    assert_ok(network_parse(S("192.0.2.0/24"), &office));
    assert_ok(ip_parse(S("127.0.0.1"), &inside));
    assert_ok(ip_parse(S("192.0.2.7"), &printer));
    assert_ok(ip_parse(S("198.51.100.7"), &outside));
    struct settings none = { .holders = 1, .auth_mechanisms = MECHANISMS_ALL };
    struct settings some = { .holders = 1, .auth_mechanisms = MECHANISMS_ALL, .auth_plaintext_networks = { &web, 1 }, .legacy_networks = { &office, 1 } };
    struct tls_facts old = { .outdated = true };
    assert_int_equal(password_lane(&none, SERVICE_POP3, inside, NULL), LANE_CLOSED);
    assert_int_equal(password_lane(&none, SERVICE_POP3, inside, &test_tls), LANE_OPEN);
    assert_int_equal(password_lane(&none, SERVICE_POP3, inside, &old), LANE_CLOSED);
    assert_int_equal(password_lane(&some, SERVICE_POP3, inside, NULL), LANE_OPEN);
    assert_int_equal(password_lane(&some, SERVICE_POP3, printer, NULL), LANE_DEVICES_ONLY);
    assert_int_equal(password_lane(&some, SERVICE_POP3, printer, &old), LANE_DEVICES_ONLY);
    assert_int_equal(password_lane(&some, SERVICE_POP3, printer, &test_tls), LANE_OPEN);
    assert_int_equal(password_lane(&some, SERVICE_POP3, outside, NULL), LANE_CLOSED);
    /* D60: on the ports of devices TLS makes no difference, and nobody else is at the right door. */
    for (enum service port = SERVICE_LEGACY_SUBMISSION; port <= SERVICE_LEGACY_POP3S; port++) {
        assert_int_equal(password_lane(&some, port, printer, &test_tls), LANE_DEVICES_ONLY);
        assert_int_equal(password_lane(&some, port, printer, NULL), LANE_DEVICES_ONLY);
        assert_int_equal(password_lane(&some, port, inside, &test_tls), LANE_CLOSED);
        assert_int_equal(password_lane(&some, port, outside, &test_tls), LANE_CLOSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_asks_with_all_it_was_told), TEST(plain_of_rfc_4616_4954_and_5034), TEST(plain_with_an_empty_challenge),
        TEST(C078_bad_base64_is_malformed), TEST(C086_plain_fields_are_not_confused), TEST(C087_names_are_utf8),
        TEST(C088_long_fields_are_malformed), TEST(D04_login_prompts), TEST(D03_login_with_initial_response),
        TEST(a_star_cancels_and_empty_fields_fail), TEST(C085_every_challenge_is_new), TEST(cram_md5_of_rfc_2195_and_4954),
        TEST(cram_md5_fields), TEST(an_initial_response_where_the_server_speaks_first_is_refused), TEST(apop_of_rfc_1939),
        TEST(passwords_that_are_nobodys_are_wrong_at_once), TEST(C067_external_asks_for_the_key), TEST(the_keepers_word_ends_it),
        TEST(words_that_make_no_sense_are_no_login), TEST(the_secret_is_gone_afterwards),
        TEST(C059_the_name_beside_a_password_in_clear), TEST(mechanisms_are_listed_in_order), TEST(unknown_mechanisms_are_not_found),
        TEST(listed_and_taken_are_not_the_same), TEST(each_need_is_a_need), TEST(C058_in_clear), TEST(C071_outdated_tls_is_none),
        TEST(secrets_are_shown_only_where_the_administrator_said_so),
    };
    return run_group("sasl", tests, COUNT(tests));
}

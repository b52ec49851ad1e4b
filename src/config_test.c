#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"
#include "config.h"

static size_t row_of_name(const char *name)
{
    for (size_t at = 0; config_each(at); at++)
        if (strcmp(config_each(at)->name, name) == 0)
            return at;
    fail_msg("no row %s", name);
    return 0;
}

static void assert_text(struct buf *b, const char *text)
{
    assert_int_equal(buf_put_byte(b, '\0'), STATUS_OK);
    assert_string_equal(b->ptr, text);
    buf_clear(b);
}

/* What the table says is what a fresh struct holds, and what is written can be read again. */
static void test_presets_print_as_they_stand(void **state)
{
    (void)state;
    struct settings *settings = config_default();
    struct buf out = BUF(4096), why = BUF(4096);
    for (size_t at = 0; config_each(at); at++) {
        const struct config_row *row = config_each(at);
        assert_int_equal(config_print(settings, at, &out), STATUS_OK);
        assert_int_equal(config_set(settings, slice_of(row->name), buf_slice(&out), &why), STATUS_OK);
        assert_true(strlen(row->unit) > 0 && strlen(row->range) > 0 && strlen(row->help) > 0);
        assert_text(&out, row->preset);
    }
    assert_int_equal(why.len, 0);
    assert_int_equal(config_finish(settings, &why), STATUS_OK);
    buf_done(&out);
    buf_done(&why);
    settings_release(settings);
}

static void test_presets_are_those_of_the_design(void **state)
{
    (void)state;
    struct settings *s = config_default();
    assert_int_equal(s->lease_window, MINUTES(10));
    assert_int_equal(s->lease_cap, MINUTES(60));
    assert_int_equal(s->lease_messages, 20);
    assert_int_equal(s->lease_recipients, 50);
    assert_int_equal(s->lease_shared_accounts, 3);
    assert_int_equal(s->lease_accounts, LEASE_FLAGGED);
    assert_true(s->lease_imap && s->auth_throttle && !s->auth_apop_without_tls);
    assert_int_equal(s->tls_min_version, 0x0303);
    assert_int_equal(s->smarthost_tls, TLS_WISH_MAY);
    assert_int_equal(s->smarthost_host.len, 0);
    assert_int_equal(s->message_size_limit, 50u << 20);
    assert_int_equal(s->listen_address.count, 2);
    assert_int_equal(s->lease_never_networks.count, 3);
    assert_int_equal(s->auth_plaintext_networks.count + s->legacy_networks.count + s->relay_networks.count, 0);
    assert_int_equal(s->queue_lifetime, DAYS(5));
    settings_release(s);
}

struct value_case {
    const char *name, *text, *printed; /* printed NULL: refused */
};

/* clang-format off */
static const struct value_case values[] = {
    { "queue.first_retry", "500ms", "500ms" }, { "queue.first_retry", "5 min", "5min" }, { "queue.first_retry", "1d", "24h" },
    { "queue.first_retry", "120s", "2min" }, { "queue.first_retry", "60s", "60s" }, { "queue.first_retry", "5", NULL },
    { "queue.first_retry", "5m", NULL }, { "queue.first_retry", "-5s", NULL }, { "queue.first_retry", "99ms", NULL },
    { "queue.first_retry", "2d", NULL }, { "queue.first_retry", "", NULL }, { "queue.first_retry", "5min x", NULL },
    { "queue.first_retry", "18446744073709551615d", NULL }, { "queue.first_retry", "184467440737095516160s", NULL },
    { "pop3.login_delay", "0", "0s" }, { "pop_before_smtp.window", "60min", "60min" }, { "pop_before_smtp.window", "61min", NULL },
    { "pop_before_smtp.window", "1s", "1s" }, { "pop_before_smtp.window", "0s", NULL },
    { "message.size_limit", "10MB", "10MB" }, { "message.size_limit", "65536", "64KB" }, { "message.size_limit", "1gb", "1024MB" },
    { "message.size_limit", "63KB", NULL }, { "message.size_limit", "10 apples", NULL }, { "message.size_limit", "MB", NULL },
    { "auth.mechanisms", "", "" }, { "auth.mechanisms", "plain,LOGIN , scram-sha-256", "plain, login, scram-sha-256" }, { "auth.mechanisms", "plain, rot13", NULL },
    { "auth.mechanisms", "plain,,login", NULL }, { "auth.hash_cost", "1", "1" }, { "auth.hash_cost", "10", "10" }, { "auth.hash_cost", "0", NULL }, { "auth.hash_cost", "11", NULL },
    { "auth.hash_cost", "0x5", NULL }, { "auth.hash_cost", "5 ", "5" }, { "auth.hash_cost", "4294967301", NULL },
    { "auth.throttle", "no", "no" }, { "auth.throttle", "YES", "yes" }, { "auth.throttle", "true", NULL }, { "auth.throttle", "", NULL },
    { "tls.min_version", "1.3", "1.3" }, { "tls.min_version", "1.1", NULL }, { "log.level", "debug", "debug" }, { "log.level", "all", NULL },
    { "smarthost", "Relay.Example.net:587", "relay.example.net:587" }, { "smarthost", "127.0.0.1:23999", "127.0.0.1:23999" },
    { "smarthost", "[::1]:25", "[::1]:25" }, { "smarthost", "::1:25", NULL }, { "smarthost", "relay.example.net", NULL },
    { "smarthost", "relay.example.net:0", NULL }, { "smarthost", "relay.example.net:65536", NULL }, { "smarthost", "", "" },
    { "smarthost", "re lay:25", NULL }, { "smarthost.tls", "must", "must" },
    { "dns.servers", "127.0.0.1:9", "127.0.0.1:9" }, { "dns.servers", "192.0.2.1,[2001:db8::1]:5353, ::1", "192.0.2.1, [2001:db8::1]:5353, ::1" },
    { "dns.servers", "dns.example.net", NULL }, { "dns.servers", "127.0.0.1:", NULL }, { "dns.servers", "127.0.0.1:0", NULL },
    { "listen.address", "127.0.0.1", "127.0.0.1" }, { "listen.address", "127.0.0.1:25", NULL }, { "listen.address", "localhost", NULL },
    { "legacy.networks", "", "" }, { "legacy.networks", "192.0.2.0/24, 2001:db8::/32,192.0.2.7", "192.0.2.0/24, 2001:db8::/32, 192.0.2.7" },
    { "legacy.networks", "192.0.2.1/24", NULL }, { "legacy.networks", "192.0.2.0/33", NULL }, { "legacy.networks", "192.0.2.0/24,,::1", NULL },
    { "pop_before_smtp.office_networks", "Tokyo = 192.0.2.0/24,2001:db8::/32, 東京 支店=2001:db8:7::1 , 192.0.2.7/32",
        "Tokyo=192.0.2.0/24, 2001:db8::/32, 東京 支店=2001:db8:7::1, 192.0.2.7" },
    { "pop_before_smtp.office_networks", "=192.0.2.0/24", NULL }, { "pop_before_smtp.office_networks", "Tokyo=", NULL },
    { "pop_before_smtp.office_networks", "Tokyo=192.0.2.1/24", NULL }, { "pop_before_smtp.office_networks", "a=b=192.0.2.0/24", NULL },
    { "pop_before_smtp.office_networks", "1234567890123456789012345678901234567890123456789012345678901=192.0.2.7", NULL },
    { "pop_before_smtp.office_networks", "Tokyo=192.0.2.0/24,,", NULL }, { "pop_before_smtp.office_networks", "", "" },
    { "server.hostname", "Mail.Example.NET", "mail.example.net" }, { "server.hostname", "ma il", NULL }, { "server.hostname", "", NULL },
    { "pop_before_smtp.accounts", "all", "all" }, { "pop_before_smtp.accounts", "some", NULL },
    { "tls.certificate", "a.pem,b.pem", "a.pem, b.pem" }, { "tls.certificate", "a\nb", NULL }, { "dns.trust_anchor", "\xff", NULL },
    { "listen.port_offset", "61345", "61345" }, { "listen.port_offset", "61346", NULL },
};
/* clang-format on */

static void test_values(void **state)
{
    (void)state;
    struct buf out = BUF(4096), why = BUF(4096);
    for (size_t at = 0; at < sizeof values / sizeof values[0]; at++) {
        const struct value_case *c = &values[at];
        struct settings *settings = config_default();
        size_t row = row_of_name(c->name);
        enum status status = config_set(settings, slice_of(c->name), slice_of(c->text), &why);
        assert_int_equal(config_print(settings, row, &out), STATUS_OK);
        print_message("%s = %s: %.*s\n", c->name, c->text, (int)why.len, why.ptr ? why.ptr : "");
        assert_int_equal(status, c->printed ? STATUS_OK : STATUS_MALFORMED);
        assert_true((why.len == 0) == (c->printed != NULL));
        assert_text(&out, c->printed ? c->printed : config_each(row)->preset);
        buf_clear(&why);
        settings_release(settings);
    }
    buf_done(&out);
    buf_done(&why);
}

struct file_case {
    const char *text, *why; /* why NULL: taken */
};

/* clang-format off */
static const struct file_case files[] = {
    { "", NULL }, { "# only a comment", NULL }, { "\r\n\r\n[mx]\r\nworkers = 3\r\n", NULL },
    { "smarthost = a.example:25\n[smarthost]\ntls = must\n", NULL }, { "queue.lifetime=3d", NULL },
    { "[queue]\nfirst_retry = 5s\n[ auth ]\nthrottle=no", NULL },
    { "no.such = 1", "t.conf:1: there is no setting 'no.such'; 'ekirei config show' lists all" },
    { "\n[queue]\nfrist_retry = 5s", "t.conf:3: there is no setting 'queue.frist_retry'; did you mean queue.first_retry?" },
    { "[queues]", "t.conf:1: there is no section '[queues]'; 'ekirei config show' lists all settings" },
    { "[queue", "t.conf:1: '[queue' is no section: write [name], alone in its line" },
    { "[]", "t.conf:1: '[]' is no section: write [name], alone in its line" },
    { "[", "t.conf:1: '[' is no section: write [name], alone in its line" },
    { "listen.address", "t.conf:1: 'listen.address' is no setting: write name = value, [section] or # comment" },
    { "= 5", "t.conf:1: '= 5' is no setting: write name = value, [section] or # comment" },
    { "[auth]\nhash_cost = 11", "t.conf:2: auth.hash_cost: '11' is out of range: it may be 1-10" },
    { "[auth]\nhash_cost = 5 # quick", "t.conf:2: auth.hash_cost: '5 # quick' is no number: write digits only (a comment needs a line of its own)" },
    { "[auth]\nhash_cost = 5\nthrottle = no\nhash_cost = 5", "t.conf:4: auth.hash_cost: line 2 sets it already; keep one of the two" },
    { "[queue]\nsmarthost = a.example:25", "t.conf:2: 'smarthost' stands in section [queue]: move it above the first section, or into its own" },
    { "[tls]\nkey = a, b\n", "t.conf:2: tls.key: there must be one key for each of tls.certificate, in the same order" },
    { "pop_before_smtp.window = 30min\npop_before_smtp.cap = 20min\n", "t.conf:2: pop_before_smtp.cap: must not be shorter than pop_before_smtp.window" },
    { "[listen]\naddress =\n", "t.conf:2: listen.address: must name at least one address" },
    { "[users]\nmx = 7\nkeeper = 7\n", "t.conf:3: users.keeper: each of users.* must be an id of its own, or the walls between the roles are gone" },
    { "[legacy]\nsubmission_port = 2587\n\n", "t.conf:3: legacy.networks: a legacy port is set: name the devices that may use it" },
    { "[legacy]\nnetworks = 10.0.0.0/8\npop3_port = 2110\npop3s_port = 2110\n", "t.conf:4: legacy.pop3s_port: must be a port of its own: not 25, 110, 465, 587 or 995, nor another legacy port" },
    { "[legacy]\nnetworks = 10.0.0.0/8\nsubmissions_port = 465\n", "t.conf:3: legacy.submissions_port: must be a port of its own: not 25, 110, 465, 587 or 995, nor another legacy port" },
    { "legacy.networks = 10.0.0.0/8\nlegacy.pop3_port = 65000\nlisten.port_offset = 1000", "t.conf:2: legacy.pop3_port: with listen.port_offset it is no port any more" },
    { "[legacy]\nnetworks = 10.0.0.0/8\nsubmission_port = 2587\nsubmissions_port = 2465\npop3_port = 2110\npop3s_port = 2995\ntls_min_version = 1.0", NULL },
    { "[server]\nhostname = a\x07" "b\n", "t.conf:2: server.hostname: holds octets that are no text: write UTF-8 without control characters" },
    /* What is no UTF-8 is not repeated, and a character is not cut. */
    { "\x2a\xfc\xe6\x97", "t.conf:1: '*?\?\?' is no setting: write name = value, [section] or # comment" },
    { "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xe6\x97\xa5x",
      "t.conf:1: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xe6\x97\xa5...' is no setting: write name = value, [section] or # comment" },
    { "a\x07 = 1", "t.conf:1: there is no setting 'a?'; 'ekirei config show' lists all" },
};
/* clang-format on */

static void test_files(void **state)
{
    (void)state;
    struct buf why = BUF(4096);
    for (size_t at = 0; at < sizeof files / sizeof files[0]; at++) {
        struct settings *settings = NULL;
        enum status status = config_parse(slice_of(files[at].text), "t.conf", &settings, &why);
        assert_text(&why, files[at].why ? files[at].why : "");
        assert_true((status == STATUS_OK) == (files[at].why == NULL));
        assert_true((settings != NULL) == (files[at].why == NULL));
        if (settings)
            settings_release(settings);
    }
    buf_done(&why);
}

static void test_file_reaches_the_struct(void **state)
{
    (void)state;
    struct buf why = BUF(4096);
    struct settings *s;
    struct slice text = S("smarthost = relay.example.net:587\n[pop_before_smtp]\nwindow = 5s\ncap = 60s\n"
                          "never_networks =\n[tls]\nmin_version = 1.3\n[smarthost]\ntls = none\n");
    assert_int_equal(config_parse(text, "t.conf", &s, &why), STATUS_OK);
    assert_int_equal(s->lease_window, SECONDS(5));
    assert_int_equal(s->lease_cap, SECONDS(60));
    assert_int_equal(s->lease_never_networks.count, 0);
    assert_int_equal(s->tls_min_version, 0x0304);
    assert_int_equal(s->smarthost_port, 587);
    assert_int_equal(s->smarthost_tls, TLS_WISH_NONE);
    assert_true(slice_equal(s->smarthost_host, S("relay.example.net")));
    settings_release(s);
    buf_done(&why);
}

/* The largest file that is taken fits the arena even in its most costly form; one octet more is refused. */
static void test_size(void **state)
{
    (void)state;
    struct buf text = BUF(LIMIT_SETTINGS_FILE + 1), why = BUF(4096);
    struct settings *s;
    assert_int_equal(buf_put(&text, S("tls.certificate=a\nlegacy.networks=::")), STATUS_OK);
    while (text.len + 3 <= LIMIT_SETTINGS_FILE)
        assert_int_equal(buf_put(&text, S(",::")), STATUS_OK);
    assert_int_equal(config_parse(buf_slice(&text), "t.conf", &s, &why), STATUS_OK);
    assert_true(s->legacy_networks.count > 300000);
    settings_release(s);
    while (text.len <= LIMIT_SETTINGS_FILE)
        assert_int_equal(buf_put(&text, S("\n")), STATUS_OK);
    assert_int_equal(config_parse(buf_slice(&text), "t.conf", &s, &why), STATUS_TOO_BIG);
    assert_text(&why, "t.conf:1: the file is larger than 1048576 octets");
    buf_done(&text);
    buf_done(&why);
}

static bool risks_old_tls(const char *text)
{
    struct buf why = BUF(4096);
    struct settings *s;
    const char *risk;
    bool found = false;
    assert_int_equal(config_parse(slice_of(text), "t.conf", &s, &why), STATUS_OK);
    for (size_t i = 0; (risk = config_risk(s, i)); i++)
        found = found || slice_starts(slice_of(risk), S("legacy.tls_min_version: "));
    settings_release(s);
    buf_done(&why);
    return found;
}

static void test_C071_old_tls_is_a_risk(void **state)
{
    (void)state;
    assert_true(risks_old_tls("[legacy]\nnetworks = ::1\npop3_port = 2110\ntls_min_version = 1.1"));
    assert_false(risks_old_tls("[legacy]\nnetworks = ::1\npop3_port = 2110"));
    assert_false(risks_old_tls("[legacy]\nnetworks = ::1\ntls_min_version = 1.0")); /* no port speaks it */
}

/* RFC 8725 3.8, 3.9 */
static void C089_tokens_need_an_issuer_and_an_audience(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } wrong[] = {
        { "oauth.jwks = keys.json\n", "oauth.issuer" },
        { "oauth.jwks = keys.json\noauth.issuer = x\n", "oauth.audience" },
        { "oauth.jwks = keys.json\noauth.audience = x\n", "oauth.issuer" },
        { "oauth.jwks = http://id.test/k\noauth.issuer = x\noauth.audience = y\n", "https" },
        { "oauth.jwks = file:///etc/k\noauth.issuer = x\noauth.audience = y\n", "https" },
        { "oauth.jwks = https://\noauth.issuer = x\noauth.audience = y\n", "https" },
        { "oauth.jwks = k\noauth.issuer = x\noauth.audience = y\noauth.claim =\n", "oauth.claim" },
        { "oauth.introspection = http://id.test/i\n", "https" },
        { "oauth.introspection = https://id.test/i\n", "oauth.client" },
        { "oauth.introspection = https://id.test/i\noauth.client = c\n", "oauth.secret_file" },
        { "oauth.configuration = http://id.test/c\n", "https" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct settings *settings = NULL;
        struct buf why = BUF(LIMIT_LOG_LINE);
        assert_int_equal(config_parse(slice_of(wrong[i].text), "t", &settings, &why), STATUS_MALFORMED);
        assert_true(slice_has(buf_slice(&why), slice_of(wrong[i].why)));
        buf_done(&why);
    }
    static const char *const right[] = { "oauth.jwks = keys.json\noauth.issuer = x\noauth.audience = y\n",
        "oauth.jwks = https://127.0.0.1:8443/k\noauth.issuer = x\noauth.audience = y\n",
        "oauth.introspection = https://id.test/i\noauth.client = c\noauth.secret_file = s\n" };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        struct settings *settings = NULL;
        struct buf why = BUF(LIMIT_LOG_LINE);
        assert_int_equal(config_parse(slice_of(right[i]), "t", &settings, &why), STATUS_OK);
        settings_release(settings);
        buf_done(&why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(C089_tokens_need_an_issuer_and_an_audience),
        cmocka_unit_test(test_presets_print_as_they_stand),
        cmocka_unit_test(test_presets_are_those_of_the_design),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_file_reaches_the_struct),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_C071_old_tls_is_a_risk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is refused before anything is sent; whole visits are in tests/e2e/test_oauth.py. */
#include "base/testing.h"
#include "net/https.h"

struct talk {
    struct loop loop;
    struct dns *dns;
    struct https *https;
    bool returned, told;
    uint32_t code;
    char why[300];
};

static void on_done(void *context, const struct https_reply *reply)
{
    struct talk *talk = context;
    assert_true(talk->returned);
    talk->told = true;
    talk->code = reply->code;
    snprintf(talk->why, sizeof talk->why, "%s", reply->why ? reply->why : "");
    loop_stop(&talk->loop);
}

static struct talk talk;

static int open_talk(void **state)
{
    (void)state;
    static const struct slice nowhere[] = { S("127.0.0.1:9") };
    loop_init(&talk.loop);
    assert_ok(dns_open(&talk.loop, (struct slices){ nowhere, 1 }, &talk.dns));
    talk.https = https_open(&talk.loop, talk.dns);
    return 0;
}

static const char *visit(struct slice url, struct slice user)
{
    talk.returned = talk.told = false;
    https_ask(talk.https, &(struct https_wish){ .url = url, .user = user, .password = S("p") }, on_done, &talk);
    talk.returned = true;
    loop_run(&talk.loop);
    assert_true(talk.told);
    assert_int_equal(talk.code, 0);
    return talk.why;
}

static void only_https(void **state)
{
    (void)state;
    static const char *const others[] = { "http://127.0.0.1:9/", "file:///etc/passwd", "ftp://127.0.0.1:9/", "gopher://127.0.0.1:9/", "ldap://127.0.0.1:9/",
        "HTTP://127.0.0.1:9/" };
    for (size_t i = 0; i < COUNT(others); i++)
        assert_string_equal(visit(slice_of(others[i]), NO_SLICE), "the URL is not https");
    static const char *const none[] = { "", "id.test/keys", "://", "https://", "https://[::1/", "https://127.0.0.1:99999/", "/etc/passwd" };
    for (size_t i = 0; i < COUNT(none); i++)
        assert_true(strlen(visit(slice_of(none[i]), NO_SLICE)) > 0);
    assert_string_equal(visit(S("https://127.0.0.1:9\0/"), NO_SLICE), "the URL is too long, or no text");
    assert_string_equal(visit(S("https://us:er@127.0.0.1:9/"), NO_SLICE), "the URL holds a name or password");
    assert_true(strlen(visit(S("https://127.0.0.1:9/"), S("u\0x"))) > 0);
}

static void nobody_there(void **state)
{
    (void)state;
    assert_true(strlen(visit(S("https://127.0.0.1:9/"), NO_SLICE)) > 0);
    assert_true(strlen(visit(S("https://[::1]:9/"), NO_SLICE)) > 0);
    assert_true(strlen(visit(S("https://localhost:9/"), NO_SLICE)) > 0);
}

/* Also those of which everybody else makes use. */
static void the_environment_has_no_say(void **state)
{
    (void)state;
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "socks5://127.0.0.1:1", 1);
    assert_true(strstr(visit(S("https://127.0.0.1:9/"), NO_SLICE), "port 9") != NULL);
    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_https),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(the_environment_has_no_say),
    };
    return cmocka_run_group_tests(tests, open_talk, NULL);
}

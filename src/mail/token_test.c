#include "base/limits.h"
#include "base/testing.h"
#include "mail/json.h"
#include "mail/token.h"

#define NOW ((wall)1800000000000)
#define WHO "\"iss\":\"https://id.test\",\"aud\":\"ekirei\","
#define END "\"exp\":1800000001"

static struct token_rules rules;

static int set_rules(void **state)
{
    (void)state;
    rules = (struct token_rules){ .issuer = S("https://id.test"), .audience = S("ekirei"), .claim = S("email"), .now = NOW };
    return 0;
}

typedef enum token_fault reader(struct slice, const struct token_rules *, struct arena *, struct token_owner *);

static struct token_owner check(reader *read, const char *text, enum token_fault wanted)
{
    static char name[LIMIT_LOGIN_NAME + 1];
    struct arena arena = ARENA(65536);
    struct token_owner owner = { 0 };
    char *copy = exactly(slice_of(text));
    enum token_fault fault = read((struct slice){ copy, strlen(text) }, &rules, &arena, &owner);
    free(copy);
    if (fault != wanted)
        print_message("%s\n", text);
    assert_string_equal(token_fault_name(fault), token_fault_name(wanted));
    memset(name, 0, sizeof name);
    if (owner.name.len > 0)
        memcpy(name, owner.name.ptr, owner.name.len);
    owner.name = slice_of(name);
    arena_done(&arena);
    return owner;
}

struct row {
    const char *text;
    enum token_fault fault;
};

static void C089_claims(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{" WHO END ",\"email\":\"alice@our.test\"}", TOKEN_GOOD },
        { "{" WHO END ",\"email\":\"alice@our.test\",\"email_verified\":true}", TOKEN_GOOD },
        { "{" WHO END ",\"email\":\"alice@our.test\",\"email_verified\":\"true\"}", TOKEN_GOOD },
        { "{" WHO END ",\"email\":\"alice@our.test\",\"email_verified\":false}", TOKEN_CLAIM },
        { "{" WHO END ",\"email\":\"alice@our.test\",\"email_verified\":\"no\"}", TOKEN_CLAIM },
        { "{" WHO END ",\"email\":\"alice@our.test\",\"email_verified\":1}", TOKEN_CLAIM },
        { "{" WHO END ",\"email\":[\"alice@our.test\"]}", TOKEN_CLAIM },
        { "{" WHO END ",\"email\":\"\"}", TOKEN_CLAIM },
        { "{" WHO END ",\"email\":7}", TOKEN_CLAIM },
        { "{" WHO END ",\"email\":\"a\\r\\nb\"}", TOKEN_CLAIM },
        { "{" WHO END ",\"email\":\"alice\\u0000@our.test\"}", TOKEN_MALFORMED },
        { "{" WHO END ",\"sub\":\"alice@our.test\"}", TOKEN_CLAIM },
        { "{" WHO END ",\"email\":\"bob@our.test\",\"email\":\"alice@our.test\"}", TOKEN_MALFORMED },
        /* audience: a word, or one of several */
        { "{\"iss\":\"https://id.test\",\"aud\":[\"x\",\"ekirei\"]," END ",\"email\":\"alice@our.test\"}", TOKEN_GOOD },
        { "{\"iss\":\"https://id.test\",\"aud\":[\"x\",7]," END ",\"email\":\"alice@our.test\"}", TOKEN_AUDIENCE },
        { "{\"iss\":\"https://id.test\",\"aud\":\"ekirei2\"," END ",\"email\":\"alice@our.test\"}", TOKEN_AUDIENCE },
        { "{\"iss\":\"https://id.test\",\"aud\":\"Ekirei\"," END ",\"email\":\"alice@our.test\"}", TOKEN_AUDIENCE },
        { "{\"iss\":\"https://id.test\",\"aud\":[]," END ",\"email\":\"alice@our.test\"}", TOKEN_AUDIENCE },
        { "{\"iss\":\"https://id.test\",\"aud\":{\"ekirei\":1}," END ",\"email\":\"alice@our.test\"}", TOKEN_AUDIENCE },
        { "{\"iss\":\"https://id.test\",\"azp\":\"ekirei\"," END ",\"email\":\"alice@our.test\"}", TOKEN_AUDIENCE },
        /* issuer: exactly */
        { "{\"iss\":\"https://id.test/\",\"aud\":\"ekirei\"," END ",\"email\":\"alice@our.test\"}", TOKEN_ISSUER },
        { "{\"iss\":\"https://ID.test\",\"aud\":\"ekirei\"," END ",\"email\":\"alice@our.test\"}", TOKEN_ISSUER },
        { "{\"iss\":[\"https://id.test\"],\"aud\":\"ekirei\"," END ",\"email\":\"alice@our.test\"}", TOKEN_ISSUER },
        { "{\"aud\":\"ekirei\"," END ",\"email\":\"alice@our.test\"}", TOKEN_ISSUER },
        /* time, in seconds: the end counts at once, the beginning with a minute's grace */
        { "{" WHO "\"exp\":1800000000,\"email\":\"alice@our.test\"}", TOKEN_EXPIRED },
        { "{" WHO "\"exp\":1799999999,\"email\":\"alice@our.test\"}", TOKEN_EXPIRED },
        { "{" WHO "\"exp\":1800000000.5,\"email\":\"alice@our.test\"}", TOKEN_GOOD },
        { "{" WHO "\"email\":\"alice@our.test\"}", TOKEN_EXPIRED },
        { "{" WHO "\"exp\":\"1800000001\",\"email\":\"alice@our.test\"}", TOKEN_MALFORMED },
        { "{" WHO "\"exp\":-1,\"email\":\"alice@our.test\"}", TOKEN_MALFORMED },
        { "{" WHO "\"exp\":0,\"email\":\"alice@our.test\"}", TOKEN_MALFORMED },
        { "{" WHO "\"exp\":1e300,\"email\":\"alice@our.test\"}", TOKEN_MALFORMED },
        { "{" WHO "\"exp\":99999999999999999999,\"email\":\"alice@our.test\"}", TOKEN_MALFORMED },
        { "{" WHO "\"exp\":null,\"email\":\"alice@our.test\"}", TOKEN_MALFORMED },
        { "{" WHO END ",\"nbf\":1800000060,\"iat\":1800000060,\"email\":\"alice@our.test\"}", TOKEN_GOOD },
        { "{" WHO END ",\"nbf\":1800000061,\"email\":\"alice@our.test\"}", TOKEN_NOT_YET },
        { "{" WHO END ",\"iat\":1800000061,\"email\":\"alice@our.test\"}", TOKEN_NOT_YET },
        { "{" WHO END ",\"nbf\":\"x\",\"email\":\"alice@our.test\"}", TOKEN_MALFORMED },
        { "", TOKEN_MALFORMED }, { "[]", TOKEN_MALFORMED }, { "\"x\"", TOKEN_MALFORMED }, { "{" WHO END, TOKEN_MALFORMED },
        { "{" WHO END ",\"email\":\"alice@our.test\"}x", TOKEN_MALFORMED },
        { "{" WHO END ",\"email\":\"alice@our.test\\ud800\"}", TOKEN_MALFORMED },
        { "{" WHO END ",\"email\":\"alice@our.test\xff\"}", TOKEN_MALFORMED },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct token_owner owner = check(token_claims, rows[i].text, rows[i].fault);
        assert_string_equal(owner.name.ptr, rows[i].fault == TOKEN_GOOD ? "alice@our.test" : "");
    }
}

static void C089_scope(void **state)
{
    (void)state;
    rules.scope = S("mail");
    static const struct row rows[] = {
        { "{" WHO END ",\"email\":\"a@b\",\"scope\":\"openid mail\"}", TOKEN_GOOD },
        { "{" WHO END ",\"email\":\"a@b\",\"scope\":[\"openid\",\"mail\"]}", TOKEN_GOOD },
        { "{" WHO END ",\"email\":\"a@b\",\"scope\":\"openid mail2 amail\"}", TOKEN_SCOPE },
        { "{" WHO END ",\"email\":\"a@b\",\"scope\":[\"openid mail\"]}", TOKEN_SCOPE },
        { "{" WHO END ",\"email\":\"a@b\",\"scope\":\"\"}", TOKEN_SCOPE },
        { "{" WHO END ",\"email\":\"a@b\",\"scope\":7}", TOKEN_SCOPE },
        { "{" WHO END ",\"email\":\"a@b\"}", TOKEN_SCOPE },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check(token_claims, rows[i].text, rows[i].fault);
}

/* Nothing set is no rule that everything fits. */
static void C089_nothing_is_nobodys_audience(void **state)
{
    (void)state;
    rules.audience = S("");
    check(token_claims, "{\"iss\":\"https://id.test\",\"aud\":\"\"," END ",\"email\":\"a@b\"}", TOKEN_AUDIENCE);
    rules.audience = S("ekirei");
    rules.issuer = S("");
    check(token_claims, "{\"iss\":\"\",\"aud\":\"ekirei\"," END ",\"email\":\"a@b\"}", TOKEN_ISSUER);
}

static void C089_introspection(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"active\":true,\"email\":\"alice@our.test\"}", TOKEN_GOOD },
        { "{\"active\":true," WHO END ",\"email\":\"alice@our.test\"}", TOKEN_GOOD },
        { "{\"active\":false,\"email\":\"alice@our.test\"}", TOKEN_INACTIVE },
        { "{\"active\":false}", TOKEN_INACTIVE },
        { "{\"active\":\"true\",\"email\":\"alice@our.test\"}", TOKEN_INACTIVE },
        { "{\"active\":1,\"email\":\"alice@our.test\"}", TOKEN_INACTIVE },
        { "{\"email\":\"alice@our.test\"}", TOKEN_INACTIVE },
        { "{\"active\":false,\"active\":true,\"email\":\"alice@our.test\"}", TOKEN_MALFORMED },
        { "{\"active\":true,\"exp\":1800000000,\"email\":\"alice@our.test\"}", TOKEN_EXPIRED },
        { "{\"active\":true,\"aud\":\"other\",\"email\":\"alice@our.test\"}", TOKEN_AUDIENCE },
        { "{\"active\":true,\"iss\":\"other\",\"email\":\"alice@our.test\"}", TOKEN_ISSUER },
        { "{\"active\":true,\"username\":\"alice\",\"sub\":\"alice\"}", TOKEN_CLAIM },
        { "<html>", TOKEN_MALFORMED },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check(token_introspected, rows[i].text, rows[i].fault);
    assert_int_equal(check(token_introspected, rows[0].text, TOKEN_GOOD).until, 0);
    assert_int_equal(check(token_introspected, rows[1].text, TOKEN_GOOD).until, 1800000001000);
    rules.claim = S("username");
    assert_string_equal(check(token_introspected, "{\"active\":true,\"username\":\"alice\"}", TOKEN_GOOD).name.ptr, "alice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(C089_claims, set_rules),
        cmocka_unit_test_setup(C089_scope, set_rules),
        cmocka_unit_test_setup(C089_nothing_is_nobodys_audience, set_rules),
        cmocka_unit_test_setup(C089_introspection, set_rules),
    };
    json_start(7);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

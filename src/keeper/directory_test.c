#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "keeper/directory.h"

struct bench {
    struct directory d;
    struct arena arena;
    uint32_t last_id;
};

static uint32_t add(struct bench *b, const char *address, const char *login)
{
    struct store_account row = {
        .id = ++b->last_id, .address = slice_of(address), .login = slice_of(login), .enabled = true
    };
    directory_put_account(&b->d, &row);
    return row.id;
}

static void alias(struct bench *b, const char *address, const char *target)
{
    directory_put_alias(&b->d, &(struct store_alias){ slice_of(address), slice_of(target) });
}

static int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){ .arena = ARENA(16u << 20) };
    directory_put_domain(&bench.d, S("our.test"));
    directory_put_domain(&bench.d, S("two.test"));
    add(&bench, "alice@our.test", "");     /* 1 */
    add(&bench, "bob@our.test", "Robert"); /* 2 */
    add(&bench, "carol@two.test", "");     /* 3 */
    add(&bench, "bob@two.test", "");       /* 4 */
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    directory_done(&b->d);
    arena_done(&b->arena);
    return 0;
}

static struct resolution resolve(struct bench *b, const char *text)
{
    struct resolution r;
    assert_int_equal(directory_resolve(&b->d, slice_of(text), &b->arena, &r), STATUS_OK);
    return r;
}

/* The one account, 0 for nobody, UINT32_MAX for several. */
static uint32_t only(struct bench *b, const char *text)
{
    struct resolution r = resolve(b, text);
    return r.count == 0 ? 0 : r.count > 1 ? UINT32_MAX : r.targets->account;
}

static uint32_t login(struct bench *b, const char *name)
{
    const struct account *account = directory_login(&b->d, slice_of(name));
    return account ? account->id : 0;
}

static void test_C031_login_names(void **state)
{
    struct bench *b = *state;
    assert_int_equal(login(b, "alice"), 1);
    assert_int_equal(login(b, "ALICE"), 1);
    assert_int_equal(login(b, "Alice@Our.Test"), 1);
    assert_int_equal(login(b, "alice@our.test."), 1);
    assert_int_equal(login(b, "robert"), 2);
    assert_int_equal(login(b, "bob"), 2); /* two have it: the default domain's */
    assert_int_equal(login(b, "bob@two.test"), 4);
    assert_int_equal(login(b, "alice+x@our.test"), 0);
    assert_int_equal(login(b, ""), 0);
    directory_remove_account(&b->d, 2);
    assert_int_equal(login(b, "bob"), 4); /* the only one now */
    assert_int_equal(login(b, "robert"), 0);
    directory_remove_account(&b->d, 4);
    assert_int_equal(login(b, "bob"), 0);
}

/* Two have the local part, and neither is in the default domain: nobody's. */
static void test_C031_ambiguous_names_are_nobody(void **state)
{
    struct bench *b = *state;
    directory_put_domain(&b->d, S("three.test"));
    add(b, "dora@two.test", "");              /* 5 */
    uint32_t other = add(b, "dora@three.test", "");
    assert_int_equal(login(b, "dora"), 0);
    assert_int_equal(login(b, "dora@two.test"), 5);
    directory_remove_account(&b->d, other);
    assert_int_equal(login(b, "dora"), 5);
    /* An extra name comes before the local part of the default domain. */
    add(b, "erika@two.test", "alice2");
    add(b, "alice2@our.test", "");
    assert_true(slice_equal(directory_login(&b->d, S("alice2"))->address, S("erika@two.test")));
    /* Names of an older store that are the same today: each address as it is, and nothing else. */
    uint32_t big = add(b, "\u00dcnal@our.test", "\u00c9mile"), small = add(b, "\u00fcnal@our.test", "\u00e9mile");
    assert_int_equal(login(b, "\u00dcnal@our.test"), big);
    assert_int_equal(login(b, "\u00fcnal@our.test"), small);
    assert_int_equal(login(b, "U\u0308nal@our.test"), 0);
    assert_int_equal(login(b, "\u00dcnal"), 0);
    assert_int_equal(login(b, "\u00e9mile"), 0);
    directory_remove_account(&b->d, small);
    assert_int_equal(login(b, "\u00dcNAL@OUR.test"), big);
    assert_int_equal(login(b, "u\u0308nal"), big);
    assert_int_equal(login(b, "E\u0301MILE"), big);
}

/* Typed with a Japanese keyboard, or on another system: the same person (RFC 8265 3.3). */
static void test_C031_folded_names(void **state)
{
    struct bench *b = *state;
    assert_int_equal(login(b, "Ａｌｉｃｅ＠ｏｕｒ．ｔｅｓｔ"), 1);
    assert_int_equal(login(b, "alice＠our。test"), 1);
    assert_int_equal(login(b, "ＡＬＩＣＥ"), 1);
    assert_int_equal(login(b, "Ｒｏｂｅｒｔ"), 2);
    assert_int_equal(login(b, "\u3000alice "), 1);
    assert_int_equal(login(b, "аlice"), 0); /* a Cyrillic letter is another one */
    assert_int_equal(login(b, "al\u200bice"), 0);
    /* What is no name by today's rules still is what it was. */
    uint32_t odd = add(b, "odd@our.test", "\u2665 Heart");
    assert_int_equal(login(b, "\u2665 heart"), odd);
    assert_true(directory_has_name(&b->d, S("ｒｏｂｅｒｔ")));
    assert_true(directory_is_login(&b->d, S("ＲＯＢＥＲＴ")));
    assert_true(directory_has_name(&b->d, S("ｃａｒｏｌ")));
    assert_false(directory_is_login(&b->d, S("carol")));
}

/* What salts are made from: one text for every way to type a name (C075). */
static void test_C075_stated_names(void **state)
{
    static const char *const ways[] = { "nobody", "NOBODY", "ｎｏｂｏｄｙ", "nobody@our.test", "Nobody＠OUR．test", " nobody " };
    struct bench *b = *state;
    struct slice stated;
    for (size_t at = 0; at < sizeof ways / sizeof ways[0]; at++) {
        assert_int_equal(directory_stated(&b->d, slice_of(ways[at]), &b->arena, &stated), STATUS_OK);
        assert_true(slice_equal(stated, S("nobody@our.test")));
    }
    /* The default domain is the one that came first, and the next one when that goes. */
    directory_remove_account(&b->d, 1);
    directory_remove_account(&b->d, 2);
    directory_remove_domain(&b->d, S("our.test"));
    assert_int_equal(directory_stated(&b->d, S("nobody"), &b->arena, &stated), STATUS_OK);
    assert_true(slice_equal(stated, S("nobody@two.test")));
}

static void test_EXTERNAL_keys_and_rehash(void **state)
{
    struct bench *b = *state;
    struct store_device row = { .id = 9, .account = 1, .name = S("scanner"), .key = S("digest"), .rights = RIGHTS_ALL };
    directory_put_device(&b->d, &row);
    assert_int_equal(directory_key(&b->d, S("digest"))->id, 9);
    assert_null(directory_key(&b->d, S("other")));
    uint32_t before = directory_account(&b->d, 1)->generation;
    directory_rehash(&b->d, 1, S("$argon2id$new"), S("verifiers"));
    directory_rehash_device(&b->d, 9, S("its own"));
    assert_int_equal(directory_account(&b->d, 1)->generation, before); /* sessions live on */
    assert_true(slice_equal(directory_account(&b->d, 1)->scram, S("verifiers")));
    assert_true(slice_equal(directory_device(&b->d, 9)->scram, S("its own")));
    directory_set_password(&b->d, 1, S("$argon2id$other"), NO_SLICE);
    assert_true(directory_account(&b->d, 1)->generation > before);
    assert_int_equal(directory_account(&b->d, 1)->scram.len, 0);
    directory_remove_device(&b->d, 9);
    assert_null(directory_key(&b->d, S("digest")));
}

static void test_recipients(void **state)
{
    struct bench *b = *state;
    assert_int_equal(only(b, "alice@our.test"), 1);
    assert_int_equal(only(b, "ALICE@our.test"), 1);
    assert_int_equal(only(b, "\"alice\"@our.test"), 1);
    assert_int_equal(only(b, "alice+tag+more@our.test"), 1);
    assert_int_equal(only(b, "+tag@our.test"), 0);
    assert_int_equal(only(b, "nobody@our.test"), 0);
    assert_true(resolve(b, "nobody@our.test").ours);
    struct resolution far = resolve(b, "Far.Away@else.test");
    assert_false(far.ours);
    assert_int_equal(far.count, 1);
    assert_true(slice_equal(far.targets->remote, S("Far.Away@else.test")));
    directory_set(&b->d, 1, false, false);
    assert_int_equal(only(b, "alice@our.test"), 0);
    assert_true(resolve(b, "alice@our.test").disabled);
    struct resolution r;
    static const char *const bad[] = { "", "alice", "alice@", "@our.test", "a\r\nb@our.test", "alice@our.test x" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(directory_resolve(&b->d, slice_of(bad[i]), &b->arena, &r), STATUS_MALFORMED);
}

static void test_C226_postmaster_is_always_somebody(void **state)
{
    struct bench *b = *state;
    assert_int_equal(only(b, "postmaster"), 1);
    assert_int_equal(only(b, "Postmaster@our.test"), 1);
    assert_int_equal(only(b, "abuse@two.test"), 3); /* of its own domain first */
    directory_set(&b->d, 1, false, false);
    assert_int_equal(only(b, "postmaster@our.test"), 2);
    alias(b, "postmaster@our.test", "carol@two.test");
    assert_int_equal(only(b, "postmaster@our.test"), 3);
    alias(b, "@two.test", "bob@our.test");
    assert_int_equal(only(b, "abuse@two.test"), 2); /* whoever takes everything takes this */
}

static void test_C214_aliases_fan_out_once(void **state)
{
    struct bench *b = *state;
    alias(b, "all@our.test", "alice@our.test");
    alias(b, "all@our.test", "team@our.test");
    alias(b, "all@our.test", "far@else.test");
    alias(b, "team@our.test", "alice+x@our.test");
    alias(b, "team@our.test", "bob@our.test");
    alias(b, "team@our.test", "far@else.test");
    alias(b, "team@our.test", "all@our.test"); /* round and round */
    struct resolution r = resolve(b, "all+list@our.test");
    assert_int_equal(r.count, 3);
    assert_false(r.endless);
    directory_remove_account(&b->d, 2);
    assert_int_equal(resolve(b, "team@our.test").count, 2);
}

static void test_C209_C214_alias_expansion_ends(void **state)
{
    struct bench *b = *state;
    alias(b, "a@our.test", "b@our.test");
    alias(b, "b@our.test", "a@our.test");
    assert_true(resolve(b, "a@our.test").endless);
    char name[64], next[64];
    for (int i = 0; i < (int)LIMIT_ALIAS_DEPTH + 1; i++) {
        snprintf(name, sizeof name, "d%d@our.test", i);
        snprintf(next, sizeof next, "d%d@our.test", i + 1);
        alias(b, name, next);
    }
    snprintf(name, sizeof name, "d%d@our.test", (int)LIMIT_ALIAS_DEPTH + 1);
    alias(b, name, "alice@our.test");
    assert_true(resolve(b, "d0@our.test").endless);
    assert_int_equal(only(b, "d3@our.test"), 1);
    for (int i = 0; i <= (int)LIMIT_ALIAS_TARGETS; i++) {
        snprintf(name, sizeof name, "x%d@else.test", i);
        alias(b, "wide@our.test", name);
    }
    assert_true(resolve(b, "wide@our.test").endless);
}

static void test_catch_all(void **state)
{
    struct bench *b = *state;
    alias(b, "@two.test", "alice@our.test");
    assert_int_equal(only(b, "anything@two.test"), 1);
    assert_int_equal(only(b, "carol@two.test"), 3);
    assert_int_equal(only(b, "carol+x@two.test"), 3);
    assert_int_equal(only(b, "anything@our.test"), 0);
}

static void test_C092_senders(void **state)
{
    struct bench *b = *state;
    const struct account *alice = directory_account(&b->d, 1), *bob = directory_account(&b->d, 2);
    alias(b, "sales@our.test", "bob@our.test");
    alias(b, "sales@our.test", "carol@two.test");
    assert_true(directory_owns(&b->d, alice, S("Alice@our.test")));
    assert_true(directory_owns(&b->d, alice, S("alice+shop@our.test")));
    assert_true(directory_owns(&b->d, bob, S("sales@our.test")));
    assert_false(directory_owns(&b->d, alice, S("sales@our.test")));
    assert_false(directory_owns(&b->d, alice, S("bob@our.test")));
    assert_false(directory_owns(&b->d, alice, S("postmaster@our.test"))); /* its mail comes to her: that is all */
    assert_false(directory_owns(&b->d, alice, S("alice@else.test")));
    assert_false(directory_owns(&b->d, alice, S("")));
    assert_false(directory_owns(&b->d, alice, S("alice")));
    assert_true(directory_has_owner(&b->d, S("carol@two.test")));
    assert_false(directory_has_owner(&b->d, S("nobody@two.test")));
    assert_false(directory_has_owner(&b->d, S("x@else.test")));
}

static void test_C093_changes_end_generations(void **state)
{
    struct bench *b = *state;
    uint32_t before = directory_account(&b->d, 1)->generation;
    directory_set(&b->d, 1, true, true); /* the flag alone ends no session */
    assert_int_equal(directory_account(&b->d, 1)->generation, before);
    directory_set(&b->d, 1, false, true);
    directory_set(&b->d, 1, true, true);
    uint32_t after = directory_account(&b->d, 1)->generation;
    assert_true(after > before);
    directory_set_password(&b->d, 1, S("new"), NO_SLICE);
    assert_true(directory_account(&b->d, 1)->generation > after);
}

static void test_what_devices_name_is_counted(void **state)
{
    struct bench *b = *state;
    assert_int_equal(directory_most_devices(&b->d), 0);
    for (uint32_t i = 0; i < LIMIT_CREDENTIALS + 2; i++)
        directory_put_device(&b->d, &(struct store_device){ .id = 100 + i, .account = 2, .name = S("many"), .mechanisms = 1u << MECHANISM_APOP });
    directory_put_device(&b->d, &(struct store_device){ .id = 9, .account = 1, .name = S("one"), .mechanisms = 1u << MECHANISM_CRAM_MD5 });
    assert_int_equal(directory_most_devices(&b->d), LIMIT_CREDENTIALS);
    assert_int_equal(directory_mechanisms(&b->d), 1u << MECHANISM_APOP | 1u << MECHANISM_CRAM_MD5);
    directory_put_device(&b->d, &(struct store_device){ .id = 9, .account = 1, .name = S("one") }); /* in its own place */
    assert_int_equal(directory_mechanisms(&b->d), 1u << MECHANISM_APOP);
    directory_remove_account(&b->d, 2);
    assert_int_equal(directory_mechanisms(&b->d), 0);
    assert_int_equal(directory_most_devices(&b->d), 1);
    directory_remove_device(&b->d, 9);
    assert_int_equal(directory_most_devices(&b->d), 0);
}

static void test_devices_go_with_their_account(void **state)
{
    struct bench *b = *state;
    struct store_device row = {
        .id = 9, .account = 1, .name = S("scanner"), .from = S("192.0.2.0/24, 2001:db8::/32"), .rights = RIGHTS_ALL
    };
    assert_non_null(directory_put_device(&b->d, &row));
    assert_int_equal(directory_device(&b->d, 9)->networks.count, 2);
    row.id = 10;
    row.name = S("broken");
    row.from = S("nonsense");
    assert_int_equal(directory_put_device(&b->d, &row)->rights, 0); /* not: from everywhere */
    assert_ptr_equal(directory_find_device(directory_account(&b->d, 1), S("scanner")), directory_device(&b->d, 9));
    directory_remove_account(&b->d, 1);
    assert_null(directory_device(&b->d, 9));
    assert_null(directory_device(&b->d, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define BENCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        BENCH(test_C031_login_names),
        BENCH(test_C031_ambiguous_names_are_nobody),
        BENCH(test_C031_folded_names),
        BENCH(test_C075_stated_names),
        BENCH(test_EXTERNAL_keys_and_rehash),
        BENCH(test_recipients),
        BENCH(test_C226_postmaster_is_always_somebody),
        BENCH(test_C214_aliases_fan_out_once),
        BENCH(test_C209_C214_alias_expansion_ends),
        BENCH(test_catch_all),
        BENCH(test_C092_senders),
        BENCH(test_C093_changes_end_generations),
        BENCH(test_what_devices_name_is_counted),
        BENCH(test_devices_go_with_their_account),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}

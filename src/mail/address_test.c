#include "mail/address.h"

#include "base/limits.h"
#include "base/testing.h"

/* Parses a path from memory that ends where the text ends. */
static enum status parse_path(struct slice text, bool utf8, struct arena *a, struct address *address, size_t *out_left)
{
    char *copy = exactly(text);
    struct slice rest = { copy, text.len };
    enum status status = address_path(&rest, utf8, a, address);
    *out_left = rest.len;
    if (status != STATUS_OK)
        assert_ptr_equal(rest.ptr, copy);
    free(copy); /* the address lives in the arena */
    return status;
}

static void check_path(const char *text, bool utf8, const char *local, const char *domain, const char *printed)
{
    struct arena a = ARENA(10000);
    struct address address;
    size_t left;
    assert_ok(parse_path(slice_of(text), utf8, &a, &address, &left));
    assert_octets(address.local, slice_of(local));
    assert_octets(address.domain, slice_of(domain));
    struct buf b = BUF(1000);
    assert_ok(address_print(&b, &address));
    assert_octets(buf_slice(&b), slice_of(printed));
    if (address.domain.len > 0) { /* what is printed is the same address again */
        struct address again;
        assert_ok(address_parse(buf_slice(&b), true, &a, &again));
        assert_octets(again.local, address.local);
        assert_octets(again.domain, address.domain);
        assert_int_equal(again.is_literal, address.is_literal);
    }
    buf_done(&b);
    arena_done(&a);
}

static void refuse(const char *text, bool utf8, enum status wanted)
{
    struct arena a = ARENA(10000);
    struct address address = { .is_null = true };
    size_t left;
    assert_status(parse_path(slice_of(text), utf8, &a, &address, &left), wanted);
    assert_true(address.is_null);
    arena_done(&a);
}

static void ordinary_paths(void **state)
{
    (void)state;
    check_path("<a@b.example>", false, "a", "b.example", "a@b.example");
    check_path("  <A.b+c@B.Example>", false, "A.b+c", "b.example", "A.b+c@b.example");
    check_path("<\"a.b\"@x.example>", false, "a.b", "x.example", "a.b@x.example");
    check_path("<\"a b\"@x.example>", false, "a b", "x.example", "\"a b\"@x.example");
    check_path("<\"a\\\"\\\\>b\"@x.example>", false, "a\"\\>b", "x.example", "\"a\\\"\\\\>b\"@x.example");
    check_path("<\"a..b\"@x>", false, "a..b", "x", "\"a..b\"@x");
    check_path("<a..b.@x>", false, "a..b.", "x", "\"a..b.\"@x"); /* as old Japanese mobile addresses */
    check_path("<!#$%&'*+-/=?^_`{|}~@x>", false, "!#$%&'*+-/=?^_`{|}~", "x", "!#$%&'*+-/=?^_`{|}~@x");
    check_path("<Postmaster>", false, "Postmaster", "", "Postmaster");
}

static void the_null_path_and_what_follows(void **state)
{
    (void)state;
    struct arena a = ARENA(1000);
    struct address address;
    struct slice rest = S(" <> SIZE=1");
    assert_ok(address_path(&rest, false, &a, &address));
    assert_true(address.is_null);
    assert_text(rest, " SIZE=1");
    rest = S("<a@b>SIZE=1");
    assert_ok(address_path(&rest, false, &a, &address));
    assert_text(rest, "SIZE=1");
    rest = S("<a@b>");
    assert_ok(address_path(&rest, false, &a, &address));
    assert_int_equal(rest.len, 0);
    arena_done(&a);
}

static void syntax_errors(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", " ", "a@b", "<", "<a@b", "a@b>", "<a>", "<@>", "<a@>", "<@b>", "<a@@b>",
        "<a b@c>", "<a@b c>", "<.a@b>", "<a@b..c>", "<a@.b>", "<a@-b>", "<a@b->", "<a@b_c>",
        "<a@b.example..>", "<a(c)@b>", "<\"a@b>", "<\"a\"b@c>", "<\"a\\\"@b>", "<a\"b\"@c>", "< a@b>", "<a@b >",
        "<a\x01@b>", "<\"a\x01\"@b>", "<\"a\rb\"@c>", "<a@b\r>", "<a\x7f@b>", "<<a@b>>", "<a@b,c@d>", ">", "<postmaster@>",
        "<postmaster >", "<\"\">", "<a:b@c>", "<a;b@c>", "<a\\b@c>", "<\"a\\\xc3\xa9\"@c>" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        refuse(wrong[i], i % 2, STATUS_MALFORMED);
    struct arena a = ARENA(1000);
    struct address address;
    size_t left;
    assert_status(parse_path(S("<a\0@b>"), false, &a, &address, &left), STATUS_MALFORMED);
    assert_status(parse_path(S("<a@b\0>"), true, &a, &address, &left), STATUS_MALFORMED);
    assert_status(parse_path(S("<a@\xc3\xa9\0x>"), true, &a, &address, &left), STATUS_MALFORMED);
    arena_done(&a);
}

static void C026_lengths_at_the_limit(void **state)
{
    (void)state;
    struct arena a = ARENA(1 << 20);
    struct address address;
    size_t left;
    for (size_t len = 60; len < 70; len++)
        for (int quoted = 0; quoted < 2; quoted++) {
            struct buf b = BUF(1000);
            assert_ok(buf_print(&b, quoted ? "<\"%.*s\"@b>" : "<%.*s@b>", (int)len,
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
            assert_status(parse_path(buf_slice(&b), false, &a, &address, &left),
                len > LIMIT_LOCAL_PART ? STATUS_TOO_BIG : STATUS_OK);
            buf_done(&b);
        }
    for (size_t len = 1; len < 400; len++) { /* labels of 50 */
        struct buf b = BUF(1000);
        struct slice domain;
        for (size_t i = 1; i <= len; i++)
            assert_ok(buf_put_byte(&b, i % 51 == 0 && i != len ? '.' : 'd'));
        assert_status(domain_parse(buf_slice(&b), false, &a, &domain), len > LIMIT_DOMAIN ? STATUS_TOO_BIG : STATUS_OK);
        buf_done(&b);
    }
    struct buf b = BUF(2000);
    assert_ok(buf_put(&b, S("<@a.example")));
    for (size_t i = 0; i < 100; i++)
        assert_ok(buf_put(&b, S(",@a.example")));
    assert_ok(buf_put(&b, S(":a@b>")));
    assert_status(parse_path(buf_slice(&b), false, &a, &address, &left), STATUS_TOO_BIG);
    buf_done(&b);
    struct slice domain;
    char label[65];
    memset(label, 'a', sizeof label);
    assert_ok(domain_parse((struct slice){ label, 63 }, false, &a, &domain));
    assert_status(domain_parse((struct slice){ label, 64 }, false, &a, &domain), STATUS_MALFORMED);
    arena_done(&a);
}

static void C027_empty_quoted_local_part(void **state)
{
    (void)state;
    check_path("<\"\"@dom.example>", false, "", "dom.example", "\"\"@dom.example");
    refuse("<@dom.example>", false, STATUS_MALFORMED);
}

static void C028_truncated_utf8(void **state)
{
    (void)state;
    refuse("<\xc3", true, STATUS_MALFORMED);
    refuse("<\xc3>", true, STATUS_MALFORMED);
    refuse("<\xc3@b.example>", true, STATUS_MALFORMED);
    refuse("<\"\xe3\x81\"@b.example>", true, STATUS_MALFORMED);
    refuse("<a@\xe3\x81>", true, STATUS_MALFORMED);
    refuse("<a@\xe3\x81.example>", true, STATUS_MALFORMED);
    refuse("<\xc3\xa9@b.example>", false, STATUS_MALFORMED);
    refuse("<a@\xc3\xa9.example>", false, STATUS_MALFORMED);
}

static void C030_routes_percent_and_bang(void **state)
{
    (void)state;
    check_path("<@ours.example:v@ext.example>", false, "v", "ext.example", "v@ext.example");
    check_path("<@ours.example,@b:v@ext.example>", false, "v", "ext.example", "v@ext.example");
    check_path("<v%ext@ours.example>", false, "v%ext", "ours.example", "v%ext@ours.example");
    check_path("<ext!v@ours.example>", false, "ext!v", "ours.example", "ext!v@ours.example");
    check_path("<\"v@ext\"@ours.example>", false, "v@ext", "ours.example", "\"v@ext\"@ours.example");
    refuse("<v@ext@ours.example>", false, STATUS_MALFORMED);
    static const char *const routes[] = { "<@a>", "<@a:>", "<@a,:b@c>", "<@a,b:c@d>", "<@a@b:c@d>", "<@:c@d>", "<@a:@b:c@d>" };
    for (size_t i = 0; i < COUNT(routes); i++)
        refuse(routes[i], false, STATUS_MALFORMED);
}

static void C031_one_spelling_of_a_domain(void **state)
{
    (void)state;
    check_path("<a@OURS.example.>", false, "a", "ours.example", "a@ours.example");
    check_path("<a@localhost>", false, "a", "localhost", "a@localhost");
    check_path("<a@B\xc3\x9c"
               "CHER.example>",
        true, "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example");
    check_path("<a@XN--BCHER-KVA.example>", false, "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example");
    check_path("<a@fa\xc3\x9f.example>", true, "a", "xn--fa-hia.example", "a@xn--fa-hia.example"); /* not fass */
    check_path("<a@\xe6\x97\xa5\xe6\x9c\xac\xe3\x80\x82jp>", true, "a", "xn--wgv71a.jp", "a@xn--wgv71a.jp");
    refuse("<a@a..>", false, STATUS_MALFORMED);
    /* Full width '@', '/' and '%' come out of the mapping as such and make no domain. */
    refuse("<a@b\xef\xbc\xa0" "c.example>", true, STATUS_MALFORMED);
    refuse("<a@b\xef\xbc\x8f" "c.example>", true, STATUS_MALFORMED);
}

static void C032_address_literals(void **state)
{
    (void)state;
    check_path("<u@[127.0.0.1]>", false, "u", "[127.0.0.1]", "u@[127.0.0.1]");
    check_path("<u@[IPv6:::1]>", false, "u", "[IPv6:::1]", "u@[IPv6:::1]");
    check_path("<u@[ipV6:2001:DB8:0::1]>", false, "u", "[IPv6:2001:db8::1]", "u@[IPv6:2001:db8::1]");
    check_path("<u@[IPv6:::ffff:192.0.2.1]>", false, "u", "[192.0.2.1]", "u@[192.0.2.1]");
    static const char *const wrong[] = { "<u@[0x7f.1]>", "<u@[127.1]>", "<u@[::1]>", "<u@[IPv6:127.0.0.1]>", "<u@[]>",
        "<u@[>", "<u@]>", "<u@[127.0.0.1>", "<u@[127.0.0.1]x>", "<u@[[127.0.0.1]]>", "<u@[tag:x]>", "<u@[ 127.0.0.1]>",
        "<u@[127.0.0.01]>", "<u@127.0.0.1>", "<u@1>", "<u@a.0x7f>", "<u@0x7f>" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        refuse(wrong[i], true, STATUS_MALFORMED);
    check_path("<u@3com.example>", false, "u", "3com.example", "u@3com.example");
}

static void C038_no_template_language(void **state)
{
    (void)state;
    check_path("<${run{cmd}}@host.example>", false, "${run{cmd}}", "host.example", "${run{cmd}}@host.example");
    check_path("<`id`@host.example>", false, "`id`", "host.example", "`id`@host.example");
    refuse("<${run{/bin/sh x}}@host.example>", false, STATUS_MALFORMED);
}

static void C046_what_may_stand_in_a_trace_field(void **state)
{
    (void)state;
    static const char *const right[] = { "a", "mail.example.org", "[192.0.2.1]", "[IPv6:2001:db8::1]", "xn--bcher-kva.example",
        "3com.example" };
    static const char *const wrong[] = { "", "x) by trusted (", "a b", "a\r\nb", "a_b", "-a", "a.", ".a", "a..b", "[1.2.3]",
        "192.0.2.1", "\xc3\xa9.example", "a/b", "[192.0.2.1] x", "a;b" };
    for (size_t i = 0; i < COUNT(right); i++)
        assert_true(domain_is_helo(slice_of(right[i])));
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_false(domain_is_helo(slice_of(wrong[i])));
}

static void utf8_is_told(void **state)
{
    (void)state;
    struct arena a = ARENA(10000);
    struct address address;
    assert_ok(address_parse(S("\xe3\x81\x88@b.example"), true, &a, &address));
    assert_true(address.needs_utf8);
    assert_ok(address_parse(S("a@b\xc3\xbc.example"), true, &a, &address));
    assert_true(address.needs_utf8);
    assert_ok(address_parse(S("a@b.example"), true, &a, &address));
    assert_false(address.needs_utf8);
    static const char *const wrong[] = { "", "a", "<a@b>", "a@b>", "a@b ", " a@b", "postmaster", "@b", "a@" };
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_status(address_parse(slice_of(wrong[i]), true, &a, &address), STATUS_MALFORMED);
    arena_done(&a);
}

static void keys(void **state)
{
    (void)state;
    struct arena a = ARENA(10000);
    struct address address;
    struct slice key;
    assert_ok(address_parse(S("\"Ann.B\"@EXAMPLE.org"), false, &a, &address));
    assert_ok(address_key(&address, &a, &key));
    assert_text(key, "ann.b@example.org");
    address = (struct address){ .is_null = true };
    assert_status(address_key(&address, &a, &key), STATUS_MALFORMED);
    arena_done(&a);
}

static void a_full_arena_or_buffer_is_told(void **state)
{
    (void)state;
    size_t fine = 0;
    for (size_t cap = 0; cap < 200; cap++) {
        struct arena a = ARENA(cap);
        struct address address;
        enum status status = address_parse(S("local@domain.example"), false, &a, &address);
        assert_true(status == STATUS_OK || status == STATUS_TOO_BIG);
        fine += status == STATUS_OK;
        arena_done(&a);
    }
    assert_in_range(fine, 100, 199);
    struct arena a = ARENA(1000);
    struct address address;
    assert_ok(address_parse(S("\"a b\\\"\"@b.example"), false, &a, &address));
    for (size_t max = 0; max < 18; max++) { /* "a b\""@b.example is 17 octets */
        struct buf b = BUF(max);
        assert_status(address_print(&b, &address), max < 17 ? STATUS_TOO_BIG : STATUS_OK);
        assert_int_equal(b.len, max < 17 ? 0 : 17);
        buf_done(&b);
    }
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_paths),
        cmocka_unit_test(the_null_path_and_what_follows),
        cmocka_unit_test(syntax_errors),
        cmocka_unit_test(C026_lengths_at_the_limit),
        cmocka_unit_test(C027_empty_quoted_local_part),
        cmocka_unit_test(C028_truncated_utf8),
        cmocka_unit_test(C030_routes_percent_and_bang),
        cmocka_unit_test(C031_one_spelling_of_a_domain),
        cmocka_unit_test(C032_address_literals),
        cmocka_unit_test(C038_no_template_language),
        cmocka_unit_test(C046_what_may_stand_in_a_trace_field),
        cmocka_unit_test(utf8_is_told),
        cmocka_unit_test(keys),
        cmocka_unit_test(a_full_arena_or_buffer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

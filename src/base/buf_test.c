#include "base/buf.h"

#include "base/secret.h"
#include "base/testing.h"

static void the_maximum_is_exact_and_a_failed_put_changes_nothing(void **state)
{
    (void)state;
    for (size_t max = 0; max < 200; max++) {
        struct buf b = BUF(max);
        for (size_t i = 0; i < max; i++)
            assert_ok(i % 2 ? buf_put_byte(&b, 'a') : buf_put(&b, S("b")));
        assert_int_equal(b.len, max);
        assert_status(buf_put_byte(&b, 'x'), STATUS_TOO_BIG);
        assert_status(buf_put(&b, S("x")), STATUS_TOO_BIG);
        assert_status(buf_put_number(&b, 7), STATUS_TOO_BIG);
        assert_status(buf_print(&b, "%d", 7), STATUS_TOO_BIG);
        assert_ok(buf_put(&b, NO_SLICE));
        assert_ok(buf_print(&b, "%s", ""));
        assert_int_equal(b.len, max);
        for (size_t i = 0; i < max; i++)
            assert_int_equal(b.ptr[i], i % 2 ? 'a' : 'b');
        buf_done(&b);
        assert_int_equal(b.max, max);
    }
}

static void C048_an_absurd_length_is_too_big(void **state)
{
    (void)state;
    struct buf b = BUF(100);
    char *room = NULL;
    assert_ok(buf_put(&b, S("abc")));
    assert_status(buf_reserve(&b, SIZE_MAX, &room), STATUS_TOO_BIG);
    assert_status(buf_reserve(&b, SIZE_MAX - 2, &room), STATUS_TOO_BIG);
    assert_null(room);
    assert_buf(b, "abc");
    buf_done(&b);
}

static void printing_is_exact_at_every_length(void **state)
{
    (void)state;
    char text[600];
    memset(text, 'z', sizeof text);
    for (int len = 0; len < 600; len += 1) {
        struct buf b = BUF((size_t)len + 1);
        assert_ok(buf_print(&b, "<%.*s", len, text));
        assert_int_equal(b.len, len + 1);
        assert_status(buf_print(&b, "!"), STATUS_TOO_BIG);
        assert_true(b.ptr[0] == '<' && (len == 0 || b.ptr[len] == 'z'));
        buf_done(&b);
    }
}

static void numbers(void **state)
{
    (void)state;
    struct buf b = BUF(100);
    assert_ok(buf_put_number(&b, 0));
    assert_ok(buf_put_byte(&b, ' '));
    assert_ok(buf_put_number(&b, 10));
    assert_ok(buf_put_byte(&b, ' '));
    assert_ok(buf_put_number(&b, UINT64_MAX));
    assert_buf(b, "0 10 18446744073709551615");
    buf_done(&b);
}

static void reserve_grow_drop_clear(void **state)
{
    (void)state;
    struct buf b = BUF(1000);
    char *room;
    assert_ok(buf_reserve(&b, 1000, &room));
    memcpy(room, "0123456789", 10);
    buf_grown(&b, 10);
    buf_drop(&b, 0);
    buf_drop(&b, 3);
    assert_buf(b, "3456789");
    buf_drop(&b, 7);
    assert_buf(b, "");
    char *memory = b.ptr;
    buf_clear(&b);
    assert_ptr_equal(b.ptr, memory);
    buf_done(&b);
}

static void wiping_leaves_nothing(void **state)
{
    (void)state;
    struct buf b = BUF(1000);
    assert_ok(buf_put(&b, S("a secret of some length")));
    buf_drop(&b, 9); /* which leaves octets behind the end */
    buf_wipe(&b);
    assert_int_equal(b.len, 0);
    for (size_t i = 0; i < b.cap && i < 23; i++)
        assert_int_equal(b.ptr[i], 0);
    buf_done(&b);
}

static void C088_a_secret_is_bounded(void **state)
{
    (void)state;
    static const char octets[LIMIT_SECRET + 1] = { 1 };
    static struct secret secret;
    assert_ok(secret_set(&secret, (struct slice){ octets, LIMIT_SECRET }));
    assert_int_equal(secret_slice(&secret).len, LIMIT_SECRET);
    assert_status(secret_set(&secret, (struct slice){ octets, LIMIT_SECRET + 1 }), STATUS_TOO_BIG);
    assert_int_equal(secret_slice(&secret).len, LIMIT_SECRET);
    assert_ok(secret_set(&secret, S("ab")));
    assert_text(secret_slice(&secret), "ab");
    assert_int_equal(secret.bytes[2], 0);
    secret_wipe(&secret);
    assert_int_equal(secret.len, 0);
    assert_int_equal(secret.bytes[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_maximum_is_exact_and_a_failed_put_changes_nothing),
        cmocka_unit_test(C048_an_absurd_length_is_too_big),
        cmocka_unit_test(printing_is_exact_at_every_length),
        cmocka_unit_test(numbers),
        cmocka_unit_test(reserve_grow_drop_clear),
        cmocka_unit_test(wiping_leaves_nothing),
        cmocka_unit_test(C088_a_secret_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

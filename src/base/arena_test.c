#include "base/arena.h"

#include "base/testing.h"

static void memory_is_zeroed_and_aligned_after_reuse(void **state)
{
    (void)state;
    struct arena a = ARENA(1 << 20);
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 300; size++) {
            unsigned char *taken = arena_take(&a, size);
            assert_non_null(taken);
            assert_int_equal((uintptr_t)taken % 16, 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(taken[i], 0);
            memset(taken, 0xff, size);
        }
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    arena_done(&a);
    assert_null(a.chunks);
}

static void takings_do_not_overlap(void **state)
{
    (void)state;
    struct arena a = ARENA(1 << 20);
    unsigned char *taken[200];
    for (size_t i = 0; i < COUNT(taken); i++) {
        taken[i] = arena_take(&a, i * 7 + 1);
        memset(taken[i], (int)i, i * 7 + 1);
    }
    for (size_t i = 0; i < COUNT(taken); i++)
        for (size_t at = 0; at < i * 7 + 1; at++)
            assert_int_equal(taken[i][at], i);
    arena_done(&a);
}

static void the_cap_holds_to_the_octet(void **state)
{
    (void)state;
    struct arena a = ARENA(1000);
    assert_null(arena_take(&a, 1001));
    assert_non_null(arena_take(&a, 1000));
    assert_null(arena_take(&a, 1));
    arena_reset(&a);
    size_t count = 0;
    while (arena_take(&a, 10))
        count++;
    assert_in_range(count, 60, 63); /* rounding costs, and never gives more */
    assert_null(arena_take(&a, SIZE_MAX));
    assert_null(arena_take(&a, SIZE_MAX - 8));
    arena_done(&a);
    assert_non_null(arena_take(&a, 1000));
    arena_done(&a);
}

static void rows_are_checked_for_overflow(void **state)
{
    (void)state;
    struct arena a = ARENA(1 << 20);
    assert_null(arena_take_rows(&a, SIZE_MAX / 2, 4));
    assert_null(arena_take_rows(&a, 4, SIZE_MAX / 2));
    uint64_t *rows = arena_take_rows(&a, 100, sizeof *rows);
    assert_non_null(rows);
    rows[99] = 1;
    arena_done(&a);
}

static void a_copy_ends_with_nul(void **state)
{
    (void)state;
    struct arena a = ARENA(8);
    struct slice copy = S("untouched");
    assert_ok(arena_copy(&a, S("seven77"), &copy));
    assert_text(copy, "seven77");
    assert_int_equal(copy.ptr[7], 0);
    assert_status(arena_copy(&a, S("x"), &copy), STATUS_TOO_BIG);
    assert_text(copy, "seven77");
    arena_reset(&a);
    assert_ok(arena_copy(&a, NO_SLICE, &copy));
    assert_int_equal(copy.len, 0);
    assert_non_null(copy.ptr);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned_after_reuse),
        cmocka_unit_test(takings_do_not_overlap),
        cmocka_unit_test(the_cap_holds_to_the_octet),
        cmocka_unit_test(rows_are_checked_for_overflow),
        cmocka_unit_test(a_copy_ends_with_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "proto/pin.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/testing.h"

static void test_C096_first_name_stays_for_account_and_device(void **state)
{
    struct pins pins = { 0 };
    (void)state;
    assert_true(pin_fits(&pins, 1, 0, S("scanner.lan")));
    pin_note(&pins, 1, 0, S("Scanner.lan"));
    pin_note(&pins, 1, 0, S("other.lan"));
    assert_true(pin_fits(&pins, 1, 0, S("SCANNER.LAN")));
    assert_false(pin_fits(&pins, 1, 0, S("other.lan")));
    assert_false(pin_fits(&pins, 1, 0, S("scanner.la")));
    assert_false(pin_fits(&pins, 1, 0, NO_SLICE));
    assert_true(pin_fits(&pins, 1, 7, S("other.lan")) && pin_fits(&pins, 2, 0, S("other.lan")));
    pin_done(&pins);
}

static void test_no_name_is_a_name(void **state)
{
    struct pins pins = { 0 };
    (void)state;
    pin_note(&pins, 1, 0, NO_SLICE);
    assert_true(pin_fits(&pins, 1, 0, NO_SLICE));
    assert_false(pin_fits(&pins, 1, 0, S("x")));
    pin_done(&pins);
}

static void test_forgotten_by_account_and_device(void **state)
{
    struct pins pins = { 0 };
    (void)state;
    for (uint32_t account = 1; account <= 3; account++)
        for (uint32_t device = 0; device < 3; device++)
            pin_note(&pins, account, device, S("a"));
    pin_forget(&pins, 1, 2);
    assert_true(pin_fits(&pins, 1, 2, S("b")));
    assert_false(pin_fits(&pins, 1, 1, S("b")) || pin_fits(&pins, 1, 0, S("b")));
    pin_forget(&pins, 2, 0);
    assert_int_equal(pins.rows.count, 5);
    pin_forget(&pins, 0, 0);
    assert_int_equal(pins.rows.count, 0);
    pin_done(&pins);
}

static void test_memory_is_bounded(void **state)
{
    struct pins pins = { 0 };
    (void)state;
    for (uint32_t account = 1; account <= LIMIT_PINS + 10; account++)
        pin_note(&pins, account, 0, S("a"));
    assert_int_equal(pins.rows.count, LIMIT_PINS);
    assert_true(pin_fits(&pins, LIMIT_PINS + 5, 0, S("b")));
    assert_false(pin_fits(&pins, 5, 0, S("b")));
    pin_done(&pins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_C096_first_name_stays_for_account_and_device),
        cmocka_unit_test(test_no_name_is_a_name),
        cmocka_unit_test(test_forgotten_by_account_and_device),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests_name("pin", tests, NULL, NULL);
}

#include "keeper/parcel.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"

#define SIZE (LIMIT_INLINE_STORED + 3 * LIMIT_BODY_FRAME)

static struct body_store bodies;
static char dir[64], noise[SIZE];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/ekirei-parcel-XXXXXX");
    random_fill(noise, sizeof noise);
    return mkdtemp(dir) && body_store_open(&bodies, dir) == STATUS_OK ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    body_store_close(&bodies);
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Is the file of a large body there after its write ended so? */
static bool stays(enum status written, bool finishes)
{
    struct parcel parcel;
    struct buf octet = BUF(1);
    parcel_init(&parcel, &bodies);
    assert_int_equal(parcel_put(&parcel, (struct slice){ noise, sizeof noise }), STATUS_OK);
    if (finishes)
        assert_int_equal(parcel_finish(&parcel), STATUS_OK);
    assert_true(parcel.has_file);
    struct body_file file = parcel.file;
    parcel_done(&parcel, parcel_is_needed(written));
    enum status status = body_file_read(&bodies, slice_of(file.name), 0, 1, &octet);
    buf_done(&octet);
    assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
    return status == STATUS_OK;
}

/* C219: after a sync that failed nobody knows whether the row is on the disk, so the file must not go. */
static void test_C219_a_file_stays_where_its_row_may_come_back(void **state)
{
    (void)state;
    assert_true(stays(STATUS_OK, true));
    assert_true(stays(STATUS_IO, true));
    assert_false(stays(STATUS_NOT_FOUND, true));
    assert_false(stays(STATUS_BUSY, true));
    assert_false(stays(STATUS_FULL, true)); /* no room for the row: it was not written, and the file must not fill the rest */
    assert_false(stays(STATUS_IO, false)); /* never whole, never named */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_C219_a_file_stays_where_its_row_may_come_back, setup, teardown),
    };
    vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

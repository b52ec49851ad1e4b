#include "store/body.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct body_store bodies;
static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/ekirei-body-XXXXXX");
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
    body_store_close(&bodies); /* once more is no harm */
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_write_and_read(void **state)
{
    (void)state;
    struct body_file file;
    struct buf out = BUF(100);
    assert_int_equal(STATUS_OK, body_file_open(&bodies, &file));
    assert_int_equal(STATUS_OK, body_file_put(&file, S("hello, ")));
    assert_int_equal(STATUS_OK, body_file_put(&file, S("world")));
    assert_int_equal(STATUS_OK, body_file_finish(&bodies, &file));
    struct slice name = slice_of(file.name);
    assert_int_equal(STATUS_OK, body_file_read(&bodies, name, 0, 100, &out));
    assert_true(slice_equal(buf_slice(&out), S("hello, world")));
    assert_int_equal(STATUS_OK, body_file_read(&bodies, name, 7, 3, &out)); /* appends */
    assert_true(slice_equal(buf_slice(&out), S("hello, worldwor")));
    assert_int_equal(STATUS_OK, body_file_read(&bodies, name, 12, 3, &out)); /* behind the end: nothing */
    assert_int_equal(15, out.len);
    assert_int_equal(STATUS_TOO_BIG, body_file_read(&bodies, name, 0, 86, &out));
    assert_int_equal(STATUS_OK, body_file_remove(&bodies, name));
    assert_int_equal(STATUS_NOT_FOUND, body_file_remove(&bodies, name));
    assert_int_equal(STATUS_NOT_FOUND, body_file_read(&bodies, name, 0, 3, &out));
    buf_done(&out);
}

static void test_abandon(void **state)
{
    (void)state;
    struct body_file file;
    struct buf out = BUF(100);
    assert_int_equal(STATUS_OK, body_file_open(&bodies, &file));
    assert_int_equal(STATUS_OK, body_file_put(&file, S("x")));
    body_file_abandon(&bodies, &file);
    assert_int_equal(STATUS_NOT_FOUND, body_file_read(&bodies, slice_of(file.name), 0, 3, &out));
    buf_done(&out);
}

/* A gate's staging file has no name, and nobody else can open it. */
static void test_stage(void **state)
{
    (void)state;
    int fd, other;
    struct stat status;
    assert_int_equal(STATUS_OK, body_stage(&bodies, &fd));
    assert_int_equal(STATUS_OK, body_stage(&bodies, &other));
    assert_int_equal(3, write(fd, "abc", 3));
    assert_int_equal(0, fstat(fd, &status));
    assert_int_equal(0, status.st_nlink);
    assert_int_equal(0600, status.st_mode & 0777);
    assert_int_equal(0, fstat(other, &status));
    assert_int_equal(0, status.st_size);
    close(fd);
    close(other);
}

/* C123, C221: a name that is not one of ours is never followed, nor is a link. */
static void test_c221_names(void **state)
{
    (void)state;
    struct buf out = BUF(100);
    static const char *const names[] = { "", "bodies", "/etc/passwd", "bodies/../../../../../../../../../etc/passwd",
        "bodies/ab/0123456789abcdef0123456789abcde", "bodies/ab/0123456789abcdef0123456789abcdef0",
        "bodies/AB/0123456789abcdef0123456789abcdef", "bodies/ab/0123456789abcdef0123456789abcde/",
        "bodies/..//123456789abcdef0123456789abcdef0", "xodies/ab/0123456789abcdef0123456789abcdef" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(STATUS_CORRUPT, body_file_read(&bodies, slice_of(names[i]), 0, 10, &out));
        assert_int_equal(STATUS_CORRUPT, body_file_remove(&bodies, slice_of(names[i])));
    }
    struct body_file file;
    assert_int_equal(STATUS_OK, body_file_open(&bodies, &file));
    assert_int_equal(STATUS_OK, body_file_finish(&bodies, &file));
    assert_int_equal(STATUS_OK, body_file_remove(&bodies, slice_of(file.name)));
    assert_int_equal(0, symlinkat("/etc/passwd", bodies.dir, file.name));
    assert_int_equal(STATUS_IO, body_file_read(&bodies, slice_of(file.name), 0, 10, &out));
    assert_int_equal(0, out.len);
    buf_done(&out);
}

static void test_no_folder(void **state)
{
    (void)state;
    struct body_store none;
    assert_int_equal(STATUS_NOT_FOUND, body_store_open(&none, "/tmp/ekirei-body-is-not-here"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_write_and_read),
        TEST(test_abandon),
        TEST(test_stage),
        TEST(test_c221_names),
        TEST(test_no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"
#include "base/testing.h"

/* The line that one event writes, taken off descriptor 2. */
static char got[2 * LIMIT_LOG_LINE];
static int pipes[2], stderr_kept;

static int catch_stderr(void **state)
{
    (void)state;
    stderr_kept = dup(2);
    return stderr_kept < 0 || pipe(pipes) != 0 || dup2(pipes[1], 2) < 0;
}

static int release_stderr(void **state)
{
    (void)state;
    dup2(stderr_kept, 2);
    close(stderr_kept);
    close(pipes[0]);
    close(pipes[1]);
    return 0;
}

static struct slice line(void)
{
    if (write(pipes[1], "|", 1) != 1) /* so that a read of nothing does not wait */
        return NO_SLICE;
    ssize_t len = read(pipes[0], got, sizeof got);
    assert_true(len >= 1 && got[len - 1] == '|');
    return (struct slice){ got, (size_t)len - 1 };
}

/* Behind time, level, role and pid. */
static struct slice event(void)
{
    struct slice rest = line(), word;
    for (int i = 0; i < 3; i++)
        assert_true(slice_word(&rest, &word));
    return slice_from(rest, 1);
}

static void a_line_has_its_form(void **state)
{
    (void)state;
    struct ip ip;
    assert_ok(ip_parse(S("::ffff:192.0.2.7"), &ip));
    log_open("user", LOG_INFO);
    LOG(LOG_INFO, "pop3.login", LOG_WORD("session", "u1-2f"), LOG_TEXT("account", S("a@b.example")), LOG_IP("peer", ip),
        LOG_NUMBER("size", UINT64_MAX), LOG_STATUS(STATUS_TOO_BIG));
    struct slice text = line();
    char wanted[256];
    int len = snprintf(wanted, sizeof wanted,
        " info user[%d] pop3.login session=u1-2f account=a@b.example peer=192.0.2.7 size=18446744073709551615 "
        "status=too-big\n",
        (int)getpid());
    assert_octets(slice_from(text, 24), (struct slice){ wanted, (size_t)len });
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; i < 24; i++)
        assert_true(form[i] == 'd' ? text.ptr[i] >= '0' && text.ptr[i] <= '9' : text.ptr[i] == form[i]);
}

static void levels_below_the_least_are_silent(void **state)
{
    (void)state;
    log_open("user", LOG_WARNING);
    LOG(LOG_INFO, "quiet");
    assert_int_equal(line().len, 0);
    LOG(LOG_ERROR, "loud");
    assert_text(event(), "loud\n");
    log_open("user", LOG_DEBUG);
}

static void C154_no_value_forges_a_line(void **state)
{
    (void)state;
    LOG(LOG_INFO, "x", LOG_TEXT("v", S("a\r\n2026 info forged\x1b[2J\x7f\0")));
    assert_text(event(), "x v=\"a\\x0d\\x0a2026 info forged\\x1b[2J\\x7f\\x00\"\n");
    LOG(LOG_INFO, "x", LOG_TEXT("v", S("\xc2\x9b"
                                       "2J")));
    assert_text(event(), "x v=\\xc2\\x9b2J\n");
    LOG(LOG_INFO, "x", LOG_TEXT("v", S("a\" b=\\")), LOG_TEXT("w", NO_SLICE), LOG_TEXT("z", S("a=b")));
    assert_text(event(), "x v=\"a\\\" b=\\\\\" w=\"\" z=\"a=b\"\n");
    LOG(LOG_INFO, "x", LOG_TEXT("v", S("えき\xe3\x81")));
    assert_text(event(), "x v=えき\\xe3\\x81\n");
    for (int octet = 0; octet < 256; octet++) {
        char value[] = { (char)octet };
        LOG(LOG_INFO, "x", LOG_TEXT("v", ((struct slice){ value, 1 })));
        struct slice text = event();
        assert_int_equal(slice_find(text, '\n'), text.len - 1);
        assert_false(slice_has_control(slice_upto(text, text.len - 1)));
        assert_true(slice_is_ascii(text));
    }
}

static void C154_long_values_are_cut(void **state)
{
    (void)state;
    char value[LIMIT_LOG_VALUE + 1];
    memset(value, 'a', sizeof value);
    LOG(LOG_INFO, "x", LOG_TEXT("v", ((struct slice){ value, LIMIT_LOG_VALUE })));
    assert_int_equal(event().len, 4 + LIMIT_LOG_VALUE + 1);
    LOG(LOG_INFO, "x", LOG_TEXT("v", ((struct slice){ value, sizeof value })));
    struct slice text = event();
    assert_int_equal(text.len, 4 + LIMIT_LOG_VALUE + 3 + 1);
    assert_true(slice_has(text, S("a...\n")));
}

static void C154_long_lines_are_cut_at_a_field(void **state)
{
    (void)state;
    char value[LIMIT_LOG_VALUE];
    memset(value, 1, sizeof value);
    struct log_field fields[9] = { 0 };
    for (size_t i = 0; i < 8; i++)
        fields[i] = LOG_TEXT("v", ((struct slice){ value, sizeof value }));
    log_event(LOG_INFO, "x", fields);
    struct slice text = line();
    assert_in_range(text.len, 3 * 4 * LIMIT_LOG_VALUE, LIMIT_LOG_LINE);
    assert_true(slice_ends_nocase(text, S("\\x01 ...\n")));
    assert_int_equal(slice_find(text, '\n'), text.len - 1);
}

static void errno_survives(void **state)
{
    (void)state;
    errno = ENOENT;
    LOG(LOG_INFO, "x", LOG_ERRNO());
    assert_int_equal(errno, ENOENT);
    assert_text(event(), "x error=\"No such file or directory\"\n");
}

static void gathered_lines_go_together(void **state)
{
    (void)state;
    log_gather(true);
    LOG(LOG_INFO, "one");
    LOG(LOG_INFO, "two");
    assert_int_equal(line().len, 0);
    log_flush();
    struct slice both = line();
    size_t first = slice_find(both, '\n');
    assert_true(slice_ends_nocase(slice_upto(both, first), S(" one")));
    assert_true(slice_ends_nocase(both, S(" two\n")));
    log_flush();
    assert_int_equal(line().len, 0);
    LOG(LOG_INFO, "three");
    LOG(LOG_WARNING, "four"); /* takes what is before it along */
    both = line();
    assert_true(slice_has(both, S(" three\n")) && slice_ends_nocase(both, S(" four\n")));
    LOG(LOG_INFO, "five");
    log_gather(false);
    assert_text(event(), "five\n");
    LOG(LOG_INFO, "six");
    assert_text(event(), "six\n");
}

/* What does not fit behind the others goes in a write of its own, and no line is cut. */
static void a_gathered_write_is_atomic_on_a_pipe(void **state)
{
    (void)state;
    char value[LIMIT_LOG_VALUE];
    memset(value, 'a', sizeof value);
    log_gather(true);
    size_t whole = 0, writes = 0;
    for (int i = 0; i < 40; i++) {
        LOG(LOG_INFO, "x", LOG_TEXT("v", ((struct slice){ value, sizeof value })));
        struct slice text = line();
        writes += text.len > 0;
        assert_in_range(text.len, 0, LIMIT_LOG_LINE);
        assert_true(text.len == 0 || text.ptr[text.len - 1] == '\n');
        for (size_t at = 0; at < text.len; at++)
            whole += text.ptr[at] == '\n';
    }
    log_gather(false);
    struct slice rest = line();
    for (size_t at = 0; at < rest.len; at++)
        whole += rest.ptr[at] == '\n';
    assert_int_equal(whole, 40);
    assert_in_range(writes, 2, 5);
}

static void what_is_gathered_survives_a_bug(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        log_gather(true);
        LOG(LOG_INFO, "before");
        must_failed("x", "y.c", 1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    struct slice text = line();
    assert_true(slice_has(text, S(" before\n")) && slice_has(text, S("must(x) failed at y.c:1\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_its_form, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(levels_below_the_least_are_silent, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(C154_no_value_forges_a_line, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(C154_long_values_are_cut, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(C154_long_lines_are_cut_at_a_field, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(errno_survives, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(gathered_lines_go_together, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(a_gathered_write_is_atomic_on_a_pipe, catch_stderr, release_stderr),
        cmocka_unit_test_setup_teardown(what_is_gathered_survives_a_bug, catch_stderr, release_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

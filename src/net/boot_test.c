#include "net/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/control.h"

static const struct boot_pair pairs[] = { { S("chain one\n"), S("key one\n") }, { S("chain two\n"), S("key two\n") } };
static const char ticket[80] = "0123456789";

static struct boot sample(void)
{
    return (struct boot){ .settings = S("hostname = a.example\n\n"), .settings_name = S("/d/ekirei.conf"), .dir = S("/d"),
        .pairs = { pairs, 2 }, .ticket_key = { ticket, sizeof ticket }, .worker = 3, .generation = UINT64_C(1) << 40 };
}

static int put(const struct boot *boot)
{
    int fd;
    assert_int_equal(boot_put(boot, &fd), STATUS_OK);
    return fd;
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct boot boot = sample(), back = { 0 };
    struct arena arena = ARENA(65536);
    struct buf octets = { 0 };
    int fd = put(&boot);
    assert_int_equal(boot_get(fd, &arena, &octets, &back), STATUS_OK);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
    assert_true(slice_equal(back.settings, boot.settings));
    assert_true(slice_equal(back.settings_name, boot.settings_name));
    assert_true(slice_equal(back.dir, boot.dir));
    assert_true(slice_equal(back.ticket_key, boot.ticket_key));
    assert_int_equal(back.keeper_key.len, 0);
    assert_int_equal(back.worker, 3);
    assert_true(back.generation == boot.generation);
    assert_int_equal(back.pairs.count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(slice_equal(row_of(struct boot_pair, back.pairs, i)->certificate, pairs[i].certificate));
        assert_true(slice_equal(row_of(struct boot_pair, back.pairs, i)->key, pairs[i].key));
    }
    const char *key = row_of(struct boot_pair, back.pairs, 0)->key.ptr;
    buf_wipe(&octets); /* keeps the memory */
    assert_memory_not_equal(key, "key one\n", 8);
    buf_done(&octets);
    arena_done(&arena);
}

static void test_sealed(void **state)
{
    (void)state;
    struct boot boot = sample();
    int fd = put(&boot);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    close(fd);
}

static void test_cut_and_long_are_refused(void **state)
{
    (void)state;
    struct boot boot = sample(), back = { 0 };
    char octets[4096];
    int whole = put(&boot);
    ssize_t size = pread(whole, octets, sizeof octets, 0);
    close(whole);
    assert_true(size > 100 && size < (ssize_t)sizeof octets);
    octets[size] = 0;
    for (ssize_t cut = 0; cut <= size + 1; cut++) {
        int fd = memfd_create("cut", MFD_CLOEXEC);
        assert_int_equal(write(fd, octets, (size_t)cut), cut);
        struct arena arena = ARENA(65536);
        struct buf in = { 0 };
        enum status expected = cut == size ? STATUS_OK : STATUS_MALFORMED;
        assert_int_equal(boot_get(fd, &arena, &in, &back), expected);
        buf_done(&in);
        arena_done(&arena);
    }
    char *much = test_malloc(LIMIT_SETTINGS_FILE + 1);
    memset(much, 'x', LIMIT_SETTINGS_FILE + 1);
    boot.settings = (struct slice){ much, LIMIT_SETTINGS_FILE + 1 };
    int fd = -1;
    assert_int_equal(boot_put(&boot, &fd), STATUS_TOO_BIG);
    assert_int_equal(fd, -1);
    test_free(much);
}

static void test_no_file(void **state)
{
    (void)state;
    struct boot back = { 0 };
    struct arena arena = ARENA(4096);
    struct buf in = { 0 };
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[1]);
    assert_int_not_equal(boot_get(ends[0], &arena, &in, &back), STATUS_OK);
    assert_int_not_equal(boot_get(-1, &arena, &in, &back), STATUS_OK);
    buf_done(&in);
    arena_done(&arena);
}

/* ---- the control line ---- */

struct heard {
    struct loop loop;
    struct control *control;
    struct control_message messages[64];
    unsigned count;
};

static void on_event(void *context, const struct control_message *message)
{
    struct heard *heard = context;
    assert_true(heard->count < 64);
    heard->messages[heard->count++] = *message;
    if (message->kind == CONTROL_GONE) {
        control_close(heard->control);
        loop_stop(&heard->loop);
    }
}

static void test_control(void **state)
{
    (void)state;
    struct heard heard = { 0 };
    int ends[2], rider[2];
    loop_init(&heard.loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(pipe(rider), 0);
    heard.control = control_open(&heard.loop, ends[0], on_event, &heard);
    assert_int_equal(control_fd(heard.control), ends[0]);
    struct control_message listen = { .kind = CONTROL_LISTEN, .role = ROLE_USER, .service = 4, .worker = 200, .fd = rider[1] };
    assert_int_equal(control_send(ends[1], &listen), STATUS_OK);
    assert_int_equal(fcntl(rider[1], F_GETFD), -1);
    /* What is no message is thrown away: too short, too long, of no kind, and one that claims to be the end. */
    const char *junk[] = { "\1\1\1", "\1\1\1\1\1", "\143\1\1\1" };
    for (size_t i = 0; i < 3; i++)
        assert_true(send(ends[1], junk[i], strlen(junk[i]), MSG_NOSIGNAL) > 0);
    char end[4] = { CONTROL_GONE };
    assert_int_equal(send(ends[1], end, 4, MSG_NOSIGNAL), 4);
    assert_int_equal(control_send(ends[1], &(struct control_message){ .kind = CONTROL_STOP, .fd = -1 }), STATUS_OK);
    close(ends[1]);
    loop_run(&heard.loop);
    loop_done(&heard.loop);
    assert_int_equal(heard.count, 3);
    assert_int_equal(heard.messages[0].kind, CONTROL_LISTEN);
    assert_int_equal(heard.messages[0].role, ROLE_USER);
    assert_int_equal(heard.messages[0].service, 4);
    assert_int_equal(heard.messages[0].worker, 200);
    assert_true(heard.messages[0].fd >= 0);
    assert_int_equal(write(heard.messages[0].fd, "x", 1), 1);
    char octet = 0;
    assert_int_equal(read(rider[0], &octet, 1), 1);
    assert_int_equal(octet, 'x');
    close(heard.messages[0].fd);
    close(rider[0]);
    assert_int_equal(heard.messages[1].kind, CONTROL_STOP);
    assert_int_equal(heard.messages[1].fd, -1);
    assert_int_equal(heard.messages[2].kind, CONTROL_GONE);
}

static void test_control_never_waits(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    enum status status = STATUS_OK;
    for (int i = 0; i < 100000 && status == STATUS_OK; i++)
        status = control_send(ends[0], &(struct control_message){ .kind = CONTROL_READY, .fd = -1 });
    assert_int_equal(status, STATUS_BUSY);
    close(ends[1]);
    int rider = dup(ends[0]);
    assert_int_equal(control_send(ends[0], &(struct control_message){ .kind = CONTROL_READY, .fd = rider }), STATUS_AWAY);
    assert_int_equal(fcntl(rider, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_cut_and_long_are_refused),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_control_never_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

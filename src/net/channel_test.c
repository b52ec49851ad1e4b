#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "base/random.h"
#include "net/channel.h"

/* Two ends in one loop.  Each counts what it gets; `serve` answers every ask. */
struct end {
    struct channel *channel;
    struct loop *loop;
    uint32_t frames, stop_at, close_at, riders; /* riders: descriptors whose file names the frame they came with */
    int lost, fd;                               /* fd: the last descriptor that came */
    bool serve, wrong_order;
    const char *why;
    uint64_t octets;
};

static struct loop loop;
static struct end left, right;

static void on_frame(void *context, struct frame *frame)
{
    struct end *end = context;
    int *fd = frame->is_answer ? &frame->answer.fd : &frame->ask.fd;
    if (*fd >= 0) {
        char expected[16], got[16] = { 0 };
        snprintf(expected, sizeof expected, "file %u", frame->number);
        end->riders += pread(*fd, got, sizeof got - 1, 0) > 0 && strcmp(got, expected) == 0;
        if (end->fd >= 0)
            close(end->fd);
        end->fd = *fd;
    }
    end->wrong_order |= frame->number != end->frames;
    end->frames++;
    if (!frame->is_answer && frame->ask.kind == ASK_DELIVER)
        end->octets += frame->ask.deliver.body.len;
    if (end->serve) {
        struct frame reply = { .session = frame->session,
            .number = frame->number,
            .is_answer = true,
            .answer = { .kind = frame->ask.kind, .fd = -1, .rcpt = { .verdict = MAIL_OK, .local = 1 } } };
        assert_int_equal(channel_put(end->channel, &reply), STATUS_OK);
    }
    if (end->frames == end->close_at) {
        channel_close(end->channel);
        end->channel = NULL;
        loop_stop(end->loop);
    }
    if (end->frames == end->stop_at)
        loop_stop(end->loop);
}

static void on_lost(void *context, const char *why)
{
    struct end *end = context;
    end->lost++;
    end->why = why;
    loop_stop(end->loop);
}

static void open_end(struct end *end, int fd)
{
    *end = (struct end){ .loop = &loop, .fd = -1 };
    end->channel = channel_open(&loop, fd, &(struct channel_events){ on_frame, on_lost, end });
}

static int begin(void **state)
{
    (void)state;
    int pair[2];
    loop_init(&loop);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    open_end(&left, pair[0]);
    open_end(&right, pair[1]);
    return 0;
}

/* The left end is a bare socket: what it writes is not made by the channel. */
static int begin_raw(void **state)
{
    static int raw;
    int pair[2];
    loop_init(&loop);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    raw = pair[0];
    left = (struct end){ .fd = -1 };
    open_end(&right, pair[1]);
    *state = &raw;
    return 0;
}

static void close_end(struct end *end)
{
    if (end->channel)
        channel_close(end->channel);
    if (end->fd >= 0)
        close(end->fd);
}

static int end(void **state)
{
    if (*state)
        close(*(int *)*state);
    close_end(&left);
    close_end(&right);
    loop_done(&loop);
    return 0;
}

static struct frame rcpt_frame(uint32_t number)
{
    return (struct frame){
        .session = 7, .number = number, .ask = { .kind = ASK_RCPT, .fd = -1, .rcpt = { S("a@b.example") } }
    };
}

static void asks_and_answers_keep_their_order(void **state)
{
    (void)state;
    right.serve = true;
    left.stop_at = 1000;
    for (uint32_t i = 0; i < 1000; i++) {
        struct frame frame = rcpt_frame(i);
        assert_int_equal(channel_put(left.channel, &frame), STATUS_OK);
    }
    loop_run(&loop);
    assert_int_equal(left.frames, 1000);
    assert_int_equal(right.frames, 1000);
    assert_false(left.wrong_order || right.wrong_order);
}

static char body[LIMIT_INLINE_BODY];

static struct frame body_frame(uint32_t number)
{
    return (struct frame){ .session = 1,
        .number = number,
        .ask = {
            .kind = ASK_DELIVER, .fd = -1, .deliver = { .sender = S("a@b.example"), .body = { body, sizeof body } } } };
}

static void a_channel_that_nobody_reads_says_busy_and_recovers(void **state)
{
    (void)state;
    uint32_t put = 0;
    enum status status;
    random_fill(body, sizeof body);
    do {
        struct frame frame = body_frame(put);
        status = channel_put(left.channel, &frame);
    } while (status == STATUS_OK && ++put < 1000);
    assert_int_equal(status, STATUS_BUSY);
    assert_in_range(put, LIMIT_CHANNEL_OUT / sizeof body - 1, LIMIT_CHANNEL_OUT / sizeof body + 1);
    right.stop_at = put;
    loop_run(&loop);
    assert_int_equal(right.frames, put);
    assert_false(right.wrong_order);
    assert_int_equal(right.octets, put * sizeof body);
    struct frame frame = body_frame(put);
    assert_int_equal(channel_put(left.channel, &frame), STATUS_OK);
}

static int file_with(const char *text)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

static void each_descriptor_comes_with_its_own_frame(void **state)
{
    (void)state;
    char text[16];
    for (uint32_t i = 0; i < 40; i++) {
        struct frame frame = i % 3 ? rcpt_frame(i) : body_frame(i);
        snprintf(text, sizeof text, "file %u", i);
        if (i % 4 == 1)
            frame.ask.fd = file_with(text);
        assert_int_equal(channel_put(left.channel, &frame), STATUS_OK);
    }
    right.stop_at = 40;
    loop_run(&loop);
    assert_int_equal(right.frames, 40);
    assert_int_equal(right.riders, 10);
    assert_true(fcntl(right.fd, F_GETFD) & FD_CLOEXEC);
    assert_false(right.wrong_order);
}

static void the_end_of_the_other_side_is_told_once(void **state)
{
    (void)state;
    struct frame frame = rcpt_frame(0);
    assert_int_equal(channel_put(left.channel, &frame), STATUS_OK);
    channel_drain(left.channel, SECONDS(1));
    channel_close(left.channel);
    left.channel = NULL;
    loop_run(&loop);
    assert_int_equal(right.frames, 1); /* the last word arrives */
    assert_int_equal(right.lost, 1);
    assert_string_equal(right.why, "closed");
    frame = rcpt_frame(1);
    assert_int_equal(channel_put(right.channel, &frame), STATUS_AWAY);
}

static void a_callback_may_close_the_channel_between_frames(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        struct frame frame = rcpt_frame(i);
        assert_int_equal(channel_put(left.channel, &frame), STATUS_OK);
    }
    right.close_at = 3;
    loop_run(&loop);
    assert_int_equal(right.frames, 3);
    assert_int_equal(right.lost, 0);
}

static void c041_garbage_loses_that_channel_and_nothing_else(void **state)
{
    int raw = *(int *)*state;
    static const char *const garbage[] = { "GET / HTTP/1.1\r\n\r\n", "\x05\0\0\0\0xxxx", "\0\0\0\0\0",
        "\xff\xff\xff\xff\0", "\x02\0\0\0\2\1" };
    static const size_t sizes[] = { 18, 9, 5, 5, 6 };
    for (size_t i = 0; i < 5; i++) {
        int pair[2];
        struct end hurt;
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        open_end(&hurt, pair[1]);
        assert_int_equal(write(pair[0], garbage[i], sizes[i]), sizes[i]);
        loop_run(&loop);
        assert_int_equal(hurt.lost, 1);
        assert_string_equal(hurt.why, "malformed frame");
        assert_int_equal(hurt.frames, 0);
        assert_int_equal(right.lost, 0);
        close_end(&hurt);
        close(pair[0]);
    }
    (void)raw;
}

/* One frame as the channel writes it. */
static size_t whole_frame(char mark, char *room, size_t size)
{
    struct buf out = BUF(4096);
    struct frame frame = rcpt_frame(0);
    assert_int_equal(frame_put(&out, &frame), STATUS_OK);
    size_t length = out.len + 1;
    assert_in_range(length + 4, 1, size);
    memcpy(room, (char[]){ (char)length, (char)(length >> 8), 0, 0, mark }, 5);
    memcpy(room + 5, out.ptr, out.len);
    buf_done(&out);
    return length + 4;
}

static void send_with(int fd, struct slice octets, const int *riders, size_t count)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(4 * sizeof(int))];
    } control = { 0 };
    struct iovec part = { (void *)(uintptr_t)octets.ptr, octets.len };
    struct msghdr message = { .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.octets,
        .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))
    };
    memcpy(CMSG_DATA(header), riders, count * sizeof(int));
    assert_int_equal(sendmsg(fd, &message, 0), octets.len);
}

static void an_announced_descriptor_that_did_not_come_is_malformed(void **state)
{
    int raw = *(int *)*state;
    char octets[256];
    size_t len = whole_frame(1, octets, sizeof octets);
    assert_int_equal(write(raw, octets, len), len);
    loop_run(&loop);
    assert_int_equal(right.frames, 0);
    assert_string_equal(right.why, "malformed frame");
}

/* A pipe tells when its last write end is gone. */
static bool is_closed_elsewhere(int read_end)
{
    char octet;
    fcntl(read_end, F_SETFL, O_NONBLOCK);
    return read(read_end, &octet, 1) == 0;
}

static void descriptors_that_nobody_announced_are_closed(void **state)
{
    int raw = *(int *)*state, ends[2], extra[2];
    char octets[256];
    must(pipe(ends) == 0 && pipe(extra) == 0);
    size_t len = whole_frame(0, octets, sizeof octets);
    send_with(raw, (struct slice){ octets, len }, (int[]){ ends[1], extra[1], ends[1] }, 3);
    close(ends[1]);
    right.stop_at = 1;
    loop_run(&loop);
    assert_int_equal(right.frames, 1);
    assert_int_equal(right.fd, -1);
    assert_true(is_closed_elsewhere(ends[0]));
    /* Of two, the frame gets the first. */
    len = whole_frame(1, octets, sizeof octets);
    send_with(raw, (struct slice){ octets, len }, (int[]){ raw, extra[1] }, 2);
    close(extra[1]);
    right.stop_at = 2;
    loop_run(&loop);
    assert_true(right.fd >= 0);
    assert_true(is_closed_elsewhere(extra[0]));
    close(ends[0]);
    close(extra[0]);
}

static void frames_cut_at_every_octet_come_whole(void **state)
{
    int raw = *(int *)*state;
    char octets[256];
    size_t len = whole_frame(0, octets, sizeof octets);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(right.frames, 0);
        assert_int_equal(write(raw, octets + i, 1), 1);
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    }
    assert_int_equal(right.frames, 1);
}

/* ---- channel_call ------------------------------------------------------------------------------------------------ */

static void *answer_one(void *argument)
{
    int fd = *(int *)argument;
    struct loop other;
    struct end server = { .loop = &other, .fd = -1, .stop_at = 1, .serve = true };
    loop_init(&other);
    server.channel = channel_open(&other, fd, &(struct channel_events){ on_frame, on_lost, &server });
    server.frames = 0;
    server.wrong_order = false;
    loop_run(&other);
    channel_close(server.channel);
    loop_done(&other);
    return NULL;
}

static void a_call_waits_for_its_answer(void **state)
{
    (void)state;
    int pair[2];
    pthread_t thread;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    must(pthread_create(&thread, NULL, answer_one, &pair[1]) == 0);
    struct arena arena = ARENA(65536);
    struct buf scratch = BUF(CHANNEL_SCRATCH);
    struct answer answer;
    struct ask ask = { .kind = ASK_RCPT, .fd = -1, .rcpt = { S("a@b.example") } };
    assert_int_equal(channel_call(pair[0], &ask, &arena, &scratch, &answer), STATUS_OK);
    assert_int_equal(answer.kind, ASK_RCPT);
    assert_int_equal(answer.rcpt.verdict, MAIL_OK);
    pthread_join(thread, NULL);
    /* The other end is gone now. */
    assert_int_equal(channel_call(pair[0], &ask, &arena, &scratch, &answer), STATUS_AWAY);
    close(pair[0]);
    buf_done(&scratch);
    arena_done(&arena);
}

static void a_call_refuses_what_is_no_answer_to_it(void **state)
{
    int raw = *(int *)*state, pair[2];
    char octets[256];
    (void)raw;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    size_t len = whole_frame(0, octets, sizeof octets); /* an ask, not an answer */
    assert_int_equal(write(pair[1], octets, len), len);
    struct arena arena = ARENA(65536);
    struct buf scratch = BUF(CHANNEL_SCRATCH);
    struct answer answer;
    struct ask ask = { .kind = ASK_RCPT, .fd = -1, .rcpt = { S("a@b.example") } };
    assert_int_equal(channel_call(pair[0], &ask, &arena, &scratch, &answer), STATUS_MALFORMED);
    close(pair[0]);
    close(pair[1]);
    buf_done(&scratch);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(asks_and_answers_keep_their_order, begin, end),
        cmocka_unit_test_setup_teardown(a_channel_that_nobody_reads_says_busy_and_recovers, begin, end),
        cmocka_unit_test_setup_teardown(each_descriptor_comes_with_its_own_frame, begin, end),
        cmocka_unit_test_setup_teardown(the_end_of_the_other_side_is_told_once, begin, end),
        cmocka_unit_test_setup_teardown(a_callback_may_close_the_channel_between_frames, begin, end),
        cmocka_unit_test_setup_teardown(c041_garbage_loses_that_channel_and_nothing_else, begin_raw, end),
        cmocka_unit_test_setup_teardown(an_announced_descriptor_that_did_not_come_is_malformed, begin_raw, end),
        cmocka_unit_test_setup_teardown(descriptors_that_nobody_announced_are_closed, begin_raw, end),
        cmocka_unit_test_setup_teardown(frames_cut_at_every_octet_come_whole, begin_raw, end),
        cmocka_unit_test_setup_teardown(a_call_waits_for_its_answer, begin_raw, end),
        cmocka_unit_test_setup_teardown(a_call_refuses_what_is_no_answer_to_it, begin_raw, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

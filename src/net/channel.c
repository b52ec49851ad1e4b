#include "net/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "net/wire.h"

#define READ_ROOM     65536u              /* octets asked for at a time where no longer frame is under way */
#define READS_A_TURN  4                   /* then the rest of the process has its turn; the socket stays readable */
#define SOCKET_BUFFER (4 << 20)           /* octets in the kernel: a few dozen frames of bodies (DESIGN 5) */
#define ROWS_ROOM     (LIMIT_ROWS * 256u) /* octets of decoded rows: no row of ask.h is larger than 256 */
#define KEPT_ROOM     (256u << 10)        /* octets that an idle channel's buffer may keep */

/* A descriptor that waits to be sent: it goes with the octet at `at`. */
struct rider {
    struct list node;
    uint64_t at;
    int fd;
};

struct channel {
    struct loop *loop;
    uv_poll_t poll;
    struct loop_flush flush;
    struct channel_events events;
    struct buf in, out;
    struct list riders;
    uint32_t rider_count;
    struct arena rows;
    uint64_t out_start; /* number of the first octet in `out`, counted over the channel's life */
    size_t out_at;      /* octets of `out` that are sent */
    int fd, held;       /* held: a descriptor whose frame is not complete yet, or -1 */
    bool lost, closed, want_write;
};

static void on_poll(uv_poll_t *handle, int status, int events);

static void lose(struct channel *channel, const char *why)
{
    if (channel->lost || channel->closed)
        return;
    channel->lost = true;
    uv_poll_stop(&channel->poll);
    loop_flush_never(&channel->flush);
    channel->events.lost(channel->events.context, why);
}

static void watch(struct channel *channel, bool want_write)
{
    if (channel->lost || channel->want_write == want_write)
        return;
    channel->want_write = want_write;
    uv_poll_start(&channel->poll, want_write ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_poll);
}

/* Whole frames in `in`, one after another.  The callee may close the channel. */
static void hand_out(struct channel *channel)
{
    size_t at = 0;
    for (;;) {
        struct slice rest = slice_from(buf_slice(&channel->in), at);
        struct frame frame = { 0 };
        size_t size;
        enum status status = wire_measure(rest, &size);
        if (status == STATUS_OK && (size == 0 || size > rest.len))
            break;
        if (status == STATUS_OK)
            status = wire_open(slice_upto(rest, size), &channel->rows, &channel->held, &frame);
        if (status != STATUS_OK) {
            lose(channel, "malformed frame"); /* C041: that channel and nothing else */
            return;
        }
        channel->events.frame(channel->events.context, &frame);
        if (channel->closed || channel->lost)
            return;
        arena_reset(&channel->rows);
        at += size;
    }
    buf_drop(&channel->in, at);
    if (channel->in.len == 0 && channel->held >= 0) {
        close(channel->held); /* all octets it came with are read, and none of them announced it */
        channel->held = -1;
    }
}

/* Room to ask for: the rest of a long frame in one call, and what may stand behind it. */
static size_t read_room(const struct channel *channel)
{
    size_t size = 0;
    enum status status = wire_measure(buf_slice(&channel->in), &size);
    must(status == STATUS_OK); /* hand_out() would have lost the channel */
    size_t missing = size > channel->in.len ? size - channel->in.len : 0;
    return missing > READ_ROOM ? missing : READ_ROOM;
}

static void read_frames(struct channel *channel)
{
    for (int i = 0; i < READS_A_TURN; i++) {
        size_t room = read_room(channel);
        char *at;
        enum status status = buf_reserve(&channel->in, room, &at);
        must(status == STATUS_OK);
        ssize_t got = wire_receive(channel->fd, at, room, &channel->held);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            lose(channel, got == 0 ? "closed" : strerror(errno));
            return;
        }
        buf_grown(&channel->in, (size_t)got);
        hand_out(channel);
        /* A read that ended behind a descriptor was short without the socket being empty; then the poll tells again. */
        if (channel->closed || channel->lost || (size_t)got < room)
            return;
    }
}

/* Sends up to the next descriptor's octet, with the one whose octet is next.  OK: some was sent; BUSY: not now; AWAY:
 * the other end is gone. */
static enum status send_piece(struct channel *channel)
{
    struct slice piece = slice_from(buf_slice(&channel->out), channel->out_at);
    struct rider *rider = NULL;
    uint64_t next = channel->out_start + channel->out_at;
    for (struct list *node = channel->riders.next; node != &channel->riders; node = node->next) {
        struct rider *other = list_element(node, struct rider, node);
        if (other->at != next) {
            piece = slice_upto(piece, (size_t)(other->at - next));
            break;
        }
        rider = other;
    }
    ssize_t sent = wire_send(channel->fd, piece, rider ? rider->fd : -1);
    if (sent < 0) /* ETOOMANYREFS: too many descriptors are under way, which is over when the other end has read */
        return errno == EAGAIN || errno == ETOOMANYREFS ? STATUS_BUSY : STATUS_AWAY;
    if (rider) {
        list_remove(&rider->node);
        channel->rider_count--;
        close(rider->fd);
        release(rider);
    }
    channel->out_at += (size_t)sent;
    return STATUS_OK;
}

static enum status send_all(struct channel *channel)
{
    while (channel->out_at < channel->out.len)
        TRY(send_piece(channel));
    channel->out_start += channel->out_at;
    channel->out_at = 0;
    if (channel->out.cap > KEPT_ROOM)
        buf_done(&channel->out);
    else
        buf_clear(&channel->out);
    return STATUS_OK;
}

static void write_frames(struct channel *channel)
{
    if (channel->lost || channel->closed)
        return;
    enum status status = send_all(channel);
    if (status == STATUS_AWAY)
        lose(channel, strerror(errno));
    else
        watch(channel, status == STATUS_BUSY);
}

static void on_flush(struct loop_flush *flush)
{
    write_frames(list_element(flush, struct channel, flush));
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct channel *channel = handle->data;
    /* libuv stops watching on an error; reading names it, and brings what came before it. */
    if (status < 0 || (events & UV_READABLE))
        read_frames(channel);
    if (status < 0)
        lose(channel, uv_strerror(status));
    if (events & UV_WRITABLE)
        write_frames(channel);
}

static void enlarge(int fd, int force, int plain)
{
    int size = SOCKET_BUFFER;
    /* Beyond the system's maximum only with a right that roles may lack; less room only means more wake-ups. */
    if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

struct channel *channel_open(struct loop *loop, int fd, const struct channel_events *events)
{
    struct channel *channel = alloc(sizeof *channel);
    channel->loop = loop;
    channel->fd = fd;
    channel->held = -1;
    channel->events = *events;
    channel->flush.run = on_flush;
    channel->rows = ARENA(ROWS_ROOM);
    channel->in = BUF(WIRE_HEADER + LIMIT_FRAME + READ_ROOM);
    channel->out = BUF(2 * (LIMIT_CHANNEL_OUT + WIRE_HEADER + LIMIT_FRAME));
    list_init(&channel->riders);
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    must(uv_poll_init(&loop->uv, &channel->poll, fd) == 0); /* makes it non-blocking */
    channel->poll.data = channel;
    uv_poll_start(&channel->poll, UV_READABLE, on_poll);
    return channel;
}

/* Nobody could say BUSY to those: they give back what the keeper holds, and are small. */
static bool is_silent(const struct frame *frame)
{
    return !frame->is_answer && ask_defs[frame->ask.kind].silent;
}

enum status channel_put(struct channel *channel, const struct frame *frame)
{
    int fd = frame->is_answer ? frame->answer.fd : frame->ask.fd;
    enum status status = STATUS_OK;
    must(!channel->closed);
    if (channel->lost)
        status = STATUS_AWAY;
    else if (channel->out.len - channel->out_at >= LIMIT_CHANNEL_OUT && !is_silent(frame))
        status = STATUS_BUSY; /* NOLINT(bugprone-branch-clone): two limits, one word */
    else if (fd >= 0 && frame->is_answer && channel->rider_count >= LIMIT_RIDERS)
        status = STATUS_BUSY;
    /* What is sent makes room once it is the greater part: each octet moves once at most. */
    if (channel->out_at > channel->out.len / 2) {
        buf_drop(&channel->out, channel->out_at);
        channel->out_start += channel->out_at;
        channel->out_at = 0;
    }
    uint64_t at = channel->out_start + channel->out.len;
    if (status == STATUS_OK)
        status = wire_put(&channel->out, frame, fd >= 0);
    if (status != STATUS_OK) {
        if (fd >= 0)
            close(fd);
        return status;
    }
    if (fd >= 0) {
        struct rider *rider = alloc(sizeof *rider);
        *rider = (struct rider){ .at = at, .fd = fd };
        list_append(&channel->riders, &rider->node);
        channel->rider_count++;
    }
    if (!channel->want_write)
        loop_flush_later(channel->loop, &channel->flush);
    return STATUS_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct channel *channel = handle->data;
    buf_done(&channel->in);
    buf_done(&channel->out);
    arena_done(&channel->rows);
    release(channel);
}

void channel_close(struct channel *channel)
{
    must(!channel->closed);
    channel->closed = true;
    loop_flush_never(&channel->flush);
    struct list *node;
    while ((node = list_take(&channel->riders))) {
        struct rider *rider = list_element(node, struct rider, node);
        close(rider->fd);
        release(rider);
    }
    if (channel->held >= 0)
        close(channel->held);
    /* The memory goes later: a frame's callback may be the one that closes. */
    uv_close((uv_handle_t *)&channel->poll, on_closed);
    close(channel->fd);
}

void channel_drain(struct channel *channel, msec limit)
{
    msec until = clock_now() + limit;
    if (channel->lost || channel->closed)
        return;
    enum status status;
    while ((status = send_all(channel)) == STATUS_BUSY && wire_wait(channel->fd, POLLOUT, until))
        continue;
    if (status == STATUS_AWAY)
        lose(channel, strerror(errno));
}

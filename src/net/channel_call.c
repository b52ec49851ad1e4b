#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/must.h"
#include "net/channel.h"
#include "net/wire.h"

static enum status call_out(int fd, struct slice octets, int rider, msec until)
{
    while (octets.len > 0) {
        ssize_t sent = wire_send(fd, octets, rider);
        if (sent < 0 && errno != EAGAIN)
            return STATUS_AWAY;
        if (sent < 0) {
            if (!wire_wait(fd, POLLOUT, until))
                return STATUS_AWAY;
            continue;
        }
        rider = -1;
        octets = slice_from(octets, (size_t)sent);
    }
    return STATUS_OK;
}

static enum status call_in(int fd, struct buf *in, int *held, msec until)
{
    size_t size = 0;
    while (size == 0 || in->len < size) {
        size_t missing = (size ? size : WIRE_HEADER) - in->len;
        char *room;
        TRY(buf_reserve(in, missing, &room));
        ssize_t got = wire_receive(fd, room, missing, held);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return STATUS_AWAY;
        if (got < 0) {
            if (!wire_wait(fd, POLLIN, until))
                return STATUS_AWAY;
            continue;
        }
        buf_grown(in, (size_t)got);
        TRY(wire_measure(buf_slice(in), &size));
    }
    return STATUS_OK;
}

enum status channel_call(
    int fd, const struct ask *ask, struct arena *arena, struct buf *scratch, struct answer *out_answer)
{
    must(scratch->max >= CHANNEL_SCRATCH && !ask_defs[ask->kind].silent);
    struct frame question = { .number = 1, .ask = *ask }, reply = { 0 };
    msec until = clock_now() + LIMIT_CALL;
    int held = -1;
    buf_clear(scratch);
    enum status status = wire_put(scratch, &question, ask->fd >= 0);
    if (status == STATUS_OK)
        status = call_out(fd, buf_slice(scratch), ask->fd, until);
    if (ask->fd >= 0)
        close(ask->fd);
    buf_wipe(scratch); /* it may have held a password */
    if (status == STATUS_OK)
        status = call_in(fd, scratch, &held, until);
    if (status == STATUS_OK)
        status = wire_open(buf_slice(scratch), arena, &held, &reply);
    bool fits = status == STATUS_OK && reply.is_answer && reply.number == 1 && reply.answer.kind == ask->kind;
    if (fits)
        *out_answer = reply.answer;
    else if (status == STATUS_OK && *wire_fd(&reply) >= 0)
        close(*wire_fd(&reply));
    if (held >= 0)
        close(held);
    return status == STATUS_OK && !fits ? STATUS_MALFORMED : status;
}

static enum status wait_for_more(int fd)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    while (poll(&entry, 1, -1) < 0)
        if (errno != EINTR)
            return STATUS_AWAY;
    return STATUS_OK;
}

enum status channel_take(int fd, struct arena *arena, struct buf *scratch, struct frame *out_frame)
{
    int held = -1;
    must(scratch->max >= CHANNEL_SCRATCH);
    buf_clear(scratch);
    TRY(wait_for_more(fd));
    enum status status = call_in(fd, scratch, &held, clock_now() + LIMIT_CALL);
    if (status == STATUS_OK)
        status = wire_open(buf_slice(scratch), arena, &held, out_frame);
    if (held >= 0)
        close(held);
    if (status == STATUS_OK && *wire_fd(out_frame) >= 0) {
        close(*wire_fd(out_frame));
        *wire_fd(out_frame) = -1;
    }
    return status == STATUS_OK && out_frame->is_answer ? STATUS_MALFORMED : status;
}

enum status channel_reply(int fd, struct buf *scratch, const struct frame *ask, const struct answer *answer)
{
    struct frame reply = { .session = ask->session, .number = ask->number, .is_answer = true, .answer = *answer };
    must(answer->fd < 0);
    buf_clear(scratch);
    TRY(wire_put(scratch, &reply, false));
    return call_out(fd, buf_slice(scratch), -1, clock_now() + LIMIT_CALL);
}

#include "net/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t wire_send(int fd, struct slice octets, int rider)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec part = { (void *)(uintptr_t)octets.ptr, octets.len };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (rider >= 0) {
        message.msg_control = control.octets;
        message.msg_controllen = sizeof control.octets;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header =
            (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof rider) };
        memcpy(CMSG_DATA(header), &rider, sizeof rider);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent;
}

/* Keeps the first descriptor in *held where that is free, and closes the others: a frame has one at most. */
static void keep_descriptors(struct msghdr *message, int *held)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            if (*held < 0)
                *held = fd;
            else
                close(fd);
        }
    }
}

/* The kernel ends a read behind the octets that a descriptor came with, so one call brings one at most. */
ssize_t wire_receive(int fd, char *room, size_t size, int *held)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = { room, size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.octets, .msg_controllen = sizeof control.octets
    };
    ssize_t got;
    do
        got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got >= 0)
        keep_descriptors(&message, held);
    return got;
}

int *wire_fd(struct frame *frame)
{
    return frame->is_answer ? &frame->answer.fd : &frame->ask.fd;
}

enum status wire_put(struct buf *out, const struct frame *frame, bool has_rider)
{
    size_t before = out->len;
    char header[WIRE_HEADER] = { 0 };
    enum status status = buf_put(out, (struct slice){ header, WIRE_HEADER });
    if (status == STATUS_OK)
        status = frame_put(out, frame);
    size_t payload = out->len - before - WIRE_HEADER;
    if (status == STATUS_OK && payload > LIMIT_FRAME)
        status = STATUS_TOO_BIG;
    if (status != STATUS_OK) {
        out->len = before;
        return status;
    }
    size_t length = payload + 1;
    unsigned char *at = (unsigned char *)out->ptr + before;
    for (unsigned i = 0; i < 4; i++)
        at[i] = (unsigned char)(length >> (8 * i));
    at[4] = has_rider;
    return STATUS_OK;
}

enum status wire_measure(struct slice in, size_t *out_size)
{
    *out_size = 0;
    if (in.len < WIRE_HEADER)
        return STATUS_OK;
    const unsigned char *at = (const unsigned char *)in.ptr;
    size_t length = (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
    if (length < 1 || length > LIMIT_FRAME + 1 || at[4] > 1)
        return STATUS_MALFORMED;
    *out_size = WIRE_HEADER - 1 + length;
    return STATUS_OK;
}

enum status wire_open(struct slice whole, struct arena *rows, int *held, struct frame *out_frame)
{
    bool has_rider = whole.ptr[4] == 1;
    if (has_rider && *held < 0)
        return STATUS_MALFORMED;
    TRY(frame_get(slice_from(whole, WIRE_HEADER), rows, out_frame));
    *wire_fd(out_frame) = has_rider ? *held : -1;
    if (has_rider)
        *held = -1;
    return STATUS_OK;
}

bool wire_wait(int fd, short events, msec until)
{
    msec now = clock_now();
    struct pollfd entry = { .fd = fd, .events = events };
    return now < until && (poll(&entry, 1, (int)(until - now)) >= 0 || errno == EINTR);
}

#include "net/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"

#define SIZE         4u  /* octets of a message */
#define READS_A_TURN 32  /* then the rest of the process has its turn */

struct control {
    struct loop *loop;
    uv_poll_t poll;
    void (*event)(void *context, const struct control_message *message);
    void *context;
    int fd;
    bool ended, closed;
};

enum status control_send(int fd, const struct control_message *message)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(int))];
    } room = { 0 };
    unsigned char octets[SIZE] = { (unsigned char)message->kind, (unsigned char)message->role, message->service, message->worker };
    struct iovec part = { octets, sizeof octets };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    if (message->fd >= 0) {
        header.msg_control = room.octets;
        header.msg_controllen = sizeof room.octets;
        struct cmsghdr *rider = CMSG_FIRSTHDR(&header);
        *rider = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof message->fd) };
        memcpy(CMSG_DATA(rider), &message->fd, sizeof message->fd);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    enum status status = STATUS_OK;
    if (sent < 0)
        status = errno == EAGAIN ? STATUS_BUSY : errno == EPIPE || errno == ECONNRESET ? STATUS_AWAY : STATUS_IO;
    if (message->fd >= 0)
        close(message->fd);
    return status;
}

static int take_descriptor(struct msghdr *header)
{
    struct cmsghdr *rider = CMSG_FIRSTHDR(header);
    if (!rider || rider->cmsg_level != SOL_SOCKET || rider->cmsg_type != SCM_RIGHTS || rider->cmsg_len != CMSG_LEN(sizeof(int)))
        return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(rider), sizeof fd);
    return fd;
}

/* OK: a message; BUSY: none now; MALFORMED: not one of ours, and thrown away; AWAY: the end of the line. */
static enum status receive(int fd, struct control_message *out_message)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(int))]; /* one; the kernel closes what has no room */
    } room;
    unsigned char octets[SIZE + 1];
    struct iovec part = { octets, sizeof octets };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = room.octets, .msg_controllen = sizeof room.octets };
    ssize_t got;
    do
        got = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? STATUS_BUSY : STATUS_AWAY;
    int rider = take_descriptor(&header);
    if (got != SIZE || octets[0] < CONTROL_CHANNEL || octets[0] >= CONTROL_GONE) {
        if (rider >= 0)
            close(rider);
        return STATUS_MALFORMED;
    }
    *out_message = (struct control_message){
        .kind = (enum control_kind)octets[0], .role = (enum role)octets[1], .service = octets[2], .worker = octets[3], .fd = rider };
    return STATUS_OK;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct control *control = handle->data;
    (void)status; /* reading says more */
    (void)events;
    for (int i = 0; i < READS_A_TURN && !control->closed && !control->ended; i++) {
        struct control_message message = { .kind = CONTROL_GONE, .fd = -1 };
        switch (receive(control->fd, &message)) {
        case STATUS_BUSY:
            return;
        case STATUS_MALFORMED:
            continue;
        case STATUS_AWAY:
            control->ended = true;
            uv_poll_stop(&control->poll);
            break;
        default:
            break;
        }
        control->event(control->context, &message);
    }
}

struct control *control_open(struct loop *loop, int fd, void (*event)(void *context, const struct control_message *message), void *context)
{
    struct control *control = alloc(sizeof *control);
    *control = (struct control){ .loop = loop, .fd = fd, .event = event, .context = context };
    must(uv_poll_init(&loop->uv, &control->poll, fd) == 0);
    control->poll.data = control;
    uv_poll_start(&control->poll, UV_READABLE, on_poll);
    return control;
}

void control_tell(struct control *control, enum control_kind kind)
{
    if (control_send(control->fd, &(struct control_message){ .kind = kind, .fd = -1 }) != STATUS_OK)
        (void)shutdown(control->fd, SHUT_WR); /* a supervisor that waits for this word would wait for ever */
}

int control_fd(const struct control *control) { return control->fd; }

static void on_closed(uv_handle_t *handle) { release(handle->data); }

void control_close(struct control *control)
{
    must(!control->closed);
    control->closed = true;
    uv_close((uv_handle_t *)&control->poll, on_closed);
    close(control->fd);
}

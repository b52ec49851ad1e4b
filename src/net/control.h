/* control.h - the line between the supervisor and a role: who to talk to, where to listen, new settings, stop.
 *
 * One message: kind, role, service, worker (four octets), with at most one descriptor, over a SOCK_SEQPACKET pair.  The end of the line (the supervisor died) is CONTROL_GONE:
 * the role ends at once. */
#pragma once

#include "ask/ask.h"
#include "net/loop.h"

enum control_kind {
    CONTROL_CHANNEL = 1, /* + descriptor: a channel; `role` and `worker` say to whom; gate or courier -> supervisor, without one: its own is lost */
    CONTROL_LISTEN,      /* + descriptor: a listening socket; `service` says for what (enum service; for the keeper 0: the command line's socket) */
    CONTROL_BOOT,        /* + descriptor: a boot message; take it in force (SIGHUP) */
    CONTROL_STOP,        /* end cleanly */
    CONTROL_READY,       /* role -> supervisor: jailed, and everything it was given is in use */
    CONTROL_FAILED,      /* role -> supervisor: cannot run; do not restart at once */
    CONTROL_BAD_ASK,     /* keeper -> supervisor: `role`, `worker` sent a forbidden or malformed ask: replace it */
    CONTROL_IN_FORCE,    /* role -> supervisor: the boot message is in force */
    CONTROL_COMPLETE,    /* supervisor -> gate: everything that belongs to the start was given */
    CONTROL_RETIRE,      /* gate -> supervisor: it accepts no more and ends with its last session: start another; supervisor -> gate: do so */
    CONTROL_SIGNER,      /* + descriptor: a stream between a gate and the keeper's signer (net/signer.h); to the keeper `role` and `worker` say whose; gate -> supervisor, without one: it is lost */
    CONTROL_GONE,        /* never sent: the line has ended */
};
struct control_message {
    enum control_kind kind;
    enum role role;
    uint8_t service, worker;
    int fd;              /* -1: none; belongs to the receiver */
};
/* Never waits: BUSY where the line is full, AWAY where nobody is at its other end, IO where the kernel had no room.  Closes message->fd in every case. */
MUST_USE enum status control_send(int fd, const struct control_message *message);

struct control;
/* Takes over `fd`.  Messages that are none are thrown away.  The event may close the control. */
struct control *control_open(struct loop *loop, int fd, void (*event)(void *context, const struct control_message *message), void *context);
/* A word that cannot be sent ends the line: both ends see CONTROL_GONE, and the role is started anew. */
void control_tell(struct control *control, enum control_kind kind);
int control_fd(const struct control *control);
void control_close(struct control *control);

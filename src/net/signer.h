/* signer.h - the thread that has the private keys, and signs handshakes for the gates (sign.h).
 *
 * It serves each gate's stream in turn, one ask at a time, whatever else the process is doing: no loop, pool or writer stands before it.  An ask that is malformed, or
 * for anything but a handshake of ours, closes that stream, and the supervisor is told (CONTROL_BAD_ASK), who replaces the gate.
 *
 * Keys go by the name of their public half, so certificates may change places.  A key that a new set does not have stays for one more set: gates take theirs a little later,
 * and handshakes that began before need it.  It is not kept until the gates say so, since one that hangs would keep it for ever. */
#pragma once

#include "ask/ask.h"
#include "net/boot.h"

struct signer;

/* For a process that will have keys, before it uses OpenSSL at all: what that gives back is wiped, the text of keys in its buffers included.  False: it was used already. */
bool signer_prepare(void);
/* `control`: the line to the supervisor, or -1; it must stay open until signer_close(). */
struct signer *signer_open(int control);
/* The other end of a gate's stream; takes over `fd`. */
void signer_join(struct signer *signer, int fd, enum role role, uint8_t worker);
/* rows of struct boot_pair.  All or nothing: a pair that does not fit together leaves what was there, and `why` says which. */
MUST_USE enum status signer_take(struct signer *signer, const struct rows *pairs, struct buf *why);
void signer_close(struct signer *signer);

/* Whether certificate and key are one pair and of a kind that can be used here (C070); `number` from 0, for `why`. */
MUST_USE enum status signer_check(const struct boot_pair *pair, size_t number, struct buf *why);

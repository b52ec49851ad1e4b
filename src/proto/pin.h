/* pin.h - the EHLO name with which an account, or one of its devices, first sent under a lease (pop_before_smtp.pin_helo, A5).
 *
 * A neighbour behind the same address who sends as that account says another name, unless he knows this one, too (C096).  In memory only, at most
 * LIMIT_PINS; where there are more, what is new stays free.  Names are compared without case (RFC 5321 2.4). */
#pragma once

#include "base/map.h"

struct pins {
    struct map rows;
};
void pin_done(struct pins *pins);
/* device 0: the account's own password.  True also where nothing is pinned. */
bool pin_fits(const struct pins *pins, uint32_t account, uint32_t device, struct slice helo);
/* The first name stays. */
void pin_note(struct pins *pins, uint32_t account, uint32_t device, struct slice helo);
/* Forgets that of an account (0: any) with one of its devices (0: all, and its own). */
void pin_forget(struct pins *pins, uint32_t account, uint32_t device);

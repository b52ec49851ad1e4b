/* written.h - what mail/ writes from words of others: bounces, notices, trace fields.  No such word may end a line or add a field. */
#pragma once

#include "fuzz.h"

void try_bounce(struct input *in);
void try_notice(struct input *in);
void try_trace(struct input *in);

/* puppet.h - a role in an intruder's hands: tests/intruder/test_intruder.py says over a line what it shall try, once it is behind its walls.
 *
 * The program for this is ekirei with five functions wrapped by the linker (meson.build); ekirei itself has nothing of it. */
#pragma once

#include <sys/types.h>

#include "ask/ask.h"

struct mark {
    pid_t pid;             /* another role's process */
    char dir[3000];        /* DIR, absolute */
    uint16_t tcp;          /* port of loopback where somebody listens */
};

/* tries.c: 0 where it was possible, else errno; -1: there is no such try. */
int try_out(enum role role, const char *name, const struct mark *mark);
/* "NAME ROLES\n" for each try: who has it as a trade is not in ROLES, a sum of enum role. */
enum status tries_list(struct buf *out);

/* text.c: "KIND field=value rows.field=value ..."; "rows+" begins the next row; %XX is an octet.  What it points at is in `arena`. */
enum status ask_of_text(char *text, struct arena *arena, struct ask *out_ask);

/* fault_vfs.h - for tests: the disk that fails.  A layer between SQLite and the system that lets the n-th write, sync
 * or truncation fail. */
#pragma once

#include <stdbool.h>

enum fault { FAULT_IO, FAULT_FULL };

void fault_install(void);                                   /* becomes the default for every store opened from now on */
void fault_arm(enum fault fault, int countdown, bool once); /* 1: the next change fails; once, or from then on */
bool fault_disarm(void);                                    /* did it come to the failure? */
long fault_syncs(void);                                     /* syncs since the program began */

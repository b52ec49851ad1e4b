/* supervisor.h - binds ports, makes the channels, starts and restarts the roles; reads nothing that comes from a peer.
 *
 * Each role is this program executed again (/proc/self/exe) with `--role NAME`, its control socket as descriptor 3 and its boot message (net/boot.h) as descriptor 4.  Everything else
 * (channels, listening sockets) arrives over the control socket (net/control.h). */
#pragma once

#include "net/boot.h"

struct supervisor_plan {
    const char *dir;            /* absolute */
    /* Reads settings and certificates anew: at start and on SIGHUP.  `why` explains a refusal; the old ones stay in force then (C233). */
    enum status (*load)(void *context, struct boot *out_boot, struct settings **out_settings, struct arena *arena, struct buf *why);
    /* Called once this server is sure to run with them, and after each reload. */
    void (*in_force)(void *context, const struct settings *settings);
    void *context;
};
/* Runs until SIGTERM or SIGINT; returns the exit status of the program: 0 clean stop, 1 it could not run, 2 wrong settings. */
int supervisor_run(const struct supervisor_plan *plan);

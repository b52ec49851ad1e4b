/* jail.h - the walls around a role: one call, the whole policy on one screen.
 *
 * Order: what the role needs is opened by its caller; then jail_enter(): rlimits, no core dumps, not dumpable, chroot and own uid (as root), no_new_privs,
 * landlock, seccomp.  What the kernel lacks is skipped with a warning, never silently.  The level reached goes to the log:
 *   jail.entered role=mx uid=64102 chroot=1 landlock=7 seccomp=1 */
#pragma once

#include "ask/ask.h"

struct jail_plan {
    enum role role;
    uint32_t uid;          /* user and group id when started as root; 0: stay */
    const char *root;      /* folder that stays reachable (keeper: the store's folder), or NULL: no file at all */
    uint64_t file_size;    /* RLIMIT_FSIZE, 0: no file may be written */
    uint64_t files;        /* RLIMIT_NOFILE */
};
/* Returns on success only: a role that cannot be jailed must not run (IO). */
MUST_USE enum status jail_enter(const struct jail_plan *plan);
/* The supervisor's walls: it must open, bind, fork and change users, but not trace, mount, load or reconfigure; no core dump, not dumpable, no new rights.
 * What it starts inherits them, beneath walls of its own. */
MUST_USE enum status jail_supervise(void);
/* Only the change of user and root, for the command line that works on a stopped server's store as root. */
MUST_USE enum status jail_become(uint32_t uid, const char *root);
/* Which user id a role has: "ekirei-mx" and so on where the system knows it, else `preset`; 0 when not root. */
uint32_t jail_uid(enum role role, uint32_t preset);
/* Where the store's folder is once the jail is entered: "/" inside a chroot, else as given. */
const char *jail_path(const struct jail_plan *plan);

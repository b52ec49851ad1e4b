/* impl.h - what the files of the jail share. */
#pragma once

#include "jail/jail.h"

/* Landlock's version in this kernel; 0: none. */
uint32_t landlock_version(void);
/* Shuts this process and its children off from files (but for what lies beneath plan->root), from TCP and from abstract sockets and processes
 * outside; what the kernel's version does not know is left out. */
MUST_USE enum status landlock_enter(const struct jail_plan *plan, uint32_t version);

/* Leaves the role the system calls of its table (syscalls.h).  AWAY: the kernel has no filters. */
MUST_USE enum status seccomp_enter(enum role role);

/* Takes the calls of the second table away from the supervisor and all it starts. */
MUST_USE enum status seccomp_supervise(void);

/* Sanitizers make system calls of their own, and fork to tell what a line's name is. */
#if defined(__SANITIZE_ADDRESS__)
#define JAIL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer) || __has_feature(thread_sanitizer)
#define JAIL_SANITIZED 1
#endif
#endif
#ifndef JAIL_SANITIZED
#define JAIL_SANITIZED 0
#endif

#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "jail/impl.h"
#include "jail/syscalls.h"

#define ROWS (sizeof syscall_rows / sizeof syscall_rows[0])

#if JAIL_SANITIZED
#define OTHERWISE SCMP_ACT_ERRNO(EPERM) /* a report is worth more than a quick end */
#else
#define OTHERWISE SCMP_ACT_KILL_PROCESS
#endif

/* A probe's answer stands back behind a call that the role has; two that look at arguments live side by side. */
static bool has_call(enum role role, const struct syscall_row *probe)
{
    for (size_t i = 0; i < ROWS; i++) {
        const struct syscall_row *row = &syscall_rows[i];
        if (row->number == probe->number && (row->roles & role) && !row->probe && (probe->mask == 0 || row->mask == 0))
            return true;
    }
    return false;
}

static int add_row(scmp_filter_ctx filter, const struct syscall_row *row)
{
    uint32_t action = row->probe ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW;
    if (action == OTHERWISE)
        return 0;
    if (row->mask == 0)
        return seccomp_rule_add(filter, action, row->number, 0);
    uint64_t value = row->value == OWN_PID ? (uint64_t)getpid() : row->value;
    struct scmp_arg_cmp fits = { .arg = row->argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = row->mask, .datum_b = value };
    return seccomp_rule_add_array(filter, action, row->number, 1, &fits);
}

/* Calls that sanitizers' runtimes make; there is no such row in a build for use. */
static int add_sanitizer_rows(scmp_filter_ctx filter)
{
    static const int calls[] = { SCMP_SYS(personality), SCMP_SYS(sched_getparam), SCMP_SYS(getpgrp) };
    int failed = 0;
    for (size_t i = 0; JAIL_SANITIZED && i < sizeof calls / sizeof calls[0] && !failed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return failed;
}

static int load(scmp_filter_ctx filter, enum role role)
{
    /* Every thread; and what is refused goes to the kernel's log, by the number of the call. */
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!failed && !JAIL_SANITIZED)
        failed = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree instead of a list, where the library can */
    for (size_t i = 0; i < ROWS && !failed; i++)
        if ((syscall_rows[i].roles & role) && !(syscall_rows[i].probe && has_call(role, &syscall_rows[i])))
            failed = add_row(filter, &syscall_rows[i]);
    if (!failed)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!failed)
        failed = add_sanitizer_rows(filter);
    return failed ? failed : seccomp_load(filter);
}

static int load_refused(scmp_filter_ctx filter)
{
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; i < sizeof refused_calls / sizeof refused_calls[0] && !failed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused_calls[i], 0);
    return failed ? failed : seccomp_load(filter);
}

/* role NONE: the supervisor's table. */
static enum status enter(enum role role, uint32_t otherwise)
{
    if (prctl(PR_GET_SECCOMP) < 0 && errno == EINVAL)
        return STATUS_AWAY;
    scmp_filter_ctx filter = seccomp_init(otherwise);
    if (!filter)
        return STATUS_IO;
    int failed = role == ROLE_NONE ? load_refused(filter) : load(filter, role);
    seccomp_release(filter);
    if (failed)
        errno = -failed;
    return failed ? STATUS_IO : STATUS_OK;
}

enum status seccomp_enter(enum role role) { return enter(role, OTHERWISE); }

/* A leak checker traces its own process, at the very end. */
enum status seccomp_supervise(void) { return JAIL_SANITIZED ? STATUS_OK : enter(ROLE_NONE, SCMP_ACT_ALLOW); }

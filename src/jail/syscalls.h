/* syscalls.h - the system calls that each role has; a call that no row gives it ends the process.
 *
 * One row a call: number, who has it, and the argument that must fit where that matters.  A PROBE row does not end the process but answers EPERM: what libraries try by
 * themselves (is there a settings file, is this a terminal) and can do without.  A role that has a call of its own never meets the probe row of the same call.
 * Nobody has execve, fork, ptrace, kill, mount, setuid, or memory that is both filled and run. */
#pragma once

#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "ask/ask.h"

struct syscall_row {
    int number;
    uint8_t roles;         /* set of enum role */
    bool probe;
    uint8_t argument;      /* whose bits in `mask` must be `value`; mask 0: any */
    uint64_t mask, value;
};

#define EVERY   (ROLE_MX | ROLE_USER | ROLE_COURIER | ROLE_KEEPER | ROLE_POLICY)
#define GATES   (ROLE_MX | ROLE_USER)
#define THREADS (ROLE_KEEPER | ROLE_COURIER)
#define WHOLE   UINT64_C(0xffffffff)   /* an int */
#define POINTER UINT64_MAX
#define OWN_PID UINT64_MAX             /* as a value: this process */

#define HAS(name, who)                      { SCMP_SYS(name), (who), false, 0, 0, 0 }
#define HAS_IF(name, who, nth, bits, equal) { SCMP_SYS(name), (who), false, (nth), (bits), (uint64_t)(equal) }
#define PROBE(name)                         { SCMP_SYS(name), EVERY, true, 0, 0, 0 }
#define PROBE_IF(name, nth, bits, equal)    { SCMP_SYS(name), EVERY, true, (nth), (bits), (uint64_t)(equal) }

/* clang-format off */
static const struct syscall_row syscall_rows[] = {
    /* octets over descriptors that it was given */
    HAS(read, EVERY), HAS(readv, EVERY), HAS(pread64, EVERY), HAS(preadv, EVERY), HAS(recvmsg, EVERY), HAS(recvfrom, EVERY),
    HAS(write, EVERY), HAS(writev, EVERY), HAS(pwrite64, EVERY), HAS(pwritev, EVERY),
    HAS_IF(sendmsg, EVERY, 2, MSG_FASTOPEN, 0), HAS_IF(sendto, EVERY, 3, MSG_FASTOPEN, 0), /* which would connect */
    HAS(close, EVERY), HAS(lseek, EVERY), HAS(fstat, EVERY), HAS(dup, EVERY), HAS(dup3, EVERY),
    /* One way only: both would end a listening socket, which the whole pool shares. */
    HAS_IF(shutdown, GATES | ROLE_KEEPER, 1, WHOLE, SHUT_WR), HAS(shutdown, ROLE_COURIER),
    /* Not F_SETOWN and F_SETSIG: the kernel would kill in its owner's name. */
    HAS_IF(fcntl, EVERY, 1, WHOLE, F_GETFD), HAS_IF(fcntl, EVERY, 1, WHOLE, F_SETFD), HAS_IF(fcntl, EVERY, 1, WHOLE, F_GETFL),
    HAS_IF(fcntl, EVERY, 1, WHOLE, F_SETFL), HAS_IF(fcntl, EVERY, 1, WHOLE, F_DUPFD), HAS_IF(fcntl, EVERY, 1, WHOLE, F_DUPFD_CLOEXEC),
    HAS_IF(fcntl, ROLE_KEEPER, 1, WHOLE, F_GETLK), HAS_IF(fcntl, ROLE_KEEPER, 1, WHOLE, F_SETLK), HAS_IF(fcntl, ROLE_KEEPER, 1, WHOLE, F_SETLKW),
    HAS_IF(newfstatat, GATES | ROLE_COURIER | ROLE_POLICY, 3, WHOLE, AT_EMPTY_PATH), /* how the C library spells fstat() */
    HAS(getsockopt, EVERY), HAS(setsockopt, EVERY), HAS(getsockname, EVERY), HAS(getpeername, EVERY),
    HAS_IF(ioctl, EVERY, 1, WHOLE, FIONBIO), HAS_IF(ioctl, EVERY, 1, WHOLE, FIONREAD), HAS_IF(ioctl, EVERY, 1, WHOLE, FIOCLEX),
    PROBE_IF(ioctl, 1, WHOLE, TCGETS), /* is it a terminal? */
    /* waiting */
    HAS(epoll_create1, EVERY), HAS(epoll_ctl, EVERY), HAS(epoll_wait, EVERY), HAS(epoll_pwait, EVERY), HAS(epoll_pwait2, EVERY),
    HAS(poll, EVERY), HAS(ppoll, EVERY), HAS(select, EVERY), HAS(pselect6, EVERY), HAS(eventfd2, EVERY), HAS(restart_syscall, EVERY),
    HAS(clock_gettime, EVERY), HAS(clock_getres, EVERY), HAS(clock_nanosleep, EVERY), HAS(nanosleep, EVERY), HAS(gettimeofday, EVERY), HAS(time, EVERY),
    /* memory, none of it both written and run */
    HAS(brk, EVERY), HAS(munmap, EVERY), HAS(mremap, EVERY), HAS(madvise, EVERY), HAS(mlock, EVERY), HAS(munlock, EVERY),
    HAS_IF(mmap, EVERY, 2, PROT_EXEC, 0), HAS_IF(mprotect, EVERY, 2, PROT_EXEC, 0),
    /* itself */
    HAS(getpid, EVERY), HAS(gettid, EVERY), HAS(getppid, EVERY), HAS(getuid, EVERY), HAS(geteuid, EVERY), HAS(getgid, EVERY), HAS(getegid, EVERY),
    HAS(getrandom, EVERY), HAS(getrusage, EVERY), HAS(uname, EVERY), HAS(sysinfo, EVERY), HAS(getcpu, EVERY),
    HAS_IF(prlimit64, EVERY, 2, POINTER, 0), HAS(getrlimit, EVERY), /* to read */
    HAS(futex, EVERY), HAS(sched_yield, EVERY), HAS(sched_getaffinity, EVERY), HAS(membarrier, EVERY), HAS(set_robust_list, EVERY), HAS(rseq, EVERY),
    HAS(rt_sigaction, EVERY), HAS(rt_sigprocmask, EVERY), HAS(rt_sigreturn, EVERY), HAS(sigaltstack, EVERY),
    HAS_IF(tgkill, EVERY, 0, WHOLE, OWN_PID), HAS(exit, EVERY), HAS(exit_group, EVERY),
    HAS_IF(prctl, EVERY, 0, WHOLE, PR_SET_NAME), PROBE_IF(prctl, 0, WHOLE, PR_SET_VMA),
    /* who comes in: strangers, and to the keeper the command line */
    HAS(accept4, GATES | ROLE_KEEPER | ROLE_POLICY),
    /* threads: clone3 hides its flags from the filter and is not there, so that the C library asks clone instead */
    HAS_IF(clone, THREADS, 0, CLONE_THREAD, CLONE_THREAD), HAS(pipe2, THREADS), HAS(socketpair, THREADS), HAS(set_tid_address, THREADS),
    /* who goes out */
    HAS_IF(socket, ROLE_COURIER, 0, WHOLE, AF_INET), HAS_IF(socket, ROLE_COURIER, 0, WHOLE, AF_INET6),
    HAS(connect, ROLE_COURIER), HAS(bind, ROLE_COURIER), HAS(sendmmsg, ROLE_COURIER), HAS(recvmmsg, ROLE_COURIER),
    PROBE_IF(socket, 0, WHOLE, AF_UNIX), PROBE_IF(socket, 0, WHOLE, AF_NETLINK),
    /* what lasts: files beneath the store's folder */
    HAS(openat, ROLE_KEEPER), HAS(open, ROLE_KEEPER), HAS(newfstatat, ROLE_KEEPER), HAS(stat, ROLE_KEEPER), HAS(lstat, ROLE_KEEPER),
    HAS(statx, ROLE_KEEPER), HAS(access, ROLE_KEEPER), HAS(faccessat, ROLE_KEEPER), HAS(faccessat2, ROLE_KEEPER), HAS(readlink, ROLE_KEEPER),
    HAS(readlinkat, ROLE_KEEPER), HAS(getcwd, ROLE_KEEPER), HAS(statfs, ROLE_KEEPER), HAS(fstatfs, ROLE_KEEPER), HAS(getdents64, ROLE_KEEPER),
    HAS(unlink, ROLE_KEEPER), HAS(unlinkat, ROLE_KEEPER), HAS(rename, ROLE_KEEPER), HAS(renameat, ROLE_KEEPER), HAS(renameat2, ROLE_KEEPER),
    HAS(link, ROLE_KEEPER), HAS(linkat, ROLE_KEEPER), HAS(mkdir, ROLE_KEEPER), HAS(mkdirat, ROLE_KEEPER), HAS(rmdir, ROLE_KEEPER),
    HAS(fsync, ROLE_KEEPER), HAS(fdatasync, ROLE_KEEPER), HAS(sync_file_range, ROLE_KEEPER), HAS(ftruncate, ROLE_KEEPER),
    HAS(fallocate, ROLE_KEEPER), HAS(fadvise64, ROLE_KEEPER), HAS(copy_file_range, ROLE_KEEPER), HAS(flock, ROLE_KEEPER),
    HAS(fchmod, ROLE_KEEPER), HAS(fchown, ROLE_KEEPER), HAS(utimensat, ROLE_KEEPER), HAS(umask, ROLE_KEEPER), HAS(msync, ROLE_KEEPER),
    HAS(memfd_create, ROLE_KEEPER),
    PROBE(openat), PROBE(open), PROBE(stat), PROBE(lstat), PROBE(statx), PROBE(access), PROBE(faccessat), PROBE(faccessat2), PROBE(readlink),
    PROBE(readlinkat), PROBE(getcwd), PROBE(statfs), PROBE(sched_setscheduler), PROBE(sched_setaffinity), PROBE(setpriority), PROBE(get_mempolicy),
    PROBE(io_uring_setup),
};

/* What nobody in the house has, the supervisor included: the machine, its clock, its keys, and other processes' memory. */
static const int refused_calls[] = {
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp),
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsmount),
    SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(open_by_handle_at), SCMP_SYS(mknod), SCMP_SYS(mknodat), SCMP_SYS(swapon), SCMP_SYS(swapoff),
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(reboot),
    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
    SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(modify_ldt), SCMP_SYS(acct),
    SCMP_SYS(quotactl), SCMP_SYS(syslog), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(vhangup),
};
/* clang-format on */

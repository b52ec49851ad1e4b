/* What no role may do.  A role that a row leaves out has it as a trade. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/boot.h"
#include "tests/intruder/puppet.h"

#define GATES    (ROLE_MX | ROLE_USER)
#define ALL      (GATES | ROLE_COURIER | ROLE_KEEPER | ROLE_POLICY)
#define IN_FILES (GATES | ROLE_COURIER | ROLE_POLICY)  /* who has no files */
#define STAYS    (GATES | ROLE_KEEPER | ROLE_POLICY)   /* who connects nowhere */
#define WHOLE    (ALL | ROLE_SUPERVISOR)

static int result(long value) { return value < 0 ? errno : 0; }

static int try_path(const struct mark *mark, const char *beneath, int flags)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", mark->dir, beneath);
    return result(open(path, flags, 0600));
}

/* ---- files ---- */

static int read_file(const struct mark *mark) { (void)mark; return result(open("/etc/passwd", O_RDONLY)); }
static int read_above(const struct mark *mark) { (void)mark; return result(open("../../../../../../../etc/passwd", O_RDONLY)); }
static int read_by_descriptor(const struct mark *mark) { (void)mark; return result(open("/proc/self/fd/0", O_RDWR)); }
static int read_environment(const struct mark *mark) { (void)mark; return result(open("/proc/self/environ", O_RDONLY)); }
static int read_store(const struct mark *mark) { return try_path(mark, "store/ekirei.db", O_RDONLY); }
static int read_key(const struct mark *mark) { return try_path(mark, "keys/keeper.key", O_RDONLY); }
static int read_settings(const struct mark *mark) { return try_path(mark, "store/../ekirei.conf", O_RDONLY); }
static int write_settings(const struct mark *mark) { return try_path(mark, "ekirei.conf", O_WRONLY | O_APPEND); }
static int make_file(const struct mark *mark) { return try_path(mark, "run/intruder", O_WRONLY | O_CREAT); }
static int make_anywhere(const struct mark *mark) { (void)mark; return result(open("/tmp/ekirei-intruder", O_WRONLY | O_CREAT, 0600)); }
static int list_folder(const struct mark *mark) { (void)mark; return result(open("/etc", O_RDONLY | O_DIRECTORY)); }
static int unlink_outside(const struct mark *mark)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/run/decoy", mark->dir);
    return result(unlink(path));
}
static int move_out(const struct mark *mark)
{
    char from[4096], to[4096];
    /* In a chroot DIR/store is "/". */
    snprintf(from, sizeof from, "%s/store/ekirei.db-shm", mark->dir);
    snprintf(to, sizeof to, "%s/run/intruder", mark->dir);
    return result(link(access("/ekirei.db-shm", F_OK) == 0 ? "/ekirei.db-shm" : from, to));
}
static int link_in(const struct mark *mark)
{
    char from[4096], to[4096];
    snprintf(from, sizeof from, "%s/keys/keeper.key", mark->dir);
    snprintf(to, sizeof to, "%s/store/intruder", mark->dir);
    return result(link(from, to));
}
static int symbolic_link(const struct mark *mark) { (void)mark; return result(symlink("/etc/passwd", "intruder")); }
static int device(const struct mark *mark) { (void)mark; return result(mknod("intruder", S_IFCHR | 0600, 0x103)); }
static int by_handle(const struct mark *mark) { (void)mark; return result(syscall(SYS_open_by_handle_at, 0, NULL, 0)); }
static int change_root(const struct mark *mark) { (void)mark; return result(chroot("/")); }
static int file_lock(const struct mark *mark)
{
    struct flock whole = { .l_type = F_RDLCK };
    (void)mark;
    return result(fcntl(0, F_SETLK, &whole));
}
static int memory_file(const struct mark *mark) { (void)mark; return result(memfd_create("x", 0)); }

/* ---- the network ---- */

static struct sockaddr_in loopback(const struct mark *mark)
{
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(mark->tcp), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}
static int tcp_socket(const struct mark *mark) { (void)mark; return result(socket(AF_INET, SOCK_STREAM, 0)); }
static int tcp6_socket(const struct mark *mark) { (void)mark; return result(socket(AF_INET6, SOCK_STREAM, 0)); }
static int udp_socket(const struct mark *mark) { (void)mark; return result(socket(AF_INET, SOCK_DGRAM, 0)); }
static int unix_socket(const struct mark *mark) { (void)mark; return result(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int netlink_socket(const struct mark *mark) { (void)mark; return result(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int raw_socket(const struct mark *mark) { (void)mark; return result(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }
static int packet_socket(const struct mark *mark) { (void)mark; return result(socket(AF_PACKET, SOCK_RAW, 0)); }
static int crypto_socket(const struct mark *mark) { (void)mark; return result(socket(AF_ALG, SOCK_SEQPACKET, 0)); }
static int machine_socket(const struct mark *mark) { (void)mark; return result(socket(AF_VSOCK, SOCK_STREAM, 0)); }
static int connect_tcp(const struct mark *mark)
{
    struct sockaddr_in where = loopback(mark);
    return result(connect(0, (struct sockaddr *)&where, sizeof where));
}
static int connect_by_sending(const struct mark *mark)
{
    struct sockaddr_in where = loopback(mark);
    return result(sendto(0, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&where, sizeof where));
}
static int connect_by_message(const struct mark *mark)
{
    struct sockaddr_in where = loopback(mark);
    struct iovec part = { (char[]){ "x" }, 1 };
    struct msghdr message = { .msg_name = &where, .msg_namelen = sizeof where, .msg_iov = &part, .msg_iovlen = 1 };
    return result(sendmsg(0, &message, MSG_FASTOPEN | MSG_NOSIGNAL));
}
static int bind_port(const struct mark *mark)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    (void)mark;
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* the courier's right; the others end or are refused here */
    return fd < 0 ? errno : result(bind(fd, (struct sockaddr *)&any, sizeof any));
}
static int bind_what_it_has(const struct mark *mark)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    (void)mark;
    return result(bind(0, (struct sockaddr *)&any, sizeof any));
}
static int listen_again(const struct mark *mark) { (void)mark; return result(listen(0, 1)); }
static int accept_guest(const struct mark *mark) { (void)mark; return result(accept4(0, NULL, NULL, SOCK_NONBLOCK)); }
static int end_listener(const struct mark *mark) { (void)mark; return result(shutdown(0, SHUT_RDWR)); }

/* ---- processes ---- */

static int run_program(const struct mark *mark)
{
    char name[] = "/bin/true", *args[] = { name, NULL };
    (void)mark;
    return result(execve(name, args, args + 1));
}
static int run_descriptor(const struct mark *mark)
{
    char name[] = "true", *args[] = { name, NULL };
    (void)mark;
    return result(syscall(SYS_execveat, 0, "", args, args + 1, AT_EMPTY_PATH));
}
static int run_memory_file(const struct mark *mark)
{
    char name[] = "x", *args[] = { name, NULL };
    (void)mark;
    int fd = memfd_create("x", 0);
    return fd < 0 || write(fd, "#!/bin/true\n", 12) < 0 ? errno : result(syscall(SYS_execveat, fd, "", args, args + 1, AT_EMPTY_PATH));
}
static int clone_as(unsigned long flags)
{
    long pid = syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return result(pid);
}
static int fork_process(const struct mark *mark) { (void)mark; return clone_as(SIGCHLD); }
static int vfork_process(const struct mark *mark) { (void)mark; return clone_as(CLONE_VFORK | CLONE_VM | SIGCHLD); }
static int clone_by_struct(const struct mark *mark)
{
    uint64_t arguments[8] = { 0 };
    (void)mark;
    long pid = syscall(SYS_clone3, arguments, sizeof arguments);
    if (pid == 0)
        _exit(0);
    return result(pid);
}
static void *nothing(void *unused) { return unused; }
static int make_thread(const struct mark *mark)
{
    pthread_t thread;
    (void)mark;
    return pthread_create(&thread, NULL, nothing, NULL);
}
static int kill_other(const struct mark *mark) { return result(kill(mark->pid, SIGTERM)); }
static int kill_thread(const struct mark *mark) { return result(syscall(SYS_tgkill, mark->pid, mark->pid, SIGTERM)); }
static int queue_signal(const struct mark *mark)
{
    siginfo_t about = { .si_code = SI_QUEUE };
    return result(syscall(SYS_rt_sigqueueinfo, mark->pid, SIGTERM, &about));
}
static int own_descriptor(const struct mark *mark) { return result(fcntl(ROLE_CONTROL_FD, F_SETOWN, mark->pid)); }
static int signal_by_descriptor(const struct mark *mark) { (void)mark; return result(fcntl(ROLE_CONTROL_FD, F_SETSIG, SIGKILL)); }
static int open_process(const struct mark *mark) { return result(syscall(SYS_pidfd_open, mark->pid, 0)); }
static int take_descriptor(const struct mark *mark) { (void)mark; return result(syscall(SYS_pidfd_getfd, 0, 0, 0)); }
static int trace(const struct mark *mark) { return result(ptrace(PTRACE_ATTACH, mark->pid, NULL, NULL)); }
static int seize(const struct mark *mark) { return result(ptrace(PTRACE_SEIZE, mark->pid, NULL, NULL)); }
static int read_memory(const struct mark *mark)
{
    char octet;
    struct iovec here = { &octet, 1 }, there = { &octet, 1 };
    return result(process_vm_readv(mark->pid, &here, 1, &there, 1, 0));
}
static int write_memory(const struct mark *mark)
{
    char octet = 0;
    struct iovec here = { &octet, 1 }, there = { &octet, 1 };
    return result(process_vm_writev(mark->pid, &here, 1, &there, 1, 0));
}
static int open_memory(const struct mark *mark)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)mark->pid);
    return result(open(path, O_RDONLY));
}
static int limit_other(const struct mark *mark)
{
    struct rlimit some = { 1, 1 };
    return result(syscall(SYS_prlimit64, mark->pid, RLIMIT_NOFILE, &some, NULL));
}

/* ---- rights ---- */

static int become_root(const struct mark *mark) { (void)mark; return result(setuid(0)); }
static int become_other(const struct mark *mark) { (void)mark; return result(setresuid(1, 1, 1)); }
static int other_groups(const struct mark *mark) { (void)mark; return result(syscall(SYS_setgroups, 0, NULL)); }
static int capabilities(const struct mark *mark)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct all[2] = { { ~0u, ~0u, 0 }, { ~0u, ~0u, 0 } };
    (void)mark;
    return result(syscall(SYS_capset, &head, all));
}
static int dumpable(const struct mark *mark) { (void)mark; return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int outlive(const struct mark *mark) { (void)mark; return result(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)); }
static int raise_limit(const struct mark *mark)
{
    struct rlimit more = { 1 << 20, 1 << 20 };
    (void)mark;
    return result(setrlimit(RLIMIT_NOFILE, &more));
}
static int core_dump(const struct mark *mark)
{
    struct rlimit some = { 4096, 4096 };
    (void)mark;
    return result(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &some, NULL));
}
static int more_descriptors(const struct mark *mark)
{
    struct rlimit files;
    (void)mark;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return errno;
    return result(fcntl(0, F_DUPFD, (int)files.rlim_cur)) == EINVAL ? EMFILE : 0; /* as fcntl(2) says it of a number beyond the limit */
}
static int mount_folder(const struct mark *mark) { (void)mark; return result(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL)); }
static int new_namespace(const struct mark *mark) { (void)mark; return result(unshare(CLONE_NEWUSER)); }
static int other_namespace(const struct mark *mark) { (void)mark; return result(setns(0, 0)); }

/* ---- memory that runs, and the kernel's other doors ---- */

static int run_and_write(const struct mark *mark)
{
    (void)mark;
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? errno : 0;
}
static int make_runnable(const struct mark *mark)
{
    (void)mark;
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return result(mprotect(memory, 4096, PROT_READ | PROT_EXEC));
}
static int personality_call(const struct mark *mark) { (void)mark; return result(syscall(SYS_personality, 0x0400000)); } /* READ_IMPLIES_EXEC */
static int keyring(const struct mark *mark) { (void)mark; return result(syscall(SYS_keyctl, 0, -3, 0)); }
static int add_key(const struct mark *mark) { (void)mark; return result(syscall(SYS_add_key, "user", "x", "x", 1, -3)); }
static int bpf_call(const struct mark *mark) { (void)mark; return result(syscall(SYS_bpf, 0, NULL, 0)); }
static int io_uring(const struct mark *mark) { (void)mark; return result(syscall(SYS_io_uring_setup, 1, NULL)); }
static int perf_event(const struct mark *mark) { (void)mark; return result(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0)); }
static int page_faults(const struct mark *mark) { (void)mark; return result(syscall(SYS_userfaultfd, 0)); }
static int load_module(const struct mark *mark) { (void)mark; return result(syscall(SYS_init_module, NULL, 0, "")); }
static int load_kernel(const struct mark *mark) { (void)mark; return result(syscall(SYS_kexec_load, 0, 0, NULL, 0)); }
static int restart_machine(const struct mark *mark) { (void)mark; return result(syscall(SYS_reboot, 0, 0, 0, NULL)); } /* without its magic numbers */
static int set_clock(const struct mark *mark) { (void)mark; return result(syscall(SYS_settimeofday, NULL, NULL)); }
static int terminal_input(const struct mark *mark) { (void)mark; return result(ioctl(2, TIOCSTI, "x")); }

/* clang-format off */
static const struct try {
    const char *name;
    uint8_t roles;
    int (*out)(const struct mark *mark);
} tries[] = {
    { "open /etc/passwd", ALL, read_file },
    { "open ../../../../etc/passwd", ALL, read_above },
    { "open /proc/self/fd/0", ALL, read_by_descriptor },
    { "open /proc/self/environ", ALL, read_environment },
    { "open DIR/store/ekirei.db", IN_FILES, read_store },
    { "open DIR/keys/keeper.key", ALL, read_key },
    { "open DIR/store/../ekirei.conf", ALL, read_settings },
    { "append to DIR/ekirei.conf", ALL, write_settings },
    { "make a file in DIR/run", ALL, make_file },
    { "make a file in /tmp", ALL, make_anywhere },
    { "list /etc", ALL, list_folder },
    { "unlink DIR/run/decoy", ALL, unlink_outside },
    { "link a file of the store to DIR/run", ALL, move_out },
    { "link DIR/keys/keeper.key into the store", ALL, link_in },
    { "symlink", ALL, symbolic_link },
    { "mknod", ALL, device },
    { "open_by_handle_at", WHOLE, by_handle },
    { "chroot", ALL, change_root },
    { "lock a file", IN_FILES, file_lock },
    { "memfd_create", IN_FILES, memory_file },
    { "socket TCP", STAYS, tcp_socket },
    { "socket TCP over IPv6", STAYS, tcp6_socket },
    { "socket UDP", STAYS, udp_socket },
    { "socket unix", ALL, unix_socket },
    { "socket netlink", ALL, netlink_socket },
    { "socket raw", ALL, raw_socket },
    { "socket packet", ALL, packet_socket },
    { "socket crypto", ALL, crypto_socket },
    { "socket vsock", ALL, machine_socket },
    { "connect", STAYS, connect_tcp },
    { "sendto that connects (MSG_FASTOPEN)", STAYS, connect_by_sending },
    { "sendmsg that connects (MSG_FASTOPEN)", STAYS, connect_by_message },
    { "bind a TCP port", ALL, bind_port },
    { "bind what it holds", STAYS, bind_what_it_has },
    { "listen", ALL, listen_again },
    { "accept", ROLE_COURIER, accept_guest },
    { "end a listening socket", STAYS, end_listener },
    { "execve /bin/true", ALL, run_program },
    { "execveat a descriptor", ALL, run_descriptor },
    { "execveat a file in memory", ALL, run_memory_file },
    { "fork", ALL, fork_process },
    { "vfork", ALL, vfork_process },
    { "clone3", ALL, clone_by_struct },
    { "a thread", GATES | ROLE_POLICY, make_thread },
    { "kill another role", ALL, kill_other },
    { "tgkill another role", ALL, kill_thread },
    { "rt_sigqueueinfo another role", ALL, queue_signal },
    { "F_SETOWN another role", ALL, own_descriptor },
    { "F_SETSIG SIGKILL", ALL, signal_by_descriptor },
    { "pidfd_open another role", ALL, open_process },
    { "pidfd_getfd", WHOLE, take_descriptor },
    { "ptrace another role", WHOLE, trace },
    { "ptrace (seize) another role", WHOLE, seize },
    { "process_vm_readv another role", WHOLE, read_memory },
    { "process_vm_writev another role", WHOLE, write_memory },
    { "open /proc/PID/mem of another role", ALL, open_memory },
    { "prlimit another role", ALL, limit_other },
    { "setuid 0", ALL, become_root },
    { "setresuid", ALL, become_other },
    { "setgroups", ALL, other_groups },
    { "capset", ALL, capabilities },
    { "PR_SET_DUMPABLE", ALL, dumpable },
    { "PR_SET_PDEATHSIG (outlive the supervisor)", ALL, outlive },
    { "raise RLIMIT_NOFILE", ALL, raise_limit },
    { "raise RLIMIT_CORE", ALL, core_dump },
    { "more descriptors than its limit", ALL, more_descriptors },
    { "mount", WHOLE, mount_folder },
    { "unshare (user namespace)", WHOLE, new_namespace },
    { "setns", WHOLE, other_namespace },
    { "mmap to write and run", ALL, run_and_write },
    { "mprotect to run", ALL, make_runnable },
    { "personality READ_IMPLIES_EXEC", ALL, personality_call },
    { "keyctl", WHOLE, keyring },
    { "add_key", WHOLE, add_key },
    { "bpf", WHOLE, bpf_call },
    { "io_uring_setup", WHOLE, io_uring },
    { "perf_event_open", WHOLE, perf_event },
    { "userfaultfd", WHOLE, page_faults },
    { "init_module", WHOLE, load_module },
    { "kexec_load", WHOLE, load_kernel },
    { "reboot", WHOLE, restart_machine },
    { "settimeofday", WHOLE, set_clock },
    { "TIOCSTI", ALL, terminal_input },
};
/* clang-format on */
#define TRIES (sizeof tries / sizeof tries[0])

int try_out(enum role role, const char *name, const struct mark *mark)
{
    for (size_t i = 0; i < TRIES; i++)
        if (strcmp(tries[i].name, name) == 0 && (tries[i].roles & role))
            return tries[i].out(mark);
    return -1;
}

enum status tries_list(struct buf *out)
{
    for (size_t i = 0; i < TRIES; i++)
        TRY(buf_print(out, "%u %s\n", tries[i].roles, tries[i].name));
    return STATUS_OK;
}

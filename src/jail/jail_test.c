/* Each role enters its jail in a process of its own and tries what is forbidden; all of it as root (where the test is) and as an ordinary user. */
#include "jail/jail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
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

#include "base/testing.h"
#include "jail/impl.h"

#define UID 64123u

static const enum role roles[] = { ROLE_MX, ROLE_USER, ROLE_COURIER, ROLE_KEEPER, ROLE_POLICY };
#define GATES (ROLE_MX | ROLE_USER)
#define ALL   (GATES | ROLE_COURIER | ROLE_KEEPER | ROLE_POLICY)

static char store[] = "/tmp/jail-test-XXXXXX"; /* the keeper's folder */
static int listening = -1;                     /* on loopback */
static struct sockaddr_in where;
static int listening_abstract = -1;
static struct sockaddr_un abstract_name = { .sun_family = AF_UNIX };

static struct jail_plan plan_of(enum role role)
{
    return (struct jail_plan){ .role = role, .uid = geteuid() == 0 ? UID : 0, .root = role == ROLE_KEEPER ? store : NULL,
        .file_size = role == ROLE_KEEPER ? RLIM_INFINITY : 1 << 20, .files = 256 };
}

static void quiet(void)
{
    int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, 2);
}

/* ---- what is tried: each returns 0 where it was possible, else errno ---- */

static int result(long value) { return value < 0 ? errno : 0; }

static int try_read_file(void) { return result(open("/etc/passwd", O_RDONLY)); }
static int try_read_above(void) { return result(open("../../../../etc/passwd", O_RDONLY)); }
static int try_write_file(void) { return result(open("/tmp/jail-test-written", O_WRONLY | O_CREAT, 0600)); }
static int try_list(void) { return result(open("/etc", O_RDONLY | O_DIRECTORY)); }
static int try_exec(void)
{
    char name[] = "/bin/true", *args[] = { name, NULL }, *none[] = { NULL };
    return result(execve(name, args, none));
}
static int try_exec_descriptor(void)
{
    char name[] = "true", *args[] = { name, NULL }, *none[] = { NULL };
    return result(fexecve(3, args, none));
}
static int try_fork(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return result(pid);
}
static int try_ptrace(void) { return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL)); }
static int try_kill(void) { return result(kill(getppid(), 0)); }
static int try_socket_inet(void) { return result(socket(AF_INET, SOCK_STREAM, 0)); }
static int try_socket_unix(void) { return result(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int try_socket_netlink(void) { return result(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int try_connect(void) { return result(connect(4, (struct sockaddr *)&where, sizeof where)); }
static int try_connect_abstract(void)
{
    if (landlock_version() < 6)
        return EPERM; /* only later kernels can forbid it to the courier; the others have no connect() */
    return result(connect(5, (struct sockaddr *)&abstract_name, sizeof abstract_name));
}
static int try_listen_tcp(void)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    return result(bind(4, (struct sockaddr *)&any, sizeof any));
}
static int try_executable_memory(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? errno : 0;
}
static int try_make_executable(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return result(mprotect(memory, 4096, PROT_READ | PROT_EXEC));
}
static int try_connect_by_sending(void) { return result(sendto(4, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&where, sizeof where)); }
static int try_connect_by_message(void)
{
    struct iovec part = { (char[]){ "x" }, 1 };
    struct msghdr message = { .msg_name = &where, .msg_namelen = sizeof where, .msg_iov = &part, .msg_iovlen = 1 };
    return result(sendmsg(4, &message, MSG_FASTOPEN | MSG_NOSIGNAL));
}
static int try_end_listener(void) { return result(shutdown(listening, SHUT_RDWR)); }
static int try_stop_listener(void) { return result(shutdown(listening, SHUT_RD)); }
static int try_listen_again(void) { return result(listen(listening, 1)); }
static int try_owner(void) { return result(fcntl(5, F_SETOWN, getppid())); }
static int try_signal_by_descriptor(void) { return result(fcntl(5, F_SETSIG, SIGKILL)); }
static int try_file_lease(void) { return result(fcntl(3, F_SETLEASE, F_RDLCK)); }
static int try_lock(void)
{
    struct flock whole = { .l_type = F_RDLCK };
    return result(fcntl(3, F_SETLK, &whole));
}
static int try_memory_file(void) { return result(memfd_create("x", 0)); }
static int try_raw_socket(void) { return result(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }
static int try_packet_socket(void) { return result(socket(AF_PACKET, SOCK_RAW, 0)); }
static int try_crypto_socket(void) { return result(socket(AF_ALG, SOCK_SEQPACKET, 0)); }
static int try_vsock(void) { return result(socket(AF_VSOCK, SOCK_STREAM, 0)); }
static int try_process_descriptor(void) { return result(syscall(SYS_pidfd_open, getppid(), 0)); }
static int try_other_memory(void)
{
    char octet;
    struct iovec here = { &octet, 1 }, there = { &octet, 1 };
    return result(process_vm_readv(getppid(), &here, 1, &there, 1, 0));
}
static int try_signal_parent(void) { return result(syscall(SYS_tgkill, getppid(), getppid(), 0)); }
static int try_keyring(void) { return result(syscall(SYS_keyctl, 0, -3, 0)); }
static int try_core_dump(void)
{
    struct rlimit some = { 4096, 4096 };
    return result(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &some, NULL));
}
static int try_personality(void) { return JAIL_SANITIZED ? EPERM : result(syscall(SYS_personality, 0x0400000)); } /* READ_IMPLIES_EXEC */
static int try_handle(void) { return result(syscall(SYS_open_by_handle_at, 3, NULL, 0)); }
static int try_chroot(void) { return result(chroot("/")); }
static int try_device(void) { return result(mknod("jail-test-device", S_IFCHR | 0600, 0x103)); }
static int try_terminal_input(void) { return result(ioctl(2, TIOCSTI, "x")); }
static int try_root(void) { return result(setuid(0)); }
static int try_more_files(void)
{
    struct rlimit more = { 4096, 4096 };
    return result(setrlimit(RLIMIT_NOFILE, &more));
}
static int try_mount(void) { return result(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL)); }
static int try_namespace(void) { return result(unshare(CLONE_NEWUSER)); }
static int try_dumpable(void) { return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int try_io_uring(void) { return result(syscall(SYS_io_uring_setup, 1, NULL)); }
static int try_bpf(void) { return result(syscall(SYS_bpf, 0, NULL, 0)); }
static void *nothing(void *unused) { return unused; }
static int try_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL);
}

static const struct forbidden {
    const char *name;
    uint8_t roles;
    int (*tried)(void);
} forbidden[] = {
    { "read a file", ALL, try_read_file },
    { "read a file above the root", ALL, try_read_above },
    { "write a file", ALL, try_write_file },
    { "list a folder", ALL, try_list },
    { "exec", ALL, try_exec },
    { "exec a descriptor", ALL, try_exec_descriptor },
    { "fork", ALL, try_fork },
    { "ptrace", ALL, try_ptrace },
    { "kill", ALL, try_kill },
    { "socket inet", GATES | ROLE_KEEPER | ROLE_POLICY, try_socket_inet },
    { "socket unix", ALL, try_socket_unix },
    { "socket netlink", ALL, try_socket_netlink },
    { "connect", GATES | ROLE_KEEPER | ROLE_POLICY, try_connect },
    { "connect abstract", ALL, try_connect_abstract },
    { "listen", ALL, try_listen_tcp },
    { "memory to write and run", ALL, try_executable_memory },
    { "memory to run", ALL, try_make_executable },
    { "become root", ALL, try_root },
    { "raise a limit", ALL, try_more_files },
    { "mount", ALL, try_mount },
    { "namespace", ALL, try_namespace },
    { "dumpable", ALL, try_dumpable },
    { "io_uring", ALL, try_io_uring },
    { "bpf", ALL, try_bpf },
    { "thread", GATES | ROLE_POLICY, try_thread },
    { "connect by sending", GATES | ROLE_KEEPER | ROLE_POLICY, try_connect_by_sending },
    { "connect by a message", GATES | ROLE_KEEPER | ROLE_POLICY, try_connect_by_message },
    { "end a shared listening socket", GATES | ROLE_KEEPER | ROLE_POLICY, try_end_listener },
    { "stop a shared listening socket", GATES | ROLE_KEEPER | ROLE_POLICY, try_stop_listener },
    { "listen on it again", ALL, try_listen_again },
    { "own a descriptor for another process", ALL, try_owner },
    { "signal by descriptor", ALL, try_signal_by_descriptor },
    { "file lease", ALL, try_file_lease },
    { "file lock", GATES | ROLE_COURIER | ROLE_POLICY, try_lock },
    { "file in memory", GATES | ROLE_COURIER | ROLE_POLICY, try_memory_file },
    { "socket raw", ALL, try_raw_socket },
    { "socket packet", ALL, try_packet_socket },
    { "socket crypto", ALL, try_crypto_socket },
    { "socket vsock", ALL, try_vsock },
    { "descriptor of a process", ALL, try_process_descriptor },
    { "another process's memory", ALL, try_other_memory },
    { "signal a thread elsewhere", ALL, try_signal_parent },
    { "keyring", ALL, try_keyring },
    { "core dump", ALL, try_core_dump },
    { "personality", ALL, try_personality },
    { "file by handle", ALL, try_handle },
    { "chroot", ALL, try_chroot },
    { "device", ALL, try_device },
    { "another's keyboard", ALL, try_terminal_input },
};

/* Descriptors that an intruder might find: 3 a program, 4 a TCP socket, 5 a Unix socket. */
static void place_descriptors(void)
{
    int program = open("/bin/true", O_RDONLY), tcp = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
    int high[] = { fcntl(program, F_DUPFD, 20), fcntl(tcp, F_DUPFD, 20), fcntl(local, F_DUPFD, 20) };
    for (int i = 0; i < 3; i++)
        dup2(high[i], 3 + i);
}

static int run(enum role role, int (*tried)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        quiet();
        place_descriptors();
        struct jail_plan plan = plan_of(role);
        if (jail_enter(&plan) != STATUS_OK)
            _exit(254);
        int failed = tried();
        _exit(failed > 250 ? 250 : failed);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_C232_forbidden(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(forbidden); i++)
        for (size_t r = 0; r < COUNT(roles); r++) {
            if (!(forbidden[i].roles & roles[r]))
                continue;
            int status = run(roles[r], forbidden[i].tried);
            bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
            bool refused = WIFEXITED(status) && WEXITSTATUS(status) != 0 && WEXITSTATUS(status) < 250;
            if (!killed && !refused)
                fail_msg("%s was not refused to %s (status %#x)", forbidden[i].name, role_name(roles[r]), (unsigned)status);
        }
}

/* ---- what must go on working ---- */

static int work_everywhere(void)
{
    char octets[16];
    struct stat about;
    if (syscall(SYS_getrandom, octets, sizeof octets, 0) != sizeof octets)
        return errno;
    void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, 4096, PROT_READ) != 0 || munmap(memory, 1 << 20) != 0)
        return errno;
    if (fstat(3, &about) != 0 || about.st_size == 0 || prctl(PR_SET_NAME, "jailed") != 0)
        return errno ? errno : 1;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur != 256)
        return 2;
    void *chunk = test_malloc(3 << 20); /* beyond the allocator's threshold for mmap */
    memset(chunk, 1, 3 << 20);
    test_free(chunk);
    return 0;
}

static int work_accept(void)
{
    int failed = work_everywhere();
    int guest = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (failed || guest < 0)
        return failed ? failed : errno;
    int one = 1;
    if (setsockopt(guest, IPPROTO_TCP, 1, &one, sizeof one) != 0 || send(guest, "+OK\r\n", 5, MSG_NOSIGNAL) != 5)
        return errno;
    return 0;
}

static int work_courier(void)
{
    int failed = work_everywhere();
    pthread_t thread;
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), dns = socket(AF_INET6, SOCK_DGRAM, 0);
    if (failed || out < 0 || (dns < 0 && errno != EAFNOSUPPORT))
        return failed ? failed : errno;
    if (connect(out, (struct sockaddr *)&where, sizeof where) != 0)
        return errno;
    failed = pthread_create(&thread, NULL, nothing, NULL);
    return failed ? failed : pthread_join(thread, NULL);
}

static int work_files(void)
{
    struct jail_plan plan = plan_of(ROLE_KEEPER);
    char one[256], two[256], folder[256];
    const char *root = strcmp(jail_path(&plan), "/") == 0 ? "" : jail_path(&plan);
    snprintf(one, sizeof one, "%s/one", root);
    snprintf(folder, sizeof folder, "%s/folder", root);
    snprintf(two, sizeof two, "%s/folder/two", root);
    int fd = open(one, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0 || fdatasync(fd) != 0 || ftruncate(fd, 4096) != 0)
        return errno;
    struct flock whole = { .l_type = F_WRLCK };
    void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED || fcntl(fd, F_SETLK, &whole) != 0)
        return errno;
    struct stat about;
    if (mkdir(folder, 0700) != 0 || rename(one, two) != 0 || stat(two, &about) != 0 || unlink(two) != 0 || rmdir(folder) != 0)
        return errno;
    return 0;
}

static int supervise(void)
{
    if (jail_supervise() != STATUS_OK)
        return 251;
    if (!JAIL_SANITIZED && (try_ptrace() == 0 || try_mount() == 0 || try_namespace() == 0 || try_bpf() == 0 || try_io_uring() == 0))
        return 1;
    char text[4096] = { 0 };
    int fd = open("/proc/self/status", O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0 || !strstr(text, "\nNoNewPrivs:\t1\n"))
        return 2;
    if (!JAIL_SANITIZED && !strstr(text, "\nSeccomp:\t2\n"))
        return 3;
    /* What it is for still works: it starts a process, which enters a jail of its own. */
    pid_t pid = fork();
    if (pid == 0) {
        struct jail_plan plan = plan_of(ROLE_MX);
        _exit(jail_enter(&plan) == STATUS_OK ? 0 : 1);
    }
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

static void test_supervisor(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        quiet();
        _exit(supervise());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %#x", (unsigned)status);
}

static void assert_done(int status)
{
    if (WIFSIGNALED(status))
        fail_msg("ended by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int knock(void)
{
    int out = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(out, (struct sockaddr *)&where, sizeof where), 0);
    return out;
}

static void test_allowed(void **state)
{
    static const enum role doors[] = { ROLE_MX, ROLE_USER, ROLE_POLICY };
    (void)state;
    for (size_t r = 0; r < COUNT(doors); r++) {
        int guest = knock();
        assert_done(run(doors[r], work_accept));
        char octets[8];
        assert_int_equal(recv(guest, octets, sizeof octets, 0), 5);
        close(guest);
    }
    assert_done(run(ROLE_COURIER, work_courier));
    int guest = accept(listening, NULL, NULL); /* the courier's */
    assert_true(guest >= 0);
    close(guest);
    assert_done(run(ROLE_KEEPER, work_everywhere));
    assert_done(run(ROLE_KEEPER, work_files));
}

static int work_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL);
}

static void test_keeper_threads(void **state)
{
    (void)state;
    assert_done(run(ROLE_KEEPER, work_thread));
}

/* ---- what shows from outside ---- */

static void assert_line(const char *status, const char *line)
{
    if (!strstr(status, line))
        fail_msg("no \"%s\" in:\n%s", line, status);
}

static void test_status_shows(void **state)
{
    (void)state;
    for (size_t r = 0; r < COUNT(roles); r++) {
        int up[2], down[2], log[2];
        assert_true(pipe(up) == 0 && pipe(down) == 0 && pipe(log) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            dup2(log[1], 2);
            close(down[1]);
            struct jail_plan plan = plan_of(roles[r]);
            char octet = (char)jail_enter(&plan);
            _exit(write(up[1], &octet, 1) == 1 && read(down[0], &octet, 1) == 0 ? 0 : 1);
        }
        char octet = 1, path[64], text[8192] = { 0 }, line[1024] = { 0 }, wanted[64];
        close(down[0]);
        assert_int_equal(read(up[0], &octet, 1), 1);
        assert_int_equal(octet, STATUS_OK);
        snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
        int fd = open(path, O_RDONLY);
        assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
        assert_line(text, "\nSeccomp:\t2\n");
        assert_line(text, "\nNoNewPrivs:\t1\n");
        assert_line(text, "\nCapPrm:\t0000000000000000\n");
        assert_line(text, "\nCapEff:\t0000000000000000\n");
        uint32_t uid = geteuid() == 0 ? UID : geteuid();
        snprintf(wanted, sizeof wanted, "\nUid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid);
        assert_line(text, wanted);
        /* The level reached is the kernel's, and the log says so. */
        assert_true(read(log[0], line, sizeof line - 1) > 0);
        uint32_t version = landlock_version();
        snprintf(wanted, sizeof wanted, "jail.entered role=%s uid=%u chroot=%d landlock=%u seccomp=1\n", role_name(roles[r]), uid, geteuid() == 0, version);
        assert_line(line, wanted);
        int status;
        close(down[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_done(status);
        int left[] = { up[0], up[1], log[0], log[1], fd };
        for (size_t i = 0; i < COUNT(left); i++)
            close(left[i]);
    }
}

static void test_ends_with_its_parent(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t parent = fork();
    if (parent == 0) {
        int ready[2];
        char octet;
        if (pipe(ready) != 0)
            _exit(1);
        if (fork() == 0) {
            quiet();
            close(ends[0]);
            struct jail_plan plan = plan_of(ROLE_MX);
            if (jail_enter(&plan) != STATUS_OK || write(ready[1], "x", 1) != 1)
                _exit(1);
            for (;;)
                poll(NULL, 0, 1000);
        }
        close(ready[1]);
        _exit(read(ready[0], &octet, 1) == 1 ? 0 : 1);
    }
    int status;
    char octet;
    close(ends[1]);
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_done(status);
    assert_int_equal(read(ends[0], &octet, 1), 0); /* the last writer is gone; a living one would hold this up for ever */
    close(ends[0]);
}

static void *sleeps(void *end)
{
    char octet;
    return read(*(int *)end, &octet, 1) == 0 ? end : NULL;
}

static void test_second_thread_is_refused(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        int ends[2];
        pthread_t thread;
        struct jail_plan plan = plan_of(ROLE_KEEPER);
        quiet();
        if (pipe(ends) != 0 || pthread_create(&thread, NULL, sleeps, &ends[0]) != 0)
            _exit(1);
        _exit(jail_enter(&plan) == STATUS_IO ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_done(status);
}

static void test_become(void **state)
{
    (void)state;
    bool root = geteuid() == 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (jail_become(UID, store) != STATUS_OK)
            _exit(1);
        if (root && (geteuid() != UID || getgroups(0, NULL) != 0 || open("/etc/passwd", O_RDONLY) >= 0))
            _exit(2);
        _exit(!root && geteuid() == UID ? 3 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_done(status);
    assert_int_equal(jail_uid(ROLE_MX, 0) != 0, false);
}

static int make_world(void **state)
{
    (void)state;
    socklen_t size = sizeof where;
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    memcpy(strrchr(store, '-'), "-XXXXXX", 8);
    if (!mkdtemp(store) || (geteuid() == 0 && chown(store, UID, UID) != 0))
        return -1;
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Out of the way of the descriptors that the children place. */
    int high = fcntl(listening, F_DUPFD_CLOEXEC, 50);
    close(listening);
    listening = high;
    listening_abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(abstract_name.sun_path + 1, sizeof abstract_name.sun_path - 1, "jail-test-%d", (int)getpid());
    if (bind(listening_abstract, (struct sockaddr *)&abstract_name, sizeof abstract_name) || listen(listening_abstract, 8))
        return -1;
    return bind(listening, (struct sockaddr *)&any, sizeof any) || listen(listening, 8) ||
        getsockname(listening, (struct sockaddr *)&where, &size);
}

static int end_world(void **state)
{
    (void)state;
    close(listening);
    close(listening_abstract);
    return rmdir(store); /* fails where a test left something */
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_C232_forbidden),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_keeper_threads),
        cmocka_unit_test(test_status_shows),
        cmocka_unit_test(test_ends_with_its_parent),
        cmocka_unit_test(test_second_thread_is_refused),
        cmocka_unit_test(test_become),
        cmocka_unit_test(test_supervisor),
    };
    return cmocka_run_group_tests(tests, make_world, end_world);
}

int main(void)
{
    if (geteuid() != 0)
        return run_all();
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
            _exit(1);
        _exit(run_all() ? 1 : 0);
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return 1;
    return run_all();
}

/* DIR/run: the lock that keeps two servers apart, one file a process, the command line's socket. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scoped.h"
#include "supervisor/impl.h"

#define SOCKET "control.sock"

static void rest(void) { (void)poll(NULL, 0, RETRY); }

static enum status fail(const char *what, const char *dir, const char *hint)
{
    fprintf(stderr, "ekirei: %s %s/run: %s%s\n", what, dir, strerror(errno), hint);
    return STATUS_IO;
}

static long read_pid(const struct supervisor *s)
{
    scoped_fd int fd = openat(s->run, "supervisor.pid", O_RDONLY | O_CLOEXEC);
    char text[32] = { 0 };
    uint64_t pid = 0;
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        return 0;
    enum status status = slice_number(slice_upto(slice_of(text), strcspn(text, "\n")), INT32_MAX, &pid);
    return status == STATUS_OK ? (long)pid : 0;
}

static enum status lock_folder(struct supervisor *s)
{
    msec until = clock_now() + PATIENCE;
    s->lock = openat(s->run, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0)
        return fail("cannot write in", s->plan->dir, "");
    while (flock(s->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail("cannot lock", s->plan->dir, "");
        if (clock_now() > until) {
            fprintf(stderr, "ekirei: %s is served by process %ld already\n", s->plan->dir, read_pid(s));
            return STATUS_BUSY;
        }
        rest();
    }
    return STATUS_OK;
}

static void drop_stale(struct supervisor *s)
{
    int again = fcntl(s->run, F_DUPFD_CLOEXEC, 0);
    DIR *folder = again >= 0 ? fdopendir(again) : NULL;
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (slice_ends_nocase(slice_of(entry->d_name), S(".pid")))
            (void)unlinkat(s->run, entry->d_name, 0);
    closedir(folder);
}

void folder_put_pid(struct supervisor *s, const char *name, pid_t pid)
{
    char path[64], text[32];
    snprintf(path, sizeof path, "%s.pid", name);
    int len = snprintf(text, sizeof text, "%d\n", (int)pid);
    /* Readers never see half a number: the file comes whole under its name. */
    scoped_fd int fd = openat(s->run, "pid.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, (size_t)len) != len || renameat(s->run, "pid.new", s->run, path) != 0)
        LOG(LOG_WARNING, "supervisor.pid-file", LOG_WORD("file", path), LOG_ERRNO());
}

void folder_drop_pid(struct supervisor *s, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s.pid", name);
    (void)unlinkat(s->run, path, 0);
}

/* The name goes through the folder's descriptor: a socket's name has 108 octets, a path may have more. */
static enum status open_command_line(struct supervisor *s)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    snprintf(name.sun_path, sizeof name.sun_path, "/proc/self/fd/%d/%s", s->run, SOCKET);
    s->command_line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)unlinkat(s->run, SOCKET, 0);
    mode_t before = umask(0177);
    int failed = s->command_line < 0 ? -1 : bind(s->command_line, (struct sockaddr *)&name, sizeof name);
    umask(before);
    if (failed != 0 || listen(s->command_line, LIMIT_CTL_CLIENTS) != 0)
        return fail("cannot make the command line's socket in", s->plan->dir, "");
    return STATUS_OK;
}

enum status folder_open(struct supervisor *s)
{
    scoped_fd int dir = open(s->plan->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || (mkdirat(dir, "run", 0700) != 0 && errno != EEXIST))
        return fail("cannot make", s->plan->dir, "");
    s->run = openat(dir, "run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->run < 0)
        return fail("cannot open", s->plan->dir, " (start it as the user who owns it)");
    TRY(lock_folder(s));
    drop_stale(s);
    folder_put_pid(s, "supervisor", s->pid);
    return open_command_line(s);
}

void folder_close(struct supervisor *s)
{
    /* Who has not got the lock leaves another's files alone. */
    (void)unlinkat(s->run, SOCKET, 0);
    folder_drop_pid(s, "supervisor");
    close(s->command_line);
    close(s->lock);
    close(s->run);
}

#include "jail/jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scoped.h"
#include "jail/impl.h"

static bool is_chrooted; /* of this process, once and for good */

/* ---- what it may use up --------------------------------------------------------------------------------------------- */

static void limit(int what, const char *name, rlim_t most)
{
    struct rlimit now, wanted = { most, most };
    if (setrlimit((__rlimit_resource_t)what, &wanted) == 0)
        return;
    /* An ordinary user cannot go beyond what it was given. */
    if (getrlimit((__rlimit_resource_t)what, &now) == 0) {
        wanted = (struct rlimit){ now.rlim_max, now.rlim_max };
        (void)setrlimit((__rlimit_resource_t)what, &wanted);
        LOG(LOG_WARNING, "jail.limit", LOG_WORD("what", name), LOG_NUMBER("wanted", most), LOG_NUMBER("given", now.rlim_max));
    }
}

/* The log's limit would be the files' limit: a log that goes to a plain file must go on growing. */
static bool logs_to_file(void)
{
    struct stat about;
    return fstat(2, &about) == 0 && S_ISREG(about.st_mode);
}

static void limit_all(const struct jail_plan *plan)
{
    limit(RLIMIT_CORE, "core", 0);
    limit(RLIMIT_NOFILE, "files", plan->files);
    if (!logs_to_file())
        limit(RLIMIT_FSIZE, "file-size", plan->file_size);
    /* Where threads are needed, the filter tells them from processes. */
    if (plan->role & (ROLE_MX | ROLE_USER | ROLE_POLICY))
        limit(RLIMIT_NPROC, "processes", 0);
}

/* ---- who it is, and what it sees ------------------------------------------------------------------------------------ */

/* A folder that is there no longer: empty, and nothing can be made in it. */
static enum status enter_void(void)
{
    char here[] = "./.void-XXXXXX", there[] = "/tmp/.void-XXXXXX";
    char *made = mkdtemp(here);
    if (!made)
        made = mkdtemp(there);
    if (!made)
        return STATUS_IO;
    scoped_fd int folder = open(made, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rmdir(made) != 0 || folder < 0 || fchdir(folder) != 0 || chroot(".") != 0)
        return STATUS_IO;
    is_chrooted = true;
    return STATUS_OK;
}

static enum status enter_root(const char *root)
{
    if (chdir(root) != 0 || chroot(".") != 0 || chdir("/") != 0)
        return STATUS_IO;
    is_chrooted = true;
    return STATUS_OK;
}

static enum status become(uint32_t uid)
{
    if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
        return STATUS_IO;
    return STATUS_OK;
}

/* Rights that a program file can give to an ordinary user (cap_net_bind_service), or that root would have kept. */
static enum status drop_capabilities(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &head, none) == 0 ? STATUS_OK : STATUS_IO;
}

enum status jail_become(uint32_t uid, const char *root)
{
    if (geteuid() != 0)
        return STATUS_OK;
    if (root)
        TRY(enter_root(root));
    return uid ? become(uid) : STATUS_OK;
}

static enum status change_user(const struct jail_plan *plan)
{
    /* Both signs of trust that a change of user takes away are set behind it. */
    pid_t parent = getppid();
    if (geteuid() == 0) {
        TRY(plan->root ? enter_root(plan->root) : enter_void());
        if (plan->uid)
            TRY(become(plan->uid));
    }
    TRY(drop_capabilities());
    /* The policy role has no supervisor: who started it may go. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return STATUS_IO;
    if (plan->role == ROLE_POLICY)
        return STATUS_OK;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return STATUS_IO;
    /* A supervisor that died in between would have gone unnoticed. */
    return getppid() == parent ? STATUS_OK : STATUS_AWAY;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

/* Landlock holds for one thread, so a second one that runs already would stay outside. */
static bool is_single(void)
{
    DIR *folder = opendir("/proc/self/task");
    if (!folder)
        return true;
    unsigned threads = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        threads += entry->d_name[0] != '.';
    closedir(folder);
    return threads <= 1;
}

static enum status failed(const char *what, enum status status)
{
    LOG(LOG_ERROR, "jail.failed", LOG_WORD("what", what), LOG_STATUS(status), LOG_ERRNO());
    return STATUS_IO;
}

static void skipped(const char *what) { LOG(LOG_WARNING, "jail.skipped", LOG_WORD("what", what), LOG_WORD("why", "the kernel does not have it")); }

enum status jail_enter(const struct jail_plan *plan)
{
    if (!is_single())
        return failed("threads", STATUS_BUSY);
    limit_all(plan);
    enum status status = change_user(plan);
    if (status != STATUS_OK)
        return failed("user", status);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed("no-new-privs", STATUS_IO);
    uint32_t version = landlock_version();
    /* Its first version forbade every move between folders, which a store cannot do without. */
    if (version == 1 && plan->root)
        version = 0;
    if (version == 0)
        skipped("landlock");
    else if ((status = landlock_enter(plan, version)) != STATUS_OK)
        return failed("landlock", status);
    status = seccomp_enter(plan->role);
    bool filtered = status == STATUS_OK;
    if (status == STATUS_AWAY)
        skipped("seccomp");
    else if (!filtered)
        return failed("seccomp", status);
    LOG(LOG_INFO, "jail.entered", LOG_WORD("role", role_name(plan->role)), LOG_NUMBER("uid", getuid()), LOG_NUMBER("chroot", is_chrooted),
        LOG_NUMBER("landlock", version), LOG_NUMBER("seccomp", filtered));
    return STATUS_OK;
}

enum status jail_supervise(void)
{
    limit(RLIMIT_CORE, "core", 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || (!JAIL_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0))
        return failed("supervisor", STATUS_IO);
    enum status status = seccomp_supervise();
    if (status == STATUS_AWAY)
        skipped("seccomp");
    else if (status != STATUS_OK)
        return failed("seccomp", status);
    return STATUS_OK;
}

uint32_t jail_uid(enum role role, uint32_t preset)
{
    if (geteuid() != 0)
        return 0;
    char name[32];
    snprintf(name, sizeof name, "ekirei-%s", role_name(role));
    const struct passwd *known = getpwnam(name);
    return known ? known->pw_uid : preset;
}

const char *jail_path(const struct jail_plan *plan) { return is_chrooted ? "/" : plan->root; }

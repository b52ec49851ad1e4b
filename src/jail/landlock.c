/* Landlock by its system calls: the C library has no functions for it, and the header may be older than the kernel.
 *
 * Its rules hold for the calling thread and what that starts: jail_enter() refuses to run with more than one thread. */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scoped.h"
#include "jail/impl.h"

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule       445
#define __NR_landlock_restrict_self  446
#endif

#define QUERY_VERSION   1u
#define RULE_BENEATH    1
#define BIT(n)          (UINT64_C(1) << (n))

/* As the kernel numbers them. */
enum { EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO,
    MAKE_BLOCK, MAKE_SYM, REFER, TRUNCATE, IOCTL_DEV };
enum { BIND_TCP, CONNECT_TCP };
enum { SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL };

/* What a role may do beneath its root: it owns plain files and folders there, and nothing else has a place in it. */
#define OWN_FILES (BIT(WRITE_FILE) | BIT(READ_FILE) | BIT(READ_DIR) | BIT(REMOVE_DIR) | BIT(REMOVE_FILE) | BIT(MAKE_DIR) | BIT(MAKE_REG) | \
                   BIT(REFER) | BIT(TRUNCATE))

struct ruleset {
    uint64_t files, net, scoped;
};
struct beneath {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

/* What each version of Landlock can forbid, and how long the struct is that says so. */
static const struct {
    uint8_t file_rights, net_rights, scopes, size;
} versions[] = {
    { 0, 0, 0, 0 },     { REFER, 0, 0, 8 },          { TRUNCATE, 0, 0, 8 },       { IOCTL_DEV, 0, 0, 8 },
    { IOCTL_DEV, 2, 0, 16 }, { IOCTL_DEV + 1, 2, 0, 16 }, { IOCTL_DEV + 1, 2, 2, 24 },
};
#define NEWEST (sizeof versions / sizeof versions[0] - 1)

uint32_t landlock_version(void)
{
    long version = syscall(__NR_landlock_create_ruleset, NULL, 0, QUERY_VERSION);
    return version > 0 ? (uint32_t)version : 0;
}

static enum status allow_beneath(int rules, const char *root, uint64_t handled)
{
    scoped_fd int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct beneath rule = { .allowed = OWN_FILES & handled, .parent = folder };
    if (folder < 0 || syscall(__NR_landlock_add_rule, rules, RULE_BENEATH, &rule, 0) != 0)
        return STATUS_IO;
    return STATUS_OK;
}

enum status landlock_enter(const struct jail_plan *plan, uint32_t version)
{
    size_t known = version < NEWEST ? version : NEWEST;
    struct ruleset wanted = {
        .files = BIT(versions[known].file_rights) - 1,
        .net = BIT(versions[known].net_rights) - 1,
        .scoped = BIT(versions[known].scopes) - 1,
    };
    /* The courier's trade is to connect. */
    if (plan->role == ROLE_COURIER)
        wanted.net &= ~BIT(CONNECT_TCP);
    scoped_fd int rules = (int)syscall(__NR_landlock_create_ruleset, &wanted, (size_t)versions[known].size, 0);
    if (rules < 0)
        return STATUS_IO;
    if (plan->root)
        TRY(allow_beneath(rules, jail_path(plan), wanted.files));
    return syscall(__NR_landlock_restrict_self, rules, 0) == 0 ? STATUS_OK : STATUS_IO;
}

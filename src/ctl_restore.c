/* ctl_restore.c - `ekirei restore`: DIR from a backup, with the owner and rights that `init` would give.
 *
 * What clients saw after the backup was made is not in it.  So every mailbox gets a UIDVALIDITY that was never there, and with it
 * every message another UIDL; and queued mail is held, since it may have been sent. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/must.h"
#include "base/scoped.h"
#include "config.h"
#include "ctl_backup.h"
#include "ctl_file.h"
#include "ctl_impl.h"
#include "ctl_tree.h"
#include "jail/jail.h"
#include "store/store.h"

#define MANIFEST_MOST (1u << 30)
#define MOVED_ASIDE   FILE_PATH

struct restore {
    struct ctl *ctl;
    struct tree from, to;
    struct buf manifest;
    struct map hashes; /* path -> its line */
    uint64_t seen;
    struct settings *settings;
    uint32_t uid, held;
    char aside[MOVED_ASIDE]; /* where the old folder is now; empty: there was none */
};

static const char *const made_entries[] = { "ekirei.conf", "keys", "tls", "store", "run", NULL };

mode_t backup_mode(const char *path)
{
    static const char *const open_to_all[] = { "ekirei.conf", "tls/ca.pem", "tls/cert.pem" };
    for (size_t at = 0; at < sizeof open_to_all / sizeof open_to_all[0]; at++)
        if (strcmp(path, open_to_all[at]) == 0)
            return 0644;
    return 0600;
}

/* ---- is it whole? -------------------------------------------------------------------------------------------------- */

static int refuse(const struct restore *r, const char *why, struct slice what)
{
    return ctl_failed("%s is no whole backup: %s%s%.*s; nothing was changed", r->from.folder, why, what.len > 0 ? " " : "", (int)what.len, what.ptr);
}

/* "HEX  path": a path of ours, downwards. */
static bool is_line(struct slice line)
{
    struct slice path = slice_from(line, TREE_HEX + 2), rest = path, name;
    if (line.len <= TREE_HEX + 2 || path.len >= FILE_PATH || path.ptr[0] == '/' || !slice_equal(slice_upto(slice_from(line, TREE_HEX), 2), S("  ")))
        return false;
    while (slice_cut(&rest, '/', &name))
        if (name.len == 0 || slice_equal(name, S(".")) || slice_equal(name, S("..")))
            return false;
    return true;
}

static int read_manifest(struct restore *r)
{
    char path[FILE_PATH];
    struct stat about;
    r->manifest = BUF(MANIFEST_MOST);
    if (fstatat(r->from.fd, TREE_MANIFEST, &about, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(about.st_mode)) /* a pipe would hold us up */
        return refuse(r, "this is no file:", S(TREE_MANIFEST));
    file_path(path, r->from.folder, TREE_MANIFEST);
    enum status status = file_read(path, &r->manifest);
    if (status == STATUS_NOT_FOUND)
        return refuse(r, "it has no " TREE_MANIFEST, S(""));
    if (status != STATUS_OK)
        return ctl_failed("%s cannot be read: %s", path, strerror(errno));
    struct slice rest = buf_slice(&r->manifest), line;
    while (slice_cut(&rest, '\n', &line)) {
        if (!is_line(line) || map_find(&r->hashes, slice_from(line, TREE_HEX + 2)))
            return refuse(r, "this line of its manifest is damaged:", slice_upto(line, 200));
        map_put(&r->hashes, slice_from(line, TREE_HEX + 2), (void *)(uintptr_t)line.ptr);
    }
    static const char *const needed[] = { "ekirei.conf", "keys/keeper.key", "store/ekirei.db", BACKUP_ABOUT };
    for (size_t at = 0; at < sizeof needed / sizeof needed[0]; at++)
        if (!map_find(&r->hashes, slice_of(needed[at])))
            return refuse(r, "its manifest does not name", slice_of(needed[at]));
    return CTL_DONE;
}

static int verify_file(void *context, const char *path, bool plain)
{
    struct restore *r = context;
    char hex[TREE_HEX + 1];
    if (strcmp(path, TREE_MANIFEST) == 0)
        return CTL_DONE;
    const char *line = map_find(&r->hashes, slice_of(path));
    if (!plain || !line)
        return refuse(r, "its manifest does not name", slice_of(path));
    int code = tree_hash(&r->from, path, hex);
    if (code != CTL_DONE)
        return code;
    r->seen++;
    return memcmp(hex, line, TREE_HEX) == 0 ? CTL_DONE : refuse(r, "this file is not what it was:", slice_of(path));
}

static int verify(struct restore *r)
{
    r->from = (struct tree){ .folder = r->ctl->values[OPTION_FROM_FOLDER], .verb = "verified", .pause = SECONDS(2) };
    r->from.tell_at = clock_now() + r->from.pause;
    r->from.fd = open(r->from.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->from.fd < 0)
        return ctl_failed("%s cannot be opened: %s", r->from.folder, strerror(errno));
    int code = read_manifest(r);
    if (code == CTL_DONE)
        code = tree_each(r->from.fd, "", verify_file, r);
    if (code == CTL_DONE && r->seen != r->hashes.count)
        code = refuse(r, "some of its files are not there", S(""));
    return code;
}

/* ---- where it goes ------------------------------------------------------------------------------------------------- */

/* A lock that cannot be looked at may be held.  *out_fd: it is ours now; -1 where there is none. */
static int is_stopped(const char *dir, const char *lock, int *out_fd)
{
    char path[FILE_PATH];
    file_path(path, dir, lock);
    *out_fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (*out_fd < 0)
        return errno == ENOENT ? CTL_DONE : ctl_failed("%s cannot be opened: %s", path, strerror(errno));
    return flock(*out_fd, LOCK_EX | LOCK_NB) == 0 ? CTL_DONE : ctl_failed("%s is in use by a running server; stop it first", dir);
}

/* "DIR.before-20261124-103000", with a number behind it where there is one already. */
static int name_aside(const char *dir, char out[MOVED_ASIDE])
{
    struct civil now = civil_of(clock_wall());
    int put = 0;
    for (unsigned number = 1; number < 100 && put >= 0 && put < (int)MOVED_ASIDE; number++) {
        char more[16] = "";
        if (number > 1)
            snprintf(more, sizeof more, "-%u", number);
        put = snprintf(out, MOVED_ASIDE, "%s.before-%04u%02u%02u-%02u%02u%02u%s", dir, now.year, now.month, now.day, now.hour, now.minute, now.second, more);
        struct stat about;
        if (put > 0 && put < (int)MOVED_ASIDE && lstat(out, &about) != 0)
            return CTL_DONE;
    }
    return ctl_failed("%s cannot be moved aside: no name is left for it", dir);
}

static int move_aside(struct restore *r)
{
    const char *dir = r->ctl->dir;
    char plain[FILE_PATH], aside[MOVED_ASIDE];
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    snprintf(plain, sizeof plain, "%.*s", (int)len, dir);
    scoped_fd int run = -1, store = -1; /* held until it is moved: a server that starts meanwhile would go along */
    int code = is_stopped(dir, "run/lock", &run);
    if (code == CTL_DONE)
        code = is_stopped(dir, "store/lock", &store);
    if (code != CTL_DONE)
        return code;
    code = name_aside(plain, aside);
    if (code != CTL_DONE)
        return code;
    if (rename(plain, aside) != 0)
        return ctl_failed("%s cannot be moved aside: %s", dir, strerror(errno));
    memcpy(r->aside, aside, sizeof aside);
    return CTL_DONE;
}

static int choose_place(struct restore *r)
{
    const char *dir = r->ctl->dir;
    char conf[FILE_PATH];
    file_path(conf, dir, "ekirei.conf");
    if (access(conf, F_OK) != 0)
        return tree_claim(&r->to, dir, made_entries);
    if (!r->ctl->values[OPTION_FORCE])
        return ctl_failed("%s holds a server already; --force moves it aside; nothing was changed", dir);
    int code = move_aside(r);
    return code == CTL_DONE ? tree_claim(&r->to, dir, made_entries) : code;
}

/* ---- whose it is --------------------------------------------------------------------------------------------------- */

static int read_settings(struct restore *r)
{
    struct ctl from = { .dir = r->from.folder };
    int code = ctl_settings(&from, &r->settings);
    if (code != CTL_DONE)
        return code;
    r->uid = jail_uid(ROLE_KEEPER, r->settings->uid_keeper);
    const struct passwd *user = r->uid ? getpwuid(r->uid) : NULL;
    if (user && strncmp(user->pw_name, "ekirei-", 7) != 0)
        ctl_warn("the store will belong to user id %u, who is %s here; see users.keeper", r->uid, user->pw_name);
    return CTL_DONE;
}

/* ---- copying ------------------------------------------------------------------------------------------------------- */

/* The same digests again: what was verified is what was copied. */
static int compare_copied(struct restore *r)
{
    struct slice rest = buf_slice(&r->to.manifest), line;
    while (slice_cut(&rest, '\n', &line)) {
        const char *expected = map_find(&r->hashes, slice_from(line, TREE_HEX + 2));
        if (!expected || memcmp(expected, line.ptr, TREE_HEX) != 0)
            return refuse(r, "this file changed while it was copied:", slice_from(line, TREE_HEX + 2));
    }
    return CTL_DONE;
}

static int copy_all(struct restore *r)
{
    struct tree_copy plain = { .from = r->from.fd, .from_name = r->from.folder, .mode = backup_mode };
    struct tree_copy store = { .from = r->from.fd, .from_name = r->from.folder, .owner = r->uid, .owned = geteuid() == 0 && r->uid != 0 };
    int code = tree_copy(&r->to, &plain, "keys", "keys");
    if (code == CTL_DONE)
        code = tree_copy(&r->to, &plain, "tls", "tls");
    if (code == CTL_DONE)
        code = tree_copy(&r->to, &store, "store", "store");
    if (code == CTL_DONE && mkdirat(r->to.fd, "run", 0700) != 0)
        code = ctl_failed("%s/run cannot be made: %s", r->to.folder, strerror(errno));
    if (code == CTL_DONE)
        code = compare_copied(r);
    return code;
}

/* ---- a store whose clients have seen more than it knows -------------------------------------------------------------- */

static enum status renew(struct store *store, uint32_t *out_held)
{
    TRY(store->verbs->begin(store));
    enum status status = store->verbs->renew(store, clock_wall(), out_held);
    if (status == STATUS_OK)
        return store->verbs->commit(store);
    store->verbs->rollback(store);
    return status;
}

/* In a child, as the keeper's user. */
static int renew_store(const struct restore *r, int tell)
{
    char path[FILE_PATH];
    const char *where;
    struct store *store;
    struct buf why = BUF(LIMIT_LOG_LINE);
    uint32_t held;
    file_path(path, r->to.folder, "store");
    if (file_own_store(path, r->settings->uid_keeper, &where) != STATUS_OK)
        return ctl_failed("%s: the rights of the keeper's user cannot be taken: %s", path, strerror(errno));
    struct store_plan plan = { .dir = where, .mode = STORE_WRITER };
    enum status status = store_open(&plan, &store, &why);
    if (status != STATUS_OK)
        return ctl_failed("the restored store cannot be opened: %.*s", (int)why.len, why.ptr);
    status = renew(store, &held);
    store_close(store);
    buf_done(&why);
    if (status == STATUS_OK && write(tell, &held, sizeof held) == sizeof held)
        return CTL_DONE;
    return ctl_failed("the restored store cannot be given new UIDVALIDITYs: %s", status_name(status));
}

static int renew_in_child(struct restore *r)
{
    int pair[2], how = 0;
    fflush(stdout);
    if (pipe2(pair, O_CLOEXEC) != 0)
        return ctl_failed("no new process can be started: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0)
        _exit(renew_store(r, pair[1]));
    close(pair[1]);
    bool told = child > 0 && read(pair[0], &r->held, sizeof r->held) == sizeof r->held;
    close(pair[0]);
    while (child > 0 && waitpid(child, &how, 0) < 0)
        if (errno != EINTR)
            break;
    if (child < 0)
        return ctl_failed("no new process can be started: %s", strerror(errno));
    return told && WIFEXITED(how) && WEXITSTATUS(how) == 0 ? CTL_DONE : CTL_FAILED;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

/* ekirei.conf last: its presence says that all the rest is there, also behind a power cut. */
static int make(struct restore *r)
{
    struct tree_copy plain = { .from = r->from.fd, .from_name = r->from.folder, .mode = backup_mode };
    int code = copy_all(r);
    if (code == CTL_DONE)
        code = renew_in_child(r);
    if (code == CTL_DONE)
        code = tree_sync(&r->to);
    if (code == CTL_DONE)
        code = tree_copy(&r->to, &plain, "ekirei.conf", "ekirei.conf");
    if (code == CTL_DONE)
        code = compare_copied(r);
    return code == CTL_DONE ? tree_finish(&r->to) : code;
}

static void put_back(struct restore *r)
{
    tree_abandon(&r->to, made_entries);
    if (r->aside[0] != '\0' && rename(r->aside, r->ctl->dir) != 0)
        ctl_warn("the folder of before is %s now", r->aside);
}

static int tell(struct restore *r)
{
    json_t *object = json_object();
    ctl_put_text(object, "dir", slice_of(r->ctl->dir));
    ctl_put_number(object, "files", r->to.files);
    ctl_put_number(object, "held", r->held);
    ctl_put_text(object, "before", slice_of(r->aside));
    char held[200] = "";
    if (r->held > 0)
        snprintf(held, sizeof held, "\n%" PRIu32 " queued message%s held, for %s may have been sent since: 'ekirei queue list', then 'queue release ID' or 'queue remove ID'",
            r->held, r->held == 1 ? " is" : "s are", r->held == 1 ? "it" : "they");
    return ctl_print_line(r->ctl, object,
        "%s is as it was when the backup was made; every mailbox has a new UIDVALIDITY, so mail programs fetch their mail once more%s%s%s", r->ctl->dir, held,
        r->aside[0] != '\0' ? "\nthe folder of before is " : "", r->aside);
}

int cmd_restore(struct ctl *ctl)
{
    struct restore r = { .ctl = ctl, .to = { .fd = -1 } };
    log_open("restore", LOG_ERROR);
    int code = verify(&r);
    if (code == CTL_DONE)
        code = read_settings(&r);
    if (code == CTL_DONE) {
        code = choose_place(&r);
        if (code == CTL_DONE)
            code = make(&r);
        if (code == CTL_DONE)
            code = tell(&r);
        else
            put_back(&r);
    }
    map_done(&r.hashes);
    buf_done(&r.manifest);
    if (r.settings)
        settings_release(r.settings);
    tree_done(&r.to);
    tree_done(&r.from);
    return code;
}

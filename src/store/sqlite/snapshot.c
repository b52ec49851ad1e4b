/* snapshot.c - a copy of the database and links to the files of bodies, in a folder of the store, made in steps.
 *
 * SQLite's backup runs on the writing connection: what that connection changes between two steps goes into both, so it never
 * begins anew, and no reader's transaction stays open.  Files of bodies never change: a second name keeps one for ever. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "store/sqlite/sqlite.h"

#define COPY      STORE_SNAPSHOT "/ekirei.db"
#define BODIES    STORE_SNAPSHOT "/bodies"
#define PAGES     512  /* of 8 KiB in one step: some milliseconds of the writer's time */
#define LINKS     200u /* in one step */
#define PATH_MOST 4096

struct snapshot {
    sqlite3 *db; /* the copy, as long as it is not whole */
    sqlite3_backup *copying;
    uint64_t last;  /* body: what came later is not in the copy */
    char after[80]; /* the file that was linked last */
    uint64_t linked, files;
};

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static void empty_folder(struct sqlite *s, const char *folder)
{
    char name[400];
    int fd = openat(s->bodies.dir, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
        unlinkat(s->bodies.dir, name, 0);
    }
    closedir(dir);
    unlinkat(s->bodies.dir, folder, AT_REMOVEDIR);
}

static void remove_folder(struct sqlite *s)
{
    if (faccessat(s->bodies.dir, STORE_SNAPSHOT, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    for (unsigned i = 0; i < BODY_FOLDERS; i++) {
        char folder[32];
        snprintf(folder, sizeof folder, BODIES "/%02x", i);
        empty_folder(s, folder);
    }
    empty_folder(s, BODIES);
    empty_folder(s, STORE_SNAPSHOT);
}

static enum status status_of_errno(void)
{
    return errno == ENOSPC || errno == EDQUOT ? STATUS_FULL : STATUS_IO;
}

static enum status make_folder(struct sqlite *s)
{
    remove_folder(s);
    if (mkdirat(s->bodies.dir, STORE_SNAPSHOT, 0700) != 0 || mkdirat(s->bodies.dir, BODIES, 0700) != 0)
        return status_of_errno();
    int fd = openat(s->bodies.dir, COPY, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return status_of_errno();
    close(fd);
    return STATUS_OK;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

void sqlite_snapshot_end(struct sqlite *s)
{
    struct snapshot *snapshot = s->snapshot;
    s->snapshot = NULL;
    if (snapshot) {
        sqlite3_backup_finish(snapshot->copying);
        sqlite3_close(snapshot->db);
        release(snapshot);
    }
    remove_folder(s);
}

static enum status has_room(struct sqlite *s, uint64_t reserve)
{
    scoped_statement *pages = NULL;
    uint64_t left;
    bool row;
    TRY(sqlite_query(s, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", &pages));
    TRY(sqlite_step(s, pages, &row));
    TRY(sqlite_free_octets(&s->store, &left));
    return row && left > reserve && left - reserve > sqlite_number(pages, 0) ? STATUS_OK : STATUS_FULL;
}

/* Beside the database, wherever that is: in a jail, or not. */
static enum status open_copy(struct sqlite *s)
{
    char path[PATH_MOST];
    struct slice here = slice_of(sqlite3_db_filename(s->db, "main"));
    int len = snprintf(path, sizeof path, "%.*s/" COPY, (int)slice_find_last(here, '/'), here.ptr);
    if (len < 0 || len >= PATH_MOST)
        return STATUS_TOO_BIG;
    struct snapshot *snapshot = s->snapshot;
    int code = sqlite3_open_v2(path, &snapshot->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    /* A copy that was not finished is thrown away: it needs neither journal nor syncs. */
    if (code == SQLITE_OK)
        code = sqlite3_exec(snapshot->db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;",
            NULL, NULL, NULL);
    if (code == SQLITE_OK)
        snapshot->copying = sqlite3_backup_init(snapshot->db, "main", s->db, "main");
    return snapshot->copying ? STATUS_OK : status_of_errno();
}

static enum status begin(struct sqlite *s, uint64_t reserve)
{
    if (s->snapshot)
        return STATUS_BUSY;
    TRY(has_room(s, reserve));
    TRY(make_folder(s));
    s->snapshot = alloc(sizeof *s->snapshot);
    return open_copy(s);
}

/* The copy is of the moment when its last page is copied: which bodies it has is found out in the same moment. */
static enum status finish_copy(struct sqlite *s)
{
    struct snapshot *snapshot = s->snapshot;
    scoped_statement *select = NULL;
    bool row;
    int code = sqlite3_backup_finish(snapshot->copying);
    snapshot->copying = NULL;
    if (sqlite3_close(snapshot->db) != SQLITE_OK || code != SQLITE_OK)
        return STATUS_IO;
    snapshot->db = NULL;
    TRY(sqlite_query(s,
        "SELECT (SELECT max(id) FROM blob), (SELECT count(*) FROM blob INDEXED BY blob_file WHERE file IS NOT NULL)", &select));
    TRY(sqlite_step(s, select, &row));
    snapshot->last = sqlite_number(select, 0);
    snapshot->files = sqlite_number(select, 1);
    return STATUS_OK;
}

static enum status copy(struct sqlite *s, struct answer_snapshot *out)
{
    struct snapshot *snapshot = s->snapshot;
    if (!snapshot || !snapshot->copying)
        return STATUS_MALFORMED;
    errno = 0;
    int code = sqlite3_backup_step(snapshot->copying, PAGES);
    out->total = (uint64_t)sqlite3_backup_pagecount(snapshot->copying);
    out->done = out->total - (uint64_t)sqlite3_backup_remaining(snapshot->copying);
    if (code == SQLITE_DONE)
        return finish_copy(s);
    out->more = 1;
    switch (code & 0xff) {
    case SQLITE_OK:
        return STATUS_OK;
    case SQLITE_FULL:
        return STATUS_FULL;
    case SQLITE_CORRUPT:
        return STATUS_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STATUS_BUSY;
    default:
        return status_of_errno();
    }
}

static enum status link_one(struct sqlite *s, sqlite3_stmt *select, struct answer_snapshot *out)
{
    struct snapshot *snapshot = s->snapshot;
    struct slice file = sqlite_text(select, 0);
    snprintf(snapshot->after, sizeof snapshot->after, "%.*s", (int)file.len, file.ptr);
    snapshot->linked++;
    if (sqlite_number(select, 1) > snapshot->last)
        return STATUS_OK;
    enum status status = body_file_link(&s->bodies, file, STORE_SNAPSHOT);
    if (status == STATUS_NOT_FOUND || status == STATUS_CORRUPT) { /* no file, or a name that we would not make */
        out->missing++;
        return STATUS_OK;
    }
    return status == STATUS_EXISTS ? STATUS_OK : status;
}

static enum status link_some(struct sqlite *s, struct answer_snapshot *out)
{
    struct snapshot *snapshot = s->snapshot;
    scoped_statement *select = NULL;
    bool row = true;
    if (!snapshot || snapshot->db)
        return STATUS_MALFORMED;
    TRY(sqlite_query(s,
        "SELECT file, id FROM blob INDEXED BY blob_file WHERE file IS NOT NULL AND file > ?1 ORDER BY file LIMIT ?2", &select));
    char after[sizeof snapshot->after];
    memcpy(after, snapshot->after, sizeof after);
    sqlite_bind_text(select, 1, slice_of(after));
    sqlite_bind(select, 2, LINKS);
    uint32_t count = 0;
    for (; row; count += row) {
        TRY(sqlite_step(s, select, &row));
        if (row)
            TRY(link_one(s, select, out));
    }
    out->more = count == LINKS;
    out->done = snapshot->linked;
    out->total = snapshot->files;
    return STATUS_OK;
}

enum status sqlite_snapshot(
    struct store *store, const struct ask_snapshot *ask, uint64_t reserve, struct answer_snapshot *out)
{
    struct sqlite *s = sqlite_of(store);
    enum status status = STATUS_MALFORMED;
    must(s->mode == STORE_WRITER && !s->in_transaction);
    *out = (struct answer_snapshot){ 0 };
    switch (ask->step) {
    case SNAPSHOT_BEGIN:
        status = begin(s, reserve);
        break;
    case SNAPSHOT_COPY:
        status = copy(s, out);
        break;
    case SNAPSHOT_LINK:
        status = link_some(s, out);
        break;
    case SNAPSHOT_END:
        sqlite_snapshot_end(s);
        return STATUS_OK;
    default:
        return status;
    }
    /* BUSY to BEGIN speaks of somebody else's; MALFORMED has changed nothing. */
    if (status != STATUS_OK && status != STATUS_MALFORMED && !(ask->step == SNAPSHOT_BEGIN && status == STATUS_BUSY))
        sqlite_snapshot_end(s);
    return status;
}

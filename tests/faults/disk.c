#include "faults/disk.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"

#define DATA_MOST (1u << 30)
#define NOT_YET   SIZE_MAX

static struct disk disk = { .data = { .max = DATA_MOST } };
static uint32_t *current; /* for each name: the file that bears it, FOLDER_THERE, or 0 */
static char root[256];
static size_t root_len, life = NOT_YET, syncs_left = NOT_YET;
static bool recording, dead, sync_failed;
static enum disk_lie lies;
static void (*meanwhile)(void *);
static void *meanwhile_context;

#define FOLDER_THERE UINT32_MAX

uint64_t disk_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void *grown(void *old, size_t used, size_t cap, size_t size)
{
    void *bigger = alloc(cap * size);
    if (used > 0)
        memcpy(bigger, old, used * size);
    release(old);
    return bigger;
}

static uint32_t name_of(const char *path)
{
    for (uint32_t i = 0; i < disk.name_count; i++)
        if (strcmp(disk.names[i].path, path) == 0)
            return i;
    struct disk_name name = { .folder = 0 };
    must(strlen(path) < sizeof name.path);
    memcpy(name.path, path, strlen(path) + 1);
    if (disk.name_count > 0) {
        const char *slash = strrchr(path, '/');
        char folder[DISK_PATH] = "";
        if (slash)
            memcpy(folder, path, (size_t)(slash - path));
        name.folder = name_of(folder);
    }
    if (disk.name_count == disk.name_cap) {
        disk.name_cap = disk.name_cap ? disk.name_cap * 2 : 64;
        disk.names = grown(disk.names, disk.name_count, disk.name_cap, sizeof *disk.names);
        current = grown(current, disk.name_count, disk.name_cap, sizeof *current);
    }
    uint32_t at = (uint32_t)disk.name_count++;
    disk.names[at] = name;
    current[at] = 0;
    return at;
}

static struct disk_op *add(enum disk_kind kind)
{
    if (disk.count == disk.cap) {
        disk.cap = disk.cap ? disk.cap * 2 : 1024;
        disk.ops = grown(disk.ops, disk.count, disk.cap, sizeof *disk.ops);
    }
    struct disk_op *op = &disk.ops[disk.count++];
    *op = (struct disk_op){ .kind = kind, .durable = NOT_YET };
    return op;
}

/* Whether the process still lives when it does this. */
static bool lives(void)
{
    if (dead)
        return false;
    if (life != NOT_YET && life-- == 0) {
        life = NOT_YET;
        dead = true;
    }
    return !dead;
}

const char *disk_relative(const char *path)
{
    if (!recording || !path || strncmp(path, root, root_len) != 0)
        return NULL;
    if (path[root_len] == '\0')
        return path + root_len;
    return path[root_len] == '/' ? path + root_len + 1 : NULL;
}

uint32_t disk_file(const char *relative)
{
    uint32_t file = current[name_of(relative)];
    return file == FOLDER_THERE ? 0 : file;
}

bool disk_creates(const char *relative, uint32_t *out_file)
{
    if (!lives())
        return false;
    uint32_t name = name_of(relative);
    struct disk_op *op = add(DISK_CREATE);
    op->name = name;
    op->file = ++disk.files;
    current[name] = op->file;
    *out_file = op->file;
    return true;
}

bool disk_makes_folder(const char *relative)
{
    if (!lives())
        return false;
    uint32_t name = name_of(relative);
    add(DISK_FOLDER)->name = name;
    current[name] = FOLDER_THERE;
    return true;
}

void disk_made_folder(void)
{
    void (*what)(void *) = meanwhile;
    meanwhile = NULL;
    if (what)
        what(meanwhile_context);
}

void disk_meanwhile(void (*what)(void *), void *context)
{
    meanwhile = what;
    meanwhile_context = context;
}

bool disk_unlinks(const char *relative)
{
    if (!lives())
        return false;
    uint32_t name = name_of(relative);
    add(DISK_UNLINK)->name = name;
    current[name] = 0;
    return true;
}

bool disk_writes(uint32_t file, const void *octets, size_t len, uint64_t at)
{
    if (!lives())
        return false;
    struct disk_op *op = add(DISK_WRITE);
    op->file = file;
    op->at = at;
    op->len = len;
    op->data = disk.data.len;
    enum status status = buf_put(&disk.data, (struct slice){ octets, len });
    must(status == STATUS_OK);
    return true;
}

bool disk_truncates(uint32_t file, uint64_t size)
{
    if (!lives())
        return false;
    struct disk_op *op = add(DISK_TRUNCATE);
    op->file = file;
    op->at = size;
    return true;
}

static bool ends(const char *path, const char *end)
{
    size_t len = strlen(path), tail = strlen(end);
    return len >= tail && strcmp(path + len - tail, end) == 0;
}

static bool is_lie(uint32_t file)
{
    const char *path = "";
    for (uint32_t i = 0; i < disk.name_count; i++)
        if (current[i] == file)
            path = disk.names[i].path;
    switch (lies) {
    case LIE_LOG:
        return ends(path, "-wal");
    case LIE_DATABASE:
        return ends(path, ".db");
    case LIE_BODY:
        return strchr(path, '/') != NULL;
    default:
        return false;
    }
}

static bool sync_fails(void)
{
    if (syncs_left == NOT_YET || syncs_left-- > 0)
        return false;
    syncs_left = NOT_YET;
    sync_failed = true;
    return true;
}

bool disk_syncs(uint32_t file)
{
    if (!lives())
        return false;
    if (sync_fails()) {
        add(DISK_FORGET)->file = file;
        return false;
    }
    if (!is_lie(file))
        add(DISK_SYNC)->file = file;
    return true;
}

bool disk_syncs_folder(const char *relative)
{
    if (!lives() || sync_fails())
        return false;
    bool lie =
        (lies == LIE_BODY_FOLDER && strchr(relative, '/')) || (lies == LIE_BODIES && strcmp(relative, "bodies") == 0);
    uint32_t name = name_of(relative);
    if (!lie)
        add(DISK_SYNC_FOLDER)->name = name;
    return true;
}

/* ---- begin and end -------------------------------------------------------------------------------------------- */

static int adopt(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)at;
    const char *relative = disk_relative(path);
    must(relative);
    uint32_t file;
    if (relative[0] == '\0')
        return 0;
    if (kind == FTW_D)
        return disk_makes_folder(relative) ? 0 : -1;
    must(kind == FTW_F && disk_creates(relative, &file));
    char *octets = alloc((size_t)status->st_size + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0);
    ssize_t got = read(fd, octets, (size_t)status->st_size);
    close(fd);
    must(got == status->st_size);
    must(got == 0 || disk_writes(file, octets, (size_t)got, 0));
    release(octets);
    add(DISK_SYNC)->file = file;
    return 0;
}

void disk_begin(const char *path)
{
    must(strlen(path) < sizeof root && !recording);
    memcpy(root, path, strlen(path) + 1);
    root_len = strlen(root);
    disk.count = disk.name_count = 0;
    disk.files = 0;
    buf_clear(&disk.data);
    dead = sync_failed = false;
    life = syncs_left = NOT_YET;
    lies = LIE_NONE;
    meanwhile = NULL;
    recording = true;
    name_of("");
    current[0] = FOLDER_THERE;
    int failed = nftw(path, adopt, 16, FTW_PHYS);
    must(!failed);
    for (uint32_t i = 0, count = (uint32_t)disk.name_count; i < count; i++)
        if (current[i] == FOLDER_THERE)
            add(DISK_SYNC_FOLDER)->name = i;
    disk.base = disk.count;
}

/* From behind: for each file and folder the next sync. */
static void reckon(void)
{
    size_t *of_file = alloc((disk.files + 1) * sizeof *of_file), *of_name = alloc(disk.name_count * sizeof *of_name);
    for (size_t i = 0; i <= disk.files; i++)
        of_file[i] = NOT_YET;
    for (size_t i = 0; i < disk.name_count; i++)
        of_name[i] = NOT_YET;
    for (size_t i = disk.count; i-- > 0;) {
        struct disk_op *op = &disk.ops[i];
        if (op->kind == DISK_SYNC)
            of_file[op->file] = i;
        else if (op->kind == DISK_FORGET)
            of_file[op->file] = NOT_YET;
        else if (op->kind == DISK_SYNC_FOLDER)
            of_name[op->name] = i;
        else if (op->kind == DISK_WRITE || op->kind == DISK_TRUNCATE)
            op->durable = of_file[op->file];
        else
            op->durable = of_name[disk.names[op->name].folder];
    }
    release(of_file);
    release(of_name);
}

const struct disk *disk_end(void)
{
    must(recording);
    recording = false;
    reckon();
    return &disk;
}

size_t disk_count(void)
{
    return disk.count;
}

/* The name under which a file was made. */
static const char *made_as(const struct disk *d, uint32_t file)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->ops[i].kind == DISK_CREATE && d->ops[i].file == file)
            return d->names[d->ops[i].name].path;
    return "?";
}

void disk_print(const struct disk *d, size_t from, size_t to)
{
    static const char *const kinds[] = { "create", "folder", "unlink", "write", "truncate", "sync", "sync folder",
        "sync failed" };
    for (size_t i = from; i < to && i < d->count; i++) {
        const struct disk_op *op = &d->ops[i];
        bool named = op->kind == DISK_FOLDER || op->kind == DISK_UNLINK || op->kind == DISK_SYNC_FOLDER ||
                     op->kind == DISK_CREATE;
        printf("%6zu %-11s %s", i, kinds[op->kind], named ? d->names[op->name].path : made_as(d, op->file));
        if (op->kind == DISK_WRITE)
            printf(" %llu octets at %llu", (unsigned long long)op->len, (unsigned long long)op->at);
        if (op->durable != NOT_YET)
            printf(" (durable after %zu)", op->durable);
        printf("\n");
    }
}

/* ---- what goes wrong ------------------------------------------------------------------------------------------ */

void disk_kill_after(size_t ops)
{
    life = ops;
}

bool disk_is_dead(void)
{
    return dead;
}

bool disk_revive(void)
{
    bool had_died = dead;
    dead = false;
    life = NOT_YET;
    return had_died;
}

void disk_fail_sync_after(size_t syncs)
{
    syncs_left = syncs;
}

bool disk_sync_failed(void)
{
    bool failed = sync_failed;
    sync_failed = false;
    return failed;
}

void disk_lie(enum disk_lie lie)
{
    lies = lie;
}

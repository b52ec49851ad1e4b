/* disk_image.c - what a power cut may leave of what was recorded. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "faults/disk.h"

#define FILE_MOST    (256u << 20)
#define FOLDER_THERE UINT32_MAX

/* Of the last image; kept, so that ten thousand need no new memory. */
static struct content {
    struct buf octets;
    bool reachable;
} * contents;
static uint32_t *bears; /* for each name: its file, FOLDER_THERE or 0 */
static uint32_t content_cap, bears_cap;

/* One number for one question, the same whenever it is asked. */
static uint64_t draw(const struct disk_cut *cut, uint64_t a, uint64_t b)
{
    uint64_t state = cut->seed ^ (a * UINT64_C(0xd1342543de82ef95)) ^ (b * UINT64_C(0x2545f4914f6cdd1d)) ^ cut->loss;
    disk_random(&state);
    return disk_random(&state);
}

static bool is_random(const struct disk_cut *cut)
{
    return cut->loss >= LOSS_SUBSET;
}

/* Of n things, how many of a hundred are kept: differs from image to image, so that there are rich and poor ones. */
static bool kept(const struct disk_cut *cut, uint64_t a, uint64_t b)
{
    return draw(cut, a, b) % 100 < 10 + draw(cut, 1, 1) % 81;
}

static void make_room(const struct disk *disk)
{
    if (content_cap <= disk->files) {
        struct content *bigger = alloc((disk->files + 1) * 2 * sizeof *bigger);
        if (content_cap > 0)
            memcpy(bigger, contents, content_cap * sizeof *bigger);
        release(contents);
        contents = bigger;
        content_cap = (disk->files + 1) * 2;
    }
    if (bears_cap < disk->name_count) {
        release(bears);
        bears_cap = (uint32_t)disk->name_count * 2;
        bears = alloc(bears_cap * sizeof *bears);
    }
    for (uint32_t i = 0; i < content_cap; i++) {
        contents[i].octets.max = FILE_MOST;
        buf_clear(&contents[i].octets);
        contents[i].reachable = false;
    }
    memset(bears, 0, bears_cap * sizeof *bears);
}

/* A name's changes reach the disk in their order, and up to some moment: which one, each name decides for itself. */
static bool name_survives(const struct disk_cut *cut, const struct disk_op *op, size_t at, bool *stopped)
{
    if (op->durable < cut->prefix)
        return true;
    if (cut->loss == LOSS_ALL || cut->loss == LOSS_NAMES)
        return false;
    if (!is_random(cut))
        return true;
    if (!*stopped && !kept(cut, op->name, at))
        *stopped = true;
    return !*stopped;
}

static void settle_names(const struct disk *disk, const struct disk_cut *cut)
{
    bool *stopped = alloc(disk->name_count + 1);
    bears[0] = FOLDER_THERE;
    for (size_t i = 0; i < cut->prefix; i++) {
        const struct disk_op *op = &disk->ops[i];
        if (op->kind != DISK_CREATE && op->kind != DISK_FOLDER && op->kind != DISK_UNLINK)
            continue;
        if (name_survives(cut, op, i, &stopped[op->name]))
            bears[op->name] = op->kind == DISK_CREATE ? op->file : op->kind == DISK_FOLDER ? FOLDER_THERE : 0;
    }
    /* A folder's name comes before those in it: what is in a lost one is lost. */
    for (uint32_t i = 1; i < disk->name_count; i++) {
        if (bears[disk->names[i].folder] != FOLDER_THERE)
            bears[i] = 0;
        if (bears[i] != 0 && bears[i] != FOLDER_THERE)
            contents[bears[i]].reachable = true;
    }
    release(stopped);
}

static void extend(struct buf *octets, uint64_t size, bool noise)
{
    char *room;
    if (size <= octets->len)
        return;
    size_t more = (size_t)size - octets->len;
    enum status status = buf_reserve(octets, more, &room);
    must(status == STATUS_OK);
    memset(room, noise ? 0xa5 : 0, more); /* noise: what the disk's blocks held before */
    buf_grown(octets, more);
}

static void put(struct buf *octets, uint64_t at, const char *from, size_t len, bool noise)
{
    extend(octets, at, noise);
    extend(octets, at + len, false);
    memcpy(octets->ptr + at, from, len);
}

/* In sectors: each is as it was at a moment that it decides for itself. */
static void put_blocks(const struct disk *disk, const struct disk_cut *cut, size_t i, struct buf *octets)
{
    const struct disk_op *op = &disk->ops[i];
    uint64_t block = cut->loss == LOSS_SECTORS ? 512 : 4096, end = op->at + op->len;
    bool noise = draw(cut, 2, 2) & 1;
    for (uint64_t at = op->at; at < end;) {
        uint64_t next = (at / block + 1) * block;
        if (next > end)
            next = end;
        uint64_t moment = draw(cut, op->file, at / block);
        size_t until = moment % 5 < 2   ? 0
                       : moment % 5 < 4 ? SIZE_MAX
                                        : cut->prefix - (moment >> 8) % (cut->prefix < 100 ? cut->prefix : 100);
        if (i < until)
            put(octets, at, disk->data.ptr + op->data + (at - op->at), (size_t)(next - at), noise);
        else if (draw(cut, 3, op->file) & 1)
            extend(octets, next, noise);
        at = next;
    }
}

static size_t torn(const struct disk_cut *cut, const struct disk_op *op)
{
    uint64_t unit = cut->loss == LOSS_TORN_512 ? 512 : cut->loss == LOSS_TORN_4096 ? 4096 : 1;
    uint64_t end = op->at + draw(cut, 4, 4) % op->len; /* somewhere in it; then back to a border, but not before it */
    end = end / unit * unit;
    return end > op->at ? (size_t)(end - op->at) : 0;
}

/* One change of a file that was not synced. */
static void apply_lossy(const struct disk *disk, const struct disk_cut *cut, size_t i, size_t last)
{
    const struct disk_op *op = &disk->ops[i];
    struct buf *octets = &contents[op->file].octets;
    const char *from = disk->data.ptr + op->data;
    size_t len = (size_t)op->len;
    switch (cut->loss) {
    case LOSS_ALL:
    case LOSS_OCTETS:
        return;
    case LOSS_HOLES:
        if (op->kind == DISK_WRITE)
            extend(octets, op->at + op->len, false);
        return;
    case LOSS_SUBSET:
        if (!kept(cut, i, 5))
            return;
        break;
    case LOSS_SECTORS:
    case LOSS_PAGES:
        if (op->kind == DISK_WRITE) {
            put_blocks(disk, cut, i, octets);
            return;
        }
        if (!kept(cut, i, 6))
            return;
        break;
    default:
        if (i == last && cut->loss >= LOSS_TORN_512 && cut->loss <= LOSS_TORN_OCTET)
            len = torn(cut, op);
    }
    if (op->kind == DISK_WRITE)
        put(octets, op->at, from, len, false);
    else if (op->at < octets->len)
        octets->len = (size_t)op->at;
    else
        extend(octets, op->at, false);
}

static void settle_octets(const struct disk *disk, const struct disk_cut *cut)
{
    size_t last = SIZE_MAX;
    for (size_t i = cut->prefix; i-- > 0 && last == SIZE_MAX;)
        if (disk->ops[i].kind == DISK_WRITE && disk->ops[i].durable >= cut->prefix &&
            contents[disk->ops[i].file].reachable)
            last = i;
    struct disk_cut whole = { cut->prefix, LOSS_NONE, 0 };
    for (size_t i = 0; i < cut->prefix; i++) {
        const struct disk_op *op = &disk->ops[i];
        if ((op->kind != DISK_WRITE && op->kind != DISK_TRUNCATE) || !contents[op->file].reachable)
            continue;
        apply_lossy(disk, op->durable < cut->prefix ? &whole : cut, i, last);
    }
}

/* Eight octets at a time. */
static uint64_t hash_of(uint64_t hash, const char *octets, size_t len)
{
    const uint64_t prime = UINT64_C(0x9fb21c651e98df25);
    uint64_t word;
    hash = (hash ^ len) * prime;
    for (; len >= 8; octets += 8, len -= 8) {
        memcpy(&word, octets, 8);
        hash = (hash ^ word) * prime;
        hash ^= hash >> 29;
    }
    word = 0;
    if (len > 0)
        memcpy(&word, octets, len);
    hash = (hash ^ word) * prime;
    return hash ^ hash >> 32;
}

uint64_t disk_image(const struct disk *disk, const struct disk_cut *cut)
{
    must(cut->prefix <= disk->count && cut->loss < LOSS_COUNT);
    make_room(disk);
    settle_names(disk, cut);
    settle_octets(disk, cut);
    uint64_t hash = 1;
    for (uint32_t i = 1; i < disk->name_count; i++) {
        if (bears[i] == 0)
            continue;
        hash = hash_of(hash, disk->names[i].path, strlen(disk->names[i].path));
        if (bears[i] != FOLDER_THERE)
            hash = hash_of(hash, contents[bears[i]].octets.ptr, contents[bears[i]].octets.len);
    }
    return hash;
}

static void write_file(const char *path, const struct buf *octets)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(fd >= 0);
    ssize_t written = octets->len > 0 ? write(fd, octets->ptr, octets->len) : 0;
    must(written == (ssize_t)octets->len);
    close(fd);
}

void disk_image_write(const struct disk *disk, const char *root)
{
    char path[512];
    for (uint32_t i = 1; i < disk->name_count; i++) {
        if (bears[i] == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", root, disk->names[i].path);
        if (bears[i] == FOLDER_THERE) {
            int failed = mkdir(path, 0700);
            must(!failed);
        } else {
            write_file(path, &contents[bears[i]].octets);
        }
    }
}

static bool same_file(const char *path, const struct buf *octets)
{
    static char piece[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool same = true;
    size_t at = 0;
    for (ssize_t got; same && (got = read(fd, piece, sizeof piece)) > 0; at += (size_t)got)
        same = at + (size_t)got <= octets->len && memcmp(piece, octets->ptr + at, (size_t)got) == 0;
    close(fd);
    return same && at == octets->len;
}

static const struct disk *walked;
static const char *walked_root;

/* Stops at what the journal does not know. */
static int is_known(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    if (at->level == 0)
        return 0;
    for (uint32_t i = 1; i < walked->name_count; i++)
        if (strcmp(walked->names[i].path, path + strlen(walked_root) + 1) == 0)
            return 0;
    return 1;
}

const char *disk_image_differs(const struct disk *disk, const char *root)
{
    char path[512];
    struct stat status;
    for (uint32_t i = 1; i < disk->name_count; i++) {
        snprintf(path, sizeof path, "%s/%s", root, disk->names[i].path);
        bool there = lstat(path, &status) == 0;
        if (there != (bears[i] != 0) ||
            (there && bears[i] != FOLDER_THERE && !same_file(path, &contents[bears[i]].octets)))
            return disk->names[i].path;
    }
    walked = disk;
    walked_root = root;
    return nftw(root, is_known, 16, FTW_PHYS) == 0 ? NULL : "(a name that was not recorded)";
}

/* disk.h - for tests: the disk that loses power.
 *
 * One layer under the store: SQLite's files go through a VFS of ours (disk_vfs.c), the body store's own system calls through link-time wraps (disk_calls.c).  What is
 * done to the files in one folder is written down in order; disk_image.c makes from any prefix of that journal the folders that a power cut may leave behind.
 *
 * The rules are the kernel's, at their weakest: octets and size of a file are durable once that file was synced; a new name, or one taken away, once its folder was
 * synced; nothing else is, and what was not synced may be lost, kept, or torn in any order.  SQLite's -shm is never durable. */
#pragma once

#include "base/buf.h"

#define DISK_PATH 96 /* octets of a path below the root, NUL included */

/* FORGET: a sync that failed; the kernel forgets what it was to write, and no later sync brings it. */
enum disk_kind { DISK_CREATE, DISK_FOLDER, DISK_UNLINK, DISK_WRITE, DISK_TRUNCATE, DISK_SYNC, DISK_SYNC_FOLDER, DISK_FORGET };

struct disk_op {
    enum disk_kind kind;
    uint32_t file;       /* which file, from 1; of CREATE, WRITE, TRUNCATE, SYNC, FORGET */
    uint32_t name;       /* which path; of CREATE, FOLDER, UNLINK, SYNC_FOLDER */
    uint64_t at, len;    /* WRITE: where and how much; TRUNCATE: at is the new size */
    size_t data;         /* WRITE: offset in the journal's octets */
    size_t durable;      /* index of the sync that made it durable, or SIZE_MAX; set by disk_end() */
};
struct disk_name {
    char path[DISK_PATH]; /* relative to the root; the root is "" */
    uint32_t folder;      /* the name above it */
};

struct disk {
    struct disk_op *ops;
    struct disk_name *names;
    size_t count, cap, name_count, name_cap, base; /* base: ops that only tell what was there before */
    uint32_t files;                                /* the highest file */
    struct buf data;
};

/* A new journal for the folder `root`; what is in it already counts as durable. */
void disk_begin(const char *root);
/* Ends recording; the journal stays until the next disk_begin(). */
const struct disk *disk_end(void);
size_t disk_count(void);  /* operations so far */
/* For a person: the operations from `from` up to `to`, a line each. */
void disk_print(const struct disk *disk, size_t from, size_t to);

/* A process that dies: after `ops` more operations nothing that it does reaches the kernel, until disk_revive(). */
void disk_kill_after(size_t ops);
bool disk_is_dead(void);
bool disk_revive(void);   /* had it died? */
/* The next sync fails once, and what it was to make durable stays as it was (kernels forget the pages). */
void disk_fail_sync_after(size_t syncs); /* SIZE_MAX: not any more */
bool disk_sync_failed(void);             /* since it was asked last */

/* Disks and programs that break the rules, to see that it is found: syncs that do nothing. */
enum disk_lie { LIE_NONE, LIE_LOG, LIE_DATABASE, LIE_BODY, LIE_BODY_FOLDER, LIE_BODIES };
void disk_lie(enum disk_lie lie);
/* Called once after the next new folder was made, before it is synced: what another thread may do there. */
void disk_meanwhile(void (*what)(void *), void *context);

/* ---- disk_image.c: what a power cut leaves ------------------------------------------------------------------- */

/* How what was not synced is treated; from LOSS_SUBSET on each seed gives another image. */
enum disk_loss {
    LOSS_ALL,            /* nothing of it is there */
    LOSS_NONE,           /* all of it is there */
    LOSS_NAMES,          /* octets are there, names are not */
    LOSS_OCTETS,         /* names are there, and empty files */
    LOSS_HOLES,          /* names and sizes are there, and zeros */
    LOSS_TORN_512,       /* all but a part of the last write, which was cut at a sector */
    LOSS_TORN_4096,      /* at a page */
    LOSS_TORN_OCTET,     /* anywhere */
    LOSS_SUBSET,         /* each write and each name by itself */
    LOSS_SECTORS,        /* each sector of 512 as it was at some moment; sizes with zeros or noise behind */
    LOSS_PAGES,          /* each page of 4096, in the same way */
    LOSS_COUNT
};
struct disk_cut {
    size_t prefix;       /* operations before the cut */
    enum disk_loss loss;
    uint64_t seed;
};
/* Makes the folder's contents, in memory that the next call uses again, and returns a hash of them: equal images have equal ones. */
uint64_t disk_image(const struct disk *disk, const struct disk_cut *cut);
/* Writes the last image below `root`, an empty folder. */
void disk_image_write(const struct disk *disk, const char *root);
/* Compares the last image with the files below `root`: what the layer did not see would show here.  NULL: the same. */
const char *disk_image_differs(const struct disk *disk, const char *root);

/* ---- for disk_vfs.c and disk_calls.c: what happened ----------------------------------------------------------- */

void disk_install(void);                          /* disk_vfs.c: becomes SQLite's default */
const char *disk_relative(const char *path);      /* below the root; NULL if it is elsewhere, or nothing is recorded */
uint32_t disk_file(const char *relative);         /* the file that has this name now, or 0 */
/* Each is asked before the deed; false: the process is dead, and the deed must not be done.  */
bool disk_creates(const char *relative, uint32_t *out_file);
bool disk_makes_folder(const char *relative);
bool disk_unlinks(const char *relative);
bool disk_writes(uint32_t file, const void *octets, size_t len, uint64_t at);
bool disk_truncates(uint32_t file, uint64_t size);
bool disk_syncs(uint32_t file);
bool disk_syncs_folder(const char *relative);
void disk_made_folder(void);

/* A small generator for what must repeat. */
uint64_t disk_random(uint64_t *state);

/* powercut.h - a life of a store, recorded, and what must be true of it after a power cut at any moment. */
#pragma once

#include <sqlite3.h>

#include "base/arena.h"
#include "faults/disk.h"
#include "store/body.h"
#include "store/store.h"

/* ---- powercut_help.c: texts, and what is in a store -------------------------------------------------------------- */

/* All that a message of number n is follows from n. */
struct text {
    struct buf plain, packed;
};
const struct text *text_of(uint64_t number);
struct store_body text_body(uint64_t number); /* of its packed octets, inline */
#define TEXT_RECEIVED 1000                    /* a message's time is this, plus its number */

#define TABLES 32
struct dump {
    struct {
        char name[32];
        uint64_t rows, hash;
    } tables[TABLES];
    size_t count;
};
MUST_USE bool dump_take(sqlite3 *db, struct dump *out);               /* every row of every table */
const char *dump_differs(const struct dump *a, const struct dump *b); /* the first table that does; NULL: equal */
uint64_t query(sqlite3 *db, const char *sql, uint64_t a, uint64_t b); /* one number; 0 where there is no row */

/* ---- powercut_scene.c, powercut_jobs.c: the life ------------------------------------------------------------------
 */

/* What the store may be found as, from `begin` operations on and until `until`. */
struct state {
    size_t begin, until;
    bool doubtful; /* commit() said no, and until the next commit it may be found after all (store.h) */
    struct dump dump;
};
/* A message that was seen in a mailbox: its UID is used up. */
struct seen {
    uint64_t uidvalidity, uid, received;
    size_t since;
};

enum scene_start {
    START_NEW,
    START_OLD, /* a store of schema version 1 */
    START_CUT, /* what a power cut left of another life: the next cut may come while that is being mended */
    START_COUNT
};
/* Mistakes that a store could make, to see that they are found. */
enum mistake {
    MISTAKE_NONE,
    MISTAKE_NO_LOG_SYNC,      /* synchronous=OFF, as far as commits go */
    MISTAKE_NO_DATABASE_SYNC, /* checkpoints that reuse the log too early */
    MISTAKE_NO_BODY_SYNC,
    MISTAKE_NO_FOLDER_SYNC,
    MISTAKE_NO_BODIES_SYNC,  /* the folder of the folders */
    MISTAKE_EARLY_ANSWER,    /* OK is said before commit() */
    MISTAKE_EARLY_UNLINK,    /* a body's file goes before its row */
    MISTAKE_UNLINK_DOUBTFUL, /* a body's file goes after a commit that failed, as if it were known to have failed for
                                ever */
    MISTAKE_COUNT
};
struct scene_plan {
    uint64_t seed;
    enum scene_start start;
    enum mistake mistake;
    unsigned steps;
};

#define STATES  1024
#define SEEN    8192
#define PARCELS 4

struct parcel_file {
    struct body_file file;
    uint64_t number; /* 0: none */
    bool used, kept; /* named by the transaction; by a job of it that was not undone */
};
struct scene {
    struct scene_plan plan;
    uint64_t random, number, now;
    char dir[64];
    struct store *store, *reader;
    const struct store_verbs *v;
    struct body_store bodies;
    struct arena arena;
    struct buf why;
    struct parcel_file parcels[PARCELS]; /* in a transaction: what it is to name */
    struct state states[STATES];
    struct seen seen[SEEN];
    size_t state_count, seen_count, opened; /* opened: operations when the store was ready for the first time */
    const struct disk *disk;
    unsigned transactions, kills, failed_syncs, checkpoints;
    int folder;       /* of bodies: the latest that is new */
    bool fail_commit; /* the next commit's sync is to fail */
};
void scene_play(
    struct scene *s, const struct scene_plan *plan); /* the journal stands in s->disk until the next is played */
void scene_done(struct scene *s);
uint64_t scene_draw(struct scene *s, uint64_t below);
sqlite3 *scene_db(struct scene *s);
MUST_USE enum status scene_job(struct scene *s);     /* one change, of any kind; inside a transaction */
MUST_USE enum status scene_deliver(struct scene *s); /* a message, in the first file that is ready */

/* ---- powercut_check.c ---------------------------------------------------------------------------------------------
 */

/* Opens the store below `dir` as after the cut; false: something that was promised is not true, in `why`. */
bool powercut_check(const struct scene *s, const struct disk_cut *cut, const char *dir, struct buf *why);

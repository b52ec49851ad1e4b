/* powercut_scene.c - the life of a store, with restarts, killed processes and failing syncs, and what it promised when.
 */
#include "faults/powercut.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "faults/powercut_wrap.h"
#include "mail/pack.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/sqlite.h"

uint64_t scene_draw(struct scene *s, uint64_t below)
{
    return disk_random(&s->random) % below;
}

sqlite3 *scene_db(struct scene *s)
{
    return sqlite_of(s->store)->db;
}

/* ---- what was promised ---------------------------------------------------------------------------------------- */

static struct state *add_state(struct scene *s, size_t begin)
{
    must(s->state_count < STATES);
    struct state *state = &s->states[s->state_count++];
    state->begin = begin;
    state->until = SIZE_MAX;
    return state;
}

/* From operation `at` on the store is in this state, and is never again to be found in another. */
static void settle(struct scene *s, const struct state *now, size_t at, bool by_commit)
{
    for (size_t i = 0; i < s->state_count; i++)
        if (&s->states[i] != now && s->states[i].until >= at && (by_commit || !s->states[i].doubtful))
            s->states[i].until = at - 1;
    sqlite3_stmt *rows;
    int code = sqlite3_prepare_v2(scene_db(s),
        "SELECT mailbox.uidvalidity, uid, internaldate FROM message JOIN mailbox ON mailbox.id = mailbox", -1, &rows,
        NULL);
    must(code == SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        struct seen seen = { (uint64_t)sqlite3_column_int64(rows, 0), (uint64_t)sqlite3_column_int64(rows, 1),
            (uint64_t)sqlite3_column_int64(rows, 2), at };
        bool known = false;
        for (size_t i = 0; i < s->seen_count && !known; i++)
            known = s->seen[i].uidvalidity == seen.uidvalidity && s->seen[i].uid == seen.uid;
        must(known || s->seen_count < SEEN);
        if (!known)
            s->seen[s->seen_count++] = seen;
    }
    sqlite3_finalize(rows);
}

static void take_dump(struct scene *s, struct dump *out)
{
    bool taken = dump_take(scene_db(s), out);
    must(taken);
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

static bool open_all(struct scene *s)
{
    struct store_plan plan = { .dir = s->dir, .mode = STORE_WRITER, .create = s->plan.start == START_NEW };
    buf_clear(&s->why);
    if (store_open(&plan, &s->store, &s->why) != STATUS_OK)
        return false;
    s->v = s->store->verbs;
    if (body_store_open(&s->bodies, s->dir) == STATUS_OK)
        return true;
    store_close(s->store);
    s->store = NULL;
    return false;
}

static void close_reader(struct scene *s)
{
    store_close(s->reader);
    s->reader = NULL;
}

static void close_all(struct scene *s)
{
    close_reader(s);
    store_close(s->store);
    s->store = NULL;
    body_store_close(&s->bodies);
    for (size_t i = 0; i < PARCELS; i++) /* their files are orphans now */
        if (s->parcels[i].number > 0 && s->parcels[i].file.fd >= 0)
            close(s->parcels[i].file.fd);
    memset(s->parcels, 0, sizeof s->parcels);
}

/* A start after whatever: the store is in one of the states that it might be in, and what is seen now must stay. */
static void start(struct scene *s)
{
    bool opened = open_all(s);
    if (!opened) { /* it died in the middle, or a sync failed: the next start is to do better */
        disk_revive();
        disk_fail_sync_after(SIZE_MAX);
        opened = open_all(s);
    }
    if (!opened)
        fprintf(stderr, "%.*s\n", (int)s->why.len, s->why.ptr);
    must(opened);
    struct dump dump;
    take_dump(s, &dump);
    for (size_t i = s->state_count; i-- > 0;) {
        if (s->states[i].until != SIZE_MAX || dump_differs(&s->states[i].dump, &dump))
            continue;
        s->states[i].doubtful = false;
        if (s->opened == 0)
            s->opened = disk_count();
        settle(s, &s->states[i], disk_count(), false);
        return;
    }
    must(s->state_count == 0);
    struct state *first = add_state(s, 0);
    first->dump = dump;
    s->opened = disk_count();
    settle(s, first, s->opened, false);
}

static void restart(struct scene *s)
{
    close_all(s);
    s->kills += disk_revive();
    start(s);
}

/* ---- bodies in files ------------------------------------------------------------------------------------------ */

static void finish_parcel(struct scene *s, struct parcel_file *parcel)
{
    struct slice packed = buf_slice(&text_of(parcel->number)->packed);
    enum status status = STATUS_OK;
    for (size_t at = 0; at < packed.len && status == STATUS_OK; at += 100000)
        status = body_file_put(&parcel->file, slice_upto(slice_from(packed, at), 100000));
    if (status == STATUS_OK)
        status = body_file_finish(&s->bodies, &parcel->file);
    else
        body_file_abandon(&s->bodies, &parcel->file);
    if (status != STATUS_OK)
        parcel->number = 0;
}

/* As the packing threads do it, in pieces: between two calls anything may happen. */
static void work_on_parcel(struct scene *s)
{
    struct parcel_file *parcel = &s->parcels[scene_draw(s, PARCELS)];
    if (parcel->number == 0) {
        if (body_file_open(&s->bodies, &parcel->file) == STATUS_OK)
            parcel->number = ++s->number;
        return;
    }
    if (parcel->file.fd < 0)
        return;
    if (scene_draw(s, 12) != 0) {
        finish_parcel(s, parcel);
        return;
    }
    body_file_abandon(&s->bodies, &parcel->file);
    parcel->number = 0;
}

static void after_job(struct scene *s, bool kept)
{
    for (size_t i = 0; i < PARCELS; i++) {
        struct parcel_file *parcel = &s->parcels[i];
        if (!parcel->used || parcel->kept)
            continue;
        parcel->kept = kept;
        if (kept)
            continue;
        enum status ignored = body_file_remove(&s->bodies, slice_of(parcel->file.name));
        (void)ignored;
        *parcel = (struct parcel_file){ 0 };
    }
}

/* Named, they belong to the store; after a commit that failed nobody knows, and the next start shall see. */
static void after_commit(struct scene *s, bool removes)
{
    for (size_t i = 0; i < PARCELS; i++) {
        if (!s->parcels[i].used)
            continue;
        enum status ignored = removes ? body_file_remove(&s->bodies, slice_of(s->parcels[i].file.name)) : STATUS_OK;
        (void)ignored;
        s->parcels[i] = (struct parcel_file){ 0 };
    }
}

/* ---- transactions --------------------------------------------------------------------------------------------- */

static void unlink_early(struct scene *s)
{
    sqlite3_stmt *rows;
    sqlite3_prepare_v2(
        scene_db(s), "SELECT file FROM orphan JOIN blob ON id = blob WHERE file IS NOT NULL", -1, &rows, NULL);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        enum status ignored = body_file_remove(&s->bodies, sqlite_text(rows, 0));
        (void)ignored;
    }
    sqlite3_finalize(rows);
}

static bool jobs(struct scene *s)
{
    for (uint64_t left = 1 + scene_draw(s, 4); left > 0; left--) {
        if (s->v->mark(s->store) != STATUS_OK)
            return false;
        arena_reset(&s->arena);
        bool done = scene_job(s) == STATUS_OK && scene_draw(s, 12) != 0;
        after_job(s, done);
        if (!done && s->v->undo(s->store) != STATUS_OK)
            return false;
    }
    return true;
}

static void transaction(struct scene *s, bool (*work)(struct scene *))
{
    struct store_counts counts;
    struct state *state = add_state(s, disk_count());
    s->now += 1000;
    powercut_time(s->now);
    s->transactions++;
    if (s->plan.mistake == MISTAKE_EARLY_UNLINK)
        unlink_early(s);
    if (s->v->begin(s->store) != STATUS_OK) {
        s->state_count--;
        return;
    }
    bool good = work(s) && s->v->counts(s->store, &counts) == STATUS_OK;
    if (good)
        take_dump(s, &state->dump); /* counts() has written what the writer had in memory only */
    size_t answered = disk_count();
    if (s->fail_commit)
        disk_fail_sync_after(0);
    good = good && s->v->commit(s->store) == STATUS_OK;
    if (s->plan.mistake != MISTAKE_EARLY_ANSWER)
        answered = disk_count();
    s->v->rollback(s->store);
    after_commit(s, !good && s->plan.mistake == MISTAKE_UNLINK_DOUBTFUL);
    if (good && !disk_is_dead())
        settle(s, state, answered, disk_count() > state->begin); /* one that changed nothing wrote nothing */
    else if (state->dump.count == 0)
        s->state_count--;
    else
        state->doubtful = !disk_is_dead();
}

static bool one_delivery(struct scene *s)
{
    bool done = scene_deliver(s) == STATUS_OK;
    after_job(s, done);
    return done;
}

/* A message in a file, begun and answered. */
static void deliver_file(struct scene *s)
{
    struct parcel_file *parcel = &s->parcels[0];
    if (parcel->number > 0 && parcel->file.fd >= 0)
        return;
    if (parcel->number == 0 && body_file_open(&s->bodies, &parcel->file) != STATUS_OK)
        return;
    if (parcel->file.fd >= 0) {
        parcel->number = ++s->number;
        finish_parcel(s, parcel);
    }
    s->fail_commit = scene_draw(s, 3) == 0;
    if (parcel->number > 0)
        transaction(s, one_delivery);
    s->fail_commit = false;
    disk_fail_sync_after(SIZE_MAX);
}

static void meanwhile(void *context)
{
    deliver_file(context);
}

/* The moment between a new folder and its sync: another thread uses it, the sync fails, the process dies.  Then it is
 * used. */
static void use_new_folder(struct scene *s)
{
    powercut_folder(s->folder = 16 + (s->folder + 1) % 200);
    struct parcel_file *parcel = &s->parcels[1];
    uint64_t drawn = scene_draw(s, 3);
    if (drawn == 0)
        disk_meanwhile(meanwhile, s);
    else if (drawn == 1)
        disk_fail_sync_after(scene_draw(s, 3));
    else
        disk_kill_after(1 + scene_draw(s, 4));
    if (parcel->number == 0 && body_file_open(&s->bodies, &parcel->file) == STATUS_OK) {
        parcel->number = ++s->number;
        finish_parcel(s, parcel);
    }
    disk_meanwhile(NULL, NULL);
    disk_fail_sync_after(SIZE_MAX);
    if (disk_is_dead())
        restart(s);
    else
        disk_revive();
    deliver_file(s);
    powercut_folder(-1);
}

static void toggle_reader(struct scene *s)
{
    struct store_plan plan = { .dir = s->dir, .mode = STORE_READER };
    struct store_counts counts;
    if (s->reader) {
        close_reader(s);
        return;
    }
    buf_clear(&s->why);
    if (store_open(&plan, &s->reader, &s->why) != STATUS_OK) {
        s->reader = NULL;
        return;
    }
    /* It holds a moment of the log, so that checkpoints copy only a part and the log cannot start anew. */
    if (s->reader->verbs->begin(s->reader) != STATUS_OK || s->reader->verbs->counts(s->reader, &counts) != STATUS_OK)
        close_reader(s);
}

static void step(struct scene *s)
{
    uint64_t drawn = scene_draw(s, 100);
    if (drawn < 46)
        transaction(s, jobs);
    else if (drawn < 62)
        work_on_parcel(s);
    else if (drawn < 66)
        use_new_folder(s);
    else if (drawn < 80)
        s->v->rest(s->store);
    else if (drawn < 86)
        toggle_reader(s);
    else if (drawn < 91)
        restart(s);
    else if (drawn < 98)
        disk_kill_after(scene_draw(s, 40));
    else
        disk_fail_sync_after(scene_draw(s, 3));
    if (disk_is_dead())
        restart(s);
    s->failed_syncs += disk_sync_failed();
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

static const char filled_1[] =
    "INSERT INTO domain VALUES ('a.example'), ('b.example');"
    "INSERT INTO account VALUES (4, 'ann@a.example', 'Ann', 'a.example', '$argon2id$ann', 10, 11, 1, 1),"
    " (7, 'bob@b.example', NULL, 'b.example', '$argon2id$bob', 12, 0, 0, 0);"
    "INSERT INTO credential VALUES (3, 4, 'scanner', x'00ff', '192.0.2.0/24', 13, 0, 14, 6, 15);"
    "INSERT INTO alias VALUES ('sales@a.example', 'ann@a.example');"
    "INSERT INTO mailbox SELECT NULL, id, 'INBOX', id + 1000, 1, 1, 0, 0, '', 1 FROM account;"
    "UPDATE meta SET value = 2000 WHERE key = 'uidvalidity';";

static void make_old_store(struct scene *s)
{
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/ekirei.db", s->dir);
    int code = sqlite3_open(path, &db);
    must(code == SQLITE_OK);
    code = sqlite3_exec(db, "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL;", NULL, NULL, NULL);
    must(code == SQLITE_OK);
    enum status status = schema_migrate(db, &(struct schema_steps){ schema_steps.rows, 1 }, &s->why);
    must(status == STATUS_OK);
    code = sqlite3_exec(db, filled_1, NULL, NULL, NULL);
    must(code == SQLITE_OK);
    code = sqlite3_close(db);
    must(code == SQLITE_OK);
}

#define STEPS_BEFORE 60 /* of the life that was cut */

/* Goes on where another life was cut: its folder, and what it may be found as. */
static void inherit(struct scene *s)
{
    struct scene *before = alloc(sizeof *before);
    scene_play(before, &(struct scene_plan){ .seed = s->plan.seed, .steps = STEPS_BEFORE });
    struct disk_cut cut = { .seed = disk_random(&s->random) };
    cut.prefix = before->opened + scene_draw(s, before->disk->count - before->opened + 1);
    cut.loss = (enum disk_loss)scene_draw(s, LOSS_COUNT);
    disk_image(before->disk, &cut);
    disk_image_write(before->disk, s->dir);
    for (size_t i = 0; i < before->state_count; i++)
        if (before->states[i].begin <= cut.prefix && cut.prefix <= before->states[i].until)
            add_state(s, 0)->dump = before->states[i].dump;
    for (size_t i = 0; i < before->seen_count; i++)
        if (before->seen[i].since <= cut.prefix) {
            s->seen[s->seen_count] = before->seen[i];
            s->seen[s->seen_count++].since = 0;
        }
    s->number = before->number;
    s->now = before->now;
    scene_done(before);
    release(before);
}

static void check_journal(struct scene *s)
{
    disk_image(s->disk, &(struct disk_cut){ s->disk->count, LOSS_NONE, 0 });
    const char *differs = disk_image_differs(s->disk, s->dir);
    if (differs)
        fprintf(stderr, "the journal and %s/%s differ: a call was not recorded\n", s->dir, differs);
    must(!differs);
}

void scene_play(struct scene *s, const struct scene_plan *plan)
{
    static const enum disk_lie lies[MISTAKE_COUNT] = { [MISTAKE_NO_LOG_SYNC] = LIE_LOG,
        [MISTAKE_NO_DATABASE_SYNC] = LIE_DATABASE,
        [MISTAKE_NO_BODY_SYNC] = LIE_BODY,
        [MISTAKE_NO_FOLDER_SYNC] = LIE_BODY_FOLDER,
        [MISTAKE_NO_BODIES_SYNC] = LIE_BODIES };
    memset(s, 0, sizeof *s);
    s->plan = *plan;
    s->random = plan->seed * 1000 + plan->start;
    s->now = 1700000000000;
    s->arena = ARENA(64u << 20);
    s->why = BUF(4096);
    s->bodies.dir = -1;
    snprintf(s->dir, sizeof s->dir, "%s/ekirei-powercut-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    char *made = mkdtemp(s->dir);
    must(made);
    disk_install();
    if (plan->start == START_CUT)
        inherit(s);
    powercut_seed(s->random + 1, s->now);
    if (plan->start == START_OLD)
        make_old_store(s);
    disk_begin(s->dir);
    disk_lie(lies[plan->mistake]);
    start(s);
    for (unsigned i = 0; i < plan->steps; i++)
        step(s);
    disk_fail_sync_after(SIZE_MAX);
    restart(s);
    close_all(s);
    s->disk = disk_end();
    check_journal(s);
    s->checkpoints = powercut_checkpoints();
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

void scene_done(struct scene *s)
{
    int failed = nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    must(!failed);
    arena_done(&s->arena);
    buf_done(&s->why);
}

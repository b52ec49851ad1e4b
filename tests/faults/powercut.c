/* powercut.c - the store after a power cut: a life of it is recorded, and from every prefix of the recording the
 * folders are made that the cut may have left.
 *
 * powercut [--sample N]: a sample; without N also mistakes that must be found (in `make test`).
 *
 * powercut --images N [--seed S]: every prefix of one life of each kind after another, until N different images were
 * opened (`make powercut`).
 *
 * powercut --replay SEED:START:STEPS:PREFIX:LOSS:NUMBER [--keep DIR]: one image again, as a failure names it, with the
 * operations before it; its files to DIR, an empty folder.  Good for the build that printed it. */
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/must.h"
#include "faults/powercut.h"

#define STEPS         170 /* of a life of which samples are taken */
#define STEPS_LONG    60  /* of one of which every prefix is looked at */
#define STEPS_CUT     15  /* after a cut: the start is what matters */
#define MISTAKE_TRIES 400 /* images of one life in which a mistake may show */
#define MISTAKE_LIVES 6   /* lives in which it must */

static const char *const loss_names[LOSS_COUNT] = { "all lost", "all kept", "names lost", "octets lost", "holes",
    "torn at a sector", "torn at a page", "torn anywhere", "a subset", "sectors", "pages" };
static const char *const mistake_names[MISTAKE_COUNT] = { "none", "the log is not synced", "the database is not synced",
    "a body is not synced", "a body's folder is not synced", "the folder of folders is not synced",
    "the answer comes before the commit", "a file goes before its row", "a file goes after a doubtful commit" };

static const char *const start_names[START_COUNT] = { "new", "from version 1", "after a cut" };

struct tally {
    struct map seen; /* hash of an image and what was promised by then */
    size_t images, different, bad;
    bool quiet;
    char first[200]; /* what was wrong first */
};

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    return at->level == 0 ? 0 : remove(path);
}

static void empty(const char *dir)
{
    int failed = nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    must(!failed);
}

/* Half of the images have what a process left in the log's index, which may be anything. */
static void leave_index(const char *dir, uint64_t seed)
{
    char path[128];
    static uint8_t noise[32768];
    if (disk_random(&seed) & 1)
        return;
    for (size_t i = 0; i < sizeof noise; i += 8) {
        uint64_t drawn = disk_random(&seed);
        memcpy(noise + i, &drawn, 8);
    }
    snprintf(path, sizeof path, "%s/ekirei.db-shm", dir);
    FILE *file = fopen(path, "we");
    must(file);
    fwrite(noise, sizeof noise, 1, file);
    fclose(file);
}

static uint64_t cut_seed(const struct scene *s, size_t prefix, unsigned number)
{
    uint64_t state = s->plan.seed * 1000003 + prefix * 1009 + number;
    return disk_random(&state);
}

/* One image: made, opened, looked at.  What was seen before, with the same promises, is not looked at again. */
static bool try_image(
    const struct scene *s, size_t prefix, enum disk_loss loss, unsigned number, const char *dir, struct tally *tally)
{
    struct disk_cut cut = { prefix, loss, cut_seed(s, prefix, number) };
    struct buf why = BUF(4096);
    uint64_t promised = 0;
    for (size_t i = 0; i < s->state_count; i++)
        if (s->states[i].begin <= prefix && prefix <= s->states[i].until)
            promised = promised * 31 + i + 1;
    uint64_t key[2] = { disk_image(s->disk, &cut), promised };
    tally->images++;
    if (map_find(&tally->seen, map_key(key)))
        return true;
    map_put(&tally->seen, map_key(key), tally);
    tally->different++;
    disk_image_write(s->disk, dir);
    leave_index(dir, cut.seed);
    bool good = powercut_check(s, &cut, dir, &why);
    if (!good) {
        if (tally->bad++ == 0)
            snprintf(tally->first, sizeof tally->first, "%.*s", (int)why.len, why.ptr);
        if (!tally->quiet)
            printf("FAILED: %.*s\n  after %zu of %zu operations, %s; again: powercut --replay %" PRIu64
                   ":%u:%u:%zu:%u:%u\n",
                (int)why.len, why.ptr, prefix, s->disk->count, loss_names[loss], s->plan.seed, s->plan.start,
                s->plan.steps, prefix, loss, number);
    }
    empty(dir);
    buf_done(&why);
    return good;
}

static void make_dir(char dir[64])
{
    snprintf(dir, 64, "%s/ekirei-image-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    char *made = mkdtemp(dir);
    must(made);
}

static struct scene *play(uint64_t seed, enum scene_start start, enum mistake mistake, unsigned steps)
{
    struct scene *s = alloc(sizeof *s);
    scene_play(s, &(struct scene_plan){ .seed = seed, .start = start, .mistake = mistake, .steps = steps });
    return s;
}

static void put_away(struct scene *s)
{
    scene_done(s);
    release(s);
}

/* Every prefix with every loss; those that depend on chance more than once. */
static void every_prefix(const struct scene *s, const char *dir, struct tally *tally)
{
    for (size_t prefix = s->disk->base; prefix <= s->disk->count; prefix++)
        for (unsigned loss = 0; loss < LOSS_COUNT; loss++)
            for (unsigned number = 0; number < (loss >= LOSS_TORN_OCTET ? 2 : 1); number++)
                try_image(s, prefix, loss, number, dir, tally);
}

static int long_run(size_t wanted, uint64_t seed)
{
    struct tally tally = { 0 };
    char dir[64];
    make_dir(dir);
    for (unsigned life = 0; tally.different < wanted || life < START_COUNT; life++) {
        enum scene_start start = (enum scene_start)(START_COUNT - 1 - life % START_COUNT);
        struct scene *s =
            play(seed + life / START_COUNT, start, MISTAKE_NONE, start == START_CUT ? STEPS_CUT : STEPS_LONG);
        size_t before = tally.different;
        every_prefix(s, dir, &tally);
        printf("seed %" PRIu64
               ", %s: %zu operations, %u transactions, %u kills, %u failed syncs, %u checkpoints: %zu images\n",
            s->plan.seed, start_names[s->plan.start], s->disk->count, s->transactions, s->kills, s->failed_syncs,
            s->checkpoints, tally.different - before);
        fflush(stdout);
        put_away(s);
    }
    rmdir(dir);
    printf("%zu different images (of %zu made), %zu bad; seed %" PRIu64 "\n", tally.different, tally.images, tally.bad,
        seed);
    map_done(&tally.seen);
    return tally.bad > 0;
}

static int replay(const char *what, const char *keep)
{
    uint64_t seed;
    unsigned start, steps, loss, number;
    size_t prefix;
    struct tally tally = { 0 };
    char dir[64];
    if (sscanf(what, "%" SCNu64 ":%u:%u:%zu:%u:%u", &seed, &start, &steps, &prefix, &loss, &number) != 6 ||
        start >= START_COUNT || loss >= LOSS_COUNT)
        return 2;
    struct scene *s = play(seed, start, MISTAKE_NONE, steps);
    if (prefix > s->disk->count)
        return 2;
    make_dir(dir);
    bool good = try_image(s, prefix, loss, number, dir, &tally);
    rmdir(dir);
    for (size_t i = 0; i < s->state_count; i++)
        if (s->states[i].begin <= prefix && s->states[i].until >= prefix)
            printf("state %zu is good from %zu to %zu\n", i, s->states[i].begin, s->states[i].until);
    disk_print(s->disk, prefix > 30 ? prefix - 30 : 0, prefix);
    if (keep) {
        disk_image(s->disk, &(struct disk_cut){ prefix, loss, cut_seed(s, prefix, number) });
        disk_image_write(s->disk, keep);
    }
    put_away(s);
    printf("%s\n", good ? "good" : "bad");
    map_done(&tally.seen);
    return !good;
}

/* Where to cut: anywhere, right behind an answer, or behind a sync that failed. */
static size_t draw_prefix(const struct scene *s, uint64_t *random)
{
    const struct disk *disk = s->disk;
    size_t prefix = disk->base + disk_random(random) % (disk->count - disk->base + 1);
    uint64_t drawn = disk_random(random) % 4;
    const struct state *state = &s->states[disk_random(random) % s->state_count];
    if (drawn == 0)
        return prefix;
    if (drawn < 3)
        return state->until < disk->count ? state->until + 1 : prefix;
    while (prefix < disk->count && disk->ops[prefix].kind != DISK_FORGET)
        prefix++;
    prefix += 1 + disk_random(random) % 3;
    return prefix < disk->count ? prefix : disk->count;
}

static void sample(const struct scene *s, const char *dir, size_t wanted, size_t most_bad, struct tally *tally)
{
    uint64_t random = s->plan.seed;
    size_t before = tally->different;
    for (unsigned i = 0; i < wanted * 3 && tally->different - before < wanted && tally->bad < most_bad; i++) {
        size_t prefix = draw_prefix(s, &random);
        enum disk_loss loss = (enum disk_loss)(disk_random(&random) % LOSS_COUNT);
        try_image(s, prefix, loss, i, dir, tally);
    }
}

/* The prover itself: who makes a mistake is found out, and nobody else. */
static int try_mistake(enum mistake mistake, const char *dir, size_t images)
{
    struct tally tally = { .quiet = true };
    for (uint64_t seed = 3; seed < (mistake ? 3 + MISTAKE_LIVES : 4) && tally.bad == 0; seed++) {
        struct scene *s = play(seed, START_NEW, mistake, STEPS);
        sample(s, dir, mistake ? MISTAKE_TRIES : images, 1, &tally);
        put_away(s);
    }
    printf("mistake: %s: %s in %zu images%s%s\n", mistake_names[mistake], tally.bad ? "found" : "not found",
        tally.different, tally.bad ? ": " : "", tally.first);
    map_done(&tally.seen);
    return (tally.bad > 0) != (mistake != MISTAKE_NONE);
}

static int short_run(size_t images, bool mistakes)
{
    char dir[64];
    int result = 0;
    make_dir(dir);
    for (enum scene_start start = START_NEW; start < START_COUNT; start++) {
        struct tally tally = { 0 };
        struct scene *s = play(1 + start, start, MISTAKE_NONE, STEPS);
        sample(s, dir, images / START_COUNT, SIZE_MAX, &tally);
        printf("%s: %zu images, %zu bad; %zu operations, %u transactions, %u kills, %u failed syncs, %u checkpoints\n",
            start_names[start], tally.different, tally.bad, s->disk->count, s->transactions, s->kills, s->failed_syncs,
            s->checkpoints);
        /* A life in which little happened would prove little. */
        result |= tally.bad > 0 || s->kills < 3 || s->failed_syncs == 0 || s->checkpoints < 5;
        put_away(s);
        map_done(&tally.seen);
    }
    for (enum mistake mistake = MISTAKE_NONE; mistakes && mistake < MISTAKE_COUNT; mistake++)
        result |= try_mistake(mistake, dir, images / 4);
    rmdir(dir);
    return result;
}

int main(int argc, char **argv)
{
    size_t images = 0, few = 0;
    uint64_t seed = 1;
    const char *again = NULL, *keep = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--images") == 0)
            images = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--sample") == 0)
            few = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--replay") == 0)
            again = argv[i + 1];
        else if (strcmp(argv[i], "--keep") == 0)
            keep = argv[i + 1];
        else
            return 2;
    }
    if (again)
        return replay(again, keep);
    if (images > 0)
        return long_run(images, seed);
    return few > 0 ? short_run(few, false) : short_run(400, true);
}

/* check.c - what must be true of the rows and the files, a slice at a time; repair.c puts right what can be.
 *
 * Most of it is SQL whose rows are findings: found, id, uid, have, want, address, mailbox, detail. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/must.h"
#include "store/sqlite/sqlite.h"

#define FOUND_MOST      100u          /* in one answer: at their longest they fit into a frame */
#define SLICE           200u          /* ms */
#define SLICE_ROWS      5000u         /* messages between two looks at the clock */
#define REFERENCE_RANGE 50000u        /* ids of bodies in one slice; each costs a walk over all messages */
#define FILE_AGE        3600          /* s: a file without a row may be a delivery under way */

struct looking {
    struct sqlite *s;
    const struct ask_check *ask;
    struct arena *arena;
    struct check_row *rows;
    struct answer_check *out;
    msec until;
};

static bool is_full(const struct looking *l)
{
    return l->out->rows.count >= FOUND_MOST;
}

static enum status add(struct looking *l, const struct check_row *row)
{
    must(l->out->rows.count < FOUND_MOST + 8u);
    struct check_row *kept = &l->rows[l->out->rows.count++];
    *kept = *row;
    TRY(arena_copy(l->arena, slice_upto(row->address, LIMIT_PATH), &kept->address));
    TRY(arena_copy(l->arena, slice_upto(row->mailbox, LIMIT_PATH), &kept->mailbox));
    return arena_copy(l->arena, slice_upto(row->detail, LIMIT_PATH), &kept->detail);
}

static enum status add_from(struct looking *l, sqlite3_stmt *select)
{
    struct check_row row = {
        .found = (uint8_t)sqlite_number(select, 0),
        .id = sqlite_number(select, 1),
        .uid = sqlite_number32(select, 2),
        .have = sqlite_number(select, 3),
        .want = sqlite_number(select, 4),
        .address = sqlite_text(select, 5),
        .mailbox = sqlite_text(select, 6),
        .detail = sqlite_text(select, 7),
    };
    return add(l, &row);
}

/* All rows of a statement whose ?1 and ?2 are given; where there are too many, the rest begins behind the last id. */
static enum status gather(struct looking *l, const char *sql, uint64_t first, uint64_t second)
{
    scoped_statement *select = NULL;
    bool row;
    TRY(sqlite_query(l->s, sql, &select));
    int count = sqlite3_bind_parameter_count(select);
    if (count > 0)
        sqlite_bind(select, 1, first);
    if (count > 1)
        sqlite_bind(select, 2, second);
    for (;;) {
        TRY(sqlite_step(l->s, select, &row));
        if (!row)
            return STATUS_OK;
        if (is_full(l)) {
            l->out->more = 1;
            l->out->at = l->rows[l->out->rows.count - 1].id;
            return STATUS_OK;
        }
        TRY(add_from(l, select));
    }
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

/* One statement that reads everything: nothing for a server at work, whose log could not be reset meanwhile. */
static enum status look_at_pages(struct looking *l)
{
    scoped_statement *select = NULL;
    bool row;
    if (l->s->is_served)
        return STATUS_OK;
    TRY(sqlite_query(l->s, "PRAGMA integrity_check(50)", &select));
    for (;;) {
        TRY(sqlite_step(l->s, select, &row));
        if (!row)
            return STATUS_OK;
        struct slice words = sqlite_text(select, 0);
        if (!slice_equal(words, S("ok")) && !is_full(l))
            TRY(add(l, &(struct check_row){ .found = FOUND_PAGE, .detail = words }));
    }
}

/* ---- counters, directory ----------------------------------------------------------------------------------------- */

static enum status look_at_counters(struct looking *l)
{
    scoped_statement *select = NULL;
    TRY(sqlite_query(l->s,
        "WITH counter (name, have, want) AS ("
        "SELECT 'uidvalidity', (SELECT value FROM meta WHERE key = 'uidvalidity'), (SELECT max(uidvalidity) FROM mailbox)"
        " UNION ALL SELECT 'next_id', (SELECT value FROM meta WHERE key = 'next_id'),"
        " 1 + max(coalesce((SELECT max(id) FROM blob), 0), coalesce((SELECT max(id) FROM queue_message), 0),"
        " coalesce((SELECT max(blob) FROM expunged), 0)))"
        " SELECT ?1, 0, 0, coalesce(have, 0), want, '', '', name FROM counter WHERE coalesce(have, 0) < want",
        &select));
    sqlite_bind(select, 1, FOUND_COUNTER);
    for (;;) {
        bool row;
        TRY(sqlite_step(l->s, select, &row));
        if (!row)
            return STATUS_OK;
        TRY(add_from(l, select));
    }
}

/* All that a statement finds is of one kind. */
static enum status gather_as(struct looking *l, enum found found, const char *sql)
{
    uint32_t before = l->out->rows.count;
    TRY(gather(l, sql, l->ask->at, 0));
    for (uint32_t i = before; i < l->out->rows.count; i++)
        l->rows[i].found = (uint8_t)found;
    return STATUS_OK;
}

#define OUR_TARGETS                                                                                                    \
    "SELECT 0, 0, 0, 0, 0, alias.address, '', target FROM alias JOIN domain"                                           \
    " ON substr(target, -length(domain.name) - 1) = '@' || domain.name"                                                \
    " WHERE NOT EXISTS (SELECT 1 FROM account WHERE account.address = target)"                                         \
    " AND NOT EXISTS (SELECT 1 FROM alias AS other WHERE other.address IN (target, '@' || domain.name)) LIMIT 20"

static enum status look_at_directory(struct looking *l)
{
    TRY(gather_as(l, FOUND_LOST_DEVICE,
        "SELECT 0, id, 0, 0, 0, '', '', name FROM credential WHERE account NOT IN (SELECT id FROM account) LIMIT 20"));
    TRY(gather_as(l, FOUND_LOST_PLACE,
        "SELECT 0, account, 0, 0, 0, '', '', '' FROM place WHERE account NOT IN (SELECT id FROM account) LIMIT 20"));
    TRY(gather_as(l, FOUND_LOST_DOMAIN,
        "SELECT 0, id, 0, 0, 0, address, '', domain FROM account WHERE domain NOT IN (SELECT name FROM domain) LIMIT 20"));
    TRY(gather_as(l, FOUND_NO_ACCOUNT,
        "SELECT 0, id, 0, 0, 0, '', name, '' FROM mailbox WHERE account NOT IN (SELECT id FROM account) LIMIT 20"));
    TRY(gather_as(l, FOUND_LOST_ALIAS, OUR_TARGETS));
    l->out->more = 0;
    return STATUS_OK;
}

/* ---- mailboxes --------------------------------------------------------------------------------------------------- */

struct tally {
    uint64_t messages, octets, uid, modseq;
};

static enum status tally_of(struct sqlite *s, uint64_t mailbox, struct tally *out)
{
    scoped_statement *messages = NULL, *expunged = NULL;
    bool row;
    TRY(sqlite_query(s,
        "SELECT count(*), sum(size), max(uid), max(modseq) FROM message WHERE mailbox = ?1", &messages));
    TRY(sqlite_query(s, "SELECT max(uid), max(modseq) FROM expunged WHERE mailbox = ?1", &expunged));
    sqlite_bind(messages, 1, mailbox);
    sqlite_bind(expunged, 1, mailbox);
    TRY(sqlite_step(s, messages, &row));
    *out = (struct tally){ sqlite_number(messages, 0), sqlite_number(messages, 1), sqlite_number(messages, 2),
        sqlite_number(messages, 3) };
    TRY(sqlite_step(s, expunged, &row));
    out->uid = sqlite_number(expunged, 0) > out->uid ? sqlite_number(expunged, 0) : out->uid;
    out->modseq = sqlite_number(expunged, 1) > out->modseq ? sqlite_number(expunged, 1) : out->modseq;
    return STATUS_OK;
}

static enum status compare(struct looking *l, struct check_row *row, enum found found, uint64_t have, uint64_t want)
{
    if (have == want)
        return STATUS_OK;
    row->found = (uint8_t)found;
    row->have = have;
    row->want = want;
    return add(l, row);
}

static enum status look_at_mailbox(struct looking *l, sqlite3_stmt *select)
{
    struct check_row row = { .id = sqlite_number(select, 0),
        .address = sqlite_text(select, 1),
        .mailbox = sqlite_text(select, 2) };
    uint64_t messages = sqlite_number(select, 3), octets = sqlite_number(select, 4);
    uint64_t uidnext = sqlite_number(select, 5), modseq = sqlite_number(select, 6);
    struct tally tally = { 0 };
    TRY(tally_of(l->s, row.id, &tally));
    TRY(compare(l, &row, FOUND_COUNT, messages, tally.messages));
    TRY(compare(l, &row, FOUND_OCTETS, octets, tally.octets));
    TRY(compare(l, &row, FOUND_UIDNEXT, uidnext, uidnext > tally.uid ? uidnext : tally.uid + 1));
    TRY(compare(l, &row, FOUND_MODSEQ, modseq, modseq >= tally.modseq ? modseq : tally.modseq));
    l->out->done++;
    l->out->at = row.id;
    return STATUS_OK;
}

static enum status look_at_mailboxes(struct looking *l)
{
    l->out->at = l->ask->at;
    while (!is_full(l) && clock_now() < l->until) {
        scoped_statement *select = NULL;
        bool row;
        TRY(sqlite_query(l->s,
            "SELECT mailbox.id, account.address, mailbox.name, messages, octets, uidnext, highestmodseq FROM mailbox"
            " LEFT JOIN account ON account.id = mailbox.account WHERE mailbox.id > ?1 ORDER BY mailbox.id LIMIT 1",
            &select));
        sqlite_bind(select, 1, l->out->at);
        TRY(sqlite_step(l->s, select, &row));
        if (!row)
            return STATUS_OK;
        TRY(look_at_mailbox(l, select));
    }
    l->out->more = 1;
    return STATUS_OK;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static enum status look_at_message(struct looking *l, sqlite3_stmt *select)
{
    struct check_row row = { .id = sqlite_number(select, 2),
        .uid = sqlite_number32(select, 1),
        .address = sqlite_text(select, 7),
        .mailbox = sqlite_text(select, 8) };
    bool has_body = sqlite3_column_type(select, 5) != SQLITE_NULL;
    uint64_t size = sqlite_number(select, 3), pop3_size = sqlite_number(select, 4), real = sqlite_number(select, 6);
    l->out->at = sqlite_number(select, 0);
    l->out->and_at = row.uid;
    l->out->done++;
    if (sqlite3_column_type(select, 8) == SQLITE_NULL) {
        row.found = FOUND_NO_MAILBOX;
        row.have = l->out->at;
        TRY(add(l, &row));
    }
    if (!has_body) {
        row.found = FOUND_NO_BODY;
        return add(l, &row);
    }
    return compare(l, &row, FOUND_SIZE, size != real ? size : pop3_size, size != real || pop3_size < real ? real : pop3_size);
}

static enum status look_at_messages(struct looking *l)
{
    scoped_statement *select = NULL;
    bool row;
    TRY(sqlite_query(l->s,
        "SELECT message.mailbox, uid, blob, message.size, pop3_size, blob.id, blob.size, account.address, mailbox.name"
        " FROM message LEFT JOIN blob ON blob.id = message.blob LEFT JOIN mailbox ON mailbox.id = message.mailbox"
        " LEFT JOIN account ON account.id = mailbox.account WHERE (message.mailbox, uid) > (?1, ?2)"
        " ORDER BY message.mailbox, uid LIMIT ?3",
        &select));
    sqlite_bind(select, 1, l->ask->at);
    sqlite_bind(select, 2, l->ask->and_at);
    sqlite_bind(select, 3, SLICE_ROWS);
    while (!is_full(l) && clock_now() < l->until) {
        TRY(sqlite_step(l->s, select, &row));
        if (!row) {
            l->out->more = l->out->done == SLICE_ROWS;
            return STATUS_OK;
        }
        TRY(look_at_message(l, select));
    }
    l->out->more = 1;
    return STATUS_OK;
}

/* ---- references -------------------------------------------------------------------------------------------------- */

/* `message` has no index by body, which every delivery would pay for: so a range of ids is one walk over all messages. */
static const char references[] =
    "WITH used (blob, times) AS MATERIALIZED (SELECT blob, count(*) FROM (SELECT blob FROM message WHERE blob BETWEEN ?1"
    " AND ?2 UNION ALL SELECT blob FROM queue_message WHERE blob BETWEEN ?1 AND ?2) GROUP BY blob),"
    " ids (id) AS (SELECT id FROM blob WHERE id BETWEEN ?1 AND ?2 UNION SELECT blob FROM share WHERE blob BETWEEN ?1 AND ?2"
    " UNION SELECT blob FROM orphan WHERE blob BETWEEN ?1 AND ?2)"
    " SELECT CASE WHEN blob.id IS NULL THEN 1 WHEN times IS NULL AND orphan.blob IS NULL THEN 2"
    " WHEN times IS NOT NULL AND orphan.blob IS NOT NULL THEN 3 ELSE 4 END,"
    " ids.id, 0, coalesce(share.refs, times IS NOT NULL), coalesce(times, 0), '', '', ''"
    " FROM ids LEFT JOIN blob ON blob.id = ids.id LEFT JOIN used ON used.blob = ids.id"
    " LEFT JOIN share ON share.blob = ids.id LEFT JOIN orphan ON orphan.blob = ids.id"
    " WHERE blob.id IS NULL OR (times IS NULL) = (orphan.blob IS NULL)"
    " OR coalesce(share.refs, times IS NOT NULL) <> coalesce(times, 0) ORDER BY ids.id";

static enum status look_at_references(struct looking *l)
{
    static const uint8_t founds[] = { 0, FOUND_NO_SUCH_BODY, FOUND_UNUSED, FOUND_DOOMED, FOUND_REFERENCES };
    scoped_statement *first = NULL;
    bool row;
    TRY(sqlite_query(l->s,
        "SELECT min(id) FROM (SELECT min(id) AS id FROM blob WHERE id > ?1 UNION ALL SELECT min(blob) FROM share"
        " WHERE blob > ?1 UNION ALL SELECT min(blob) FROM orphan WHERE blob > ?1)",
        &first));
    sqlite_bind(first, 1, l->ask->at);
    TRY(sqlite_step(l->s, first, &row));
    uint64_t from = row ? sqlite_number(first, 0) : 0;
    if (from == 0)
        return STATUS_OK;
    l->out->at = from + REFERENCE_RANGE - 1;
    TRY(gather(l, references, from, from + REFERENCE_RANGE - 1));
    for (uint32_t i = 0; i < l->out->rows.count; i++)
        l->rows[i].found = founds[l->rows[i].found % sizeof founds];
    l->out->more = 1;
    return STATUS_OK;
}

/* ---- queue ------------------------------------------------------------------------------------------------------- */

static enum status look_at_queue(struct looking *l)
{
    static const uint8_t founds[] = { 0, FOUND_QUEUED_NO_BODY, FOUND_QUEUED_EMPTY, FOUND_QUEUED_DUE };
    TRY(gather(l,
        "SELECT CASE WHEN blob.id IS NULL THEN 1 WHEN NOT EXISTS (SELECT 1 FROM queue_recipient WHERE message ="
        " queue_message.id) THEN 2 ELSE 3 END, queue_message.id, 0, 0, 0, '', '', sender FROM queue_message"
        " LEFT JOIN blob ON blob.id = queue_message.blob WHERE queue_message.id > ?1 AND (blob.id IS NULL"
        " OR NOT EXISTS (SELECT 1 FROM queue_recipient WHERE message = queue_message.id)"
        " OR (due IS NULL AND EXISTS (SELECT 1 FROM queue_recipient WHERE message = queue_message.id AND state = 0)))"
        " ORDER BY queue_message.id",
        l->ask->at, 0));
    for (uint32_t i = 0; i < l->out->rows.count; i++)
        l->rows[i].found = founds[l->rows[i].found % sizeof founds];
    if (l->out->more || is_full(l)) /* the rest next time */
        return STATUS_OK;
    TRY(gather_as(l, FOUND_QUEUED_LOST,
        "SELECT 0, message, number, 0, 0, '', '', address FROM queue_recipient"
        " WHERE NOT EXISTS (SELECT 1 FROM queue_message WHERE id = message) LIMIT 20"));
    l->out->more = 0;
    return STATUS_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

bool sqlite_is_orphan_file(struct sqlite *s, const char *name)
{
    scoped_statement *select = NULL;
    struct stat about;
    bool row;
    if (sqlite_query(s, "SELECT 1 FROM blob WHERE file = ?1", &select) != STATUS_OK)
        return false;
    sqlite_bind_text(select, 1, slice_of(name));
    if (sqlite_step(s, select, &row) != STATUS_OK || row)
        return false;
    return fstatat(s->bodies.dir, name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
           (!s->is_served || (wall)(about.st_mtime + FILE_AGE) * 1000 < clock_wall());
}

static enum status look_at_file(void *context, const char *name)
{
    struct looking *l = context;
    struct check_row row = { .detail = slice_of(name) };
    if (is_full(l))
        return STATUS_OK; /* so many of one folder are enough */
    l->out->done++;
    if (!body_is_name(row.detail))
        row.found = FOUND_FOREIGN_FILE;
    else if (sqlite_is_orphan_file(l->s, name))
        row.found = FOUND_ORPHAN_FILE;
    return row.found ? add(l, &row) : STATUS_OK;
}

/* One of the folders in a slice. */
static enum status look_at_files(struct looking *l)
{
    if (l->ask->at >= BODY_FOLDERS)
        return STATUS_OK;
    l->out->at = l->ask->at + 1;
    l->out->more = l->out->at < BODY_FOLDERS;
    return body_file_each(&l->s->bodies, (unsigned)l->ask->at, look_at_file, l);
}

/* ---- where a body is used ---------------------------------------------------------------------------------------- */

static enum status look_at_uses(struct looking *l)
{
    TRY(gather_as(l, FOUND_USE,
        "SELECT 0, blob, uid, 0, 0, account.address, mailbox.name, '' FROM message"
        " LEFT JOIN mailbox ON mailbox.id = message.mailbox LEFT JOIN account ON account.id = mailbox.account WHERE blob = ?1"
        " UNION ALL SELECT 0, blob, 0, id, 0, '', '', sender FROM queue_message WHERE blob = ?1"));
    l->out->more = 0; /* a hundred copies named are enough */
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ */

static const struct {
    enum status (*look)(struct looking *);
    const char *name;
} parts[] = {
    [CHECK_PAGES] = { look_at_pages, "the database" },
    [CHECK_COUNTERS] = { look_at_counters, "the counters" },
    [CHECK_DIRECTORY] = { look_at_directory, "accounts, devices and aliases" },
    [CHECK_MAILBOXES] = { look_at_mailboxes, "mailboxes" },
    [CHECK_MESSAGES] = { look_at_messages, "messages" },
    [CHECK_REFERENCES] = { look_at_references, "references to bodies" },
    [CHECK_QUEUE] = { look_at_queue, "the queue" },
    [CHECK_FILES] = { look_at_files, "files of bodies" },
    [CHECK_USES] = { look_at_uses, "uses of a body" },
};

enum status sqlite_check(
    struct store *store, const struct ask_check *ask, struct arena *arena, struct answer_check *out)
{
    struct sqlite *s = sqlite_of(store);
    struct answer_check answer = { 0 };
    if (ask->part < CHECK_PAGES || ask->part > CHECK_USES || ask->at > INT64_MAX - REFERENCE_RANGE || ask->and_at > INT64_MAX)
        return STATUS_MALFORMED;
    struct looking l = { .s = s, .ask = ask, .arena = arena, .out = &answer, .until = clock_now() + SLICE };
    l.rows = arena_take_rows(arena, FOUND_MOST + 8u, sizeof *l.rows);
    if (!l.rows)
        return STATUS_TOO_BIG;
    answer.rows.at = l.rows;
    enum status status = parts[ask->part].look(&l);
    if (status == STATUS_CORRUPT) { /* that is what we are here for */
        answer.more = 0;
        status = add(&l, &(struct check_row){ .found = FOUND_PAGE, .detail = slice_of(parts[ask->part].name) });
    }
    TRY(status);
    *out = answer;
    return STATUS_OK;
}

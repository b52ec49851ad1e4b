#include "base/must.h"
#include "store/sqlite/sqlite.h"

/* One mailbox's messages from ?2 to ?3, as sets: a hundred thousand messages are a handful of statements. */
#define RANGE "message.mailbox = ?1 AND message.uid BETWEEN ?2 AND ?3"

static const char count_range[] = "SELECT count(*), sum(size) FROM message WHERE " RANGE;
static const char note_expunged[] =
    "INSERT INTO expunged (mailbox, uid, modseq, blob) SELECT mailbox, uid, ?4, blob FROM message WHERE " RANGE;
static const char orphan_unshared[] = "INSERT INTO orphan (blob, since) SELECT blob, ?4 FROM message WHERE " RANGE
                                      " AND NOT EXISTS (SELECT 1 FROM share WHERE share.blob = message.blob)";
/* Counted, for one body may stand in a mailbox twice. */
static const char drop_shared[] =
    "UPDATE share SET refs = refs - gone.times FROM"
    " (SELECT message.blob AS blob, count(*) AS times FROM message JOIN share ON share.blob = message.blob WHERE " RANGE
    " GROUP BY message.blob) AS gone WHERE share.blob = gone.blob";
static const char orphan_shared[] = "INSERT INTO orphan (blob, since) SELECT DISTINCT share.blob, ?4 FROM message"
                                    " JOIN share ON share.blob = message.blob WHERE share.refs = 0 AND " RANGE;
static const char tidy_share[] =
    "DELETE FROM share WHERE refs = 0 AND blob IN (SELECT blob FROM message WHERE " RANGE ")";
static const char delete_range[] = "DELETE FROM message WHERE " RANGE;

struct span {
    uint64_t mailbox, first, last;
};

static enum status run_range(struct sqlite *s, const char *sql, const struct span *span, uint64_t fourth)
{
    scoped_statement *statement = NULL;
    TRY(sqlite_query(s, sql, &statement));
    sqlite_bind(statement, 1, span->mailbox);
    sqlite_bind(statement, 2, span->first);
    sqlite_bind(statement, 3, span->last);
    if (sqlite3_bind_parameter_count(statement) > 3)
        sqlite_bind(statement, 4, fourth);
    return sqlite_run(s, statement);
}

static enum status count_span(struct sqlite *s, const struct span *span, uint64_t *out_count, uint64_t *out_octets)
{
    scoped_statement *select = NULL;
    TRY(sqlite_query(s, count_range, &select));
    sqlite_bind(select, 1, span->mailbox);
    sqlite_bind(select, 2, span->first);
    sqlite_bind(select, 3, span->last);
    bool row;
    TRY(sqlite_step(s, select, &row));
    if (!row)
        return STATUS_CORRUPT;
    *out_count = sqlite_number(select, 0);
    *out_octets = sqlite_number(select, 1);
    return STATUS_OK;
}

static enum status remove_span(struct sqlite *s, const struct span *span)
{
    wall now = clock_wall();
    TRY(run_range(s, drop_shared, span, 0));
    TRY(run_range(s, orphan_shared, span, now));
    TRY(run_range(s, orphan_unshared, span, now)); /* before share is tidied: what is not there counts as unshared */
    TRY(run_range(s, tidy_share, span, 0));
    return run_range(s, delete_range, span, 0);
}

enum status sqlite_expunge(
    struct store *store, uint32_t account, const struct uid_range *ranges, size_t count, uint32_t *out_removed)
{
    struct sqlite *s = sqlite_of(store);
    struct inbox *inbox;
    uint64_t removed = 0;
    TRY(sqlite_writing(s));
    TRY(sqlite_inbox(s, account, &inbox));
    for (size_t i = 0; i < count; i++) {
        struct span span = { (uint64_t)inbox->mailbox, ranges[i].first, ranges[i].last };
        uint64_t messages, octets;
        TRY(count_span(s, &span, &messages, &octets));
        if (messages == 0)
            continue;
        if (removed == 0) /* RFC 7162 3.2: all that one expunge removes shares a new mod-sequence */
            inbox->modseq++;
        TRY(run_range(s, note_expunged, &span, inbox->modseq));
        TRY(remove_span(s, &span));
        removed += messages;
        inbox->messages -= messages < inbox->messages ? messages : inbox->messages;
        inbox->octets -= octets < inbox->octets ? octets : inbox->octets;
        sqlite_inbox_changed(s, inbox);
    }
    *out_removed = (uint32_t)removed;
    return STATUS_OK;
}

/* Takes the first mailbox of the account away with all that is in it; false when there is none left. */
static enum status remove_mailbox(struct sqlite *s, uint32_t account, bool *out_found)
{
    scoped_statement *select = NULL, *expunged = NULL, *mailbox = NULL;
    TRY(sqlite_query(s, "SELECT id FROM mailbox WHERE account = ?1 LIMIT 1", &select));
    sqlite_bind(select, 1, account);
    TRY(sqlite_step(s, select, out_found));
    if (!*out_found)
        return STATUS_OK;
    struct span all = { sqlite_number(select, 0), 0, UINT32_MAX };
    TRY(sqlite_run(s, select));
    TRY(remove_span(s, &all));
    TRY(sqlite_query(s, "DELETE FROM expunged WHERE mailbox = ?1", &expunged));
    sqlite_bind(expunged, 1, all.mailbox);
    TRY(sqlite_run(s, expunged));
    TRY(sqlite_query(s, "DELETE FROM mailbox WHERE id = ?1", &mailbox));
    sqlite_bind(mailbox, 1, all.mailbox);
    return sqlite_run(s, mailbox);
}

enum status sqlite_mailboxes_empty(struct sqlite *s, uint32_t account)
{
    bool found = true;
    sqlite_inbox_forget(s, account);
    while (found)
        TRY(remove_mailbox(s, account, &found));
    return STATUS_OK;
}

static enum status sweep_one(struct sqlite *s, uint64_t id, struct slice file)
{
    scoped_statement *blob = NULL, *orphan = NULL;
    if (file.len > 0) {
        if (s->doomed.max - s->doomed.len <= file.len)
            return STATUS_TOO_BIG;
        TRY(buf_put(&s->doomed, file));
        TRY(buf_put_byte(&s->doomed, '\0'));
    }
    TRY(sqlite_query(s, "DELETE FROM blob WHERE id = ?1", &blob));
    sqlite_bind(blob, 1, id);
    TRY(sqlite_run(s, blob));
    TRY(sqlite_query(s, "DELETE FROM orphan WHERE blob = ?1", &orphan));
    sqlite_bind(orphan, 1, id);
    return sqlite_run(s, orphan);
}

enum status sqlite_sweep(struct store *store, wall before, uint32_t most, uint32_t *out_swept)
{
    struct sqlite *s = sqlite_of(store);
    uint32_t swept = 0;
    uint64_t id = 0;
    TRY(sqlite_writing(s));
    if (s->snapshot) /* which still has to link its files */
        most = 0;
    while (swept < most) {
        scoped_statement *select = NULL;
        bool row;
        TRY(sqlite_query(s,
            "SELECT orphan.blob, blob.file FROM orphan LEFT JOIN blob ON blob.id = orphan.blob WHERE since < ?1"
            " AND orphan.blob > ?2 ORDER BY orphan.blob LIMIT 1",
            &select));
        sqlite_bind(select, 1, before);
        sqlite_bind(select, 2, id);
        TRY(sqlite_step(s, select, &row));
        if (!row)
            break;
        id = sqlite_number(select, 0);
        enum status status = sweep_one(s, id, sqlite_text(select, 1));
        if (status == STATUS_TOO_BIG && swept > 0)
            break; /* enough names remembered: the rest has time until the next sweep */
        TRY(status);
        swept++;
    }
    *out_swept = swept;
    return STATUS_OK;
}

/* Only after the commit: the other way round, a crash would leave rows without their files. */
void sqlite_doomed_unlink(struct sqlite *s)
{
    struct slice rest = buf_slice(&s->doomed), name;
    while (slice_cut(&rest, '\0', &name)) {
        enum status ignored = body_file_remove(&s->bodies, name); /* what is left behind, the next start finds */
        (void)ignored;
    }
    buf_clear(&s->doomed);
}

static enum status sweep_file(void *context, const char *name)
{
    struct sqlite *s = context;
    scoped_statement *select = NULL;
    if (!body_is_name(slice_of(name)))
        return STATUS_OK; /* not ours to remove */
    TRY(sqlite_query(s, "SELECT 1 FROM blob WHERE file = ?1", &select));
    sqlite_bind_text(select, 1, slice_of(name));
    bool row;
    TRY(sqlite_step(s, select, &row));
    return !row && body_file_remove(&s->bodies, slice_of(name)) == STATUS_IO ? STATUS_IO : STATUS_OK;
}

enum status sqlite_sweep_files(struct sqlite *s)
{
    for (unsigned folder = 0; folder < BODY_FOLDERS; folder++)
        TRY(body_file_each(&s->bodies, folder, sweep_file, s));
    return STATUS_OK;
}

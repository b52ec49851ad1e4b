/* repair.c - puts right what check.c finds, where that needs no more than what is there.
 *
 * Nothing here touches a body that something refers to.  A message whose body is gone leaves its mailbox as if it had been
 * removed: its UID stays used, and the mailbox's modseq grows. */
#include "base/must.h"
#include "base/random.h"
#include "store/sqlite/sqlite.h"

#define USED "(SELECT blob FROM message UNION ALL SELECT blob FROM queue_message)"
#define NO_BLOB(table) "NOT EXISTS (SELECT 1 FROM blob WHERE blob.id = " table ".blob)"
#define BEST(column, from)                                                                                             \
    "coalesce((SELECT max(" column ") FROM " from " WHERE " from ".mailbox = mailbox.id), 0)"

/* In this order: what is removed may leave counts behind it wrong.  ?1 is the time. */
static const struct {
    enum found found;
    const char *sql;
} steps[] = {
    { FOUND_LOST_DEVICE, "DELETE FROM credential WHERE account NOT IN (SELECT id FROM account)" },
    { FOUND_LOST_PLACE, "DELETE FROM place WHERE account NOT IN (SELECT id FROM account)" },
    { FOUND_QUEUED_LOST, "DELETE FROM queue_recipient WHERE message NOT IN (SELECT id FROM queue_message)" },
    { FOUND_QUEUED_NO_BODY, "DELETE FROM queue_message WHERE " NO_BLOB("queue_message") },
    { FOUND_QUEUED_EMPTY, "DELETE FROM queue_message WHERE id NOT IN (SELECT message FROM queue_recipient)" },
    { FOUND_QUEUED_DUE,
        "UPDATE queue_message SET due = (SELECT max(min(next_at), queue_message.claim_term) FROM queue_recipient"
        " WHERE message = queue_message.id AND state = 0) WHERE due IS NULL"
        " AND EXISTS (SELECT 1 FROM queue_recipient WHERE message = queue_message.id AND state = 0)" },
    { 0, "INSERT OR IGNORE INTO expunged (mailbox, uid, modseq, blob) SELECT mailbox, uid, highestmodseq + 1, blob"
         " FROM message JOIN mailbox ON mailbox.id = message.mailbox WHERE " NO_BLOB("message") },
    { FOUND_NO_BODY, "DELETE FROM message WHERE " NO_BLOB("message") },
    { FOUND_SIZE, "UPDATE message SET size = blob.size, pop3_size = max(pop3_size, blob.size) FROM blob"
                  " WHERE blob.id = message.blob AND (message.size <> blob.size OR pop3_size < blob.size)" },
    { FOUND_COUNT, "UPDATE mailbox SET messages = tally.count FROM (SELECT mailbox.id AS id, count(uid) AS count FROM mailbox"
                   " LEFT JOIN message ON message.mailbox = mailbox.id GROUP BY mailbox.id) AS tally"
                   " WHERE tally.id = mailbox.id AND messages <> tally.count" },
    { FOUND_OCTETS, "UPDATE mailbox SET octets = tally.sum FROM (SELECT mailbox.id AS id, coalesce(sum(size), 0) AS sum"
                    " FROM mailbox LEFT JOIN message ON message.mailbox = mailbox.id GROUP BY mailbox.id) AS tally"
                    " WHERE tally.id = mailbox.id AND octets <> tally.sum" },
    { FOUND_UIDNEXT, "UPDATE mailbox SET uidnext = 1 + max(" BEST("uid", "message") ", " BEST("uid", "expunged") ")"
                     " WHERE uidnext <= max(" BEST("uid", "message") ", " BEST("uid", "expunged") ")" },
    { FOUND_MODSEQ,
        "UPDATE mailbox SET highestmodseq = max(" BEST("modseq", "message") ", " BEST("modseq", "expunged") ")"
        " WHERE highestmodseq < max(" BEST("modseq", "message") ", " BEST("modseq", "expunged") ")" },
    { FOUND_COUNTER, "INSERT INTO meta (key, value) SELECT 'uidvalidity', max(uidvalidity) FROM mailbox WHERE true"
                     " GROUP BY 1 HAVING max(uidvalidity) > coalesce((SELECT value FROM meta WHERE key = 'uidvalidity'), 0)"
                     " ON CONFLICT (key) DO UPDATE SET value = excluded.value" },
    { FOUND_COUNTER,
        "INSERT INTO meta (key, value) SELECT 'next_id', best FROM (SELECT 1 + max(coalesce((SELECT max(id) FROM blob), 0),"
        " coalesce((SELECT max(id) FROM queue_message), 0), coalesce((SELECT max(blob) FROM expunged), 0)) AS best)"
        " WHERE best > coalesce((SELECT value FROM meta WHERE key = 'next_id'), 0)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value" },
    { FOUND_NO_SUCH_BODY, "DELETE FROM share WHERE " NO_BLOB("share") },
    { FOUND_NO_SUCH_BODY, "DELETE FROM orphan WHERE " NO_BLOB("orphan") },
    { FOUND_DOOMED, "DELETE FROM orphan WHERE blob IN " USED },
    { FOUND_UNUSED, "INSERT OR IGNORE INTO orphan (blob, since) SELECT id, ?1 FROM blob WHERE id NOT IN " USED },
    { FOUND_REFERENCES, "INSERT INTO share (blob, refs) SELECT used.blob, times FROM (SELECT blob, count(*) AS times FROM " USED
                        " GROUP BY blob) AS used LEFT JOIN share ON share.blob = used.blob"
                        " WHERE times > 1 AND times <> coalesce(share.refs, 1)"
                        " ON CONFLICT (blob) DO UPDATE SET refs = excluded.refs" },
    { FOUND_REFERENCES, "DELETE FROM share WHERE blob IN (SELECT share.blob FROM share LEFT JOIN (SELECT blob, count(*) AS times"
                        " FROM " USED " GROUP BY blob) AS used ON used.blob = share.blob"
                        " WHERE coalesce(times, 0) < 2 AND share.refs <> coalesce(times, 0))" },
};
#define STEPS (sizeof steps / sizeof steps[0])

static enum status run_step(struct sqlite *s, const char *sql, wall now, uint32_t *out_count)
{
    scoped_statement *statement = NULL;
    TRY(sqlite_query(s, sql, &statement));
    if (sqlite3_bind_parameter_count(statement) > 0)
        sqlite_bind(statement, 1, now);
    TRY(sqlite_run(s, statement));
    *out_count = (uint32_t)sqlite3_changes(s->db);
    return STATUS_OK;
}

struct dooming {
    struct sqlite *s;
    uint32_t count;
};

/* They go once the transaction is through.  More than can be remembered: the next repair finds the rest. */
static enum status doom_file(void *context, const char *name)
{
    struct dooming *dooming = context;
    struct sqlite *s = dooming->s;
    struct slice text = slice_of(name);
    if (!body_is_name(text) || !sqlite_is_orphan_file(s, name) || s->doomed.max - s->doomed.len <= text.len)
        return STATUS_OK;
    TRY(buf_put(&s->doomed, text));
    dooming->count++;
    return buf_put_byte(&s->doomed, '\0');
}

enum status sqlite_repair(struct store *store, wall now, struct arena *arena, struct answer_repair *out)
{
    struct sqlite *s = sqlite_of(store);
    struct repair_row *rows = arena_take_rows(arena, STEPS + 1, sizeof *rows);
    struct dooming dooming = { .s = s };
    uint32_t filled = 0;
    if (!rows)
        return STATUS_TOO_BIG;
    TRY(sqlite_writing(s));
    TRY(sqlite_behind_memory(s));
    for (size_t at = 0; at < STEPS; at++) {
        uint32_t changed;
        TRY(run_step(s, steps[at].sql, now, &changed));
        if (changed > 0 && steps[at].found)
            rows[filled++] = (struct repair_row){ .found = (uint8_t)steps[at].found, .count = changed };
    }
    for (unsigned folder = 0; folder < BODY_FOLDERS; folder++)
        TRY(body_file_each(&s->bodies, folder, doom_file, &dooming));
    if (dooming.count > 0)
        rows[filled++] = (struct repair_row){ .found = FOUND_ORPHAN_FILE, .count = dooming.count };
    *out = (struct answer_repair){ .rows = { rows, filled } };
    return STATUS_OK;
}

/* ---- after a restore --------------------------------------------------------------------------------------------- */

#define UIDVALIDITY_LEAP  (1u << 20) /* more mailboxes than are made between a backup and its restoring */
#define UIDVALIDITY_NOISE (1u << 22) /* so that two restores of one backup do not meet */
#define ID_LEAP           (UINT64_C(1) << 32)

static enum status new_uidvalidities(struct sqlite *s, wall now)
{
    scoped_statement *select = NULL, *update = NULL, *meta = NULL;
    bool row;
    TRY(sqlite_query(s,
        "SELECT max(coalesce((SELECT value FROM meta WHERE key = 'uidvalidity'), 0),"
        " coalesce((SELECT max(uidvalidity) FROM mailbox), 0)), (SELECT count(*) FROM mailbox)",
        &select));
    TRY(sqlite_step(s, select, &row));
    uint64_t base = sqlite_number(select, 0), count = sqlite_number(select, 1);
    TRY(sqlite_run(s, select));
    base = (base > now / 1000 ? base : now / 1000) + UIDVALIDITY_LEAP + random_u64() % UIDVALIDITY_NOISE;
    if (base + count >= UINT32_MAX)
        return STATUS_TOO_BIG;
    TRY(sqlite_query(s,
        "UPDATE mailbox SET uidvalidity = ?1 + number FROM (SELECT id, row_number() OVER (ORDER BY id) AS number"
        " FROM mailbox) AS numbered WHERE numbered.id = mailbox.id",
        &update));
    sqlite_bind(update, 1, base);
    TRY(sqlite_run(s, update));
    TRY(sqlite_query(s, "UPDATE meta SET value = ?1 WHERE key = 'uidvalidity'", &meta));
    sqlite_bind(meta, 1, base + count);
    return sqlite_run(s, meta);
}

enum status sqlite_renew(struct store *store, wall now, uint32_t *out_held)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *ids = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_behind_memory(s));
    TRY(new_uidvalidities(s, now));
    TRY(sqlite_query(s, "UPDATE meta SET value = value + ?1 WHERE key = 'next_id'", &ids));
    sqlite_bind(ids, 1, ID_LEAP);
    TRY(sqlite_run(s, ids));
    TRY(sqlite_run_sql(s, "UPDATE queue_recipient SET state = 1 WHERE state = 0"));
    TRY(sqlite_run_sql(s, "UPDATE queue_message SET due = NULL, claim_owner = 0, claim_term = 0"));
    *out_held = (uint32_t)sqlite3_changes(s->db);
    return STATUS_OK;
}

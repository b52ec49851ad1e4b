#include "store/sqlite/schema.h"

#include <stdlib.h>

#include "base/must.h"

#define APPLICATION "1701538162" /* "ekir": says in the file's header whose it is */

/* Version 1.
 *
 * A body's row never changes: with its octets beside it, each change would write them anew.  So the count of references
 * stands in `share`, and only for bodies with more than one; a body that nothing refers to any more gets a row in
 * `orphan`, and sweep() removes both later.
 *
 * Ids of bodies and queued messages come from meta.next_id and never return: `expunged` remembers a body's id for a
 * session that is in the middle of reading it, and a courier may settle a message that has long left the queue.
 * meta.uidvalidity grows over the whole store, so that an account removed and made anew never shows old UIDs under an
 * old UIDVALIDITY (RFC 9051 2.3.1.1). */
static const char version_1[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    /* It starts at the time, so that a store made anew for the same people differs from the one before. */
    "INSERT INTO meta VALUES ('uidvalidity', CAST(strftime('%s', 'now') AS INTEGER)), ('next_id', 1);"

    "CREATE TABLE domain (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE account (id INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL UNIQUE, login TEXT UNIQUE,"
    " domain TEXT NOT NULL, password TEXT NOT NULL, created INTEGER NOT NULL, last_login INTEGER NOT NULL,"
    " enabled INTEGER NOT NULL, pop_before_smtp INTEGER NOT NULL) STRICT;"
    "CREATE TABLE credential (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE, name TEXT NOT NULL, sealed BLOB NOT NULL,"
    " networks TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL, last_used INTEGER NOT NULL,"
    " mechanisms INTEGER NOT NULL, rights INTEGER NOT NULL, UNIQUE (account, name)) STRICT;"
    "CREATE TABLE alias (address TEXT, target TEXT, PRIMARY KEY (address, target)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX alias_target ON alias (target);"

    "CREATE TABLE mailbox (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE, name TEXT NOT NULL,"
    " uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL, highestmodseq INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, octets INTEGER NOT NULL,"
    " special_use TEXT NOT NULL, subscribed INTEGER NOT NULL, UNIQUE (account, name)) STRICT;"
    "CREATE TABLE message (mailbox INTEGER, uid INTEGER, modseq INTEGER NOT NULL, flags INTEGER NOT NULL,"
    " keywords TEXT NOT NULL, internaldate INTEGER NOT NULL, size INTEGER NOT NULL, pop3_size INTEGER NOT NULL,"
    " blob INTEGER NOT NULL, PRIMARY KEY (mailbox, uid)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE expunged (mailbox INTEGER, uid INTEGER, modseq INTEGER NOT NULL, blob INTEGER NOT NULL,"
    " PRIMARY KEY (mailbox, uid)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE blob (id INTEGER PRIMARY KEY, size INTEGER NOT NULL, stored INTEGER NOT NULL, digest BLOB NOT NULL,"
    " file TEXT, data BLOB) STRICT;"
    "CREATE UNIQUE INDEX blob_file ON blob (file) WHERE file IS NOT NULL;"
    "CREATE TABLE share (blob INTEGER PRIMARY KEY, refs INTEGER NOT NULL) STRICT;"
    "CREATE TABLE orphan (blob INTEGER PRIMARY KEY, since INTEGER NOT NULL) STRICT;"

    /* due: when the next recipient waits for an attempt, or when the claim ends; null: all are held. */
    "CREATE TABLE queue_message (id INTEGER PRIMARY KEY, blob INTEGER NOT NULL, sender TEXT NOT NULL,"
    " envid TEXT NOT NULL, session TEXT NOT NULL, size INTEGER NOT NULL, skip INTEGER NOT NULL,"
    " body_type INTEGER NOT NULL, utf8 INTEGER NOT NULL, ret INTEGER NOT NULL, arrived INTEGER NOT NULL, due INTEGER,"
    " claim_owner INTEGER NOT NULL, claim_term INTEGER NOT NULL) STRICT;"
    "CREATE INDEX queue_due ON queue_message (due) WHERE due IS NOT NULL;"
    "CREATE TABLE queue_recipient (message INTEGER REFERENCES queue_message (id) ON DELETE CASCADE, number INTEGER,"
    " address TEXT NOT NULL, domain TEXT NOT NULL, orcpt TEXT NOT NULL, notify INTEGER NOT NULL,"
    " delivered INTEGER NOT NULL,"
    " state INTEGER NOT NULL, attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, last_reply TEXT NOT NULL,"
    " PRIMARY KEY (message, number)) STRICT, WITHOUT ROWID;"
    "PRAGMA application_id = " APPLICATION ";";

/* Version 2: SCRAM verifiers, keys that log in, the places from which accounts were used, and in which order domains
 * were added: the first is the default domain.  Of a version-1 store only the accounts tell which was first. */
static const char version_2[] =
    "ALTER TABLE account ADD COLUMN scram BLOB NOT NULL DEFAULT x'';"
    "ALTER TABLE credential ADD COLUMN scram BLOB NOT NULL DEFAULT x'';"
    "ALTER TABLE credential ADD COLUMN key BLOB NOT NULL DEFAULT x'';"
    "CREATE UNIQUE INDEX credential_key ON credential (key) WHERE key <> x'';"
    "CREATE TABLE place (account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE, address BLOB,"
    " first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (account, address)) STRICT, WITHOUT ROWID;"
    "ALTER TABLE domain ADD COLUMN added INTEGER NOT NULL DEFAULT 0;"
    "UPDATE domain SET added = coalesce((SELECT min(id) FROM account WHERE account.domain = domain.name),"
    " (SELECT coalesce(max(id), 0) + 1 FROM account));";

static const struct schema_step steps[] = {
    { 0, version_1 },
    { 1, version_2 },
};
const struct schema_steps schema_steps = { steps, sizeof steps / sizeof *steps };

static enum status pragma(sqlite3 *db, const char *sql, int64_t *out_value)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    int64_t value = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? STATUS_CORRUPT : STATUS_IO;
    *out_value = value;
    return STATUS_OK;
}

/* One line; a full `why` only loses words. */
#define SAY(why, ...)                                                                                                  \
    do {                                                                                                               \
        if (buf_print((why), __VA_ARGS__) != STATUS_OK)                                                                \
            buf_clear(why);                                                                                            \
    } while (0)

static enum status version_of(sqlite3 *db, const struct schema_steps *known, struct buf *why, int *out_version)
{
    int64_t version = 0, application = 0, tables = 0;
    TRY(pragma(db, "PRAGMA user_version", &version));
    TRY(pragma(db, "PRAGMA application_id", &application));
    TRY(pragma(db, "SELECT count(*) FROM sqlite_schema", &tables));
    if (tables > 0 && application != strtoll(APPLICATION, NULL, 10)) {
        SAY(why, "the database in this folder was not made by ekirei");
        return STATUS_DENIED;
    }
    if (version > known->count) {
        SAY(why, "the store has schema version %lld, but this program knows versions up to %d: use a newer ekirei",
            (long long)version, known->count);
        return STATUS_DENIED;
    }
    if (version < 0 || (version == 0) != (tables == 0))
        return STATUS_CORRUPT;
    *out_version = (int)version;
    return STATUS_OK;
}

static enum status run(sqlite3 *db, const char *sql, struct buf *why)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        return STATUS_OK;
    SAY(why, "%s", sqlite3_errmsg(db));
    switch (code) {
    case SQLITE_FULL:
        return STATUS_FULL;
    case SQLITE_BUSY:
        return STATUS_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return STATUS_CORRUPT;
    default:
        return STATUS_IO;
    }
}

static enum status run_steps(sqlite3 *db, const struct schema_steps *known, int version, struct buf *why)
{
    for (; version < known->count; version++) {
        must(known->rows[version].from == version);
        TRY(run(db, known->rows[version].sql, why));
    }
    char sql[64];
    sqlite3_snprintf(sizeof sql, sql, "PRAGMA user_version = %d", version);
    TRY(run(db, sql, why));
    return run(db, "COMMIT", why);
}

enum status schema_is_made(sqlite3 *db, const struct schema_steps *known, struct buf *why)
{
    int version;
    TRY(version_of(db, known, why, &version));
    if (version > 0)
        return STATUS_OK;
    SAY(why, "the database is empty: it was cut, or put there by hand; nothing was changed; restore the last backup");
    return STATUS_CORRUPT;
}

enum status schema_migrate(sqlite3 *db, const struct schema_steps *known, struct buf *why)
{
    int version;
    TRY(version_of(db, known, why, &version));
    if (version == known->count)
        return STATUS_OK;
    TRY(run(db, "BEGIN IMMEDIATE", why));
    enum status status = run_steps(db, known, version, why);
    if (status != STATUS_OK)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

enum status schema_check(sqlite3 *db, const struct schema_steps *known, struct buf *why)
{
    int version;
    TRY(version_of(db, known, why, &version));
    if (version == known->count)
        return STATUS_OK;
    SAY(why, "the store has schema version %d; start the server once to bring it to version %d", version, known->count);
    return STATUS_DENIED;
}

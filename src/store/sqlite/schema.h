/* schema.h - the tables, and how an older store becomes today's: rows, one a step. */
#pragma once

#include <sqlite3.h>

#include "base/buf.h"

/* A store at version `from` becomes `from + 1` by `sql`; version 0 is an empty file. */
struct schema_step {
    int from;
    const char *sql;
};
struct schema_steps {
    const struct schema_step *rows; /* row n goes from version n to n + 1 */
    int count;                      /* = today's version */
};
extern const struct schema_steps schema_steps;

/* Of any version; CORRUPT where there is nothing in it. */
MUST_USE enum status schema_is_made(sqlite3 *db, const struct schema_steps *steps, struct buf *why);
/* Brings the database to the last version in one transaction.  DENIED where the store is newer or not ours, with words
 * in `why`. */
MUST_USE enum status schema_migrate(sqlite3 *db, const struct schema_steps *steps, struct buf *why);
/* The same question without changing anything, for readers: DENIED unless it is exactly today's version. */
MUST_USE enum status schema_check(sqlite3 *db, const struct schema_steps *steps, struct buf *why);

#include "store/store.h"

#include <stdio.h>

#include "store/sqlite/sqlite.h"

#define SQLITE_RESET_FIXED 3051003 /* 3.51.3 */

enum status store_open(const struct store_plan *plan, struct store **out_store, struct buf *why)
{
    return sqlite_open(plan, out_store, why);
}

void store_close(struct store *store)
{
    if (store)
        store->verbs->close(store);
}

const char *store_engine(void)
{
    static _Thread_local char line[160];
    bool fixed = sqlite3_libversion_number() >= SQLITE_RESET_FIXED;
    snprintf(line, sizeof line, "SQLite %s%s", sqlite3_libversion(),
        fixed ? "" : " (before 3.51.3: keep other programs away from the database while the server runs)");
    return line;
}

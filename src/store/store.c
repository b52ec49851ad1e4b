#include "store/store.h"

#include "store/sqlite/sqlite.h"

enum status store_open(const struct store_plan *plan, struct store **out_store, struct buf *why)
{
    return sqlite_open(plan, out_store, why);
}

void store_close(struct store *store)
{
    if (store)
        store->verbs->close(store);
}

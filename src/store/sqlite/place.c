#include <string.h>

#include "store/sqlite/sqlite.h"

static enum status keep_latest(struct sqlite *s, uint32_t account, uint32_t most)
{
    scoped_statement *statement = NULL;
    TRY(sqlite_query(s,
        "DELETE FROM place WHERE account = ?1 AND address IN"
        " (SELECT address FROM place WHERE account = ?1 ORDER BY last DESC, address LIMIT -1 OFFSET ?2)",
        &statement));
    sqlite_bind(statement, 1, account);
    sqlite_bind(statement, 2, most);
    return sqlite_run(s, statement);
}

enum status sqlite_place_seen(struct store *store, const struct store_place *place, uint32_t most)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *statement = NULL;
    TRY(sqlite_writing(s));
    /* An account that was removed meanwhile has no places. */
    TRY(sqlite_query(s,
        "INSERT INTO place (account, address, first, last) SELECT id, ?2, ?3, ?4 FROM account WHERE id = ?1"
        " ON CONFLICT (account, address) DO UPDATE SET last = max(last, excluded.last)",
        &statement));
    sqlite_bind(statement, 1, place->account);
    sqlite_bind_octets(statement, 2, (struct slice){ (const char *)place->address.octets, 16 });
    sqlite_bind(statement, 3, place->first);
    sqlite_bind(statement, 4, place->last);
    TRY(sqlite_run(s, statement));
    return keep_latest(s, place->account, most);
}

enum status sqlite_place_forget(struct store *store, wall before)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *statement = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "DELETE FROM place WHERE last < ?1", &statement));
    sqlite_bind(statement, 1, before);
    return sqlite_run(s, statement);
}

enum status sqlite_each_place(
    struct store *store, enum status (*each)(void *, const struct store_place *), void *context)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *select = NULL;
    TRY(sqlite_query(s, "SELECT account, address, first, last FROM place ORDER BY account, address", &select));
    for (;;) {
        bool row;
        TRY(sqlite_step(s, select, &row));
        if (!row)
            return STATUS_OK;
        struct store_place place = { .account = sqlite_number32(select, 0),
            .first = sqlite_number(select, 2),
            .last = sqlite_number(select, 3) };
        struct slice address = sqlite_text(select, 1);
        if (address.len != sizeof place.address.octets)
            return STATUS_CORRUPT;
        memcpy(place.address.octets, address.ptr, address.len);
        TRY(each(context, &place));
    }
}

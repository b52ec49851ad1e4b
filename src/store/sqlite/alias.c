#include "base/must.h"
#include "store/sqlite/sqlite.h"

enum status sqlite_alias_add(struct store *store, const struct store_alias *alias)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *insert = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "INSERT INTO alias (address, target) VALUES (?1, ?2)", &insert));
    sqlite_bind_text(insert, 1, alias->address);
    sqlite_bind_text(insert, 2, alias->target);
    return sqlite_insert_new(s, insert);
}

enum status sqlite_alias_remove(struct store *store, struct slice address, struct slice target, uint32_t *out_count)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *statement = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "DELETE FROM alias WHERE address = ?1 AND (?2 = '' OR target = ?2)", &statement));
    sqlite_bind_text(statement, 1, address);
    sqlite_bind_text(statement, 2, target);
    TRY(sqlite_run(s, statement));
    int count = sqlite3_changes(s->db);
    if (count == 0)
        return STATUS_NOT_FOUND;
    *out_count = (uint32_t)count;
    return STATUS_OK;
}

enum status sqlite_domain_add(struct store *store, struct slice name)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *insert = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s,
        "INSERT INTO domain (name, added) VALUES (?1, (SELECT coalesce(max(added), 0) + 1 FROM domain))", &insert));
    sqlite_bind_text(insert, 1, name);
    return sqlite_insert_new(s, insert);
}

enum status sqlite_domain_remove(struct store *store, struct slice name)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *used = NULL, *statement = NULL;
    bool row;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "SELECT 1 FROM account WHERE domain = ?1 LIMIT 1", &used));
    sqlite_bind_text(used, 1, name);
    TRY(sqlite_step(s, used, &row));
    if (row)
        return STATUS_DENIED;
    TRY(sqlite_query(s, "DELETE FROM domain WHERE name = ?1", &statement));
    sqlite_bind_text(statement, 1, name);
    TRY(sqlite_run(s, statement));
    return sqlite3_changes(s->db) > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status sqlite_each_alias(
    struct store *store, enum status (*each)(void *, const struct store_alias *), void *context)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *select = NULL;
    TRY(sqlite_query(s, "SELECT address, target FROM alias ORDER BY address, target", &select));
    for (;;) {
        bool row;
        TRY(sqlite_step(s, select, &row));
        if (!row)
            return STATUS_OK;
        TRY(each(context, &(struct store_alias){ sqlite_text(select, 0), sqlite_text(select, 1) }));
    }
}

enum status sqlite_each_domain(
    struct store *store, enum status (*each)(void *, const struct store_domain *), void *context)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *select = NULL;
    TRY(sqlite_query(s, "SELECT name FROM domain ORDER BY added, name", &select));
    for (;;) {
        bool row;
        TRY(sqlite_step(s, select, &row));
        if (!row)
            return STATUS_OK;
        TRY(each(context, &(struct store_domain){ sqlite_text(select, 0) }));
    }
}

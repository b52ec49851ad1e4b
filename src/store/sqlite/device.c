#include "base/must.h"
#include "store/sqlite/sqlite.h"

enum status sqlite_device_add(struct store *store, const struct store_device *device, uint32_t *out_id)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *insert = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s,
        "INSERT INTO credential (account, name, sealed, networks, created, expires, last_used, mechanisms, rights,"
        " scram, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        &insert));
    sqlite_bind(insert, 1, device->account);
    sqlite_bind_text(insert, 2, device->name);
    sqlite_bind_octets(insert, 3, device->sealed);
    sqlite_bind_text(insert, 4, device->from);
    sqlite_bind(insert, 5, device->created);
    sqlite_bind(insert, 6, device->expires);
    sqlite_bind(insert, 7, device->last_used);
    sqlite_bind(insert, 8, device->mechanisms);
    sqlite_bind(insert, 9, device->rights);
    sqlite_bind_octets(insert, 10, device->scram);
    sqlite_bind_octets(insert, 11, device->key);
    TRY(sqlite_insert_new(s, insert));
    int64_t id = sqlite3_last_insert_rowid(s->db);
    if (id <= 0 || id > UINT32_MAX)
        return s->broken = STATUS_TOO_BIG;
    *out_id = (uint32_t)id;
    return STATUS_OK;
}

enum status sqlite_device_remove(struct store *store, uint32_t id)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *statement = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "DELETE FROM credential WHERE id = ?1", &statement));
    sqlite_bind(statement, 1, id);
    TRY(sqlite_run(s, statement));
    return sqlite3_changes(s->db) > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status sqlite_device_seen(struct store *store, uint32_t id, wall when)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *statement = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "UPDATE credential SET last_used = ?2 WHERE id = ?1", &statement));
    sqlite_bind(statement, 1, id);
    sqlite_bind(statement, 2, when);
    TRY(sqlite_run(s, statement));
    return sqlite3_changes(s->db) > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status sqlite_each_device(
    struct store *store, uint32_t only_account, enum status (*each)(void *, const struct store_device *), void *context)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *select = NULL;
    TRY(sqlite_query(s,
        "SELECT id, account, name, sealed, networks, created, expires, last_used, mechanisms, rights, scram, key"
        " FROM credential"
        " WHERE account BETWEEN ?1 AND ?2 ORDER BY id",
        &select));
    sqlite_bind(select, 1, only_account);
    sqlite_bind(select, 2, only_account ? only_account : UINT32_MAX);
    for (;;) {
        bool row;
        TRY(sqlite_step(s, select, &row));
        if (!row)
            return STATUS_OK;
        struct store_device device = {
            .id = sqlite_number32(select, 0),
            .account = sqlite_number32(select, 1),
            .name = sqlite_text(select, 2),
            .sealed = sqlite_text(select, 3),
            .from = sqlite_text(select, 4),
            .created = sqlite_number(select, 5),
            .expires = sqlite_number(select, 6),
            .last_used = sqlite_number(select, 7),
            .mechanisms = sqlite_number32(select, 8),
            .rights = (uint8_t)sqlite_number(select, 9),
            .scram = sqlite_text(select, 10),
            .key = sqlite_text(select, 11),
        };
        TRY(each(context, &device));
    }
}

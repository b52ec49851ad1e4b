#include "base/must.h"
#include "store/sqlite/sqlite.h"

static enum status insert_account(struct sqlite *s, const struct store_account *account)
{
    scoped_statement *insert = NULL;
    TRY(sqlite_query(s,
        "INSERT INTO account (address, login, domain, password, created, last_login, enabled, pop_before_smtp,"
        " scram) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        &insert));
    sqlite_bind_text(insert, 1, account->address);
    if (account->login.len > 0) /* else null: any number of accounts may have none */
        sqlite_bind_text(insert, 2, account->login);
    sqlite_bind_text(insert, 3, slice_from(account->address, slice_find_last(account->address, '@') + 1));
    sqlite_bind_text(insert, 4, account->password);
    sqlite_bind(insert, 5, account->created);
    sqlite_bind(insert, 6, account->last_login);
    sqlite_bind(insert, 7, account->enabled);
    sqlite_bind(insert, 8, account->pop_before_smtp);
    sqlite_bind_octets(insert, 9, account->scram);
    return sqlite_insert_new(s, insert);
}

enum status sqlite_account_add(struct store *store, const struct store_account *account, uint32_t *out_id)
{
    struct sqlite *s = sqlite_of(store);
    TRY(sqlite_writing(s));
    TRY(insert_account(s, account));
    int64_t id = sqlite3_last_insert_rowid(s->db);
    if (id <= 0 || id > UINT32_MAX) {
        s->broken = STATUS_TOO_BIG;
        return STATUS_TOO_BIG;
    }
    enum status status = sqlite_mailboxes_add(s, (uint32_t)id);
    if (status != STATUS_OK) { /* half an account must not be committed */
        s->broken = status;
        return status;
    }
    *out_id = (uint32_t)id;
    return STATUS_OK;
}

/* An update or delete of the row ?1 = id that must be there. */
static enum status change(struct sqlite *s, sqlite3_stmt *statement, uint32_t id)
{
    sqlite_bind(statement, 1, id);
    TRY(sqlite_run(s, statement));
    return sqlite3_changes(s->db) > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status sqlite_account_password(struct store *store, uint32_t id, struct slice password, struct slice scram)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *update = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "UPDATE account SET password = ?2, scram = ?3 WHERE id = ?1", &update));
    sqlite_bind_text(update, 2, password);
    sqlite_bind_octets(update, 3, scram);
    return change(s, update, id);
}

static enum status set_device_scram(struct sqlite *s, uint32_t account, const struct store_device *device)
{
    scoped_statement *update = NULL;
    TRY(sqlite_query(s, "UPDATE credential SET scram = ?2 WHERE id = ?1 AND account = ?3", &update));
    sqlite_bind_octets(update, 2, device->scram);
    sqlite_bind(update, 3, account);
    sqlite_bind(update, 1, device->id);
    return sqlite_run(s, update); /* one that was revoked meanwhile needs none */
}

enum status sqlite_account_rehash(struct store *store, const struct store_rehash *rehash)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *update = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "UPDATE account SET password = ?2, scram = ?3 WHERE id = ?1 AND password = ?4", &update));
    sqlite_bind(update, 1, rehash->account);
    sqlite_bind_text(update, 2, rehash->password);
    sqlite_bind_octets(update, 3, rehash->scram);
    sqlite_bind_text(update, 4, rehash->expected);
    TRY(sqlite_run(s, update));
    if (sqlite3_changes(s->db) == 0)
        return STATUS_DENIED;
    for (size_t at = 0; at < rehash->device_count; at++)
        TRY(set_device_scram(s, rehash->account, &rehash->devices[at]));
    return STATUS_OK;
}

enum status sqlite_account_set(struct store *store, uint32_t id, bool enabled, bool pop_before_smtp)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *update = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "UPDATE account SET enabled = ?2, pop_before_smtp = ?3 WHERE id = ?1", &update));
    sqlite_bind(update, 2, enabled);
    sqlite_bind(update, 3, pop_before_smtp);
    return change(s, update, id);
}

enum status sqlite_account_seen(struct store *store, uint32_t id, wall when)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *update = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_query(s, "UPDATE account SET last_login = ?2 WHERE id = ?1", &update));
    sqlite_bind(update, 2, when);
    return change(s, update, id);
}

enum status sqlite_account_remove(struct store *store, uint32_t id)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *aliases = NULL, *account = NULL;
    TRY(sqlite_writing(s));
    TRY(sqlite_mailboxes_empty(s, id));
    TRY(sqlite_query(s, "DELETE FROM alias WHERE target = (SELECT address FROM account WHERE id = ?1)", &aliases));
    sqlite_bind(aliases, 1, id);
    TRY(sqlite_run(s, aliases));
    TRY(sqlite_query(s, "DELETE FROM account WHERE id = ?1", &account)); /* its devices go with it */
    return change(s, account, id);
}

enum status sqlite_each_account(
    struct store *store, uint32_t only_id, enum status (*each)(void *, const struct store_account *), void *context)
{
    struct sqlite *s = sqlite_of(store);
    scoped_statement *select = NULL;
    TRY(sqlite_query(s,
        "SELECT id, address, login, password, created, last_login, enabled, pop_before_smtp, scram FROM account"
        " WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
        &select));
    sqlite_bind(select, 1, only_id);
    sqlite_bind(select, 2, only_id ? only_id : UINT32_MAX);
    for (;;) {
        bool row;
        TRY(sqlite_step(s, select, &row));
        if (!row)
            return STATUS_OK;
        struct store_account account = {
            .id = sqlite_number32(select, 0),
            .address = sqlite_text(select, 1),
            .login = sqlite_text(select, 2),
            .password = sqlite_text(select, 3),
            .created = sqlite_number(select, 4),
            .last_login = sqlite_number(select, 5),
            .enabled = sqlite_number(select, 6) != 0,
            .pop_before_smtp = sqlite_number(select, 7) != 0,
            .scram = sqlite_text(select, 8),
        };
        TRY(each(context, &account));
    }
}

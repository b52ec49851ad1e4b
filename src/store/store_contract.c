/* store_contract.c - every store must pass this: accounts, devices, aliases, domains, transactions, the lock. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/contract.h"

/* ---- accounts ---------------------------------------------------------------------------------------------------- */

struct seen {
    unsigned count;
    struct store_account account;
    struct store_device device;
    char text[4][64];
};

static void keep(char text[64], struct slice slice)
{
    snprintf(text, 64, "%.*s", (int)slice.len, slice.ptr);
}

static enum status see_account(void *context, const struct store_account *account)
{
    struct seen *seen = context;
    seen->count++;
    seen->account = *account;
    keep(seen->text[0], account->address);
    keep(seen->text[1], account->login);
    keep(seen->text[2], account->password);
    return STATUS_OK;
}

static enum status see_device(void *context, const struct store_device *device)
{
    struct seen *seen = context;
    seen->count++;
    seen->device = *device;
    keep(seen->text[0], device->name);
    keep(seen->text[1], device->from);
    assert_true(slice_equal(device->sealed, S("a\0b")));
    return STATUS_OK;
}

static enum status see_alias(void *context, const struct store_alias *alias)
{
    struct seen *seen = context;
    seen->count++;
    keep(seen->text[0], alias->address);
    keep(seen->text[1], alias->target);
    return STATUS_OK;
}

static enum status see_domain(void *context, const struct store_domain *domain)
{
    struct seen *seen = context;
    keep(seen->text[seen->count++ % 4], domain->name);
    return STATUS_OK;
}

static enum status stop_account(void *context, const struct store_account *account)
{
    (void)account;
    ++*(unsigned *)context;
    return STATUS_DENIED;
}

static void test_account(void **state)
{
    struct contract *c = *state;
    struct store_account account = { .address = S("a@b.example"),
        .login = S("ann"),
        .password = S("$v"),
        .created = 7,
        .last_login = 8,
        .enabled = true,
        .pop_before_smtp = true };
    uint32_t id, other, none;
    contract_begin(c);
    assert_ok(c->v->account_add(c->store, &account, &id));
    assert_status(STATUS_EXISTS, c->v->account_add(c->store, &account, &none));
    account.address = S("c@b.example");
    assert_status(STATUS_EXISTS, c->v->account_add(c->store, &account, &none)); /* the login is taken */
    account.login = NO_SLICE;
    assert_ok(c->v->account_add(c->store, &account, &other));
    contract_account(c, "d@b.example"); /* the second one without a login */
    assert_ok(c->v->account_password(c->store, id, S("$new"), S("verifiers")));
    assert_ok(c->v->account_set(c->store, id, false, false));
    assert_ok(c->v->account_seen(c->store, id, 99));
    assert_status(STATUS_NOT_FOUND, c->v->account_password(c->store, 4711, S("x"), NO_SLICE));
    assert_status(STATUS_NOT_FOUND, c->v->account_set(c->store, 4711, true, true));
    assert_status(STATUS_NOT_FOUND, c->v->account_seen(c->store, 4711, 1));
    assert_status(STATUS_NOT_FOUND, c->v->account_remove(c->store, 4711));
    contract_commit(c);
    contract_reopen(c);

    struct seen seen = { 0 };
    assert_ok(c->v->each_account(c->store, id, see_account, &seen));
    assert_int_equal(1, seen.count);
    assert_string_equal("a@b.example", seen.text[0]);
    assert_string_equal("ann", seen.text[1]);
    assert_string_equal("$new", seen.text[2]);
    assert_int_equal(7, seen.account.created);
    assert_int_equal(99, seen.account.last_login);
    assert_false(seen.account.enabled || seen.account.pop_before_smtp);
    assert_ok(c->v->each_account(c->store, other, see_account, &seen));
    assert_string_equal("", seen.text[1]);
    assert_true(seen.account.enabled && seen.account.pop_before_smtp);
    seen.count = 0;
    assert_ok(c->v->each_account(c->store, 0, see_account, &seen));
    assert_int_equal(3, seen.count);
    unsigned calls = 0;
    assert_status(STATUS_DENIED, c->v->each_account(c->store, 0, stop_account, &calls));
    assert_int_equal(1, calls);
    /* the walk that was stopped is over, and nothing hangs */
    contract_begin(c);
    assert_ok(c->v->account_remove(c->store, other));
    contract_commit(c);
    struct store_counts counts;
    assert_ok(c->v->counts(c->store, &counts));
    assert_int_equal(2, counts.accounts);
}

static void test_device(void **state)
{
    struct contract *c = *state;
    contract_begin(c);
    uint32_t account = contract_account(c, "a@b.example"), id, none;
    struct store_device device = { .account = account,
        .name = S("scanner"),
        .sealed = S("a\0b"),
        .from = S("192.0.2.0/24"),
        .created = 1,
        .expires = 2,
        .last_used = 3,
        .mechanisms = 6,
        .rights = RIGHTS_ALL };
    assert_ok(c->v->device_add(c->store, &device, &id));
    assert_status(STATUS_EXISTS, c->v->device_add(c->store, &device, &none));
    device.account = 4711;
    assert_status(STATUS_NOT_FOUND, c->v->device_add(c->store, &device, &none));
    device.account = account;
    device.name = S("camera");
    assert_ok(c->v->device_add(c->store, &device, &none));
    assert_ok(c->v->device_seen(c->store, id, 50));
    assert_status(STATUS_NOT_FOUND, c->v->device_seen(c->store, 4711, 50));
    assert_ok(c->v->device_remove(c->store, none));
    assert_status(STATUS_NOT_FOUND, c->v->device_remove(c->store, none));
    contract_commit(c);
    contract_reopen(c);

    struct seen seen = { 0 };
    assert_ok(c->v->each_device(c->store, account, see_device, &seen));
    assert_int_equal(1, seen.count);
    assert_int_equal(id, seen.device.id);
    assert_string_equal("scanner", seen.text[0]);
    assert_string_equal("192.0.2.0/24", seen.text[1]);
    assert_int_equal(2, seen.device.expires);
    assert_int_equal(50, seen.device.last_used);
    assert_int_equal(6, seen.device.mechanisms);
    assert_int_equal(RIGHTS_ALL, seen.device.rights);
    contract_begin(c);
    assert_ok(c->v->account_remove(c->store, account));
    contract_commit(c);
    seen.count = 0;
    assert_ok(c->v->each_device(c->store, 0, see_device, &seen));
    assert_int_equal(0, seen.count);
}

static void add_alias(struct contract *c, const char *address, const char *target, enum status expected)
{
    assert_status(expected, c->v->alias_add(c->store, &(struct store_alias){ slice_of(address), slice_of(target) }));
}

/* ---- what proves who one is -------------------------------------------------------------------------------------- */

struct proofs {
    unsigned accounts, devices;
    char password[64], scram[64], device_scram[2][64], key[2][64];
};

static enum status see_proof(void *context, const struct store_account *account)
{
    struct proofs *proofs = context;
    proofs->accounts++;
    keep(proofs->password, account->password);
    keep(proofs->scram, account->scram);
    return STATUS_OK;
}

static enum status see_device_proof(void *context, const struct store_device *device)
{
    struct proofs *proofs = context;
    assert_true(proofs->devices < 2);
    keep(proofs->device_scram[proofs->devices], device->scram);
    keep(proofs->key[proofs->devices++], device->key);
    return STATUS_OK;
}

static struct proofs proofs_of(struct contract *c, uint32_t account)
{
    struct proofs proofs = { 0 };
    assert_ok(c->v->each_account(c->store, account, see_proof, &proofs));
    assert_ok(c->v->each_device(c->store, account, see_device_proof, &proofs));
    return proofs;
}

/* New hashes for a password that did not change, and none where it did (C087). */
static void test_C087_rehash_is_compare_and_set(void **state)
{
    struct contract *c = *state;
    struct store_account row = { .address = S("a@b.example"), .password = S("$1$old"), .scram = S("none"), .enabled = true };
    uint32_t account, other, ids[2], strange;
    contract_begin(c);
    assert_ok(c->v->account_add(c->store, &row, &account));
    other = contract_account(c, "c@b.example");
    for (unsigned i = 0; i < 2; i++)
        assert_ok(c->v->device_add(c->store,
            &(struct store_device){ .account = account, .name = i ? S("phone") : S("scanner"), .sealed = S("x"), .scram = S("old") },
            &ids[i]));
    assert_ok(c->v->device_add(
        c->store, &(struct store_device){ .account = other, .name = S("phone"), .sealed = S("x"), .scram = S("theirs") }, &strange));
    struct store_device devices[] = { { .id = ids[0], .scram = S("new 0") }, { .id = ids[1], .scram = S("new 1") },
        { .id = strange, .scram = S("stolen") }, { .id = 4711, .scram = S("gone") } };
    struct store_rehash rehash = { .account = account,
        .expected = S("$1$old"),
        .password = S("$argon2id$new"),
        .scram = S("verifiers"),
        .devices = devices,
        .device_count = 4 };
    assert_ok(c->v->account_rehash(c->store, &rehash));
    /* The same again: the password's hash is another one by now. */
    rehash.password = S("$argon2id$late");
    rehash.scram = S("late");
    devices[0].scram = S("late");
    assert_status(STATUS_DENIED, c->v->account_rehash(c->store, &rehash));
    rehash.account = 4711;
    assert_status(STATUS_DENIED, c->v->account_rehash(c->store, &rehash));
    contract_commit(c);
    contract_reopen(c);
    struct proofs proofs = proofs_of(c, account);
    assert_string_equal("$argon2id$new", proofs.password);
    assert_string_equal("verifiers", proofs.scram);
    assert_string_equal("new 0", proofs.device_scram[0]);
    assert_string_equal("new 1", proofs.device_scram[1]);
    assert_string_equal("theirs", proofs_of(c, other).device_scram[0]);
    /* A new password brings its own verifiers, or none. */
    contract_begin(c);
    assert_ok(c->v->account_password(c->store, account, S("$argon2id$second"), NO_SLICE));
    contract_commit(c);
    assert_string_equal("", proofs_of(c, account).scram);
}

static void test_keys_are_somebodys(void **state)
{
    struct contract *c = *state;
    uint32_t account, other, id, none;
    contract_begin(c);
    account = contract_account(c, "a@b.example");
    other = contract_account(c, "c@b.example");
    struct store_device device = { .account = account, .name = S("laptop"), .key = S("digest") };
    assert_ok(c->v->device_add(c->store, &device, &id));
    device.account = other;
    assert_status(STATUS_EXISTS, c->v->device_add(c->store, &device, &none)); /* whose would it be? */
    device.account = account;
    device.name = S("second");
    assert_status(STATUS_EXISTS, c->v->device_add(c->store, &device, &none));
    device.key = NO_SLICE; /* any number have none */
    assert_ok(c->v->device_add(c->store, &device, &none));
    device.name = S("third");
    assert_ok(c->v->device_add(c->store, &device, &none));
    assert_ok(c->v->device_remove(c->store, none));
    assert_string_equal("digest", proofs_of(c, account).key[0]);
    assert_string_equal("", proofs_of(c, account).key[1]);
    /* A key that was revoked may be given to another. */
    assert_ok(c->v->device_remove(c->store, id));
    device = (struct store_device){ .account = other, .name = S("laptop"), .key = S("digest") };
    assert_ok(c->v->device_add(c->store, &device, &none));
    contract_commit(c);
}

struct places {
    unsigned count;
    struct store_place rows[8];
};

static enum status see_place(void *context, const struct store_place *place)
{
    struct places *places = context;
    assert_true(places->count < 8);
    places->rows[places->count++] = *place;
    return STATUS_OK;
}

static void note_place(struct contract *c, uint32_t account, const char *network, wall first, wall last, uint32_t most)
{
    struct store_place place = { .account = account, .first = first, .last = last };
    assert_ok(ip_parse(slice_of(network), &place.address));
    assert_ok(c->v->place_seen(c->store, &place, most));
}

static struct places places_of(struct contract *c)
{
    struct places places = { 0 };
    assert_ok(c->v->each_place(c->store, see_place, &places));
    return places;
}

static void test_places(void **state)
{
    struct contract *c = *state;
    struct ip v6;
    assert_ok(ip_parse(S("2001:db8::"), &v6));
    contract_begin(c);
    uint32_t account = contract_account(c, "a@b.example"), other = contract_account(c, "c@b.example");
    note_place(c, account, "192.0.2.0", 10, 20, 3);
    note_place(c, account, "2001:db8::", 11, 11, 3);
    note_place(c, other, "192.0.2.0", 5, 6, 3);
    note_place(c, account, "192.0.2.0", 30, 40, 3); /* the first time stays */
    note_place(c, account, "192.0.2.0", 30, 25, 3); /* and the last never goes back */
    note_place(c, 4711, "192.0.2.0", 1, 1, 3);      /* an account that is gone has none */
    contract_commit(c);
    contract_reopen(c);
    struct places places = places_of(c);
    assert_int_equal(3, places.count);
    assert_int_equal(account, places.rows[0].account);
    assert_int_equal(other, places.rows[2].account);
    for (unsigned at = 0; at < 2; at++) {
        bool is_v6 = ip_equal(places.rows[at].address, v6);
        assert_int_equal(is_v6 ? 11 : 10, places.rows[at].first);
        assert_int_equal(is_v6 ? 11 : 40, places.rows[at].last);
    }
    /* The latest are kept, of each account for itself. */
    contract_begin(c);
    note_place(c, account, "198.51.100.0", 50, 50, 3);
    note_place(c, account, "203.0.113.0", 60, 60, 3);
    contract_commit(c);
    places = places_of(c);
    assert_int_equal(4, places.count);
    for (unsigned at = 0; at < places.count; at++)
        assert_false(ip_equal(places.rows[at].address, v6));
    contract_begin(c);
    assert_ok(c->v->place_forget(c->store, 50)); /* 40 and 6 go */
    contract_commit(c);
    places = places_of(c);
    assert_int_equal(2, places.count);
    assert_true(places.rows[0].last >= 50 && places.rows[1].last >= 50);
    contract_begin(c);
    note_place(c, other, "192.0.2.0", 70, 70, 3);
    assert_ok(c->v->account_remove(c->store, account));
    contract_commit(c);
    assert_int_equal(1, places_of(c).count);
}

static void test_alias(void **state)
{
    struct contract *c = *state;
    uint32_t count = 0;
    contract_begin(c);
    uint32_t account = contract_account(c, "a@b.example");
    add_alias(c, "all@b.example", "a@b.example", STATUS_OK);
    add_alias(c, "all@b.example", "a@b.example", STATUS_EXISTS);
    add_alias(c, "all@b.example", "x@b.example", STATUS_OK);
    add_alias(c, "all@b.example", "y@b.example", STATUS_OK);
    add_alias(c, "@b.example", "x@b.example", STATUS_OK);
    assert_ok(c->v->alias_remove(c->store, S("all@b.example"), S("y@b.example"), &count));
    assert_int_equal(1, count);
    assert_status(STATUS_NOT_FOUND, c->v->alias_remove(c->store, S("all@b.example"), S("y@b.example"), &count));
    assert_ok(c->v->account_remove(c->store, account));
    contract_commit(c);

    struct seen seen = { 0 };
    assert_ok(c->v->each_alias(c->store, see_alias, &seen));
    assert_int_equal(2, seen.count); /* the alias to the account went with it */
    assert_string_equal("all@b.example", seen.text[0]);
    assert_string_equal("x@b.example", seen.text[1]);
    contract_begin(c);
    add_alias(c, "all@b.example", "z@b.example", STATUS_OK);
    assert_ok(c->v->alias_remove(c->store, S("all@b.example"), NO_SLICE, &count));
    assert_int_equal(2, count);
    assert_status(STATUS_NOT_FOUND, c->v->alias_remove(c->store, S("all@b.example"), NO_SLICE, &count));
    contract_commit(c);
}

static void test_domain(void **state)
{
    struct contract *c = *state;
    contract_begin(c);
    assert_ok(c->v->domain_add(c->store, S("b.example")));
    assert_ok(c->v->domain_add(c->store, S("a.example")));
    assert_status(STATUS_EXISTS, c->v->domain_add(c->store, S("b.example")));
    uint32_t account = contract_account(c, "a@b.example");
    assert_status(STATUS_DENIED, c->v->domain_remove(c->store, S("b.example")));
    assert_status(STATUS_NOT_FOUND, c->v->domain_remove(c->store, S("c.example")));
    contract_commit(c);
    struct seen seen = { 0 };
    assert_ok(c->v->each_domain(c->store, see_domain, &seen));
    assert_int_equal(2, seen.count);
    assert_string_equal("b.example", seen.text[0]); /* as they were added */
    assert_string_equal("a.example", seen.text[1]);
    contract_begin(c);
    assert_ok(c->v->account_remove(c->store, account));
    assert_ok(c->v->domain_remove(c->store, S("b.example")));
    contract_commit(c);
    struct store_counts counts;
    assert_ok(c->v->counts(c->store, &counts));
    assert_int_equal(1, counts.domains);
    assert_int_equal(0, counts.accounts);
}

/* ---- transactions ------------------------------------------------------------------------------------------------ */

static void test_undo(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    contract_begin(c);
    assert_ok(c->v->mark(c->store));
    uint32_t gone = contract_account(c, "gone@b.example");
    assert_ok(c->v->undo(c->store)); /* the first job of a transaction */
    assert_status(STATUS_NOT_FOUND, contract_deliver(c, 1, 10, &gone, 1));
    assert_ok(c->v->mark(c->store));
    uint32_t id = contract_account(c, "a@b.example");
    assert_ok(c->v->mark(c->store));
    assert_ok(contract_deliver(c, 1, 100, &id, 1));
    assert_ok(c->v->mark(c->store));
    assert_ok(contract_deliver(c, 2, 100, &id, 1));
    assert_ok(contract_deliver(c, 3, 100, &id, 1));
    assert_ok(c->v->undo(c->store));
    assert_ok(c->v->undo(c->store)); /* once more is no harm */
    assert_ok(contract_deliver(c, 4, 100, &id, 1));
    assert_ok(c->v->mark(c->store));
    assert_ok(c->v->undo(c->store)); /* a job that changed nothing */
    assert_ok(c->v->mark(c->store));
    assert_ok(contract_deliver(c, 5, 100, &id, 1));
    contract_commit(c);

    contract_list(c, c->store, id, &list);
    assert_int_equal(3, list.rows.count);
    static const unsigned seeds[] = { 1, 4, 5 };
    for (uint32_t i = 0; i < 3; i++)
        contract_read(c, c->store, id, row_of(struct drop_row, list.rows, i)->uid, seeds[i], 100, 65536);
    uint32_t messages;
    uint64_t octets;
    assert_ok(c->v->usage(c->store, id, &messages, &octets));
    assert_int_equal(3, messages);
    assert_int_equal(300, octets);
}

static void test_rollback(void **state)
{
    struct contract *c = *state;
    struct answer_drop_list list;
    contract_begin(c);
    uint32_t id = contract_account(c, "a@b.example");
    assert_ok(contract_deliver(c, 1, 100, &id, 1));
    contract_commit(c);
    contract_begin(c);
    assert_ok(contract_deliver(c, 2, 100, &id, 1));
    uint32_t never = contract_account(c, "never@b.example");
    c->v->rollback(c->store);
    c->v->rollback(c->store); /* none is open: nothing happens */
    contract_begin(c);
    assert_status(STATUS_NOT_FOUND, contract_deliver(c, 3, 100, &never, 1));
    assert_ok(contract_deliver(c, 3, 100, &id, 1));
    contract_commit(c);
    contract_list(c, c->store, id, &list);
    assert_int_equal(2, list.rows.count);
    contract_read(c, c->store, id, row_of(struct drop_row, list.rows, 1)->uid, 3, 100, 65536);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void test_open(void **state)
{
    struct contract *c = *state;
    struct store *second = NULL;
    assert_status(STATUS_BUSY, contract_open(c, STORE_WRITER, false, 0, &second));
    assert_true(c->why.len > 0);
    assert_true(store_engine()[0] != '\0');
    assert_status(STATUS_BUSY, contract_open(c, STORE_WRITER, false, 60, &second));
    assert_ok(contract_open(c, STORE_READER, false, 0, &second));
    store_close(second);

    struct contract empty = { .dir = "/tmp/ekirei-store-XXXXXX", .why = BUF(4096) };
    assert_non_null(mkdtemp(empty.dir));
    assert_status(STATUS_NOT_FOUND, contract_open(&empty, STORE_WRITER, false, 0, &second));
    assert_status(STATUS_NOT_FOUND, contract_open(&empty, STORE_READER, false, 0, &second));
    assert_true(empty.why.len > 0);
    contract_remove(empty.dir);
    assert_status(STATUS_NOT_FOUND, contract_open(&empty, STORE_WRITER, true, 0, &second)); /* no folder at all */
    buf_done(&empty.why);
}

static void test_lock_is_waited_for(void **state)
{
    struct contract *c = *state;
    int ready[2];
    char octet;
    contract_close(c);
    assert_int_equal(0, pipe(ready));
    pid_t child = fork();
    if (child == 0) {
        bool open = contract_open(c, STORE_WRITER, false, 0, &c->store) == STATUS_OK && write(ready[1], "x", 1) == 1;
        usleep(150000);
        _exit(open ? 0 : 1); /* dies without closing: the lock must go with it */
    }
    assert_int_equal(1, read(ready[0], &octet, 1));
    assert_status(STATUS_BUSY, contract_open(c, STORE_WRITER, false, 20, &c->store));
    assert_ok(contract_open(c, STORE_WRITER, false, 5000, &c->store));
    int status;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(0, status);
    close(ready[0]);
    close(ready[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

int main(void)
{
    const struct CMUnitTest directory[] = {
        TEST(test_account),
        TEST(test_device),
        TEST(test_C087_rehash_is_compare_and_set),
        TEST(test_keys_are_somebodys),
        TEST(test_places),
        TEST(test_alias),
        TEST(test_domain),
        TEST(test_undo),
        TEST(test_rollback),
        TEST(test_open),
        TEST(test_lock_is_waited_for),
    };
    int failed = cmocka_run_group_tests_name("directory", directory, NULL, NULL);
    failed += _cmocka_run_group_tests("mail", contract_mail, contract_mail_count, NULL, NULL);
    failed += _cmocka_run_group_tests("queue", contract_queue, contract_queue_count, NULL, NULL);
    failed += _cmocka_run_group_tests("crash", contract_crash, contract_crash_count, NULL, NULL);
    failed += _cmocka_run_group_tests("check", contract_check, contract_check_count, NULL, NULL);
    return failed;
}

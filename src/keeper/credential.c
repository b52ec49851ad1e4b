#include "keeper/credential.h"

#include "base/random.h"
#include "keeper/login.h"
#include "mail/precis.h"

/* ---- plans ------------------------------------------------------------------------------------------------------- */

#define FOLD_ARENA 16384u /* octets: a name in its few forms */

void credential_salt(const struct keeper *keeper, struct slice name, uint8_t out_salt[SCRAM_SALT], uint64_t *out_draw)
{
    struct arena arena = ARENA(FOLD_ARENA);
    struct slice folded;
    if (directory_fold(name, &arena, &folded) != STATUS_OK)
        folded = name;
    scram_salt(keeper->key, slice_upto(folded, slice_find_last(folded, '@')), out_salt, out_draw);
    arena_done(&arena);
}

struct credential_plan credential_plan_new(const struct keeper *keeper, struct slice address)
{
    const struct settings *settings = keeper->settings;
    struct credential_plan plan = { .cost = settings->auth_hash_cost, .sha1_for_people = settings->auth_scram_sha1 };
    credential_salt(keeper, address, plan.salt, NULL);
    for (int i = 0; i < SCRAM_HASHES; i++)
        plan.rounds[i] = scram_rounds((enum scram_hash)i, plan.cost, plan.sha1_for_people);
    return plan;
}

struct credential_plan credential_plan_kept(const struct keeper *keeper, const struct account *account)
{
    struct credential_plan plan = credential_plan_new(keeper, account->address);
    for (int i = 0; i < SCRAM_HASHES; i++)
        plan.rounds[i] = login_scram_rounds(keeper, account, plan.salt, (enum scram_hash)i);
    return plan;
}

static size_t make_keys(const struct credential_plan *plan, struct slice secret, bool sha1, char out_scram[SCRAM_BLOB])
{
    struct scram_verifier verifier = { 0 };
    memcpy(verifier.salt, plan->salt, SCRAM_SALT);
    for (int i = 0; i < SCRAM_HASHES; i++)
        if (i != SCRAM_SHA_1 || sha1)
            scram_make((enum scram_hash)i, secret, plan->salt, plan->rounds[i], &verifier.keys[i]);
    size_t size = scram_pack(&verifier, out_scram);
    wipe(&verifier, sizeof verifier);
    return size;
}

static bool has_keys(const struct scram_verifier *verifier, const struct credential_plan *plan, enum scram_hash hash)
{
    return verifier->keys[hash].rounds == plan->rounds[hash] && memcmp(verifier->salt, plan->salt, SCRAM_SALT) == 0;
}

/* ---- people ------------------------------------------------------------------------------------------------------ */

enum status credential_make(const struct credential_plan *plan, struct slice secret, struct credential *out_credential)
{
    struct credential made = { 0 };
    struct secret opaque, prepared;
    /* What the profiles refuse stays as it was typed. */
    bool has_opaque = precis_password(secret, &opaque) == STATUS_OK;
    bool has_prepared = precis_saslprep(secret, &prepared) == STATUS_OK;
    enum status status = vault_hash(plan->cost, has_opaque ? secret_slice(&opaque) : secret, made.password);
    if (status == STATUS_OK)
        made.scram_len = make_keys(
            plan, has_prepared ? secret_slice(&prepared) : secret, plan->sha1_for_people, made.scram);
    secret_wipe(&opaque);
    secret_wipe(&prepared);
    if (status == STATUS_OK)
        *out_credential = made;
    return status;
}

enum status credential_import(struct slice hash, struct credential *out_credential)
{
    struct credential made = { 0 };
    TRY(vault_import(hash, made.password));
    *out_credential = made;
    return STATUS_OK;
}

/* Twice the work only where the typed text has two forms: that depends on the guess, not on the account. */
bool credential_verify(struct slice verifier, struct slice secret)
{
    struct secret opaque;
    bool has_opaque = precis_password(secret, &opaque) == STATUS_OK;
    bool differs = has_opaque && !slice_equal(secret_slice(&opaque), secret);
    bool fits = vault_verify(verifier, secret);
    bool fits_opaque = differs && vault_verify(verifier, secret_slice(&opaque));
    secret_wipe(&opaque);
    return fits || fits_opaque;
}

bool credential_is_current(const struct credential_plan *plan, struct slice password, struct slice scram)
{
    struct scram_verifier verifier;
    return vault_is_current(password, plan->cost) && scram_unpack(scram, &verifier) == STATUS_OK &&
           has_keys(&verifier, plan, SCRAM_SHA_256) &&
           (plan->sha1_for_people ? has_keys(&verifier, plan, SCRAM_SHA_1) : verifier.keys[SCRAM_SHA_1].rounds == 0);
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

size_t credential_make_device(const struct credential_plan *plan, struct slice secret, char out_scram[SCRAM_BLOB])
{
    return make_keys(plan, secret, true, out_scram);
}

static bool is_current_device(const struct credential_plan *plan, const struct device *device)
{
    struct scram_verifier verifier;
    return scram_unpack(device->scram, &verifier) == STATUS_OK && has_keys(&verifier, plan, SCRAM_SHA_256) &&
           has_keys(&verifier, plan, SCRAM_SHA_1);
}

enum status credential_collect(const struct credential_plan *plan, const struct account *account, struct arena *arena,
    struct credential_devices *out_devices)
{
    struct credential_devices devices = { arena_take_rows(arena, LIMIT_CREDENTIALS, sizeof *devices.rows), 0 };
    if (!devices.rows)
        return STATUS_TOO_BIG;
    for (const struct list *node = account->devices.next;
         node != &account->devices && devices.count < LIMIT_CREDENTIALS; node = node->next) {
        const struct device *device = list_element(node, struct device, node);
        struct store_device *row = &devices.rows[devices.count];
        if (device->sealed.len == 0 || is_current_device(plan, device))
            continue;
        row->id = device->id;
        TRY(arena_copy(arena, device->name, &row->name));
        TRY(arena_copy(arena, device->sealed, &row->sealed));
        devices.count++;
    }
    *out_devices = devices;
    return STATUS_OK;
}

enum status credential_remake(const struct credential_plan *plan, const char key[32], uint32_t account,
    struct arena *arena, const struct credential_devices *devices)
{
    for (size_t i = 0; i < devices->count; i++) {
        struct store_device *row = &devices->rows[i];
        struct secret secret;
        char scram[SCRAM_BLOB];
        /* What does not open gets keys that nobody has, or it would be tried again at each login. */
        if (vault_open(key, account, row->name, row->sealed, &secret) != STATUS_OK) {
            random_fill(secret.bytes, 32);
            secret.len = 32;
        }
        size_t size = credential_make_device(plan, secret_slice(&secret), scram);
        secret_wipe(&secret);
        TRY(arena_copy(arena, (struct slice){ scram, size }, &row->scram));
    }
    return STATUS_OK;
}

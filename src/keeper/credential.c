#include "keeper/credential.h"

#include "keeper/login.h"

struct credential_plan credential_plan_new(const struct keeper *keeper, struct slice address)
{
    const struct settings *settings = keeper->settings;
    struct credential_plan plan = { .cost = settings->auth_hash_cost, .sha1_for_people = settings->auth_scram_sha1 };
    scram_salt(keeper->key, address, plan.salt);
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

static size_t make_keys(
    const struct credential_plan *plan, struct slice secret, bool sha1, char out_scram[SCRAM_BLOB])
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

enum status credential_make(const struct credential_plan *plan, struct slice secret, struct credential *out_credential)
{
    struct credential made = { 0 };
    TRY(vault_hash(plan->cost, secret, made.password));
    made.scram_len = make_keys(plan, secret, plan->sha1_for_people, made.scram);
    *out_credential = made;
    return STATUS_OK;
}

size_t credential_make_device(const struct credential_plan *plan, struct slice secret, char out_scram[SCRAM_BLOB])
{
    return make_keys(plan, secret, true, out_scram);
}

static bool has_keys(const struct scram_verifier *verifier, const struct credential_plan *plan, enum scram_hash hash)
{
    return verifier->keys[hash].rounds == plan->rounds[hash] && memcmp(verifier->salt, plan->salt, SCRAM_SALT) == 0;
}

bool credential_is_current(const struct credential_plan *plan, struct slice password, struct slice scram)
{
    struct scram_verifier verifier;
    return vault_is_current(password, plan->cost) && scram_unpack(scram, &verifier) == STATUS_OK &&
           has_keys(&verifier, plan, SCRAM_SHA_256) &&
           (plan->sha1_for_people ? has_keys(&verifier, plan, SCRAM_SHA_1) : verifier.keys[SCRAM_SHA_1].rounds == 0);
}

bool credential_device_is_current(const struct credential_plan *plan, struct slice scram)
{
    struct scram_verifier verifier;
    return scram_unpack(scram, &verifier) == STATUS_OK && has_keys(&verifier, plan, SCRAM_SHA_256) &&
           has_keys(&verifier, plan, SCRAM_SHA_1);
}

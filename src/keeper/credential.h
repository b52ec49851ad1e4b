/* credential.h - what is stored of a secret, made on a pool thread: password hash and SCRAM verifiers.
 *
 * A plan holds copies of all that the work needs; it looks at neither settings nor directory, which may change while it
 * runs. */
#pragma once

#include "keeper/scram.h"
#include "keeper/vault.h"

struct keeper;
struct account;

/* For the password and the devices of one account. */
struct credential_plan {
    uint32_t cost;                 /* auth.hash_cost */
    bool sha1_for_people;          /* auth.scram_sha1 */
    uint32_t rounds[SCRAM_HASHES]; /* of all its keys: a proof is tried against each of them */
    uint8_t salt[SCRAM_SALT];
};
/* With new rounds, as settings want them. */
struct credential_plan credential_plan_new(const struct keeper *keeper, struct slice address);
/* With the rounds that the account's keys have. */
struct credential_plan credential_plan_kept(const struct keeper *keeper, const struct account *account);

struct credential {
    char password[VAULT_VERIFIER];
    char scram[SCRAM_BLOB];
    size_t scram_len;
};
/* Both, of a person's password. */
MUST_USE enum status credential_make(
    const struct credential_plan *plan, struct slice secret, struct credential *out_credential);
/* A device's keys, both hashes; returns their length. */
size_t credential_make_device(const struct credential_plan *plan, struct slice secret, char out_scram[SCRAM_BLOB]);
/* Are these verifiers what the plan would make? */
bool credential_is_current(const struct credential_plan *plan, struct slice password, struct slice scram);
bool credential_device_is_current(const struct credential_plan *plan, struct slice scram);

/* credential.h - what is stored of a secret, made on a pool thread: password hash and SCRAM verifiers.
 *
 * A plan holds copies of all that the work needs; it looks at neither settings nor directory, which may change while it
 * runs. */
#pragma once

#include "base/arena.h"
#include "keeper/scram.h"
#include "keeper/vault.h"

struct keeper;
struct account;
struct store_device;

/* For the password and the devices of one account. */
struct credential_plan {
    uint32_t cost;                 /* auth.hash_cost */
    bool sha1_for_people;          /* auth.scram_sha1 */
    uint32_t rounds[SCRAM_HASHES]; /* of all its keys: a proof is tried against each of them */
    uint8_t salt[SCRAM_SALT];
};
/* The salt of all keys of the account that a name stands for: made from the local part alone, folded.  So it is the same for all ways to write
 * a name, whichever of them somebody has (C075).  *out_draw: octets that are as firm; NULL: not wanted. */
void credential_salt(const struct keeper *keeper, struct slice name, uint8_t out_salt[SCRAM_SALT], uint64_t *out_draw);
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
/* The same of a password whose hash came from elsewhere: MALFORMED where it is none that can be checked within a second. */
MUST_USE enum status credential_import(struct slice hash, struct credential *out_credential);
/* Is this the password?  As it was typed, or in the form of RFC 8265. */
bool credential_verify(struct slice verifier, struct slice secret);
/* Are these verifiers what the plan would make? */
bool credential_is_current(const struct credential_plan *plan, struct slice password, struct slice scram);

/* A device's keys, by both hashes; returns their length. */
size_t credential_make_device(const struct credential_plan *plan, struct slice secret, char out_scram[SCRAM_BLOB]);
/* Copies of the account's devices whose keys are not what the plan would make. */
struct credential_devices {
    struct store_device *rows;
    size_t count;
};
MUST_USE enum status credential_collect(const struct credential_plan *plan, const struct account *account,
    struct arena *arena, struct credential_devices *out_devices);
/* Makes their keys from the sealed secrets. */
MUST_USE enum status credential_remake(const struct credential_plan *plan, const char key[32], uint32_t account,
    struct arena *arena, const struct credential_devices *devices);

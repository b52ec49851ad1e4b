/* login_prove.c - is this the secret?  On a pool thread, with copies of all that it needs.
 *
 * Every comparison is made, also when one fits, and as many for a name that nobody has: the time tells nothing (C074,
 * C084). */
#include "base/secret.h"
#include "keeper/login.h"

/* The secret of the candidate, or of nobody where there are fewer than comparisons. */
static bool open_candidate(const struct task *task, size_t index, struct secret *out_secret)
{
    const struct login *login = task->state;
    const struct keeper *keeper = task->keeper;
    if (index >= login->candidate_count) {
        (void)!(vault_open(keeper->key, 0, S("nobody"), buf_slice(&keeper->dummy_sealed), out_secret) == STATUS_OK);
        return false;
    }
    const struct candidate *candidate = &login->candidates[index];
    return vault_open(keeper->key, login->account, candidate->name, candidate->sealed, out_secret) == STATUS_OK;
}

static bool secret_fits(const struct ask *ask, struct slice secret)
{
    char digest[16];
    if (ask->kind != ASK_LOGIN_DIGEST)
        return slice_equal_secret(secret, ask->login.secret);
    if (ask->login_digest.from.mechanism == MECHANISM_APOP)
        vault_apop(ask->login_digest.challenge, secret, digest);
    else
        vault_cram(ask->login_digest.challenge, secret, digest);
    return slice_equal_secret((struct slice){ digest, 16 }, ask->login_digest.digest);
}

static size_t comparisons_of(const struct login *login)
{
    return login->candidate_count > login->comparisons ? login->candidate_count : login->comparisons;
}

static void try_devices(struct task *task)
{
    struct login *login = task->state;
    for (size_t i = 0; login->try_devices && i < comparisons_of(login); i++) {
        struct secret secret = { 0 };
        bool real = open_candidate(task, i, &secret);
        bool fits = secret_fits(&task->ask, secret_slice(&secret));
        if (real && fits) {
            login->right = true;
            login->device = login->candidates[i].device;
        }
        secret_wipe(&secret);
    }
}

enum status login_prove_digest(struct task *task, struct store *none)
{
    (void)none;
    try_devices(task);
    return STATUS_OK;
}

enum status login_prove(struct task *task, struct store *none)
{
    struct login *login = task->state;
    const struct ask *ask = &task->ask;
    (void)none;
    try_devices(task);
    if (login->right)
        return STATUS_OK;
    /* The same work where there is no such person, or he has no password, or it may not be used here. */
    bool real = login->account && login->try_person && login->verifier.len > 0;
    bool fits = credential_verify(real ? login->verifier : login->dummy, ask->login.secret);
    login->right = real && fits;
    return STATUS_OK;
}

/* ---- SCRAM ------------------------------------------------------------------------------------------------------- */

/* Against the password's keys (`device` 0) or a device's; `blob` empty: against none, with the same work. */
static void try_keys(struct task *task, struct slice blob, uint32_t device, bool may)
{
    struct login *login = task->state;
    const struct ask_login_scram *ask = &task->ask.login_scram;
    enum scram_hash hash = login_scram_hash(login->mechanism);
    struct scram_verifier verifier = { 0 };
    uint8_t signature[SCRAM_KEY];
    bool known = scram_unpack(blob, &verifier) == STATUS_OK;
    bool fits = scram_try(hash, &verifier.keys[hash], ask->message, ask->proof, signature);
    if (known && may && fits) {
        login->right = true;
        login->device = device;
        memcpy(login->signature, signature, sizeof signature);
    }
    wipe(&verifier, sizeof verifier);
}

enum status login_prove_scram(struct task *task, struct store *none)
{
    struct login *login = task->state;
    (void)none;
    for (size_t i = 0; i < comparisons_of(login); i++) {
        bool real = i < login->candidate_count;
        try_keys(task, real ? login->candidates[i].scram : NO_SLICE, real ? login->candidates[i].device : 0,
            real && login->try_devices);
    }
    /* Last: where a device's secret is also the person's, the person's it is. */
    try_keys(task, login->scram, 0, login->account && login->try_person);
    return STATUS_OK;
}

enum status login_prove_remade(struct task *task, struct store *none)
{
    struct login *login = task->state;
    TRY(credential_remake(&login->plan, task->keeper->key, login->account, &task->arena, &login->remade));
    for (size_t i = 0; i < login->remade.count; i++)
        for (size_t j = 0; j < login->candidate_count; j++)
            if (login->candidates[j].device == login->remade.rows[i].id)
                login->candidates[j].scram = login->remade.rows[i].scram;
    return login_prove_scram(task, none);
}

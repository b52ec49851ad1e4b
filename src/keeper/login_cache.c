/* login_cache.c - passwords that were right lately: known again without hashing, forgotten with any change. */
#include "keeper/login.h"

/* Key: a keyed hash of the password with account and generation, so that a change of either leaves nothing to find
 * (C082). */
struct verified {
    msec until;
    uint32_t device;
};

struct verified_key {
    char fingerprint[VAULT_NAME];
    uint32_t account, generation;
};

static struct verified_key key_of(const struct login *login)
{
    struct verified_key key;
    memset(&key, 0, sizeof key);
    memcpy(key.fingerprint, login->fingerprint, sizeof key.fingerprint);
    key.account = login->account;
    key.generation = login->generation;
    return key;
}

bool login_know_again(struct keeper *keeper, struct login *login)
{
    struct verified_key key = key_of(login);
    const struct verified *found = login->account ? map_find(&keeper->verified, map_key(key)) : NULL;
    bool fits = found && found->until > keeper_now(keeper) &&
                (found->device ? login->try_devices : login->try_person) &&
                (!found->device || directory_device(&keeper->directory, found->device));
    if (fits) {
        login->right = true;
        login->device = found->device;
    }
    return fits;
}

void login_remember(struct keeper *keeper, const struct login *login)
{
    struct verified_key key = key_of(login);
    struct verified *verified = map_find(&keeper->verified, map_key(key));
    if (!verified && keeper->verified.count >= LIMIT_VERIFIED)
        return;
    if (!verified) {
        verified = alloc(sizeof *verified);
        map_put(&keeper->verified, map_key(key), verified);
    }
    *verified = (struct verified){ .until = keeper_now(keeper) + LIMIT_VERIFIED_AGE, .device = login->device };
}

void login_forget(struct keeper *keeper, msec now)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&keeper->verified, &at, &key, &value);) {
        if (((struct verified *)value)->until > now)
            continue;
        map_take(&keeper->verified, key);
        release(value);
    }
}

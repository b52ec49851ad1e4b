/* login_scram.c - SCRAM's first half (RFC 5802 5): salt, rounds and a nonce for a name, the same shape for every name
 * (C075); and what binds its second half to it. */
#include "base/random.h"
#include "keeper/login.h"
#include "mail/coding.h"

enum scram_hash login_scram_hash(uint8_t mechanism)
{
    return mechanism == MECHANISM_SCRAM_SHA_1 || mechanism == MECHANISM_SCRAM_SHA_1_PLUS ? SCRAM_SHA_1 : SCRAM_SHA_256;
}

static bool is_usable(const struct scram_verifier *verifier, const uint8_t salt[SCRAM_SALT], enum scram_hash hash)
{
    return verifier->keys[hash].rounds > 0 && memcmp(verifier->salt, salt, SCRAM_SALT) == 0;
}

/* The account's own: its password's; else what a new one would have, also where its devices have others: they get new keys then
 * (login.c), or rounds that nobody else has would show the account (C075). */
uint32_t login_scram_rounds(
    const struct keeper *keeper, const struct account *account, const uint8_t salt[SCRAM_SALT], enum scram_hash hash)
{
    struct scram_verifier verifier;
    if (scram_unpack(account->scram, &verifier) == STATUS_OK && is_usable(&verifier, salt, hash))
        return verifier.keys[hash].rounds;
    return scram_rounds(hash, keeper->settings->auth_hash_cost, keeper->settings->auth_scram_sha1);
}

bool login_scram_lacks_keys(const struct login *login)
{
    struct scram_verifier verifier;
    bool is_scram = login->mechanism >= MECHANISM_SCRAM_SHA_1 && login->mechanism <= MECHANISM_SCRAM_SHA_256_PLUS;
    if (!is_scram || !login->try_person || login->verifier.len == 0)
        return false;
    return scram_unpack(login->scram, &verifier) != STATUS_OK ||
           !is_usable(&verifier, login->plan.salt, login_scram_hash(login->mechanism));
}

static uint32_t rounds_of_nobody(const struct keeper *keeper, enum scram_hash hash, uint64_t draw)
{
    const struct directory *d = &keeper->directory;
    uint32_t rounds = scram_rounds(hash, keeper->settings->auth_hash_cost, keeper->settings->auth_scram_sha1);
    return scram_rounds_of_nobody(d->scram_counts[hash], (uint32_t)d->by_id.count, rounds, draw);
}

/* What the second half has to repeat. */
static void about(const struct keeper *keeper, const struct login *login, char out_about[32])
{
    char octets[2 * LIMIT_LOGIN_NAME + 3];
    struct slice name = slice_upto(login->name, LIMIT_LOGIN_NAME), authzid = slice_upto(login->authzid, LIMIT_LOGIN_NAME);
    size_t at = 0;
    octets[at++] = (char)login->mechanism;
    octets[at++] = (char)login->protocol;
    memcpy(octets + at, name.ptr, name.len);
    at += name.len;
    octets[at++] = '\0';
    if (authzid.len > 0)
        memcpy(octets + at, authzid.ptr, authzid.len);
    vault_name(keeper->cache_key, (struct slice){ octets, at + authzid.len }, out_about);
}

bool login_scram_fits(struct task *task, const struct login *login)
{
    struct binding *binding = binding_find(task->keeper, task->client, task->session);
    char here[32];
    about(task->keeper, login, here);
    bool fits = binding && binding->scram.open &&
                slice_equal_secret((struct slice){ here, 32 }, (struct slice){ binding->scram.about, 32 }) &&
                slice_has(task->ask.login_scram.message, (struct slice){ binding->scram.nonce, SCRAM_NONCE });
    if (binding)
        binding->scram.open = false;
    return fits;
}

void serve_scram(struct task *task)
{
    struct keeper *keeper = task->keeper;
    const struct login *login = login_open(task);
    if (!login)
        return;
    struct binding *binding = binding_find(keeper, task->client, task->session);
    if (binding->scram.begun >= LIMIT_SCRAM_BEGINS) {
        task_answer(task, STATUS_BUSY);
        return;
    }
    binding->scram.begun++;
    enum scram_hash hash = login_scram_hash(login->mechanism);
    const struct account *account = login_namesake(task, login->name); /* whomever he wants to act for: that is refused at the end */
    uint8_t *salt = arena_take(&task->arena, SCRAM_SALT);
    char octets[SCRAM_NONCE / 4 * 3];
    struct buf nonce = BUF(SCRAM_NONCE);
    random_fill(octets, sizeof octets);
    must(salt && base64_encode(&nonce, (struct slice){ octets, sizeof octets }) == STATUS_OK && nonce.len == SCRAM_NONCE);
    memcpy(binding->scram.nonce, nonce.ptr, SCRAM_NONCE);
    buf_done(&nonce);
    about(keeper, login, binding->scram.about);
    binding->scram.open = true;
    uint64_t draw;
    credential_salt(keeper, account ? account->address : login->name, salt, &draw);
    task->answer.scram = (struct answer_scram){ .salt = { (const char *)salt, SCRAM_SALT },
        .nonce = { binding->scram.nonce, SCRAM_NONCE },
        .rounds = account ? login_scram_rounds(keeper, account, salt, hash) : rounds_of_nobody(keeper, hash, draw) };
    task_answer(task, STATUS_OK);
}

/* vault_crypt.c - password hashes that came from elsewhere.
 *
 * They are taken as they are, checked with crypt(3) or libsodium, and replaced by our own at the next login.  Until then
 * a wrong password takes the time of its hash: the one account whose name a clock can find (C074).  How long a check takes
 * stands in the hash itself: it is read before anything is computed. */
#include <crypt.h>
#include <sodium.h>
#include <string.h>

#include "base/alloc.h"
#include "keeper/vault.h"

#define ARGON2_KIB    (256u << 10) /* memory of an imported Argon2 hash */
#define ARGON2_WORK   (1u << 20)   /* KiB times passes: about a second */
#define SHA_ROUNDS    1000000u     /* $5$, $6$: about a second */
#define SHA1_ROUNDS   1000000u     /* $sha1$ */
#define SUN_ROUNDS    100000u      /* $md5$, beyond its own 4096 */
#define BCRYPT_COST   14u
#define YESCRYPT_COST 'B'          /* of "$y$jBT$": 64 MiB */
#define SCRYPT_COST   'D'          /* of "$7$D": 2^15 */

/* The decimal number behind `mark`, or `otherwise`; more than ten digits are UINT64_MAX. */
static uint64_t number_behind(struct slice text, const char *mark, uint64_t otherwise)
{
    size_t len = strlen(mark), at = 0, digits = 0;
    uint64_t number;
    while (at + len <= text.len && memcmp(text.ptr + at, mark, len) != 0)
        at++;
    if (at + len > text.len)
        return otherwise;
    text = slice_from(text, at + len);
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    return slice_number(slice_upto(text, digits), UINT32_MAX, &number) == STATUS_OK ? number : UINT64_MAX;
}

static bool is_quick_argon2(struct slice text)
{
    uint64_t kib = number_behind(text, "$m=", UINT64_MAX), passes = number_behind(text, ",t=", UINT64_MAX);
    return kib <= ARGON2_KIB && passes <= ARGON2_WORK && kib * passes <= ARGON2_WORK;
}

/* "9T$": how many blocks, and whether they have 1 KiB or 4. */
static bool is_quick_yescrypt(struct slice text)
{
    return text.len > 3 && text.ptr[0] >= '.' && text.ptr[0] <= YESCRYPT_COST && (text.ptr[1] == 'T' || text.ptr[1] == '5') &&
           text.ptr[2] == '$';
}

static bool is_quick_crypt(struct slice text)
{
    char third = text.len > 3 ? text.ptr[3] : '\0';
    if (slice_starts(text, S("$5$")) || slice_starts(text, S("$6$")))
        return number_behind(slice_upto(text, 20), "rounds=", 5000) <= SHA_ROUNDS;
    if (slice_starts(text, S("$2")))
        return number_behind(text, "$2a$", UINT64_MAX) <= BCRYPT_COST || number_behind(text, "$2b$", UINT64_MAX) <= BCRYPT_COST ||
               number_behind(text, "$2y$", UINT64_MAX) <= BCRYPT_COST;
    if (slice_starts(text, S("$y$j")))
        return is_quick_yescrypt(slice_from(text, 4));
    if (slice_starts(text, S("$gy$j")))
        return is_quick_yescrypt(slice_from(text, 5));
    if (slice_starts(text, S("$7$")))
        return third <= SCRYPT_COST && slice_starts(slice_from(text, 4), S("U..../...."));
    if (slice_starts(text, S("$sha1$")))
        return number_behind(text, "$sha1$", UINT64_MAX) <= SHA1_ROUNDS;
    if (slice_starts(text, S("$md5")))
        return number_behind(slice_upto(text, 20), "rounds=", 0) <= SUN_ROUNDS;
    /* MD5, NT, and the oldest: 13 letters without a sign in front. */
    return slice_starts(text, S("$1$")) || slice_starts(text, S("$3$")) ||
           (text.len == 13 && text.ptr[0] != '$' && text.ptr[0] != '_');
}

/* *out_hash is the same length as the verifier where that is whole. */
static bool crypt_once(struct slice verifier, const char *phrase, char out_hash[VAULT_VERIFIER])
{
    char setting[VAULT_VERIFIER] = { 0 };
    memcpy(setting, verifier.ptr, verifier.len);
    struct crypt_data *room = alloc(sizeof *room);
    const char *hash = crypt_rn(phrase, setting, room, sizeof *room);
    bool made = hash && *hash != '*' && strlen(hash) < VAULT_VERIFIER;
    memset(out_hash, 0, VAULT_VERIFIER);
    if (made)
        memcpy(out_hash, hash, strlen(hash)); /* NOLINT(bugprone-not-null-terminated-result): zeros are there */
    wipe(room, sizeof *room);
    release(room);
    return made;
}

bool vault_verify_crypt(struct slice verifier, struct slice secret)
{
    char phrase[CRYPT_MAX_PASSPHRASE_SIZE] = { 0 }, hash[VAULT_VERIFIER];
    /* Its phrases end at NUL, and at its limit. */
    if (verifier.len >= VAULT_VERIFIER || secret.len >= sizeof phrase || slice_find(secret, '\0') < secret.len)
        return false;
    if (secret.len > 0)
        memcpy(phrase, secret.ptr, secret.len);
    bool fits = crypt_once(verifier, phrase, hash) && slice_equal_secret(slice_of(hash), verifier);
    wipe(phrase, sizeof phrase);
    return fits;
}

enum status vault_import(struct slice text, char out_verifier[VAULT_VERIFIER])
{
    char setting[VAULT_VERIFIER] = { 0 }, hash[VAULT_VERIFIER];
    text = slice_trim(text);
    if (text.len > 0 && text.ptr[0] == '{')
        text = slice_from(text, slice_find(text, '}') + 1);
    if (text.len == 0 || text.len >= VAULT_VERIFIER || !slice_is_ascii(text) || slice_has_control(text))
        return STATUS_MALFORMED;
    memcpy(setting, text.ptr, text.len);
    if (slice_starts(text, S("$argon2"))) {
        /* Wrong, or not a hash at all: libsodium says the same; so its form is asked for. */
        bool whole = slice_starts(text, S("$argon2id$")) ? crypto_pwhash_argon2id_str_needs_rehash(setting, 1, 8192) >= 0
                                                         : crypto_pwhash_argon2i_str_needs_rehash(setting, 3, 8192) >= 0;
        if (!is_quick_argon2(text) || !whole)
            return STATUS_MALFORMED;
    } else {
        int known = crypt_checksalt(setting);
        if ((known != CRYPT_SALT_OK && known != CRYPT_SALT_METHOD_LEGACY && known != CRYPT_SALT_TOO_CHEAP) || !is_quick_crypt(text))
            return STATUS_MALFORMED;
        /* A setting alone, or a hash that was cut, gives another length. */
        if (!crypt_once(text, "x", hash) || strlen(hash) != text.len)
            return STATUS_MALFORMED;
    }
    memset(out_verifier, 0, VAULT_VERIFIER);
    memcpy(out_verifier, text.ptr, text.len);
    return STATUS_OK;
}

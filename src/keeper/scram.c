#include "keeper/scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/must.h"
#include "base/secret.h"

/* What is stored: version, salt, then for each hash its number, the rounds and both keys. */
#define VERSION 1

static const struct {
    const char *name;
    size_t size;
} hashes[SCRAM_HASHES] = {
    [SCRAM_SHA_1] = { "SHA1", 20 },
    [SCRAM_SHA_256] = { "SHA256", 32 },
};
static EVP_MD *digests[SCRAM_HASHES];

void scram_init(void)
{
    for (int i = 0; i < SCRAM_HASHES; i++)
        if (!digests[i])
            digests[i] = EVP_MD_fetch(NULL, hashes[i].name, NULL);
    must(digests[SCRAM_SHA_1] && digests[SCRAM_SHA_256]);
    /* What the library looks up at the first use is there from now on. */
    struct scram_keys keys;
    static const uint8_t salt[SCRAM_SALT];
    scram_make(SCRAM_SHA_256, S("x"), salt, 1, &keys);
}

size_t scram_key_size(enum scram_hash hash)
{
    return hashes[hash].size;
}

static void hmac(enum scram_hash hash, const void *key, size_t key_size, struct slice message, uint8_t *out)
{
    unsigned size = 0;
    must(HMAC(digests[hash], key, (int)key_size, (const unsigned char *)message.ptr, message.len, out, &size));
    must(size == hashes[hash].size);
}

static void digest(enum scram_hash hash, const uint8_t *octets, uint8_t *out)
{
    must(EVP_Digest(octets, hashes[hash].size, out, NULL, digests[hash], NULL) == 1);
}

void scram_salt(const char key[32], struct slice name, uint8_t out_salt[SCRAM_SALT], uint64_t *out_draw)
{
    /* A key of its own: the same one also seals. */
    uint8_t derived[SCRAM_KEY], full[SCRAM_KEY];
    hmac(SCRAM_SHA_256, key, 32, S("ekirei SCRAM salt"), derived);
    hmac(SCRAM_SHA_256, derived, sizeof derived, name, full);
    memcpy(out_salt, full, SCRAM_SALT);
    if (out_draw)
        memcpy(out_draw, full + SCRAM_SALT, sizeof *out_draw);
    wipe(derived, sizeof derived);
}

/* RFC 7677 4 asks for at least 4096.  A client computes them at every login. */
static const uint32_t rounds_by_cost[SCRAM_COSTS] = { 4096, 10000, 25000, 50000, 100000, 150000, 200000, 300000, 450000,
    600000 };

uint32_t scram_rounds(enum scram_hash hash, uint32_t cost, bool sha1_for_people)
{
    must(cost >= 1 && cost <= SCRAM_COSTS);
    return hash == SCRAM_SHA_1 && !sha1_for_people ? rounds_by_cost[0] : rounds_by_cost[cost - 1];
}

uint32_t scram_cost_of(uint32_t rounds)
{
    uint32_t cost = 0;
    while (cost < SCRAM_COSTS && rounds_by_cost[cost] != rounds)
        cost++;
    return cost;
}

/* A name keeps its place among the accounts, whatever their number: it moves on as they do, and never back. */
uint32_t scram_rounds_of_nobody(const uint32_t counts[SCRAM_COSTS], uint32_t total, uint32_t rounds, uint64_t draw)
{
    uint32_t place = (uint32_t)((draw >> 32) * total >> 32);
    for (uint32_t cost = 0; cost < SCRAM_COSTS; cost++) {
        if (rounds_by_cost[cost] == rounds)
            continue;
        if (place < counts[cost])
            return rounds_by_cost[cost];
        place -= counts[cost];
    }
    return rounds;
}

/* RFC 5802 3: SaltedPassword, ClientKey, StoredKey, ServerKey. */
void scram_make(enum scram_hash hash, struct slice secret, const uint8_t salt[SCRAM_SALT], uint32_t rounds,
    struct scram_keys *out_keys)
{
    uint8_t salted[SCRAM_KEY], client[SCRAM_KEY];
    size_t size = hashes[hash].size;
    memset(out_keys, 0, sizeof *out_keys);
    out_keys->rounds = rounds;
    must(PKCS5_PBKDF2_HMAC(secret.len > 0 ? secret.ptr : "", (int)secret.len, salt, SCRAM_SALT, (int)rounds,
             digests[hash], (int)size, salted) == 1);
    hmac(hash, salted, size, S("Client Key"), client);
    digest(hash, client, out_keys->stored);
    hmac(hash, salted, size, S("Server Key"), out_keys->server);
    wipe(salted, sizeof salted);
    wipe(client, sizeof client);
}

/* RFC 5802 3: ClientKey = ClientProof XOR ClientSignature, and its hash is the StoredKey. */
bool scram_try(enum scram_hash hash, const struct scram_keys *keys, struct slice message, struct slice proof,
    uint8_t out_signature[SCRAM_KEY])
{
    uint8_t key[SCRAM_KEY], stored[SCRAM_KEY];
    size_t size = hashes[hash].size;
    hmac(hash, keys->server, size, message, out_signature);
    if (proof.len != size)
        return false;
    hmac(hash, keys->stored, size, message, key);
    for (size_t i = 0; i < size; i++)
        key[i] ^= (uint8_t)proof.ptr[i];
    digest(hash, key, stored);
    bool same = slice_equal_secret(
        (struct slice){ (const char *)stored, size }, (struct slice){ (const char *)keys->stored, size });
    wipe(key, sizeof key);
    return keys->rounds > 0 && same;
}

size_t scram_pack(const struct scram_verifier *verifier, char out_blob[SCRAM_BLOB])
{
    size_t at = 0;
    out_blob[at++] = VERSION;
    memcpy(out_blob + at, verifier->salt, SCRAM_SALT);
    at += SCRAM_SALT;
    for (int i = 0; i < SCRAM_HASHES; i++) {
        const struct scram_keys *keys = &verifier->keys[i];
        size_t size = hashes[i].size;
        if (keys->rounds == 0)
            continue;
        out_blob[at++] = (char)i;
        for (int octet = 0; octet < 4; octet++)
            out_blob[at + (size_t)octet] = (char)(keys->rounds >> (8 * octet));
        memcpy(out_blob + at + 4, keys->stored, size);
        memcpy(out_blob + at + 4 + size, keys->server, size);
        at += 4 + 2 * size;
    }
    must(at <= SCRAM_BLOB);
    return at;
}

enum status scram_unpack(struct slice blob, struct scram_verifier *out_verifier)
{
    struct scram_verifier verifier = { 0 };
    if (blob.len < 1 + SCRAM_SALT || blob.ptr[0] != VERSION)
        return STATUS_CORRUPT;
    memcpy(verifier.salt, blob.ptr + 1, SCRAM_SALT);
    for (blob = slice_from(blob, 1 + SCRAM_SALT); blob.len > 0;) {
        unsigned hash = (unsigned char)blob.ptr[0];
        if (hash >= SCRAM_HASHES || blob.len < 5 + 2 * hashes[hash].size)
            return STATUS_CORRUPT;
        size_t size = hashes[hash].size;
        struct scram_keys *keys = &verifier.keys[hash];
        keys->rounds = 0;
        for (int octet = 0; octet < 4; octet++)
            keys->rounds |= (uint32_t)(unsigned char)blob.ptr[1 + octet] << (8 * octet);
        memcpy(keys->stored, blob.ptr + 5, size);
        memcpy(keys->server, blob.ptr + 5 + size, size);
        blob = slice_from(blob, 5 + 2 * size);
    }
    *out_verifier = verifier;
    return STATUS_OK;
}

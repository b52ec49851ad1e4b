#include "keeper/vault.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <string.h>

#include "base/alloc.h"
#include "base/must.h"
#include "keeper/scram.h"

#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG   crypto_aead_xchacha20poly1305_ietf_ABYTES
#define ABOUT (16u + LIMIT_DEVICE_NAME) /* octets of the associated data */

_Static_assert(VAULT_VERIFIER == crypto_pwhash_STRBYTES, "the verifier's text is libsodium's");

static EVP_MD *sha256, *md5;

void vault_init(void)
{
    must(sodium_init() >= 0);
    if (!sha256)
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); /* once: looking one up costs more than hashing a short message */
    if (!md5)
        md5 = EVP_MD_fetch(NULL, "MD5", NULL); /* for APOP and CRAM-MD5 only */
    must(sha256 && md5);
    scram_init();
}

/* ---- people's passwords ------------------------------------------------------------------------------------------ */

/* auth.hash_cost: passes and octets of memory.  5 is the second recommendation of OWASP for Argon2id. */
static const struct {
    unsigned long long passes;
    size_t octets;
} costs[] = {
    { 1, 8u << 10 },
    { 1, 1u << 20 },
    { 2, 4u << 20 },
    { 2, 9u << 20 },
    { 2, 19u << 20 },
    { 2, 32u << 20 },
    { 2, 46u << 20 },
    { 3, 64u << 20 },
    { 3, 96u << 20 },
    { 3, 128u << 20 },
};

enum status vault_hash(uint32_t cost, struct slice secret, char out_verifier[VAULT_VERIFIER])
{
    must(cost >= 1 && cost <= sizeof costs / sizeof *costs);
    memset(out_verifier, 0, VAULT_VERIFIER);
    if (crypto_pwhash_str_alg(out_verifier, secret.ptr, secret.len, costs[cost - 1].passes, costs[cost - 1].octets,
            crypto_pwhash_ALG_ARGON2ID13) != 0)
        return STATUS_BUSY; /* the only failure: no memory for it now */
    return STATUS_OK;
}

bool vault_verify(struct slice verifier, struct slice secret)
{
    char text[VAULT_VERIFIER];
    if (verifier.len == 0 || verifier.len >= sizeof text)
        return false;
    memset(text, 0, sizeof text);
    memcpy(text, verifier.ptr, verifier.len);
    if (!slice_starts(verifier, S("$argon2")))
        return vault_verify_crypt(verifier, secret);
    return crypto_pwhash_str_verify(text, secret.ptr, secret.len) == 0;
}

bool vault_is_current(struct slice verifier, uint32_t cost)
{
    char text[VAULT_VERIFIER] = { 0 };
    must(cost >= 1 && cost <= sizeof costs / sizeof *costs);
    if (!slice_starts(verifier, S(crypto_pwhash_argon2id_STRPREFIX)) || verifier.len >= sizeof text)
        return false;
    memcpy(text, verifier.ptr, verifier.len);
    return crypto_pwhash_argon2id_str_needs_rehash(text, costs[cost - 1].passes, costs[cost - 1].octets) == 0;
}

/* ---- device passwords -------------------------------------------------------------------------------------------- */

static size_t about(char out[ABOUT], uint32_t account, struct slice device)
{
    memcpy(out, "ekirei-device", 12);
    memcpy(out + 12, &account, 4);
    device = slice_upto(device, LIMIT_DEVICE_NAME);
    if (device.len > 0)
        memcpy(out + 16, device.ptr, device.len);
    return 16 + device.len;
}

enum status vault_seal(const char key[32], uint32_t account, struct slice device, struct slice secret, struct buf *out)
{
    char data[ABOUT], *room;
    size_t data_len = about(data, account, device);
    TRY(buf_reserve(out, NONCE + secret.len + TAG, &room));
    randombytes_buf(room, NONCE);
    must(crypto_aead_xchacha20poly1305_ietf_encrypt((unsigned char *)room + NONCE, NULL,
             (const unsigned char *)secret.ptr, secret.len, (const unsigned char *)data, data_len, NULL,
             (const unsigned char *)room, (const unsigned char *)key) == 0);
    buf_grown(out, NONCE + secret.len + TAG);
    return STATUS_OK;
}

enum status vault_open(
    const char key[32], uint32_t account, struct slice device, struct slice sealed, struct secret *out_secret)
{
    char data[ABOUT];
    size_t data_len = about(data, account, device);
    if (sealed.len < NONCE + TAG || sealed.len - NONCE - TAG > LIMIT_SECRET)
        return STATUS_CORRUPT;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)out_secret->bytes, NULL, NULL,
            (const unsigned char *)sealed.ptr + NONCE, sealed.len - NONCE, (const unsigned char *)data, data_len,
            (const unsigned char *)sealed.ptr, (const unsigned char *)key) != 0)
        return STATUS_CORRUPT;
    out_secret->len = (uint16_t)(sealed.len - NONCE - TAG);
    return STATUS_OK;
}

void vault_password(char out_password[VAULT_PASSWORD])
{
    /* Without 0 O 1 I l: people type these into a scanner's panel.  24 of 57 are 139 bits. */
    static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    bool has_letter = false;
    while (!has_letter) {
        size_t at = 0;
        for (unsigned i = 0; i < 24; i++) {
            if (i > 0 && i % 6 == 0)
                out_password[at++] = '-';
            uint32_t pick = randombytes_uniform(sizeof letters - 1);
            has_letter = has_letter || pick < sizeof letters - 1 - 8;
            out_password[at++] = letters[pick];
        }
        out_password[at++] = '\0';
        must(at == VAULT_PASSWORD);
    }
}

/* ---- digests ----------------------------------------------------------------------------------------------------- */

void vault_apop(struct slice stamp, struct slice secret, char out_digest[16])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context && EVP_DigestInit_ex2(context, md5, NULL) == 1);
    must(
        EVP_DigestUpdate(context, stamp.ptr, stamp.len) == 1 && EVP_DigestUpdate(context, secret.ptr, secret.len) == 1);
    must(EVP_DigestFinal_ex(context, (unsigned char *)out_digest, NULL) == 1);
    EVP_MD_CTX_free(context);
}

void vault_name(const char key[32], struct slice secret, char out_name[VAULT_NAME])
{
    must(crypto_generichash((unsigned char *)out_name, 32, (const unsigned char *)secret.ptr, secret.len,
             (const unsigned char *)key, 32) == 0);
}

void vault_cram(struct slice challenge, struct slice secret, char out_digest[16])
{
    unsigned size = 0;
    must(HMAC(md5, secret.len > 0 ? secret.ptr : "", (int)secret.len, (const unsigned char *)challenge.ptr,
             challenge.len, (unsigned char *)out_digest, &size) &&
         size == 16);
}

struct vault_digest {
    EVP_MD_CTX *context;
};

struct vault_digest *vault_digest_open(void)
{
    struct vault_digest *digest = alloc(sizeof *digest);
    digest->context = EVP_MD_CTX_new();
    must(digest->context && EVP_DigestInit_ex2(digest->context, sha256, NULL) == 1);
    return digest;
}

void vault_digest_put(struct vault_digest *digest, struct slice octets)
{
    must(EVP_DigestUpdate(digest->context, octets.ptr, octets.len) == 1);
}

void vault_digest_close(struct vault_digest *digest, uint8_t out_digest[32])
{
    must(EVP_DigestFinal_ex(digest->context, out_digest, NULL) == 1);
    EVP_MD_CTX_free(digest->context);
    release(digest);
}

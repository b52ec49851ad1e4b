#include "keeper/test_client.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const EVP_MD *md_of(uint8_t mechanism)
{
    return mechanism == MECHANISM_SCRAM_SHA_1 || mechanism == MECHANISM_SCRAM_SHA_1_PLUS ? EVP_sha1() : EVP_sha256();
}

static struct login_from from_of(const struct scram_try *try)
{
    return (struct login_from){ .session = S("s1"),
        .peer = house_ip(try->peer ? try->peer : "192.0.2.7"),
        .local = house_ip("192.0.2.250"),
        .protocol = try->protocol ? try->protocol : PROTOCOL_POP3,
        .mechanism = try->mechanism,
        .encrypted = !try->cleartext,
        .device_only = try->device_only };
}

struct answer client_scram_begin(struct house *h, int end, uint64_t session, const struct scram_try *try)
{
    struct ask ask = { .kind = ASK_SCRAM,
        .fd = -1,
        .scram = { .name = slice_of(try->name), .authzid = slice_of(try->authzid), .from = from_of(try) } };
    return house_ask(h, end, session, &ask);
}

static void keyed(const EVP_MD *md, const uint8_t *key, size_t size, struct slice text, uint8_t out[32])
{
    assert_non_null(HMAC(md, key, (int)size, (const uint8_t *)text.ptr, text.len, out, NULL));
}

struct answer client_scram_proof(
    struct house *h, int end, uint64_t session, const struct scram_try *try, const struct answer_scram *half)
{
    const EVP_MD *md = md_of(try->mechanism);
    size_t size = (size_t)EVP_MD_get_size(md);
    uint8_t salted[32], client[32], stored[32], server[32], proof[64] = { 0 }, signature[32];
    char text[512];
    snprintf(text, sizeof text, "n=%s,r=client%.*s,s=,i=%u,c=biws,r=client%.*s", try->name, (int)half->nonce.len,
        try->stale_message ? "0123456789012345678901234567890123456789" : half->nonce.ptr, (unsigned)half->rounds,
        (int)half->nonce.len, try->stale_message ? "0123456789012345678901234567890123456789" : half->nonce.ptr);
    struct slice message = slice_of(text);
    assert_int_equal(PKCS5_PBKDF2_HMAC(try->secret, (int)strlen(try->secret), (const uint8_t *)half->salt.ptr,
                         (int)half->salt.len, (int)half->rounds, md, (int)size, salted), 1);
    keyed(md, salted, size, S("Client Key"), client);
    keyed(md, salted, size, S("Server Key"), server);
    assert_int_equal(EVP_Digest(client, size, stored, NULL, md, NULL), 1);
    keyed(md, stored, size, message, proof);
    keyed(md, server, size, message, signature);
    for (size_t i = 0; i < size; i++)
        proof[i] ^= client[i];
    struct scram_try other = *try;
    if (try->other_mechanism)
        other.mechanism = try->other_mechanism;
    struct ask ask = { .kind = ASK_LOGIN_SCRAM,
        .fd = -1,
        .login_scram = { .name = slice_of(try->other_name ? try->other_name : try->name),
            .authzid = slice_of(try->authzid),
            .message = message,
            .proof = { (const char *)proof, try->proof_size ? try->proof_size : size },
            .from = from_of(&other) } };
    struct answer answer = house_ask(h, end, session, &ask);
    if (answer.status == STATUS_OK && answer.login.verdict == LOGIN_OK) {
        assert_int_equal(answer.login.signature.len, size);
        assert_memory_equal(answer.login.signature.ptr, signature, size);
    }
    if (try->replay)
        answer = house_ask(h, end, session, &ask);
    return answer;
}

struct answer client_scram(struct house *h, int end, uint64_t session, const struct scram_try *try)
{
    static const struct answer_scram none = { .salt = S("0123456789abcdef"), .nonce = S("012345678901234567890123"), .rounds = 4096 };
    if (try->skip_begin)
        return client_scram_proof(h, end, session, try, &none);
    struct answer half = client_scram_begin(h, end, session, try);
    return half.status == STATUS_OK ? client_scram_proof(h, end, session, try, &half.scram) : half;
}

struct answer client_digest(struct house *h, uint64_t session, const char *name, const char *secret, uint8_t mechanism,
    uint8_t protocol, bool encrypted)
{
    char digest[16];
    struct slice challenge = S("<1.2@mail.our.test>");
    if (mechanism == MECHANISM_APOP)
        vault_apop(challenge, slice_of(secret), digest);
    else
        vault_cram(challenge, slice_of(secret), digest);
    struct ask ask = { .kind = ASK_LOGIN_DIGEST,
        .fd = -1,
        .login_digest = { .name = slice_of(name),
            .challenge = challenge,
            .digest = { digest, 16 },
            .from = { .session = S("s"),
                .peer = house_ip("192.0.2.7"),
                .protocol = protocol,
                .mechanism = mechanism,
                .encrypted = encrypted } } };
    return house_ask(h, END_USER, session, &ask);
}

void client_crypt(const char *secret, const char *prefix, unsigned long count, char out_hash[VAULT_VERIFIER])
{
    struct crypt_data data = { 0 };
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    assert_non_null(crypt_gensalt_rn(prefix, count, NULL, 0, setting, sizeof setting));
    const char *hash = crypt_r(secret, setting, &data);
    assert_non_null(hash);
    assert_int_not_equal(*hash, '*');
    snprintf(out_hash, VAULT_VERIFIER, "%s", hash);
}

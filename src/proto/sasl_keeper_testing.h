/* sasl_keeper_testing.h - a keeper of one account, for the tests: it computes what the real one computes, in its own way. */
#pragma once

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "proto/sasl_testing.h"

struct test_keeper {
    const char *password;
    struct slice salt, nonce;
    int rounds;
    unsigned char signature[32];
};

static inline const EVP_MD *keeper_hash(size_t len) { return len == 20 ? EVP_sha1() : EVP_sha256(); }

static inline void keeper_hmac(size_t len, const void *key, struct slice text, unsigned char *out)
{
    assert_non_null(HMAC(keeper_hash(len), key, (int)len, (const unsigned char *)text.ptr, text.len, out, NULL));
}

/* RFC 5802 3. */
static inline bool keeper_checks_proof(struct test_keeper *k, const struct ask_login_scram *ask)
{
    unsigned char salted[32], client_key[32], stored_key[32], server_key[32], signature[32];
    size_t len = ask->from.mechanism == MECHANISM_SCRAM_SHA_1 || ask->from.mechanism == MECHANISM_SCRAM_SHA_1_PLUS ? 20 : 32;
    assert_int_equal(ask->proof.len, len);
    assert_int_equal(PKCS5_PBKDF2_HMAC(k->password, -1, (const unsigned char *)k->salt.ptr, (int)k->salt.len, k->rounds,
        keeper_hash(len), (int)len, salted), 1);
    keeper_hmac(len, salted, S("Client Key"), client_key);
    assert_int_equal(EVP_Digest(client_key, len, stored_key, NULL, keeper_hash(len), NULL), 1);
    keeper_hmac(len, stored_key, ask->message, signature);
    for (size_t i = 0; i < len; i++)
        if ((client_key[i] ^ signature[i]) != (unsigned char)ask->proof.ptr[i])
            return false;
    keeper_hmac(len, salted, S("Server Key"), server_key);
    keeper_hmac(len, server_key, ask->message, k->signature);
    return true;
}

static inline bool keeper_checks_digest(struct test_keeper *k, const struct ask_login_digest *ask)
{
    unsigned char digest[16];
    assert_int_equal(ask->digest.len, 16);
    assert_non_null(HMAC(EVP_md5(), k->password, (int)strlen(k->password), (const unsigned char *)ask->challenge.ptr,
        ask->challenge.len, digest, NULL));
    return memcmp(digest, ask->digest.ptr, 16) == 0;
}

/* The answer to whatever `sasl` asks, given to it. */
static inline enum sasl_outcome keeper_answers(struct test_keeper *k)
{
    struct ask ask = filled();
    struct answer answer = { .kind = ask.kind, .fd = -1 };
    bool right = false;
    if (ask.kind == ASK_SCRAM) {
        answer.scram = (struct answer_scram){ .salt = k->salt, .nonce = k->nonce, .rounds = (uint32_t)k->rounds };
        return sasl_answer(&sasl, &answer);
    }
    if (ask.kind == ASK_LOGIN_SCRAM) {
        right = keeper_checks_proof(k, &ask.login_scram);
        answer.login.signature = (struct slice){ (const char *)k->signature, ask.login_scram.proof.len };
    } else if (ask.kind == ASK_LOGIN_DIGEST) {
        right = keeper_checks_digest(k, &ask.login_digest);
    } else if (ask.kind == ASK_LOGIN) {
        right = slice_equal(ask.login.secret, slice_of(k->password));
    } else {
        assert_int_equal(ask.kind, ASK_LOGIN_KEY);
        right = slice_equal(ask.login_key.key, test_tls.peer_key);
    }
    answer.login.verdict = right ? LOGIN_OK : LOGIN_WRONG;
    answer.login.address = S("user@a.example");
    if (!right)
        answer.login.signature = answer.login.address = NO_SLICE;
    return sasl_answer(&sasl, &answer);
}

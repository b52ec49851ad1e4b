/* test_token.h - tokens for tests: keys made on the spot, key sets and signed tokens.  Only tests include it. */
#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "base/buf.h"
#include "mail/coding.h"
#include "mail/jwt.h"

static inline void token_put64(struct buf *out, const void *octets, size_t len)
{
    struct buf text = BUF(65536);
    assert_int_equal(base64_encode(&text, (struct slice){ octets, len }), STATUS_OK);
    while (text.len > 0 && text.ptr[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++)
        text.ptr[i] = text.ptr[i] == '+' ? '-' : text.ptr[i] == '/' ? '_' : text.ptr[i];
    assert_int_equal(buf_put(out, buf_slice(&text)), STATUS_OK);
    buf_done(&text);
}

static inline void token_put_number(struct buf *out, EVP_PKEY *key, const char *name, int len)
{
    unsigned char octets[1024];
    BIGNUM *number = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &number), 1);
    if (len == 0)
        len = BN_num_bytes(number);
    assert_int_equal(BN_bn2binpad(number, octets, len), len);
    BN_free(number);
    token_put64(out, octets, (size_t)len);
}

/* The members of its JWK, without braces. */
static inline void token_put_jwk(struct buf *out, EVP_PKEY *key)
{
    unsigned char raw[32];
    size_t len = sizeof raw;
    enum status status = STATUS_OK;
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        status |= buf_put(out, S("\"kty\":\"RSA\",\"n\":\""));
        token_put_number(out, key, OSSL_PKEY_PARAM_RSA_N, 0);
        status |= buf_put(out, S("\",\"e\":\""));
        token_put_number(out, key, OSSL_PKEY_PARAM_RSA_E, 0);
        break;
    case EVP_PKEY_EC: {
        int wide = (EVP_PKEY_get_bits(key) + 7) / 8;
        status |= buf_print(out, "\"kty\":\"EC\",\"crv\":\"P-%d\",\"x\":\"", EVP_PKEY_get_bits(key));
        token_put_number(out, key, OSSL_PKEY_PARAM_EC_PUB_X, wide);
        status |= buf_put(out, S("\",\"y\":\""));
        token_put_number(out, key, OSSL_PKEY_PARAM_EC_PUB_Y, wide);
        break;
    }
    default:
        assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
        status |= buf_put(out, S("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\""));
        token_put64(out, raw, len);
    }
    status |= buf_put_byte(out, '"');
    assert_int_equal(status, STATUS_OK);
}

/* Octets of a signature as JWS wants them. */
static inline size_t token_sign(EVP_PKEY *key, const char *alg, struct slice input, unsigned char out[1024])
{
    size_t len = 1024;
    EVP_PKEY_CTX *how = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const char *digest = strcmp(alg, "EdDSA") == 0 ? NULL : strstr(alg, "384") ? "SHA384" : strstr(alg, "512") ? "SHA512" : "SHA256";
    assert_int_equal(EVP_DigestSignInit_ex(context, &how, digest, NULL, NULL, key, NULL), 1);
    if (alg[0] == 'P') {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) > 0);
    }
    assert_int_equal(EVP_DigestSign(context, out, &len, (const unsigned char *)input.ptr, input.len), 1);
    EVP_MD_CTX_free(context);
    if (strncmp(alg, "ES", 2) == 0) {
        const unsigned char *at = out;
        int wide = (EVP_PKEY_get_bits(key) + 7) / 8;
        ECDSA_SIG *numbers = d2i_ECDSA_SIG(NULL, &at, (long)len);
        assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(numbers), out, wide), wide);
        assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(numbers), out + wide, wide), wide);
        ECDSA_SIG_free(numbers);
        len = 2 * (size_t)wide;
    }
    return len;
}

/* header.payload.signature; `alg` is how it is signed, whatever the header says. */
static inline void token_make(struct buf *out, EVP_PKEY *key, const char *alg, const char *header, const char *payload)
{
    unsigned char signature[1024];
    buf_clear(out);
    token_put64(out, header, strlen(header));
    assert_int_equal(buf_put_byte(out, '.'), STATUS_OK);
    token_put64(out, payload, strlen(payload));
    size_t len = token_sign(key, alg, buf_slice(out), signature);
    assert_int_equal(buf_put_byte(out, '.'), STATUS_OK);
    token_put64(out, signature, len);
}

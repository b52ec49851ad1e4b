#include "mail/jwt.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/must.h"
#include "mail/coding.h"
#include "mail/json.h"

#define SIGNATURE_MOST 1024u /* octets: RSA with 8192 bits */
#define DER_MOST       128u  /* octets of two numbers of 48 octets with their tags */

/* The whole list (RFC 7518 3.1, RFC 8037 3.1). */
static const struct algorithm {
    const char *name;
    enum jwk_kind kind;
    const char *digest; /* NULL: the signature has its own */
    bool pss;
    size_t length;      /* of r, and of s */
} algorithms[] = {
    { "RS256", JWK_RSA, "SHA256", false, 0 },
    { "RS384", JWK_RSA, "SHA384", false, 0 },
    { "RS512", JWK_RSA, "SHA512", false, 0 },
    { "PS256", JWK_RSA, "SHA256", true, 0 },
    { "PS384", JWK_RSA, "SHA384", true, 0 },
    { "PS512", JWK_RSA, "SHA512", true, 0 },
    { "ES256", JWK_P256, "SHA256", false, 32 },
    { "ES384", JWK_P384, "SHA384", false, 48 },
    { "EdDSA", JWK_ED25519, NULL, false, 0 },
};

static const struct algorithm *find_algorithm(struct slice name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (slice_equal(slice_of(algorithms[i].name), name))
            return &algorithms[i];
    return NULL;
}

/* ---- form ---------------------------------------------------------------------------------------------------------- */

struct parts {
    struct slice header, payload, signature; /* as written */
    struct slice input;                      /* header.payload: what is signed */
};

static bool split(struct slice token, struct parts *out_parts)
{
    size_t first = slice_find(token, '.'), last = slice_find_last(token, '.');
    if (token.len > LIMIT_AUTH_LINE || first >= last || last == token.len)
        return false;
    *out_parts = (struct parts){ .header = slice_upto(token, first),
        .payload = slice_upto(slice_from(token, first + 1), last - first - 1),
        .signature = slice_from(token, last + 1),
        .input = slice_upto(token, last) };
    return slice_find(out_parts->payload, '.') == out_parts->payload.len; /* five parts are an encrypted one */
}

static json_t *read_header(struct slice text)
{
    struct buf octets = BUF(LIMIT_TOKEN_HEADER);
    json_t *header = base64url_decode(&octets, text) == STATUS_OK ? json_read(buf_slice(&octets)) : NULL;
    buf_done(&octets);
    return header;
}

bool jwt_is(struct slice token)
{
    struct parts parts;
    json_t *header = split(token, &parts) ? read_header(parts.header) : NULL;
    bool is = json_is_string(json_object_get(header, "alg"));
    json_decref(header);
    return is;
}

/* RFC 8725 3.11: access tokens, or the plain old kind; not what was made for a logout or a proof of possession. */
static bool is_type_fit(const json_t *header)
{
    static const char *const types[] = { "JWT", "at+jwt", "application/jwt", "application/at+jwt" };
    const json_t *value = json_object_get(header, "typ");
    if (!value)
        return true;
    struct slice type = json_text(header, "typ");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (slice_equal_nocase(type, slice_of(types[i])))
            return true;
    return false;
}

/* ---- signature ----------------------------------------------------------------------------------------------------- */

/* RFC 7518 3.4: r and s side by side, each of full length; the library wants DER. */
static struct slice to_der(const struct algorithm *algorithm, struct slice signature, unsigned char room[DER_MOST])
{
    if (signature.len != 2 * algorithm->length)
        return NO_SLICE;
    ECDSA_SIG *numbers = ECDSA_SIG_new();
    const unsigned char *octets = (const unsigned char *)signature.ptr;
    BIGNUM *r = BN_bin2bn(octets, (int)algorithm->length, NULL);
    BIGNUM *s = BN_bin2bn(octets + algorithm->length, (int)algorithm->length, NULL);
    must(numbers && r && s && ECDSA_SIG_set0(numbers, r, s) == 1);
    unsigned char *end = room;
    must(i2d_ECDSA_SIG(numbers, NULL) <= (int)DER_MOST);
    int len = i2d_ECDSA_SIG(numbers, &end);
    ECDSA_SIG_free(numbers);
    return len > 0 ? (struct slice){ (const char *)room, (size_t)len } : NO_SLICE;
}

static bool is_signed(const struct algorithm *algorithm, const struct jwk *key, struct slice input, struct slice signature)
{
    unsigned char room[DER_MOST];
    EVP_PKEY_CTX *how = NULL; /* belongs to the context */
    if (algorithm->length > 0)
        signature = to_der(algorithm, signature, room);
    if (signature.len == 0)
        return false;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context);
    bool fits = EVP_DigestVerifyInit_ex(context, &how, algorithm->digest, NULL, NULL, key->key, NULL) == 1;
    if (fits && algorithm->pss) /* RFC 7518 3.5: the salt is as long as the digest */
        fits = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) > 0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) > 0;
    fits = fits && EVP_DigestVerify(context, (const unsigned char *)signature.ptr, signature.len,
                       (const unsigned char *)input.ptr, input.len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return fits;
}

/* The key's kind must fit the algorithm, whatever the header says (C089).  A token that names no key is tried with each that fits. */
static enum token_fault check_signature(
    const struct jwk_set *set, const struct algorithm *algorithm, const json_t *header, const struct parts *parts)
{
    struct slice id = json_text(header, "kid");
    struct buf signature = BUF(SIGNATURE_MOST);
    enum token_fault fault = TOKEN_UNKNOWN_KEY;
    if (json_object_get(header, "kid") && id.len == 0)
        return TOKEN_MALFORMED;
    if (base64url_decode(&signature, parts->signature) != STATUS_OK)
        fault = TOKEN_MALFORMED;
    for (size_t i = 0; fault != TOKEN_GOOD && fault != TOKEN_MALFORMED && i < jwk_set_count(set); i++) {
        const struct jwk *key = jwk_set_at(set, i);
        if (id.len > 0 && !slice_equal(key->id, id))
            continue;
        if (key->kind != algorithm->kind || (key->alg.len > 0 && !slice_equal(key->alg, slice_of(algorithm->name)))) {
            fault = id.len > 0 && fault == TOKEN_UNKNOWN_KEY ? TOKEN_ALGORITHM : fault;
            continue;
        }
        fault = is_signed(algorithm, key, parts->input, buf_slice(&signature)) ? TOKEN_GOOD : TOKEN_SIGNATURE;
    }
    buf_done(&signature);
    return fault;
}

static enum token_fault check_header(const struct jwk_set *set, const json_t *header, const struct parts *parts)
{
    const struct algorithm *algorithm = find_algorithm(json_text(header, "alg"));
    if (!algorithm)
        return TOKEN_ALGORITHM;
    if (json_object_get(header, "crit")) /* RFC 7515 4.1.11: we know no extension */
        return TOKEN_CRITICAL;
    if (!is_type_fit(header))
        return TOKEN_TYPE;
    return check_signature(set, algorithm, header, parts);
}

enum token_fault jwt_verify(const struct jwk_set *set, struct slice token, const struct token_rules *rules,
    struct arena *arena, struct token_owner *out_owner)
{
    struct parts parts;
    json_t *header = split(token, &parts) ? read_header(parts.header) : NULL;
    if (!header)
        return TOKEN_MALFORMED;
    enum token_fault fault = check_header(set, header, &parts);
    json_decref(header);
    if (fault != TOKEN_GOOD)
        return fault;
    struct buf payload = BUF(LIMIT_AUTH_LINE);
    if (base64url_decode(&payload, parts.payload) == STATUS_OK)
        fault = token_claims(buf_slice(&payload), rules, arena, out_owner);
    else
        fault = TOKEN_MALFORMED;
    buf_done(&payload);
    return fault;
}

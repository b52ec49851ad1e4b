#include "mail/jwk.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/must.h"
#include "mail/coding.h"
#include "mail/json.h"

#define RSA_LEAST 256u          /* octets of a modulus: RFC 7518 3.3 */
#define RSA_MOST  1024u         /* beyond it a check is only work for us */
#define RSA_EXPONENT 8u
#define EC_MOST   48u           /* octets of a coordinate */
#define SET_ARENA (4u * LIMIT_ERRAND)

struct jwk_set {
    struct arena arena;
    uint32_t holders;
    size_t count;
    struct jwk rows[LIMIT_TOKEN_KEYS];
};

/* A member in base64url; empty where there is none, or it is no such thing. */
static struct slice get_octets(const json_t *object, const char *name, struct buf *room)
{
    buf_clear(room);
    struct slice text = json_text(object, name);
    return base64url_decode(room, text) == STATUS_OK ? buf_slice(room) : NO_SLICE;
}

static EVP_PKEY *make_key(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    must(params && context);
    if (EVP_PKEY_fromdata_init(context) != 1 || EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

/* RFC 7518 6.3.1 */
static EVP_PKEY *read_rsa(const json_t *object)
{
    struct buf n = BUF(RSA_MOST), e = BUF(RSA_EXPONENT);
    struct slice modulus = get_octets(object, "n", &n), exponent = get_octets(object, "e", &e);
    while (modulus.len > 0 && modulus.ptr[0] == 0)
        modulus = slice_from(modulus, 1);
    EVP_PKEY *key = NULL;
    /* The top bit: 2040 bits in 256 octets are too few.  The last: an even number is no modulus and no exponent. */
    bool sound = modulus.len > 0 && exponent.len > 0 &&
                 (modulus.len > RSA_LEAST || (modulus.len == RSA_LEAST && ((unsigned char)modulus.ptr[0] & 0x80))) &&
                 (modulus.ptr[modulus.len - 1] & 1) && (exponent.ptr[exponent.len - 1] & 1) &&
                 !(exponent.len == 1 && exponent.ptr[0] == 1);
    if (sound) {
        BIGNUM *big_n = BN_bin2bn((const unsigned char *)modulus.ptr, (int)modulus.len, NULL);
        BIGNUM *big_e = BN_bin2bn((const unsigned char *)exponent.ptr, (int)exponent.len, NULL);
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        must(big_n && big_e && builder);
        must(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, big_n) == 1);
        must(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, big_e) == 1);
        if (!BN_is_one(big_e))
            key = make_key("RSA", builder);
        OSSL_PARAM_BLD_free(builder);
        BN_free(big_n);
        BN_free(big_e);
    }
    buf_done(&n);
    buf_done(&e);
    return key;
}

/* RFC 7518 6.2.1: coordinates have the full length. */
static EVP_PKEY *read_ec(const json_t *object, const char *group, size_t length)
{
    struct buf x_room = BUF(EC_MOST), y_room = BUF(EC_MOST);
    struct slice x = get_octets(object, "x", &x_room), y = get_octets(object, "y", &y_room);
    EVP_PKEY *key = NULL;
    if (x.len == length && y.len == length) {
        unsigned char point[1 + 2 * EC_MOST] = { 4 }; /* uncompressed */
        memcpy(point + 1, x.ptr, length);
        memcpy(point + 1 + length, y.ptr, length);
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        must(builder);
        must(OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1);
        must(OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * length) == 1);
        key = make_key("EC", builder);
        OSSL_PARAM_BLD_free(builder);
    }
    buf_done(&x_room);
    buf_done(&y_room);
    return key;
}

/* RFC 8037 2 */
static EVP_PKEY *read_ed25519(const json_t *object)
{
    struct buf room = BUF(EC_MOST);
    struct slice x = get_octets(object, "x", &room);
    EVP_PKEY *key = x.len == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.ptr, 32) : NULL;
    buf_done(&room);
    return key;
}

/* RFC 7517 4.2, 4.3: a key for something else is none for us. */
static bool is_for_signatures(const json_t *object)
{
    const json_t *use = json_object_get(object, "use"), *operations = json_object_get(object, "key_ops");
    return (!use || json_names(use, S("sig"))) && (!operations || json_names(operations, S("verify")));
}

/* The point must be on its curve, the modulus no nonsense. */
static bool is_sound(EVP_PKEY *key)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    must(context);
    bool sound = EVP_PKEY_public_check_quick(context) == 1;
    EVP_PKEY_CTX_free(context);
    return sound;
}

static EVP_PKEY *read_key(const json_t *object, enum jwk_kind *out_kind)
{
    struct slice type = json_text(object, "kty"), curve = json_text(object, "crv");
    EVP_PKEY *key = NULL;
    if (slice_equal(type, S("RSA"))) {
        *out_kind = JWK_RSA;
        key = read_rsa(object);
    } else if (slice_equal(type, S("EC")) && slice_equal(curve, S("P-256"))) {
        *out_kind = JWK_P256;
        key = read_ec(object, "P-256", 32);
    } else if (slice_equal(type, S("EC")) && slice_equal(curve, S("P-384"))) {
        *out_kind = JWK_P384;
        key = read_ec(object, "P-384", 48);
    } else if (slice_equal(type, S("OKP")) && slice_equal(curve, S("Ed25519"))) {
        *out_kind = JWK_ED25519;
        key = read_ed25519(object);
    }
    if (key && !is_sound(key)) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static void take_key(struct jwk_set *set, const json_t *object)
{
    struct jwk *row = &set->rows[set->count];
    *row = (struct jwk){ 0 };
    if (!json_is_object(object) || !is_for_signatures(object))
        return;
    if (arena_copy(&set->arena, json_text(object, "kid"), &row->id) != STATUS_OK ||
        arena_copy(&set->arena, json_text(object, "alg"), &row->alg) != STATUS_OK)
        return;
    row->key = read_key(object, &row->kind);
    set->count += row->key != NULL;
}

enum status jwk_set_open(struct slice text, struct jwk_set **out_set)
{
    json_t *object = json_read(text);
    const json_t *keys = json_object_get(object, "keys"), *one;
    if (!json_is_array(keys)) {
        json_decref(object);
        return STATUS_MALFORMED;
    }
    struct jwk_set *set = alloc(sizeof *set);
    set->arena = ARENA(SET_ARENA);
    set->holders = 1;
    for (size_t at = 0; set->count < LIMIT_TOKEN_KEYS && (one = json_array_get(keys, at)); at++)
        take_key(set, one);
    json_decref(object);
    if (set->count == 0) {
        jwk_set_release(set);
        return STATUS_NOT_FOUND;
    }
    *out_set = set;
    return STATUS_OK;
}

struct jwk_set *jwk_set_hold(struct jwk_set *set)
{
    set->holders++;
    return set;
}

void jwk_set_release(struct jwk_set *set)
{
    if (!set || --set->holders > 0)
        return;
    for (size_t i = 0; i < set->count; i++)
        EVP_PKEY_free(set->rows[i].key);
    arena_done(&set->arena);
    release(set);
}

size_t jwk_set_count(const struct jwk_set *set)
{
    return set->count;
}

const struct jwk *jwk_set_at(const struct jwk_set *set, size_t index)
{
    must(index < set->count);
    return &set->rows[index];
}

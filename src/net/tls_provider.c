#include "net/tls_provider.h"

#include <limits.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/proverr.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/alloc.h"
#include "base/must.h"
#include "net/tls_key.h"

#define OURS "ekirei"

/* ---- why it failed, for the log ---- */

enum { WHY_AWAY = 1, WHY_SILENT, WHY_UNKNOWN, WHY_FAILED, WHY_FORM };
static int library;

static void say_why(int why) { ERR_raise(library, why); }

static void name_errors(void)
{
    static ERR_STRING_DATA words[] = { { ERR_PACK(0, 0, WHY_AWAY), "the signer is away" }, { ERR_PACK(0, 0, WHY_SILENT), "the signer does not answer" },
        { ERR_PACK(0, 0, WHY_UNKNOWN), "the signer has no such key" }, { ERR_PACK(0, 0, WHY_FAILED), "the signer could not use the key" },
        { ERR_PACK(0, 0, WHY_FORM), "the signer makes no such signature" }, { 0, NULL } };
    library = ERR_get_next_error_library();
    ERR_load_strings(library, words);
}

static bool ask(enum sign_kind kind, uint32_t detail, const char *name, struct slice octets, struct slice *out_octets)
{
    switch (tls_key_ask(kind, detail, (struct slice){ name, SIGN_KEY_NAME }, octets, out_octets)) {
    case STATUS_OK:
        return true;
    case STATUS_AWAY:
        say_why(WHY_AWAY);
        return false;
    case STATUS_BUSY:
        say_why(WHY_SILENT);
        return false;
    case STATUS_NOT_FOUND:
        say_why(WHY_UNKNOWN);
        return false;
    default:
        say_why(WHY_FAILED);
        return false;
    }
}

/* ---- keys ---- */

struct key {
    const char *type;
    EVP_PKEY *public; /* the default provider's */
    bool is_private;  /* has a name: can be signed with */
    char name[SIGN_KEY_NAME];
};

static void *new_key(const char *type)
{
    struct key *key = alloc(sizeof *key);
    key->type = type;
    return key;
}

static void *new_rsa(void *context) { return context ? new_key("RSA") : NULL; }
static void *new_ec(void *context) { return context ? new_key("EC") : NULL; }
static void *new_ed25519(void *context) { return context ? new_key("ED25519") : NULL; }
static void *new_ed448(void *context) { return context ? new_key("ED448") : NULL; }

static void free_key(void *keydata)
{
    struct key *key = keydata;
    if (key)
        EVP_PKEY_free(key->public);
    release(key);
}

static int has(const void *keydata, int selection)
{
    const struct key *key = keydata;
    return key && key->public && (!(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || key->is_private);
}

static int match(const void *one, const void *other, int selection)
{
    const struct key *a = one, *b = other;
    (void)selection; /* what stands beside the public key follows from it */
    return a->public && b->public && EVP_PKEY_eq(a->public, b->public) == 1;
}

static int import(void *keydata, int selection, const OSSL_PARAM params[])
{
    struct key *key = keydata;
    const OSSL_PARAM *named = OSSL_PARAM_locate_const(params, TLS_PROVIDER_NAME);
    void *name = key->name;
    (void)selection;
    if (key->public || (named && !OSSL_PARAM_get_octet_string(named, &name, sizeof key->name, NULL)))
        return 0;
    key->is_private = named != NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, key->type, "provider=default");
    int made = context && EVP_PKEY_fromdata_init(context) == 1 &&
               EVP_PKEY_fromdata(context, &key->public, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1;
    EVP_PKEY_CTX_free(context);
    return made;
}

/* There is no private half to give: who wants it (any other provider that was to sign) has to come back here. */
static int export(void *keydata, int selection, OSSL_CALLBACK *take, void *argument)
{
    const struct key *key = keydata;
    OSSL_PARAM *params = NULL;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || !key->public || EVP_PKEY_todata(key->public, EVP_PKEY_PUBLIC_KEY, &params) != 1)
        return 0;
    int taken = take(params, argument);
    OSSL_PARAM_free(params);
    return taken;
}

static const OSSL_PARAM *types(int selection)
{
    static const OSSL_PARAM public[] = { OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0), OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0), OSSL_PARAM_END };
    return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? public : NULL;
}

static int get_key_params(void *keydata, OSSL_PARAM params[])
{
    const struct key *key = keydata;
    return key->public && EVP_PKEY_get_params(key->public, params) == 1;
}

static const OSSL_PARAM *gettable(void *context)
{
    static const OSSL_PARAM all[] = { OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL), OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL), OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0), OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0), OSSL_PARAM_END };
    return context ? all : NULL;
}

static const char *operation_of_rsa(int operation) { return operation == OSSL_OP_SIGNATURE || operation == OSSL_OP_ASYM_CIPHER ? "RSA" : NULL; }
static const char *operation_of_ec(int operation) { return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL; }
static const char *operation_of_ed25519(int operation) { return operation == OSSL_OP_SIGNATURE ? "ED25519" : NULL; }
static const char *operation_of_ed448(int operation) { return operation == OSSL_OP_SIGNATURE ? "ED448" : NULL; }

#define CALL(id, function) { (id), (void (*)(void))(function) }
#define KEYS(of)                                                                                                                              \
    static const OSSL_DISPATCH keys_##of[] = { CALL(OSSL_FUNC_KEYMGMT_NEW, new_##of), CALL(OSSL_FUNC_KEYMGMT_FREE, free_key),                 \
        CALL(OSSL_FUNC_KEYMGMT_HAS, has), CALL(OSSL_FUNC_KEYMGMT_MATCH, match), CALL(OSSL_FUNC_KEYMGMT_IMPORT, import),                       \
        CALL(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, types), CALL(OSSL_FUNC_KEYMGMT_EXPORT, export), CALL(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, types),     \
        CALL(OSSL_FUNC_KEYMGMT_GET_PARAMS, get_key_params), CALL(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, gettable),                               \
        CALL(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation_of_##of), { 0, NULL } }
KEYS(rsa);
KEYS(ec);
KEYS(ed25519);
KEYS(ed448);

/* ---- signatures, and opening premaster secrets ---- */

struct use {
    const char *type;
    EVP_PKEY *public;
    char name[SIGN_KEY_NAME];
    enum sign_padding padding;
    bool is_tls;      /* RSA_PKCS1_WITH_TLS_PADDING */
    uint32_t version; /* that the client offered */
    char digest[32];
};

static void *new_use(void *context, const char *properties)
{
    (void)properties;
    return context ? alloc(sizeof(struct use)) : NULL;
}

static void *new_opening(void *context) { return new_use(context, NULL); }

static void free_use(void *context)
{
    struct use *use = context;
    if (use)
        EVP_PKEY_free(use->public);
    release(use);
}

static bool take_padding(struct use *use, const OSSL_PARAM *param)
{
    int number = 0;
    if (param->data_type == OSSL_PARAM_UTF8_STRING) {
        const char *word = param->data;
        number = strcmp(word, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0 ? RSA_PKCS1_PADDING : strcmp(word, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0 ? RSA_PKCS1_PSS_PADDING : 0;
    } else if (!OSSL_PARAM_get_int(param, &number)) {
        return false;
    }
    use->is_tls = number == RSA_PKCS1_WITH_TLS_PADDING;
    use->padding = number == RSA_PKCS1_PSS_PADDING ? SIGN_PADDING_PSS : SIGN_PADDING_PKCS1;
    return use->is_tls || number == RSA_PKCS1_PSS_PADDING || number == RSA_PKCS1_PADDING;
}

/* TLS knows one: as long as the digest (RFC 8446 4.2.3). */
static bool is_salt_of_tls(const OSSL_PARAM *param)
{
    int number = 0;
    if (param->data_type == OSSL_PARAM_UTF8_STRING)
        return strcmp(param->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0 || strcmp(param->data, "-1") == 0;
    return OSSL_PARAM_get_int(param, &number) && number == RSA_PSS_SALTLEN_DIGEST;
}

static int set_use_params(void *context, const OSSL_PARAM params[])
{
    struct use *use = context;
    const OSSL_PARAM *param;
    unsigned int version;
    if (!params)
        return 1;
    if ((param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE)) && (strcmp(use->type, "RSA") != 0 || !take_padding(use, param)))
        return 0;
    if ((param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN)) && !is_salt_of_tls(param))
        return 0;
    if ((param = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION))) {
        if (!OSSL_PARAM_get_uint(param, &version))
            return 0;
        use->version = version;
    }
    return 1;
}

static const OSSL_PARAM *settable(void *context, void *provider)
{
    static const OSSL_PARAM all[] = { OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0), OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL),
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, NULL), OSSL_PARAM_END };
    (void)context;
    return provider ? all : NULL;
}

static int begin_use(void *context, void *keydata, const OSSL_PARAM params[])
{
    struct use *use = context;
    const struct key *key = keydata;
    if (!key || !key->is_private || EVP_PKEY_up_ref(key->public) != 1)
        return 0;
    EVP_PKEY_free(use->public);
    use->public = key->public;
    use->type = key->type;
    memcpy(use->name, key->name, sizeof use->name);
    use->padding = strcmp(key->type, "RSA") == 0 ? SIGN_PADDING_PKCS1 : SIGN_PADDING_NONE;
    return set_use_params(use, params);
}

static int begin_signature(void *context, const char *digest, void *keydata, const OSSL_PARAM params[])
{
    struct use *use = context;
    size_t len = digest ? strlen(digest) : 0;
    if (len >= sizeof use->digest)
        return 0;
    memset(use->digest, 0, sizeof use->digest);
    if (len > 0)
        memcpy(use->digest, digest, len);
    return begin_use(context, keydata, params);
}

static bool give(struct slice from, unsigned char *out, size_t *out_len, size_t size)
{
    if (from.len == 0 || from.len > size) {
        say_why(WHY_FAILED);
        return false;
    }
    memcpy(out, from.ptr, from.len);
    *out_len = from.len;
    return true;
}

/* All of it at once, as TLS does it: the signer wants to see what it signs. */
static int sign(void *context, unsigned char *out, size_t *out_len, size_t size, const unsigned char *octets, size_t len)
{
    struct use *use = context;
    struct slice signature;
    if (!out) {
        *out_len = (size_t)EVP_PKEY_get_size(use->public);
        return 1;
    }
    const struct sign_scheme *scheme = sign_scheme_of(use->type, use->padding, use->digest);
    if (!scheme || !sign_is_handshake((struct slice){ (const char *)octets, len }, scheme)) {
        say_why(WHY_FORM);
        return 0;
    }
    return ask(SIGN_HANDSHAKE, scheme->number, use->name, (struct slice){ (const char *)octets, len }, &signature) && give(signature, out, out_len, size);
}

static int open_secret(void *context, unsigned char *out, size_t *out_len, size_t size, const unsigned char *octets, size_t len)
{
    struct use *use = context;
    struct slice secret;
    if (!use->is_tls) {
        say_why(WHY_FORM);
        return 0;
    }
    if (!out) {
        *out_len = SIGN_SECRET;
        return 1;
    }
    return ask(SIGN_OPEN, use->version, use->name, (struct slice){ (const char *)octets, len }, &secret) && give(secret, out, out_len, size);
}

static const OSSL_DISPATCH signatures[] = { CALL(OSSL_FUNC_SIGNATURE_NEWCTX, new_use), CALL(OSSL_FUNC_SIGNATURE_FREECTX, free_use),
    CALL(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, begin_signature), CALL(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign),
    CALL(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_use_params), CALL(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable), { 0, NULL } };
static const OSSL_DISPATCH openings[] = { CALL(OSSL_FUNC_ASYM_CIPHER_NEWCTX, new_opening), CALL(OSSL_FUNC_ASYM_CIPHER_FREECTX, free_use),
    CALL(OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, begin_use), CALL(OSSL_FUNC_ASYM_CIPHER_DECRYPT, open_secret),
    CALL(OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, set_use_params), CALL(OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS, settable), { 0, NULL } };

/* ---- the provider ---- */

#define QUERY TLS_PROVIDER_QUERY
static const OSSL_ALGORITHM all_keys[] = { { "RSA:rsaEncryption:1.2.840.113549.1.1.1", QUERY, keys_rsa, NULL }, { "EC:id-ecPublicKey:1.2.840.10045.2.1", QUERY, keys_ec, NULL },
    { "ED25519:1.3.101.112", QUERY, keys_ed25519, NULL }, { "ED448:1.3.101.113", QUERY, keys_ed448, NULL }, { 0 } };
static const OSSL_ALGORITHM all_signatures[] = { { "RSA:rsaEncryption:1.2.840.113549.1.1.1", QUERY, signatures, NULL }, { "ECDSA", QUERY, signatures, NULL },
    { "ED25519:1.3.101.112", QUERY, signatures, NULL }, { "ED448:1.3.101.113", QUERY, signatures, NULL }, { 0 } };
static const OSSL_ALGORITHM all_openings[] = { { "RSA:rsaEncryption:1.2.840.113549.1.1.1", QUERY, openings, NULL }, { 0 } };

static const OSSL_ALGORITHM *query(void *context, int operation, int *no_cache)
{
    *no_cache = 0;
    if (!context)
        return NULL;
    return operation == OSSL_OP_KEYMGMT ? all_keys : operation == OSSL_OP_SIGNATURE ? all_signatures : operation == OSSL_OP_ASYM_CIPHER ? all_openings : NULL;
}

static int start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *from, const OSSL_DISPATCH **out_calls, void **out_context)
{
    static const OSSL_DISPATCH calls[] = { CALL(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query), { 0, NULL } };
    static char context; /* there is nothing to know */
    (void)from;
    *out_calls = calls;
    *out_context = &context;
    return handle != NULL;
}

void tls_provider_start(void)
{
    static OSSL_PROVIDER *usual, *ours; /* for the life of the process */
    if (ours)
        return;
    name_errors();
    /* Loading one by hand ends the automatic loading of the default one.  That is preferred wherever both could serve, so that ours has only the keys that are made here. */
    must(OSSL_PROVIDER_add_builtin(NULL, OURS, start) == 1);
    usual = OSSL_PROVIDER_load(NULL, "default");
    ours = OSSL_PROVIDER_load(NULL, OURS);
    must(usual && ours);
    must(EVP_set_default_properties(NULL, "?provider=default") == 1);
}

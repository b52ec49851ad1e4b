#include "net/signer_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "net/signer.h"

/* A key with a passphrase is refused: nobody sits there to type it, and OpenSSL would ask the terminal. */
static int no_passphrase(char *room, int size, int for_writing, void *unused)
{
    (void)room;
    (void)size;
    (void)for_writing;
    (void)unused;
    return -1;
}

static BIO *text_of(struct slice pem)
{
    BIO *text = pem.len > 0 && pem.len <= LIMIT_PEM ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    return text;
}

static enum status complain(struct buf *why, size_t number, const char *what)
{
    if (buf_print(why, "certificate %zu: %s", number + 1, what) != STATUS_OK)
        buf_clear(why); /* that it failed is said by the status */
    return STATUS_MALFORMED;
}

/* Everything behind the first certificate is one, too: a gate would refuse the chain otherwise. */
static bool is_whole(BIO *text)
{
    X509 *next;
    while ((next = PEM_read_bio_X509(text, NULL, NULL, NULL)))
        X509_free(next);
    unsigned long error = ERR_peek_last_error();
    return error == 0 || ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static enum status open_pair(const struct boot_pair *pair, size_t number, struct key *out_key, struct buf *why)
{
    BIO *certificate_text = text_of(pair->certificate), *key_text = text_of(pair->key);
    X509 *certificate = certificate_text ? PEM_read_bio_X509_AUX(certificate_text, NULL, NULL, NULL) : NULL;
    EVP_PKEY *key = key_text ? PEM_read_bio_PrivateKey(key_text, NULL, no_passphrase, NULL) : NULL;
    struct key opened = { .purpose = PURPOSE_TLS };
    enum status status = STATUS_OK;
    if (!certificate || !is_whole(certificate_text))
        status = complain(why, number, pair->certificate.len == 0 ? "is empty" : "the file holds no whole chain of certificates in PEM form");
    else if (!key)
        status = complain(why, number, "its key is no private key in PEM form without passphrase");
    else if (!sign_knows(key))
        status = complain(why, number, "its key is of no kind that works here: RSA, EC, Ed25519 and Ed448 do");
    else if (X509_check_private_key(certificate, key) != 1)
        status = complain(why, number, "the key does not belong to the certificate");
    else if (sign_name(X509_get0_pubkey(certificate), opened.name) != STATUS_OK)
        status = complain(why, number, "its public key cannot be written down");
    BIO_free(certificate_text);
    BIO_free(key_text);
    X509_free(certificate);
    ERR_clear_error();
    if (status == STATUS_OK) {
        opened.key = key;
        *out_key = opened;
    } else {
        EVP_PKEY_free(key);
    }
    return status;
}

enum status signer_check(const struct boot_pair *pair, size_t number, struct buf *why)
{
    struct key key;
    TRY(open_pair(pair, number, &key, why));
    EVP_PKEY_free(key.key);
    return STATUS_OK;
}

static void unready(struct key *key)
{
    EVP_PKEY_CTX_free(key->context);
    EVP_MD_free(key->digest);
    key->context = NULL;
    key->digest = NULL;
    key->scheme = NULL;
}

/* What the thread and the set hold; under the mutex. */
void signer_key_let_go(struct key *key)
{
    if (--key->holders > 0)
        return;
    unready(key);
    EVP_PKEY_free(key->key); /* wipes it */
    release(key);
}

void signer_key_drop(struct key *key)
{
    list_remove(&key->node);
    signer_key_let_go(key);
}

struct key *signer_key_find(const struct list *keys, struct slice name)
{
    for (struct list *node = keys->next; node != keys; node = node->next) {
        struct key *key = list_element(node, struct key, node);
        if (slice_equal((struct slice){ key->name, sizeof key->name }, name))
            return key;
    }
    return NULL;
}

void signer_keys_drop(struct list *keys)
{
    while (!list_is_empty(keys))
        signer_key_drop(list_element(keys->next, struct key, node));
}

enum status signer_keys_open(const struct rows *pairs, struct list *keys, struct buf *why)
{
    for (uint32_t i = 0; i < pairs->count; i++) {
        struct key opened;
        TRY(open_pair(row_of(struct boot_pair, *pairs, i), i, &opened, why));
        if (signer_key_find(keys, (struct slice){ opened.name, sizeof opened.name })) {
            EVP_PKEY_free(opened.key); /* two certificates of one key */
            continue;
        }
        struct key *key = alloc(sizeof *key);
        *key = opened;
        key->holders = 1;
        list_append(keys, &key->node);
    }
    return STATUS_OK;
}

/* ---- using them ---- */

static bool make_ready(struct key *key, const struct sign_scheme *scheme)
{
    unready(key);
    key->digest = EVP_MD_fetch(NULL, scheme->digest, NULL);
    key->context = EVP_PKEY_CTX_new_from_pkey(NULL, key->key, NULL);
    bool ready = key->digest && key->context && EVP_PKEY_sign_init(key->context) == 1 && EVP_PKEY_CTX_set_signature_md(key->context, key->digest) == 1;
    if (ready && scheme->padding == SIGN_PADDING_PSS)
        ready = EVP_PKEY_CTX_set_rsa_padding(key->context, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(key->context, RSA_PSS_SALTLEN_DIGEST) == 1;
    if (ready)
        key->scheme = scheme;
    return ready;
}

/* Ed25519 and Ed448 hash by themselves, twice. */
static bool sign_whole(EVP_PKEY *key, struct slice octets, unsigned char *out, size_t *out_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool made = context && EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
                EVP_DigestSign(context, out, out_len, (const unsigned char *)octets.ptr, octets.len) == 1;
    EVP_MD_CTX_free(context);
    return made;
}

bool signer_key_sign(struct key *key, const struct sign_scheme *scheme, struct slice octets, unsigned char *out, size_t *out_len)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int len;
    *out_len = LIMIT_SIGNED;
    if (!scheme->digest)
        return sign_whole(key->key, octets, out, out_len);
    if (key->scheme != scheme && !make_ready(key, scheme))
        return false;
    return EVP_Digest(octets.ptr, octets.len, hash, &len, key->digest, NULL) == 1 && EVP_PKEY_sign(key->context, out, out_len, hash, len) == 1;
}

/* Unpads in constant time: what has the wrong form or version gives random octets, others each time. */
static bool open_once(EVP_PKEY *key, uint32_t version, struct slice octets, unsigned char out[SIGN_SECRET])
{
    unsigned int offered = version;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &offered), OSSL_PARAM_construct_end() };
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t len = SIGN_SECRET;
    bool opened = context && EVP_PKEY_decrypt_init(context) == 1 && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_WITH_TLS_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_params(context, params) == 1 &&
                  EVP_PKEY_decrypt(context, out, &len, (const unsigned char *)octets.ptr, octets.len) == 1 && len == SIGN_SECRET;
    EVP_PKEY_CTX_free(context);
    return opened;
}

/* RFC 5246 7.4.7.1: whether the padding was right must not be seen.  A peer does not see it: the handshake fails as late as it would otherwise.  But the owner of a gate sees
 * the secret itself, and could ask twice: octets that differ are random ones, so he would have the oracle with which the key can be used for anything (Bleichenbacher).
 * So what takes the secret's place is always the same for the same question, and looks as a right one does; and it is we who open it twice. */
bool signer_key_open(EVP_PKEY *key, const char reject[SIGNER_REJECT], const struct sign_ask *ask, unsigned char *out)
{
    unsigned char first[SIGN_SECRET], second[SIGN_SECRET], instead[EVP_MAX_MD_SIZE], differ = 0;
    struct buf question = BUF(SIGN_FRAME);
    bool opened = sign_put(&question, sign_ask_fields, &(struct sign_ask){ .detail = ask->detail, .key = ask->key, .octets = ask->octets }) == STATUS_OK &&
                  open_once(key, ask->detail, ask->octets, first) && open_once(key, ask->detail, ask->octets, second) &&
                  HMAC(EVP_sha512(), reject, SIGNER_REJECT, (const unsigned char *)question.ptr, question.len, instead, NULL);
    buf_done(&question);
    if (!opened)
        return false;
    instead[0] = (unsigned char)(ask->detail >> 8);
    instead[1] = (unsigned char)ask->detail;
    for (size_t i = 0; i < SIGN_SECRET; i++)
        differ |= first[i] ^ second[i];
    unsigned char rejected = (unsigned char)-(unsigned char)((differ | -differ) >> 7 & 1);
    for (size_t i = 0; i < SIGN_SECRET; i++)
        out[i] = (unsigned char)((first[i] & ~rejected) | (instead[i] & rejected));
    wipe(first, sizeof first);
    wipe(second, sizeof second);
    return true;
}

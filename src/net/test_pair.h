/* test_pair.h - certificates for tests: self-signed, made when the test runs. */
#pragma once

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <sys/socket.h>

#include "base/must.h"
#include "net/signer.h"
#include "net/tls.h"
#include "net/tls_key.h"

struct test_pair {
    struct buf certificate, key;
};

static inline void test_pair_text(BIO *text, struct buf *out)
{
    char *octets;
    long len = BIO_get_mem_data(text, &octets);
    *out = BUF(65536);
    must(buf_put(out, (struct slice){ octets, (size_t)len }) == STATUS_OK);
    BIO_free(text);
}

/* `names` in OpenSSL's words: "DNS:a.example,DNS:*.b.example"; `subject` is the common name.  Takes over the key. */
static inline struct test_pair test_pair_sign(const char *subject, const char *names, EVP_PKEY *key, const EVP_MD *hash)
{
    struct test_pair pair;
    X509 *certificate = X509_new();
    must(key && certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)subject, -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    must(extension && X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
    must(X509_sign(certificate, key, hash) > 0);
    BIO *text = BIO_new(BIO_s_mem());
    must(PEM_write_bio_X509(text, certificate));
    test_pair_text(text, &pair.certificate);
    text = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PrivateKey(text, key, NULL, NULL, 0, NULL, NULL));
    test_pair_text(text, &pair.key);
    EVP_PKEY_free(key);
    X509_free(certificate);
    return pair;
}

static inline struct test_pair test_pair_make(const char *subject, const char *names, bool rsa)
{
    return test_pair_sign(subject, names, rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), EVP_sha256());
}

static inline struct tls_pair test_pair_view(const struct test_pair *pair)
{
    return (struct tls_pair){ buf_slice(&pair->certificate) };
}

static inline void test_signer_take(struct signer *signer, const struct test_pair *const *pairs, size_t count)
{
    struct boot_pair rows[8];
    struct buf why = BUF(256);
    must(count <= 8);
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct boot_pair){ buf_slice(&pairs[i]->certificate), buf_slice(&pairs[i]->key) };
    must(signer_take(signer, &(struct rows){ rows, (uint32_t)count }, &why) == STATUS_OK);
    buf_done(&why);
}

/* A signer with these keys, and this process's stream to it: as a gate has it. */
static inline struct signer *test_signer(const struct test_pair *const *pairs, size_t count)
{
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    struct signer *signer = signer_open(-1);
    test_signer_take(signer, pairs, count);
    signer_join(signer, ends[0], ROLE_USER, 0);
    tls_key_signer(ends[1]);
    return signer;
}

static inline void test_signer_done(struct signer *signer)
{
    tls_key_signer(-1);
    signer_close(signer);
}

static inline void test_pair_done(struct test_pair *pair)
{
    buf_done(&pair->certificate);
    buf_done(&pair->key);
}

#include "init_cert.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/random.h"

#define PEM_MOST      65536u
#define CA_DAYS       3650
#define CERT_DAYS     825      /* longer ones are refused by macOS and iOS */
#define CLOCK_SLACK   (-3600L) /* seconds: a client whose clock is a little slow takes the certificate, too */
#define SERIAL_OCTETS 16u      /* RFC 5280 4.1.2.2: at most 20, positive */
#define NAME_MOST     64u      /* octets of a common name (RFC 5280, ub-common-name) */

/* One extension from its text as in openssl.cnf(5). */
static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *text)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, text);
    bool added = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool set_serial(X509 *cert)
{
    unsigned char octets[SERIAL_OCTETS];
    random_fill(octets, sizeof octets);
    octets[0] = (octets[0] & 0x7f) | 0x40; /* positive, and of one length */
    BIGNUM *number = BN_bin2bn(octets, sizeof octets, NULL);
    bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return set;
}

/* Version 3, serial, term, subject; issuer and extensions are the caller's. */
static X509 *new_cert(EVP_PKEY *key, const char *name, int days)
{
    X509 *cert = X509_new();
    if (!cert)
        return NULL;
    X509_NAME *subject = X509_get_subject_name(cert);
    bool made =
        X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        X509_gmtime_adj(X509_getm_notBefore(cert), CLOCK_SLACK) &&
        X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL) &&
        X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)"ekirei", -1, -1, 0) == 1 &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
        X509_set_pubkey(cert, key) == 1;
    if (made)
        return cert;
    X509_free(cert);
    return NULL;
}

static X509 *make_ca(EVP_PKEY *key, struct slice domain)
{
    char name[NAME_MOST + 1];
    snprintf(name, sizeof name, "ekirei CA of %.*s", (int)domain.len, domain.ptr);
    X509 *ca = new_cert(key, name, CA_DAYS);
    if (!ca)
        return NULL;
    bool made = X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1 &&
                add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                add_extension(ca, ca, NID_subject_key_identifier, "hash") && X509_sign(ca, key, EVP_sha256()) > 0;
    if (made)
        return ca;
    X509_free(ca);
    return NULL;
}

static X509 *make_leaf(EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, struct slice hostname)
{
    char name[LIMIT_DOMAIN + 1], names[LIMIT_DOMAIN + 64];
    snprintf(name, sizeof name, "%.*s", (int)hostname.len, hostname.ptr);
    snprintf(names, sizeof names, "DNS:%s,DNS:localhost,IP:127.0.0.1,IP:::1", name);
    X509 *cert = new_cert(key, strlen(name) <= NAME_MOST ? name : "mail server", CERT_DAYS);
    if (!cert)
        return NULL;
    bool made = X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
                add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
                add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") &&
                add_extension(cert, ca, NID_ext_key_usage, "serverAuth") &&
                add_extension(cert, ca, NID_subject_alt_name, names) &&
                add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
                add_extension(cert, ca, NID_authority_key_identifier, "keyid:always") &&
                X509_sign(cert, ca_key, EVP_sha256()) > 0;
    if (made)
        return cert;
    X509_free(cert);
    return NULL;
}

/* ---- PEM ---- */

static enum status take_bio(BIO *bio, bool written, struct buf *out)
{
    char *octets;
    long len = BIO_get_mem_data(bio, &octets);
    return written && len > 0 ? buf_put(out, (struct slice){ octets, (size_t)len }) : STATUS_IO;
}

static enum status put_cert(X509 *cert, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    enum status status = bio ? take_bio(bio, PEM_write_bio_X509(bio, cert) == 1, out) : STATUS_IO;
    BIO_free(bio);
    return status;
}

static enum status put_key(EVP_PKEY *key, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    enum status status =
        bio ? take_bio(bio, PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1, out) : STATUS_IO;
    BIO_free(bio);
    return status;
}

/* ---- both ---- */

enum status init_cert_make(struct slice domain, struct slice hostname, struct init_cert *out_cert)
{
    struct init_cert made = { BUF(PEM_MOST), BUF(PEM_MOST), BUF(PEM_MOST), BUF(PEM_MOST) };
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = ca_key ? make_ca(ca_key, domain) : NULL, *cert = ca && key ? make_leaf(key, ca, ca_key, hostname) : NULL;
    enum status status = cert ? put_cert(ca, &made.ca) : STATUS_IO;
    if (status == STATUS_OK)
        status = put_key(ca_key, &made.ca_key);
    if (status == STATUS_OK)
        status = put_cert(cert, &made.cert);
    if (status == STATUS_OK)
        status = put_key(key, &made.key);
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    if (status == STATUS_OK)
        *out_cert = made;
    else
        init_cert_done(&made);
    return status;
}

void init_cert_done(struct init_cert *cert)
{
    buf_wipe(&cert->ca_key);
    buf_wipe(&cert->key);
    buf_done(&cert->ca);
    buf_done(&cert->ca_key);
    buf_done(&cert->cert);
    buf_done(&cert->key);
}

enum status init_cert_check(struct slice cert, struct slice key, int64_t *out_seconds_left)
{
    BIO *cert_bio = BIO_new_mem_buf(cert.ptr, (int)cert.len), *key_bio = BIO_new_mem_buf(key.ptr, (int)key.len);
    X509 *read = cert_bio ? PEM_read_bio_X509(cert_bio, NULL, NULL, NULL) : NULL;
    EVP_PKEY *private = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL) : NULL;
    int days = 0, seconds = 0;
    enum status status = STATUS_OK;
    if (!read || !private || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(read)) != 1)
        status = STATUS_MALFORMED;
    else if (X509_check_private_key(read, private) != 1)
        status = STATUS_DENIED;
    X509_free(read);
    EVP_PKEY_free(private);
    BIO_free(cert_bio);
    BIO_free(key_bio);
    ERR_clear_error();
    if (status == STATUS_OK)
        *out_seconds_left = (int64_t)days * 86400 + seconds;
    return status;
}

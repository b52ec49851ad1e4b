/* ctl_key.c - which key a device logs in with (EXTERNAL, RFC 4422 A): the SHA-256 of its SubjectPublicKeyInfo, from a
 * certificate or public key in PEM, or typed.  Who issued the certificate and how long it is valid does not matter: the
 * key itself is what was registered. */
#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "base/secret.h"
#include "ctl_file.h"
#include "ctl_impl.h"
#include "mail/coding.h"

/* 64 hexadecimal digits, in groups with ':' as `openssl dgst -c` writes them, or without. */
static bool read_digest(struct slice typed, uint8_t out_digest[CTL_KEY])
{
    struct buf digits = BUF(2 * CTL_KEY), octets = BUF(CTL_KEY);
    bool fine = true;
    for (size_t at = 0; fine && at < typed.len; at++)
        if (typed.ptr[at] != ':' || digits.len % 2 != 0 || digits.len == 0)
            fine = buf_put_byte(&digits, typed.ptr[at]) == STATUS_OK;
    fine = fine && digits.len == (size_t)2 * CTL_KEY && hex_decode(&octets, buf_slice(&digits)) == STATUS_OK;
    if (fine)
        memcpy(out_digest, octets.ptr, CTL_KEY);
    buf_done(&digits);
    buf_done(&octets);
    return fine;
}

int ctl_typed_digest(struct slice typed, uint8_t out_digest[CTL_KEY])
{
    if (read_digest(slice_trim(typed), out_digest))
        return CTL_DONE;
    return ctl_usage("--key-digest: write the SHA-256 of the public key (SubjectPublicKeyInfo) as 64 hexadecimal digits; "
                     "--certificate FILE.pem computes it");
}

/* The DER form of the public key in a PEM text; 0: there is none. */
static int public_key(struct slice pem, unsigned char **out_info)
{
    int size = 0;
    BIO *in = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *certificate = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    if (certificate)
        size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), out_info);
    X509_free(certificate);
    if (size > 0)
        return size;
    in = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = in ? PEM_read_bio_PUBKEY(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    if (key)
        size = i2d_PUBKEY(key, out_info);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return size;
}

int ctl_typed_certificate(const char *path, uint8_t out_digest[CTL_KEY])
{
    struct buf pem = BUF(LIMIT_PEM);
    unsigned char *info = NULL;
    int code = CTL_DONE;
    enum status status = file_read(path, &pem);
    if (status == STATUS_NOT_FOUND || status == STATUS_IO)
        code = ctl_failed("%s cannot be read: %s", path, strerror(status == STATUS_IO ? errno : ENOENT));
    else if (status != STATUS_OK)
        code = ctl_failed("%s is too large for a certificate: more than %u octets", path, LIMIT_PEM);
    int size = code == CTL_DONE ? public_key(buf_slice(&pem), &info) : 0;
    if (code == CTL_DONE && size <= 0)
        code = slice_has(buf_slice(&pem), S("PRIVATE KEY-----"))
                   ? ctl_usage("%s holds a private key, which stays with its owner: give the certificate or the public "
                               "key, as 'openssl pkey -in FILE -pubout' prints it",
                         path)
                   : ctl_usage("%s holds no certificate and no public key in PEM form ('-----BEGIN CERTIFICATE-----')", path);
    if (code == CTL_DONE)
        SHA256(info, (size_t)size, out_digest);
    OPENSSL_free(info);
    buf_wipe(&pem);
    buf_done(&pem);
    return code;
}

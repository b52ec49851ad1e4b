#include "net/tls_key.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>

/* A key with a passphrase is refused: nobody sits there to type it, and OpenSSL would ask the terminal. */
static int no_passphrase(char *room, int size, int for_writing, void *unused)
{
    (void)room;
    (void)size;
    (void)for_writing;
    (void)unused;
    return -1;
}

enum status tls_key_open(struct slice pem, EVP_PKEY **out_key)
{
    if (pem.len == 0 || pem.len > INT_MAX)
        return STATUS_MALFORMED;
    BIO *text = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = text ? PEM_read_bio_PrivateKey(text, NULL, no_passphrase, NULL) : NULL;
    BIO_free(text);
    ERR_clear_error();
    if (!key)
        return STATUS_MALFORMED;
    *out_key = key;
    return STATUS_OK;
}

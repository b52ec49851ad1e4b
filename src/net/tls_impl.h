/* tls_impl.h - what contexts (tls_context.c) and sessions (tls.c) share. */
#pragma once

#include <openssl/ssl.h>

#include "base/map.h"
#include "net/tls.h"

struct tls_context {
    uint32_t holders;
    SSL_CTX **of_pair; /* one a pair; the first is the default, and the client's only one */
    size_t pair_count;
    struct tls_binding *end_points; /* one a pair */
    struct map names; /* of certificates, lower case -> SSL_CTX: fixed once open (C063) */
    struct buf alpn;
};

const char *tls_last_reason(void); /* OpenSSL's, and its queue is empty then */
SSL_CTX *tls_find_pair(const struct tls_context *context, const char *asked); /* by a server's name; NULL: none has it */

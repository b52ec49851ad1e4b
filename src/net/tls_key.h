/* tls_key.h - where private keys come from.
 *
 * A context gets its key through here and nowhere else.  Today the key's PEM text arrives in the gate's boot message and is wiped once read; a later signer
 * keeps it in another process, behind this same call. */
#pragma once

#include <openssl/evp.h>

#include "base/slice.h"

MUST_USE enum status tls_key_open(struct slice pem, EVP_PKEY **out_key);

/* tls_key.h - where the keys of TLS contexts come from: they are handles, and the keys are in another process.
 *
 * A context gets its key through tls_key_open() and nowhere else.  What comes back knows the certificate's public key and the name of the private one; to sign, it asks the
 * signer (sign.h) over the process's one stream.
 *
 * The ask is synchronous.  OpenSSL's server signs in the middle of a call, and the one way out of that call is a stack of its own for every handshake (ASYNC_JOB), with
 * contexts that the stack protector and seccomp know nothing of.  The gate would compute the signature itself in that time, so its other sessions wait no
 * longer than they did, but for the trip: see docs/proof.md.  The wait is bounded (LIMIT_SIGN_WAIT), and only one may run out: until the late answer is there nothing more is
 * asked, and handshakes that need a signature fail at once. */
#pragma once

#include <openssl/x509.h>

#include "net/sign.h"

/* The stream to the signer; takes over `fd` and closes the one before.  -1: there is none. */
void tls_key_signer(int fd);
/* Called when the stream is lost; NULL: nobody. */
void tls_key_watch(void (*lost)(void *context), void *context);
/* MALFORMED: a public key of a kind that sign.h has no scheme for. */
MUST_USE enum status tls_key_open(X509 *certificate, EVP_PKEY **out_key);
/* For the provider.  AWAY: nobody is there, BUSY: no answer in time, or the signer's status.  The octets live until the next ask. */
MUST_USE enum status tls_key_ask(enum sign_kind kind, uint32_t detail, struct slice key, struct slice octets, struct slice *out_octets);

/* vault.h - secrets at rest: password verifiers (Argon2id), sealed device passwords, and the making of those.
 *
 * vault_hash() and vault_verify() take milliseconds on purpose: on a pool thread only. */
#pragma once

#include "base/buf.h"
#include "base/secret.h"

#define VAULT_VERIFIER 128 /* octets of a verifier's text with its NUL */
#define VAULT_PASSWORD 28  /* octets of a device password with its NUL */

void vault_init(void); /* once, before the jail */
/* cost 1 (under 0.1 ms, for tests) to 10; 5 is about 16 ms and 19 MiB. */
MUST_USE enum status vault_hash(uint32_t cost, struct slice secret, char out_verifier[VAULT_VERIFIER]);
/* Also of imported ones. */
bool vault_verify(struct slice verifier, struct slice secret);
/* A hash made elsewhere, as it is kept: what crypt(3) knows, and Argon2; a "{SCHEME}" in front is left out.  MALFORMED
 * where it is none of these, not whole, or would take longer than about a second.  Hashes once: on a pool thread only. */
MUST_USE enum status vault_import(struct slice text, char out_verifier[VAULT_VERIFIER]);
/* Is it what vault_hash() makes at this cost? */
bool vault_is_current(struct slice verifier, uint32_t cost);
/* crypt(3): for vault.c. */
bool vault_verify_crypt(struct slice verifier, struct slice secret);
/* Encrypted, and bound to account and device name: moved elsewhere it does not open (C235). */
MUST_USE enum status vault_seal(
    const char key[32], uint32_t account, struct slice device, struct slice secret, struct buf *out);
MUST_USE enum status vault_open(
    const char key[32], uint32_t account, struct slice device, struct slice sealed, struct secret *out_secret);
/* Four groups of six, at least 120 bits, without the letters that look alike. */
void vault_password(char out_password[VAULT_PASSWORD]);
/* RFC 1939 7: MD5 of stamp and shared secret. */
void vault_apop(struct slice stamp, struct slice secret, char out_digest[16]);
/* RFC 2195 2: HMAC-MD5 of the challenge, keyed by the shared secret. */
void vault_cram(struct slice challenge, struct slice secret, char out_digest[16]);
/* Keyed and quick: names a password in memory. */
#define VAULT_NAME 32u /* octets */
void vault_name(const char key[32], struct slice secret, char out_name[VAULT_NAME]);
/* SHA-256. */
struct vault_digest;
struct vault_digest *vault_digest_open(void);
void vault_digest_put(struct vault_digest *digest, struct slice octets);
void vault_digest_close(struct vault_digest *digest, uint8_t out_digest[32]); /* frees */

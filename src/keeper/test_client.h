/* test_client.h - the other end of the mechanisms, for tests: what a client computes. */
#pragma once

#include "keeper/test_house.h"

struct scram_try {
    const char *name, *secret, *peer;
    uint8_t mechanism, protocol;
    bool cleartext, device_only;
    /* Lies of the gate; 0 or NULL: none. */
    const char *other_name, *authzid;
    size_t proof_size;
    uint8_t other_mechanism;
    bool skip_begin, replay, stale_message;
};
/* Both halves.  The server's signature is checked where the login was right. */
struct answer client_scram(struct house *h, int end, uint64_t session, const struct scram_try *try);
/* The first half alone. */
struct answer client_scram_begin(struct house *h, int end, uint64_t session, const struct scram_try *try);
/* The second, with what the first brought. */
struct answer client_scram_proof(
    struct house *h, int end, uint64_t session, const struct scram_try *try, const struct answer_scram *half);
struct answer client_digest(struct house *h, uint64_t session, const char *name, const char *secret, uint8_t mechanism,
    uint8_t protocol, bool encrypted);
/* crypt(3); count 0: as many rounds as is usual. */
void client_crypt(const char *secret, const char *prefix, unsigned long count, char out_hash[VAULT_VERIFIER]);

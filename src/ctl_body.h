/* ctl_body.h - bodies as the keeper hands them out, piece by piece: are they what they were when they were stored? */
#pragma once

#include <openssl/evp.h>

#include "ask/ask.h"

struct body_reader {
    EVP_MD *sha256;
    EVP_MD_CTX *hash;
    struct buf pending, plain;
    uint64_t id, got, octets; /* of the one under way: stored and plain octets so far */
    bool unpacks;
    uint8_t found;      /* enum found, of the one that is over; 0: it is whole */
    enum status status; /* of put() */
    enum status (*put)(void *context, struct slice plain); /* may be NULL */
    void *context;
};
/* `unpacks`: zstd reads what strangers wrote; else only length and digest are looked at. */
void body_reader_init(struct body_reader *r, bool unpacks);
void body_reader_done(struct body_reader *r);
/* True where a body is over with this piece: `found` says how. */
bool body_reader_feed(struct body_reader *r, const struct body_row *row);

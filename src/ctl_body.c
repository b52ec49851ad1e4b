#include "ctl_body.h"

#include <string.h>

#include "base/must.h"
#include "mail/pack.h"

#define FRAME_MOST (LIMIT_BODY_FRAME + 1024u) /* packed octets of one frame at its worst */

void body_reader_init(struct body_reader *r, bool unpacks)
{
    *r = (struct body_reader){ .unpacks = unpacks };
    r->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    r->hash = EVP_MD_CTX_new();
    must(r->sha256 && r->hash);
    r->pending = BUF(FRAME_MOST + LIMIT_FRAME);
    r->plain = BUF(LIMIT_BODY_FRAME);
}

void body_reader_done(struct body_reader *r)
{
    EVP_MD_CTX_free(r->hash);
    EVP_MD_free(r->sha256);
    buf_done(&r->pending);
    buf_done(&r->plain);
}

static void begin(struct body_reader *r, uint64_t id)
{
    int begun = EVP_DigestInit_ex2(r->hash, r->sha256, NULL);
    must(begun == 1);
    buf_clear(&r->pending);
    r->id = id;
    r->got = r->octets = 0;
    r->found = 0;
    r->status = STATUS_OK;
}

/* Whole frames leave `pending`; false where what is there can never become one. */
static bool unpack_pending(struct body_reader *r)
{
    size_t len;
    while (r->pending.len > 0 && pack_frame(buf_slice(&r->pending), &len) == STATUS_OK) {
        buf_clear(&r->plain);
        if (unpack_frame(&r->plain, slice_upto(buf_slice(&r->pending), len)) != STATUS_OK)
            return false;
        r->octets += r->plain.len;
        if (r->put && r->status == STATUS_OK)
            r->status = r->put(r->context, buf_slice(&r->plain));
        buf_drop(&r->pending, len);
    }
    return r->pending.len <= FRAME_MOST;
}

static uint8_t judge(struct body_reader *r, const struct body_row *row)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    int ended = EVP_DigestFinal_ex(r->hash, digest, &size);
    must(ended == 1);
    if (!slice_equal((struct slice){ (char *)digest, size }, row->digest))
        return FOUND_DIGEST;
    if (r->unpacks && (r->found || r->pending.len > 0 || r->octets != row->size))
        return FOUND_UNPACK;
    return 0;
}

bool body_reader_feed(struct body_reader *r, const struct body_row *row)
{
    if (row->at == 0)
        begin(r, row->id);
    if (row->found) {
        r->found = row->found;
        return true;
    }
    /* It is read to its end also where it is broken: the digest tells what is broken. */
    int fed = EVP_DigestUpdate(r->hash, row->octets.len > 0 ? row->octets.ptr : "", row->octets.len);
    must(fed == 1);
    r->got += row->octets.len;
    if (r->unpacks && !r->found) {
        enum status status = buf_put(&r->pending, row->octets);
        if (status != STATUS_OK || !unpack_pending(r))
            r->found = FOUND_UNPACK;
    }
    if (r->got < row->stored)
        return false;
    r->found = judge(r, row);
    return true;
}

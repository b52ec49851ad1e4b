/* CRAM-MD5 and APOP: a digest of the secret and of a stamp that we chose; whether it is right the keeper knows. */
#include "mail/coding.h"
#include "proto/sasl_impl.h"

enum { MD5 = 16 };

static bool keep_digest(struct sasl *sasl, struct slice hex)
{
    struct buf digest = BUF(MD5);
    bool fine = hex.len == 2 * (size_t)MD5 && hex_decode(&digest, hex) == STATUS_OK &&
        secret_set(&sasl->secret, buf_slice(&digest)) == STATUS_OK;
    buf_wipe(&digest);
    buf_done(&digest);
    return fine;
}

/* ---- CRAM-MD5: RFC 2195 2 --------------------------------------------------------------------------------------------- */

enum sasl_outcome sasl_greet_cram(struct sasl *sasl)
{
    if (sasl_stamp(&sasl->scene, sasl->arena, &sasl->stamp) != STATUS_OK)
        return SASL_MALFORMED;
    return sasl_challenge(sasl, sasl->stamp);
}

/* A name may hold spaces, a digest does not. */
enum sasl_outcome sasl_step_cram(struct sasl *sasl, struct slice message)
{
    size_t space = slice_find_last(message, ' ');
    if (space == message.len || !sasl_keep_name(sasl, slice_upto(message, space)) ||
        !keep_digest(sasl, slice_from(message, space + 1)))
        return SASL_MALFORMED;
    return sasl_ask(sasl, ASK_LOGIN_DIGEST);
}

/* ---- APOP: RFC 1939 7 ------------------------------------------------------------------------------------------------- */

enum sasl_outcome sasl_apop(struct sasl *sasl, const struct sasl_scene *scene, struct slice name, struct slice stamp,
    struct slice hex, struct arena *arena)
{
    *sasl = (struct sasl){ .mechanism = sasl_row(MECHANISM_APOP), .scene = *scene, .arena = arena, .stamp = stamp };
    return sasl_keep_name(sasl, name) && keep_digest(sasl, hex) ? sasl_ask(sasl, ASK_LOGIN_DIGEST) : SASL_MALFORMED;
}

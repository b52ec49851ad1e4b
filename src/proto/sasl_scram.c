/* SCRAM, the server's side (RFC 5802, RFC 7677), but for the keys: whether a proof is right the keeper knows. */
#include "mail/coding.h"
#include "proto/sasl_impl.h"

enum { WAITS_FOR_FIRST, WAITS_FOR_FINAL };

/* ---- attributes: RFC 5802 7 ------------------------------------------------------------------------------------------- */

/* "x=value" off the front; what is left begins with a comma, or is empty. */
static bool take_attribute(struct slice *rest, char name, struct slice *out_value)
{
    struct slice piece = slice_upto(*rest, slice_find(*rest, ','));
    if (piece.len < 3 || piece.ptr[0] != name || piece.ptr[1] != '=')
        return false;
    *rest = slice_from(*rest, piece.len);
    *out_value = slice_from(piece, 2);
    return true;
}

static bool take_comma(struct slice *rest)
{
    bool there = rest->len > 0 && rest->ptr[0] == ',';
    *rest = slice_from(*rest, 1);
    return there;
}

/* Unknown optional ones "MUST be ignored" (5.1), and "m" in any place is none. */
static bool are_extensions(struct slice rest)
{
    while (rest.len > 0) {
        struct slice value;
        if (!take_comma(&rest) || rest.len == 0)
            return false;
        char name = rest.ptr[0];
        bool is_letter = (name >= 'a' && name <= 'z') || (name >= 'A' && name <= 'Z');
        if (!is_letter || name == 'm' || !take_attribute(&rest, name, &value))
            return false;
    }
    return true;
}

static bool is_nonce(struct slice s, size_t most)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '!' || s.ptr[i] > '~' || s.ptr[i] == ',')
            return false;
    return s.len > 0 && s.len <= most;
}

static bool is_text(struct slice s) { return slice_is_utf8(s) && slice_find(s, '\0') == s.len; }

/* ---- channel binding: RFC 5802 6 -------------------------------------------------------------------------------------- */

/* RFC 5929, RFC 9266; empty: this connection has no such binding, or nobody knows its name. */
static struct slice binding_data(const struct tls_facts *tls, struct slice name)
{
    if (slice_equal(name, S("tls-exporter")))
        return tls->export ? tls->export(tls->context) : tls->exporter;
    if (slice_equal(name, S("tls-unique")))
        return tls->unique;
    return slice_equal(name, S("tls-server-end-point")) ? tls->end_point : NO_SLICE;
}

/* NULL, or the word for what is wrong. */
static const char *check_binding(const struct sasl *sasl, const struct gs2 *gs2, struct slice *out_data)
{
    const struct sasl_mechanism *row = sasl->mechanism;
    *out_data = NO_SLICE;
    if (gs2->flag == 'p') {
        if (!row->binds)
            return "channel-binding-not-supported";
        *out_data = binding_data(sasl->scene.tls, gs2->binding);
        return out_data->len > 0 ? NULL : "unsupported-channel-binding-type";
    }
    if (row->binds)
        return "other-error"; /* a -PLUS that binds nothing */
    /* The client believes that we have no -PLUS: somebody took it out of our list. */
    if (gs2->flag == 'y' && sasl_stand(sasl_row(row->plus), &sasl->scene) >= SASL_ACCEPTED)
        return "server-does-support-channel-binding";
    return NULL;
}

/* What "c=" has to be: one spelling only, so that texts can be compared. */
static bool keep_bound(struct sasl *sasl, struct slice header, struct slice data)
{
    struct buf plain = BUF(LIMIT_AUTH_LINE), base64 = BUF(2 * LIMIT_AUTH_LINE);
    bool fine = buf_put(&plain, header) == STATUS_OK && buf_put(&plain, data) == STATUS_OK &&
        base64_encode(&base64, buf_slice(&plain)) == STATUS_OK && sasl_keep(sasl, buf_slice(&base64), &sasl->scram.bound);
    buf_done(&plain);
    buf_done(&base64);
    return fine;
}

/* ---- client-first, server-first ------------------------------------------------------------------------------------------ */

static bool keep_names(struct sasl *sasl, const struct gs2 *gs2, struct slice name)
{
    return sasl_keep_saslname(sasl, name, &sasl->name) &&
        (gs2->authzid.len == 0 || sasl_keep_saslname(sasl, gs2->authzid, &sasl->authzid));
}

static enum sasl_outcome take_first(struct sasl *sasl, struct slice message)
{
    struct gs2 gs2;
    struct slice rest = message, name, nonce, data;
    if (!is_text(message) || !sasl_take_gs2(&rest, &gs2))
        return SASL_MALFORMED;
    struct slice bare = rest;
    if (slice_starts(bare, S("m=")))
        return sasl_fail(sasl, "extensions-not-supported");
    if (!take_attribute(&rest, 'n', &name) || !take_comma(&rest) || !take_attribute(&rest, 'r', &nonce) ||
        !is_nonce(nonce, LIMIT_SCRAM_NONCE) || !are_extensions(rest) || !keep_names(sasl, &gs2, name))
        return SASL_MALFORMED;
    const char *why = check_binding(sasl, &gs2, &data);
    if (why)
        return sasl_fail(sasl, why);
    if (!keep_bound(sasl, gs2.whole, data) || !sasl_keep(sasl, bare, &sasl->scram.bare) ||
        !sasl_keep(sasl, nonce, &sasl->scram.nonce))
        return SASL_MALFORMED;
    return sasl_ask(sasl, ASK_SCRAM);
}

static enum status put_first(struct buf *out, struct slice client_nonce, const struct answer_scram *answer)
{
    TRY(buf_print(out, "r=%.*s%.*s,s=", (int)client_nonce.len, client_nonce.ptr, (int)answer->nonce.len, answer->nonce.ptr));
    TRY(base64_encode(out, answer->salt));
    return buf_print(out, ",i=%u", answer->rounds);
}

enum sasl_outcome sasl_answer_scram(struct sasl *sasl, const struct answer_scram *answer)
{
    struct buf first = BUF(2048);
    size_t nonce = sasl->scram.nonce.len + answer->nonce.len;
    if (!is_nonce(answer->nonce, LIMIT_SCRAM_NONCE) || answer->salt.len == 0 || answer->rounds == 0)
        return sasl_busy(sasl);
    bool fine = put_first(&first, sasl->scram.nonce, answer) == STATUS_OK &&
        sasl_keep(sasl, buf_slice(&first), &sasl->scram.first) && sasl_challenge(sasl, sasl->scram.first) == SASL_CHALLENGE;
    buf_done(&first);
    if (!fine)
        return sasl_busy(sasl);
    sasl->scram.nonce = slice_upto(slice_from(sasl->scram.first, 2), nonce);
    sasl->stage = WAITS_FOR_FINAL;
    return SASL_CHALLENGE;
}

/* ---- client-final, server-final ------------------------------------------------------------------------------------------ */

static bool keep_proof(struct sasl *sasl, struct slice base64)
{
    struct buf proof = BUF(LIMIT_SECRET);
    bool fine = base64_decode(&proof, base64) == STATUS_OK && proof.len == sasl->mechanism->hash &&
        secret_set(&sasl->secret, buf_slice(&proof)) == STATUS_OK;
    buf_wipe(&proof);
    buf_done(&proof);
    return fine;
}

/* AuthMessage: RFC 5802 3. */
static bool keep_message(struct sasl *sasl, struct slice without_proof)
{
    struct buf message = BUF(LIMIT_AUTH_LINE);
    bool fine = buf_put(&message, sasl->scram.bare) == STATUS_OK && buf_put_byte(&message, ',') == STATUS_OK &&
        buf_put(&message, sasl->scram.first) == STATUS_OK && buf_put_byte(&message, ',') == STATUS_OK &&
        buf_put(&message, without_proof) == STATUS_OK && sasl_keep(sasl, buf_slice(&message), &sasl->scram.message);
    buf_done(&message);
    return fine;
}

static enum sasl_outcome take_final(struct sasl *sasl, struct slice message)
{
    size_t comma = slice_find_last(message, ',');
    struct slice without_proof = slice_upto(message, comma), rest = without_proof, last = slice_from(message, comma + 1);
    struct slice bound, nonce, proof;
    if (!is_text(message) || !take_attribute(&rest, 'c', &bound) || !take_comma(&rest) || !take_attribute(&rest, 'r', &nonce) ||
        !are_extensions(rest) || !take_attribute(&last, 'p', &proof) || last.len > 0)
        return SASL_MALFORMED;
    if (!slice_equal_secret(bound, sasl->scram.bound))
        return sasl_fail(sasl, "channel-bindings-dont-match");
    if (!slice_equal_secret(nonce, sasl->scram.nonce))
        return sasl_fail(sasl, "other-error");
    if (!keep_proof(sasl, proof) || !keep_message(sasl, without_proof))
        return SASL_MALFORMED;
    return sasl_ask(sasl, ASK_LOGIN_SCRAM);
}

enum sasl_outcome sasl_step_scram(struct sasl *sasl, struct slice message)
{
    return sasl->stage == WAITS_FOR_FIRST ? take_first(sasl, message) : take_final(sasl, message);
}

/* RFC 4954 4: success brings no data along, so that server-final is one more challenge, with an empty response. */
enum sasl_outcome sasl_settle_scram(struct sasl *sasl, const struct answer_login *answer)
{
    struct buf final = BUF(256);
    if (sasl->verdict == LOGIN_WRONG)
        sasl->why = "invalid-proof";
    if (sasl->verdict != LOGIN_OK)
        return SASL_DONE;
    bool fine = answer->signature.len == sasl->mechanism->hash && buf_put(&final, S("v=")) == STATUS_OK &&
        base64_encode(&final, answer->signature) == STATUS_OK && sasl_challenge(sasl, buf_slice(&final)) == SASL_CHALLENGE;
    buf_done(&final);
    if (!fine)
        return sasl_busy(sasl);
    sasl->stage = STAGE_BOUND;
    return SASL_CHALLENGE;
}

#include "proto/policy/policy.h"

#include <string.h>

void policy_init(struct policy *policy)
{
    *policy = (struct policy){ .held = BUF(LIMIT_POLICY_OCTETS) };
}

void policy_done(struct policy *policy)
{
    buf_done(&policy->held);
}

bool policy_is_amid(const struct policy *policy)
{
    return policy->held.len > 0 && !policy->is_whole;
}

/* ---- what a question says ---- */

enum attribute {
    A_REQUEST,
    A_STATE,
    A_INSTANCE,
    A_CLIENT,
    A_SENDER,
    A_RECIPIENT,
    A_LOGIN,
    A_HELO,
    A_CONTEXT,
    ATTRIBUTES
};

static const char *const names[ATTRIBUTES] = {
    [A_REQUEST] = "request",
    [A_STATE] = "protocol_state",
    [A_INSTANCE] = "instance",
    [A_CLIENT] = "client_address",
    [A_SENDER] = "sender",
    [A_RECIPIENT] = "recipient",
    [A_LOGIN] = "sasl_username",
    [A_HELO] = "helo_name",
    [A_CONTEXT] = "policy_context",
};

static enum attribute attribute_find(struct slice name)
{
    enum attribute at = 0;
    while (at < ATTRIBUTES && !slice_equal(name, slice_of(names[at])))
        at++;
    return at;
}

static enum policy_state state_of(struct slice word)
{
    if (slice_equal(word, S("RCPT")))
        return POLICY_RCPT;
    if (slice_equal(word, S("DATA")))
        return POLICY_DATA;
    return slice_equal(word, S("END-OF-MESSAGE")) ? POLICY_END_OF_MESSAGE : POLICY_OTHER;
}

/* Nothing that we read is said twice: whoever said it differently the second time would choose which one holds. */
static bool read_line(struct slice line, struct slice values[ATTRIBUTES], uint32_t *given)
{
    struct slice value = line, name;
    if (slice_find(line, '=') == line.len || memchr(line.ptr, '\0', line.len) || !slice_cut(&value, '=', &name) ||
        name.len == 0)
        return false;
    enum attribute at = attribute_find(name);
    if (at == ATTRIBUTES)
        return true;
    if (*given & 1u << at)
        return false;
    *given |= 1u << at;
    values[at] = value;
    return true;
}

static bool read_question(struct slice text, struct policy_query *out_query)
{
    struct slice values[ATTRIBUTES] = { 0 }, line;
    uint32_t given = 0;
    while (slice_cut(&text, '\n', &line))
        if (!read_line(line, values, &given))
            return false;
    if (!slice_equal(values[A_REQUEST], S("smtpd_access_policy")))
        return false;
    *out_query = (struct policy_query){ .state = state_of(values[A_STATE]),
        .instance = values[A_INSTANCE],
        .sender = values[A_SENDER],
        .recipient = values[A_RECIPIENT],
        .login = values[A_LOGIN],
        .helo = values[A_HELO],
        .submission = slice_equal(values[A_CONTEXT], S("submission")) };
    /* "unknown" is said of clients that had gone. */
    out_query->has_client = ip_parse(values[A_CLIENT], &out_query->client) == STATUS_OK;
    return true;
}

/* ---- octets ---- */

static bool hold(struct policy *policy, struct slice piece)
{
    return buf_put(&policy->held, piece) == STATUS_OK;
}

/* Eats up to the end of one line; true: that line is empty, so that the question is whole. */
static bool take_line(struct policy *policy, struct slice *wire)
{
    size_t end = slice_find(*wire, '\n');
    bool has_end = end < wire->len;
    struct slice piece = slice_upto(*wire, end + has_end);
    *wire = slice_from(*wire, piece.len);
    if (!hold(policy, piece)) {
        policy->is_bad = true;
        return false;
    }
    if (!has_end)
        return false;
    bool empty = policy->held.len == policy->line + 1;
    policy->line = policy->held.len;
    if (!empty && ++policy->lines > LIMIT_POLICY_LINES)
        policy->is_bad = true;
    return empty;
}

enum policy_event policy_feed(struct policy *policy, struct slice *wire, struct policy_query *out_query)
{
    if (policy->is_whole) {
        buf_clear(&policy->held);
        policy->line = policy->lines = 0;
        policy->is_whole = false;
    }
    while (wire->len > 0 && !policy->is_bad && !policy->is_whole)
        policy->is_whole = take_line(policy, wire);
    if (policy->is_whole && !policy->is_bad)
        policy->is_bad = !read_question(slice_upto(buf_slice(&policy->held), policy->held.len - 1), out_query);
    if (policy->is_bad)
        return POLICY_BAD;
    return policy->is_whole ? POLICY_ASKED : POLICY_MORE;
}

#include "proto/policy/policy_reply.h"

#include "base/must.h"
#include "proto/refusal.h"

/* access(5) of Postfix: OK, DUNNO, or a reply code with its text, to which Postfix adds whom it concerns. */
/* clang-format off */
static const struct action_row {
    const char *name, *text;
    enum refusal refusal;
} actions[POLICY_ACTIONS] = {
    [POLICY_DUNNO]   = { "dunno",          "DUNNO", REFUSAL_NONE },
    [POLICY_OK]      = { "ok",             "OK", REFUSAL_NONE },
    [POLICY_USED_UP] = { "used-up",        "452 4.7.1 Sent enough for one mail check: check your mail again", REFUSAL_LEASE_USED_UP },
    [POLICY_OVER]    = { "over",           "530 5.7.0 Your time after the mail check is over: check your mail again", REFUSAL_LEASE_OVER },
    [POLICY_PROVE]   = { "prove-yourself", "530 5.7.0 Check your mail first (POP before SMTP), or turn on SMTP AUTH", REFUSAL_PROVE_YOURSELF },
    [POLICY_FOREIGN] = { "foreign-sender", "553 5.7.1 The envelope sender is not an address of the account that checked its mail here", REFUSAL_SENDER },
    [POLICY_HELO]    = { "other-helo",     "530 5.7.0 The mail check was made by a device with another EHLO name", REFUSAL_OTHER_HELO },
    [POLICY_FAMILY]  = { "other-family",   "530 5.7.0 You checked your mail otherwise: use IPv4 for both, or IPv6 for both, or turn on SMTP AUTH", REFUSAL_OTHER_ADDRESS },
};
/* clang-format on */

enum status policy_put(struct buf *out, enum policy_action action)
{
    must(action < POLICY_ACTIONS);
    const struct action_row *row = &actions[action];
    if (row->refusal == REFUSAL_NONE)
        return buf_print(out, "action=%s\n\n", row->text);
    return buf_print(out, "action=%s [EK-%u]\n\n", row->text, (unsigned)row->refusal);
}

const char *policy_action_name(enum policy_action action)
{
    must(action < POLICY_ACTIONS);
    return actions[action].name;
}

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proto/relay.h"

struct row {
    const char *about;
    struct relay_facts facts;
    enum mail_verdict mail, rcpt;
    enum proof proof; /* of rcpt */
};

#define OURS     .domain_is_ours = true, .recipient_exists = true
#define FOREIGN  .domain_is_ours = false
#define LOGIN    .submission = true, .logged_in = true
#define LEASE    .submission = true, .has_lease = true, .lease_has_room = true
#define NETWORK  .submission = true, .listed_network = true
#define THEIRS   .sender_is_theirs = true

/* clang-format off */
static const struct row rows[] = {
    /* from outside: only to recipients of ours, for everyone */
    { "outside to ours",          { OURS },                                             MAIL_OK, MAIL_OK, PROOF_NONE },
    { "outside, bounce to ours",  { .sender_is_null = true, OURS },                     MAIL_OK, MAIL_OK, PROOF_NONE },
    { "outside to foreign",       { FOREIGN },                                          MAIL_OK, MAIL_NOT_LOCAL, PROOF_NONE },
    { "outside to unknown",       { .domain_is_ours = true },                           MAIL_OK, MAIL_NO_SUCH_USER, PROOF_NONE },
    { "outside to disabled",      { OURS, .recipient_disabled = true },                 MAIL_OK, MAIL_DISABLED, PROOF_NONE },
    { "unknown before disabled",  { .domain_is_ours = true, .recipient_disabled = true }, MAIL_OK, MAIL_NO_SUCH_USER, PROOF_NONE },
    { "proofs are void on mx",    { .logged_in = true, .has_lease = true, .lease_has_room = true, .listed_network = true, THEIRS, FOREIGN },
                                                                                        MAIL_OK, MAIL_NOT_LOCAL, PROOF_NONE },
    { "a spoofer writes to ours", { .logged_in = true, OURS },                          MAIL_OK, MAIL_OK, PROOF_NONE },
    /* C051: submission without proof, also for recipients of ours */
    { "C051 foreign",             { .submission = true, THEIRS, FOREIGN },              MAIL_PROVE_YOURSELF, MAIL_PROVE_YOURSELF, PROOF_NONE },
    { "C051 ours",                { .submission = true, OURS },                         MAIL_PROVE_YOURSELF, MAIL_PROVE_YOURSELF, PROOF_NONE },
    { "C051 null sender",         { .submission = true, .sender_is_null = true, OURS }, MAIL_PROVE_YOURSELF, MAIL_PROVE_YOURSELF, PROOF_NONE },
    { "room without a lease",     { .submission = true, .lease_has_room = true, THEIRS, FOREIGN }, MAIL_PROVE_YOURSELF, MAIL_PROVE_YOURSELF, PROOF_NONE },
    /* nearly a lease: told what is missing, never let in */
    { "C104 other family",        { .submission = true, .other_address = true, FOREIGN }, MAIL_OTHER_ADDRESS, MAIL_OTHER_ADDRESS, PROOF_NONE },
    { "C104 other family, ours",  { .submission = true, .other_address = true, THEIRS, OURS }, MAIL_OTHER_ADDRESS, MAIL_OTHER_ADDRESS, PROOF_NONE },
    { "C096 other EHLO name",     { .submission = true, .other_helo = true, FOREIGN },  MAIL_OTHER_HELO, MAIL_OTHER_HELO, PROOF_NONE },
    { "the nearer one is told",   { .submission = true, .other_helo = true, .other_address = true, OURS }, MAIL_OTHER_HELO, MAIL_OTHER_HELO, PROOF_NONE },
    { "nearness is void on mx",   { .other_helo = true, .other_address = true, FOREIGN }, MAIL_OK, MAIL_NOT_LOCAL, PROOF_NONE },
    { "and on the device port",   { .device_port = true, .other_helo = true, .other_address = true, THEIRS, FOREIGN }, MAIL_OK, MAIL_PROVE_YOURSELF, PROOF_NONE },
    { "login beside nearness",    { LOGIN, THEIRS, .other_helo = true, .other_address = true, FOREIGN }, MAIL_OK, MAIL_OK, PROOF_LOGIN },
    { "lease beside nearness",    { LEASE, THEIRS, .other_helo = true, .other_address = true, FOREIGN }, MAIL_OK, MAIL_OK, PROOF_LEASE },
    { "network beside nearness",  { NETWORK, THEIRS, .other_helo = true, .other_address = true, FOREIGN }, MAIL_OK, MAIL_OK, PROOF_NETWORK },
    /* login */
    { "login to foreign",         { LOGIN, THEIRS, FOREIGN },                           MAIL_OK, MAIL_OK, PROOF_LOGIN },
    { "login to ours",            { LOGIN, THEIRS, OURS },                              MAIL_OK, MAIL_OK, PROOF_LOGIN },
    { "login to a bare domain",   { LOGIN, THEIRS, FOREIGN, .domain_is_bare = true },   MAIL_OK, MAIL_NOT_QUALIFIED, PROOF_NONE },
    { "login to our bare domain", { LOGIN, THEIRS, OURS, .domain_is_bare = true },      MAIL_OK, MAIL_OK, PROOF_LOGIN },
    { "outside to a bare domain", { FOREIGN, .domain_is_bare = true },                  MAIL_OK, MAIL_NOT_LOCAL, PROOF_NONE },
    { "login, spoofed",           { LOGIN, FOREIGN },                                   MAIL_FOREIGN_SENDER, MAIL_FOREIGN_SENDER, PROOF_NONE },
    { "login, spoofed to ours",   { LOGIN, OURS },                                      MAIL_FOREIGN_SENDER, MAIL_FOREIGN_SENDER, PROOF_NONE },
    { "login, null sender",       { LOGIN, .sender_is_null = true, FOREIGN },           MAIL_OK, MAIL_OK, PROOF_LOGIN },
    { "login to unknown",         { LOGIN, THEIRS, .domain_is_ours = true },            MAIL_OK, MAIL_NO_SUCH_USER, PROOF_NONE },
    { "login to disabled",        { LOGIN, THEIRS, OURS, .recipient_disabled = true },  MAIL_OK, MAIL_DISABLED, PROOF_NONE },
    { "device to foreign",        { LOGIN, THEIRS, .internal_only = true, FOREIGN },    MAIL_OK, MAIL_INTERNAL_ONLY, PROOF_NONE },
    { "device to ours",           { LOGIN, THEIRS, .internal_only = true, OURS },       MAIL_OK, MAIL_OK, PROOF_LOGIN },
    /* lease */
    { "lease to foreign",         { LEASE, THEIRS, FOREIGN },                           MAIL_OK, MAIL_OK, PROOF_LEASE },
    { "lease to ours",            { LEASE, THEIRS, OURS },                              MAIL_OK, MAIL_OK, PROOF_LEASE },
    { "lease, spoofed",           { LEASE, FOREIGN },                                   MAIL_FOREIGN_SENDER, MAIL_FOREIGN_SENDER, PROOF_NONE },
    { "A5.8 lease, null sender",  { LEASE, .sender_is_null = true, FOREIGN },           MAIL_FOREIGN_SENDER, MAIL_FOREIGN_SENDER, PROOF_NONE },
    { "A5.8 null called theirs",  { LEASE, THEIRS, .sender_is_null = true, OURS },      MAIL_FOREIGN_SENDER, MAIL_FOREIGN_SENDER, PROOF_NONE },
    { "lease used up",            { .submission = true, .has_lease = true, THEIRS, OURS }, MAIL_LEASE_USED_UP, MAIL_LEASE_USED_UP, PROOF_NONE },
    { "lease of a device",        { LEASE, THEIRS, .internal_only = true, FOREIGN },    MAIL_OK, MAIL_INTERNAL_ONLY, PROOF_NONE },
    { "lease of a device, ours",  { LEASE, THEIRS, .internal_only = true, OURS },       MAIL_OK, MAIL_OK, PROOF_LEASE },
    /* network */
    { "network to foreign",       { NETWORK, THEIRS, FOREIGN },                         MAIL_OK, MAIL_OK, PROOF_NETWORK },
    { "network, spoofed",         { NETWORK, FOREIGN },                                 MAIL_FOREIGN_SENDER, MAIL_FOREIGN_SENDER, PROOF_NONE },
    { "network, null sender",     { NETWORK, .sender_is_null = true, OURS },            MAIL_FOREIGN_SENDER, MAIL_FOREIGN_SENDER, PROOF_NONE },
    { "network to unknown",       { NETWORK, THEIRS, .domain_is_ours = true },          MAIL_OK, MAIL_NO_SUCH_USER, PROOF_NONE },
    /* port 25 from a listed device network */
    { "device port, stranger",    { .device_port = true, OURS },                        MAIL_OK, MAIL_OK, PROOF_NONE },
    { "device port, C112",        { .device_port = true, THEIRS, FOREIGN },             MAIL_OK, MAIL_PROVE_YOURSELF, PROOF_NONE },
    { "device port, lease",       { .device_port = true, .has_lease = true, .lease_has_room = true, THEIRS, FOREIGN }, MAIL_OK, MAIL_OK, PROOF_LEASE },
    { "device port, neighbour",   { .device_port = true, .has_lease = true, .lease_has_room = true, OURS }, MAIL_OK, MAIL_OK, PROOF_NONE },
    { "device port, bounce in",   { .device_port = true, .has_lease = true, .lease_has_room = true, .sender_is_null = true, OURS }, MAIL_OK, MAIL_OK, PROOF_NONE },
    { "device port, spoofed out", { .device_port = true, .has_lease = true, .lease_has_room = true, FOREIGN }, MAIL_OK, MAIL_PROVE_YOURSELF, PROOF_NONE },
    { "device port, login",       { .device_port = true, .logged_in = true, THEIRS, FOREIGN }, MAIL_OK, MAIL_OK, PROOF_LOGIN },
    { "device port, login lies",  { .device_port = true, .logged_in = true, OURS },     MAIL_FOREIGN_SENDER, MAIL_FOREIGN_SENDER, PROOF_NONE },
    /* who pays */
    { "login before lease",       { LOGIN, .has_lease = true, .lease_has_room = true, THEIRS, FOREIGN },                    MAIL_OK, MAIL_OK, PROOF_LOGIN },
    { "login, lease used up",     { LOGIN, .has_lease = true, THEIRS, FOREIGN },        MAIL_OK, MAIL_OK, PROOF_LOGIN },
    { "login before network",     { LOGIN, .listed_network = true, THEIRS, FOREIGN },                  MAIL_OK, MAIL_OK, PROOF_LOGIN },
    { "lease before network",     { LEASE, .listed_network = true, THEIRS, FOREIGN },                  MAIL_OK, MAIL_OK, PROOF_LEASE },
};
/* clang-format on */

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct relay_verdict mail = relay_mail(&rows[i].facts), rcpt = relay_rcpt(&rows[i].facts);
        if (mail.verdict != rows[i].mail || rcpt.verdict != rows[i].rcpt || rcpt.proof != rows[i].proof)
            fail_msg("%s: mail %d, rcpt %d, proof %d", rows[i].about, mail.verdict, rcpt.verdict, rcpt.proof);
    }
}

#define FACTS 15

static struct relay_facts facts_of(unsigned bits)
{
    return (struct relay_facts){
        .submission = bits & 1,
        .logged_in = bits >> 1 & 1,
        .has_lease = bits >> 2 & 1,
        .listed_network = bits >> 3 & 1,
        .sender_is_null = bits >> 4 & 1,
        .sender_is_theirs = bits >> 5 & 1,
        .internal_only = bits >> 6 & 1,
        .lease_has_room = bits >> 7 & 1,
        .domain_is_ours = bits >> 8 & 1,
        .recipient_exists = bits >> 9 & 1,
        .recipient_disabled = bits >> 10 & 1,
        .domain_is_bare = bits >> 11 & 1,
        .device_port = bits >> 12 & 1,
        .other_address = bits >> 13 & 1,
        .other_helo = bits >> 14 & 1,
    };
}

/* What must hold whatever the facts are. */
static void check_laws(const struct relay_facts *f)
{
    struct relay_verdict mail = relay_mail(f), rcpt = relay_rcpt(f);
    bool proved = (f->submission || f->device_port) && (f->logged_in || f->has_lease || f->listed_network);
    bool said_yes = rcpt.verdict == MAIL_OK;

    if (said_yes && !f->domain_is_ours) /* no open relay */
        assert_true(proved && rcpt.proof != PROOF_NONE && !f->internal_only && !f->domain_is_bare);
    if (f->submission && !proved) { /* C051 */
        enum mail_verdict told = f->other_helo      ? MAIL_OTHER_HELO
                                 : f->other_address ? MAIL_OTHER_ADDRESS
                                                    : MAIL_PROVE_YOURSELF;
        assert_true(mail.verdict == told && rcpt.verdict == told);
    }
    if (mail.proof != PROOF_NONE) /* no spoofed sender, in all three proofs */
        assert_true(f->sender_is_null ? f->logged_in : f->sender_is_theirs);
    if (said_yes && f->domain_is_ours)
        assert_true(f->recipient_exists && !f->recipient_disabled);
    if (rcpt.proof == PROOF_LEASE) /* a lease never pays what it has not, and never for nobody */
        assert_true(f->has_lease && !f->logged_in && f->lease_has_room && !f->sender_is_null);
    if (rcpt.proof == PROOF_LOGIN)
        assert_true(f->logged_in);
    if (rcpt.proof == PROOF_NETWORK)
        assert_true(f->listed_network && !f->logged_in && !f->has_lease);
    if (mail.verdict != MAIL_OK) /* RCPT never says yes where MAIL said no */
        assert_int_equal(rcpt.verdict, mail.verdict);
    else if (said_yes)
        assert_int_equal(rcpt.proof, mail.proof);
    if (!said_yes) /* a refusal carries no right */
        assert_int_equal(rcpt.proof, PROOF_NONE);
    if (f->submission && mail.verdict == MAIL_OK)
        assert_int_not_equal(mail.proof, PROOF_NONE);
    if (!f->submission && !f->device_port)
        assert_true(mail.verdict == MAIL_OK && mail.proof == PROOF_NONE && rcpt.proof == PROOF_NONE);
}

static void test_all_facts(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 1u << FACTS; bits++) {
        struct relay_facts facts = facts_of(bits);
        check_laws(&facts);
        /* Losing a right never turns a no into a yes; what a recipient is never matters at MAIL. */
        struct relay_facts without = facts;
        without.logged_in = without.has_lease = without.listed_network = false;
        if (relay_rcpt(&facts).verdict != MAIL_OK && !facts.domain_is_ours)
            assert_int_not_equal(relay_rcpt(&without).verdict, MAIL_OK);
        struct relay_facts other = facts_of(bits ^ 15u << 8);
        assert_int_equal(relay_mail(&facts).verdict, relay_mail(&other).verdict);
        /* Nearly having a right is none: it changes the words of a refusal only. */
        struct relay_facts far = facts_of(bits & 0x1fffu);
        assert_int_equal(relay_mail(&facts).verdict == MAIL_OK, relay_mail(&far).verdict == MAIL_OK);
        assert_int_equal(relay_rcpt(&facts).verdict == MAIL_OK, relay_rcpt(&far).verdict == MAIL_OK);
        assert_int_equal(relay_rcpt(&facts).proof, relay_rcpt(&far).proof);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_table), cmocka_unit_test(test_all_facts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

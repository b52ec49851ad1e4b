#include "proto/relay.h"

static struct relay_verdict refused(enum mail_verdict verdict)
{
    return (struct relay_verdict){ verdict, PROOF_NONE };
}

/* Login before lease before network: a session that holds several rights is judged, and counted, by the first alone. */
static enum proof proof_of(const struct relay_facts *facts)
{
    if (facts->logged_in)
        return PROOF_LOGIN;
    if (facts->has_lease)
        return PROOF_LEASE;
    return facts->listed_network ? PROOF_NETWORK : PROOF_NONE;
}

/* RFC 6409 6.1: the submitter must be entitled to the envelope sender.  The null sender belongs to nobody: a login may
 * use it, since clients send disposition notifications themselves (RFC 8098 3); a lease or a network may not, for
 * there it would be mail that nobody answers for. */
static bool may_use_sender(const struct relay_facts *facts, enum proof proof)
{
    return facts->sender_is_null ? proof == PROOF_LOGIN : facts->sender_is_theirs;
}

/* Port 25 is for everyone who writes to us, also from where devices may submit: what nobody there has a right to is mail
 * from outside.  Who logged in is held to his word instead. */
static bool is_from_outside(const struct relay_facts *facts)
{
    if (facts->submission || !facts->device_port)
        return !facts->submission;
    enum proof proof = proof_of(facts);
    return proof == PROOF_NONE || (proof != PROOF_LOGIN && !may_use_sender(facts, proof));
}

/* RFC 6409 4.3, also for recipients of ours (C051).  Who nearly has a right is told what is missing. */
static struct relay_verdict no_proof(const struct relay_facts *facts)
{
    if (facts->other_helo)
        return refused(MAIL_OTHER_HELO);
    return refused(facts->other_address ? MAIL_OTHER_ADDRESS : MAIL_PROVE_YOURSELF);
}

struct relay_verdict relay_mail(const struct relay_facts *facts)
{
    if (is_from_outside(facts))
        return (struct relay_verdict){ MAIL_OK, PROOF_NONE }; /* mail from outside: relay_rcpt() keeps it inside */
    enum proof proof = proof_of(facts);
    if (proof == PROOF_NONE)
        return no_proof(facts);
    if (!may_use_sender(facts, proof))
        return refused(MAIL_FOREIGN_SENDER);
    if (proof == PROOF_LEASE && !facts->lease_has_room)
        return refused(MAIL_LEASE_USED_UP);
    return (struct relay_verdict){ MAIL_OK, proof };
}

static enum mail_verdict local_verdict(const struct relay_facts *facts)
{
    if (!facts->recipient_exists)
        return MAIL_NO_SUCH_USER;
    return facts->recipient_disabled ? MAIL_DISABLED : MAIL_OK;
}

struct relay_verdict relay_rcpt(const struct relay_facts *facts)
{
    struct relay_verdict mail = relay_mail(facts); /* asked anew: the right may have ended since MAIL */
    if (mail.verdict != MAIL_OK)
        return mail;
    if (facts->domain_is_ours) {
        enum mail_verdict local = local_verdict(facts);
        return local == MAIL_OK ? mail : refused(local);
    }
    if (mail.proof == PROOF_NONE) /* a device is told what to do (C112) */
        return refused(facts->device_port ? MAIL_PROVE_YOURSELF : MAIL_NOT_LOCAL);
    if (facts->internal_only)
        return refused(MAIL_INTERNAL_ONLY);
    /* RFC 6409 4.2: "The MSA MUST ensure that all domains in the SMTP envelope are fully qualified." */
    return facts->domain_is_bare ? refused(MAIL_NOT_QUALIFIED) : mail;
}

/* relay.h - who may send: the one decision (DESIGN section 8).
 *
 * A pure function of facts; nothing else in the house grants relaying.  The keeper calls it at MAIL, at each RCPT and again for each recipient
 * when a message is taken, so that a gate that lies gains nothing.  relay_test.c holds the table of all cases. */
#pragma once

#include "ask/ask.h"

struct relay_facts {
    bool submission;          /* asked on a submission listener: nothing without a proof */
    bool device_port;         /* asked on port 25 from a listed device network: submission with a proof, mail from outside without */
    bool logged_in;           /* the binding holds an account that may send (RIGHT_SMTP), enabled */
    bool has_lease;           /* a live lease for (peer address, an account that owns the sender), usable on this connection */
    bool listed_network;      /* the peer is in relay.networks */
    bool sender_is_null;
    bool sender_is_theirs;    /* the envelope sender belongs to the account of the login or lease; for a listed network: to any account of ours */
    bool internal_only;       /* the credential may write to our own domains only */
    bool lease_has_room;      /* a message and a recipient are left, or reserved already */
    bool other_address;       /* an account that owns the sender has a lease at an address of the other family, and here it would do (C104) */
    bool other_helo;          /* there would be a lease for this sender, but it is pinned to another EHLO name */
    /* recipient; not looked at by relay_mail() */
    bool domain_is_ours;
    bool recipient_exists;    /* account, alias, catch-all, postmaster */
    bool recipient_disabled;
    bool domain_is_bare;      /* a single label, "squeaky": nobody's but, perhaps, ours */
};

struct relay_verdict {
    enum mail_verdict verdict;
    enum proof proof;         /* which right pays: login before lease before network; NONE for mail from outside */
};

struct relay_verdict relay_mail(const struct relay_facts *facts);
struct relay_verdict relay_rcpt(const struct relay_facts *facts);

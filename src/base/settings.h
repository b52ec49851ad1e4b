/* settings.h - what an administrator may set, as the roles and engines see it.
 *
 * Read from ekirei.conf by src/config.c, whose table has name, default, unit, range and help of each.  Everything in here lives and
 * dies with the whole struct (it has its own arena); sessions hold on to the generation they began with. */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/ip.h"

enum tls_wish { TLS_WISH_NONE, TLS_WISH_MAY, TLS_WISH_MUST };
enum lease_accounts { LEASE_FLAGGED, LEASE_ALL, LEASE_NONE };

struct slices {
    const struct slice *rows;
    size_t count;
};

struct settings {
    struct arena arena;
    uint32_t holders;

    struct slice hostname;
    struct slices listen_address;     /* addresses without port */
    uint32_t port_offset;             /* added to every standard port */
    uint32_t mx_workers, user_workers;
    uint32_t log_level;               /* enum log_level */

    struct slices tls_certificate;    /* paths, the first is the default; pairs with tls_key */
    struct slices tls_key;
    uint32_t tls_min_version;         /* 0x0303 for 1.2, 0x0304 for 1.3 */

    struct networks auth_plaintext_networks;
    bool auth_apop_without_tls;
    bool auth_throttle;
    uint32_t auth_hash_cost;          /* 1 to 10 */
    uint32_t auth_mechanisms;         /* set of 1 << enum mechanism that may be used */
    bool auth_scram_sha1;             /* SCRAM-SHA-1 for people's passwords, too */
    bool auth_client_certificates;    /* ask for them, for EXTERNAL */
    bool auth_notices;                /* mail owners about their logins */
    struct networks legacy_networks;
    uint32_t legacy_tls_min_version;  /* 0x0301 to 0x0303, on the legacy ports */
    uint32_t legacy_submission_port, legacy_submissions_port, legacy_pop3_port, legacy_pop3s_port; /* 0: none */

    struct slice oauth_jwks;          /* a file or an https URL; empty: no tokens by signature */
    struct slice oauth_introspection; /* an https URL (RFC 7662); empty: none */
    struct slice oauth_issuer, oauth_audience, oauth_scope, oauth_claim;
    struct slice oauth_client;        /* who we are at the introspection endpoint */
    struct slice oauth_secret_file, oauth_ca_file; /* paths */
    struct slice oauth_configuration; /* URL that clients are pointed to (RFC 7628 3.2.2) */
    struct networks relay_networks;   /* may submit without any proof: loudly warned about */

    uint32_t connections_per_address; /* IPv6: per /64 */
    uint32_t connections;             /* in one worker */
    msec timeout_command;             /* SMTP: RFC 5321 4.5.3.2.7; POP3: RFC 1939 3 */
    uint64_t message_size_limit;
    uint32_t message_recipients;
    uint64_t disk_reserve;            /* free octets below which no mail is taken (C220) */

    struct slice smarthost_host;      /* empty: none; then remote mail waits in the queue */
    uint32_t smarthost_port;
    uint32_t smarthost_tls;           /* enum tls_wish */
    struct slices dns_servers;
    struct slice dns_trust_anchor;
    msec queue_first_retry, queue_max_retry, queue_lifetime;
    uint32_t queue_concurrency;

    uint32_t lease_accounts;          /* enum lease_accounts */
    msec lease_window, lease_cap;
    uint32_t lease_messages, lease_recipients, lease_shared_accounts;
    bool lease_imap, lease_pin_helo;
    struct networks lease_never_networks, lease_office_networks;
    struct slices lease_office_names; /* one for each of the networks; the network itself where none was given */

    struct slice policy_listen, policy_reports; /* address:port, or unix:path */
    struct slice policy_senders;      /* a file; empty: none */
    struct slice policy_domain;       /* of login names that have none; empty: none */
    bool policy_refuse;

    msec mx_greeting_delay;           /* who talks before the greeting is no mail server */
    msec pop3_login_delay;

    uint32_t uid_mx, uid_user, uid_keeper, uid_courier, uid_policy; /* fixed by init; used when started as root */
};

/* The settings of a new generation start with one holder. */
struct settings *settings_hold(struct settings *settings);
void settings_release(struct settings *settings); /* the last holder frees */

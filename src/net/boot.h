/* boot.h - what a role is told when it starts: settings as text, certificates, keys; never a path it would have to open later.
 *
 * Encoded with the ask codec into a sealed memfd. */
#pragma once

#include "ask/field.h"
#include "base/settings.h"

struct boot_pair {
    struct slice certificate, key; /* PEM; the key only for the keeper */
};
struct boot {
    struct slice settings;      /* text of ekirei.conf */
    struct slice settings_name; /* its path, for messages */
    struct slice dir;           /* DIR, absolute */
    struct rows pairs;          /* struct boot_pair: for gates, without keys, and for the keeper, who signs for them */
    struct slice ticket_key;    /* 80 octets: only for gates */
    struct slice keeper_key;    /* 32 octets: only for the keeper */
    struct slice oauth_keys;    /* the key set that oauth.jwks names, where it is a file: only for the keeper */
    struct slice oauth_secret;  /* in oauth.secret_file: only for the keeper */
    struct slice oauth_ca;      /* PEM, in oauth.ca_file: only for the courier */
    uint32_t worker;            /* number within the pool */
    uint64_t generation;        /* of this start: makes session ids unique */
};
/* Writes a sealed memfd. */
MUST_USE enum status boot_put(const struct boot *boot, int *out_fd);
/* Reads and closes fd; `octets` owns the memory that the slices point into and must be wiped once they are used. */
MUST_USE enum status boot_get(int fd, struct arena *arena, struct buf *octets, struct boot *out_boot);

/* How a role turns the boot message's text into settings; src/config.c lives on a higher floor. */
typedef enum status boot_settings(const struct boot *boot, struct settings **out_settings, struct buf *why);

/* Where a role finds its control socket and its boot message when it is executed. */
enum { ROLE_CONTROL_FD = 3, ROLE_BOOT_FD = 4 };
#define KEEPER_KEY_OCTETS 32u /* of DIR/keys/keeper.key */

/* What main.c hands to a role's run function. */
struct role_start {
    int control;                /* descriptor of the control socket */
    struct boot boot;
    struct buf *octets;         /* behind boot's slices */
    struct settings *settings;
    boot_settings *parse;       /* for CONTROL_BOOT */
};

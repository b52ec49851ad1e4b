/* binding.h - (channel, session) -> account, rights and transaction: what the keeper knows of a session, whatever a
 * gate says.
 *
 * Made at the first login or submission; it ends with END_SESSION or with its channel, which gives reservations back.
 */
#pragma once

#include "base/ip.h"
#include "base/list.h"
#include "base/slice.h"
#include "keeper/directory.h"
#include "keeper/scram.h"
#include "proto/lease.h"

struct client;
struct keeper;

#define SESSION_NAME 40

/* From MAIL to the end of data. */
struct transaction {
    bool open, device_port, encrypted;
    bool from_outside; /* on the device port, found so at MAIL: a lease that opens meanwhile changes nothing for this message */
    struct ip peer;
    char *sender;           /* canonical, NUL-terminated; empty for <> */
    char *helo;             /* as the client said it, NUL-terminated */
    struct lease_hold hold; /* what this transaction reserved */
};

/* Between the halves of a SCRAM login: the nonce is good for one proof, of the name that it was given to (C085). */
struct scram_half {
    bool open;
    uint8_t begun; /* how often */
    char nonce[SCRAM_NONCE], about[32];
};

struct binding {
    struct list node; /* of its client */
    struct client *client;
    uint64_t session;
    char name[SESSION_NAME]; /* for the log */
    uint32_t account;        /* 0: not logged in */
    uint32_t generation, device;
    uint8_t rights, protocol;
    bool auth_failed; /* cancels the use of leases in this session (A5) */
    struct scram_half scram;
    struct transaction transaction;
};

struct binding *binding_find(struct keeper *keeper, struct client *client, uint64_t session);
/* Finds or makes; NULL where the client has too many. */
struct binding *binding_get(struct keeper *keeper, struct client *client, uint64_t session, struct slice name);
void binding_close(struct keeper *keeper, struct binding *binding);
/* Gives reservations back. */
void binding_end_transaction(struct keeper *keeper, struct binding *binding);
/* The account that is logged in; NULL where nobody is, or the account or device was changed, disabled or removed since.
 */
struct account *binding_account(struct keeper *keeper, const struct binding *binding);

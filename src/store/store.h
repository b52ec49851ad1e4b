/* store.h - what a store must do, in the words of mail: no SQL here.
 *
 * A `struct store` is one connection, used by one thread at a time.  One writer (the keeper's writer thread) and any number of readers.  Implementations
 * (store/sqlite now) fill the table of verbs; all pass store/store_contract.c.
 *
 * The promise (DESIGN section 6): changes are made between begin() and commit(); when commit() says OK they are on disk, whatever happens afterwards.  Any other
 * status: nothing of the transaction happened.  A failing fsync is STATUS_IO, a full disk STATUS_FULL.  (Where a sync failed and the machine dies before the next
 * commit, the transaction may be found after all: a message twice rather than never; so a file that it
 * named must stay until the next start sweeps it.)
 *
 * A verb that says EXISTS, NOT_FOUND, DENIED or MALFORMED has changed nothing; after any other failure it may have done a part, and undo() or rollback() is due.
 * After IO, FULL, CORRUPT or BUSY every further verb and commit() give the same status until rollback().
 *
 * Slices given out live in the arena that was handed in, or, with `each` callbacks, until the callback returns. */
#pragma once

#include "ask/ask.h"

struct store;

enum store_mode { STORE_WRITER, STORE_READER, STORE_COPY /* a reader of a store that nobody changes: a backup's */ };

/* Opens DIR's store; `dir` is the store's own folder (it holds the database and bodies).  The writer creates what is missing, migrates an older schema, refuses a
 * newer one (`why`), sweeps orphaned body files, and takes the folder's lock (waits up to `patience`; BUSY after that). */
struct store_plan {
    const char *dir;
    enum store_mode mode;
    msec patience;
    bool create;             /* writer: make a new store where there is none; else NOT_FOUND */
    bool as_is;              /* writer: neither migrates nor sweeps, so that what is wrong can be seen; DENIED for an older schema */
};
MUST_USE enum status store_open(const struct store_plan *plan, struct store **out_store, struct buf *why);
void store_close(struct store *store);
/* A line for the log at start about the engine beneath: its name and version, and what is to be known about it. */
const char *store_engine(void);

struct store_account {
    uint32_t id;
    struct slice address, login; /* login empty: none */
    struct slice password;       /* verifier text ("$argon2id$...", or a hash from elsewhere), empty: no password */
    struct slice scram;          /* SCRAM verifiers in the keeper's own form, or empty */
    wall created, last_login;
    bool enabled, pop_before_smtp;
};
struct store_device {
    uint32_t id, account;
    struct slice name;
    struct slice sealed;         /* the secret, encrypted under the keeper's key; empty for a key */
    struct slice scram;          /* as the account's */
    struct slice key;            /* SHA-256 of a public key, for EXTERNAL; empty for a password */
    struct slice from;           /* networks as text, or empty */
    wall created, expires, last_used;
    uint32_t mechanisms;
    uint8_t rights;
};
/* New verifiers for a password that did not change. */
struct store_rehash {
    uint32_t account;
    struct slice expected;       /* the password's verifier so far: where it is another one, DENIED */
    struct slice password, scram;
    const struct store_device *devices; /* id and scram are read */
    size_t device_count;
};
/* A place from which an account was used. */
struct store_place {
    uint32_t account;
    struct ip address;           /* IPv4: the address, IPv6: its /64 */
    wall first, last;
};
struct store_alias {
    struct slice address, target; /* canonical keys; "@domain" is a catch-all */
};
struct store_domain {
    struct slice name;
};

/* A body as the keeper prepared it.  Stored form: mail/pack.h. */
struct store_body {
    struct slice packed;         /* the stored octets; empty if they are in a file already */
    struct slice file;           /* else its name, from body_file_finish() */
    uint64_t size;               /* plain octets */
    uint64_t stored;             /* stored octets */
    uint8_t digest[32];          /* SHA-256 of the stored octets */
};
struct store_target {            /* final delivery into an account's INBOX */
    uint32_t account;
};
struct store_remote {            /* a recipient elsewhere, or one of ours whose delivery the sender is to be told of */
    struct slice address, domain, orcpt;
    uint8_t notify;
    uint8_t delivered;           /* enum delivered */
};
struct store_message {
    struct store_body body;
    wall received;
    uint64_t pop3_size;          /* octets as POP3 sends them: body.size + growth */
    const struct store_target *targets;
    size_t target_count;
    const struct store_remote *remotes;
    size_t remote_count;
    /* for remotes */
    struct slice sender, envid, session; /* session: the transaction's id, for logs */
    uint32_t skip;               /* octets of the Return-Path line */
    uint8_t body_type, utf8, ret;
};

struct store_claim {
    uint64_t id;                 /* 0: the message that has waited longest; else this one, if it is due */
    wall now, term;              /* the claim ends by itself at `term`: a courier that died gives its messages back */
    uint32_t owner;
};

struct store_counts {
    uint32_t accounts, domains, queued, schema;
    uint64_t messages, octets;
};

#define STORE_BODIES_ROOM (128u << 10) /* octets of one answer of bodies() */
#define STORE_SNAPSHOT    "snapshot"    /* its folder, within the store's */

struct store_page {              /* where a message's stored octets are read */
    uint32_t account, uid;
    uint64_t at;
};

struct store {
    const struct store_verbs *verbs;
};

struct store_verbs {
    void (*close)(struct store *);

    /* writer: transactions.  mark() and undo() bracket one job inside a batch: undo() takes back what came after the last mark(). */
    /* On a reader: what is read until rollback() is of one moment, and costs one lock instead of one for each verb.  Within a second, or the log grows. */
    enum status (*begin)(struct store *);
    enum status (*mark)(struct store *);
    enum status (*undo)(struct store *);
    enum status (*commit)(struct store *);   /* other than OK: it has rolled back */
    void (*rollback)(struct store *);        /* without a transaction: nothing */
    /* To be called when no job waits: checkpoints if the log has grown. */
    void (*rest)(struct store *);

    /* accounts.  EXISTS / NOT_FOUND as the words say.  A new account has INBOX, Drafts, Sent, Trash, Junk. */
    enum status (*account_add)(struct store *, const struct store_account *, uint32_t *out_id);
    enum status (*account_password)(struct store *, uint32_t id, struct slice password, struct slice scram);
    enum status (*account_rehash)(struct store *, const struct store_rehash *);
    enum status (*account_set)(struct store *, uint32_t id, bool enabled, bool pop_before_smtp);
    enum status (*account_remove)(struct store *, uint32_t id);      /* its messages, devices and aliases to it go, too */
    enum status (*account_seen)(struct store *, uint32_t id, wall when); /* last login */
    enum status (*device_add)(struct store *, const struct store_device *, uint32_t *out_id);
    enum status (*device_remove)(struct store *, uint32_t id);
    enum status (*device_seen)(struct store *, uint32_t id, wall when);
    /* Inserts, or moves `last` on; at most `most` places are kept for an account, the latest. */
    enum status (*place_seen)(struct store *, const struct store_place *, uint32_t most);
    enum status (*place_forget)(struct store *, wall before);        /* those last used before */
    enum status (*alias_add)(struct store *, const struct store_alias *);
    enum status (*alias_remove)(struct store *, struct slice address, struct slice target, uint32_t *out_count); /* target empty: all */
    enum status (*domain_add)(struct store *, struct slice name);
    enum status (*domain_remove)(struct store *, struct slice name); /* DENIED while accounts use it */

    /* the whole directory, for the keeper's memory; order by id or name, domains as they were added */
    enum status (*each_account)(struct store *, uint32_t only_id, enum status (*each)(void *, const struct store_account *), void *); /* 0: all */
    enum status (*each_device)(struct store *, uint32_t only_account, enum status (*each)(void *, const struct store_device *), void *);
    enum status (*each_place)(struct store *, enum status (*each)(void *, const struct store_place *), void *);
    enum status (*each_alias)(struct store *, enum status (*each)(void *, const struct store_alias *), void *);
    enum status (*each_domain)(struct store *, enum status (*each)(void *, const struct store_domain *), void *);

    /* mail */
    enum status (*deliver)(struct store *, const struct store_message *, uint64_t *out_queue_id); /* queue id 0: no remotes */
    enum status (*drop_list)(struct store *, uint32_t account, const struct ask_drop_list *, struct arena *, struct answer_drop_list *out);
    enum status (*usage)(struct store *, uint32_t account, uint32_t *out_messages, uint64_t *out_octets);
    /* Stored octets of one INBOX message from `at`, whole zstd frames, at most `room` octets but at least one frame. */
    enum status (*message_read)(struct store *, const struct store_page *, size_t room, struct buf *out, uint64_t *out_next);
    /* The next UID of the INBOX above `after`, at most `until`; NOT_FOUND at the end. */
    enum status (*message_next)(struct store *, uint32_t account, uint32_t after, uint32_t until, uint32_t *out_uid, uint64_t *out_stored);
    enum status (*expunge)(struct store *, uint32_t account, const struct uid_range *ranges, size_t count, uint32_t *out_removed);

    /* queue */
    enum status (*queue_claim)(struct store *, const struct store_claim *, struct arena *, struct answer_claim *out); /* NOT_FOUND: nothing is due */
    enum status (*queue_next_due)(struct store *, wall *out_when);                                                  /* NOT_FOUND: queue empty or all held */
    enum status (*queue_read)(struct store *, uint64_t id, uint64_t at, size_t room, struct buf *out, uint64_t *out_next, uint32_t *out_skip);
    enum status (*queue_settle)(struct store *, const struct ask_settle *, wall now, bool *out_done);
    enum status (*queue_release_claims)(struct store *);                                                            /* a courier died: all claims end */
    enum status (*queue_list)(struct store *, const struct ask_queue_list *, struct arena *, struct answer_queue_list *out);
    enum status (*queue_show)(struct store *, uint64_t id, struct arena *, struct answer_queue_show *out);         /* rows only */
    enum status (*queue_change)(struct store *, const struct ask_queue_change *, wall now, uint32_t *out_count); /* recipients changed; NOT_FOUND: no such message */

    enum status (*counts)(struct store *, struct store_counts *out);
    enum status (*free_octets)(struct store *, uint64_t *out);       /* on the disk */
    /* Removes bodies that nothing refers to and that were let go before `before` (a session may still be reading them): at most `most`. */
    enum status (*sweep)(struct store *, wall before, uint32_t most, uint32_t *out_swept);

    /* A slice of what must be true of the rows and files; at most a fraction of a second.  What is damaged is a row of the answer, not a status. */
    enum status (*check)(struct store *, const struct ask_check *, struct arena *, struct answer_check *out);
    /* writer: puts right all that check() finds and that can be, and nothing that holds mail; UIDs and UIDVALIDITY stay. */
    enum status (*repair)(struct store *, wall now, struct arena *, struct answer_repair *out);
    /* Stored octets of bodies as they are, up to `octets`' max, which must be STORE_BODIES_ROOM: rows point into it. */
    enum status (*bodies)(struct store *, const struct ask_bodies *, struct arena *, struct buf *octets, struct answer_bodies *out);
    /* Messages of all mailboxes of an account, a page at a time. */
    enum status (*mails)(struct store *, uint32_t account, const struct ask_export *, struct arena *, struct answer_export *out);
    /* writer, outside a transaction.  BEGIN: FULL where the disk has no room for it above `reserve` octets.  From BEGIN to END nothing is swept, so that
     * each body of the snapshot can be linked; a snapshot that was left behind is removed at BEGIN, and when a writer opens the store. */
    enum status (*snapshot)(struct store *, const struct ask_snapshot *, uint64_t reserve, struct answer_snapshot *out);
    /* writer: after a restore.  Every mailbox gets a new UIDVALIDITY, larger than any that this store can have given out, ids of bodies move far ahead,
     * and all queued mail is held: it may have been sent since the backup. */
    enum status (*renew)(struct store *, wall now, uint32_t *out_held);
};

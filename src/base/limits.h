/* limits.h - every number that bounds anything, with its reason.  man/ekirei-limits.7 is made from this file.
 *
 * One row a line: name, value, then the reason.  What an administrator may change is a setting instead
 * (base/settings.h); its range still stands in the settings table. */
#pragma once

/* Names and secrets */
#define LIMIT_ADDRESS 384              /* octets of an address: local part + @ + domain */
#define LIMIT_LOCAL_PART 128           /* octets: RFC 5321 4.5.3.1.1 says 64 and asks not to insist; VERP and SRS senders are longer */
#define LIMIT_DOMAIN 255               /* octets: RFC 5321 4.5.3.1.2; also EHLO names (C026) */
#define LIMIT_PATH 600                 /* octets of <...> incl. an obsolete source route, which is read and ignored */
#define LIMIT_LOGIN_NAME 320           /* octets of a login name: an address or shorter */
#define LIMIT_SECRET 1024              /* octets of a password before hashing: more is only work for us (C088) */
#define LIMIT_DEVICE_NAME 64           /* octets of a label a person gave to a device */
#define LIMIT_ENVID 100                /* octets of a DSN ENVID, decoded (RFC 3461 4.4) */
#define LIMIT_ORCPT 500                /* octets of a DSN ORCPT, decoded (RFC 3461 4.2) */
#define LIMIT_CREDENTIALS 64           /* device passwords of one account: each costs a comparison at login */
#define LIMIT_URL 2048                 /* octets of a URL that we fetch */
#define LIMIT_ALIAS_DEPTH 20           /* aliases pointing at aliases (C214) */
#define LIMIT_ALIAS_TARGETS 1000       /* addresses one recipient may fan out to (C214) */
#define LIMIT_LABEL 63                 /* octets of a label of a domain (RFC 1035 2.3.4) */
#define LIMIT_DEVICE_NETWORKS 64       /* networks that one device may be used from */

/* Lines and commands */
#define LIMIT_SMTP_LINE 2048           /* octets with CRLF; RFC 5321 asks for 512 and more for extensions */
#define LIMIT_AUTH_LINE 12288          /* octets of an AUTH line (RFC 4954 4) */
#define LIMIT_POP3_LINE 512            /* octets incl. CRLF; RFC 2449 4 says 255, generous to long PASS lines (C153) */
#define LIMIT_SESSION_ERRORS 20        /* bad commands before 421 / hang-up (C050) */
#define LIMIT_SESSION_JUNK 100         /* NOOP, RSET, VRFY, HELP without mail between (C229) */
#define LIMIT_LOGIN_FAILURES 10        /* in one session, then 421 (DESIGN section 9) */
#define LIMIT_SESSION_TOLD 5           /* refusals of one session that a gate tells the keeper for `ekirei why` */
#define LIMIT_TRANSACTIONS 100000      /* messages in one session before a polite 421: nobody keeps a worker for ever */

/* Messages */
#define LIMIT_RECIPIENTS 1000          /* a message (C025); RFC 5321 4.5.3.1.8 asks for 100; announced by LIMITS */
#define LIMIT_HOPS 100                 /* Received fields before 554 5.4.6 (C208) */
#define LIMIT_HEADER (1u << 20)        /* octets of the header section (C158) */
#define LIMIT_HEADER_FIELD 65536       /* octets of one field that is kept for reading */
#define LIMIT_AUTHORS 100              /* addresses in From and Sender that are checked (C092) */
#define LIMIT_BODY_LINE (1u << 20)     /* octets without CRLF in DATA: generous on input, bounded (C014) */
#define LIMIT_DATA_GRACE 300           /* seconds that a message may take at any pace, from DATA or its first BDAT on (C228) */
#define LIMIT_DATA_RATE 100            /* octets/s on average behind that: a tenth of a 9600 bit/s modem, and 25 MB end within three days */
#define LIMIT_BDAT_CHUNKS 100000       /* chunks a message: a million one-octet chunks must not pay (C021) */
#define LIMIT_PREFIX 4096              /* octets of the trace fields that we add */
#define LIMIT_INLINE_BODY 65536        /* octets: a body up to this travels inside the frame (DESIGN 5) */
#define LIMIT_BODY_FRAME 65536         /* plain octets in one zstd frame of a stored body: the unit of reading */
#define LIMIT_INLINE_STORED 262144     /* stored octets: a body up to this lives in the database (DESIGN 6) */
#define LIMIT_MAILDROP (1u << 20)      /* messages that one POP3 session lists: 8 octets each */
#define LIMIT_COMMENTS 32              /* comments within comments in an address (C146) */
#define LIMIT_RECIPIENTS_OCTETS (88u << 10) /* octets of a message's recipients with their parameters: the envelope and a body share a frame */
#define LIMIT_AUTHORS_OCTETS (16u << 10) /* octets of its authors, in the same frame */
#define LIMIT_REPEATED 800             /* octets of any one thing that others said and a bounce repeats */

/* Processes */
#define LIMIT_FRAME (192u << 10)       /* octets of one ask or answer: a packed 64 KiB page, a body and its envelope */
#define LIMIT_CHANNEL_OUT (8u << 20)   /* octets waiting in one channel: beyond it the asker gets BUSY */
#define LIMIT_ASKS 65536               /* asks in flight on one channel */
#define LIMIT_BATCH 200                /* jobs in one transaction: group commit (HOTPATH lesson 3) */
#define LIMIT_BATCH_OCTETS (16u << 20) /* octets of bodies in one transaction */
#define LIMIT_WRITER_QUEUE 20000       /* jobs waiting for the writer before BUSY */
#define LIMIT_HASH_QUEUE 256           /* logins waiting for a password hash before BUSY (C088) */
#define LIMIT_CTL_CLIENTS 16           /* command lines talking to the keeper at once */
#define LIMIT_GATE_SESSIONS 20000      /* sessions in one gate worker: with LIMIT_SESSION_ARENA the memory bound */
#define LIMIT_WORKER_CONNECTIONS 200000 /* connections that a gate worker takes in its life: what leaks, or what an intruder learned, ends with it */
#define LIMIT_SESSION_ARENA (64u << 10) /* octets a session may keep, but for a maildrop listing */
#define LIMIT_TRANSACTION_ARENA (1u << 20) /* octets of an envelope: 1000 recipients with ORCPT, and the header fields that are read */
#define LIMIT_COMMAND_ARENA (256u << 10) /* octets of one command's working memory */
#define LIMIT_SEND_BUFFER (256u << 10) /* octets of replies that wait for a slow reader before we stop reading from him */
#define LIMIT_TURN (32u << 10)         /* octets of replies, then other connections have their turn: 50 that ask without end leave the next one 20 ms */
#define LIMIT_CRASHES 8                /* doublings of the restart delay: 50 ms to 12.8 s */
#define LIMIT_HANDSHAKE 30000          /* ms of a TLS handshake (C072) */
#define LIMIT_LEAVING 1000u            /* connections of a gate that were told to go and are not gone; beyond it the oldest are cut off */
#define LIMIT_WRITE 300000             /* ms in which a peer must take one octet of what waits for him (RFC 5321 4.5.3.2.5) */
#define LIMIT_LINGER 5000              /* ms for a peer to stop sending after we hung up, so that no reset overtakes our last reply */
#define LIMIT_RIDERS 512u              /* descriptors lent out on one channel that the other end has not taken yet: the process has 4096 for all */
#define LIMIT_CALL 60000               /* ms that the command line waits for an answer: longer than any takes */
#define LIMIT_CERTIFICATES 256u        /* certificates: more names than this share one */
#define LIMIT_PEER_CERTIFICATES 10u    /* certificates in the chain that a client shows: only the key in the first counts */
#define LIMIT_PEER_CHAIN (32u << 10)   /* octets of that chain */
#define LIMIT_PEM (256u << 10)         /* octets of a certificate chain or a key */
#define LIMIT_SIGNED 2048u             /* octets that a gate has signed, or an RSA key of 16384 bits gives back */
#define LIMIT_SIGN_WAIT 2000           /* ms that a gate waits for a signature; its other sessions wait as long, and after that nobody does until the answer is there */
#define LIMIT_CLIENT_OCTETS (512u << 20) /* octets that the asks of one gate may hold in the keeper at once; beyond it BUSY */
#define LIMIT_BINDINGS (2u * LIMIT_GATE_SESSIONS) /* sessions of one gate in the keeper: they come and go faster than their ends are told */
#define LIMIT_CLIENT_ASKS (2u * LIMIT_ASKS) /* asks without answer: who has so many does not read the answers, and is replaced */
#define LIMIT_RESTART 50u              /* ms before a role that died is started again; doubled with each crash */
#define LIMIT_SERVED_CRASHES 4u        /* doublings for a role that had been ready: 800 ms at most, others' mail waits for it */
#define LIMIT_GOOD_LIFE 10000          /* ms after which the crashes before are forgiven */

/* Logins */
#define LIMIT_DELAYED_LOGINS 1000u     /* logins that wait out their delay at once; beyond it BUSY for those who would wait longest */
#define LIMIT_ERRAND 65536             /* octets of a form or a document that is fetched for the keeper: a key set of some hundred keys */
#define LIMIT_TOKEN_KEYS 64            /* keys of one set (RFC 7517): each may cost a check of a signature */
#define LIMIT_TOKEN_HEADER 2048        /* octets of a token's header, decoded: an algorithm, a key's name, perhaps a key that we ignore */
#define LIMIT_ERRANDS 100u             /* errands under way at once; beyond it logins that need one are BUSY */
#define LIMIT_ERRAND_WAIT 10000        /* ms until one has failed: a mail program waits some 30 s for its login */
#define LIMIT_KEYS_AGE 3600000         /* ms after which a key set is fetched anew: as often as issuers change theirs at most */
#define LIMIT_KEYS_PAUSE 60000         /* ms between two fetches, whatever unknown keys tokens name */
#define LIMIT_TOKENS_WAITING 64u       /* logins by token that wait for an errand at once; beyond it BUSY */
#define LIMIT_TOKEN_AGE 60000          /* ms that a token which introspection found good is not asked about again */
#define LIMIT_TOKENS_KNOWN 10000u      /* tokens known that way: 500 octets each */
#define LIMIT_TOKEN_LEEWAY 60000       /* ms that the issuer's clock may be ahead of ours (RFC 7519 4.1.5) */
#define LIMIT_SCRAM_NONCE 256          /* octets of either half of SCRAM's nonce: 24 are usual (RFC 5802 5.1) */
#define LIMIT_VERIFIED_AGE 300000      /* ms that a right password is known again without hashing */
#define LIMIT_VERIFIED 50000u          /* passwords known that way: 150 octets each */
#define LIMIT_HASHES_MX (LIMIT_HASH_QUEUE / 8) /* hashes waiting for one gate of strangers' mail: it has few logins */
#define LIMIT_HASHES_USER (LIMIT_HASH_QUEUE / 2) /* and for one of the others: none fills the queue alone; a quarter of either is for who was here before */
#define LIMIT_SCRAM_BEGINS 30u         /* first halves of SCRAM in one session: more than LIMIT_LOGIN_FAILURES allows anybody */
#define LIMIT_LOGIN_WAIT 60000         /* ms of a delayed login, with those in front of it */
#define LIMIT_FREE_BY_NAME 3u          /* failed logins of an account from a network before anyone waits: typos (C076) */
#define LIMIT_FREE_BY_ADDRESS 20u      /* failed logins from an address, whatever the names, or of one name from a site of IPv6 (/48) */
#define LIMIT_FIRST_DELAY 250u         /* ms of the first delay; doubles with every failure */
#define LIMIT_LONGEST_DELAY 10000      /* ms of the longest: a delay, no lock */
#define LIMIT_FAILURE_AGE 900000       /* ms without a failure, then all is forgotten */
#define LIMIT_FAILURES_KNOWN 200000u   /* names and addresses remembered, 100 octets each; beyond it only what is known already is counted, and strangers wait as in a storm */
#define LIMIT_SPRAY_NAMES 10u          /* names under which one password fails, or that fail from one network, before it is no accident (C076) */
#define LIMIT_TOLD_ACCOUNTS 10u        /* accounts of which one network is told that they are at an address of the other family (C104), within LIMIT_FAILURE_AGE */
#define LIMIT_SPRAY_AGE 3600000        /* ms in which names count for one password; for a network it is LIMIT_FAILURE_AGE */
#define LIMIT_SPRAYS 16384u            /* failed passwords remembered by their keyed fingerprint: 72 octets each; the least suspicious make room */
#define LIMIT_SOURCES 50000u           /* networks of failures remembered: 160 octets each */
#define LIMIT_SPRAY_DELAY 2000         /* ms that logins from unknown places wait in a network of many names, and during a storm */
#define LIMIT_UNKNOWN_RATE 120u        /* failures a minute of names that nobody has: more is a storm */
#define LIMIT_PLACE_AGE 7776000000     /* ms that a place is remembered from which an account was used: 90 days */
#define LIMIT_PLACES_ACCOUNT 64u       /* such places of one account: the latest */
#define LIMIT_PLACES 400000u           /* and of all: 300 octets each, with their networks */

/* Refusals, for `ekirei why`: in memory, 300 octets each */
#define LIMIT_REFUSALS 20000u          /* rows of what the keeper refused to accounts; the oldest goes first */
#define LIMIT_REFUSALS_TOLD 5000u      /* rows of accounts that gates told of: an intruder in one cannot push out the others */
#define LIMIT_REFUSALS_STRANGERS 5000u /* rows of names that nobody has, and of addresses without a name */
#define LIMIT_REFUSAL_AGE 604800000     /* ms that one is remembered: a week */
#define LIMIT_TOLD_RATE 100u           /* refusals a second that one gate is heard with */

/* POP before SMTP */
#define LIMIT_LEASES 100000            /* leases at once: 200 octets each */
#define LIMIT_LEASE_FAILURES 10        /* failed logins to an account from an address end its lease there (DESIGN 8) */
#define LIMIT_SHARED_AGE 3600000       /* ms that an account counts towards its address being shared (C095) */
#define LIMIT_LEASES_ACCOUNT 1000u     /* leases of one account: none fills the table alone, from all of an IPv6 network */
#define LIMIT_LEASE_PLACES (2 * LIMIT_LEASES) /* addresses remembered */
#define LIMIT_OFFICE_NAME 60           /* octets of the name of an office */
#define LIMIT_PINS 20000u              /* EHLO names that leases are pinned to: 300 octets each at most */

/* Mail to owners about their logins */
#define LIMIT_NOTICES_DAY 5u           /* about new places, to one account in a day */
#define LIMIT_NOTICED 20000u           /* accounts that were told something within the day: 200 octets each */
#define LIMIT_NOTICE 16384             /* octets of such a mail; twice 1,500, and the account's address ten times at most */
#define LIMIT_NOTICE_ID 64             /* octets of its id */

/* Beside other servers: ekirei policy */
#define LIMIT_POLICY_OCTETS 65536      /* octets of one question of Postfix: some thirty lines, of which a few hold what a client said */
#define LIMIT_POLICY_LINES 200         /* lines of one question */
#define LIMIT_POLICY_CONNECTIONS 4000u /* connections of Postfix at once: one for each of its smtpd processes */
#define LIMIT_POLICY_IDLE 1200000      /* ms without a question, then Postfix has to connect anew: it does so after 1000 s by itself */
#define LIMIT_POLICY_WAIT 10000        /* ms that a question may take to arrive, and an answer to be read */
#define LIMIT_POLICY_TRANSACTIONS 100000u /* messages under way, 1 KB each; beyond it the oldest counts as sent */
#define LIMIT_POLICY_TRANSACTION 600000 /* ms of a message whose end Postfix does not tell: then it counts as sent */
#define LIMIT_POLICY_INSTANCE 128      /* octets of Postfix's name for a transaction */
#define LIMIT_POLICY_ACCOUNTS 500000u  /* login names remembered while a lease of theirs may live: 200 octets each */
#define LIMIT_POLICY_SENDERS 1000000u  /* login and address pairs in the file that policy.senders names */
#define LIMIT_POLICY_SENDERS_FILE (64u << 20) /* octets of that file */
#define LIMIT_REPORT_OCTETS 1280       /* octets of a reported login: a name of which every octet is escaped, and the fields */
#define LIMIT_REPORT_CONNECTIONS 1000u /* connections at once of those who report logins */
#define LIMIT_REPORT_FIRST 5000        /* ms for the first report: who has none does not hold a place */
#define LIMIT_REPORT_IDLE 600000       /* ms between two reports */
#define LIMIT_REPORT_CALL 1000         /* ms that `ekirei report` takes at most: a user's login waits for it */

/* Rows and logs */
#define LIMIT_ROWS 8192                /* rows in one ask or answer */
#define LIMIT_LOG_VALUE 256            /* octets of one value in a log line */
#define LIMIT_LOG_LINE 4096            /* octets of a log line: atomic on a pipe (PIPE_BUF) */
#define LIMIT_SETTINGS_FILE (1u << 20) /* octets of ekirei.conf */
#define LIMIT_BOUNCE_ORIGINAL 51200    /* octets of the original that a full bounce returns (C212) */
#define LIMIT_REPLY_LINES 100          /* lines of one reply of another server (C047) */
#define LIMIT_REPLY_LINE 2048          /* octets of one such line */

/* Store and queue */
#define LIMIT_SWEEP_GRACE 3600000      /* ms that a deleted body stays, since a session may still be reading it (C156) */
#define LIMIT_CLAIM_TERM 1800000       /* ms after which a claimed message comes back by itself */
#define LIMIT_CLAIM 100u               /* recipients of one attempt (RFC 5321 4.5.3.1.8) */
#define LIMIT_PAGE (60u << 10)           /* stored octets of bodies in one answer: a frame of 64 KiB is the best (HOTPATH lesson 1) */
#define LIMIT_SHOWN_HEADER 32768u      /* octets of a header section that `queue show` brings */
#define LIMIT_PACK_ON_LOOP 16384u      /* plain octets of a body that the keeper packs on its loop: 50 us (HOTPATH lesson 4) */
#define LIMIT_WAL_REST 1000            /* pages of 8 KiB in the write-ahead log before a moment of rest is used to copy them */
#define LIMIT_WAL_HARD 8000            /* pages before a commit must copy them, rest or not: 64 MiB */
#define LIMIT_WAIT_COMMAND 300000      /* ms for another server's reply to a command (RFC 5321 4.5.3.2) */
#define LIMIT_WAIT_DATA 120000         /* ms for its 354 */
#define LIMIT_WAIT_BLOCK 180000        /* ms in which it must take a piece of the body */
#define LIMIT_WAIT_FINAL 600000        /* ms for its reply to the end of data */

/* limits.h - every number that bounds anything, with its reason.  man/ekirei-limits.7 is made from this file.
 *
 * One row a line: name, value, then the reason.  What an administrator may change is a setting instead
 * (base/settings.h); its range still stands in the settings table. */
#pragma once

/* Names and secrets */
#define LIMIT_ADDRESS 384           /* octets of an address: local part + @ + domain */
#define LIMIT_LOCAL_PART 128        /* octets: RFC 5321 4.5.3.1.1 says 64 and asks not to insist; VERP and SRS senders are longer */
#define LIMIT_DOMAIN 255            /* octets: RFC 5321 4.5.3.1.2; also EHLO names (C026) */
#define LIMIT_PATH 600              /* octets of <...> incl. an obsolete source route, which is read and ignored */
#define LIMIT_LOGIN_NAME 320        /* octets of a login name: an address or shorter */
#define LIMIT_SECRET 1024           /* octets of a password before hashing: more is only work for us (C088) */
#define LIMIT_DEVICE_NAME 64        /* octets of a label a person gave to a device */
#define LIMIT_ENVID 100             /* octets of a DSN ENVID, decoded (RFC 3461 4.4) */
#define LIMIT_ORCPT 500             /* octets of a DSN ORCPT, decoded (RFC 3461 4.2) */
#define LIMIT_CREDENTIALS 64        /* device passwords of one account: each costs a comparison at login */
#define LIMIT_ALIAS_DEPTH 20        /* aliases pointing at aliases (C214) */
#define LIMIT_ALIAS_TARGETS 1000    /* addresses one recipient may fan out to (C214) */

/* Lines and commands */
#define LIMIT_SMTP_LINE 2048        /* octets with CRLF; RFC 5321 asks for 512 and more for extensions */
#define LIMIT_AUTH_LINE 12288       /* octets of an AUTH line (RFC 4954 4) */
#define LIMIT_POP3_LINE 512         /* octets incl. CRLF; RFC 2449 4 says 255, generous to long PASS lines (C153) */
#define LIMIT_SESSION_ERRORS 20     /* bad commands before 421 / hang-up (C050) */
#define LIMIT_SESSION_JUNK 100      /* NOOP, RSET, VRFY, HELP without mail between (C229) */
#define LIMIT_LOGIN_FAILURES 10     /* in one session, then 421 (DESIGN section 9) */
#define LIMIT_TRANSACTIONS 100000   /* messages in one session before a polite 421: nobody keeps a worker for ever */

/* Messages */
#define LIMIT_RECIPIENTS 1000       /* a message (C025); RFC 5321 4.5.3.1.8 asks for 100; announced by LIMITS */
#define LIMIT_HOPS 100              /* Received fields before 554 5.4.6 (C208) */
#define LIMIT_HEADER (1u << 20)     /* octets of the header section (C158) */
#define LIMIT_HEADER_FIELD 65536    /* octets of one field that is kept for reading */
#define LIMIT_AUTHORS 100           /* addresses in From and Sender that are checked (C092) */
#define LIMIT_BODY_LINE (1u << 20)  /* octets without CRLF in DATA: generous on input, bounded (C014) */
#define LIMIT_DATA_GRACE 300        /* seconds that a message may take at any pace, from DATA or its first BDAT on (C228) */
#define LIMIT_DATA_RATE 100         /* octets/s on average behind that: a tenth of a 9600 bit/s modem, and 25 MB end within three days */
#define LIMIT_BDAT_CHUNKS 100000    /* chunks a message: a million one-octet chunks must not pay (C021) */
#define LIMIT_PREFIX 4096           /* octets of the trace fields that we add */
#define LIMIT_INLINE_BODY 65536     /* octets: a body up to this travels inside the frame (DESIGN 5) */
#define LIMIT_BODY_FRAME 65536      /* plain octets in one zstd frame of a stored body: the unit of reading */
#define LIMIT_INLINE_STORED 262144  /* stored octets: a body up to this lives in the database (DESIGN 6) */
#define LIMIT_MAILDROP (1u << 20)   /* messages that one POP3 session lists: 8 octets each */

/* Processes */
#define LIMIT_FRAME (192u << 10)    /* octets of one ask or answer: a packed 64 KiB page, a body and its envelope */
#define LIMIT_CHANNEL_OUT (8u << 20) /* octets waiting in one channel: beyond it the asker gets BUSY */
#define LIMIT_ASKS 65536            /* asks in flight on one channel */
#define LIMIT_BATCH 200             /* jobs in one transaction: group commit (HOTPATH lesson 3) */
#define LIMIT_BATCH_OCTETS (16u << 20) /* octets of bodies in one transaction */
#define LIMIT_WRITER_QUEUE 20000    /* jobs waiting for the writer before BUSY */
#define LIMIT_HASH_QUEUE 256        /* logins waiting for a password hash before BUSY (C088) */
#define LIMIT_CTL_CLIENTS 16        /* command lines talking to the keeper at once */
#define LIMIT_GATE_SESSIONS 20000   /* sessions in one gate worker: with LIMIT_SESSION_ARENA the memory bound */
#define LIMIT_WORKER_CONNECTIONS 200000 /* connections that a gate worker takes in its life: what leaks, or what an intruder learned, ends with it */
#define LIMIT_SESSION_ARENA (64u << 10) /* octets a session may keep, but for a maildrop listing */
#define LIMIT_TRANSACTION_ARENA (1u << 20) /* octets of an envelope: 1000 recipients with ORCPT, and the header fields that are read */
#define LIMIT_COMMAND_ARENA (256u << 10) /* octets of one command's working memory */
#define LIMIT_SEND_BUFFER (256u << 10) /* octets of replies that wait for a slow reader before we stop reading from him */
#define LIMIT_CRASHES 8             /* doublings of the restart delay: 50 ms to 12.8 s */

/* POP before SMTP */
#define LIMIT_LEASES 100000         /* leases at once: 200 octets each */
#define LIMIT_LEASE_FAILURES 10     /* failed logins to an account from an address end its lease there (DESIGN 8) */

/* Rows and logs */
#define LIMIT_ROWS 8192             /* rows in one ask or answer */
#define LIMIT_LOG_VALUE 256         /* octets of one value in a log line */
#define LIMIT_LOG_LINE 4096         /* octets of a log line: atomic on a pipe (PIPE_BUF) */
#define LIMIT_SETTINGS_FILE (1u << 20) /* octets of ekirei.conf */
#define LIMIT_BOUNCE_ORIGINAL 51200 /* octets of the original that a full bounce returns (C212) */
#define LIMIT_REPLY_LINES 100       /* lines of one reply of another server (C047) */
#define LIMIT_REPLY_LINE 2048       /* octets of one such line */

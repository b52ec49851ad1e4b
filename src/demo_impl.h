/* demo_impl.h - what the files of `ekirei demo` share.
 *
 * The demo uses nothing but what an administrator and a mail program would use: the program's own commands, and real
 * sockets.  Each thing that it claims is checked; the first wrong result ends it with exit status 1. */
#pragma once

#include <openssl/ssl.h>
#include <sys/types.h>

#include "base/buf.h"
#include "ctl_file.h"

#define DEMO_DOMAIN "ekirei.test"
#define DEMO_HOST   "mail.ekirei.test"
#define DEMO_SECRET 33u /* octets of a password with its NUL */

enum demo_port { DEMO_MX = 25, DEMO_POP3 = 110, DEMO_SUBMISSIONS = 465, DEMO_SUBMISSION = 587, DEMO_POP3S = 995 };

struct demo {
    bool japanese;
    uint32_t offset;                             /* of the ports */
    char folder[FILE_PATH];                      /* temporary; empty: not made yet */
    char dir[FILE_PATH];                         /* DIR within it */
    char log[FILE_PATH];                         /* what the server says */
    pid_t server;                                /* 0: not running */
    int ready;                                   /* the server's stdout, or -1 */
    SSL_CTX *tls;                                /* trusts the CA of DIR and nothing else */
    char hanako[DEMO_SECRET], taro[DEMO_SECRET]; /* passwords */
    char scanner[128];                           /* device password */
};

/* ---- saying it (demo_run.c) ---- */
void demo_say(const struct demo *demo, const char *english, const char *japanese);
/* Prints what went wrong and gives false. */
bool demo_wrong(const struct demo *demo, const char *what);

/* ---- the program's own commands (demo_run.c) ---- */

/* Runs `ekirei WORDS... --dir DIR` (words end with NULL), with `input` on its stdin; what it prints goes to `out`.
 * False unless it succeeds. */
bool demo_command(const struct demo *demo, const char *const *words, const char *input, struct buf *out);
bool demo_make(struct demo *demo);       /* temporary folder, free ports, init */
bool demo_serve(struct demo *demo);      /* the server, until it says ready */
void demo_unmake(struct demo *demo);     /* ends the server, removes the folder */
bool demo_is_over(void);                 /* SIGINT, SIGTERM or SIGHUP came */
void demo_wait(const struct demo *demo); /* until one comes, or the server ends */

/* ---- a small mail program (demo_talk.c) ---- */

struct talk {
    const struct demo *demo;
    int fd; /* -1: closed */
    SSL *tls;
    char in[16384];
    size_t len;
    char reply[2048]; /* the last line of the last reply, without CRLF */
    bool whole;       /* print every extension that EHLO names, not only those that this story is about */
};
bool talk_open(struct talk *talk, const struct demo *demo, enum demo_port port, bool tls);
bool talk_secure(struct talk *talk); /* TLS now; the certificate must be ours */
void talk_close(struct talk *talk);
/* One line, printed and sent. */
bool talk_send(struct talk *talk, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, but the secret is printed as stars. */
bool talk_send_secret(struct talk *talk, const char *command, const char *secret);
/* Octets that are not printed. */
bool talk_send_raw(struct talk *talk, struct slice octets);
/* A whole SMTP reply whose code begins with `code`, or a POP3 line that begins so; they are printed.  `has`: some line
 * of it must hold this (NULL: none). */
bool talk_expect(struct talk *talk, const char *code, const char *has);
/* POP3: the lines up to the dot; printed if `show`. */
bool talk_listing(struct talk *talk, struct buf *out, bool show);
const char *talk_protection(const struct talk *talk); /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or "none" */

/* ---- SCRAM-SHA-256-PLUS, the client's side (demo_scram.c) ---- */

/* From AUTH to 235; the server's own proof is checked. */
bool demo_scram_login(struct talk *talk, const char *name, const char *secret);

/* ---- the story (demo_story.c) ---- */
bool demo_story(struct demo *demo);

/* load.h - the load generator: many mail sessions from one process, deterministic mail, figures on one line.
 *
 * A mode says what a client does with the lines that it reads; client.c connects, shakes hands and moves octets; load.c
 * counts. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE = 1024, COMMANDS = 1024, BODIES = 40 };

/* What the command line says (load.c has the table). */
struct plan {
    const char *host, *tls, *protocol, *mechanism, *domain, *password, *name, *command, *certificate, *key, *helo;
    int port, sessions, count, octets, each, accounts, in_flight, messages, sources, seed, resume, patience, first,
        skip;
};

enum phase { SHAKING, TALKING };

struct client {
    int fd;
    SSL *ssl; /* NULL: in clear */
    SSL_SESSION *ticket;
    enum phase phase;
    int stage, due; /* due: final reply lines that are still to come */
    int number;     /* of what is being done, from 0 on */
    int on_connection, asked, answered;
    bool in_text, watched_for_writing, tried; /* tried: to resume */
    double began;
    size_t line_len;
    char line[LINE]; /* the part of a line that came so far */
    const char *out; /* what is left to write: stays where it is until it is gone */
    size_t out_len;
    char commands[COMMANDS]; /* room for it */
    char scram[LINE / 2];    /* the first message of a login by SCRAM */
};

struct mode {
    const char *name;
    void (*prepare)(void);
    void (*stands)(struct client *c);                             /* connected, and secured where TLS comes first */
    void (*line)(struct client *c, const char *line, size_t len); /* without CRLF; not ended by 0 */
    void (*rest)(struct client *c); /* or NULL: all that came in one read has been taken */
};

extern struct plan plan;
extern const struct mode *mode;
extern const struct mode mode_smtp, mode_session, mode_retr, mode_list, mode_idle;

/* load.c */
double now(void);
_Noreturn void fail(const char *what, const char *detail);
int take_number(void);             /* of the next thing to do, or -1 where all have been begun */
void finished_one(double seconds); /* one of them is done */
void finished_octets(size_t octets);
void start_clock(void); /* from here on, where the beginning does not count */
bool all_finished(void);
int to_do(void);

/* client.c */
void client_prepare(void);
void client_open(struct client *c);
void client_secure(struct client *c); /* TLS in a connection that stands: STARTTLS, STLS */
void client_close(struct client *c);
void client_put(struct client *c, const char *octets, size_t len);
void client_say(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void client_event(struct client *c, uint32_t events);
bool wait_for_events(int milliseconds); /* false: nothing happened */
extern int resumed, attempted;

/* mail.c: as wire octets, with the line of the dot */
void mail_prepare(bool by_accounts); /* from each account of its own, or all from a stranger */
const char *mail_body(int number, size_t *out_len);

/* login.c: a session up to the login */
void login_prepare(void);
void login_stands(struct client *c);
bool login_line(struct client *c, const char *line, size_t len); /* true: logged in, and the line was the last of it */
bool last_line(const char *line, size_t len); /* of a reply that is good; a bad one ends the program */
bool is_pop3(void);
const char *login_name(const struct client *c, char out[LINE / 4]);

/* session.c: sessions that stand idle */
extern int held;

/* scram.c */
void scram_first(struct client *c, const char *name);
void scram_last(struct client *c, const char *challenge, size_t len);
void encode(char *out, const void *octets, size_t len);

/* primitives.c: handshakes in memory */
int primitives(void);

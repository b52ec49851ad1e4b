/* talk_script.h - reads a transcript (*.talk) into steps.
 *
 *   # comment
 *   = service submission      mx, submission, submissions, pop3, pop3s, legacy-submission, legacy-pop3
 *   = peer 192.0.2.7          = tls (from the first octet)     = crowded     = early
 *   = set key value           as in ekirei.conf
 *   = offers CRAM-MD5         a device was made for it
 *   = outdated                TLS 1.0;  = exporter text, unique text, end-point text, key text: facts of the TLS connection
 *   = whole                   do not cut this one: it depends on what arrives together
 *   C: text                   the client's line, CRLF is added; C lines that stand together arrive together
 *   C\: text                  the client's octets, nothing is added; \r \n \t \0 \\ \xNN
 *   C*100: text, C*100\: x    the same a hundred times, arriving together
 *   S: text                   the server's line; "text..." compares the beginning only; S*100: the same a hundred times
 *   ? rcpt recipient=a@b      what the engine asks, as ask_print() writes it; "..." as above.  END_SESSION need not be written
 *   ! ok verdict=1            the answer: a status, then fields; texts may be "quoted", rows are rows=[ uid=1 ][ uid=2 ],
 *                             pack:"text" is text as a stored body
 *   BODY 12 octets            what was handed on as body since the last BODY;  BODY: text with escapes
 *   HAS text                  stands in the prefix of the last DELIVER;  HAS NOT text;  HAS RETURN text
 *   TLS   CLOSE               the engine wants TLS, and gets it; wants to close
 *   HANGUP   STOP   WAIT 300000 (milliseconds)   what happens to the engine */
#pragma once

#include "ask/ask.h"

enum step_kind { STEP_CLIENT, STEP_SERVER, STEP_ASK, STEP_ANSWER, STEP_BODY_SIZE, STEP_BODY_TEXT, STEP_HAS, STEP_TLS, STEP_CLOSE,
    STEP_HANGUP, STEP_STOP, STEP_WAIT, STEP_DIRECTIVE };

struct step {
    enum step_kind kind;
    struct slice text;    /* unescaped where escapes are allowed */
    uint32_t repeat;
    unsigned line;
    bool is_prefix;       /* "..." stood at the end */
};

struct script {
    const char *name;
    struct arena arena;
    struct step *steps;
    size_t count, cap;
};

/* Ends the program with a message where the file cannot be read. */
void script_read(struct script *script, const char *path);
void script_done(struct script *script);
_Noreturn void script_fail(const struct script *script, const struct step *step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "ok verdict=1 ..." into an answer of `kind`, by the table of its fields. */
void script_answer(struct script *script, const struct step *step, enum ask_kind kind, struct arena *arena,
    struct answer *out_answer);

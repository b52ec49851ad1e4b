/* smtp.c - mail in, as another server sends it (or hands it over by LMTP): MAIL, RCPT and DATA in one write, and the
 * body when all three are answered. */
#include <string.h>

#include "load.h"

enum stage { GREETING, EHLO, ENVELOPE, BODY, QUIT };

static void prepare(void)
{
    mail_prepare(false);
}

static void stands(struct client *c)
{
    c->stage = GREETING;
}

static void next_message(struct client *c)
{
    c->number = plan.each > 0 && c->on_connection >= plan.each ? -1 : take_number();
    if (c->number < 0) {
        c->stage = QUIT;
        client_say(c, "QUIT\r\n");
        return;
    }
    c->on_connection++;
    c->began = now();
    c->stage = ENVELOPE;
    c->due = 3;
    client_say(c, "MAIL FROM:<sender@elsewhere.test>\r\nRCPT TO:<u%d@%s>\r\nDATA\r\n",
        plan.first + c->number % plan.accounts, plan.domain);
}

static void line(struct client *c, const char *text, size_t len)
{
    if (!last_line(text, len))
        return;
    switch ((enum stage)c->stage) {
    case GREETING:
        c->stage = EHLO;
        client_say(c, "%s %s\r\n", strcmp(plan.protocol, "lmtp") == 0 ? "LHLO" : "EHLO", plan.helo);
        return;
    case ENVELOPE:
        if (--c->due == 0) {
            size_t body_len;
            const char *body = mail_body(c->number, &body_len);
            c->stage = BODY;
            client_put(c, body, body_len);
        }
        return;
    case BODY:
        finished_one(now() - c->began);
        next_message(c);
        return;
    case EHLO:
        next_message(c);
        return;
    case QUIT:
        client_close(c);
        if (to_do() > 0)
            client_open(c);
        return;
    }
}

const struct mode mode_smtp = { "smtp", prepare, stands, line, NULL };

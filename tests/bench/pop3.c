/* pop3.c - reading one mailbox: RETR with several in flight, and UIDL or LIST of the whole of it.  The clock starts
 * after the login. */
#include <stdio.h>

#include "load.h"

enum stage { WORK = 100, LEAVING };

static void prepare(void)
{
    login_prepare();
    plan.protocol = "pop3";
    plan.sessions = 1;
    if (plan.in_flight < 1 || plan.in_flight > 32 || plan.messages < 1)
        fail("in_flight", "1 to 32, messages at least 1");
}

static void stands(struct client *c)
{
    c->number = 0;
    login_stands(c);
}

/* A text ends with a dot alone (RFC 1939 section 3); the reply before it is told by `in_text`. */
static bool ends(struct client *c, const char *text, size_t len)
{
    finished_octets(len + 2);
    if (!c->in_text)
        c->in_text = last_line(text, len);
    else if (len == 1 && text[0] == '.')
        c->in_text = false;
    return !c->in_text;
}

static void leave(struct client *c)
{
    c->stage = LEAVING;
    client_say(c, "QUIT\r\n");
}

/* As many commands in one write as may be in flight. */
static void ask(struct client *c)
{
    size_t len = 0;
    for (int number; c->asked - c->answered < plan.in_flight && (number = take_number()) >= 0; c->asked++)
        len += (size_t)snprintf(c->commands + len, sizeof c->commands - len, "RETR %d\r\n", number % plan.messages + 1);
    if (len > 0)
        client_put(c, c->commands, len);
}

static void retr_line(struct client *c, const char *text, size_t len)
{
    if (c->stage < WORK) {
        if (!login_line(c, text, len))
            return;
        c->stage = WORK;
        start_clock();
        c->began = now();
    } else if (c->stage == WORK && ends(c, text, len)) {
        c->answered++;
        double at = now();
        finished_one(at - c->began);
        c->began = at;
    }
}

static void retr_rest(struct client *c)
{
    if (c->stage != WORK)
        return;
    ask(c);
    if (c->asked == c->answered)
        leave(c);
}

static void list_line(struct client *c, const char *text, size_t len)
{
    if (c->stage < WORK) {
        if (!login_line(c, text, len))
            return;
        c->stage = WORK;
        start_clock();
    } else if (c->stage == LEAVING || !ends(c, text, len)) {
        return;
    } else {
        finished_one(now() - c->began);
    }
    c->began = now();
    if (take_number() >= 0)
        client_say(c, "%s\r\n", plan.command);
    else
        leave(c);
}

const struct mode mode_retr = { "retr", prepare, stands, retr_line, retr_rest };
const struct mode mode_list = { "list", prepare, stands, list_line, NULL };

/* login.c - a session from its greeting to its login: EHLO, STARTTLS or STLS, AUTH. */
#include <stdio.h>
#include <string.h>

#include "load.h"

enum stage { GREETING, HELLO, TLS, AUTH, SCRAM_PROOF, SCRAM_END, IN };

bool is_pop3(void)
{
    return strcmp(plan.protocol, "pop3") == 0;
}

static bool says(const char *mechanism)
{
    return strcmp(plan.mechanism, mechanism) == 0;
}
static bool by_starttls(const struct client *c)
{
    return strcmp(plan.tls, "start") == 0 && !c->ssl;
}

void login_prepare(void)
{
    if (!says("PLAIN") && !says("SCRAM-SHA-256") && !says("none"))
        fail("no such mechanism", plan.mechanism);
    if (plan.accounts < 1)
        fail("accounts", "none");
}

const char *login_name(const struct client *c, char out[LINE / 4])
{
    if (*plan.name)
        snprintf(out, LINE / 4, "%s", plan.name);
    else
        snprintf(out, LINE / 4, "u%d@%s", (c->number + plan.first) % plan.accounts, plan.domain);
    return out;
}

bool last_line(const char *line, size_t len)
{
    bool good = is_pop3() ? len > 0 && line[0] == '+' : len > 2 && (line[0] == '2' || line[0] == '3');
    if (!good) {
        char text[LINE];
        snprintf(text, sizeof text, "%.*s", (int)(len < LINE ? len : LINE - 1), line);
        fail("refused", text);
    }
    return is_pop3() || len == 3 || line[3] != '-';
}

static void log_in(struct client *c)
{
    char name[LINE / 4], message[LINE / 2], text[LINE];
    login_name(c, name);
    if (!says("PLAIN")) {
        c->stage = SCRAM_PROOF;
        scram_first(c, name);
        return;
    }
    int len = snprintf(message, sizeof message, "%c%s%c%s", 0, name, 0, plan.password);
    encode(text, message, (size_t)len);
    c->stage = SCRAM_END;
    client_say(c, "AUTH PLAIN %s\r\n", text);
}

static void say_hello(struct client *c)
{
    c->stage = HELLO;
    if (is_pop3())
        log_in(c);
    else
        client_say(c, "EHLO %s\r\n", plan.helo);
}

/* After STARTTLS there is no second greeting. */
void login_stands(struct client *c)
{
    if (c->stage == TLS)
        say_hello(c);
}

static bool after_greeting(struct client *c)
{
    if (by_starttls(c) && is_pop3()) {
        c->stage = TLS;
        client_say(c, "STLS\r\n");
        return false;
    }
    if (says("none") && !by_starttls(c))
        return true;
    say_hello(c);
    return false;
}

bool login_line(struct client *c, const char *line, size_t len)
{
    if (!last_line(line, len))
        return false;
    switch ((enum stage)c->stage) {
    case GREETING:
        return after_greeting(c);
    case HELLO:
        if (says("none") && !by_starttls(c))
            return true;
        c->stage = by_starttls(c) ? TLS : AUTH;
        if (c->stage == TLS)
            client_say(c, "STARTTLS\r\n");
        else
            log_in(c);
        return false;
    case TLS:
        client_secure(c);
        return false;
    case SCRAM_PROOF:
        c->stage = AUTH;
        scram_last(c, line, len);
        return false;
    case AUTH:
        c->stage = SCRAM_END;
        client_say(c, "\r\n");
        return false;
    case SCRAM_END:
        c->stage = IN;
        return true;
    case IN:
        break;
    }
    return true;
}

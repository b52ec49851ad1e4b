/* session.c - whole sessions, again and again; and sessions that stand idle after their login. */
#include <string.h>

#include "load.h"

enum stage { LOGIN = 0, ASKED = 100, ENVELOPE, BODY, LEAVING };

int held;

static void prepare(void)
{
    login_prepare();
    if (plan.octets > 0)
        mail_prepare(true);
}

static void stands(struct client *c)
{
    if (c->stage == LOGIN && (c->number = take_number()) < 0)
        client_close(c);
    else
        login_stands(c);
}

static void leave(struct client *c)
{
    c->stage = LEAVING;
    client_say(c, "QUIT\r\n");
}

static void work(struct client *c)
{
    char name[LINE / 4];
    if (strcmp(plan.mechanism, "none") == 0) {
        leave(c);
    } else if (is_pop3()) {
        c->stage = ASKED;
        client_say(c, "STAT\r\n");
    } else if (plan.octets > 0) {
        c->stage = ENVELOPE;
        c->due = 3;
        client_say(c, "MAIL FROM:<%s>\r\nRCPT TO:<u%d@%s>\r\nDATA\r\n", login_name(c, name),
            (c->number + 1) % plan.accounts, plan.domain);
    } else {
        leave(c);
    }
}

static void again(struct client *c)
{
    client_close(c);
    finished_one(now() - c->began);
    if (to_do() > 0)
        client_open(c);
}

static void line(struct client *c, const char *text, size_t len)
{
    if (c->stage < ASKED) {
        if (login_line(c, text, len))
            work(c);
        return;
    }
    if (!last_line(text, len))
        return;
    if (c->stage == LEAVING) {
        again(c);
    } else if (c->stage == ENVELOPE && --c->due == 0) {
        size_t body_len;
        const char *body = mail_body(c->number, &body_len);
        c->stage = BODY;
        client_put(c, body, body_len);
    } else if (c->stage != ENVELOPE) {
        leave(c);
    }
}

const struct mode mode_session = { "session", prepare, stands, line, NULL };

/* ---- idle ----------------------------------------------------------------------------------------------------------
 */

static int next_idle;

static void idle_stands(struct client *c)
{
    if (c->stage == LOGIN)
        c->number = next_idle++;
    login_stands(c);
}

static void idle_line(struct client *c, const char *text, size_t len)
{
    if (c->stage >= ASKED)
        fail("a line in an idle session", "");
    if (!login_line(c, text, len))
        return;
    c->stage = ASKED;
    held++;
}

const struct mode mode_idle = { "idle", login_prepare, idle_stands, idle_line, NULL };

#include "proto/smtp/smtp_client_impl.h"

#include "base/must.h"
#include "mail/coding.h"

#define GROUP_OCTETS 32768u /* of RCPT commands in one write: both sides' TCP windows take it without a reader */

void client_say(struct client *c, struct slice text)
{
    enum status status = buf_put(&c->out, text);
    must(status == STATUS_OK);
}

static void put_number(struct client *c, uint64_t number)
{
    enum status status = buf_put_number(&c->out, number);
    must(status == STATUS_OK);
}

static void put_xtext(struct client *c, struct slice text)
{
    enum status status = xtext_encode(&c->out, text);
    must(status == STATUS_OK);
}

void client_await(struct client *c, enum client_phase phase, msec wait)
{
    c->phase = phase;
    c->deadline = c->now + wait;
}

void client_say_hello(struct client *c, bool extended)
{
    c->offers = (struct client_offers){ .size = 0 };
    client_say(c, extended ? S("EHLO ") : S("HELO "));
    client_say(c, c->job->helo);
    client_say(c, S("\r\n"));
    client_await(c, extended ? PHASE_EHLO : PHASE_HELO, LIMIT_WAIT_COMMAND);
}

void client_say_mail(struct client *c)
{
    const struct client_job *job = c->job;
    client_say(c, S("MAIL FROM:<"));
    client_say(c, job->sender);
    client_say(c, S(">"));
    if (c->offers.has_size) {
        client_say(c, S(" SIZE=")); /* RFC 1870 */
        put_number(c, job->size);
    }
    if (job->body_type == BODY_BINARY)
        client_say(c, S(" BODY=BINARYMIME")); /* RFC 3030 3 */
    else if (job->body_type == BODY_8BIT && c->offers.eightbit)
        client_say(c, S(" BODY=8BITMIME")); /* RFC 6152 */
    if (job->utf8)
        client_say(c, S(" SMTPUTF8")); /* RFC 6531 */
    if (c->offers.dsn && job->ret != RET_NONE) /* RFC 3461 4.3, 4.4 */
        client_say(c, job->ret == RET_FULL ? S(" RET=FULL") : S(" RET=HDRS"));
    if (c->offers.dsn && job->envid.len > 0) {
        client_say(c, S(" ENVID="));
        put_xtext(c, job->envid);
    }
    client_say(c, S("\r\n"));
}

static void put_notify(struct client *c, uint8_t notify)
{
    static const struct {
        uint8_t bit;
        struct slice word;
    } words[] = { { DSN_NEVER, S("NEVER") }, { DSN_SUCCESS, S("SUCCESS") }, { DSN_FAILURE, S("FAILURE") }, { DSN_DELAY, S("DELAY") } };
    struct slice before = S(" NOTIFY=");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!(notify & words[i].bit))
            continue;
        client_say(c, before);
        client_say(c, words[i].word);
        before = S(",");
    }
}

static uint32_t point_of(struct slice character)
{
    uint32_t point = (unsigned char)character.ptr[0] & (0x7fu >> character.len);
    for (size_t i = 1; i < character.len; i++)
        point = point << 6 | ((unsigned char)character.ptr[i] & 0x3f);
    return point;
}

/* The type utf-8 has a quoting of its own, which is not xtext; what stands there in plain UTF-8 is quoted for a host
 * without SMTPUTF8 (RFC 6533 3). */
static void put_original(struct client *c, struct slice type, struct slice address)
{
    if (!slice_equal_nocase(type, S("utf-8"))) {
        put_xtext(c, address);
        return;
    }
    while (address.len > 0) {
        size_t len = slice_utf8_prefix(address);
        struct slice character = slice_upto(address, len > 0 ? len : 1);
        enum status status = len < 2 || c->offers.utf8 ? buf_put(&c->out, character)
                                                       : buf_print(&c->out, "\\x{%X}", (unsigned)point_of(character));
        must(status == STATUS_OK);
        address = slice_from(address, character.len);
    }
}

/* RFC 3461 4.1, 4.2: what the sender asked for goes on unchanged. */
static void put_rcpt(struct client *c, const struct client_rcpt *rcpt)
{
    client_say(c, S("RCPT TO:<"));
    client_say(c, rcpt->address);
    client_say(c, S(">"));
    if (c->offers.dsn) {
        put_notify(c, rcpt->notify);
        size_t colon = slice_find(rcpt->orcpt, ';');
        if (colon < rcpt->orcpt.len) {
            client_say(c, S(" ORCPT="));
            client_say(c, slice_upto(rcpt->orcpt, colon + 1));
            put_original(c, slice_upto(rcpt->orcpt, colon), slice_from(rcpt->orcpt, colon + 1));
        }
    }
    client_say(c, S("\r\n"));
}

/* As many RCPTs as may go out before their replies are read: one, or with PIPELINING (RFC 2920) a group. */
void client_say_rcpts(struct client *c)
{
    bool said = false;
    if (c->answered < c->told)
        return;
    while (c->told < c->job->rcpt_count && (c->offers.pipelining ? c->out.len <= GROUP_OCTETS : !said)) {
        const struct client_rcpt *rcpt = &c->job->rcpts[c->told++];
        if (rcpt->outcome == 0) {
            put_rcpt(c, rcpt);
            said = true;
        }
    }
}

void client_say_chunk(struct client *c, struct slice plain, bool last)
{
    client_say(c, S("BDAT "));
    put_number(c, plain.len);
    client_say(c, last ? S(" LAST\r\n") : S("\r\n")); /* RFC 3030 2 */
    client_say(c, plain);
    if (last)
        client_await(c, PHASE_FINAL, LIMIT_WAIT_FINAL);
    else
        client_await(c, PHASE_CHUNK, LIMIT_WAIT_COMMAND);
}

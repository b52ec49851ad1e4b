#include "proto/smtp/smtp_client_impl.h"

#include "base/must.h"

#define OUT_OCTETS   (4u << 20) /* a piece of body may double when its dots and line ends are encoded */
#define REPLY_OCTETS 1000u      /* of a reply that is kept: it goes into the log, the queue and a bounce */

/* Our own words for what went wrong, each with the enhanced code of RFC 3463. */
enum reason {
    REASON_NO_TLS,
    REASON_TLS_REFUSED,
    REASON_TLS_INJECTION,
    REASON_TOO_LARGE,
    REASON_NO_UTF8,
    REASON_NO_BINARY,
    REASON_BAD_ADDRESS,
    REASON_BAD_REPLY,
    REASONS
};

static const struct {
    enum settle_outcome outcome;
    const char *text;
} reasons[REASONS] = {
    [REASON_NO_TLS] = { SETTLE_DEFERRED, "4.7.10 TLS is required but the other server does not offer it" },
    [REASON_TLS_REFUSED] = { SETTLE_DEFERRED, "4.7.10 TLS is required but the other server refused to begin it" },
    [REASON_TLS_INJECTION] = { SETTLE_DEFERRED, "4.7.0 Octets in plain text behind the reply to STARTTLS" },
    [REASON_TOO_LARGE] = { SETTLE_FAILED, "5.3.4 The message is larger than the other server takes" },
    [REASON_NO_UTF8] = { SETTLE_FAILED, "5.6.7 The message needs SMTPUTF8, which the other server does not offer" },
    [REASON_NO_BINARY] = { SETTLE_FAILED, "5.6.3 The message is binary, which the other server does not take" },
    [REASON_BAD_ADDRESS] = { SETTLE_FAILED, "5.1.3 The address cannot be written into a command" },
    [REASON_BAD_REPLY] = { SETTLE_DEFERRED, "4.5.0 The other server's reply cannot be understood" },
};

/* ---- outcomes ------------------------------------------------------------------------------------------------------ */

static void decide(struct client *c, struct client_rcpt *rcpt, enum settle_outcome outcome, struct slice reply)
{
    if (rcpt->outcome != 0)
        return;
    rcpt->outcome = (uint8_t)outcome;
    if (arena_copy(c->arena, reply, &rcpt->reply) != STATUS_OK)
        rcpt->reply = NO_SLICE;
}

static void decide_all(struct client *c, enum settle_outcome outcome, struct slice reply)
{
    for (size_t i = 0; i < c->job->rcpt_count; i++)
        decide(c, &c->job->rcpts[i], outcome, reply);
}

/* The message's fate is known: what waits for QUIT's reply would only wait with the settling. */
static void end(struct client *c)
{
    c->phase = PHASE_DONE;
    enum status status = buf_put(&c->out, S("QUIT\r\n"));
    must(status == STATUS_OK);
}

static void give_up(struct client *c, enum reason reason)
{
    decide_all(c, reasons[reason].outcome, slice_of(reasons[reason].text));
    end(c);
}

/* No command may follow: the other side and we do not agree on what was said. */
static void break_off(struct client *c, enum reason reason)
{
    decide_all(c, reasons[reason].outcome, slice_of(reasons[reason].text));
    buf_clear(&c->out);
    c->phase = PHASE_DONE;
}

static bool has_undecided(const struct client *c)
{
    for (size_t i = 0; i < c->job->rcpt_count; i++)
        if (c->job->rcpts[i].outcome == 0)
            return true;
    return false;
}

/* ---- the transaction ----------------------------------------------------------------------------------------------- */

static bool is_speakable(struct slice address)
{
    return !slice_has_control(address) && slice_find(address, '>') == address.len && slice_find(address, '<') == address.len;
}

/* What cannot work is not tried. */
static bool may_send(struct client *c)
{
    const struct client_job *job = c->job;
    enum reason reason = REASONS;
    if (c->offers.size > 0 && job->size > c->offers.size)
        reason = REASON_TOO_LARGE;
    else if (job->utf8 && !c->offers.utf8)
        reason = REASON_NO_UTF8; /* RFC 6531 3.1 */
    else if (job->body_type == BODY_BINARY && !(c->offers.chunking && c->offers.binary))
        reason = REASON_NO_BINARY; /* RFC 3030 3: never altered on the way */
    else if (!is_speakable(job->sender))
        reason = REASON_BAD_ADDRESS;
    if (reason != REASONS)
        give_up(c, reason);
    return reason == REASONS;
}

static void begin_transaction(struct client *c)
{
    if (!may_send(c))
        return;
    for (size_t i = 0; i < c->job->rcpt_count; i++)
        if (!is_speakable(c->job->rcpts[i].address) || slice_has_control(c->job->rcpts[i].orcpt))
            decide(c, &c->job->rcpts[i], SETTLE_FAILED, slice_of(reasons[REASON_BAD_ADDRESS].text));
    if (!has_undecided(c)) {
        end(c);
        return;
    }
    c->uses_chunks = c->job->body_type == BODY_BINARY;
    client_say_mail(c);
    if (c->offers.pipelining)
        client_say_rcpts(c);
    client_await(c, PHASE_MAIL, LIMIT_WAIT_COMMAND);
}

static void after_hello(struct client *c)
{
    if (c->secured || c->job->tls == TLS_WISH_NONE) { /* NOLINT(bugprone-branch-clone): in the order of what is preferred */
        begin_transaction(c);
    } else if (c->offers.starttls) {
        client_say(c, S("STARTTLS\r\n"));
        client_await(c, PHASE_STARTTLS, LIMIT_WAIT_COMMAND);
    } else if (c->job->tls == TLS_WISH_MUST) {
        give_up(c, REASON_NO_TLS);
    } else {
        begin_transaction(c);
    }
}

static void begin_body(struct client *c) { client_await(c, PHASE_BODY, LIMIT_WAIT_BLOCK); }

/* All recipients are answered. */
static void after_rcpts(struct client *c)
{
    if (!has_undecided(c)) {
        end(c);
    } else if (c->uses_chunks) {
        begin_body(c);
    } else {
        client_say(c, S("DATA\r\n"));
        client_await(c, PHASE_DATA, LIMIT_WAIT_DATA);
    }
}

/* Recipients that were decided before they were told have no reply. */
static void skip_decided(struct client *c)
{
    while (c->answered < c->told && c->job->rcpts[c->answered].outcome != 0)
        c->answered++;
}

static void go_on_with_rcpts(struct client *c)
{
    skip_decided(c);
    client_say_rcpts(c);
    skip_decided(c);
    if (c->answered == c->job->rcpt_count)
        after_rcpts(c);
    else
        client_await(c, PHASE_RCPT, LIMIT_WAIT_COMMAND);
}

/* ---- replies ------------------------------------------------------------------------------------------------------- */

enum class { CLASS_YES, CLASS_MORE, CLASS_LATER, CLASS_NEVER };

/* RFC 5321 4.2.1.  A class that does not exist, or one that does not belong here, is a reason to try later (C047). */
static enum class class_of(unsigned code)
{
    switch (code / 100) {
    case 2:
        return CLASS_YES;
    case 3:
        return CLASS_MORE;
    case 5:
        return CLASS_NEVER;
    default:
        return CLASS_LATER;
    }
}

static enum settle_outcome refusal_of(unsigned code)
{
    return class_of(code) == CLASS_NEVER ? SETTLE_FAILED : SETTLE_DEFERRED;
}

/* The whole message is refused, for those that are not refused yet. */
static void refuse(struct client *c)
{
    decide_all(c, refusal_of(c->code), buf_slice(&c->reply));
    end(c);
}

/* A host that turns all away says nothing about the message: that is never its end, only queue.lifetime is. */
static void turned_away(struct client *c)
{
    decide_all(c, SETTLE_DEFERRED, buf_slice(&c->reply));
    end(c);
}

static void on_starttls(struct client *c, bool more_wire)
{
    if (class_of(c->code) == CLASS_YES && more_wire)
        break_off(c, REASON_TLS_INJECTION); /* C055 */
    else if (class_of(c->code) == CLASS_YES)
        client_await(c, PHASE_HANDSHAKE, LIMIT_WAIT_COMMAND);
    else if (c->job->tls == TLS_WISH_MUST)
        give_up(c, REASON_TLS_REFUSED);
    else
        begin_transaction(c);
}

static void on_rcpt(struct client *c)
{
    enum { TOO_MANY_RECIPIENTS = 552 }; /* RFC 5321 4.5.3.1.10: to be taken for 452 */
    must(c->answered < c->told);
    struct client_rcpt *rcpt = &c->job->rcpts[c->answered++];
    if (class_of(c->code) != CLASS_YES)
        decide(c, rcpt, c->code == TOO_MANY_RECIPIENTS ? SETTLE_DEFERRED : refusal_of(c->code), buf_slice(&c->reply));
    go_on_with_rcpts(c);
}

static void on_final(struct client *c)
{
    if (class_of(c->code) != CLASS_YES) {
        refuse(c);
        return;
    }
    decide_all(c, SETTLE_DELIVERED, buf_slice(&c->reply));
    end(c);
}

static void on_mail(struct client *c)
{
    if (class_of(c->code) != CLASS_YES)
        refuse(c);
    else
        go_on_with_rcpts(c);
}

static void on_reply(struct client *c, bool more_wire)
{
    enum { CLOSING = 421 }; /* RFC 5321 3.8: may come at any time, and ends the session */
    enum class class = class_of(c->code);
    if (c->code == CLOSING) {
        decide_all(c, SETTLE_DEFERRED, buf_slice(&c->reply));
        buf_clear(&c->out);
        c->phase = PHASE_DONE;
        return;
    }
    switch (c->phase) {
    case PHASE_GREETING:
        if (class == CLASS_YES)
            client_say_hello(c, true);
        else
            turned_away(c);
        break;
    case PHASE_EHLO:
        if (class == CLASS_YES)
            after_hello(c);
        else if (class == CLASS_NEVER)
            client_say_hello(c, false); /* RFC 5321 3.2 */
        else
            turned_away(c);
        break;
    case PHASE_HELO:
        if (class == CLASS_YES)
            after_hello(c);
        else
            turned_away(c);
        break;
    case PHASE_STARTTLS:
        on_starttls(c, more_wire);
        break;
    case PHASE_MAIL:
        on_mail(c);
        break;
    case PHASE_RCPT:
        on_rcpt(c);
        break;
    case PHASE_DATA:
    case PHASE_CHUNK:
        if (class == (c->phase == PHASE_DATA ? CLASS_MORE : CLASS_YES))
            begin_body(c);
        else
            refuse(c);
        break;
    case PHASE_FINAL:
        on_final(c);
        break;
    case PHASE_BODY: /* RFC 5321 3.3 knows no reply in the middle of data; a refusal there is believed all the same */
        decide_all(c, refusal_of(c->code), buf_slice(&c->reply));
        c->phase = PHASE_DONE;
        break;
    case PHASE_HANDSHAKE:
    case PHASE_DONE:
        must(c->phase != PHASE_HANDSHAKE);
        break;
    }
}

/* ---- reading replies ----------------------------------------------------------------------------------------------- */

static bool has_word(struct slice line, struct slice word, struct slice *out_rest)
{
    if (!slice_starts_nocase(line, word) || (line.len > word.len && line.ptr[word.len] != ' '))
        return false;
    *out_rest = slice_trim(slice_from(line, word.len));
    return true;
}

/* One line of EHLO's reply (RFC 5321 4.1.1.1). */
static void take_offer(struct client_offers *offers, struct slice line)
{
    struct slice rest;
    uint64_t size = 0;
    offers->pipelining |= has_word(line, S("PIPELINING"), &rest);
    offers->eightbit |= has_word(line, S("8BITMIME"), &rest);
    offers->utf8 |= has_word(line, S("SMTPUTF8"), &rest);
    offers->dsn |= has_word(line, S("DSN"), &rest);
    offers->starttls |= has_word(line, S("STARTTLS"), &rest);
    offers->chunking |= has_word(line, S("CHUNKING"), &rest);
    offers->binary |= has_word(line, S("BINARYMIME"), &rest);
    if (has_word(line, S("SIZE"), &rest)) {
        offers->has_size = true; /* RFC 1870 3: without a number, or with 0, no limit is named */
        offers->size = slice_number(rest, UINT64_MAX, &size) == STATUS_OK ? size : 0;
    }
}

/* Joins a line to the reply: printable, on one line, up to REPLY_OCTETS (C040). */
static void keep_line(struct client *c, struct slice text)
{
    for (size_t i = 0; i < text.len && c->reply.len < REPLY_OCTETS; i++) {
        char octet = text.ptr[i];
        char kept = octet >= ' ' && octet <= '~' ? octet : (unsigned char)octet < ' ' ? ' ' : '?';
        enum status status = buf_put_byte(&c->reply, kept);
        must(status == STATUS_OK);
    }
}

static bool read_code(struct slice text, uint16_t *out_code)
{
    uint64_t code;
    if (text.len < 3 || slice_number(slice_upto(text, 3), 999, &code) != STATUS_OK)
        return false;
    *out_code = (uint16_t)code;
    return text.len == 3 || text.ptr[3] == ' ' || text.ptr[3] == '-';
}

/* Takes in one line; true: it was the last one of a reply. */
static bool take_reply_line(struct client *c)
{
    struct slice text = c->line.text;
    uint16_t code;
    if (c->line.flaw != LINE_FINE || !read_code(text, &code) || (c->reply_lines > 0 && code != c->code) ||
        ++c->reply_lines > LIMIT_REPLY_LINES) {
        break_off(c, REASON_BAD_REPLY);
        return false;
    }
    c->code = code;
    if (c->reply_lines == 1) {
        keep_line(c, slice_upto(text, 3));
    } else if (c->phase == PHASE_EHLO) {
        take_offer(&c->offers, slice_from(text, 4));
    }
    if (text.len > 4)
        keep_line(c, S(" "));
    keep_line(c, slice_from(text, 4));
    return text.len == 3 || text.ptr[3] == ' ';
}

static void forget_given(struct client *c)
{
    if (c->out_given)
        buf_clear(&c->out);
    c->out_given = false;
}

size_t client_feed(struct client *c, struct slice wire, msec now)
{
    struct slice rest = wire;
    forget_given(c);
    c->now = now;
    while (c->phase != PHASE_DONE && c->phase != PHASE_HANDSHAKE && line_take(&c->line, &rest)) {
        if (c->reply_lines == 0)
            buf_clear(&c->reply);
        if (!take_reply_line(c))
            continue;
        c->reply_lines = 0;
        on_reply(c, rest.len > 0);
    }
    return wire.len - rest.len;
}

/* ---- body, TLS, end ------------------------------------------------------------------------------------------------ */

void client_body(struct client *c, struct slice plain, bool last, msec now)
{
    forget_given(c);
    c->now = now;
    if (c->phase == PHASE_DONE)
        return;
    must(c->phase == PHASE_BODY);
    if (c->uses_chunks) {
        if (plain.len > 0 || last)
            client_say_chunk(c, plain, last);
        return;
    }
    enum status status = dot_encode(&c->encode, plain, &c->out);
    must(status == STATUS_OK);
    begin_body(c);
    if (!last)
        return;
    status = dot_encode_end(&c->encode, &c->out);
    must(status == STATUS_OK);
    client_await(c, PHASE_FINAL, LIMIT_WAIT_FINAL);
}

void client_secured(struct client *c, msec now)
{
    forget_given(c);
    c->now = now;
    if (c->phase == PHASE_DONE)
        return;
    must(c->phase == PHASE_HANDSHAKE && !c->secured);
    c->secured = true;
    line_drop(&c->line);
    if (c->job->implicit_tls)
        client_await(c, PHASE_GREETING, LIMIT_WAIT_COMMAND);
    else
        client_say_hello(c, true); /* RFC 3207 4.2: nothing that was said before TLS counts */
}

void client_lost(struct client *c, struct slice reason, msec now)
{
    forget_given(c);
    c->now = now;
    if (c->phase == PHASE_DONE)
        return;
    decide_all(c, SETTLE_DEFERRED, reason);
    buf_clear(&c->out);
    c->phase = PHASE_DONE;
}

enum client_wish client_next(struct client *c, struct slice *out_bytes)
{
    forget_given(c);
    if (c->out.len > 0) {
        *out_bytes = buf_slice(&c->out);
        c->out_given = true;
        return CLIENT_SEND;
    }
    switch (c->phase) {
    case PHASE_HANDSHAKE:
        return CLIENT_TLS;
    case PHASE_BODY:
        return CLIENT_BODY;
    case PHASE_DONE:
        return CLIENT_DONE;
    default:
        return CLIENT_READ;
    }
}

bool client_has_dsn(const struct client *c) { return c->offers.dsn; }

msec client_deadline(const struct client *c) { return c->deadline; }

struct client *client_open(const struct client_job *job, struct arena *arena, msec now)
{
    struct client *c = arena_take(arena, sizeof *c);
    must(c && is_speakable(job->helo));
    c->job = job;
    c->arena = arena;
    c->now = now;
    c->out = BUF(OUT_OCTETS);
    c->reply = BUF(REPLY_OCTETS);
    line_init(&c->line, LIMIT_REPLY_LINE);
    client_await(c, job->implicit_tls ? PHASE_HANDSHAKE : PHASE_GREETING, LIMIT_WAIT_COMMAND);
    return c;
}

void client_close(struct client *c)
{
    buf_done(&c->out);
    buf_done(&c->reply);
    line_done(&c->line);
}

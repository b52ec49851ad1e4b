#include "proto/smtp/smtp.h"

#include <string.h>

#include "base/must.h"
#include "mail/trace.h"

#define STAGE_AT    (LIMIT_INLINE_BODY - 8u) /* octets; those that were held back (mail/dot.h) come on top, and the frame still holds them */
#define PIECE       (1u << 20)               /* octets that are looked at in one go */
#define PREFIX_ROOM 768u                     /* of nearly every Received field, so that the buffer grows once */

/* ---- the content, piece by piece ------------------------------------------------------------------------------------ */

static void begin_content(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    header_scan_init(&smtp->mail.scan, &s->of_transaction);
    smtp->mail.has_content = true;
    smtp->transactions++;
}

/* Every octet buys its time.  What lies between two chunks counts, too, or a drip would only need smaller chunks. */
msec smtp_content_deadline(const struct session *s)
{
    const struct smtp *smtp = s->state;
    if (!smtp->mail.has_content && smtp->reading != READ_CHUNK)
        return SESSION_NEVER;
    return smtp->mail.began + SECONDS(LIMIT_DATA_GRACE) + smtp->mail.wire * SECONDS(1) / LIMIT_DATA_RATE;
}

/* From here on the message is lost: it is read to its end, and nothing of it is kept. */
static void fail(struct session *s, enum smtp_reply reply)
{
    struct smtp_transaction *mail = &smtp_of(s)->mail;
    if (mail->failure == REPLY_NONE)
        mail->failure = reply;
    buf_clear(session_body(s));
}

/* Looks at the plain octets that stand in session_body(): they go out as they are, or not at all. */
static void take_piece(struct session *s)
{
    struct smtp_transaction *mail = &smtp_of(s)->mail;
    struct buf *body = session_body(s);
    if (mail->failure != REPLY_NONE) {
        buf_clear(body);
        return;
    }
    uint64_t room = s->env.settings->message_size_limit - mail->octets;
    if (body->len > room) { /* C049: counted while it arrives, whatever SIZE= said */
        fail(s, REPLY_TOO_LARGE);
        return;
    }
    mail->octets += body->len;
    /* RFC 6152 3: eight bits go on as BODY=8BITMIME, whether or not the client said so. */
    if (mail->body_type == BODY_7BIT && !slice_is_ascii(buf_slice(body)))
        mail->body_type = BODY_8BIT;
    header_scan_feed(&mail->scan, buf_slice(body));
}

/* Octets of the wire of which the frame of a DELIVER can hold all that they decode to: as many, or twice as many where LF becomes CRLF. */
static uint64_t room_inline(const struct smtp_transaction *mail)
{
    uint64_t used = mail->dot.repairs_lf ? mail->octets : mail->wire;
    if (used >= STAGE_AT)
        return 0;
    return mail->dot.repairs_lf ? (STAGE_AT - used) / 2 : STAGE_AT - used;
}

/* More than that is about to come. */
static bool needs_stage(const struct smtp_transaction *mail)
{
    return !mail->staged && mail->failure == REPLY_NONE && room_inline(mail) == 0;
}

static void ask_stage(struct session *s)
{
    session_ask(s, ASK_STAGE)->stage.announced = smtp_of(s)->mail.announced;
}

void smtp_stage_answer(struct session *s, const struct answer *answer)
{
    enum smtp_reply reply = smtp_reply_of_status(answer->status);
    if (reply == REPLY_NONE)
        reply = smtp_reply_of_verdict(answer->stage.verdict);
    smtp_of(s)->mail.staged = reply == REPLY_NONE;
    if (reply != REPLY_NONE)
        fail(s, reply);
}

/* What of the wire may be looked at in this call: never across the point where a descriptor is needed. */
static struct slice next_piece(const struct smtp_transaction *mail, struct slice wire)
{
    uint64_t most = PIECE;
    if (!mail->staged && mail->failure == REPLY_NONE)
        most = room_inline(mail);
    return slice_upto(wire, most < wire.len ? (size_t)most : wire.len);
}

/* ---- the end -------------------------------------------------------------------------------------------------------- */

static enum smtp_reply judge_header(const struct smtp_transaction *mail)
{
    bool submission = mail->submitted;
    if (mail->scan.received > LIMIT_HOPS) /* C208 */
        return REPLY_LOOP;
    switch (mail->scan.flaw) {
    case HEADER_LEADING_SPACE: /* C017 */
    case HEADER_NUL:
    case HEADER_TOO_LONG:
        return REPLY_BAD_HEADER;
    case HEADER_TWO_FROM: /* C092, C167: who wrote it must be one answer; strangers' oddities pass */
        return submission ? REPLY_TWO_AUTHORS : REPLY_NONE;
    case HEADER_BAD_AUTHORS:
        return submission ? REPLY_BAD_AUTHORS : REPLY_NONE;
    case HEADER_FINE:
        break;
    }
    size_t octets = 0;
    for (size_t i = 0; submission && i < mail->scan.author_count; i++)
        octets += mail->scan.authors[i].len + 4;
    return octets > LIMIT_AUTHORS_OCTETS ? REPLY_BAD_AUTHORS : REPLY_NONE;
}

/* "u0-1a-3": the session and the number of the message in it. */
static enum status make_id(struct session *s, struct slice *out_id)
{
    struct buf id = BUF(64);
    struct slice name = session_name(s);
    enum status status = buf_print(&id, "%.*s-%u", (int)name.len, name.ptr, (unsigned)smtp_of(s)->transactions);
    if (status == STATUS_OK)
        status = arena_copy(&s->of_transaction, buf_slice(&id), out_id);
    buf_done(&id);
    return status;
}

/* C111: "authenticated" is said of SMTP AUTH alone; a lease shows its id. */
static enum status put_received(struct session *s, struct slice id, struct buf *out)
{
    const struct smtp *smtp = smtp_of(s);
    const struct smtp_transaction *mail = &smtp->mail;
    struct buf tls = BUF(128), lease = BUF(16);
    struct trace trace = { .helo = smtp_helo(smtp), .host = s->env.settings->hostname, .id = id, .peer = s->env.peer,
        .esmtp = smtp->esmtp, .authenticated = mail->proof == PROOF_LOGIN, .utf8 = mail->utf8, .when = session_wall(s) };
    enum status status = STATUS_OK;
    if (mail->recipient_count == 1)
        trace.recipient = mail->recipients[0].address;
    if (s->is_secured)
        status = buf_print(&tls, "%.*s %.*s", (int)s->tls.version.len, s->tls.version.ptr, (int)s->tls.cipher.len, s->tls.cipher.ptr);
    if (status == STATUS_OK && mail->proof == PROOF_LEASE)
        status = buf_print(&lease, "L%u", (unsigned)mail->lease);
    trace.tls = buf_slice(&tls);
    trace.lease = buf_slice(&lease);
    if (status == STATUS_OK)
        status = trace_received(out, &trace);
    buf_done(&tls);
    buf_done(&lease);
    return status;
}

/* D70: on submission only. */
static enum status put_missing_fields(struct session *s, struct slice id, struct buf *out)
{
    const struct smtp_transaction *mail = &smtp_of(s)->mail;
    struct buf unique = BUF(128);
    enum status status = STATUS_OK;
    if (mail->scan.date == 0)
        status = trace_date(out, session_wall(s));
    if (status == STATUS_OK && mail->scan.message_id == 0) {
        /* Session names begin anew with every start of the server: the time and a draw make the id unique for ever. */
        status = buf_print(&unique, "%llx-%llx-%.*s", (unsigned long long)session_wall(s),
            (unsigned long long)random_next(&s->random), (int)id.len, id.ptr);
        if (status == STATUS_OK)
            status = trace_message_id(out, buf_slice(&unique), s->env.settings->hostname);
    }
    buf_done(&unique);
    return status;
}

static enum status make_prefix(struct session *s, struct slice id, struct slice *out_prefix)
{
    struct buf prefix = BUF(LIMIT_PREFIX);
    char *room;
    enum status status = buf_reserve(&prefix, PREFIX_ROOM, &room);
    if (status == STATUS_OK)
        status = put_received(s, id, &prefix);
    if (status == STATUS_OK && smtp_of(s)->mail.submitted)
        status = put_missing_fields(s, id, &prefix);
    if (status == STATUS_OK)
        status = arena_copy(&s->of_transaction, buf_slice(&prefix), out_prefix);
    buf_done(&prefix);
    return status;
}

static enum status make_return_path(struct session *s, struct slice *out_line)
{
    struct buf line = BUF(LIMIT_PREFIX);
    enum status status = trace_return_path(&line, smtp_of(s)->mail.sender);
    if (status == STATUS_OK)
        status = arena_copy(&s->of_transaction, buf_slice(&line), out_line);
    buf_done(&line);
    return status;
}

static enum status make_authors(struct session *s, struct rows *out_authors)
{
    const struct header_scan *scan = &smtp_of(s)->mail.scan;
    struct deliver_author *rows = arena_take_rows(&s->of_transaction, scan->author_count, sizeof *rows);
    if (!rows)
        return STATUS_TOO_BIG;
    for (size_t i = 0; i < scan->author_count; i++)
        rows[i].address = scan->authors[i];
    *out_authors = (struct rows){ rows, (uint32_t)scan->author_count };
    return STATUS_OK;
}

/* The body itself is with the driver: it adds it, or the descriptor (proto/session.h, WISH_BODY). */
static enum status make_deliver(struct session *s, struct ask_deliver *deliver)
{
    struct smtp *smtp = smtp_of(s);
    struct smtp_transaction *mail = &smtp->mail;
    *deliver = (struct ask_deliver){ .sender = mail->sender, .recipients = { mail->recipients, mail->recipient_count },
        .envid = mail->envid, .staged = mail->staged ? mail->octets : 0, .body_type = mail->body_type, .utf8 = mail->utf8,
        .ret = mail->ret };
    if (smtp->state == SMTP_CHUNKS) /* DATA has no strays, and its last line ends (dot.h) */
        deliver->growth = dot_strays_end(&mail->strays);
    TRY(make_id(s, &deliver->id));
    TRY(make_return_path(s, &deliver->return_path));
    TRY(make_prefix(s, deliver->id, &deliver->prefix));
    return mail->submitted ? make_authors(s, &deliver->authors) : STATUS_OK;
}

static struct slice number_text(struct session *s, uint64_t number)
{
    struct buf digits = BUF(20);
    struct slice text = NO_SLICE;
    if (buf_put_number(&digits, number) != STATUS_OK || arena_copy(&s->of_command, buf_slice(&digits), &text) != STATUS_OK)
        text = NO_SLICE;
    buf_done(&digits);
    return text;
}

/* C019: whatever the end of the data was answered with, there is no transaction any more. */
static void refuse_content(struct session *s, enum smtp_reply reply)
{
    const struct header_scan *scan = &smtp_of(s)->mail.scan;
    struct slice argument = s->env.settings->hostname;
    if (reply == REPLY_TOO_LARGE)
        argument = number_text(s, s->env.settings->message_size_limit);
    if (reply == REPLY_FOREIGN_SENDER)
        argument = smtp_of(s)->mail.sender;
    if (reply == REPLY_FORGED_AUTHOR)
        argument = scan->author_count > 0 ? scan->authors[0] : NO_SLICE;
    buf_clear(session_body(s));
    smtp_refuse(s, reply, argument);
    if (!session_wants_close(s))
        smtp_reset(s);
}

static void end_of_content(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    struct ask_deliver deliver;
    smtp->reading = READ_COMMAND;
    if (smtp->mail.failure == REPLY_NONE) {
        header_scan_end(&smtp->mail.scan);
        smtp->mail.failure = judge_header(&smtp->mail);
    }
    if (smtp->mail.failure == REPLY_NONE && make_deliver(s, &deliver) != STATUS_OK)
        smtp->mail.failure = REPLY_TEMPORARY;
    if (smtp->mail.failure != REPLY_NONE) {
        refuse_content(s, smtp->mail.failure);
        return;
    }
    session_ask(s, ASK_DELIVER)->deliver = deliver;
    smtp->mail.has_asked = false; /* the keeper ends its side with the delivery */
}

static const char *proof_name(uint8_t proof)
{
    static const char *const names[] = { [PROOF_NONE] = "none", [PROOF_LOGIN] = "login", [PROOF_LEASE] = "lease",
        [PROOF_NETWORK] = "network" };
    return proof < sizeof names / sizeof *names ? names[proof] : "none";
}

static void note_accepted(struct session *s, struct slice id)
{
    const struct smtp_transaction *mail = &smtp_of(s)->mail;
    session_note(s, &(struct note){ .event = "smtp.accepted",
        .fields = { { "id", id }, { "sender", mail->sender }, { "recipients", number_text(s, mail->recipient_count) },
            { "octets", number_text(s, mail->octets) }, { "proof", slice_of(proof_name(mail->proof)) },
            { "lease", number_text(s, mail->lease) } } });
}

void smtp_deliver_answer(struct session *s, const struct answer *answer)
{
    struct smtp *smtp = smtp_of(s);
    struct slice id = NO_SLICE;
    enum smtp_reply reply = smtp_reply_of_status(answer->status);
    if (reply == REPLY_NONE)
        reply = smtp_reply_of_verdict(answer->deliver.verdict);
    if (reply != REPLY_NONE) {
        smtp->mail.has_asked = true; /* it may never have reached the keeper: reservations are given back */
        refuse_content(s, reply);
        return;
    }
    if (make_id(s, &id) != STATUS_OK)
        id = NO_SLICE;
    note_accepted(s, id);
    smtp_say(s, REPLY_ACCEPTED, id); /* DESIGN 6: only now, since only now it is on disk */
    smtp->errors = smtp->junk = 0;
    smtp_reset(s);
}

/* ---- DATA: RFC 5321 4.1.1.4 ----------------------------------------------------------------------------------------- */

void smtp_cmd_data(struct session *s, struct slice argument)
{
    struct smtp *smtp = smtp_of(s);
    (void)argument;
    if (smtp->state == SMTP_CHUNKS) { /* RFC 3030 2: never both in one transaction */
        smtp_refuse(s, REPLY_SEQUENCE, NO_SLICE);
        return;
    }
    if (smtp->mail.body_type == BODY_BINARY) { /* RFC 3030 3 */
        smtp_refuse(s, REPLY_NEEDS_BDAT, NO_SLICE);
        return;
    }
    smtp->mail.began = s->now;
    smtp->mail.dot.repairs_lf = smtp->is_device;
    smtp->mail.dot.ends_by_lf = smtp->is_device && smtp->line.by_lf;
    begin_content(s);
    smtp->reading = READ_DATA;
    smtp_say(s, REPLY_GO_DATA, NO_SLICE);
}

/* C001 to C006, C013, C014: what is out of form never ends a message; it is read to its true end and refused once. */
static enum smtp_reply reply_of_flaw(enum dot_flaw flaw)
{
    switch (flaw) {
    case DOT_BARE_CR:
    case DOT_BARE_LF:
        return REPLY_BARE_CR_LF;
    case DOT_NUL:
        return REPLY_NUL;
    case DOT_LONG_LINE:
        return REPLY_LONG_BODY_LINE;
    case DOT_FINE:
        break;
    }
    return REPLY_NONE;
}

size_t smtp_feed_data(struct session *s, struct slice wire)
{
    struct smtp *smtp = smtp_of(s);
    struct smtp_transaction *mail = &smtp->mail;
    if (needs_stage(mail)) {
        ask_stage(s);
        return 0;
    }
    size_t eaten = dot_decode(&mail->dot, next_piece(mail, wire), session_body(s));
    mail->wire += eaten;
    if (mail->dot.flaw != DOT_FINE)
        fail(s, reply_of_flaw(mail->dot.flaw));
    take_piece(s);
    if (mail->dot.ended)
        end_of_content(s);
    else if (mail->wire / 2 > s->env.settings->message_size_limit + LIMIT_HEADER) /* C049: the drain has a bottom, too */
        refuse_content(s, REPLY_ENDLESS);
    return eaten;
}

/* ---- BDAT: RFC 3030 2 ----------------------------------------------------------------------------------------------- */

/* size [LAST]; NONE, or why the chunk cannot even be skipped: what stands behind it would be read as commands (C024). */
static enum smtp_reply read_chunk_size(const struct session *s, struct slice argument, uint64_t *out_size, bool *out_last)
{
    struct slice word, last, more;
    if (!slice_word(&argument, &word))
        return REPLY_BAD_CHUNK;
    *out_last = slice_word(&argument, &last);
    if ((*out_last && !slice_equal_nocase(last, S("LAST"))) || slice_word(&argument, &more))
        return REPLY_BAD_CHUNK;
    enum status status = slice_number(word, s->env.settings->message_size_limit * 2, out_size);
    if (status == STATUS_TOO_BIG)
        return REPLY_HUGE_CHUNK;
    return status == STATUS_OK ? REPLY_NONE : REPLY_BAD_CHUNK;
}

/* A chunk that comes out of turn is read all the same, and then refused: its octets are on their way. */
static void begin_chunk(struct session *s, uint64_t size)
{
    struct smtp *smtp = smtp_of(s);
    struct smtp_transaction *mail = &smtp->mail;
    if (!mail->has_content)
        mail->began = s->now;
    if (!smtp->esmtp) {
        fail(s, REPLY_NEEDS_EHLO);
    } else if (!(smtp->state & (SMTP_RCPT | SMTP_CHUNKS))) {
        fail(s, REPLY_NEEDS_RCPT);
    } else {
        if (!mail->has_content)
            begin_content(s);
        smtp->state = SMTP_CHUNKS;
        if (++mail->chunks > LIMIT_BDAT_CHUNKS) /* C021 */
            fail(s, REPLY_TOO_MANY_CHUNKS);
        if (size > s->env.settings->message_size_limit - mail->octets)
            fail(s, REPLY_TOO_LARGE);
    }
}

static void chunk_over(struct session *s)
{
    struct smtp *smtp = smtp_of(s);
    struct smtp_transaction *mail = &smtp->mail;
    smtp->reading = READ_COMMAND;
    if (mail->chunk_is_last && mail->strays.after_cr && mail->body_type != BODY_BINARY)
        fail(s, REPLY_BARE_CR_LF_CHUNK); /* a CR at the very end */
    if (mail->failure != REPLY_NONE)
        refuse_content(s, mail->failure); /* C018: with the transaction it is over */
    else if (mail->chunk_is_last)
        end_of_content(s);
    else
        smtp_say(s, REPLY_CHUNK_OK, number_text(s, mail->chunk_octets));
}

void smtp_cmd_bdat(struct session *s, struct slice argument)
{
    struct smtp *smtp = smtp_of(s);
    uint64_t size = 0;
    bool last = false;
    enum smtp_reply reply = read_chunk_size(s, argument, &size, &last);
    if (reply != REPLY_NONE) {
        smtp_refuse(s, reply, NO_SLICE);
        return;
    }
    begin_chunk(s, size);
    smtp->mail.chunk_left = smtp->mail.chunk_octets = size;
    smtp->mail.chunk_is_last = last;
    smtp->reading = READ_CHUNK;
    if (size == 0)
        chunk_over(s);
}

/* Text is held to CRLF here as well as in DATA (C004); a BINARYMIME body may hold anything. */
static void check_chunk(struct session *s, struct slice piece)
{
    struct smtp_transaction *mail = &smtp_of(s)->mail;
    dot_strays_feed(&mail->strays, piece);
    if (mail->body_type == BODY_BINARY)
        return;
    if (mail->strays.growth > mail->strays.after_cr) /* a CR at the end may still get its LF */
        fail(s, REPLY_BARE_CR_LF_CHUNK);
    else if (memchr(piece.ptr, '\0', piece.len))
        fail(s, REPLY_NUL_CHUNK);
}

size_t smtp_feed_chunk(struct session *s, struct slice wire)
{
    struct smtp_transaction *mail = &smtp_of(s)->mail;
    if (needs_stage(mail)) {
        ask_stage(s);
        return 0;
    }
    struct slice piece = next_piece(mail, slice_upto(wire, mail->chunk_left < wire.len ? (size_t)mail->chunk_left : wire.len));
    mail->wire += piece.len;
    mail->chunk_left -= piece.len;
    if (mail->failure == REPLY_NONE)
        check_chunk(s, piece);
    if (mail->failure == REPLY_NONE) {
        enum status status = buf_put(session_body(s), piece);
        must(status == STATUS_OK);
        take_piece(s);
    }
    if (mail->chunk_left == 0)
        chunk_over(s);
    return piece.len;
}

#include "replies.h"

#include "base/must.h"
#include "proto/pop3/pop3_reply.h"
#include "proto/smtp/smtp_reply.h"

#define REPLY_LINE 512 /* octets with CRLF: RFC 5321 4.5.3.1.5, RFC 2449 4 */

void replies_init(struct replies *replies, enum replies_kind kind)
{
    *replies = (struct replies){ .kind = kind, .line = BUF(2 * LIMIT_BODY_LINE) };
}

void replies_done(struct replies *replies) { buf_done(&replies->line); }

bool replies_are_whole(const struct replies *replies)
{
    return replies->line.len == 0 && replies->code == 0 && !replies->in_listing;
}

static bool is_digit(char octet) { return octet >= '0' && octet <= '9'; }

/* RFC 5321 4.2; every refusal bears its number at the end of its last line. */
static void smtp_line(struct replies *r, struct slice line)
{
    must(line.len >= 4 && is_digit(line.ptr[0]) && is_digit(line.ptr[1]) && is_digit(line.ptr[2]));
    must(line.ptr[3] == ' ' || line.ptr[3] == '-');
    unsigned code = (unsigned)(line.ptr[0] - '0') * 100 + (unsigned)(line.ptr[1] - '0') * 10 + (unsigned)(line.ptr[2] - '0');
    must(code >= 200 && code < 600);
    must(r->code == 0 || r->code == code);
    must(line.len + 2 <= (code == 334 ? LIMIT_AUTH_LINE : REPLY_LINE)); /* RFC 4954 4 for challenges */
    for (size_t i = 0; i < line.len; i++)
        must(line.ptr[i] >= ' ' && line.ptr[i] <= '~');
    bool is_last = line.ptr[3] == ' ';
    must(!is_last || code < 400 || slice_has(line, S(" [EK-")));
    r->code = is_last ? 0 : code;
}

/* `text` is "+OK ..." with '#' for any number. */
static bool fits(struct slice line, struct slice text)
{
    while (text.len > 0 && line.len > 0) {
        if (text.ptr[0] == '#' && is_digit(line.ptr[0])) {
            while (line.len > 0 && is_digit(line.ptr[0]))
                line = slice_from(line, 1);
        } else if (text.ptr[0] == line.ptr[0]) {
            line = slice_from(line, 1);
        } else {
            return false;
        }
        text = slice_from(text, 1);
    }
    return text.len == 0 && line.len == 0;
}

static bool is_reply(struct slice line, enum pop3_reply reply)
{
    const struct pop3_reply_row *row = &pop3_replies[reply];
    struct slice status = slice_of(row->status), rest = slice_from(line, status.len + 1);
    for (size_t i = 0; i < LANGUAGES; i++)
        if (slice_starts(line, status) && fits(rest, slice_of(row->text[i])))
            return true;
    return false;
}

static void pop3_line(struct replies *r, struct slice line)
{
    static const enum pop3_reply listings[] = { POP3_CAPABILITIES, POP3_LANGUAGES, POP3_MECHANISMS, POP3_LISTING, POP3_UIDS };
    if (r->in_listing) {
        must(r->in_message || line.len + 2 <= REPLY_LINE);
        must(line.len == 0 || line.ptr[0] != '.' || line.len == 1 || line.ptr[1] == '.'); /* RFC 1939 3 */
        if (slice_equal(line, S(".")))
            r->in_listing = r->in_message = false;
        return;
    }
    bool is_challenge = line.len > 0 && line.ptr[0] == '+' && (line.len == 1 || line.ptr[1] == ' ');
    must(line.len + 2 <= (is_challenge ? LIMIT_AUTH_LINE : REPLY_LINE));
    must(slice_is_utf8(line) && !slice_has_control(line));
    if (is_challenge)
        return;
    bool is_error = slice_starts(line, S("-ERR "));
    must(is_error || slice_starts(line, S("+OK")));
    must(!is_error || slice_has(line, S(" [EK-")));
    for (size_t i = 0; i < sizeof listings / sizeof *listings; i++)
        r->in_listing = r->in_listing || is_reply(line, listings[i]);
    r->in_message = is_reply(line, POP3_MESSAGE) || is_reply(line, POP3_TOP);
    r->in_listing = r->in_listing || r->in_message;
}

void replies_feed(struct replies *r, struct slice sent)
{
    while (sent.len > 0) {
        size_t lf = slice_find(sent, '\n'), len = lf < sent.len ? lf + 1 : lf;
        enum status status = buf_put(&r->line, slice_upto(sent, len));
        must(status == STATUS_OK);
        sent = slice_from(sent, len);
        if (r->line.ptr[r->line.len - 1] != '\n')
            return;
        struct slice line = slice_upto(buf_slice(&r->line), r->line.len - 2);
        must(r->line.len >= 2 && line.ptr[line.len] == '\r' && slice_find(line, '\r') == line.len);
        if (r->kind == REPLIES_SMTP)
            smtp_line(r, line);
        else
            pop3_line(r, line);
        buf_clear(&r->line);
    }
}

#include "mail/bounce.h"

#include "base/limits.h"
#include "base/must.h"
#include "mail/date.h"
#include "mail/marks.h"
#include "mail/trace.h"

#define LIMIT_BOUNDARY_ID 40 /* octets of the id in a boundary, which has 70 at most (RFC 2046 5.1.1) */
#define FOLD_AT           70 /* octets of a line of a field, behind which it is folded at the next space */
#define QP_LINE           75 /* octets of a quoted-printable line, its soft break not counted (RFC 2045 6.7) */

/* One row per action, the gravest first: RFC 3464 2.3.3 and what a person reads. */
static const struct action {
    enum bounce_action action;
    const char *word, *subject, *english, *japanese;
} actions[] = {
    { BOUNCE_FAILED, "failed", "Undelivered mail",
        "Your message could not be delivered to:",
        "次の宛先にメールを届けることができませんでした。" },
    { BOUNCE_DELAYED, "delayed", "Delayed mail",
        "Your message has not been delivered yet to the following.  We keep trying; you need not send it again:",
        "次の宛先への配送が遅れています。配送は引き続き試みますので、再送の必要はありません。" },
    { BOUNCE_RELAYED, "relayed", "Mail passed on",
        "Your message was passed on to a server that does not report its delivery, for:",
        "次の宛先へのメールを、配送状況を通知しないサーバーへ引き渡しました。" },
    { BOUNCE_EXPANDED, "expanded", "Delivered mail",
        "Your message was delivered to the following, which stands for several addresses:",
        "次の宛先へのメールを、その宛先が表す複数の宛先へ配送しました。" },
    { BOUNCE_DELIVERED, "delivered", "Delivered mail",
        "Your message was delivered to:",
        "次の宛先にメールを届けました。" },
};

#define ACTIONS (sizeof actions / sizeof actions[0])

static bool has_action(const struct bounce *bounce, enum bounce_action action)
{
    for (size_t i = 0; i < bounce->recipient_count; i++)
        if (bounce->recipients[i].action == action)
            return true;
    return false;
}

static enum status put_text(struct buf *out, const char *text) { return buf_put(out, slice_of(text)); }

/* Words of others, made harmless: a control octet becomes a space or '?', and so does what is not ASCII unless `utf8`
 * permits it and it is UTF-8. */
static enum status put_clean(struct buf *out, struct slice text, bool utf8)
{
    while (text.len > 0) {
        unsigned char first = (unsigned char)text.ptr[0];
        size_t len = slice_utf8_prefix(text);
        bool plain = first >= 0x80 ? utf8 && len > 0 : first >= ' ' && first != 0x7f;
        if (plain)
            TRY(buf_put(out, slice_upto(text, len)));
        else
            TRY(buf_put_byte(out, first == '\t' || first == '\r' || first == '\n' ? ' ' : '?'));
        text = slice_from(text, len > 0 ? len : 1);
    }
    return STATUS_OK;
}

/* The same, folded at spaces, of which runs become one; 800 octets without a space stay below 998 (RFC 5322 2.1.1). */
static enum status put_folded(struct buf *out, struct slice text, bool utf8)
{
    struct buf clean = BUF(LIMIT_REPEATED);
    enum status status = put_clean(&clean, slice_upto(text, LIMIT_REPEATED), utf8);
    must(status == STATUS_OK); /* no octet becomes longer */
    struct slice rest = slice_trim(buf_slice(&clean)), word;
    size_t column = FOLD_AT / 2; /* the field name, roughly */
    for (bool first = true; status == STATUS_OK && slice_word(&rest, &word); first = false) {
        bool fold = !first && column + word.len > FOLD_AT;
        status = put_text(out, first ? "" : fold ? "\r\n " : " ");
        if (status == STATUS_OK)
            status = buf_put(out, word);
        column = (fold ? 0 : column) + 1 + word.len;
    }
    buf_done(&clean);
    return status;
}

/* Quoted-printable (RFC 2045 6.7): the English half can be read as it stands, and no hop needs 8BITMIME for us. */
static enum status put_printable(struct buf *out, struct slice text)
{
    struct slice line;
    while (slice_cut(&text, '\n', &line)) {
        size_t column = 0;
        for (size_t i = 0; i < line.len; i++) {
            unsigned char octet = (unsigned char)line.ptr[i];
            bool plain = octet >= ' ' && octet < 0x7f && octet != '=' && (octet != ' ' || i + 1 < line.len);
            if (column + (plain ? 1 : 3) > QP_LINE) {
                TRY(put_text(out, "=\r\n"));
                column = 0;
            }
            TRY(plain ? buf_put_byte(out, (char)octet) : buf_print(out, "=%02X", octet));
            column += plain ? 1 : 3;
        }
        TRY(put_text(out, "\r\n"));
    }
    return STATUS_OK;
}

static enum status put_people(struct buf *text, const struct bounce *bounce, bool japanese)
{
    for (size_t row = 0; row < ACTIONS; row++) {
        if (!has_action(bounce, actions[row].action))
            continue;
        TRY(buf_print(text, "\n%s\n\n", japanese ? actions[row].japanese : actions[row].english));
        for (size_t i = 0; i < bounce->recipient_count; i++) {
            const struct bounce_recipient *recipient = &bounce->recipients[i];
            if (recipient->action != actions[row].action)
                continue;
            TRY(put_text(text, "  <"));
            TRY(put_clean(text, recipient->address, true));
            TRY(put_text(text, ">\n"));
            if (recipient->diagnostic.len == 0 || japanese)
                continue;
            TRY(put_text(text, "    "));
            TRY(put_clean(text, slice_upto(recipient->diagnostic, LIMIT_REPEATED), true));
            TRY(put_text(text, "\n"));
        }
    }
    return STATUS_OK;
}

static enum status put_explanation(struct buf *out, const struct bounce *bounce)
{
    struct buf text = BUF(out->max);
    enum status status = buf_print(&text, "This is the mail server %.*s.\n", (int)bounce->host.len, bounce->host.ptr);
    if (status == STATUS_OK)
        status = put_people(&text, bounce, false);
    if (status == STATUS_OK)
        status = buf_print(&text, "\n\nメールサーバー %.*s からの自動通知です。\n", (int)bounce->host.len,
            bounce->host.ptr);
    if (status == STATUS_OK)
        status = put_people(&text, bounce, true);
    if (status == STATUS_OK)
        status = put_text(out, "Content-Type: text/plain; charset=utf-8\r\n"
                               "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    if (status == STATUS_OK)
        status = put_printable(out, buf_slice(&text));
    buf_done(&text);
    return status;
}

static enum status put_field(struct buf *out, const char *name, struct slice value, bool utf8)
{
    if (value.len == 0)
        return STATUS_OK;
    TRY(put_text(out, name));
    TRY(put_clean(out, slice_upto(value, LIMIT_REPEATED), utf8));
    return put_text(out, "\r\n");
}

static const char *action_word(enum bounce_action action)
{
    const char *word = NULL;
    for (size_t row = 0; row < ACTIONS; row++)
        if (actions[row].action == action)
            word = actions[row].word;
    must(word);
    return word;
}

static enum status put_recipient(struct buf *out, const struct bounce_recipient *recipient, bool utf8)
{
    /* RFC 6533 3: an address that is not ASCII has the type utf-8. */
    bool wide = utf8 && !slice_is_ascii(recipient->address);
    TRY(put_text(out, "\r\n"));
    TRY(put_field(out, "Original-Recipient: ", recipient->orcpt, utf8));
    TRY(put_field(out, wide ? "Final-Recipient: utf-8; " : "Final-Recipient: rfc822; ", recipient->address, utf8));
    TRY(put_field(out, "Action: ", slice_of(action_word(recipient->action)), false));
    TRY(put_field(out, "Status: ", recipient->status, false));
    TRY(put_field(out, "Remote-MTA: dns; ", recipient->remote, utf8));
    if (recipient->diagnostic.len == 0)
        return STATUS_OK;
    TRY(put_text(out, "Diagnostic-Code: smtp; "));
    TRY(put_folded(out, recipient->diagnostic, utf8));
    return put_text(out, "\r\n");
}

/* RFC 3464 2. */
static enum status put_delivery_status(struct buf *out, const struct bounce *bounce)
{
    TRY(put_text(out, bounce->utf8 ? "Content-Type: message/global-delivery-status\r\n"
                                     "Content-Transfer-Encoding: 8bit\r\n\r\n"
                                   : "Content-Type: message/delivery-status\r\n\r\n"));
    TRY(put_field(out, "Original-Envelope-Id: ", bounce->envid, false));
    TRY(put_field(out, "Reporting-MTA: dns; ", bounce->host, false));
    TRY(put_text(out, "Arrival-Date: "));
    TRY(date_print(out, bounce->arrived));
    TRY(put_text(out, "\r\n"));
    for (size_t i = 0; i < bounce->recipient_count; i++)
        TRY(put_recipient(out, &bounce->recipients[i], bounce->utf8));
    return STATUS_OK;
}

/* The header section without its empty line. */
static struct slice header_of(struct slice message)
{
    struct slice rest = message, line;
    while (slice_cut(&rest, '\n', &line))
        if (line.len == 0 || slice_equal(line, S("\r")))
            return slice_upto(message, (size_t)(line.ptr - message.ptr));
    return message;
}

/* What is returned of the original: C212. */
static struct slice returned_part(const struct bounce *bounce)
{
    struct slice part = bounce->full ? bounce->original : header_of(bounce->original);
    if (part.len <= LIMIT_BOUNCE_ORIGINAL)
        return part;
    part = slice_upto(part, LIMIT_BOUNCE_ORIGINAL);
    size_t last = slice_find_last(part, '\n');
    return last < part.len ? slice_upto(part, last + 1) : part;
}

/* Whole lines with CRLF, whatever stray CR, LF and NUL the original holds (C007). */
static enum status put_lines(struct buf *out, struct slice text)
{
    if (text.len == 0)
        return STATUS_OK;
    struct marks marks = marks_of(text);
    const char *from = text.ptr;
    while (from < marks.end) {
        const char *mark = next_mark(&marks, from);
        TRY(buf_put(out, (struct slice){ from, (size_t)(mark - from) }));
        if (mark == marks.end)
            return put_text(out, "\r\n");
        TRY(put_text(out, *mark == '\0' ? "?" : "\r\n"));
        from = mark + 1 + (*mark == '\r' && mark + 1 < marks.end && mark[1] == '\n');
        if (*mark == '\0' && from == marks.end)
            return put_text(out, "\r\n");
    }
    return STATUS_OK;
}

static enum status put_original(struct buf *out, const struct bounce *bounce, struct slice part)
{
    static const char *const types[2][2] = {
        { "text/rfc822-headers", "message/rfc822" },
        { "message/global-headers", "message/global" }, /* RFC 6533 6 */
    };
    TRY(buf_print(out, "Content-Type: %s\r\n", types[bounce->utf8][bounce->full]));
    if (!slice_is_ascii(part))
        TRY(put_text(out, "Content-Transfer-Encoding: 8bit\r\n"));
    TRY(put_text(out, "\r\n"));
    return put_lines(out, part);
}

/* The first octets "=_" occur in no quoted-printable text, and the lines of the second part start with field names:
 * only the original could hold the boundary. */
static void make_boundary(struct buf *boundary, const struct bounce *bounce, struct slice part)
{
    enum status status;
    uint64_t number = 0;
    do {
        buf_clear(boundary);
        status = buf_print(boundary, "=_%.*s_%llu", (int)slice_upto(bounce->id, LIMIT_BOUNDARY_ID).len, bounce->id.ptr,
            (unsigned long long)number++);
        must(status == STATUS_OK);
    } while (slice_has(part, buf_slice(boundary)));
}

static enum status put_header(struct buf *out, const struct bounce *bounce, struct slice boundary, bool wide)
{
    const char *subject = actions[ACTIONS - 1].subject;
    for (size_t row = ACTIONS; row-- > 0;)
        if (has_action(bounce, actions[row].action))
            subject = actions[row].subject;
    TRY(put_text(out, "From: Mail Delivery System <MAILER-DAEMON@"));
    TRY(buf_put(out, bounce->host));
    TRY(put_text(out, ">\r\nTo: <"));
    TRY(put_clean(out, bounce->to, bounce->utf8));
    TRY(buf_print(out, ">\r\nSubject: %s\r\n", subject));
    TRY(trace_date(out, bounce->now));
    TRY(trace_message_id(out, bounce->id, bounce->host));
    TRY(put_text(out, "Auto-Submitted: auto-replied\r\n" /* RFC 3834 5 */
                      "MIME-Version: 1.0\r\n"
                      "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\""));
    TRY(buf_put(out, boundary));
    TRY(put_text(out, "\"\r\n"));
    return put_text(out, wide ? "Content-Transfer-Encoding: 8bit\r\n\r\n" : "\r\n");
}

static enum status put_delimiter(struct buf *out, const char *before, struct slice boundary, const char *behind)
{
    TRY(put_text(out, before));
    TRY(buf_put(out, boundary));
    return put_text(out, behind);
}

/* RFC 6522: a text for people, the status for programs, and the original. */
static enum status put_report(struct buf *out, const struct bounce *bounce, struct slice boundary)
{
    struct slice part = returned_part(bounce);
    TRY(put_header(out, bounce, boundary, bounce->utf8 || !slice_is_ascii(part)));
    TRY(put_delimiter(out, "--", boundary, "\r\n"));
    TRY(put_explanation(out, bounce));
    TRY(put_delimiter(out, "\r\n--", boundary, "\r\n"));
    TRY(put_delivery_status(out, bounce));
    TRY(put_delimiter(out, "\r\n--", boundary, "\r\n"));
    TRY(put_original(out, bounce, part));
    return put_delimiter(out, "\r\n--", boundary, "--\r\n");
}

enum status bounce_write(struct buf *out, const struct bounce *bounce)
{
    struct buf boundary = BUF(70);
    size_t before = out->len;
    must(bounce->host.len > 0 && bounce->host.len <= LIMIT_DOMAIN && bounce->id.len > 0);
    make_boundary(&boundary, bounce, returned_part(bounce));
    enum status status = put_report(out, bounce, buf_slice(&boundary));
    if (status != STATUS_OK)
        out->len = before;
    buf_done(&boundary);
    return status;
}

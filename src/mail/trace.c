#include "mail/trace.h"

#include "base/limits.h"
#include "base/must.h"
#include "mail/address.h"
#include "mail/coding.h"
#include "mail/date.h"

/* Letters, digits and what names are joined with: nothing that could end a comment or a field. */
static bool is_token(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char octet = text.ptr[i];
        bool fine = (octet >= '0' && octet <= '9') || (octet >= 'a' && octet <= 'z') ||
                    (octet >= 'A' && octet <= 'Z') || octet == '-' || octet == '.' || octet == '_';
        if (!fine)
            return false;
    }
    return text.len > 0;
}

/* RFC 3848, and RFC 6531 4.3 for UTF8SMTP.  A client that said HELO got SMTP, whatever else happened. */
static struct slice keyword(const struct trace *trace)
{
    static const char *const words[2][4] = {
        { "ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA" },
        { "UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA" },
    };
    if (!trace->esmtp)
        return S("SMTP");
    return slice_of(words[trace->utf8][(trace->tls.len > 0) * 2 + trace->authenticated]);
}

static enum status put_peer(struct buf *out, struct ip peer)
{
    TRY(buf_put(out, ip_is_v4(peer) ? S("[") : S("[IPv6:")));
    TRY(ip_print(out, peer));
    return buf_put_byte(out, ']');
}

static enum status put_from(struct buf *out, const struct trace *trace)
{
    TRY(buf_put(out, S("Received: from ")));
    if (domain_is_helo(trace->helo)) {
        TRY(buf_put(out, trace->helo));
        TRY(buf_put(out, S(" (")));
        TRY(put_peer(out, trace->peer));
        return buf_put_byte(out, ')');
    }
    TRY(put_peer(out, trace->peer));
    if (trace->helo.len == 0)
        return STATUS_OK;
    /* C046: no octet of a forged HELO reaches the field, and yet it can be read by whoever looks for it. */
    TRY(buf_put(out, S("\r\n\t(HELO in hex ")));
    TRY(hex_encode(out, slice_upto(trace->helo, LIMIT_DOMAIN)));
    return buf_put_byte(out, ')');
}

static enum status put_tls(struct buf *out, struct slice tls)
{
    struct slice version, cipher;
    if (!slice_word(&tls, &version) || !slice_word(&tls, &cipher) || !is_token(version) || !is_token(cipher))
        return STATUS_OK;
    TRY(buf_put(out, S("\r\n\t(version=")));
    TRY(buf_put(out, version));
    TRY(buf_put(out, S(" cipher=")));
    TRY(buf_put(out, cipher));
    return buf_put_byte(out, ')');
}

static enum status put_received(struct buf *out, const struct trace *trace)
{
    TRY(put_from(out, trace));
    TRY(buf_put(out, S("\r\n\tby ")));
    TRY(buf_put(out, trace->host));
    TRY(buf_put(out, S(" (ekirei) with ")));
    TRY(buf_put(out, keyword(trace)));
    TRY(buf_put(out, S(" id ")));
    TRY(buf_put(out, trace->id));
    TRY(put_tls(out, trace->tls));
    if (trace->lease.len > 0) {
        TRY(buf_put(out, S("\r\n\t(lease ")));
        TRY(buf_put(out, trace->lease));
        TRY(buf_put_byte(out, ')'));
    }
    /* RFC 5321 7.2: only a single recipient is named.  An address in UTF-8 belongs into UTF8SMTP fields only. */
    if (trace->recipient.len > 0 && (trace->utf8 || slice_is_ascii(trace->recipient))) {
        TRY(buf_put(out, S("\r\n\tfor <")));
        TRY(buf_put(out, trace->recipient));
        TRY(buf_put_byte(out, '>'));
    }
    TRY(buf_put(out, S("; ")));
    TRY(date_print(out, trace->when));
    return buf_put(out, S("\r\n"));
}

/* A field is there whole or not at all. */
static enum status settle(struct buf *out, size_t before, enum status status)
{
    if (status != STATUS_OK)
        out->len = before;
    return status;
}

enum status trace_received(struct buf *out, const struct trace *trace)
{
    size_t before = out->len;
    must(is_token(trace->host) && is_token(trace->id) && (trace->lease.len == 0 || is_token(trace->lease)));
    must(!slice_has_control(trace->recipient));
    enum status status = put_received(out, trace);
    return settle(out, before, status);
}

static enum status put_line(struct buf *out, struct slice before, struct slice text, struct slice behind)
{
    TRY(buf_put(out, before));
    TRY(buf_put(out, text));
    return buf_put(out, behind);
}

enum status trace_return_path(struct buf *out, struct slice sender)
{
    size_t before = out->len;
    must(!slice_has_control(sender));
    enum status status = put_line(out, S("Return-Path: <"), sender, S(">\r\n"));
    return settle(out, before, status);
}

enum status trace_date(struct buf *out, wall when)
{
    size_t before = out->len;
    enum status status = buf_put(out, S("Date: "));
    if (status == STATUS_OK)
        status = date_print(out, when);
    if (status == STATUS_OK)
        status = buf_put(out, S("\r\n"));
    return settle(out, before, status);
}

enum status trace_message_id(struct buf *out, struct slice id, struct slice host)
{
    size_t before = out->len;
    must(is_token(id) && is_token(host));
    enum status status = put_line(out, S("Message-ID: <"), id, S("@"));
    if (status == STATUS_OK)
        status = put_line(out, NO_SLICE, host, S(">\r\n"));
    return settle(out, before, status);
}

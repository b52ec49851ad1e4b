#include "proto/policy/report.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/must.h"
#include "mail/coding.h"

#define MAC_OCTETS 32u
#define GREETING   "EKIREI-REPORT 1 "

static const char *const verbs[] = { [REPORT_LOGIN] = "LOGIN", [REPORT_FAIL] = "FAIL" };

void reporter_init(struct reporter *reporter, struct slice key, struct slice nonce)
{
    struct buf text = BUF(REPORT_NONCE);
    must(nonce.len == REPORT_NONCE / 2 && key.len == REPORT_KEY);
    *reporter = (struct reporter){ .key = key, .line = BUF(LIMIT_REPORT_OCTETS), .name = BUF(LIMIT_LOGIN_NAME) };
    enum status status = hex_encode(&text, nonce);
    must(status == STATUS_OK);
    memcpy(reporter->nonce, text.ptr, REPORT_NONCE);
    buf_done(&text);
}

void reporter_done(struct reporter *reporter)
{
    buf_done(&reporter->line);
    buf_done(&reporter->name);
}

/* ---- authenticity ---- */

/* Appends the MAC's hex digits. */
static enum status mac_put(struct buf *out, struct slice key, struct slice nonce, struct slice text)
{
    struct buf whole = BUF(REPORT_NONCE + 1 + LIMIT_REPORT_OCTETS);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    enum status status = buf_print(&whole, "%.*s ", (int)nonce.len, nonce.ptr);
    if (status == STATUS_OK)
        status = buf_put(&whole, text);
    if (status == STATUS_OK) {
        must(HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)whole.ptr, whole.len, mac, &len));
        must(len == MAC_OCTETS);
        status = hex_encode(out, (struct slice){ (const char *)mac, len });
    }
    buf_done(&whole);
    return status;
}

static bool is_authentic(const struct reporter *reporter, struct slice text, struct slice mac)
{
    struct buf wanted = BUF(2 * MAC_OCTETS);
    enum status status = mac_put(&wanted, reporter->key, slice_of(reporter->nonce), text);
    bool same = status == STATUS_OK && slice_equal_secret(buf_slice(&wanted), mac);
    buf_done(&wanted);
    return same;
}

/* ---- names ---- */

static bool is_plain(char octet)
{
    return octet > ' ' && octet <= '~' && octet != '%';
}

static enum status name_put(struct buf *out, struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (is_plain(name.ptr[i]))
            TRY(buf_put_byte(out, name.ptr[i]));
        else
            TRY(buf_print(out, "%%%02X", (unsigned)(unsigned char)name.ptr[i]));
    }
    return STATUS_OK;
}

static bool name_get(struct slice text, struct buf *out)
{
    buf_clear(out);
    while (text.len > 0) {
        bool coded = text.ptr[0] == '%';
        enum status status =
            coded ? hex_decode(out, slice_upto(slice_from(text, 1), 2)) : buf_put_byte(out, text.ptr[0]);
        if (status != STATUS_OK || (coded && text.len < 3) || (!coded && !is_plain(text.ptr[0])))
            return false;
        text = slice_from(text, coded ? 3 : 1);
    }
    struct slice name = buf_slice(out);
    return name.len > 0 && slice_is_utf8(name) && !slice_has_control(name);
}

/* ---- a line ---- */

static bool read_kind(struct slice word, enum report_kind *out_kind)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (slice_equal(word, slice_of(verbs[i]))) {
            *out_kind = (enum report_kind)i;
            return true;
        }
    return false;
}

/* Fields are divided by one space each: there is one way to write a report. */
static bool read_fields(struct reporter *reporter, struct slice text, struct report *out_report)
{
    enum { KIND, SEQUENCE, PROTOCOL, PEER, LOCAL, NAME, FIELDS };
    struct slice fields[FIELDS] = { 0 };
    struct report report = { 0 };
    size_t count = 0;
    for (struct slice field; count < FIELDS && slice_cut(&text, ' ', &field);)
        fields[count++] = field;
    report.imap = slice_equal(fields[PROTOCOL], S("imap"));
    report.has_local = !slice_equal(fields[LOCAL], S("-"));
    if (count != FIELDS || text.len > 0 || !read_kind(fields[KIND], &report.kind) ||
        slice_number(fields[SEQUENCE], UINT64_MAX, &report.sequence) != STATUS_OK ||
        (!report.imap && !slice_equal(fields[PROTOCOL], S("pop3"))) ||
        ip_parse(fields[PEER], &report.peer) != STATUS_OK ||
        (report.has_local && ip_parse(fields[LOCAL], &report.local) != STATUS_OK) ||
        !name_get(fields[NAME], &reporter->name))
        return false;
    report.name = buf_slice(&reporter->name);
    *out_report = report;
    return true;
}

/* Who has not the key learns nothing else. */
static const char *judge(struct reporter *reporter, struct slice line, struct report *out_report)
{
    size_t end = slice_find_last(line, ' ');
    struct slice text = slice_upto(line, end), mac = slice_from(line, end + 1);
    if (end == line.len || mac.len != 2 * MAC_OCTETS)
        return "malformed";
    if (!is_authentic(reporter, text, mac))
        return "not-authentic";
    if (!read_fields(reporter, text, out_report))
        return "malformed";
    if (out_report->sequence <= reporter->sequence)
        return "replayed";
    reporter->sequence = out_report->sequence;
    return NULL;
}

enum report_event reporter_feed(struct reporter *reporter, struct slice *wire, struct report *out_report)
{
    if (reporter->why)
        return REPORT_BAD;
    if (reporter->is_whole)
        buf_clear(&reporter->line);
    size_t end = slice_find(*wire, '\n');
    reporter->is_whole = end < wire->len;
    struct slice piece = slice_upto(*wire, end);
    *wire = slice_from(*wire, end + reporter->is_whole);
    if (buf_put(&reporter->line, piece) != STATUS_OK)
        reporter->why = "too-long";
    else if (reporter->is_whole)
        reporter->why = judge(reporter, buf_slice(&reporter->line), out_report);
    if (reporter->why)
        return REPORT_BAD;
    return reporter->is_whole ? REPORT_TOLD : REPORT_MORE;
}

/* ---- writing ---- */

enum status report_greet(struct buf *out, const struct reporter *reporter)
{
    return buf_print(out, GREETING "%s\n", reporter->nonce);
}

enum status report_greeting(struct slice line, struct slice *out_nonce)
{
    struct slice nonce = slice_from(line, sizeof GREETING - 1);
    struct buf octets = BUF(REPORT_NONCE / 2);
    bool good = slice_starts(line, S(GREETING)) && nonce.len == REPORT_NONCE && hex_decode(&octets, nonce) == STATUS_OK;
    buf_done(&octets);
    if (!good)
        return STATUS_MALFORMED;
    *out_nonce = nonce;
    return STATUS_OK;
}

static enum status put_fields(struct buf *out, const struct report *report)
{
    TRY(buf_print(
        out, "%s %llu %s ", verbs[report->kind], (unsigned long long)report->sequence, report->imap ? "imap" : "pop3"));
    TRY(ip_print(out, report->peer));
    TRY(buf_put_byte(out, ' '));
    TRY(report->has_local ? ip_print(out, report->local) : buf_put_byte(out, '-'));
    TRY(buf_put_byte(out, ' '));
    return name_put(out, report->name);
}

enum status report_put(struct buf *out, struct slice key, struct slice nonce, const struct report *report)
{
    struct buf text = BUF(LIMIT_REPORT_OCTETS);
    enum status status = put_fields(&text, report);
    if (status == STATUS_OK)
        status = buf_put(out, buf_slice(&text));
    if (status == STATUS_OK)
        status = buf_put_byte(out, ' ');
    if (status == STATUS_OK)
        status = mac_put(out, key, nonce, buf_slice(&text));
    buf_done(&text);
    return status == STATUS_OK ? buf_put_byte(out, '\n') : status;
}

#include "written.h"

#include "mail/address.h"
#include "mail/bounce.h"
#include "mail/header.h"
#include "mail/notice.h"
#include "mail/trace.h"

#define LINE 998 /* octets without CRLF: RFC 5322 2.1.1 */

/* Octets of the input as they come over the table of an ask: no NUL, CR or LF. */
static struct slice take_line(struct input *in, size_t most)
{
    struct slice text = take_octets(in, take_octet(in) % (most + 1));
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\0' || text.ptr[i] == '\r' || text.ptr[i] == '\n')
            return slice_upto(text, i);
    return text;
}

/* An address as the queue has it, or nothing. */
static struct slice take_address(struct input *in, struct arena *a)
{
    struct address address;
    struct slice text = take_line(in, 80), copy;
    struct buf printed = BUF(LIMIT_PATH);
    if (address_parse(text, true, a, &address) != STATUS_OK)
        return NO_SLICE;
    is_fine(address_print(&printed, &address));
    is_fine(arena_copy(a, buf_slice(&printed), &copy));
    buf_done(&printed);
    return copy;
}

static struct slice take_id(struct input *in)
{
    static const char *const ids[] = { "u0-1a", "m3-ffffffffffff", "a", "0" };
    return slice_of(ids[take_octet(in) % 4]);
}

/* Whole lines; in a header section each begins a field or goes on with one. */
static void check_lines(struct slice text, bool header_only)
{
    struct slice line;
    bool in_header = true;
    must(text.len == 0 || text.ptr[text.len - 1] == '\n');
    while (slice_cut(&text, '\n', &line)) {
        must(line.len > 0 && line.ptr[line.len - 1] == '\r');
        line.len--;
        must(slice_find(line, '\r') == line.len && slice_find(line, '\0') == line.len);
        if (line.len == 0)
            in_header = false;
        if (!in_header)
            continue;
        must(line.len <= LINE && slice_is_utf8(line));
        size_t name = 0;
        while (name < line.len && line.ptr[name] > ' ' && line.ptr[name] != ':' && line.ptr[name] <= '~')
            name++;
        must(line.ptr[0] == ' ' || line.ptr[0] == '\t' || (name > 0 && name < line.len && line.ptr[name] == ':'));
    }
    must(header_only == in_header);
}

/* One author, one date: nobody's words became fields. */
static void check_message(struct slice text)
{
    struct arena arena = ARENA(4u << 20);
    struct header_scan scan;
    check_lines(text, false);
    header_scan_init(&scan, &arena);
    header_scan_feed(&scan, text);
    header_scan_end(&scan);
    must(scan.flaw == HEADER_FINE && scan.from == 1 && scan.sender == 0 && scan.date == 1 && scan.message_id == 1 && scan.received == 0);
    header_scan_done(&scan);
    arena_done(&arena);
}

static size_t count_of(struct slice text, struct slice needle)
{
    size_t count = 0;
    for (const char *at = text.ptr; (at = memmem(at, (size_t)(text.ptr + text.len - at), needle.ptr, needle.len)); at += needle.len)
        count++;
    return count;
}

void try_bounce(struct input *in)
{
    struct arena arena = ARENA(4u << 20);
    struct buf out = BUF(4u << 20);
    struct bounce_recipient recipients[4] = { 0 };
    uint8_t way = take_octet(in);
    struct bounce bounce = { .host = S("mx.our.test"), .id = take_id(in), .recipients = recipients, .recipient_count = 1 + way % 4, .full = way & 4, .utf8 = way & 8, .arrived = take_number(in, 6), .now = take_number(in, 6) };
    bounce.to = take_address(in, &arena);
    bounce.envid = take_line(in, LIMIT_ENVID);
    for (size_t i = 0; i < bounce.recipient_count; i++)
        recipients[i] = (struct bounce_recipient){ .address = take_address(in, &arena), .orcpt = take_line(in, 200), .action = (enum bounce_action)(take_octet(in) % 5),
            .status = S("5.1.1"), .remote = take_line(in, 60), .diagnostic = take_octets(in, (size_t)take_number(in, 2) % 2000) };
    bounce.original = take_octets(in, SIZE_MAX);
    is_fine(bounce_write(&out, &bounce));
    struct slice text = buf_slice(&out);
    check_message(text);
    must(bounce.utf8 || !slice_is_ascii(bounce.original) || slice_is_ascii(text)); /* RFC 6533: else no octet of ours is beyond ASCII */
    /* Four lines begin with it, whatever others said: three parts and the end. */
    size_t at = (size_t)((const char *)memmem(text.ptr, text.len, "boundary=\"", 10) - text.ptr) + 10;
    struct slice boundary = slice_upto(slice_from(text, at), slice_find(slice_from(text, at), '"'));
    struct buf delimiter = BUF(80);
    is_fine(buf_print(&delimiter, "\n--%.*s", (int)boundary.len, boundary.ptr));
    must(boundary.len > 0 && boundary.len <= 70 && count_of(text, buf_slice(&delimiter)) == 4);
    buf_done(&delimiter);
    buf_clear(&out);
    out.max = 300; /* where there is no room nothing is there */
    must(bounce_write(&out, &bounce) != STATUS_OK && out.len == 0);
    buf_done(&out);
    arena_done(&arena);
}

void try_notice(struct input *in)
{
    static const char *const protocols[] = { "POP3", "SMTP", "IMAP" };
    struct arena arena = ARENA(4u << 20);
    struct buf out = BUF(LIMIT_NOTICE);
    uint8_t way = take_octet(in);
    struct notice notice = { .kind = way & 1 ? NOTICE_CLEARTEXT : NOTICE_NEW_PLACE, .host = S("mx.our.test"), .domain = S("our.test"), .id = take_id(in),
        .protocol = slice_of(protocols[way / 2 % 3]), .code = way & 8 ? 22 : 0, .when = take_number(in, 6) };
    struct slice peer = take_octets(in, sizeof notice.peer.octets);
    memcpy(notice.peer.octets, peer.ptr, peer.len);
    notice.to = take_address(in, &arena);
    notice.device = take_line(in, LIMIT_DEVICE_NAME);
    if (slice_has_control(notice.device) || !slice_is_utf8(notice.device)) /* names of devices are looked at where they are made */
        notice.device = NO_SLICE;
    if (notice.to.len > 0 && notice_write(&out, &notice) == STATUS_OK) {
        check_message(buf_slice(&out));
        must(slice_starts(buf_slice(&out), S("Return-Path: <>\r\n")) && slice_is_utf8(buf_slice(&out)));
    }
    buf_done(&out);
    arena_done(&arena);
}

void try_trace(struct input *in)
{
    struct arena arena = ARENA(4u << 20);
    struct buf out = BUF(LIMIT_PREFIX);
    uint8_t way = take_octet(in);
    struct trace trace = { .host = S("mx.our.test"), .id = take_id(in), .lease = way & 1 ? S("17") : NO_SLICE, .esmtp = way & 2, .authenticated = way & 4, .utf8 = way & 8, .when = take_number(in, 6) };
    struct slice peer = take_octets(in, sizeof trace.peer.octets);
    memcpy(trace.peer.octets, peer.ptr, peer.len);
    trace.helo = take_octets(in, take_octet(in));
    trace.tls = take_octets(in, take_octet(in) % 60);
    trace.recipient = way & 16 ? take_address(in, &arena) : NO_SLICE;
    is_fine(trace_received(&out, &trace));
    struct slice text = buf_slice(&out);
    must(slice_starts(text, S("Received: from ")) && count_of(text, S("\nReceived:")) == 0 && (trace.utf8 || slice_is_ascii(text)));
    is_fine(trace_return_path(&out, take_address(in, &arena)));
    is_fine(trace_date(&out, trace.when));
    is_fine(trace_message_id(&out, trace.id, trace.host));
    check_lines(buf_slice(&out), true);
    buf_done(&out);
    arena_done(&arena);
}

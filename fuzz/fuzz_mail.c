/* fuzz_mail.c - the second door: every format of mail/.  The first octet chooses which; what must hold is must(). */
#include "fuzz.h"

#include "mail/address.h"
#include "mail/coding.h"
#include "mail/date.h"
#include "mail/dot.h"
#include "mail/header.h"
#include "mail/pack.h"
#include "mail/precis.h"
#include "written.h"

/* A parsed address obeys its limits, and what is printed of it is read as the same address. */
static void check_address(const struct address *address, struct arena *a)
{
    struct buf printed = BUF(LIMIT_PATH);
    struct address again;
    struct slice key;
    must(address->local.len <= LIMIT_LOCAL_PART && address->domain.len <= LIMIT_DOMAIN);
    must(!slice_has_control(address->local) && slice_is_utf8(address->local));
    must(slice_is_ascii(address->domain) && (address->domain.len == 0 || domain_is_helo(address->domain)));
    is_fine(address_print(&printed, address));
    must(address->is_null == (printed.len == 0));
    if (address->domain.len > 0) {
        is_fine(address_parse(buf_slice(&printed), true, a, &again));
        must(slice_equal(again.local, address->local) && slice_equal(again.domain, address->domain));
        must(again.is_literal == address->is_literal && (!again.is_literal || ip_equal(again.ip, address->ip)));
    }
    if (!address->is_null) {
        is_fine(address_key(address, a, &key));
        must(key.len == address->local.len + 1 + address->domain.len);
    }
    buf_done(&printed);
}

static void try_address(struct slice in, bool path, struct arena *a)
{
    struct address address;
    bool utf8 = in.len > 0 && (in.ptr[0] & 1);
    in = slice_from(in, 1);
    struct slice rest = in;
    enum status status = path ? address_path(&rest, utf8, a, &address) : address_parse(in, utf8, a, &address);
    if (status != STATUS_OK) {
        must(rest.ptr == in.ptr && rest.len == in.len);
        return;
    }
    must(rest.len <= in.len && rest.ptr + rest.len == in.ptr + in.len);
    must(utf8 || !address.needs_utf8);
    check_address(&address, a);
}

/* Names and passwords are bounded, and prepared once for all (RFC 8264 7). */
static void try_prepare(struct slice in, struct arena *a)
{
    enum status (*const profiles[])(struct slice, struct secret *) = { precis_password, precis_saslprep };
    struct slice name, same;
    if (precis_name(in, a, &name) == STATUS_OK) {
        must(name.len > 0 && name.len <= LIMIT_SECRET + LIMIT_DOMAIN && slice_is_utf8(name));
        /* An address is a key now, which has no quotes any more. */
        if (slice_find(name, '@') == name.len) {
            is_fine(precis_name(name, a, &same));
            must(slice_equal(name, same));
        }
    }
    for (size_t at = 0; at < sizeof profiles / sizeof profiles[0]; at++) {
        struct secret first, second;
        if (profiles[at](in, &first) != STATUS_OK)
            continue;
        must(first.len > 0 && first.len <= 4 * in.len && slice_is_utf8(secret_slice(&first)));
        is_fine(profiles[at](secret_slice(&first), &second));
        must(slice_equal(secret_slice(&first), secret_slice(&second)));
    }
}

static enum status each_address(void *context, struct slice address)
{
    size_t *total = context;
    must(address.len > 0 && slice_find(address, '@') < address.len);
    *total += address.len;
    return STATUS_OK;
}

static void try_list(struct slice in, struct arena *a)
{
    size_t total = 0;
    enum status status = header_addresses(in, a, each_address, &total);
    must(status == STATUS_OK || status == STATUS_MALFORMED);
    must(total <= in.len);
}

static void scan(struct header_scan *scan, struct slice in, struct random_stream *cuts, struct arena *a)
{
    header_scan_init(scan, a);
    while (in.len > 0) {
        size_t len = cuts ? 1 + random_next(cuts) % 40 : in.len;
        header_scan_feed(scan, slice_upto(in, len));
        in = slice_from(in, len);
    }
    header_scan_end(scan);
}

/* However a message is cut, the scan says the same. */
static void try_scan(struct slice in, struct random_stream *cuts, struct arena *a)
{
    struct header_scan whole, cut;
    scan(&whole, in, NULL, a);
    scan(&cut, in, cuts, a);
    must(whole.ended && whole.octets <= in.len);
    must(whole.octets == cut.octets && whole.flaw == cut.flaw && whole.received == cut.received);
    must(whole.from == cut.from && whole.sender == cut.sender && whole.date == cut.date);
    must(whole.message_id == cut.message_id && whole.author_count == cut.author_count);
    for (size_t i = 0; i < whole.author_count; i++) {
        struct address author;
        must(slice_equal(whole.authors[i], cut.authors[i]));
        is_fine(address_parse(whole.authors[i], true, a, &author));
    }
    header_scan_done(&whole);
    header_scan_done(&cut);
}

static size_t decode(struct dot_decode *decode, struct slice in, struct random_stream *cuts, struct buf *plain)
{
    size_t eaten = 0;
    while (eaten < in.len && !decode->ended) {
        struct slice piece = slice_from(in, eaten);
        if (cuts)
            piece = slice_upto(piece, 1 + random_next(cuts) % 20);
        size_t now = dot_decode(decode, piece, plain);
        must(now == piece.len || decode->ended);
        eaten += now;
    }
    return eaten;
}

/* The end is where CR LF . CR LF first stands, behind the CR LF of the DATA line; and cuts change nothing. */
static void try_decode(struct slice in, struct random_stream *cuts)
{
    struct dot_decode whole = { 0 }, cut = { 0 };
    struct buf plain = BUF(in.len + 8), again = BUF(in.len + 64), lines = BUF(in.len + 2);
    size_t eaten = decode(&whole, in, NULL, &plain);
    must(decode(&cut, in, cuts, &again) == eaten);
    must(whole.ended == cut.ended && whole.flaw == cut.flaw && slice_equal(buf_slice(&plain), buf_slice(&again)));
    is_fine(buf_put(&lines, S("\r\n")));
    is_fine(buf_put(&lines, in));
    const char *mark = memmem(lines.ptr, lines.len, "\r\n.\r\n", 5);
    must(whole.ended == (mark != NULL));
    must(eaten == (mark ? (size_t)(mark - lines.ptr) + 3 : in.len));
    buf_done(&plain);
    buf_done(&again);
    buf_done(&lines);
}

/* Of devices (D57): lines are whole behind the repair, and LF . LF ends only what has LF and no CR LF in front of it. */
static void try_repair(struct slice in, bool ends_by_lf, struct random_stream *cuts)
{
    struct dot_decode whole = { .repairs_lf = true, .ends_by_lf = ends_by_lf }, cut = whole;
    struct buf plain = BUF(in.len * 2 + 8), again = BUF(in.len * 2 + 64);
    size_t eaten = decode(&whole, in, NULL, &plain);
    must(decode(&cut, in, cuts, &again) == eaten);
    must(whole.ended == cut.ended && whole.flaw == cut.flaw && slice_equal(buf_slice(&plain), buf_slice(&again)));
    for (size_t i = 0; i < plain.len && whole.flaw == DOT_FINE; i++)
        must(plain.ptr[i] != '\n' || (i > 0 && plain.ptr[i - 1] == '\r'));
    struct slice read = slice_upto(in, eaten);
    bool is_first = whole.ended && read.len == (slice_has(read, S("\r")) ? 3 : 2); /* the end of the DATA line counts */
    bool by_crlf = eaten >= 5 && memcmp(in.ptr + eaten - 5, "\r\n.\r\n", 5) == 0;
    bool by_lf = ends_by_lf && eaten >= 3 && memcmp(in.ptr + eaten - 3, "\n.\n", 3) == 0 && !slice_has(read, S("\r\n"));
    must(!whole.ended || is_first || by_crlf || by_lf);
    buf_done(&plain);
    buf_done(&again);
}

/* What is encoded has one end, no stray octet, and the length that dot_strays told. */
static void try_encode(struct slice in, struct random_stream *cuts)
{
    struct dot_encode encode = { 0 };
    struct dot_strays strays = { 0 };
    struct dot_decode back = { 0 };
    struct buf wire = BUF(in.len * 2 + 5), plain = BUF(in.len * 2 + 16), once_more = BUF(in.len * 2 + 5);
    for (struct slice rest = in; rest.len > 0;) {
        struct slice piece = slice_upto(rest, 1 + random_next(cuts) % 20);
        is_fine(dot_encode(&encode, piece, &wire));
        dot_strays_feed(&strays, piece);
        rest = slice_from(rest, piece.len);
    }
    is_fine(dot_encode_end(&encode, &wire));
    must(decode(&back, buf_slice(&wire), NULL, &plain) == wire.len);
    must(back.ended && back.flaw == DOT_FINE);
    must(plain.len == in.len + dot_strays_end(&strays));
    is_fine(dot_encode(&encode, buf_slice(&plain), &once_more));
    is_fine(dot_encode_end(&encode, &once_more));
    must(slice_equal(buf_slice(&wire), buf_slice(&once_more)));
    buf_done(&wire);
    buf_done(&plain);
    buf_done(&once_more);
}

/* What is decoded gives the same text again; `one_form` says that there is only one text for it. */
static void try_coding(struct slice in, enum status (*put)(struct buf *, struct slice),
    enum status (*get)(struct buf *, struct slice), bool one_form)
{
    struct buf first = BUF(in.len * 3 + 4), second = BUF(in.len * 3 + 4);
    if (get(&first, in) == STATUS_OK) {
        is_fine(put(&second, buf_slice(&first)));
        must(!one_form || slice_equal(buf_slice(&second), in));
    } else {
        must(first.len == 0);
        is_fine(put(&first, in));
        enum status status = get(&second, buf_slice(&first));
        must(status == STATUS_OK ? slice_equal(buf_slice(&second), in) : get == xtext_decode);
    }
    buf_done(&first);
    buf_done(&second);
}

static void try_date(struct slice in)
{
    struct buf printed = BUF(40);
    wall when;
    if (date_parse_iso(in, &when) == STATUS_OK) {
        is_fine(date_print_iso(&printed, when));
        must(slice_starts(buf_slice(&printed), in));
        buf_clear(&printed);
        is_fine(date_print(&printed, when));
        must(printed.len == 31);
    }
    buf_done(&printed);
}

static void try_pack(struct slice in)
{
    size_t len;
    struct buf packed = BUF(1 << 20), plain = BUF(1 << 20);
    if (pack_frame(in, &len) == STATUS_OK) {
        must(len <= in.len);
        enum status status = unpack_frame(&plain, slice_upto(in, len));
        must((status == STATUS_OK && plain.len <= LIMIT_BODY_FRAME) || (status == STATUS_CORRUPT && plain.len == 0));
        buf_clear(&plain);
    }
    is_fine(pack(&packed, in));
    for (struct slice rest = buf_slice(&packed); rest.len > 0; rest = slice_from(rest, len)) {
        is_fine(pack_frame(rest, &len));
        is_fine(unpack_frame(&plain, slice_upto(rest, len)));
    }
    must(slice_equal(buf_slice(&plain), in));
    buf_done(&packed);
    buf_done(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice in = { (const char *)data + 1, size - 1 };
    struct random_stream cuts = { size };
    struct arena a = ARENA(4 << 20);
    struct input input = { data + 1, data + size };
    switch (data[0] % 14) {
    case 0: try_address(in, true, &a); break;
    case 1:
        try_address(in, false, &a);
        try_prepare(in, &a);
        break;
    case 2: try_scan(in, &cuts, &a); break;
    case 3: try_list(in, &a); break;
    case 4:
        try_decode(in, &cuts);
        try_repair(in, false, &cuts);
        try_repair(in, true, &cuts);
        break;
    case 5: try_encode(in, &cuts); break;
    case 6: try_coding(in, base64_encode, base64_decode, true); break;
    case 7: try_coding(in, hex_encode, hex_decode, false); break;
    case 8: try_coding(in, xtext_encode, xtext_decode, false); break;
    case 9: try_date(in); break;
    case 10: try_bounce(&input); break;
    case 11: try_notice(&input); break;
    case 12: try_trace(&input); break;
    default: try_pack(in);
    }
    arena_done(&a);
    return 0;
}

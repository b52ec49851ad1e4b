#include "mail/header.h"

#include "base/limits.h"
#include "base/must.h"
#include "mail/address.h"
#include "mail/marks.h"

/* Part one: address lists. */

/* What stands next in an address list; any other special stands for itself. */
enum { AT_END = 0, WORD = 'w', QUOTED = 'q', WRONG = '!' };

struct reader {
    struct slice rest, token;
    char *spec; /* the addr-spec being put together: without white space, comments and names */
    size_t len;
};

static void spec_put(struct reader *r, struct slice text)
{
    /* All specs together are never longer than the field that they are taken from. */
    memcpy(r->spec + r->len, text.ptr, text.len);
    r->len += text.len;
}

/* False where a comment does not end: the backslash at the very end too (C146). */
static bool skip_comment(struct slice *rest)
{
    size_t depth = 0;
    for (size_t at = 0; at < rest->len; at++) {
        char octet = rest->ptr[at];
        if (octet == '\\')
            at++;
        else if (octet == '(' && ++depth > LIMIT_COMMENTS)
            return false;
        else if (octet == ')' && --depth == 0) {
            *rest = slice_from(*rest, at + 1);
            return true;
        }
    }
    return false;
}

static bool skip_blanks(struct slice *rest)
{
    while (rest->len > 0) {
        char octet = rest->ptr[0];
        if (octet == '(') {
            if (!skip_comment(rest))
                return false;
        } else if (octet == ' ' || octet == '\t' || octet == '\r' || octet == '\n') {
            *rest = slice_from(*rest, 1);
        } else {
            break;
        }
    }
    return true;
}

/* An octet of an atom: RFC 5322 3.2.3, and all above ASCII (RFC 6532). */
static bool is_atom_octet(char octet)
{
    if ((unsigned char)octet <= ' ' || octet == 0x7f)
        return (unsigned char)octet >= 0x80;
    return strchr("()<>[]:;@\\,.\"", octet) == NULL;
}

static size_t quoted_length(struct slice text)
{
    for (size_t at = 1; at < text.len; at++) {
        if (text.ptr[at] == '\\')
            at++;
        else if (text.ptr[at] == '"')
            return at + 1;
    }
    return 0;
}

static int next_token(struct reader *r)
{
    size_t len = 0;
    if (!skip_blanks(&r->rest))
        return WRONG;
    if (r->rest.len == 0)
        return AT_END;
    while (len < r->rest.len && is_atom_octet(r->rest.ptr[len]))
        len++;
    int kind = WORD;
    if (len == 0) {
        char octet = r->rest.ptr[0];
        kind = octet == '"' ? QUOTED : octet;
        len = octet == '"' ? quoted_length(r->rest) : 1;
        if (len == 0 || octet < ' ' || octet == 0x7f || octet == ')' || octet == '\\')
            return WRONG;
    }
    r->token = slice_upto(r->rest, len);
    r->rest = slice_from(r->rest, len);
    return kind;
}

/* Words and dots: a local part, or the name in front of '<' or ':'.  Returns the token that ends them. */
static int read_words(struct reader *r, bool *out_any, bool *out_local)
{
    bool any = false, word = false, local = true;
    r->len = 0;
    for (;; any = true) {
        int token = next_token(r);
        if (token == WORD || token == QUOTED) {
            local = local && !word; /* a local part has dots between its words */
            word = true;
        } else if (token == '.') {
            local = local && word;
            word = false;
        } else if (token == '[' || token == ']') {
            local = false; /* "[list] name <...>" is wrong, and usual */
        } else {
            *out_any = any;
            *out_local = local && word;
            return token;
        }
        spec_put(r, r->token);
    }
}

/* The domain behind an '@', put behind the local part.  Returns the token that ends it, or WRONG. */
static int read_domain(struct reader *r)
{
    bool word = false;
    spec_put(r, S("@"));
    int token = next_token(r);
    if (token == '[') {
        size_t end = slice_find(r->rest, ']');
        struct slice literal = slice_upto(r->rest, end + 1);
        if (end == r->rest.len)
            return WRONG;
        spec_put(r, S("["));
        spec_put(r, literal);
        r->rest = slice_from(r->rest, end + 1);
        return next_token(r);
    }
    while (word ? token == '.' : token == WORD) {
        spec_put(r, r->token);
        word = !word;
        token = next_token(r);
    }
    return word ? token : WRONG;
}

/* What stands between '<' and '>'.  "@one,@two:" in front is a route, which is skipped (RFC 5322 4.4). */
static bool read_angle(struct reader *r)
{
    bool any, local;
    int token = read_words(r, &any, &local);
    if (token == '@' && !any) {
        while (token == '@' || token == ',')
            if (token == '@') {
                r->len = 0;
                token = read_domain(r);
            } else {
                token = next_token(r);
            }
        if (token != ':')
            return false;
        token = read_words(r, &any, &local);
    }
    return token == '@' && local && read_domain(r) == '>';
}

static enum status read_list(struct reader *r, enum status (*each)(void *context, struct slice address), void *context)
{
    bool any, local, in_group = false;
    for (;;) {
        int token = read_words(r, &any, &local);
        if (token == ':' && any && !in_group) {
            in_group = true; /* "group:;" holds nobody (C029) */
            continue;
        }
        if (token == '@' && local) {
            token = read_domain(r);
        } else if (token == '<' && read_angle(r)) {
            token = next_token(r);
        } else if (any || token == '<') {
            return STATUS_MALFORMED; /* a name and no address */
        } else {
            r->len = 0;
        }
        if (token != ',' && token != ';' && token != AT_END)
            return STATUS_MALFORMED;
        if (r->len > 0)
            TRY(each(context, (struct slice){ r->spec, r->len }));
        r->spec += r->len;
        if ((token == ';' && !in_group) || (token == AT_END && in_group))
            return STATUS_MALFORMED;
        if (token == AT_END)
            return STATUS_OK;
        in_group = in_group && token != ';';
    }
}

enum status header_addresses(struct slice value, struct arena *a,
    enum status (*each)(void *context, struct slice address), void *context)
{
    struct reader r = { .rest = value };
    r.spec = arena_take(a, value.len);
    return r.spec ? read_list(&r, each, context) : STATUS_TOO_BIG;
}

/* Part two: the scanner.  Bare CR and bare LF end a line here, since dot_encode() makes lines of both: a field that
 * a later reader sees must not hide from us (C007, C092). */

enum scan_state {
    LINE_START,
    NAME,
    NAME_SPACE, /* "From : x" is the same field as "From: x" (RFC 5322 4.5, C168) */
    KEEP,       /* the value of a field that is read */
    SKIP,       /* any other line */
    LINE_CR,    /* behind the CR of a line */
    EMPTY_CR,   /* behind the CR of the empty line */
};

void header_scan_init(struct header_scan *scan, struct arena *arena)
{
    *scan = (struct header_scan){ .arena = arena, .field = BUF(LIMIT_HEADER_FIELD), .first_line = true };
}

void header_scan_done(struct header_scan *scan) { buf_done(&scan->field); }

static void note(struct header_scan *scan, enum header_flaw flaw)
{
    if (scan->flaw == HEADER_FINE)
        scan->flaw = flaw;
}

static enum status add_author(void *context, struct slice text)
{
    struct header_scan *scan = context;
    struct address address;
    struct buf printed = BUF(2 * LIMIT_ADDRESS);
    if (!scan->authors)
        scan->authors = arena_take_rows(scan->arena, LIMIT_AUTHORS, sizeof *scan->authors);
    if (!scan->authors || scan->author_count == LIMIT_AUTHORS)
        return STATUS_TOO_BIG;
    TRY(address_parse(text, true, scan->arena, &address));
    enum status status = address_print(&printed, &address);
    if (status == STATUS_OK)
        status = arena_copy(scan->arena, buf_slice(&printed), &scan->authors[scan->author_count]);
    buf_done(&printed);
    if (status == STATUS_OK)
        scan->author_count++;
    return status;
}

/* The field before has ended, if one was kept: then its name is still there. */
static void finish_field(struct header_scan *scan)
{
    if (scan->name_len == 0)
        return;
    if (scan->name_len > sizeof "sender" - 1) /* Resent-: there may be many of them, so their sum is bounded */
        scan->resent_octets += scan->field.len;
    if (scan->resent_octets > LIMIT_HEADER_FIELD ||
        header_addresses(buf_slice(&scan->field), scan->arena, add_author, scan) != STATUS_OK)
        note(scan, HEADER_BAD_AUTHORS);
    buf_clear(&scan->field);
    scan->name_len = 0;
}

/* The name is whole, its colon was just read. */
static void begin_field(struct header_scan *scan)
{
    struct slice name = { scan->name, scan->name_len };
    uint8_t *count = NULL;
    bool author = slice_equal(name, S("from")) || slice_equal(name, S("sender"));
    if (author)
        count = name.len == 4 ? &scan->from : &scan->sender;
    else if (slice_equal(name, S("date")))
        count = &scan->date;
    else if (slice_equal(name, S("message-id")))
        count = &scan->message_id;
    else if (slice_equal(name, S("received")) && scan->received < UINT32_MAX)
        scan->received++;
    if (count && *count < UINT8_MAX)
        ++*count;
    if (author && *count > 1)
        note(scan, HEADER_TWO_FROM); /* C167: and what it says is not read, which bounds the memory */
    /* RFC 5322 3.6.6: whoever brings a message in again is an author, too, and each of them has a block of his own (C092). */
    bool resent = slice_equal(name, S("resent-from")) || slice_equal(name, S("resent-sender"));
    bool kept = resent || (author && *count == 1);
    scan->state = kept ? KEEP : SKIP;
    if (!kept)
        scan->name_len = 0;
}

/* A line that is no field.  Readers differ in whether the header section goes on behind it: for us it does, or a From
 * could hide there; only a message that begins so has no header section at all. */
static void no_field(struct header_scan *scan)
{
    scan->name_len = 0;
    scan->state = SKIP;
    scan->ended = scan->first_line;
}

static size_t name_step(struct header_scan *scan, char octet)
{
    bool blank = octet == ' ' || octet == '\t';
    if (octet == '\0')
        note(scan, HEADER_NUL);
    if (octet == ':' && scan->name_len > 0) {
        begin_field(scan);
        return 1;
    }
    if (blank && scan->name_len > 0) {
        scan->state = NAME_SPACE;
        return 1;
    }
    if (scan->state == NAME && octet > ' ' && octet < 0x7f && octet != ':') {
        if (scan->name_len < sizeof scan->name) /* no name that we know is as long as that */
            scan->name[scan->name_len++] = octet_lower(octet);
        return 1;
    }
    no_field(scan);
    return 0;
}

static size_t line_start_step(struct header_scan *scan, char octet)
{
    if (octet == ' ' || octet == '\t') {
        if (scan->first_line)
            note(scan, HEADER_LEADING_SPACE); /* C017 */
        scan->state = scan->name_len > 0 ? KEEP : SKIP;
        return 0;
    }
    finish_field(scan);
    if (octet != '\r' && octet != '\n') {
        scan->state = NAME;
        return 0;
    }
    scan->first_line = false;
    scan->state = EMPTY_CR;
    scan->ended = octet == '\n';
    return 1;
}

/* Octets of a value, up to and with what ends them. */
static size_t value_step(struct header_scan *scan, struct marks *marks, const char *at)
{
    const char *mark = next_mark(marks, at);
    struct slice piece = { at, (size_t)(mark - at) };
    if (scan->state == KEEP && buf_put(&scan->field, piece) != STATUS_OK) {
        note(scan, HEADER_BAD_AUTHORS);
        scan->state = SKIP;
        scan->name_len = 0;
    }
    if (mark == marks->end)
        return piece.len;
    if (*mark == '\0') {
        note(scan, HEADER_NUL); /* C168 */
    } else {
        scan->state = *mark == '\r' ? LINE_CR : LINE_START;
        scan->first_line = false;
    }
    return piece.len + 1;
}

static size_t step(struct header_scan *scan, struct marks *marks, const char *at)
{
    switch ((enum scan_state)scan->state) {
    case LINE_START:
        return line_start_step(scan, *at);
    case NAME:
    case NAME_SPACE:
        return name_step(scan, *at);
    case LINE_CR:
        scan->state = LINE_START;
        return *at == '\n';
    case EMPTY_CR:
        scan->ended = true;
        return *at == '\n';
    case KEEP:
    case SKIP:
        break;
    }
    return value_step(scan, marks, at);
}

void header_scan_feed(struct header_scan *scan, struct slice octets)
{
    if (scan->ended || octets.len == 0)
        return;
    must(scan->state <= EMPTY_CR && scan->arena);
    struct marks marks = marks_of(octets);
    const char *at = octets.ptr;
    while (at < marks.end && !scan->ended)
        at += step(scan, &marks, at);
    scan->octets += (uint64_t)(at - octets.ptr);
    if (scan->octets > LIMIT_HEADER)
        note(scan, HEADER_TOO_LONG); /* C158 */
    if (scan->ended && scan->first_line)
        scan->octets = 0; /* the first line was no field: all of it is text */
}

void header_scan_end(struct header_scan *scan)
{
    if (scan->ended)
        return;
    if (scan->state == NAME || scan->state == NAME_SPACE) {
        no_field(scan);
        if (scan->first_line)
            scan->octets = 0;
    }
    finish_field(scan);
    scan->ended = true;
}

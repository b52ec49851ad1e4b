#include "mail/dot.h"

#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "mail/marks.h"

enum decode_state {
    LINE_START, /* behind CRLF; also before the first octet: the CRLF of the DATA line counts (RFC 5321 4.1.1.4) */
    TEXT,
    TEXT_CR, /* a CR that was passed on already */
    DOT,     /* a dot at the start of a line, held back */
    DOT_CR,  /* and a CR behind it, held back too */
    BARE_LF, /* at one that is to be repaired; never the last state of a call */
};

static void note(struct dot_decode *decode, enum dot_flaw flaw)
{
    if (decode->flaw == DOT_FINE)
        decode->flaw = flaw;
}

static void count(struct dot_decode *decode, size_t octets)
{
    if (octets > LIMIT_BODY_LINE - decode->line) {
        note(decode, DOT_LONG_LINE); /* C014 */
        decode->line = LIMIT_BODY_LINE;
    } else {
        decode->line += (uint32_t)octets;
    }
}

/* Plain text from `at` to the next mark, and the mark itself.  Returns where reading goes on. */
static const char *decode_text(struct dot_decode *decode, struct marks *marks, const char *at)
{
    const char *mark = next_mark(marks, at);
    count(decode, (size_t)(mark - at));
    if (mark == marks->end)
        return mark;
    if (*mark == '\n' && decode->repairs_lf) {
        decode->state = BARE_LF;
        return mark;
    }
    if (*mark == '\r')
        decode->state = TEXT_CR;
    else
        note(decode, *mark == '\n' ? DOT_BARE_LF : DOT_NUL);
    count(decode, 1);
    return mark + 1;
}

/* What is still to be copied to the output: from `from` to wherever reading stands. */
struct copy {
    const char *from;
    char *to;
};

static void copy_upto(struct copy *copy, const char *at)
{
    size_t len = (size_t)(at - copy->from);
    memcpy(copy->to, copy->from, len);
    copy->to += len;
    copy->from = at;
}

/* A line that ended as it should. */
static const char *end_line(struct dot_decode *decode, const char *behind)
{
    decode->state = LINE_START;
    decode->ends_by_lf = decode->after_lf = false;
    return behind;
}

/* Behind a dot at the start of a line.  A lone dot that ends nothing is a line with a dot in it. */
static const char *decode_dot(struct dot_decode *decode, struct copy *copy, const char *at)
{
    if (*at == '\r') {
        decode->state = DOT_CR;
        copy->from = at + 1;
        return at + 1;
    }
    decode->state = TEXT;
    if (*at != '\n' || !decode->repairs_lf)
        return at;
    if (decode->ends_by_lf) {
        decode->ended = true;
        copy->from = at + 1;
        return at + 1;
    }
    *copy->to++ = '.';
    decode->state = BARE_LF;
    return at;
}

static const char *decode_dot_cr(struct dot_decode *decode, struct copy *copy, const char *at)
{
    if (*at == '\n' && !decode->after_lf) {
        decode->ended = true;
        copy->from = at + 1;
        return at + 1;
    }
    if (*at == '\n') { /* LF . CR LF ends nothing, whoever says it (C002) */
        *copy->to++ = '.';
        *copy->to++ = '\r';
        return end_line(decode, at + 1);
    }
    /* CR LF . CR and then anything else ends nothing (C003 to C005): the CR was text. */
    *copy->to++ = '\r';
    note(decode, DOT_BARE_CR);
    decode->state = TEXT;
    return at;
}

/* One octet, or none, or all up to a mark.  Returns where reading goes on. */
static const char *decode_step(struct dot_decode *decode, struct marks *marks, struct copy *copy, const char *at)
{
    switch ((enum decode_state)decode->state) {
    case LINE_START:
        decode->line = 0;
        decode->state = *at == '.' ? DOT : TEXT;
        if (*at != '.')
            return at;
        /* One dot, and only at the start of a line, is taken away (RFC 5321 4.5.2, C011). */
        copy_upto(copy, at);
        copy->from = at + 1;
        return at + 1;
    case TEXT_CR:
        if (*at == '\n')
            return end_line(decode, at + 1);
        note(decode, DOT_BARE_CR);
        decode->state = TEXT;
        return at;
    case DOT:
        return decode_dot(decode, copy, at);
    case DOT_CR:
        return decode_dot_cr(decode, copy, at);
    case BARE_LF:
        copy_upto(copy, at);
        *copy->to++ = '\r';
        decode->after_lf = true;
        decode->state = LINE_START;
        return at + 1;
    case TEXT:
        break;
    }
    return decode_text(decode, marks, at);
}

size_t dot_decode(struct dot_decode *decode, struct slice in, struct buf *out)
{
    char *room;
    if (in.len == 0 || decode->ended)
        return 0;
    /* A dot and a CR may have been held back. */
    enum status reserved = buf_reserve(out, (decode->repairs_lf ? 2 * in.len : in.len) + 2, &room);
    must(reserved == STATUS_OK && decode->state <= DOT_CR);
    struct marks marks = marks_of(in);
    struct copy copy = { in.ptr, room };
    const char *at = in.ptr;
    while (at < marks.end && !decode->ended)
        at = decode_step(decode, &marks, &copy, at);
    copy_upto(&copy, at);
    buf_grown(out, (size_t)(copy.to - room));
    return (size_t)(at - in.ptr);
}

enum encode_state {
    ENCODE_LINE_START,
    ENCODE_TEXT,
    ENCODE_AFTER_CR, /* a line start; its CRLF is written, and an LF that comes now belongs to it */
};

static struct slice between(const char *from, const char *to)
{
    return (struct slice){ from, (size_t)(to - from) };
}

/* At a mark.  Whatever ends a line is written as CRLF at once, which is right for CR whatever follows it. */
static enum status encode_mark(struct dot_encode *encode, const char **from, const char **at, const char *end,
    struct buf *out)
{
    const char *mark = *at;
    if (*mark == '\r' && mark + 1 < end && mark[1] == '\n') {
        encode->state = ENCODE_LINE_START;
        *at = mark + 2;
        return STATUS_OK;
    }
    TRY(buf_put(out, between(*from, mark)));
    *from = *at = mark + 1;
    if (*mark == '\0') {
        encode->state = ENCODE_TEXT;
        return buf_put_byte(out, (char)0x80);
    }
    encode->state = *mark == '\r' ? ENCODE_AFTER_CR : ENCODE_LINE_START;
    return buf_put(out, S("\r\n"));
}

static enum status encode_all(struct dot_encode *encode, struct slice in, struct buf *out)
{
    struct marks marks = marks_of(in);
    const char *from = in.ptr, *at = in.ptr; /* from: what is not written yet */
    while (at < marks.end) {
        if (encode->state == ENCODE_AFTER_CR) {
            encode->state = ENCODE_LINE_START;
            if (*at == '\n') {
                must(from == at);
                from = ++at;
                continue;
            }
        }
        if (encode->state == ENCODE_LINE_START && *at == '.') {
            TRY(buf_put(out, between(from, at + 1)));
            from = at++; /* so that it is written once more */
            encode->state = ENCODE_TEXT;
            continue;
        }
        const char *mark = next_mark(&marks, at);
        if (mark > at)
            encode->state = ENCODE_TEXT;
        at = mark;
        if (at < marks.end)
            TRY(encode_mark(encode, &from, &at, marks.end, out));
    }
    return buf_put(out, between(from, at));
}

enum status dot_encode(struct dot_encode *encode, struct slice in, struct buf *out)
{
    if (in.len == 0)
        return STATUS_OK;
    uint8_t state = encode->state;
    size_t len = out->len;
    enum status status = encode_all(encode, in, out);
    if (status != STATUS_OK) {
        encode->state = state;
        out->len = len;
    }
    return status;
}

enum status dot_encode_end(struct dot_encode *encode, struct buf *out)
{
    TRY(buf_put(out, encode->state == ENCODE_TEXT ? S("\r\n.\r\n") : S(".\r\n")));
    encode->state = ENCODE_LINE_START;
    return STATUS_OK;
}

void dot_strays_feed(struct dot_strays *strays, struct slice in)
{
    if (in.len == 0)
        return;
    const char *end = in.ptr + in.len;
    uint64_t crs = 0, lfs = 0, pairs = strays->after_cr && in.ptr[0] == '\n';
    for (const char *at = in.ptr; (at = find_from(at, end, '\n')) < end; at++) {
        lfs++;
        pairs += at > in.ptr && at[-1] == '\r';
    }
    for (const char *at = in.ptr; (at = find_from(at, end, '\r')) < end; at++)
        crs++;
    /* A pair whose CR came with the chunk before was counted as a stray CR then. */
    uint64_t growth = strays->growth + crs + lfs - 2 * pairs;
    char last = end[-1];
    *strays = (struct dot_strays){
        .after_cr = last == '\r',
        .any = true,
        .at_line_end = last == '\r' || last == '\n',
        .growth = growth,
    };
}

uint64_t dot_strays_end(struct dot_strays *strays)
{
    if (strays->any && !strays->at_line_end)
        strays->growth += 2;
    strays->after_cr = strays->any = false;
    return strays->growth;
}

#include "proto/line.h"

#include <string.h>

#include "base/must.h"

#define KEPT_OCTETS 512u       /* that an idle session's line holds on to */
#define MOST_OCTETS (64u << 10) /* of any limit that an engine may set */

void line_init(struct line *line, size_t limit) { *line = (struct line){ .limit = limit, .held = BUF(MOST_OCTETS) }; }

void line_drop(struct line *line)
{
    if (line->held.len > 0)
        buf_wipe(&line->held);
    if (line->held.cap > KEPT_OCTETS)
        buf_done(&line->held);
    line->octets = 0;
    line->after_cr = line->bare_lf = line->ended = false;
    line->text = NO_SLICE;
    line->flaw = LINE_FINE;
}

void line_done(struct line *line)
{
    line_drop(line);
    buf_done(&line->held);
}

/* Keeps a piece of an unfinished line, unless the line is too long already. */
static void hold(struct line *line, struct slice piece)
{
    if (piece.len == 0)
        return;
    line->octets += piece.len;
    line->after_cr = piece.ptr[piece.len - 1] == '\r';
    if (line->octets > line->limit || buf_put(&line->held, piece) != STATUS_OK)
        buf_wipe(&line->held);
}

/* The first LF behind a CR: index in the wire, or wire.len.  Other LFs are noted, or are an end as well. */
static size_t find_end(struct line *line, struct slice wire)
{
    for (size_t at = 0; at < wire.len;) {
        const char *found = memchr(wire.ptr + at, '\n', wire.len - at);
        if (!found)
            return wire.len;
        at = (size_t)(found - wire.ptr);
        if (at > 0 ? wire.ptr[at - 1] == '\r' : line->after_cr)
            return at;
        line->bare_lf = true;
        if (line->lenient)
            return at;
        at++;
    }
    return wire.len;
}

static enum line_flaw judge(const struct line *line)
{
    if (line->octets > line->limit)
        return LINE_TOO_LONG;
    if (line->bare_lf && !line->lenient)
        return LINE_BARE_LF;
    if (line->text.len > 0 && memchr(line->text.ptr, '\r', line->text.len))
        return LINE_BARE_CR;
    if (line->text.len > 0 && memchr(line->text.ptr, '\0', line->text.len))
        return LINE_NUL;
    return LINE_FINE;
}

bool line_take(struct line *line, struct slice *wire)
{
    must(line->limit >= 2 && line->limit <= MOST_OCTETS);
    if (line->ended)
        line_drop(line);
    size_t end = find_end(line, *wire);
    if (end == wire->len) {
        hold(line, *wire);
        *wire = slice_from(*wire, wire->len);
        return false;
    }
    struct slice piece = slice_upto(*wire, end + 1);
    struct slice whole = piece;
    if (line->octets == 0) {
        line->octets = piece.len; /* the usual case: nothing is copied */
    } else {
        hold(line, piece);
        whole = buf_slice(&line->held);
    }
    *wire = slice_from(*wire, end + 1);
    line->ended = true;
    line->by_lf = line->lenient && line->bare_lf;
    line->text = line->octets > line->limit ? NO_SLICE : slice_upto(whole, whole.len - (line->by_lf ? 1 : 2));
    line->flaw = judge(line);
    return true;
}

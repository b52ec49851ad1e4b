/* line.h - lines that end with CRLF and with nothing else, under a limit (C012 to C014).  The one exception is asked for: `lenient`.
 *
 * Cut anywhere on the wire, the same octets give the same lines.  A bare CR, a bare LF or a NUL never ends or changes a line: it is a
 * flaw, and the engine refuses the line.  A line beyond the limit is read to its end without being kept, and reported once. */
#pragma once

#include "base/buf.h"

enum line_flaw { LINE_FINE, LINE_TOO_LONG, LINE_BARE_LF, LINE_BARE_CR, LINE_NUL };

struct line {
    size_t limit;          /* octets of a line with its CRLF; may be changed between lines */
    struct slice text;     /* the line without CRLF; empty if TOO_LONG; valid until the next line_take() and while the wire is */
    enum line_flaw flaw;   /* of that line, the first in the order above */
    bool lenient;          /* a bare LF ends a line, too: for devices that know no better (D57).  Off, unless the engine sets it at its start */
    bool by_lf;            /* lenient: that is how this line ended */
    /* inner */
    struct buf held;       /* what came of a line that was cut on the wire; wiped when the line is over */
    size_t octets;         /* of the present line */
    bool after_cr, bare_lf, ended;
};

void line_init(struct line *line, size_t limit);
/* Eats from *wire; true: a whole line is in text and flaw. */
bool line_take(struct line *line, struct slice *wire);
/* Forgets a half line: what stood in front of STARTTLS never meets what comes behind it. */
void line_drop(struct line *line);
void line_done(struct line *line);

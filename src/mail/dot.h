/* dot.h - the transparency of dots, in both directions, and the one end of data (RFC 5321 4.5.2, C001-C011).
 *
 * dot_decode reads DATA as it arrives, cut anywhere: only CR LF . CR LF ends it.  Bare CR, bare LF and NUL are noted in
 * `flaw`, never repaired: reading goes on to the true end, then the message is refused once.  For devices that know no better (D57)
 * an engine may set two exceptions before the first octet; nobody else gets them.
 * dot_encode writes a stored message for DATA, RETR and TOP: dots are doubled after CRLF, stray CR and LF become
 * CRLF and NUL becomes 0x80 (D14), so that nothing we send can be cut in two by a laxer reader (C007). */
#pragma once

#include "base/buf.h"

enum dot_flaw { DOT_FINE, DOT_BARE_CR, DOT_BARE_LF, DOT_NUL, DOT_LONG_LINE };

struct dot_decode {
    uint8_t state;
    bool ended;            /* the end mark was read */
    enum dot_flaw flaw;    /* the first one */
    uint32_t line;         /* octets of the present line */
    bool repairs_lf;       /* a bare LF becomes CRLF, and a dot behind it is stuffing like any other; it ends nothing */
    bool ends_by_lf;       /* LF . LF is the end mark, for who ended DATA itself with a bare LF.  The first CRLF takes this back, and from
                            * then on only CR LF . CR LF is one */
    bool after_lf;         /* inner: the present line began behind a bare LF */
};

/* Eats a prefix of `in`, appends plain octets to `out` (its max bounds one call's output: at least in.len + 4, with
 * repairs_lf 2 * in.len + 4).
 * Returns the octets eaten; less than in.len only if the end mark was reached. */
size_t dot_decode(struct dot_decode *decode, struct slice in, struct buf *out);

struct dot_encode {
    uint8_t state;         /* zero at the start of a message */
};
/* Appends the wire form of `in`; TOO_BIG if out is full (then nothing of `in` was written). */
MUST_USE enum status dot_encode(struct dot_encode *encode, struct slice in, struct buf *out);
/* Final CRLF where it is missing, then the end mark ".\r\n". */
MUST_USE enum status dot_encode_end(struct dot_encode *encode, struct buf *out);

/* Strays: the growth in octets that stray CR and LF cause in dot_encode's plain text (a BINARYMIME body, C151), so
 * that LIST can tell the exact size.  Feed all octets, then dot_strays_end(). */
struct dot_strays {
    bool after_cr, any, at_line_end;
    uint64_t growth;
};
void dot_strays_feed(struct dot_strays *strays, struct slice in);
uint64_t dot_strays_end(struct dot_strays *strays); /* growth, with the final CRLF where it is missing */

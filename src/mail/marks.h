/* marks.h - finds the octets that are not plain text: CR, LF and NUL.  For dot.c and header.c. */
#pragma once

#include <string.h>

#include "base/slice.h"

/* The next CR, LF and NUL of one chunk.  Each is looked for again only once it was passed, so that a chunk is read
 * three times by memchr(), however many stray octets it holds. */
struct marks {
    const char *end, *cr, *lf, *nul;
};

static inline const char *find_from(const char *at, const char *end, char octet)
{
    const char *hit = memchr(at, octet, (size_t)(end - at));
    return hit ? hit : end;
}

static inline struct marks marks_of(struct slice in)
{
    /* The marks start behind nothing: before the first look all are "passed". */
    return (struct marks){ .end = in.ptr + in.len };
}

/* The next octet at or behind `at` that is not plain text, or the end of the chunk. */
static inline const char *next_mark(struct marks *m, const char *at)
{
    if (!m->cr || m->cr < at)
        m->cr = find_from(at, m->end, '\r');
    if (!m->lf || m->lf < at)
        m->lf = find_from(at, m->end, '\n');
    if (!m->nul || m->nul < at)
        m->nul = find_from(at, m->end, '\0');
    const char *first = m->cr < m->lf ? m->cr : m->lf;
    return first < m->nul ? first : m->nul;
}

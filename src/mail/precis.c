#include "mail/precis.h"

#include <string.h>

#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include "base/must.h"
#include "mail/address.h"
#include "mail/codepoint.h"

/* No code point of three octets becomes more than 18 (U+FDFA), none of one octet more than one. */
#define POINTS (LIMIT_SECRET / 3 * 18 + 18)

struct points {
    size_t count;
    uint32_t rows[POINTS];
};

static enum status read_points(struct slice text, struct points *out)
{
    if (text.len > LIMIT_SECRET)
        return STATUS_TOO_BIG;
    if (!slice_is_utf8(text))
        return STATUS_MALFORMED;
    out->count = 0;
    for (size_t at = 0; at < text.len;) {
        ucs4_t point;
        int len = u8_mbtouc(&point, (const uint8_t *)text.ptr + at, text.len - at);
        must(len > 0);
        out->rows[out->count++] = point;
        at += (size_t)len;
    }
    return STATUS_OK;
}

/* Octets written to `out`, or TOO_BIG. */
static enum status write_points(const struct points *points, size_t typed, char out[LIMIT_SECRET], size_t *out_len)
{
    size_t most = typed < LIMIT_SECRET / 4 ? 4 * typed : LIMIT_SECRET, len = 0;
    for (size_t at = 0; at < points->count; at++) {
        int put = u8_uctomb((uint8_t *)out + len, points->rows[at], (ptrdiff_t)(most - len));
        if (put < 0)
            return put == -1 ? STATUS_MALFORMED : STATUS_TOO_BIG;
        len += (size_t)put;
    }
    if (len == 0)
        return STATUS_MALFORMED;
    *out_len = len;
    return STATUS_OK;
}

static void normalize(uninorm_t form, struct points *points)
{
    struct points out;
    size_t len = POINTS;
    if (points->count == 0)
        return;
    const uint32_t *got = u32_normalize(form, points->rows, points->count, out.rows, &len);
    must(got == out.rows);
    memcpy(points->rows, out.rows, len * sizeof out.rows[0]);
    points->count = len;
    wipe(&out, sizeof out);
}

/* Printable ASCII, which every profile leaves as it is but for case. */
static bool is_plain(struct slice text)
{
    return text.len > 0 && text.len <= LIMIT_SECRET && slice_is_ascii(text) && !slice_has_control(text);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void lower(struct points *points)
{
    struct points out;
    size_t len = POINTS;
    if (points->count == 0)
        return;
    const uint32_t *got = u32_tolower(points->rows, points->count, NULL, NULL, out.rows, &len);
    must(got == out.rows);
    memcpy(points->rows, out.rows, len * sizeof out.rows[0]);
    points->count = len;
}

static bool is_identifier(const uint32_t *points, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        enum codepoint_class class = codepoint_class(points[at]);
        if (class != CODEPOINT_VALID && !(class == CODEPOINT_CONTEXT && codepoint_fits(points, count, at)))
            return false;
    }
    return true;
}

/* Does it hold for every word (RFC 8265 3.1: userpart *(1*SP userpart))? */
static bool each_word(const struct points *points, bool (*holds)(const uint32_t *points, size_t count))
{
    size_t begin = 0;
    for (size_t at = 0; at <= points->count; at++) {
        if (at < points->count && points->rows[at] != ' ')
            continue;
        if (at > begin && !holds(points->rows + begin, at - begin))
            return false;
        begin = at + 1;
    }
    return true;
}

static void trim(struct points *points)
{
    size_t front = 0;
    while (front < points->count && points->rows[front] == ' ')
        front++;
    while (points->count > front && points->rows[points->count - 1] == ' ')
        points->count--;
    points->count -= front;
    memmove(points->rows, points->rows + front, points->count * sizeof points->rows[0]);
}

/* RFC 8265 3.3.2 and 3.3.3, behind the width mapping. */
static enum status enforce_name(struct points *points)
{
    if (!each_word(points, is_identifier))
        return STATUS_MALFORMED;
    lower(points);
    normalize(UNINORM_NFC, points);
    return each_word(points, is_identifier) && each_word(points, codepoint_bidi) ? STATUS_OK : STATUS_MALFORMED;
}

static enum status put_name(struct points *points, size_t typed, struct arena *a, struct slice *out_name)
{
    char text[LIMIT_SECRET];
    struct slice name = { text, 0 };
    TRY(write_points(points, typed, text, &name.len));
    return arena_copy(a, name, out_name);
}

static enum status fold_plain(struct slice typed, struct arena *a, struct slice *out_name)
{
    struct address address;
    while (slice_starts(typed, S(" ")))
        typed = slice_from(typed, 1);
    while (typed.len > 0 && typed.ptr[typed.len - 1] == ' ')
        typed.len--;
    if (slice_find(typed, '@') < typed.len) {
        TRY(address_parse(typed, true, a, &address));
        return address.local.len > 0 ? address_key(&address, a, out_name) : STATUS_MALFORMED;
    }
    char *name = arena_take(a, typed.len + 1);
    if (typed.len == 0 || !name)
        return name ? STATUS_MALFORMED : STATUS_TOO_BIG;
    for (size_t at = 0; at < typed.len; at++)
        name[at] = octet_lower(typed.ptr[at]);
    *out_name = (struct slice){ name, typed.len };
    return STATUS_OK;
}

/* Its width is mapped: an at sign is one now. */
static enum status fold_address(struct slice text, size_t typed, struct arena *a, struct slice *out_name)
{
    struct points points;
    struct address address;
    TRY(address_parse(text, true, a, &address));
    TRY(read_points(address.local, &points));
    TRY(enforce_name(&points));
    TRY(put_name(&points, typed, a, &address.local));
    return address_key(&address, a, out_name);
}

enum status precis_name(struct slice typed, struct arena *a, struct slice *out_name)
{
    struct points points;
    struct slice text;
    if (is_plain(typed))
        return fold_plain(typed, a, out_name);
    TRY(read_points(typed, &points));
    for (size_t at = 0; at < points.count; at++)
        points.rows[at] = codepoint_width(points.rows[at]);
    trim(&points);
    for (size_t at = 0; at < points.count; at++)
        if (points.rows[at] == '@') {
            TRY(put_name(&points, typed.len, a, &text));
            return fold_address(text, typed.len, a, out_name);
        }
    TRY(enforce_name(&points));
    return put_name(&points, typed.len, a, out_name);
}

/* ---- passwords --------------------------------------------------------------------------------------------------- */

static bool is_freeform(const struct points *points)
{
    for (size_t at = 0; at < points->count; at++) {
        enum codepoint_class class = codepoint_class(points->rows[at]);
        if (class == CODEPOINT_DISALLOWED ||
            (class == CODEPOINT_CONTEXT && !codepoint_fits(points->rows, points->count, at)))
            return false;
    }
    return true;
}

static enum status opaque(struct points *points)
{
    if (!is_freeform(points))
        return STATUS_MALFORMED;
    for (size_t at = 0; at < points->count; at++)
        if (codepoint_is_space(points->rows[at]))
            points->rows[at] = ' ';
    normalize(UNINORM_NFC, points);
    return is_freeform(points) ? STATUS_OK : STATUS_MALFORMED; /* U+0387 became U+00B7, which needs company */
}

/* RFC 4013 2.1 to 2.4, in their order. */
static enum status saslprep(struct points *points)
{
    size_t kept = 0;
    for (size_t at = 0; at < points->count; at++) {
        uint32_t point = points->rows[at];
        if (codepoint_is_other_space(point))
            point = ' ';
        if (!codepoint_is_nothing(point))
            points->rows[kept++] = point;
    }
    points->count = kept;
    normalize(UNINORM_NFKC, points);
    for (size_t at = 0; at < points->count; at++)
        if (codepoint_is_prohibited(points->rows[at]) || codepoint_is_other_space(points->rows[at]))
            return STATUS_MALFORMED;
    return codepoint_old_bidi(points->rows, points->count) ? STATUS_OK : STATUS_MALFORMED;
}

static enum status prepare(struct slice typed, enum status (*profile)(struct points *points), struct secret *out)
{
    if (is_plain(typed))
        return secret_set(out, typed);
    struct points points = { .count = 0 }; /* all of it: gcc -fanalyzer loses sight of what is read behind a pointer to a function */
    char text[LIMIT_SECRET];
    size_t len = 0;
    enum status status = read_points(typed, &points);
    if (status == STATUS_OK)
        status = profile(&points);
    if (status == STATUS_OK)
        status = write_points(&points, typed.len, text, &len);
    if (status == STATUS_OK)
        status = secret_set(out, (struct slice){ text, len });
    wipe(&points, sizeof points);
    wipe(text, sizeof text);
    return status;
}

enum status precis_password(struct slice typed, struct secret *out_password)
{
    return prepare(typed, opaque, out_password);
}

enum status precis_saslprep(struct slice typed, struct secret *out_password)
{
    return prepare(typed, saslprep, out_password);
}

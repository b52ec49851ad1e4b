#include "ask/field.h"

#include <string.h>

#include "base/must.h"

#define COUNT_OCTETS 4u /* in front of slices and rows */

/* Unaligned access through memcpy: every compiler makes one instruction of it. */
static uint32_t get_u32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static const void *member(const void *message, const struct field *f) { return (const char *)message + f->at; }

static struct slice member_slice(const void *message, const struct field *f)
{
    return *(const struct slice *)member(message, f);
}

static struct rows member_rows(const void *message, const struct field *f)
{
    return *(const struct rows *)member(message, f);
}

static const void *row_at(const struct rows *rows, const struct field *f, uint32_t index)
{
    return (const char *)rows->at + (size_t)index * f->row_size;
}

/* Octets of a kind whose size does not depend on the value; 0 for the others. */
static size_t fixed_octets(enum field_kind kind)
{
    switch (kind) {
    case FIELD_U8:
        return 1;
    case FIELD_U32:
        return 4;
    case FIELD_U64:
        return 8;
    case FIELD_IP:
        return sizeof(struct ip);
    case FIELD_END:
    case FIELD_TEXT:
    case FIELD_BYTES:
    case FIELD_SECRET:
    case FIELD_ROWS:
        break;
    }
    return 0;
}

/* NUL, CR and LF would become new fields wherever text is written line by line (C040). */
static bool is_one_line(struct slice s)
{
    if (s.len == 0)
        return true;
    return !memchr(s.ptr, '\n', s.len) && !memchr(s.ptr, '\r', s.len) && !memchr(s.ptr, '\0', s.len);
}

/* ---- put: one pass to measure and check, one to write --------------------------------------------------------------- */

static enum status measure(const struct field *fields, const void *message, size_t *total)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++) {
        size_t fixed = fixed_octets(f->kind);
        if (fixed > 0) {
            *total += fixed;
            continue;
        }
        *total += COUNT_OCTETS;
        if (f->kind == FIELD_ROWS) {
            struct rows rows = member_rows(message, f);
            if (rows.count > f->max)
                return STATUS_TOO_BIG;
            for (uint32_t i = 0; i < rows.count; i++)
                TRY(measure(f->rows, row_at(&rows, f, i), total));
            continue;
        }
        struct slice s = member_slice(message, f);
        if (s.len > f->max)
            return STATUS_TOO_BIG;
        if (f->kind == FIELD_TEXT && !is_one_line(s))
            return STATUS_MALFORMED;
        *total += s.len;
    }
    return STATUS_OK;
}

static char *write_count(char *at, size_t count)
{
    uint32_t octets = (uint32_t)count;
    memcpy(at, &octets, sizeof octets);
    return at + sizeof octets;
}

static char *write_fields(char *at, const struct field *fields, const void *message)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++) {
        size_t fixed = fixed_octets(f->kind);
        if (fixed > 0) {
            memcpy(at, member(message, f), fixed);
            at += fixed;
        } else if (f->kind == FIELD_ROWS) {
            struct rows rows = member_rows(message, f);
            at = write_count(at, rows.count);
            for (uint32_t i = 0; i < rows.count; i++)
                at = write_fields(at, f->rows, row_at(&rows, f, i));
        } else {
            struct slice s = member_slice(message, f);
            at = write_count(at, s.len);
            if (s.len > 0)
                memcpy(at, s.ptr, s.len);
            at += s.len;
        }
    }
    return at;
}

enum status field_put(struct buf *out, const struct field *fields, const void *message)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian, and written as they lie");
    size_t total = 0;
    TRY(measure(fields, message, &total));
    char *room;
    TRY(buf_reserve(out, total, &room));
    must(write_fields(room, fields, message) == room + total);
    buf_grown(out, total);
    return STATUS_OK;
}

/* ---- get ------------------------------------------------------------------------------------------------------------ */

static enum status read_fields(struct slice *in, const struct field *fields, struct arena *arena, void *message);

static enum status read_count(struct slice *in, uint32_t *out_count)
{
    if (in->len < COUNT_OCTETS)
        return STATUS_MALFORMED;
    *out_count = get_u32(in->ptr);
    *in = slice_from(*in, COUNT_OCTETS);
    return STATUS_OK;
}

/* The fewest octets that one row can have: a count that the input cannot hold costs no memory. */
static size_t least_octets(const struct field *fields)
{
    size_t least = 0;
    for (const struct field *f = fields; f->kind != FIELD_END; f++) {
        size_t fixed = fixed_octets(f->kind);
        least += fixed > 0 ? fixed : COUNT_OCTETS;
    }
    return least;
}

static enum status read_rows(struct slice *in, const struct field *f, struct arena *arena, struct rows *out_rows)
{
    uint32_t count;
    TRY(read_count(in, &count));
    if (count > f->max)
        return STATUS_TOO_BIG;
    size_t least = least_octets(f->rows);
    must(least > 0);
    if (count > in->len / least)
        return STATUS_MALFORMED;
    *out_rows = (struct rows){ NULL, 0 };
    if (count == 0)
        return STATUS_OK;
    char *rows = arena_take_rows(arena, count, f->row_size);
    if (!rows)
        return STATUS_TOO_BIG;
    for (uint32_t i = 0; i < count; i++)
        TRY(read_fields(in, f->rows, arena, rows + (size_t)i * f->row_size));
    *out_rows = (struct rows){ rows, count };
    return STATUS_OK;
}

static enum status read_slice(struct slice *in, const struct field *f, struct slice *out_slice)
{
    uint32_t len;
    TRY(read_count(in, &len));
    if (len > f->max)
        return STATUS_TOO_BIG;
    if (len > in->len)
        return STATUS_MALFORMED;
    struct slice s = slice_upto(*in, len);
    if (f->kind == FIELD_TEXT && !is_one_line(s))
        return STATUS_MALFORMED;
    *in = slice_from(*in, len);
    *out_slice = s;
    return STATUS_OK;
}

static enum status read_fields(struct slice *in, const struct field *fields, struct arena *arena, void *message)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++) {
        char *at = (char *)message + f->at;
        size_t fixed = fixed_octets(f->kind);
        if (fixed > 0) {
            if (in->len < fixed)
                return STATUS_MALFORMED;
            memcpy(at, in->ptr, fixed);
            *in = slice_from(*in, fixed);
        } else if (f->kind == FIELD_ROWS) {
            TRY(read_rows(in, f, arena, (struct rows *)(void *)at));
        } else {
            TRY(read_slice(in, f, (struct slice *)(void *)at));
        }
    }
    return STATUS_OK;
}

enum status field_get(struct slice in, const struct field *fields, struct arena *arena, void *out_message)
{
    TRY(read_fields(&in, fields, arena, out_message));
    return in.len == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- print ---------------------------------------------------------------------------------------------------------- */

static enum status print_octet(struct buf *out, unsigned char octet)
{
    static const char digits[] = "0123456789abcdef";
    char text[4] = { '\\', 'x', digits[octet >> 4], digits[octet & 15] };
    return buf_put(out, (struct slice){ text, sizeof text });
}

static enum status print_text(struct buf *out, struct slice s)
{
    bool quoted = false;
    for (size_t i = 0; i < s.len && !quoted; i++)
        quoted = strchr(" \"=;[]", s.ptr[i]) && s.ptr[i] != '\0';
    if (quoted)
        TRY(buf_put_byte(out, '"'));
    while (s.len > 0) {
        size_t len = slice_utf8_prefix(s);
        unsigned char octet = (unsigned char)s.ptr[0];
        if (octet == '"' || octet == '\\') {
            TRY(buf_put_byte(out, '\\'));
            TRY(buf_put_byte(out, s.ptr[0]));
        } else if (len == 0 || octet < 32 || octet == 127) {
            TRY(print_octet(out, octet));
        } else {
            TRY(buf_put(out, slice_upto(s, len)));
        }
        s = slice_from(s, len == 0 ? 1 : len);
    }
    return quoted ? buf_put_byte(out, '"') : STATUS_OK;
}

static bool is_default(const struct field *f, const void *message)
{
    static const char zeros[sizeof(struct ip)];
    size_t fixed = fixed_octets(f->kind);
    if (fixed > 0)
        return memcmp(member(message, f), zeros, fixed) == 0;
    if (f->kind == FIELD_ROWS)
        return member_rows(message, f).count == 0;
    return member_slice(message, f).len == 0;
}

static enum status print_value(struct buf *out, const struct field *f, const void *message)
{
    struct rows rows;
    switch (f->kind) {
    case FIELD_U8:
        return buf_put_number(out, *(const uint8_t *)member(message, f));
    case FIELD_U32:
        return buf_put_number(out, *(const uint32_t *)member(message, f));
    case FIELD_U64:
        return buf_put_number(out, *(const uint64_t *)member(message, f));
    case FIELD_IP:
        return ip_print(out, *(const struct ip *)member(message, f));
    case FIELD_TEXT:
        return print_text(out, member_slice(message, f));
    case FIELD_BYTES:
        return buf_print(out, "(%zu octets)", member_slice(message, f).len);
    case FIELD_SECRET:
        return buf_put(out, S("***"));
    case FIELD_ROWS:
        rows = member_rows(message, f);
        for (uint32_t i = 0; i < rows.count; i++) {
            TRY(buf_put_byte(out, '['));
            TRY(field_print(out, f->rows, row_at(&rows, f, i)));
            TRY(buf_put(out, S(" ]")));
        }
        return STATUS_OK;
    case FIELD_END:
        break;
    }
    must(f->kind != FIELD_END);
    return STATUS_OK;
}

enum status field_print(struct buf *out, const struct field *fields, const void *message)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++) {
        if (is_default(f, message))
            continue;
        TRY(buf_put_byte(out, ' '));
        TRY(buf_put(out, slice_of(f->name)));
        TRY(buf_put_byte(out, '='));
        TRY(print_value(out, f, message));
    }
    return STATUS_OK;
}

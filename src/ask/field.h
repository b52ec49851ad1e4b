/* field.h - one codec for everything that travels between processes.
 *
 * A message is a plain C struct; a table of rows says where its fields are.  The codec reads the table for encoding, decoding with
 * bounds, and printing.  Octets are little-endian, without padding.  Decoded slices and rows point into `in` and into the arena:
 * they live as long as both.  Printing never shows a FIELD_SECRET. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/ip.h"
#include "base/limits.h"

enum field_kind { FIELD_END, FIELD_U8, FIELD_U32, FIELD_U64, FIELD_IP, FIELD_TEXT, FIELD_BYTES, FIELD_SECRET, FIELD_ROWS };

struct field {
    const char *name;
    enum field_kind kind;
    uint16_t at;              /* offset in the struct; for FIELD_ROWS: of a struct rows */
    uint16_t row_size;        /* FIELD_ROWS: size of one row */
    uint32_t max;             /* octets of TEXT, BYTES, SECRET; count of ROWS */
    const struct field *rows; /* FIELD_ROWS: fields of one row (a row holds no rows of its own) */
};

/* An array of structs inside a message. */
struct rows {
    const void *at;
    uint32_t count;
};
#define row_of(type, list, index) (&((const type *)(list).at)[index])

/* Wrong type of a member is a compile error: a bool or enum goes as uint8_t. */
#define FIELD_CHECKED(s, m, type) ((uint16_t)(offsetof(struct s, m) + 0 * sizeof(_Generic(((struct s *)0)->m, type: 1))))
#define F_U8(s, m)          { .name = #m, .kind = FIELD_U8, .at = FIELD_CHECKED(s, m, uint8_t) }
#define F_U32(s, m)         { .name = #m, .kind = FIELD_U32, .at = FIELD_CHECKED(s, m, uint32_t) }
#define F_U64(s, m)         { .name = #m, .kind = FIELD_U64, .at = FIELD_CHECKED(s, m, uint64_t) }
#define F_IP(s, m)          { .name = #m, .kind = FIELD_IP, .at = FIELD_CHECKED(s, m, struct ip) }
#define F_TEXT(s, m, most)  { .name = #m, .kind = FIELD_TEXT, .at = FIELD_CHECKED(s, m, struct slice), .max = (most) }
#define F_BYTES(s, m, most) { .name = #m, .kind = FIELD_BYTES, .at = FIELD_CHECKED(s, m, struct slice), .max = (most) }
#define F_SECRET(s, m)      { .name = #m, .kind = FIELD_SECRET, .at = FIELD_CHECKED(s, m, struct slice), .max = LIMIT_SECRET }
#define F_SECRET_OF(s, m, most) { .name = #m, .kind = FIELD_SECRET, .at = FIELD_CHECKED(s, m, struct slice), .max = (most) }
#define F_ROWS(s, m, row, table, most) \
    { .name = #m, .kind = FIELD_ROWS, .at = FIELD_CHECKED(s, m, struct rows), .row_size = sizeof(struct row), .max = (most), .rows = (table) }

/* NULL tables are empty messages.  put: TOO_BIG beyond a max or out's max, and then nothing is written.  get: MALFORMED for cut, overlong or
 * trailing input; TOO_BIG beyond a max or the arena.  TEXT that holds NUL, CR or LF is MALFORMED in both directions (C040). */
MUST_USE enum status field_put(struct buf *out, const struct field *fields, const void *message);
MUST_USE enum status field_get(struct slice in, const struct field *fields, struct arena *arena, void *out_message);
/* " name=value name=value": for logs, traces and transcripts.  Zeros and what is empty are left out; rows are "rows=[ a=1 ][ a=2 ]". */
MUST_USE enum status field_print(struct buf *out, const struct field *fields, const void *message);

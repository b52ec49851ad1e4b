#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#define FIRST_ROOM  64u
#define WIPED_ROOM  16384u /* octets: every line that can carry a secret is shorter (LIMIT_AUTH_LINE) */

void buf_done(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){ .max = b->max };
}

void buf_clear(struct buf *b) { b->len = 0; }

struct slice buf_slice(const struct buf *b) { return (struct slice){ b->ptr, b->len }; }

/* A buffer that grows may hold a secret, and realloc() would leave a copy of it behind in free memory. */
static void move_to(struct buf *b, size_t cap)
{
    char *moved;
    if (b->cap <= WIPED_ROOM) {
        moved = malloc(cap);
        must(moved);
        if (b->len > 0)
            memcpy(moved, b->ptr, b->len);
        if (b->cap > 0)
            explicit_bzero(b->ptr, b->cap);
        free(b->ptr);
    } else {
        moved = realloc(b->ptr, cap);
        must(moved);
    }
    b->ptr = moved;
    b->cap = cap;
}

enum status buf_reserve(struct buf *b, size_t len, char **out_room)
{
    must(b->len <= b->max && b->max < SIZE_MAX / 2);
    if (len > b->max - b->len)
        return STATUS_TOO_BIG;
    size_t needed = b->len + len + 1; /* one more than asked for: vsnprintf ends with a NUL */
    if (needed > b->cap) {
        size_t cap = b->cap < FIRST_ROOM / 2 ? FIRST_ROOM : b->cap * 2;
        if (cap > b->max + 1)
            cap = b->max + 1;
        move_to(b, cap < needed ? needed : cap);
    }
    *out_room = b->ptr + b->len;
    return STATUS_OK;
}

void buf_grown(struct buf *b, size_t len)
{
    must(len <= b->cap - b->len && len <= b->max - b->len);
    b->len += len;
}

enum status buf_put(struct buf *b, struct slice s)
{
    char *room;
    TRY(buf_reserve(b, s.len, &room));
    if (s.len > 0)
        memcpy(room, s.ptr, s.len);
    b->len += s.len;
    return STATUS_OK;
}

enum status buf_put_byte(struct buf *b, char octet)
{
    if (b->len >= b->max || b->len + 1 >= b->cap)
        return buf_put(b, (struct slice){ &octet, 1 });
    b->ptr[b->len++] = octet;
    return STATUS_OK;
}

enum status buf_put_number(struct buf *b, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return buf_put(b, (struct slice){ digits + at, sizeof digits - at });
}

enum status buf_print(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum status status = buf_vprint(b, format, args);
    va_end(args);
    return status;
}

enum status buf_vprint(struct buf *b, const char *format, va_list args)
{
    char small[256], *room;
    va_list again;
    va_copy(again, args);
    int printed = vsnprintf(small, sizeof small, format, args);
    must(printed >= 0);
    size_t len = (size_t)printed;
    enum status status = buf_reserve(b, len, &room);
    if (status == STATUS_OK) {
        if (len < sizeof small)
            memcpy(room, small, len);
        else
            vsnprintf(room, len + 1, format, again);
        b->len += len;
    }
    va_end(again);
    return status;
}

void buf_drop(struct buf *b, size_t len)
{
    must(len <= b->len);
    b->len -= len;
    if (len > 0 && b->len > 0)
        memmove(b->ptr, b->ptr + len, b->len);
}

void buf_wipe(struct buf *b)
{
    /* The whole room, since buf_drop() leaves octets behind the end. */
    if (b->cap > 0)
        explicit_bzero(b->ptr, b->cap);
    b->len = 0;
}

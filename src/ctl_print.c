#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "ctl_impl.h"
#include "mail/date.h"

#define TIME_TEXT  32u
#define COLUMN_GAP 2
#define CELL_MOST  512u /* octets of one cell of a table; longer texts are cut (--json has them whole) */

static void say(const char *prefix, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void say(const char *prefix, const char *format, va_list args)
{
    struct buf line = BUF(LIMIT_LOG_LINE);
    if (buf_vprint(&line, format, args) != STATUS_OK)
        buf_clear(&line);
    fflush(stdout);
    fprintf(stderr, "ekirei: %s", prefix);
    for (size_t at = 0; at < line.len; at++)
        fputc((unsigned char)line.ptr[at] < 0x20 || line.ptr[at] == 0x7f ? '?' : line.ptr[at], stderr);
    fputc('\n', stderr);
    buf_done(&line);
}

int ctl_failed(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
    return CTL_FAILED;
}

int ctl_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
    return CTL_USAGE;
}

void ctl_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("warning: ", format, args);
    va_end(args);
}

/* ---- members of objects ---- */

void ctl_put_text(json_t *object, const char *key, struct slice text)
{
    struct buf clean = BUF(text.len + 1);
    for (size_t at = 0; at < text.len;) {
        size_t len = slice_utf8_prefix(slice_from(text, at));
        enum status put = buf_put(&clean, len > 0 ? slice_upto(slice_from(text, at), len) : S("?"));
        must(put == STATUS_OK);
        at += len > 0 ? len : 1;
    }
    int set = json_object_set_new(object, key, json_stringn(clean.len > 0 ? clean.ptr : "", clean.len));
    must(set == 0);
    buf_done(&clean);
}

void ctl_put_number(json_t *object, const char *key, uint64_t number)
{
    int set = json_object_set_new(object, key, json_integer((json_int_t)number));
    must(set == 0);
}

void ctl_put_time(json_t *object, const char *key, wall when)
{
    struct buf text = BUF(TIME_TEXT);
    enum status status = date_print_iso(&text, when);
    must(status == STATUS_OK);
    int set = json_object_set_new(object, key, when > 0 ? json_stringn(text.ptr, text.len) : json_null());
    must(set == 0);
    buf_done(&text);
}

void ctl_put_yesno(json_t *object, const char *key, bool yes)
{
    int set = json_object_set_new(object, key, json_boolean(yes));
    must(set == 0);
}

/* ---- cells ---- */

static void put(struct buf *cell, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct buf *cell, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum status status = buf_vprint(cell, format, args);
    (void)status; /* a cell that is too long is cut */
    va_end(args);
}

static void put_size(struct buf *cell, uint64_t octets)
{
    static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
    double size = (double)octets;
    size_t unit = 0;
    for (; size >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        size /= 1024;
    put(cell, unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
}

static void put_seconds(struct buf *cell, uint64_t s)
{
    if (s >= 86400)
        put(cell, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        put(cell, "%" PRIu64 "h %" PRIu64 "min", s / 3600, s / 60 % 60);
    else
        put(cell, "%" PRIu64 "min %" PRIu64 "s", s / 60, s % 60);
}

/* What a person reads; control characters of either set (C0, DEL, C1) never reach a terminal. */
static void put_clean(struct buf *cell, struct slice text)
{
    for (size_t at = 0; at < text.len;) {
        size_t len = slice_utf8_prefix(slice_from(text, at));
        unsigned char octet = (unsigned char)text.ptr[at];
        bool control =
            octet < 0x20 || octet == 0x7f || (octet == 0xc2 && len == 2 && (unsigned char)text.ptr[at + 1] < 0xa0);
        if (len == 0 || control)
            put(cell, "?");
        else
            put(cell, "%.*s", (int)len, text.ptr + at);
        at += len > 0 ? len : 1;
    }
}

void ctl_show_text(const char *text, size_t len)
{
    struct buf clean = BUF(4 * len + 1);
    put_clean(&clean, (struct slice){ text, len });
    fwrite(clean.len > 0 ? clean.ptr : "", 1, clean.len, stdout);
    buf_done(&clean);
}

static void put_words(struct buf *cell, const json_t *list)
{
    size_t at;
    json_t *word;
    json_array_foreach(list, at, word)
    {
        put(cell, at > 0 ? " " : "");
        put_clean(cell, (struct slice){ json_string_value(word), json_string_length(word) });
    }
}

static void put_cell(struct buf *cell, const json_t *value, enum ctl_column_kind kind)
{
    if (json_is_array(value))
        put_words(cell, value);
    else if (json_is_string(value))
        put_clean(cell, (struct slice){ json_string_value(value), json_string_length(value) });
    else if (json_is_boolean(value))
        put(cell, json_is_true(value) ? "yes" : "no");
    else if (json_is_integer(value) && kind == COLUMN_SIZE)
        put_size(cell, (uint64_t)json_integer_value(value));
    else if (json_is_integer(value) && kind == COLUMN_SECONDS)
        put_seconds(cell, (uint64_t)json_integer_value(value));
    else if (json_is_integer(value))
        put(cell, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (cell->len == 0)
        put(cell, "-");
}

static size_t characters(struct slice text)
{
    size_t count = 0;
    for (size_t at = 0; at < text.len; at++)
        count += ((unsigned char)text.ptr[at] & 0xc0) != 0x80;
    return count;
}

static void pad(size_t from, size_t to)
{
    printf("%*s", to > from ? (int)(to - from) : 0, "");
}

/* ---- tables ---- */

static bool is_right(enum ctl_column_kind kind)
{
    return kind == COLUMN_NUMBER || kind == COLUMN_SIZE;
}

static size_t column_width(const json_t *rows, const struct ctl_column *column, struct buf *cell)
{
    size_t width = strlen(column->heading), at;
    json_t *row;
    json_array_foreach(rows, at, row)
    {
        buf_clear(cell);
        put_cell(cell, json_object_get(row, column->key), column->kind);
        size_t wide = characters(buf_slice(cell));
        width = wide > width ? wide : width;
    }
    return width;
}

#define COLUMNS_MOST 12u

static void print_cell(const struct ctl_column *column, struct slice text, size_t width, bool last)
{
    size_t wide = characters(text);
    if (is_right(column->kind))
        pad(wide, width);
    fwrite(text.ptr, 1, text.len, stdout);
    if (!is_right(column->kind) && !last)
        pad(wide, width);
    printf("%*s", last ? 0 : COLUMN_GAP, "");
}

static void print_table(const json_t *rows, const struct ctl_column *columns)
{
    struct buf cell = BUF(CELL_MOST);
    size_t widths[COLUMNS_MOST], count = 0, at;
    json_t *row;
    for (; columns[count].heading; count++) {
        must(count < COLUMNS_MOST);
        widths[count] = column_width(rows, &columns[count], &cell);
    }
    for (size_t i = 0; i < count; i++)
        print_cell(&columns[i], slice_of(columns[i].heading), widths[i], i + 1 == count);
    printf("\n");
    json_array_foreach(rows, at, row)
    {
        for (size_t i = 0; i < count; i++) {
            buf_clear(&cell);
            put_cell(&cell, json_object_get(row, columns[i].key), columns[i].kind);
            print_cell(&columns[i], buf_slice(&cell), widths[i], i + 1 == count);
        }
        printf("\n");
    }
    buf_done(&cell);
}

static int print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(value);
    return CTL_DONE;
}

int ctl_drop(json_t *value, int code)
{
    json_decref(value);
    return code;
}

int ctl_print_rows(const struct ctl *ctl, json_t *rows, const struct ctl_column *columns, const char *none)
{
    if (ctl->json)
        return print_json(rows);
    if (json_array_size(rows) == 0)
        printf("%s\n", none);
    else
        print_table(rows, columns);
    json_decref(rows);
    return CTL_DONE;
}

int ctl_print_object(const struct ctl *ctl, json_t *object, const struct ctl_column *columns)
{
    if (ctl->json)
        return print_json(object);
    struct buf cell = BUF(CELL_MOST);
    size_t width = 0;
    for (size_t at = 0; columns[at].heading; at++)
        width = strlen(columns[at].heading) > width ? strlen(columns[at].heading) : width;
    for (; columns->heading; columns++) {
        buf_clear(&cell);
        put_cell(&cell, json_object_get(object, columns->key), columns->kind);
        printf("%s:", columns->heading);
        pad(strlen(columns->heading), width + 1);
        printf("%.*s\n", (int)cell.len, cell.ptr);
    }
    buf_done(&cell);
    json_decref(object);
    return CTL_DONE;
}

int ctl_print_line(const struct ctl *ctl, json_t *object, const char *format, ...)
{
    if (ctl->json)
        return print_json(object);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    json_decref(object);
    return CTL_DONE;
}

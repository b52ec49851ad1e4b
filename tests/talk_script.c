#include "talk_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/pack.h"

#define MOST_OCTETS (64u << 20) /* of one script, with all its repetitions */

void script_fail(const struct script *script, const struct step *step, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%u: ", script->name, step ? step->line : 0);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void fine(const struct script *script, const struct step *step, enum status status)
{
    if (status != STATUS_OK)
        script_fail(script, step, "%s", status_name(status));
}

static struct slice keep(struct script *script, struct slice text)
{
    struct slice copy = NO_SLICE;
    fine(script, NULL, arena_copy(&script->arena, text, &copy));
    return copy;
}

static unsigned hex_digit(char octet)
{
    const char *digits = "0123456789abcdef", *found = strchr(digits, octet | 0x20);
    return found && octet ? (unsigned)(found - digits) : 16;
}

/* One octet of escaped text, cut off *rest. */
static char unescape_one(struct slice *rest)
{
    char octet = rest->ptr[0];
    size_t len = 1;
    if (octet == '\\' && rest->len >= 2) {
        static const char names[] = "rnt0\\\"", octets[] = "\r\n\t\0\\\"";
        const char *found = strchr(names, rest->ptr[1]);
        len = 2;
        if (rest->ptr[1] == 'x' && rest->len >= 4) {
            octet = (char)(hex_digit(rest->ptr[2]) << 4 | hex_digit(rest->ptr[3]));
            len = 4;
        } else if (found) {
            octet = octets[found - names];
        }
    }
    *rest = slice_from(*rest, len);
    return octet;
}

static struct slice unescape(struct script *script, struct slice text)
{
    struct buf out = BUF(MOST_OCTETS);
    while (text.len > 0)
        fine(script, NULL, buf_put_byte(&out, unescape_one(&text)));
    struct slice copy = keep(script, buf_slice(&out));
    buf_done(&out);
    return copy;
}

/* ---- lines to steps ------------------------------------------------------------------------------------------------- */

static struct step *add_step(struct script *script, enum step_kind kind, unsigned line)
{
    if (script->count == script->cap) {
        size_t cap = script->cap ? script->cap * 2 : 64;
        struct step *steps = arena_take_rows(&script->arena, cap, sizeof *steps);
        for (size_t i = 0; i < script->count; i++)
            steps[i] = script->steps[i];
        script->steps = steps;
        script->cap = cap;
    }
    struct step *step = &script->steps[script->count++];
    *step = (struct step){ .kind = kind, .line = line, .repeat = 1 };
    return step;
}

static void take_prefix_mark(struct step *step)
{
    if (step->text.len >= 3 && slice_ends_nocase(step->text, S("..."))) {
        step->text = slice_upto(step->text, step->text.len - 3);
        step->is_prefix = true;
    }
}

/* "C", "C*12", "C\" or "C*12\" stood in front of the colon. */
static void read_spoken(struct script *script, struct slice head, struct slice text, unsigned line)
{
    struct step *step = add_step(script, head.ptr[0] == 'C' ? STEP_CLIENT : STEP_SERVER, line);
    bool raw = head.ptr[head.len - 1] == '\\';
    uint64_t repeat = 1;
    head = slice_from(raw ? slice_upto(head, head.len - 1) : head, 1);
    if (head.len > 0)
        fine(script, step, slice_number(slice_from(head, 1), 10000000, &repeat));
    step->repeat = (uint32_t)repeat;
    step->text = keep(script, text);
    if (step->kind == STEP_SERVER) {
        take_prefix_mark(step);
        return;
    }
    if (raw) {
        step->text = unescape(script, text);
        return;
    }
    struct buf whole = BUF(MOST_OCTETS);
    fine(script, step, buf_put(&whole, text));
    fine(script, step, buf_put(&whole, S("\r\n")));
    step->text = keep(script, buf_slice(&whole));
    buf_done(&whole);
}

static const struct {
    struct slice word;
    enum step_kind kind;
} words[] = {
    { S("?"), STEP_ASK }, { S("!"), STEP_ANSWER }, { S("="), STEP_DIRECTIVE }, { S("BODY:"), STEP_BODY_TEXT },
    { S("BODY"), STEP_BODY_SIZE }, { S("HAS"), STEP_HAS }, { S("TLS"), STEP_TLS }, { S("CLOSE"), STEP_CLOSE },
    { S("HANGUP"), STEP_HANGUP }, { S("STOP"), STEP_STOP }, { S("WAIT"), STEP_WAIT },
};

static void read_line(struct script *script, struct slice text, unsigned line)
{
    if (text.len == 0 || text.ptr[0] == '#')
        return;
    size_t colon = slice_find(text, ':');
    if ((text.ptr[0] == 'C' && text.ptr[1] != 'L') || text.ptr[0] == 'S') {
        if (!(text.ptr[0] == 'S' && text.len == 4 && slice_equal(text, S("STOP")))) {
            struct slice spoken = slice_from(text, colon + 1);
            if (spoken.len > 0 && spoken.ptr[0] == ' ')
                spoken = slice_from(spoken, 1);
            read_spoken(script, slice_upto(text, colon), spoken, line);
            return;
        }
    }
    size_t space = slice_find(text, ' ');
    struct slice word = slice_upto(text, space);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (slice_equal(word, words[i].word)) {
            struct step *step = add_step(script, words[i].kind, line);
            struct slice rest = slice_from(text, space + 1);
            step->text = words[i].kind == STEP_BODY_TEXT ? unescape(script, rest) : keep(script, rest);
            if (words[i].kind == STEP_ASK)
                take_prefix_mark(step);
            return;
        }
    }
    script_fail(script, &(struct step){ .line = line }, "what is \"%.*s\"?", (int)text.len, text.ptr);
}

void script_read(struct script *script, const char *path)
{
    *script = (struct script){ .name = path, .arena = ARENA(4u * MOST_OCTETS) };
    FILE *file = fopen(path, "rb");
    char text[65536];
    if (!file)
        script_fail(script, NULL, "cannot be opened");
    for (unsigned line = 1; fgets(text, sizeof text, file); line++) {
        struct slice s = slice_of(text);
        if (s.len > 0 && s.ptr[s.len - 1] == '\n')
            s.len--;
        read_line(script, s, line);
    }
    fclose(file);
    if (script->count == 0)
        script_fail(script, NULL, "is empty");
}

void script_done(struct script *script) { arena_done(&script->arena); }

/* ---- answers ---------------------------------------------------------------------------------------------------------- */

struct reader {
    const struct script *script;
    const struct step *step;
    struct arena *arena;
    struct slice rest;
};

static void skip_spaces(struct reader *r)
{
    while (r->rest.len > 0 && r->rest.ptr[0] == ' ')
        r->rest = slice_from(r->rest, 1);
}

static bool take_char(struct reader *r, char octet)
{
    bool there = r->rest.len > 0 && r->rest.ptr[0] == octet;
    if (there)
        r->rest = slice_from(r->rest, 1);
    return there;
}

/* A word, or "quoted text" with escapes, or pack:"text". */
static struct slice read_text(struct reader *r)
{
    struct buf text = BUF(MOST_OCTETS), packed = BUF(MOST_OCTETS);
    bool packs = slice_starts(r->rest, S("pack:"));
    if (packs)
        r->rest = slice_from(r->rest, 5);
    bool quoted = take_char(r, '"');
    while (r->rest.len > 0 && r->rest.ptr[0] != (quoted ? '"' : ' '))
        fine(r->script, r->step, buf_put_byte(&text, unescape_one(&r->rest)));
    if (quoted && !take_char(r, '"'))
        script_fail(r->script, r->step, "the quote has no end");
    if (packs)
        fine(r->script, r->step, pack(&packed, buf_slice(&text)));
    struct slice copy = NO_SLICE;
    fine(r->script, r->step, arena_copy(r->arena, buf_slice(packs ? &packed : &text), &copy));
    buf_done(&text);
    buf_done(&packed);
    return copy;
}

static void read_fields(struct reader *r, const struct field *fields, void *message, bool in_row);

static struct rows read_rows(struct reader *r, const struct field *f)
{
    char *rows = arena_take_rows(r->arena, 256, f->row_size);
    uint32_t count = 0;
    while (take_char(r, '[')) {
        if (count == 256)
            script_fail(r->script, r->step, "too many rows");
        read_fields(r, f->rows, rows + (size_t)count++ * f->row_size, true);
    }
    return (struct rows){ rows, count };
}

static void read_value(struct reader *r, const struct field *f, char *at)
{
    if (f->kind == FIELD_TEXT || f->kind == FIELD_BYTES || f->kind == FIELD_SECRET) {
        *(struct slice *)(void *)at = read_text(r);
        return;
    }
    if (f->kind == FIELD_ROWS) {
        *(struct rows *)(void *)at = read_rows(r, f);
        return;
    }
    struct slice word = read_text(r);
    uint64_t number = 0;
    if (f->kind == FIELD_IP) {
        fine(r->script, r->step, ip_parse(word, (struct ip *)(void *)at));
        return;
    }
    fine(r->script, r->step, slice_number(word, f->kind == FIELD_U8 ? 255 : f->kind == FIELD_U32 ? UINT32_MAX : UINT64_MAX, &number));
    memcpy(at, &number, f->kind == FIELD_U8 ? 1 : f->kind == FIELD_U32 ? 4 : 8);
}

static void read_fields(struct reader *r, const struct field *fields, void *message, bool in_row)
{
    for (skip_spaces(r); r->rest.len > 0; skip_spaces(r)) {
        if (in_row && take_char(r, ']'))
            return;
        size_t equals = slice_find(r->rest, '=');
        struct slice name = slice_upto(r->rest, equals);
        const struct field *f = fields;
        while (f && f->kind != FIELD_END && !slice_equal(name, slice_of(f->name)))
            f++;
        if (!f || f->kind == FIELD_END)
            script_fail(r->script, r->step, "the answer has no field %.*s", (int)name.len, name.ptr);
        r->rest = slice_from(r->rest, equals + 1);
        read_value(r, f, (char *)message + f->at);
    }
    if (in_row)
        script_fail(r->script, r->step, "the row has no end");
}

void script_answer(struct script *script, const struct step *step, enum ask_kind kind, struct arena *arena,
    struct answer *out_answer)
{
    struct reader r = { script, step, arena, step->text };
    struct slice word = NO_SLICE;
    *out_answer = (struct answer){ .kind = kind, .status = STATUS_COUNT, .fd = -1 };
    if (!slice_word(&r.rest, &word))
        script_fail(script, step, "an answer begins with a status");
    for (int status = STATUS_OK; status < STATUS_COUNT; status++)
        if (slice_equal(word, slice_of(status_name((enum status)status))))
            out_answer->status = (enum status)status;
    if (out_answer->status == STATUS_COUNT)
        script_fail(script, step, "no such status");
    read_fields(&r, ask_defs[kind].answer, &out_answer->login, false);
}

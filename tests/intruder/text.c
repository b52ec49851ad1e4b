/* An ask as text: the tables of ask.c say where each field goes. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "tests/intruder/puppet.h"

#define MOST_ROWS 8u

static struct slice unescape(char *value)
{
    char *to = value;
    for (const char *from = value; *from; to++) {
        char hex[3] = { 0 };
        if (*from == '%' && from[1] && from[2]) {
            memcpy(hex, from + 1, 2);
            *to = (char)strtoul(hex, NULL, 16);
            from += 3;
        } else {
            *to = *from++;
        }
    }
    return (struct slice){ value, (size_t)(to - value) };
}

static const struct field *find(const struct field *fields, const char *name, size_t len)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++)
        if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
            return f;
    return NULL;
}

static enum status set(const struct field *f, void *message, char *value)
{
    char *at = (char *)message + f->at;
    uint64_t number = strtoull(value, NULL, 0);
    struct slice text;
    switch (f->kind) {
    case FIELD_U8:
        *(uint8_t *)at = (uint8_t)number;
        return STATUS_OK;
    case FIELD_U32:
        memcpy(at, &(uint32_t){ (uint32_t)number }, sizeof(uint32_t));
        return STATUS_OK;
    case FIELD_U64:
        memcpy(at, &number, sizeof number);
        return STATUS_OK;
    case FIELD_IP:
        return ip_parse(slice_of(value), (struct ip *)(void *)at);
    case FIELD_TEXT:
    case FIELD_BYTES:
    case FIELD_SECRET:
        text = unescape(value);
        memcpy(at, &text, sizeof text);
        return STATUS_OK;
    default:
        return STATUS_MALFORMED;
    }
}

static enum status next_row(const struct field *f, void *message, struct arena *arena)
{
    struct rows *rows = (struct rows *)(void *)((char *)message + f->at);
    if (rows->count == 0)
        rows->at = arena_take(arena, (size_t)MOST_ROWS * f->row_size);
    if (!rows->at || rows->count == MOST_ROWS)
        return STATUS_TOO_BIG;
    memset((char *)(uintptr_t)rows->at + (size_t)rows->count * f->row_size, 0, f->row_size);
    rows->count++;
    return STATUS_OK;
}

static enum status set_word(const struct field *fields, void *message, char *word, struct arena *arena)
{
    char *value = strchr(word, '='), *dot = strchr(word, '.');
    size_t len = strcspn(word, "=.+");
    const struct field *f = find(fields, word, len);
    if (f && f->kind == FIELD_ROWS && word[len] == '+')
        return next_row(f, message, arena);
    if (!f || !value)
        return STATUS_MALFORMED;
    *value++ = '\0';
    if (f->kind != FIELD_ROWS)
        return set(f, message, value);
    struct rows *rows = (struct rows *)(void *)((char *)message + f->at);
    if (rows->count == 0)
        TRY(next_row(f, message, arena));
    const struct field *inside = dot ? find(f->rows, dot + 1, strlen(dot + 1)) : NULL;
    return inside ? set(inside, (char *)(uintptr_t)rows->at + (size_t)(rows->count - 1) * f->row_size, value) : STATUS_MALFORMED;
}

enum status ask_of_text(char *text, struct arena *arena, struct ask *out_ask)
{
    char *rest, *word = strtok_r(text, " ", &rest);
    struct ask ask = { .fd = -1 };
    for (enum ask_kind kind = ASK_NONE + 1; word && kind < ASK_KINDS; kind++)
        if (strcmp(ask_defs[kind].name, word) == 0)
            ask.kind = kind;
    if (ask.kind == ASK_NONE)
        return STATUS_NOT_FOUND;
    while ((word = strtok_r(NULL, " ", &rest)))
        TRY(set_word(ask_defs[ask.kind].ask, &ask.login, word, arena));
    *out_ask = ask;
    return STATUS_OK;
}

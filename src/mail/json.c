#include "mail/json.h"

/* The library's own bound is as deep as a thread's stack. */
static bool is_shallow(struct slice text)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char octet = text.ptr[i];
        if (quoted) {
            i += octet == '\\';
            quoted = octet != '"';
        } else if (octet == '"') {
            quoted = true;
        } else if (octet == '{' || octet == '[') {
            if (++depth > JSON_DEPTH)
                return false;
        } else if ((octet == '}' || octet == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

json_t *json_read(struct slice text)
{
    json_t *value = is_shallow(text) ? json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json_is_object(value))
        return value;
    json_decref(value);
    return NULL;
}

static struct slice text_of(const json_t *value)
{
    return json_is_string(value) ? (struct slice){ json_string_value(value), json_string_length(value) } : NO_SLICE;
}

struct slice json_text(const json_t *object, const char *name)
{
    return text_of(json_object_get(object, name));
}

bool json_names(const json_t *value, struct slice wanted)
{
    size_t at;
    const json_t *one;
    if (json_is_string(value))
        return slice_equal(text_of(value), wanted);
    json_array_foreach(value, at, one)
    {
        if (json_is_string(one) && slice_equal(text_of(one), wanted))
            return true;
    }
    return false;
}

void json_start(uint64_t random)
{
    json_object_seed((size_t)(random | 1)); /* 0 would read it from a file */
}

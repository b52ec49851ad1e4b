#include "base/secret.h"

#include <string.h>

#include "base/must.h"

enum status secret_set(struct secret *out, struct slice from)
{
    if (from.len > LIMIT_SECRET) /* C088 */
        return STATUS_TOO_BIG;
    wipe(out->bytes, sizeof out->bytes);
    if (from.len > 0)
        memcpy(out->bytes, from.ptr, from.len);
    out->len = (uint16_t)from.len;
    return STATUS_OK;
}

struct slice secret_slice(const struct secret *s)
{
    must(s->len <= LIMIT_SECRET);
    return (struct slice){ s->bytes, s->len };
}

void secret_wipe(struct secret *s) { wipe(s, sizeof *s); }

void wipe(void *memory, size_t size)
{
    if (size > 0)
        explicit_bzero(memory, size);
}

#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

#include "base/must.h"
#include "base/sip.h"

void random_fill(void *out, size_t size)
{
    char *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        must(got > 0);
        at += got;
        size -= (size_t)got;
    }
}

uint64_t random_u64(void)
{
    uint64_t number;
    random_fill(&number, sizeof number);
    return number;
}

uint64_t random_next(struct random_stream *stream)
{
    uint64_t number = stream->drawn++;
    return sip_hash((struct slice){ (const char *)&number, sizeof number }, (const uint64_t[2]){ stream->low, stream->high });
}

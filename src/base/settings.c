#include "base/settings.h"

#include "base/alloc.h"
#include "base/must.h"

struct settings *settings_hold(struct settings *settings)
{
    must(settings->holders > 0);
    settings->holders++;
    return settings;
}

void settings_release(struct settings *settings)
{
    must(settings->holders > 0);
    if (--settings->holders > 0)
        return;
    arena_done(&settings->arena);
    release(settings);
}

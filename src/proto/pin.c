#include "proto/pin.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"

struct pin_key {
    uint32_t account, device;
};

struct pin {
    size_t len;
    char name[];
};

static struct slice name_of(const struct pin *pin) { return (struct slice){ pin->name, pin->len }; }

bool pin_fits(const struct pins *pins, uint32_t account, uint32_t device, struct slice helo)
{
    struct pin_key key = { account, device };
    const struct pin *pin = map_find(&pins->rows, map_key(key));
    return !pin || slice_equal_nocase(name_of(pin), helo);
}

void pin_note(struct pins *pins, uint32_t account, uint32_t device, struct slice helo)
{
    struct pin_key key = { account, device };
    if (helo.len > LIMIT_DOMAIN || pins->rows.count >= LIMIT_PINS || map_find(&pins->rows, map_key(key)))
        return;
    struct pin *pin = alloc(sizeof *pin + helo.len);
    pin->len = helo.len;
    if (helo.len > 0)
        memcpy(pin->name, helo.ptr, helo.len);
    map_put(&pins->rows, map_key(key), pin);
}

void pin_forget(struct pins *pins, uint32_t account, uint32_t device)
{
    struct slice name;
    void *value;
    for (size_t at = 0; map_each(&pins->rows, &at, &name, &value);) {
        struct pin_key key;
        memcpy(&key, name.ptr, sizeof key);
        if ((account && key.account != account) || (device && key.device != device))
            continue;
        map_take(&pins->rows, map_key(key));
        release(value);
    }
}

void pin_done(struct pins *pins)
{
    pin_forget(pins, 0, 0);
    map_done(&pins->rows);
}

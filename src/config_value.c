#include "config_value.h"

#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "mail/address.h"

#define QUOTED_MOST   60u   /* octets of a typed value that an error repeats */
#define TEXT_MOST     1024u /* octets of a path or name: PATH_MAX is 4096, nobody types that */
#define SMARTHOST_MIN 1u
#define PORT_MOST     65535u

void config_say(struct buf *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum status put = buf_vprint(why, format, args);
    (void)put; /* an explanation that is too long is cut: the status already says that it failed */
    va_end(args);
}

/* Whole characters; what is none, and controls, become '?'. */
void config_quote(struct buf *why, struct slice text)
{
    struct slice rest = text;
    config_say(why, "'");
    while (rest.len > 0 && text.len - rest.len < QUOTED_MOST) {
        size_t len = slice_utf8_prefix(rest);
        bool shows = len > 1 || (len == 1 && !slice_has_control(slice_upto(rest, 1)));
        config_say(why, "%.*s", shows ? (int)len : 1, shows ? rest.ptr : "?");
        rest = slice_from(rest, len > 0 ? len : 1);
    }
    config_say(why, rest.len > 0 ? "...'" : "'");
}

static enum status refuse(struct buf *why, struct slice text, const char *right)
{
    config_quote(why, text);
    config_say(why, " %s", right);
    return STATUS_MALFORMED;
}

/* ---- numbers with units ---- */

struct unit {
    const char *name;
    uint64_t worth;
};
static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };
static const struct unit times[] = { { "ms", 1 }, { "s", SECONDS(1) }, { "min", MINUTES(1) }, { "h", MINUTES(60) },
    { "d", DAYS(1) }, { NULL, 0 } };
static const struct unit sizes[] = { { "", 1 }, { "KB", 1ull << 10 }, { "MB", 1ull << 20 }, { "GB", 1ull << 30 },
    { "TB", 1ull << 40 }, { NULL, 0 } };

static const struct unit *units_of(enum config_kind kind)
{
    return kind == KIND_TIME ? times : kind == KIND_SIZE ? sizes : no_units;
}

static enum status amount_parse(struct slice text, const struct unit *units, uint64_t *out_amount)
{
    size_t digits = 0;
    uint64_t number;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    struct slice name = slice_trim(slice_from(text, digits));
    TRY(slice_number(slice_upto(text, digits), UINT64_MAX, &number));
    if (number == 0 && name.len == 0) {
        *out_amount = 0; /* nothing is nothing in every unit */
        return STATUS_OK;
    }
    for (; units->name; units++) {
        if (!slice_equal_nocase(name, slice_of(units->name)))
            continue;
        if (number > UINT64_MAX / units->worth)
            return STATUS_TOO_BIG;
        *out_amount = number * units->worth;
        return STATUS_OK;
    }
    return STATUS_MALFORMED;
}

/* The largest unit of which it is a whole number, 60min and not 1h: as people write it, and as the presets stand in the
 * table. */
static enum status amount_print(struct buf *out, const struct unit *units, uint64_t amount)
{
    const struct unit *best = units;
    for (; units->name; units++)
        if (amount % units->worth == 0 && (amount / units->worth >= 2 || units->worth <= SECONDS(1)))
            best = units;
    return buf_print(out, "%llu%s", (unsigned long long)(amount / best->worth), best->name);
}

static void range_of(const struct config_setting *setting, uint64_t *out_least, uint64_t *out_most)
{
    struct slice most = slice_of(setting->row.range), least;
    bool cut = slice_cut(&most, '-', &least);
    must(cut);
    enum status low = amount_parse(least, units_of(setting->kind), out_least);
    enum status high = amount_parse(most, units_of(setting->kind), out_most);
    must(low == STATUS_OK && high == STATUS_OK && *out_least <= *out_most);
}

static const char *amount_form(enum config_kind kind)
{
    switch (kind) {
    case KIND_TIME:
        return "is no time: write a number and ms, s, min, h or d, as in 10min";
    case KIND_SIZE:
        return "is no size: write a number and KB, MB, GB or nothing, as in 50MB";
    default:
        return "is no number: write digits only";
    }
}

static enum status amount_put(void *at, const struct config_setting *setting, struct slice text, struct buf *why)
{
    uint64_t amount, least = 0, most = 0;
    enum status status = amount_parse(text, units_of(setting->kind), &amount);
    if (status == STATUS_MALFORMED)
        return refuse(why, text, amount_form(setting->kind));
    range_of(setting, &least, &most);
    if (status != STATUS_OK || amount < least || amount > most) {
        config_quote(why, text);
        config_say(why, " is out of range: it may be %s", setting->row.range);
        return STATUS_MALFORMED;
    }
    if (setting->kind == KIND_NUMBER)
        *(uint32_t *)at = (uint32_t)amount;
    else
        *(uint64_t *)at = amount;
    return STATUS_OK;
}

/* ---- words ---- */

static enum status word_put(
    uint32_t *out_value, const struct config_setting *setting, struct slice text, struct buf *why)
{
    struct slice words = slice_of(setting->row.range), word;
    for (uint32_t at = 0; slice_cut(&words, '|', &word); at++) {
        if (!slice_equal_nocase(text, word))
            continue;
        *out_value = setting->first + at;
        return STATUS_OK;
    }
    config_quote(why, text);
    config_say(why, " is not possible here: write one of %s", setting->row.range);
    return STATUS_MALFORMED;
}

static enum status word_print(struct buf *out, const struct config_setting *setting, uint32_t value)
{
    struct slice words = slice_of(setting->row.range), word = NO_SLICE;
    for (uint32_t at = 0; slice_cut(&words, '|', &word); at++)
        if (setting->first + at == value)
            return buf_put(out, word);
    must_failed("a value outside its words", __FILE__, __LINE__);
}

/* A list of them; each is a bit. */
static enum status words_put(uint32_t *out_set, const struct config_setting *setting, struct slice text, struct buf *why)
{
    struct slice item;
    uint32_t set = 0, word;
    while (slice_cut(&text, ',', &item)) {
        TRY(word_put(&word, setting, slice_trim(item), why));
        set |= 1u << word;
    }
    *out_set = set;
    return STATUS_OK;
}

static enum status words_print(struct buf *out, const struct config_setting *setting, uint32_t set)
{
    struct slice words = slice_of(setting->row.range), word;
    bool first = true;
    for (uint32_t at = setting->first; slice_cut(&words, '|', &word); at++) {
        if (!(set & 1u << at))
            continue;
        TRY(buf_put(out, first ? NO_SLICE : S(", ")));
        TRY(buf_put(out, word));
        first = false;
    }
    return STATUS_OK;
}

/* ---- lists ---- */

/* address, address:port, [address]:port; the port may be needed, allowed or forbidden. */
static bool is_server(struct slice text, bool port_allowed)
{
    struct ip ip;
    uint64_t port;
    if (ip_parse(text, &ip) == STATUS_OK)
        return true;
    size_t colon = slice_find_last(text, ':');
    if (!port_allowed || colon == text.len)
        return false;
    struct slice host = slice_upto(text, colon);
    bool bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (bracketed)
        host = slice_upto(slice_from(host, 1), host.len - 2);
    else if (slice_find(host, ':') < host.len)
        return false; /* 2001:db8::1:53 could be read in two ways */
    return slice_number(slice_from(text, colon + 1), PORT_MOST, &port) == STATUS_OK && port >= 1 &&
           ip_parse(host, &ip) == STATUS_OK;
}

static enum status item_check(enum config_kind kind, struct slice item, struct buf *why)
{
    if (item.len == 0) {
        config_say(why, "has an empty place in its list: write items divided by single commas");
        return STATUS_MALFORMED;
    }
    if (kind == KIND_ADDRESSES && !is_server(item, false))
        return refuse(why, item, "is no address: write one as in 192.0.2.1 or 2001:db8::1");
    if (kind == KIND_SERVERS && !is_server(item, true))
        return refuse(
            why, item, "is no server: write an address, or address:port, as in 192.0.2.53:53 or [2001:db8::1]:53");
    if (kind == KIND_PATHS && item.len > TEXT_MOST)
        return refuse(why, item, "is too long: at most 1024 octets");
    return STATUS_OK;
}

static size_t list_count(struct slice text)
{
    size_t count = 0;
    struct slice item;
    while (slice_cut(&text, ',', &item))
        count++;
    return count;
}

static enum status list_put(
    struct settings *settings, const struct config_setting *setting, struct slice text, struct buf *why)
{
    struct slices *out = (struct slices *)(void *)((char *)settings + setting->at);
    size_t count = list_count(text);
    struct slice *rows = count > 0 ? arena_take_rows(&settings->arena, count, sizeof *rows) : NULL, item;
    if (count > 0 && !rows)
        return STATUS_TOO_BIG;
    for (size_t at = 0; at < count && slice_cut(&text, ',', &item); at++) {
        TRY(item_check(setting->kind, slice_trim(item), why));
        TRY(arena_copy(&settings->arena, slice_trim(item), &rows[at]));
    }
    *out = (struct slices){ rows, count };
    return STATUS_OK;
}

/* A single address without its prefix. */
static enum status network_show(struct buf *out, struct network network)
{
    return network.bits == 128 ? ip_print(out, network.base) : network_print(out, network);
}

static enum status networks_put(
    struct settings *settings, const struct config_setting *setting, struct slice text, struct buf *why)
{
    struct networks *out = (struct networks *)(void *)((char *)settings + setting->at);
    size_t count = list_count(text);
    struct network *rows = count > 0 ? arena_take_rows(&settings->arena, count, sizeof *rows) : NULL;
    struct slice item;
    if (count > 0 && !rows)
        return STATUS_TOO_BIG;
    for (size_t at = 0; at < count && slice_cut(&text, ',', &item); at++) {
        item = slice_trim(item);
        TRY(item_check(setting->kind, item, why));
        if (network_parse(item, &rows[at]) != STATUS_OK)
            return refuse(why, item,
                "is no network: write one as in 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7, without bits behind the "
                "prefix");
    }
    *out = (struct networks){ rows, count };
    return STATUS_OK;
}

/* "Tokyo=192.0.2.0/24", or a network alone, which then is its own name. */
static enum status office_put(struct settings *settings, struct slice item, struct network *row, struct slice *name, struct buf *why)
{
    size_t equals = slice_find(item, '=');
    bool named = equals < item.len;
    struct slice stated = slice_trim(slice_upto(item, equals)), text = named ? slice_trim(slice_from(item, equals + 1)) : item;
    struct buf network = BUF(IP_TEXT + 4);
    if (named && (stated.len == 0 || stated.len > LIMIT_OFFICE_NAME))
        return refuse(why, stated, "is no name of an office: at most 60 octets");
    if (network_parse(text, row) != STATUS_OK)
        return refuse(why, text, "is no network: write one as in 192.0.2.0/24, or Tokyo=192.0.2.0/24, without bits behind the prefix");
    enum status status = network_show(&network, *row);
    if (status == STATUS_OK)
        status = arena_copy(&settings->arena, named ? stated : buf_slice(&network), name);
    buf_done(&network);
    return status;
}

static enum status offices_put(struct settings *settings, struct slice text, struct buf *why)
{
    size_t count = list_count(text);
    struct network *rows = count > 0 ? arena_take_rows(&settings->arena, count, sizeof *rows) : NULL;
    struct slice *names = count > 0 ? arena_take_rows(&settings->arena, count, sizeof *names) : NULL, item;
    if (count > 0 && (!rows || !names))
        return STATUS_TOO_BIG;
    for (size_t at = 0; at < count && slice_cut(&text, ',', &item); at++) {
        TRY(item_check(KIND_OFFICES, slice_trim(item), why));
        TRY(office_put(settings, slice_trim(item), &rows[at], &names[at], why));
    }
    settings->lease_office_networks = (struct networks){ rows, count };
    settings->lease_office_names = (struct slices){ names, count };
    return STATUS_OK;
}

static enum status offices_print(struct buf *out, const struct settings *settings)
{
    const struct networks *list = &settings->lease_office_networks;
    enum status status = STATUS_OK;
    for (size_t at = 0; status == STATUS_OK && at < list->count; at++) {
        struct buf network = BUF(IP_TEXT + 4);
        struct slice name = settings->lease_office_names.rows[at];
        status = network_show(&network, list->rows[at]);
        if (status == STATUS_OK && at > 0)
            status = buf_put(out, S(", "));
        if (status == STATUS_OK && !slice_equal(name, buf_slice(&network)))
            status = buf_print(out, "%.*s=", (int)name.len, name.ptr);
        if (status == STATUS_OK)
            status = buf_put(out, buf_slice(&network));
        buf_done(&network);
    }
    return status;
}

static enum status list_print(struct buf *out, const struct slices *list)
{
    for (size_t at = 0; at < list->count; at++) {
        TRY(buf_put(out, at > 0 ? S(", ") : S("")));
        TRY(buf_put(out, list->rows[at]));
    }
    return STATUS_OK;
}

static enum status networks_print(struct buf *out, const struct networks *list)
{
    for (size_t at = 0; at < list->count; at++) {
        TRY(buf_put(out, at > 0 ? S(", ") : S("")));
        TRY(network_show(out, list->rows[at]));
    }
    return STATUS_OK;
}

/* ---- names ---- */

static enum status host_put(struct settings *settings, struct slice *out, struct slice text, struct buf *why)
{
    enum status status = domain_parse(text, true, &settings->arena, out);
    return status == STATUS_OK ? status : refuse(why, text, "is no host name: write one as in mail.example.net");
}

static enum status text_put(struct settings *settings, struct slice *out, struct slice text, struct buf *why)
{
    if (text.len > TEXT_MOST)
        return refuse(why, text, "is too long: at most 1024 octets");
    return arena_copy(&settings->arena, text, out);
}

/* host:port, address:port, [address]:port, or nothing for none. */
static enum status smarthost_put(struct settings *settings, struct slice text, struct buf *why)
{
    const char *right = "is no smarthost: write host:port, as in relay.example.net:587, or nothing";
    size_t colon = slice_find_last(text, ':');
    struct slice host = slice_upto(text, colon), name;
    uint64_t port = 0;
    struct ip ip;
    if (text.len == 0) {
        settings->smarthost_host = NO_SLICE;
        settings->smarthost_port = 0;
        return STATUS_OK;
    }
    if (slice_number(slice_from(text, colon + 1), PORT_MOST, &port) != STATUS_OK || port < SMARTHOST_MIN)
        return refuse(why, text, right);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_upto(slice_from(host, 1), host.len - 2);
    else if (slice_find(host, ':') < host.len)
        return refuse(why, text, right);
    if (ip_parse(host, &ip) == STATUS_OK)
        TRY(arena_copy(&settings->arena, host, &name));
    else if (domain_parse(host, true, &settings->arena, &name) != STATUS_OK)
        return refuse(why, text, right);
    settings->smarthost_host = name;
    settings->smarthost_port = (uint32_t)port;
    return STATUS_OK;
}

static enum status smarthost_print(struct buf *out, const struct settings *settings)
{
    struct slice host = settings->smarthost_host;
    if (host.len == 0)
        return STATUS_OK;
    bool v6 = slice_find(host, ':') < host.len;
    return buf_print(out, v6 ? "[%.*s]:%u" : "%.*s:%u", (int)host.len, host.ptr, settings->smarthost_port);
}

/* ---- all kinds ---- */

enum status config_value_put(
    struct settings *settings, const struct config_setting *setting, struct slice text, struct buf *why)
{
    void *at = (char *)settings + setting->at;
    uint32_t word = 0;
    switch (setting->kind) {
    case KIND_TEXT:
        return text_put(settings, at, text, why);
    case KIND_HOST:
        return host_put(settings, at, text, why);
    case KIND_NUMBER:
    case KIND_TIME:
    case KIND_SIZE:
        return amount_put(at, setting, text, why);
    case KIND_YESNO:
        TRY(word_put(&word, setting, text, why));
        *(bool *)at = word == 0; /* "yes|no" */
        return STATUS_OK;
    case KIND_WORD:
        return word_put(at, setting, text, why);
    case KIND_WORDS:
        return words_put(at, setting, text, why);
    case KIND_PATHS:
    case KIND_ADDRESSES:
    case KIND_SERVERS:
        return list_put(settings, setting, text, why);
    case KIND_NETWORKS:
        return networks_put(settings, setting, text, why);
    case KIND_OFFICES:
        return offices_put(settings, text, why);
    case KIND_SMARTHOST:
        return smarthost_put(settings, text, why);
    }
    must_failed("a kind without a reader", __FILE__, __LINE__);
}

enum status config_value_print(const struct settings *settings, const struct config_setting *setting, struct buf *out)
{
    const void *at = (const char *)settings + setting->at;
    switch (setting->kind) {
    case KIND_TEXT:
    case KIND_HOST:
        return buf_put(out, *(const struct slice *)at);
    case KIND_NUMBER:
        return buf_put_number(out, *(const uint32_t *)at);
    case KIND_TIME:
    case KIND_SIZE:
        return amount_print(out, units_of(setting->kind), *(const uint64_t *)at);
    case KIND_YESNO:
        return buf_put(out, *(const bool *)at ? S("yes") : S("no"));
    case KIND_WORD:
        return word_print(out, setting, *(const uint32_t *)at);
    case KIND_WORDS:
        return words_print(out, setting, *(const uint32_t *)at);
    case KIND_PATHS:
    case KIND_ADDRESSES:
    case KIND_SERVERS:
        return list_print(out, at);
    case KIND_NETWORKS:
        return networks_print(out, at);
    case KIND_OFFICES:
        return offices_print(out, settings);
    case KIND_SMARTHOST:
        return smarthost_print(out, settings);
    }
    must_failed("a kind without a printer", __FILE__, __LINE__);
}

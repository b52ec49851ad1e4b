/* fuzz_config.c - ekirei.conf: any text either gives settings in their ranges, or an error that names line and reason.  What must hold is must():
 * settings written out as `config show` does are read as the same settings. */
#include "fuzz.h"

#include "config.h"

#define NAME "fuzz.conf"

static void put_all(const struct settings *settings, struct buf *out)
{
    for (size_t at = 0; config_each(at); at++) {
        is_fine(buf_print(out, "%s = ", config_each(at)->name));
        is_fine(config_print(settings, at, out));
        is_fine(buf_put_byte(out, '\n'));
    }
}

/* "fuzz.conf:12: what, and what to do", in one line of text. */
static void check_why(struct slice why, struct slice text)
{
    uint64_t line, lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    must(slice_starts(why, S(NAME ":")) && slice_is_utf8(why) && !slice_has_control(why));
    struct slice rest = slice_from(why, sizeof NAME);
    size_t colon = slice_find(rest, ':');
    is_fine(slice_number(slice_upto(rest, colon), lines, &line));
    must(colon + 3 < rest.len && rest.ptr[colon + 1] == ' ');
}

static void check_ranges(const struct settings *s)
{
    must(s->hostname.len > 0 && s->hostname.len <= LIMIT_DOMAIN && s->listen_address.count > 0);
    must(s->tls_certificate.count == s->tls_key.count && (s->tls_min_version == 0x0303 || s->tls_min_version == 0x0304));
    must(s->lease_window >= SECONDS(1) && s->lease_window <= s->lease_cap && s->lease_cap <= DAYS(1));
    must(s->queue_first_retry <= s->queue_max_retry && s->queue_lifetime <= DAYS(30) && s->queue_concurrency >= 1);
    must(s->message_size_limit >= 65536 && s->message_size_limit <= 1u << 30);
    must(s->message_recipients >= 1 && s->message_recipients <= LIMIT_RECIPIENTS);
    must(s->connections >= 10 && s->connections <= LIMIT_GATE_SESSIONS && s->port_offset + 995 <= 65535);
    must(s->smarthost_host.len == 0 || (s->smarthost_port >= 1 && s->smarthost_port <= 65535));
    must(s->auth_hash_cost >= 1 && s->auth_hash_cost <= 10 && s->smarthost_tls <= TLS_WISH_MUST && s->lease_accounts <= LEASE_NONE);
    must(s->lease_office_names.count == s->lease_office_networks.count);
    for (size_t i = 0; i < s->relay_networks.count; i++)
        must(s->relay_networks.rows[i].bits <= 128);
}

static void try_file(struct slice text)
{
    struct settings *first, *second;
    struct buf why = BUF(LIMIT_LOG_LINE), shown = BUF(4u << 20), again = BUF(4u << 20);
    if (config_parse(text, NAME, &first, &why) == STATUS_OK) {
        must(why.len == 0);
        check_ranges(first);
        put_all(first, &shown);
        is_fine(config_parse(buf_slice(&shown), NAME, &second, &why));
        put_all(second, &again);
        must(slice_equal(buf_slice(&shown), buf_slice(&again)));
        for (size_t at = 0; config_risk(first, at); at++)
            must(config_risk(first, at)[0] != '\0');
        settings_release(first);
        settings_release(second);
    } else {
        check_why(buf_slice(&why), text);
    }
    buf_done(&why);
    buf_done(&shown);
    buf_done(&again);
}

/* One setting, chosen by an octet: most of the input then is about its value.  A refused value changes nothing. */
static void try_value(uint8_t which, struct slice value)
{
    size_t rows = 0;
    while (config_each(rows))
        rows++;
    size_t row = which % rows;
    struct settings *settings = config_default();
    struct buf why = BUF(LIMIT_LOG_LINE), before = BUF(1u << 20), after = BUF(1u << 20), again = BUF(1u << 20);
    is_fine(config_print(settings, row, &before));
    enum status status = config_set(settings, slice_of(config_each(row)->name), value, &why);
    is_fine(config_print(settings, row, &after));
    if (status == STATUS_OK) {
        is_fine(config_set(settings, slice_of(config_each(row)->name), buf_slice(&after), &why));
        is_fine(config_print(settings, row, &again));
        must(why.len == 0 && slice_equal(buf_slice(&after), buf_slice(&again)));
    } else {
        must(slice_starts(buf_slice(&why), slice_of(config_each(row)->name)) && slice_is_utf8(buf_slice(&why)));
        must(!slice_has_control(buf_slice(&why)) && slice_equal(buf_slice(&before), buf_slice(&after)));
    }
    settings_release(settings);
    buf_done(&why);
    buf_done(&before);
    buf_done(&after);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice rest = { (const char *)data + 1, size - 1 };
    if (data[0] < 128)
        try_file(rest);
    else
        try_value(data[0] - 128, rest);
    return 0;
}

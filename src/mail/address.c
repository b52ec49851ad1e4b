#include "mail/address.h"

#include <idn2.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"

static bool is_digit(char octet) { return octet >= '0' && octet <= '9'; }

static bool is_let_dig(char octet)
{
    return is_digit(octet) || (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z');
}

/* atext of RFC 5322 3.2.3, and of RFC 6532 where `utf8` permits. */
static bool is_atext(char octet, bool utf8)
{
    if ((unsigned char)octet >= 0x80)
        return utf8;
    return is_let_dig(octet) || (octet != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", octet) != NULL);
}

/* "0x7f" or "127" at the end makes resolvers read a name as a number (C032). */
static bool is_number(struct slice label)
{
    bool hex = slice_starts_nocase(label, S("0x"));
    for (size_t i = hex ? 2 : 0; i < label.len; i++) {
        char octet = (char)(label.ptr[i] | 0x20);
        if (!is_digit(label.ptr[i]) && !(hex && octet >= 'a' && octet <= 'f'))
            return false;
    }
    return true;
}

/* Domain of RFC 5321 4.1.2: letters, digits, hyphens, and dots between the labels. */
static bool is_host_name(struct slice name)
{
    struct slice label = NO_SLICE, rest = name;
    if (name.len == 0 || name.len > LIMIT_DOMAIN || name.ptr[name.len - 1] == '.')
        return false;
    while (slice_cut(&rest, '.', &label)) {
        if (label.len == 0 || label.len > LIMIT_LABEL || !is_let_dig(label.ptr[0]) ||
            !is_let_dig(label.ptr[label.len - 1]))
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!is_let_dig(label.ptr[i]) && label.ptr[i] != '-')
                return false;
    }
    return !is_number(label);
}

/* "[192.0.2.1]" and "[IPv6:2001:db8::1]", and no other form (RFC 5321 4.1.3, C032). */
static bool read_literal(struct slice text, struct ip *out_ip)
{
    if (text.len < 2 || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']')
        return false;
    struct slice inner = slice_from(slice_upto(text, text.len - 1), 1);
    bool v6 = slice_starts_nocase(inner, S("IPv6:"));
    if (v6)
        inner = slice_from(inner, 5);
    bool has_colon = slice_find(inner, ':') < inner.len;
    return has_colon == v6 && ip_parse(inner, out_ip) == STATUS_OK;
}

bool domain_is_helo(struct slice text)
{
    struct ip ip;
    return is_host_name(text) || read_literal(text, &ip);
}

static enum status copy_host_name(struct slice name, struct arena *a, struct slice *out_domain)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.') /* C031 */
        name = slice_upto(name, name.len - 1);
    if (name.len > LIMIT_DOMAIN)
        return STATUS_TOO_BIG;
    if (!is_host_name(name))
        return STATUS_MALFORMED;
    char *copy = arena_take(a, name.len + 1);
    if (!copy)
        return STATUS_TOO_BIG;
    for (size_t i = 0; i < name.len; i++)
        copy[i] = octet_lower(name.ptr[i]);
    *out_domain = (struct slice){ copy, name.len };
    return STATUS_OK;
}

enum status domain_parse(struct slice text, bool utf8, struct arena *a, struct slice *out_domain)
{
    char typed[LIMIT_PATH + 1];
    char *mapped = NULL;
    if (slice_is_ascii(text))
        return copy_host_name(text, a, out_domain);
    if (!utf8 || !slice_is_utf8(text) || slice_has_control(text))
        return STATUS_MALFORMED;
    if (text.len > LIMIT_PATH)
        return STATUS_TOO_BIG;
    memcpy(typed, text.ptr, text.len);
    typed[text.len] = '\0';
    /* The mapping of UTS 46 makes U+FF0E a dot and U+FF20 an at sign: what comes out is judged as if it was typed. */
    if (idn2_to_ascii_8z(typed, &mapped, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return STATUS_MALFORMED;
    enum status status = copy_host_name(slice_of(mapped), a, out_domain);
    idn2_free(mapped);
    return status;
}

static enum status read_domain(struct slice text, bool utf8, struct arena *a, struct address *address)
{
    if (text.len == 0 || text.ptr[0] != '[')
        return domain_parse(text, utf8, a, &address->domain);
    if (!read_literal(text, &address->ip))
        return STATUS_MALFORMED;
    char *copy = arena_take(a, IP_TEXT + sizeof "[IPv6:]");
    if (!copy)
        return STATUS_TOO_BIG;
    /* One spelling for one address, so that domains compare as octets. */
    size_t len = ip_is_v4(address->ip) ? 1 : 6;
    memcpy(copy, "[IPv6:", len);
    len += ip_text(address->ip, copy + len);
    copy[len++] = ']';
    address->is_literal = true;
    address->domain = (struct slice){ copy, len };
    return STATUS_OK;
}

/* Quoted-string of RFC 5321 4.1.2, its first quote just ahead.  The length is told even where `local` is too short. */
static bool read_quoted(struct slice *rest, bool utf8, char local[LIMIT_LOCAL_PART], size_t *out_len)
{
    size_t at = 1, len = 0;
    for (; at < rest->len && rest->ptr[at] != '"'; at++) {
        bool pair = rest->ptr[at] == '\\';
        if (pair && ++at == rest->len)
            return false;
        char octet = rest->ptr[at];
        bool high = (unsigned char)octet >= 0x80;
        if (high ? !utf8 || pair : octet < ' ' || octet == 0x7f)
            return false;
        if (len < LIMIT_LOCAL_PART)
            local[len] = octet;
        len++;
    }
    if (at >= rest->len)
        return false;
    *rest = slice_from(*rest, at + 1);
    *out_len = len;
    return true;
}

/* Octets of the Dot-string at the front of `text`, or 0. */
static size_t dot_string(struct slice text, bool utf8)
{
    size_t at = 0;
    bool in_atom = false;
    for (; at < text.len; at++) {
        if (is_atext(text.ptr[at], utf8))
            in_atom = true;
        else if (text.ptr[at] == '.' && in_atom)
            in_atom = false;
        else
            break;
    }
    return in_atom ? at : 0;
}

/* What comes in is read more kindly: dots anywhere, as old Japanese mobile addresses have them ("a..b@", "a.@").  They
 * are written quoted, which every receiver of such addresses takes. */
static size_t kind_dot_string(struct slice text, bool utf8)
{
    size_t at = 0;
    while (at < text.len && (is_atext(text.ptr[at], utf8) || (text.ptr[at] == '.' && at > 0)))
        at++;
    return at;
}

static enum status read_local_part(struct slice *rest, bool utf8, struct arena *a, struct slice *out_local)
{
    char unquoted[LIMIT_LOCAL_PART];
    struct slice local = { unquoted, 0 };
    if (slice_starts(*rest, S("\""))) {
        if (!read_quoted(rest, utf8, unquoted, &local.len))
            return STATUS_MALFORMED;
    } else {
        local = slice_upto(*rest, kind_dot_string(*rest, utf8));
        if (local.len == 0)
            return STATUS_MALFORMED;
        *rest = slice_from(*rest, local.len);
    }
    return local.len > LIMIT_LOCAL_PART ? STATUS_TOO_BIG : arena_copy(a, local, out_local);
}

/* Local part and '@'; the domain is what is left in *rest. */
static enum status read_front(struct slice *rest, bool utf8, struct arena *a, struct address *address)
{
    TRY(read_local_part(rest, utf8, a, &address->local));
    if (!slice_is_utf8(address->local)) /* C028 */
        return STATUS_MALFORMED;
    if (!slice_starts(*rest, S("@")))
        return STATUS_NOT_FOUND;
    *rest = slice_from(*rest, 1);
    return STATUS_OK;
}

/* "@one,@two:" is read and forgotten (RFC 5321 C, C030): false if it has not that form. */
static bool skip_route(struct slice *path)
{
    if (!slice_starts(*path, S("@")))
        return true;
    size_t colon = slice_find(*path, ':');
    struct slice route = slice_upto(*path, colon), host = NO_SLICE;
    if (colon == path->len || route.ptr[route.len - 1] == ',')
        return false;
    while (slice_cut(&route, ',', &host))
        if (!slice_starts(host, S("@")) || !is_host_name(slice_from(host, 1)))
            return false;
    *path = slice_from(*path, colon + 1);
    return true;
}

/* Octets up to the '>' that closes the path: one inside of a quoted string does not. */
static size_t path_end(struct slice path)
{
    bool quoted = false;
    for (size_t at = 0; at < path.len; at++) {
        if (path.ptr[at] == '\\' && quoted)
            at++;
        else if (path.ptr[at] == '"')
            quoted = !quoted;
        else if (path.ptr[at] == '>' && !quoted)
            return at;
    }
    return path.len;
}

enum status address_path(struct slice *rest, bool utf8, struct arena *a, struct address *out_address)
{
    struct address address = { 0 };
    struct slice path = slice_trim(*rest);
    if (!slice_starts(path, S("<")))
        return STATUS_MALFORMED;
    path = slice_from(path, 1);
    size_t len = path_end(path);
    if (len == path.len)
        return STATUS_MALFORMED;
    if (len + 2 > LIMIT_PATH)
        return STATUS_TOO_BIG;
    struct slice behind = slice_from(path, len + 1);
    path = slice_upto(path, len);
    address.is_null = path.len == 0;
    if (!address.is_null) {
        if (!skip_route(&path))
            return STATUS_MALFORMED;
        address.needs_utf8 = !slice_is_ascii(path);
        enum status status = read_front(&path, utf8, a, &address);
        if (status == STATUS_OK)
            status = read_domain(path, utf8, a, &address);
        else if (status == STATUS_NOT_FOUND) /* RFC 5321 4.1.1.3: "<postmaster>", in any case */
            status = path.len == 0 && slice_equal_nocase(address.local, S("postmaster")) ? STATUS_OK
                                                                                         : STATUS_MALFORMED;
        TRY(status);
    }
    *rest = (struct slice){ behind.ptr, (size_t)(rest->ptr + rest->len - behind.ptr) };
    *out_address = address;
    return STATUS_OK;
}

enum status address_parse(struct slice text, bool utf8, struct arena *a, struct address *out_address)
{
    struct address address = { .needs_utf8 = !slice_is_ascii(text) };
    enum status status = read_front(&text, utf8, a, &address);
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_MALFORMED : status;
    TRY(read_domain(text, utf8, a, &address));
    *out_address = address;
    return STATUS_OK;
}

static enum status print_local(struct buf *out, struct slice local)
{
    if (local.len > 0 && dot_string(local, true) == local.len)
        return buf_put(out, local);
    TRY(buf_put_byte(out, '"'));
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '"' || local.ptr[i] == '\\')
            TRY(buf_put_byte(out, '\\'));
        TRY(buf_put_byte(out, local.ptr[i]));
    }
    return buf_put_byte(out, '"');
}

enum status address_print(struct buf *out, const struct address *address)
{
    size_t before = out->len;
    if (address->is_null)
        return STATUS_OK;
    enum status status = print_local(out, address->local);
    if (status == STATUS_OK && address->domain.len > 0) {
        status = buf_put_byte(out, '@');
        if (status == STATUS_OK)
            status = buf_put(out, address->domain);
    }
    if (status != STATUS_OK)
        out->len = before;
    return status;
}

enum status address_key(const struct address *address, struct arena *a, struct slice *out_key)
{
    if (address->is_null)
        return STATUS_MALFORMED;
    size_t len = address->local.len;
    char *key = arena_take(a, len + 1 + address->domain.len + 1);
    if (!key)
        return STATUS_TOO_BIG;
    for (size_t i = 0; i < len; i++) {
        char octet = address->local.ptr[i];
        key[i] = octet_lower(octet);
    }
    key[len++] = '@';
    if (address->domain.len > 0)
        memcpy(key + len, address->domain.ptr, address->domain.len);
    *out_key = (struct slice){ key, len + address->domain.len };
    return STATUS_OK;
}

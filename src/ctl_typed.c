#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

#include "base/must.h"
#include "base/secret.h"
#include "ctl_impl.h"
#include "mail/address.h"
#include "mail/date.h"

#define SHORT_PASSWORD 12u /* characters below which a password is called weak: length is what helps */

int ctl_typed_address(struct ctl *ctl, const char *typed, struct slice *out_address)
{
    struct address address;
    enum status status = address_parse(slice_of(typed), true, &ctl->arena, &address);
    if (status == STATUS_OK && (address.is_null || address.domain.len == 0))
        status = STATUS_MALFORMED;
    if (status == STATUS_OK)
        status = address_key(&address, &ctl->arena, out_address);
    return status == STATUS_OK ? CTL_DONE : ctl_usage("'%s' is no address: write name@domain", typed);
}

int ctl_typed_target(struct ctl *ctl, const char *typed, struct slice *out_address)
{
    struct address address;
    struct buf text = BUF(LIMIT_PATH);
    enum status status = address_parse(slice_of(typed), true, &ctl->arena, &address);
    if (status == STATUS_OK && (address.is_null || address.domain.len == 0))
        status = STATUS_MALFORMED;
    if (status == STATUS_OK)
        status = address_print(&text, &address);
    if (status == STATUS_OK)
        status = arena_copy(&ctl->arena, buf_slice(&text), out_address);
    buf_done(&text);
    return status == STATUS_OK ? CTL_DONE : ctl_usage("'%s' is no address: write name@domain", typed);
}

int ctl_typed_domain(struct ctl *ctl, const char *typed, struct slice *out_domain)
{
    if (domain_parse(slice_of(typed), true, &ctl->arena, out_domain) == STATUS_OK)
        return CTL_DONE;
    return ctl_usage("'%s' is no domain: write one as in example.net", typed);
}

/* ---- passwords ---- */

/* One line's content, or all there is; false beyond what a secret can hold. */
static int read_password(struct secret *out_password)
{
    char text[LIMIT_SECRET + 2]; /* one octet too many and a line end can be seen */
    size_t len = 0;
    ssize_t got;
    while (len < sizeof text && (got = read(STDIN_FILENO, text + len, sizeof text - len)) > 0)
        len += (size_t)got;
    if (len > 0 && len <= LIMIT_SECRET + 1 && text[len - 1] == '\n')
        len--;
    int code = CTL_DONE;
    if (len == 0)
        code = ctl_failed("the password on standard input is empty");
    else if (len > LIMIT_SECRET)
        code = ctl_failed("the password is longer than %u octets", LIMIT_SECRET); /* NOLINT(bugprone-branch-clone): what is too long is told first */
    else if (slice_has_control((struct slice){ text, len }) || !slice_is_utf8((struct slice){ text, len }))
        code = ctl_failed(
            "the password must be one line of UTF-8 text without control characters: no program could send it");
    else if (secret_set(out_password, (struct slice){ text, len }) != STATUS_OK)
        code = ctl_failed("the password is longer than %u octets", LIMIT_SECRET);
    wipe(text, sizeof text);
    return code;
}

/* Without echo; the line as the terminal gives it. */
static bool prompt(const char *question, struct secret *out_line)
{
    char text[LIMIT_SECRET + 2];
    struct termios before, quiet;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    quiet.c_lflag |= ECHONL;
    fprintf(stderr, "%s: ", question);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    ssize_t got = read(STDIN_FILENO, text, sizeof text);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    if (got > 0 && text[got - 1] == '\n')
        got--;
    bool fits = got > 0 && secret_set(out_line, (struct slice){ text, (size_t)got }) == STATUS_OK;
    wipe(text, sizeof text);
    return fits;
}

static int ask_password(struct secret *out_password)
{
    struct secret again = { 0 };
    if (!isatty(STDIN_FILENO))
        return ctl_usage("standard input is no terminal: give --password-stdin to read the password from it");
    if (!prompt("Password", out_password))
        return ctl_failed("no password was typed");
    bool same = prompt("Once more", &again) && slice_equal_secret(secret_slice(out_password), secret_slice(&again));
    secret_wipe(&again);
    return same ? CTL_DONE : ctl_failed("the two were not the same; nothing was changed");
}

static void warn_weak(struct slice password, struct slice address)
{
    static const char *const common[] = { "password", "passwort", "123456", "qwerty", "letmein", "welcome", "admin",
        "ekirei" };
    struct slice local = slice_upto(address, slice_find_last(address, '@'));
    bool same = true;
    size_t characters = 0;
    for (size_t at = 0; at < password.len; at++) {
        same = same && password.ptr[at] == password.ptr[0];
        characters += ((unsigned char)password.ptr[at] & 0xc0) != 0x80;
    }
    if (characters < SHORT_PASSWORD)
        ctl_warn("this password is weak: it has fewer than %u characters", SHORT_PASSWORD);
    else if (same)
        ctl_warn("this password is weak: it is one character, repeated");
    else if (local.len > 2 && slice_starts_nocase(password, local))
        ctl_warn("this password is weak: it begins with the account's name");
    for (size_t at = 0; at < sizeof common / sizeof common[0]; at++)
        if (slice_starts_nocase(password, slice_of(common[at])) && characters >= SHORT_PASSWORD)
            ctl_warn("this password is weak: it begins with '%s'", common[at]);
}

int ctl_typed_password(struct ctl *ctl, struct slice address, struct secret *out_password)
{
    int code = ctl->values[OPTION_PASSWORD_STDIN] ? read_password(out_password) : ask_password(out_password);
    if (code == CTL_DONE)
        warn_weak(secret_slice(out_password), address);
    return code;
}

int ctl_typed_hash(struct secret *out_hash)
{
    int code = read_password(out_hash);
    if (code != CTL_DONE)
        return code;
    struct slice hash = secret_slice(out_hash);
    /* The oldest crypt(3) hashes have 13 characters and no sign in front. */
    bool has_form = slice_starts(hash, S("$")) || slice_starts(hash, S("{")) || hash.len == 13;
    if (has_form && slice_find(hash, ' ') == hash.len)
        return CTL_DONE;
    secret_wipe(out_hash);
    return ctl_usage("--hash-stdin: this is no hash as crypt(3) or Argon2 write it ($6$..., $2y$..., $argon2id$..., "
                     "{SHA512-CRYPT}$6$...); for a password give --password-stdin");
}

/* ---- devices ---- */

int ctl_typed_label(struct slice name)
{
    if (name.len == 0 || name.len > LIMIT_DEVICE_NAME || !slice_is_utf8(name) || slice_has_control(name))
        return ctl_usage("--name: write 1 to %d octets of text, as in scanner-2", LIMIT_DEVICE_NAME);
    return CTL_DONE;
}

int ctl_typed_networks(struct slice typed)
{
    struct slice item;
    struct network network;
    while (slice_cut(&typed, ',', &item))
        if (network_parse(slice_trim(item), &network) != STATUS_OK)
            return ctl_usage("--from: '%.*s' is no network: write one as in 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7",
                (int)item.len, item.ptr);
    return CTL_DONE;
}

/* ---- dates ---- */

int ctl_typed_expiry(const char *typed, wall *out_when)
{
    static const size_t day_only = sizeof "2030-12-31" - 1;
    if (date_parse_iso(slice_of(typed), out_when) != STATUS_OK)
        return ctl_usage("--expires: '%s' is no date: write 2030-12-31, or 2030-12-31T18:00:00Z (UTC)", typed);
    if (strlen(typed) == day_only)
        *out_when += DAYS(1); /* the day that was named is its last */
    if (*out_when <= clock_wall())
        ctl_warn("--expires: %s is over already", typed);
    return CTL_DONE;
}

/* ---- rights ---- */

static const struct {
    const char *word;
    uint8_t rights;
    bool is_alias; /* read, never written */
} rights_words[] = { { "imap", RIGHT_IMAP, false }, { "pop3", RIGHT_POP3, false }, { "smtp", RIGHT_SMTP, false },
    { "lease", RIGHT_LEASE, false }, { "internal-only", RIGHT_INTERNAL_ONLY, false }, { "all", RIGHTS_ALL, true },
    { "send-only", RIGHT_SMTP, true }, { "read-only", RIGHT_IMAP | RIGHT_POP3, true },
    { "lease-only", RIGHT_LEASE, true } };
#define RIGHTS_WORDS (sizeof rights_words / sizeof rights_words[0])
/* Tokens are an identity provider's: no device of ours has one. */
#define NO_DEVICES   (1u << MECHANISM_OAUTHBEARER | 1u << MECHANISM_XOAUTH2)

static bool allow_word(struct slice word, uint8_t *rights, uint32_t *mechanisms)
{
    for (size_t at = 0; at < RIGHTS_WORDS; at++) {
        if (slice_equal_nocase(word, slice_of(rights_words[at].word))) {
            *rights |= rights_words[at].rights;
            return true;
        }
    }
    for (uint32_t at = MECHANISM_PASSWORD; at < MECHANISM_COUNT; at++) {
        if (!(NO_DEVICES & 1u << at) && slice_equal_nocase(word, slice_of(mechanism_name((enum mechanism)at)))) {
            *mechanisms |= 1u << at;
            return true;
        }
    }
    return false;
}

int ctl_typed_allow(const char *typed, uint8_t *out_rights, uint32_t *out_mechanisms)
{
    struct slice rest = slice_of(typed), word;
    uint8_t rights = 0;
    uint32_t mechanisms = 0;
    while (slice_cut(&rest, ',', &word))
        if (!allow_word(slice_trim(word), &rights, &mechanisms))
            return ctl_usage("--allow: '%.*s' is no right: write all, or a list of imap, pop3, smtp, lease, read-only, "
                             "send-only, lease-only, internal-only, and of pass, plain, login, apop, cram-md5, scram-sha-1, "
                             "scram-sha-256, scram-sha-1-plus, scram-sha-256-plus, external",
                (int)word.len, word.ptr);
    if (typed[0] == '\0')
        return ctl_usage("--allow: the list is empty: leave the option out for all");
    /* Mechanisms alone say how, not what for. */
    *out_rights = (rights & RIGHTS_ALL) ? rights : (uint8_t)(rights | RIGHTS_ALL);
    *out_mechanisms = mechanisms;
    return CTL_DONE;
}

static void put_mechanism(json_t *words, enum mechanism mechanism)
{
    char name[32];
    const char *from = mechanism_name(mechanism);
    size_t len = 0;
    for (; len < sizeof name && from[len] != '\0'; len++)
        name[len] = octet_lower(from[len]);
    json_array_append_new(words, json_stringn(name, len));
}

void ctl_put_allow(json_t *object, uint8_t rights, uint32_t mechanisms)
{
    json_t *words = json_array();
    if ((rights & RIGHTS_ALL) == RIGHTS_ALL)
        json_array_append_new(words, json_string("all"));
    for (size_t at = 0; at < RIGHTS_WORDS; at++)
        if (!rights_words[at].is_alias && (rights & rights_words[at].rights) &&
            (rights_words[at].rights == RIGHT_INTERNAL_ONLY || (rights & RIGHTS_ALL) != RIGHTS_ALL))
            json_array_append_new(words, json_string(rights_words[at].word));
    for (uint32_t at = MECHANISM_PASSWORD; at < MECHANISM_COUNT; at++)
        if (mechanisms & 1u << at)
            put_mechanism(words, (enum mechanism)at);
    int set = json_object_set_new(object, "allow", words);
    must(set == 0);
}

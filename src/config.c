#include "config.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/must.h"
#include "config_value.h"

/* Octets of one generation of settings: a list item of two octets ("a,") needs sixteen and its copy. */
#define SETTINGS_ARENA (16u * LIMIT_SETTINGS_FILE)

/* Wrong type of a member is a compile error. */
#define AT(member, type) ((uint16_t)(offsetof(struct settings, member) + 0 * sizeof(_Generic(((struct settings *)0)->member, type: 1))))
#define ROW(n, p, u, r, h) .row = { .name = (n), .preset = (p), .unit = (u), .range = (r), .help = (h) }
#define TEXT(n, m, p, r, h)      { ROW(n, p, "text", r, h), KIND_TEXT, AT(m, struct slice), 0 }
#define HOST(n, m, p, r, h)      { ROW(n, p, "host name", r, h), KIND_HOST, AT(m, struct slice), 0 }
#define NUMBER(n, m, p, u, r, h) { ROW(n, p, u, r, h), KIND_NUMBER, AT(m, uint32_t), 0 }
#define YESNO(n, m, p, h)        { ROW(n, p, "yes/no", "yes|no", h), KIND_YESNO, AT(m, bool), 0 }
#define TIME(n, m, p, r, h)      { ROW(n, p, "time", r, h), KIND_TIME, AT(m, msec), 0 }
#define SIZE(n, m, p, r, h)      { ROW(n, p, "size", r, h), KIND_SIZE, AT(m, uint64_t), 0 }
#define WORD(n, m, p, r, f, h)   { ROW(n, p, "word", r, h), KIND_WORD, AT(m, uint32_t), (f) }
#define WORDS(n, m, p, r, f, h)  { ROW(n, p, "list of words", r, h), KIND_WORDS, AT(m, uint32_t), (f) }
#define PATHS(n, m, p, h)        { ROW(n, p, "list of files", "PEM files", h), KIND_PATHS, AT(m, struct slices), 0 }
#define ADDRESSES(n, m, p, h)    { ROW(n, p, "list of addresses", "IPv4, IPv6", h), KIND_ADDRESSES, AT(m, struct slices), 0 }
#define SERVERS(n, m, p, h)      { ROW(n, p, "list of address[:port]", "IPv4, IPv6", h), KIND_SERVERS, AT(m, struct slices), 0 }
#define NETWORKS(n, m, p, h)     { ROW(n, p, "list of networks", "IPv4, IPv6", h), KIND_NETWORKS, AT(m, struct networks), 0 }
#define OFFICES(n, m, p, h)      { ROW(n, p, "list of [name=]network", "IPv4, IPv6", h), KIND_OFFICES, AT(m, struct networks), 0 }
#define IDS "0-4294967294"

/* clang-format off */
static const struct config_setting table[] = {
    ADDRESSES("listen.address",     listen_address, "0.0.0.0, ::", "addresses at which every port listens"),
    NUMBER("listen.port_offset",    port_offset, "0", "ports", "0-61345", "added to every standard port, so that nobody needs root"),
    HOST("server.hostname",         hostname, "localhost", "a host name", "this server's name, as the world resolves it"),
    NUMBER("mx.workers",            mx_workers, "1", "processes", "1-64", "processes that take strangers' mail (port 25); about one for four CPUs"),
    NUMBER("user.workers",          user_workers, "1", "processes", "1-64", "processes for submission and mailboxes; about one for four CPUs"),
    WORD("log.level",               log_level, "info", "debug|info|warning|error", 0, "the least that is logged"),

    PATHS("tls.certificate",        tls_certificate, "tls/cert.pem", "certificates with their chains; the first serves names that no other has; relative to the data folder"),
    PATHS("tls.key",                tls_key, "tls/key.pem", "private keys, one for each certificate, in the same order"),
    WORD("tls.min_version",         tls_min_version, "1.2", "1.2|1.3", 0x0303, "oldest TLS that is spoken"),

    NETWORKS("auth.plaintext_networks", auth_plaintext_networks, "", "from where passwords are taken without TLS, people's too: whoever is on the way reads them"),
    YESNO("auth.apop_without_tls",  auth_apop_without_tls, "no", "take APOP without TLS from anywhere (device passwords only)"),
    YESNO("auth.throttle",          auth_throttle, "yes", "make those who guess passwords wait: a delay, never a lock"),
    NUMBER("auth.hash_cost",        auth_hash_cost, "5", "steps", "1-10", "work that one password hash takes (Argon2id, SCRAM's rounds); 1 is for tests; what is weaker is hashed anew at the next login that shows the password"),
    WORDS("auth.mechanisms",        auth_mechanisms, "pass, plain, login, apop, cram-md5, scram-sha-1, scram-sha-256, scram-sha-1-plus, scram-sha-256-plus, oauthbearer, xoauth2, external", "pass|plain|login|apop|cram-md5|scram-sha-1|scram-sha-256|scram-sha-1-plus|scram-sha-256-plus|oauthbearer|xoauth2|external", 1, "ways of logging in that are there at all; which of them a connection sees is in docs/mechanisms.md"),
    YESNO("auth.scram_sha1",        auth_scram_sha1, "no", "SCRAM-SHA-1 with people's passwords, too: for clients that know nothing newer; a stolen verifier is guessed more easily; it works after the next login that shows the password"),
    YESNO("auth.client_certificates", auth_client_certificates, "no", "ask clients for a certificate, so that a key can log in (EXTERNAL); some mail programs then ask their users"),
    YESNO("auth.notices",           auth_notices, "yes", "mail owners of accounts: a password came in clear, mail was checked from a new place and may be sent from there"),
    NETWORKS("legacy.networks",     legacy_networks, "", "devices that cannot do TLS: device passwords only, also without TLS; may submit on port 25; bare LF, paths without brackets, AUTH behind HELO or together with EHLO are put up with"),
    WORD("legacy.tls_min_version",  legacy_tls_min_version, "1.2", "1.0|1.1|1.2", 0x0301, "oldest TLS on the legacy ports; 1.0 and 1.1 are broken (RFC 8996) and better than nothing; very old devices need an RSA certificate among tls.certificate"),
    NUMBER("legacy.submission_port", legacy_submission_port, "0", "port", "0-65535", "SMTP for legacy.networks alone, STARTTLS; 0: none; listen.port_offset is added to these four"),
    NUMBER("legacy.submissions_port", legacy_submissions_port, "0", "port", "0-65535", "the same inside TLS"),
    NUMBER("legacy.pop3_port",      legacy_pop3_port, "0", "port", "0-65535", "POP3 for legacy.networks alone, STLS; 0: none"),
    NUMBER("legacy.pop3s_port",     legacy_pop3s_port, "0", "port", "0-65535", "the same inside TLS"),

    TEXT("oauth.jwks",              oauth_jwks, "", "a file or an https URL", "keys that sign tokens (RFC 7517): a file, relative to the data folder, or a URL that is fetched anew every hour and for unknown keys; empty: no signed tokens"),
    TEXT("oauth.introspection",     oauth_introspection, "", "an https URL", "where tokens that are not signed are asked about, or all where oauth.jwks is empty (RFC 7662); empty: nowhere"),
    TEXT("oauth.issuer",            oauth_issuer, "", "a URL", "who must have issued a token (iss, exactly); needed with oauth.jwks"),
    TEXT("oauth.audience",          oauth_audience, "", "a word", "for whom it must be (aud); needed with oauth.jwks"),
    TEXT("oauth.scope",             oauth_scope, "", "a word", "scope that it must have; empty: any"),
    TEXT("oauth.claim",             oauth_claim, "email", "a word", "claim that holds the login name"),
    TEXT("oauth.client",            oauth_client, "", "a word", "our name at oauth.introspection"),
    TEXT("oauth.secret_file",       oauth_secret_file, "", "a file", "our password there; relative to the data folder"),
    TEXT("oauth.ca_file",           oauth_ca_file, "", "a file", "certificates that oauth's servers are checked with; empty: the system's; relative to the data folder"),
    TEXT("oauth.configuration",     oauth_configuration, "", "an https URL", "openid-configuration that mail programs are pointed to (RFC 7628 3.2.2)"),

    NETWORKS("relay.networks",      relay_networks, "", "may send to anywhere without any proof: whoever is in there can send in your name"),

    NUMBER("limits.connections_per_address", connections_per_address, "50", "connections", "1-100000", "at once from one address (IPv6: one /64), counted by each worker"),
    NUMBER("limits.connections",    connections, "5000", "connections", "10-20000", "at once in one process; beyond it whoever has not logged in and was silent for longest makes room"),
    TIME("limits.command_timeout",  timeout_command, "5min", "1s-60min", "how long a session may be silent (POP3: at least 10min, RFC 1939 3)"),

    SIZE("message.size_limit",      message_size_limit, "50MB", "64KB-1GB", "largest message that is taken"),
    NUMBER("message.recipients",    message_recipients, "1000", "recipients", "1-1000", "of one message; RFC 5321 asks for 100"),
    SIZE("store.disk_reserve",      disk_reserve, "64MB", "0-1TB", "free space on the disk below which no mail is taken"),

    { ROW("smarthost", "", "host:port", "port 1-65535", "where mail for other domains is handed over; empty: it waits in the queue"), KIND_SMARTHOST, AT(smarthost_host, struct slice), 0 },
    WORD("smarthost.tls",           smarthost_tls, "may", "none|may|must", TLS_WISH_NONE, "none: plain text; may: TLS if offered; must: TLS with a valid certificate"),
    SERVERS("dns.servers",          dns_servers, "", "resolvers; empty: those of the system"),
    TEXT("dns.trust_anchor",        dns_trust_anchor, "", "a file", "file with the DNSSEC root key; empty: the built-in one"),

    TIME("queue.first_retry",       queue_first_retry, "5min", "100ms-1d", "wait before the second attempt; doubles from there"),
    TIME("queue.max_retry",         queue_max_retry, "4h", "100ms-7d", "longest wait between two attempts"),
    TIME("queue.lifetime",          queue_lifetime, "5d", "1s-30d", "age at which undelivered mail goes back to its sender"),
    NUMBER("queue.concurrency",     queue_concurrency, "20", "connections", "1-1000", "deliveries at once"),

    WORD("pop_before_smtp.accounts", lease_accounts, "flagged", "flagged|all|none", LEASE_FLAGGED, "whose mailbox logins open a lease; flagged: accounts with --pop-before-smtp, and devices with the word lease"),
    TIME("pop_before_smtp.window",  lease_window, "10min", "1s-60min", "how long a login opens the door"),
    TIME("pop_before_smtp.cap",     lease_cap, "60min", "1s-1d", "how long logins can keep one lease open"),
    NUMBER("pop_before_smtp.messages", lease_messages, "20", "messages", "1-100000", "that one login pays for"),
    NUMBER("pop_before_smtp.recipients", lease_recipients, "50", "recipients", "1-1000000", "that one login pays for"),
    NUMBER("pop_before_smtp.shared_accounts", lease_shared_accounts, "3", "accounts", "1-100000", "more than these from one address: shared, no lease there"),
    YESNO("pop_before_smtp.imap",   lease_imap, "yes", "IMAP logins open leases, too"),
    NETWORKS("pop_before_smtp.never_networks", lease_never_networks, "127.0.0.0/8, ::1, 100.64.0.0/10", "never get a lease: proxies, webmail hosts, carrier NAT (the server's own addresses never do either)"),
    OFFICES("pop_before_smtp.office_networks", lease_office_networks, "", "shared by many of our own people: never marked as shared; a name shows in the log and in 'lease list'"),

    YESNO("pop_before_smtp.pin_helo", lease_pin_helo, "no", "the EHLO name with which an account first used a lease is the only one for its leases from then on"),

    TEXT("policy.listen",           policy_listen, "127.0.0.1:10040", "address:port, unix:path", "where 'ekirei policy' answers Postfix; listen.port_offset is not added"),
    TEXT("policy.reports",          policy_reports, "127.0.0.1:10041", "address:port, unix:path", "where 'ekirei policy' is told of logins at a mailbox server beside us"),
    TEXT("policy.senders",          policy_senders, "", "a file", "lines 'login address...': what a login may send as beside its own name; @domain is any address there; relative to the data folder"),
    TEXT("policy.domain",           policy_domain, "", "a domain", "added to reported login names that have none"),
    YESNO("policy.refuse",          policy_refuse, "no", "refuse whoever has neither login nor lease, with a text that says what to do; policy_context=submission does so for one port (docs/aside.md)"),

    TIME("mx.greeting_delay",       mx_greeting_delay, "0s", "0s-10s", "strangers wait so long for the greeting on port 25; who talks before it is no mail server and is refused"),
    TIME("pop3.login_delay",        pop3_login_delay, "0s", "0s-1h", "least time between two POP3 logins of one account (RFC 2449 6.5)"),

    NUMBER("users.mx",              uid_mx, "0", "user id", IDS, "as root: whom the mx processes become"),
    NUMBER("users.user",            uid_user, "0", "user id", IDS, "as root: whom the user processes become"),
    NUMBER("users.keeper",          uid_keeper, "0", "user id", IDS, "as root: whom the keeper becomes; owner of the store"),
    NUMBER("users.courier",         uid_courier, "0", "user id", IDS, "as root: whom the courier becomes"),
    NUMBER("users.policy",          uid_policy, "0", "user id", IDS, "as root: whom 'ekirei policy' becomes; 0: ekirei-policy, or an id that nobody has"),
};
/* clang-format on */

#define ROWS (sizeof table / sizeof table[0])

/* ---- names ---- */

static size_t row_find(struct slice name)
{
    size_t at = 0;
    while (at < ROWS && !slice_equal_nocase(name, slice_of(table[at].row.name)))
        at++;
    return at;
}

#define NAME_MOST 64u /* octets: longer than every name in the table */

/* Levenshtein's distance, for the hint behind a mistyped name. */
static size_t distance(struct slice a, struct slice b)
{
    size_t costs[NAME_MOST + 1];
    if (a.len > NAME_MOST || b.len > NAME_MOST)
        return NAME_MOST;
    for (size_t j = 0; j <= b.len; j++)
        costs[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t corner = costs[0];
        costs[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = corner + (a.ptr[i - 1] != b.ptr[j - 1]), add = costs[j - 1] + 1, drop = costs[j] + 1;
            corner = costs[j];
            costs[j] = change < add ? (change < drop ? change : drop) : (add < drop ? add : drop);
        }
    }
    return costs[b.len];
}

static enum status unknown(struct slice name, struct buf *why)
{
    size_t best = NAME_MOST, best_row = ROWS;
    for (size_t at = 0; at < ROWS; at++) {
        size_t far = distance(name, slice_of(table[at].row.name));
        if (far < best) {
            best = far;
            best_row = at;
        }
    }
    config_say(why, "there is no setting ");
    config_quote(why, name);
    if (best_row < ROWS && best <= 4)
        config_say(why, "; did you mean %s?", table[best_row].row.name);
    else
        config_say(why, "; 'ekirei config show' lists all");
    return STATUS_NOT_FOUND;
}

/* ---- the whole ---- */

struct settings *config_default(void)
{
    struct settings *settings = alloc(sizeof *settings);
    struct buf why = BUF(LIMIT_LOG_LINE);
    settings->arena = ARENA(SETTINGS_ARENA);
    settings->holders = 1;
    for (size_t at = 0; at < ROWS; at++) {
        enum status status = config_value_put(settings, &table[at], slice_of(table[at].row.preset), &why);
        must(status == STATUS_OK);
    }
    buf_done(&why);
    return settings;
}

static enum status set_row(struct settings *settings, size_t row, struct slice value, struct buf *why)
{
    size_t before = why->len;
    config_say(why, "%s: ", table[row].row.name);
    enum status status = STATUS_MALFORMED;
    if (!slice_is_utf8(value) || slice_has_control(value))
        config_say(why, "holds octets that are no text: write UTF-8 without control characters");
    else
        status = config_value_put(settings, &table[row], slice_trim(value), why);
    if (status == STATUS_OK)
        why->len = before;
    else if (status == STATUS_TOO_BIG)
        config_say(why, "the settings are too large altogether: shorten the lists");
    return status == STATUS_OK ? STATUS_OK : STATUS_MALFORMED;
}

enum status config_set(struct settings *settings, struct slice name, struct slice value, struct buf *why)
{
    size_t row = row_find(name);
    return row < ROWS ? set_row(settings, row, value, why) : unknown(name, why);
}

static bool uids_clash(const struct settings *s)
{
    const uint32_t ids[] = { s->uid_mx, s->uid_user, s->uid_keeper, s->uid_courier, s->uid_policy };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        for (size_t j = 0; j < i; j++)
            if (ids[i] != 0 && ids[i] == ids[j])
                return true;
    return false;
}

/* ---- the legacy ports ---- */

#define STANDARD_PORTS 5u
#define LEGACY_PORTS 4u
#define LAST_PORT 65535u

static const char *const legacy_names[LEGACY_PORTS] = { "legacy.submission_port", "legacy.submissions_port", "legacy.pop3_port", "legacy.pop3s_port" };

/* Those of the standards come first. */
static void all_ports(const struct settings *s, uint32_t out_ports[STANDARD_PORTS + LEGACY_PORTS])
{
    const uint32_t ports[STANDARD_PORTS + LEGACY_PORTS] = { 25, 110, 465, 587, 995, s->legacy_submission_port, s->legacy_submissions_port,
        s->legacy_pop3_port, s->legacy_pop3s_port };
    memcpy(out_ports, ports, sizeof ports);
}

static bool has_legacy_port(const struct settings *s)
{
    return s->legacy_submission_port || s->legacy_submissions_port || s->legacy_pop3_port || s->legacy_pop3s_port;
}

static const char *wrong_ports(const struct settings *s, const char **out_name)
{
    uint32_t ports[STANDARD_PORTS + LEGACY_PORTS];
    all_ports(s, ports);
    for (size_t i = STANDARD_PORTS; i < STANDARD_PORTS + LEGACY_PORTS; i++) {
        *out_name = legacy_names[i - STANDARD_PORTS];
        if (ports[i] != 0 && ports[i] + s->port_offset > LAST_PORT)
            return "with listen.port_offset it is no port any more";
        for (size_t j = 0; j < i; j++)
            if (ports[i] != 0 && ports[i] == ports[j])
                return "must be a port of its own: not 25, 110, 465, 587 or 995, nor another legacy port";
    }
    *out_name = "legacy.networks";
    return has_legacy_port(s) && s->legacy_networks.count == 0 ? "a legacy port is set: name the devices that may use it" : NULL;
}

static bool is_https(struct slice url)
{
    struct slice rest = slice_from(url, strlen("https://"));
    return slice_starts_nocase(url, S("https://")) && rest.len > 0 && rest.ptr[0] != '/' && slice_is_ascii(url) && slice_find(url, ' ') == url.len;
}

/* A token that anybody issued, for anybody, would open every account: both must be named. */
static const char *wrong_oauth(const struct settings *s, const char **out_name)
{
    bool signs = s->oauth_jwks.len > 0, asks = s->oauth_introspection.len > 0;
    *out_name = "oauth.jwks";
    if (signs && !is_https(s->oauth_jwks) && slice_has(s->oauth_jwks, S("://")))
        return "must be a file or an https URL";
    *out_name = "oauth.introspection";
    if (asks && !is_https(s->oauth_introspection))
        return "must be an https URL";
    *out_name = "oauth.configuration";
    if (s->oauth_configuration.len > 0 && !is_https(s->oauth_configuration))
        return "must be an https URL";
    *out_name = "oauth.issuer";
    if (signs && s->oauth_issuer.len == 0)
        return "must be set where oauth.jwks is: whose tokens are taken?";
    *out_name = "oauth.audience";
    if (signs && s->oauth_audience.len == 0)
        return "must be set where oauth.jwks is: or a token for any other service would do";
    *out_name = "oauth.claim";
    if ((signs || asks) && s->oauth_claim.len == 0)
        return "must name the claim that holds the login name";
    *out_name = "oauth.client";
    if (asks && (s->oauth_client.len == 0 || s->oauth_secret_file.len == 0))
        return "must be set where oauth.introspection is, with oauth.secret_file: nobody is to ask without a name (RFC 7662 2.1)";
    return NULL;
}

/* What is wrong with the whole, and whose line to point at; NULL: nothing. */
static const char *wrong_whole(const struct settings *s, const char **out_name)
{
    *out_name = "tls.key";
    if (s->tls_certificate.count != s->tls_key.count)
        return "there must be one key for each of tls.certificate, in the same order";
    *out_name = "pop_before_smtp.cap";
    if (s->lease_cap < s->lease_window)
        return "must not be shorter than pop_before_smtp.window";
    *out_name = "queue.max_retry";
    if (s->queue_max_retry < s->queue_first_retry)
        return "must not be shorter than queue.first_retry";
    *out_name = "listen.address";
    if (s->listen_address.count == 0)
        return "must name at least one address";
    const char *wrong = wrong_oauth(s, out_name);
    if (wrong)
        return wrong;
    *out_name = "users.keeper";
    if (uids_clash(s))
        return "each of users.* must be an id of its own, or the walls between the roles are gone";
    return wrong_ports(s, out_name);
}

enum status config_finish(struct settings *settings, struct buf *why)
{
    const char *name, *wrong = wrong_whole(settings, &name);
    if (!wrong)
        return STATUS_OK;
    config_say(why, "%s: %s", name, wrong);
    return STATUS_MALFORMED;
}

/* ---- the file ---- */

struct reading {
    struct settings *settings;
    struct slice section;
    uint32_t line;
    uint32_t given[ROWS]; /* line at which each setting was given; 0: not yet */
    struct buf *why;
};

static enum status read_section(struct reading *r, struct slice line)
{
    if (line.ptr[line.len - 1] != ']' || line.len < 3) {
        config_quote(r->why, line);
        config_say(r->why, " is no section: write [name], alone in its line");
        return STATUS_MALFORMED;
    }
    r->section = slice_trim(slice_upto(slice_from(line, 1), line.len - 2));
    for (size_t at = 0; at < ROWS; at++) {
        struct slice name = slice_of(table[at].row.name);
        if (name.len > r->section.len && name.ptr[r->section.len] == '.' && slice_starts_nocase(name, r->section))
            return STATUS_OK;
    }
    config_say(r->why, "there is no section ");
    config_quote(r->why, line);
    config_say(r->why, "; 'ekirei config show' lists all settings");
    return STATUS_NOT_FOUND;
}

static enum status read_setting(struct reading *r, struct slice key, struct slice value)
{
    char joined[2 * NAME_MOST + 1];
    struct slice name = key;
    if (r->section.len > 0 && r->section.len <= NAME_MOST && key.len < NAME_MOST) {
        memcpy(joined, r->section.ptr, r->section.len);
        joined[r->section.len] = '.';
        memcpy(joined + r->section.len + 1, key.ptr, key.len);
        name = (struct slice){ joined, r->section.len + 1 + key.len };
    }
    size_t row = row_find(name);
    if (row == ROWS && r->section.len > 0 && row_find(key) < ROWS) {
        config_quote(r->why, key);
        config_say(r->why, " stands in section [%.*s]: move it above the first section, or into its own", (int)r->section.len, r->section.ptr);
        return STATUS_NOT_FOUND;
    }
    if (row == ROWS)
        return unknown(name, r->why);
    if (r->given[row] > 0) {
        config_say(r->why, "%s: line %u sets it already; keep one of the two", table[row].row.name, r->given[row]);
        return STATUS_EXISTS;
    }
    r->given[row] = r->line;
    TRY(set_row(r->settings, row, value, r->why));
    return STATUS_OK;
}

static enum status read_line(struct reading *r, struct slice line)
{
    line = slice_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return STATUS_OK;
    if (line.ptr[0] == '[')
        return read_section(r, line);
    size_t equals = slice_find(line, '=');
    struct slice key = slice_trim(slice_upto(line, equals)), value = slice_trim(slice_from(line, equals + 1));
    if (equals == line.len || key.len == 0) {
        config_quote(r->why, line);
        config_say(r->why, " is no setting: write name = value, [section] or # comment");
        return STATUS_MALFORMED;
    }
    enum status status = read_setting(r, key, value);
    if (status != STATUS_OK && slice_find(value, '#') < value.len)
        config_say(r->why, " (a comment needs a line of its own)");
    return status;
}

static enum status read_lines(struct reading *r, struct slice text, const char *file_name)
{
    struct slice line;
    size_t before = r->why->len;
    while (slice_cut(&text, '\n', &line)) {
        r->line++;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        config_say(r->why, "%s:%u: ", file_name, r->line);
        TRY(read_line(r, line));
        r->why->len = before;
    }
    const char *name, *wrong = wrong_whole(r->settings, &name);
    if (!wrong)
        return STATUS_OK;
    uint32_t given = r->given[row_find(slice_of(name))];
    config_say(r->why, "%s:%u: %s: %s", file_name, given > 0 ? given : r->line, name, wrong);
    return STATUS_MALFORMED;
}

enum status config_parse(struct slice text, const char *file_name, struct settings **out_settings, struct buf *why)
{
    if (text.len > LIMIT_SETTINGS_FILE) {
        config_say(why, "%s:1: the file is larger than %u octets", file_name, LIMIT_SETTINGS_FILE);
        return STATUS_TOO_BIG;
    }
    struct reading r = { .settings = config_default(), .why = why };
    enum status status = read_lines(&r, text, file_name);
    if (status != STATUS_OK) {
        settings_release(r.settings);
        return status;
    }
    *out_settings = r.settings;
    return STATUS_OK;
}

const struct config_row *config_each(size_t index) { return index < ROWS ? &table[index].row : NULL; }

enum status config_print(const struct settings *settings, size_t index, struct buf *out)
{
    must(index < ROWS);
    return config_value_print(settings, &table[index], out);
}

/* ---- risks ---- */

static bool relays(const struct settings *s) { return s->relay_networks.count > 0; }
static bool takes_plaintext(const struct settings *s) { return s->auth_plaintext_networks.count > 0; }
static bool has_legacy(const struct settings *s) { return s->legacy_networks.count > 0; }
static bool has_old_tls(const struct settings *s) { return has_legacy_port(s) && s->legacy_tls_min_version < 0x0303; }
static bool has_open_apop(const struct settings *s) { return s->auth_apop_without_tls; }
static bool has_no_throttle(const struct settings *s) { return !s->auth_throttle; }
static bool hashes_cheaply(const struct settings *s) { return s->auth_hash_cost < 3; }
static bool has_no_route(const struct settings *s) { return s->smarthost_host.len == 0; }

const char *config_risk(const struct settings *settings, size_t index)
{
    static const struct {
        bool (*holds)(const struct settings *settings);
        const char *text;
    } risks[] = {
        { relays, "relay.networks: whoever is in there may send in anybody's name, without any proof" },
        { takes_plaintext, "auth.plaintext_networks: passwords from there can be read on the way" },
        { has_legacy, "legacy.networks: device passwords from there can be read on the way" },
        { has_old_tls, "legacy.tls_min_version: TLS 1.0 and 1.1 are broken (RFC 8996): what devices send over the legacy ports can be read by who tries" },
        { has_open_apop, "auth.apop_without_tls: mail of devices can be read on the way, and their digests attacked" },
        { has_no_throttle, "auth.throttle = no: passwords can be guessed as fast as the server answers" },
        { hashes_cheaply, "auth.hash_cost is below 3: stolen hashes can be guessed quickly" },
        { has_no_route, "smarthost is not set: mail for other domains waits in the queue" },
    };
    for (size_t i = 0; i < sizeof risks / sizeof risks[0]; i++)
        if (risks[i].holds(settings) && index-- == 0)
            return risks[i].text;
    return NULL;
}

#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl_impl.h"
#include "serve.h"

#define DEFAULT_DIR   "/var/lib/ekirei"
#define COMMAND_ARENA (1u << 20) /* octets: names that were typed, and a settings file's text */
#define HELP_COLUMN   44

struct option_row {
    const char *name, *value; /* value NULL: none follows */
    const char *help;
};

static const struct option_row options[OPTIONS] = {
    [OPTION_PASSWORD_STDIN] = { "--password-stdin", NULL, "read the password from standard input" },
    [OPTION_HASH_STDIN] = { "--hash-stdin", NULL,
        "read its hash instead, as another program has it:\ncrypt(3) or Argon2" },
    [OPTION_LOGIN] = { "--login", "NAME", "one more name to log in with (the address always works)" },
    [OPTION_POP_BEFORE_SMTP] = { "--pop-before-smtp", NULL, "a mailbox login lets its address send for a while" },
    [OPTION_NO_POP_BEFORE_SMTP] = { "--no-pop-before-smtp", NULL, "take that right away" },
    [OPTION_NAME] = { "--name", "NAME", "what the device is called" },
    [OPTION_CERTIFICATE] = { "--certificate", "FILE.pem",
        "no password: it logs in with this certificate's key (EXTERNAL)" },
    [OPTION_KEY_DIGEST] = { "--key-digest", "HEX", "the same by the SHA-256 of that key" },
    [OPTION_ALLOW] = { "--allow", "all|LIST",
        "what for: imap pop3 smtp lease, read-only send-only lease-only,\ninternal-only; how: pass plain apop ... (see the manual)" },
    [OPTION_FROM] = { "--from", "CIDR[,CIDR]", "networks it may be used from; default: anywhere" },
    [OPTION_EXPIRES] = { "--expires", "DATE",
        "last day it works: 2030-12-31; or a moment: 2030-12-31T18:00:00Z" },
    [OPTION_DOMAIN] = { "--domain", "DOMAIN", "the first domain that mail is taken for" },
    [OPTION_HOSTNAME] = { "--hostname", "NAME", "this server's name; default: mail.DOMAIN" },
    [OPTION_PORT_OFFSET] = { "--port-offset", "N", "added to every standard port" },
    [OPTION_SET] = { "--set", "KEY=VALUE",
        "a setting for ekirei.conf; may be repeated" },
    [OPTION_ONCE] = { "--once", NULL, "end after the story" },
    [OPTION_LISTEN] = { "--listen", "ENDPOINT", "where Postfix asks: 127.0.0.1:10040, unix:/path" },
    [OPTION_REPORTS] = { "--reports", "ENDPOINT", "where logins are reported: 127.0.0.1:10041, unix:/path" },
    [OPTION_MAKE_KEY] = { "--make-key", NULL, "make DIR/keys/report.key, which reporters need, and end" },
    [OPTION_TO] = { "--to", "ENDPOINT", "where 'ekirei policy' is told of logins; default: 127.0.0.1:10041" },
    [OPTION_KEY] = { "--key", "FILE", "a copy of its keys/report.key" },
    [OPTION_LOCAL] = { "--local", "IP", "the server's own address of that connection" },
    [OPTION_FAILED] = { "--failed", NULL, "the password was wrong" },
    [OPTION_REPAIR] = { "--repair", NULL, "put right what can be: counts, references, files without a row" },
    [OPTION_TO_FOLDER] = { "--to", "FOLDER", "new, or empty; made with rights for its owner alone" },
    [OPTION_FROM_FOLDER] = { "--from", "FOLDER", "what 'ekirei backup' made" },
    [OPTION_FORCE] = { "--force", NULL, "onto a folder in use: that one is moved aside, never removed" },
    [OPTION_LANG] = { "--lang", "en|ja", "language; default: from LC_ALL, LC_MESSAGES, LANG" },
    [OPTION_DIR] = { "--dir", "DIR", "the data folder; default: $EKIREI_DIR, else " DEFAULT_DIR },
    [OPTION_JSON] = { "--json", NULL, "answer in JSON" },
    [OPTION_HELP] = { "--help", NULL, "this text" },
};
#define EVERYWHERE (WITH(OPTION_DIR) | WITH(OPTION_JSON) | WITH(OPTION_HELP))

/* clang-format off */
static const struct ctl_command commands[] = {
    { "demo", NULL, "", WITH(OPTION_ONCE), 0, "play the whole story in a temporary folder, then keep serving", cmd_demo },
    { "init", NULL, "", WITH(OPTION_DOMAIN) | WITH(OPTION_HOSTNAME) | WITH(OPTION_PORT_OFFSET) | WITH(OPTION_SET), WITH(OPTION_DOMAIN),
      "make the data folder: settings, keys, certificate, store", cmd_init },
    { "serve", NULL, "", 0, 0, "run the server in the foreground", cmd_serve },
    { "account", "add", "ADDRESS", WITH(OPTION_PASSWORD_STDIN) | WITH(OPTION_HASH_STDIN) | WITH(OPTION_LOGIN) | WITH(OPTION_POP_BEFORE_SMTP), 0, "make an account", cmd_account_add },
    { "account", "list", "", 0, 0, "all accounts", cmd_account_list },
    { "account", "show", "ADDRESS", 0, 0, "one account with its devices, aliases and leases", cmd_account_show },
    { "account", "password", "ADDRESS", WITH(OPTION_PASSWORD_STDIN) | WITH(OPTION_HASH_STDIN), 0, "give it a new password; ends its sessions and leases", cmd_account_password },
    { "account", "set", "ADDRESS", WITH(OPTION_POP_BEFORE_SMTP) | WITH(OPTION_NO_POP_BEFORE_SMTP), 0, "change what it may do", cmd_account_set },
    { "account", "disable", "ADDRESS", 0, 0, "no login, no sending; its mail stays", cmd_account_disable },
    { "account", "enable", "ADDRESS", 0, 0, "the opposite", cmd_account_enable },
    { "account", "remove", "ADDRESS", 0, 0, "remove it with its mail and devices", cmd_account_remove },
    { "device", "add", "ADDRESS",
      WITH(OPTION_NAME) | WITH(OPTION_ALLOW) | WITH(OPTION_FROM) | WITH(OPTION_EXPIRES) | WITH(OPTION_CERTIFICATE) | WITH(OPTION_KEY_DIGEST), WITH(OPTION_NAME),
      "make a password for a device or program, or take its key", cmd_device_add },
    { "device", "list", "[ADDRESS]", 0, 0, "devices, without their passwords", cmd_device_list },
    { "device", "revoke", "ADDRESS [NAME]", 0, 0, "end one device's password or key, or all of the account", cmd_device_revoke },
    { "alias", "add", "ADDRESS TARGET", 0, 0, "mail for ADDRESS (or @DOMAIN) goes to TARGET, too", cmd_alias_add },
    { "alias", "list", "[ADDRESS]", 0, 0, "all aliases", cmd_alias_list },
    { "alias", "remove", "ADDRESS [TARGET]", 0, 0, "one target, or the whole alias", cmd_alias_remove },
    { "domain", "add", "DOMAIN", 0, 0, "take mail for this domain", cmd_domain_add },
    { "domain", "list", "", 0, 0, "all domains", cmd_domain_list },
    { "domain", "remove", "DOMAIN", 0, 0, "take no more mail for it", cmd_domain_remove },
    { "lease", "list", "[ADDRESS|IP]", 0, 0, "who may send because he just read mail", cmd_lease_list },
    { "lease", "revoke", "[ADDRESS|IP]", 0, 0, "end the leases of an account or address, or all", cmd_lease_revoke },
    { "queue", "list", "", 0, 0, "mail that waits to leave", cmd_queue_list },
    { "queue", "show", "ID", 0, 0, "one message with its recipients and header", cmd_queue_show },
    { "queue", "retry", "[ID|all]", 0, 0, "try now", cmd_queue_retry },
    { "queue", "hold", "[ID|all]", 0, 0, "do not try until released", cmd_queue_hold },
    { "queue", "release", "[ID|all]", 0, 0, "end a hold", cmd_queue_release },
    { "queue", "remove", "ID|all", 0, 0, "throw away without telling the sender", cmd_queue_remove },
    { "policy", NULL, "", WITH(OPTION_LISTEN) | WITH(OPTION_REPORTS) | WITH(OPTION_MAKE_KEY), 0, "POP before SMTP beside Postfix and Dovecot", cmd_policy },
    { "report", NULL, "NAME IP [pop3|imap]", WITH(OPTION_TO) | WITH(OPTION_KEY) | WITH(OPTION_LOCAL) | WITH(OPTION_FAILED), WITH(OPTION_KEY), "tell 'ekirei policy' of a login", cmd_report },
    { "status", NULL, "", 0, 0, "counts, room, age", cmd_status },
    { "why", NULL, "CODE|ADDRESS|IP", WITH(OPTION_LANG), 0, "why something was refused (EK-17), and what to do; or 'all'", cmd_why },
    { "check", NULL, "", WITH(OPTION_REPAIR), 0, "is all mail whole, and are all counts right?", cmd_check },
    { "backup", NULL, "", WITH(OPTION_TO_FOLDER), WITH(OPTION_TO_FOLDER), "copy store, settings and keys, verified; it holds secrets", cmd_backup },
    { "restore", NULL, "", WITH(OPTION_FROM_FOLDER) | WITH(OPTION_FORCE), WITH(OPTION_FROM_FOLDER), "make DIR from a backup", cmd_restore },
    { "export", NULL, "[ADDRESS]...", WITH(OPTION_TO_FOLDER), WITH(OPTION_TO_FOLDER), "mail as Maildir, of these accounts or all", cmd_export },
    { "config", "check", "", 0, 0, "read the settings and certificates as 'serve' would", cmd_config_check },
    { "config", "show", "", 0, 0, "every setting with value, default, unit and range", cmd_config_show },
    { "version", NULL, "", 0, 0, "which ekirei this is", cmd_version },
};
/* clang-format on */
#define COMMANDS (sizeof commands / sizeof commands[0])

/* ---- what was probably meant ---- */

#define WORD_MOST 24u /* octets; what is longer is no slip of a finger */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to put in, leave out or change. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MOST + 1], a_len = strlen(a), b_len = strlen(b);
    if (a_len > WORD_MOST || b_len > WORD_MOST)
        return WORD_MOST;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smaller(changed, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_len];
}

/* The better one of two candidates; short words must be nearer. */
static const char *nearer(const char *typed, const char *best, const char *candidate)
{
    size_t far = candidate ? distance(typed, candidate) : WORD_MOST;
    return far <= strlen(typed) / 3 && (!best || far < distance(typed, best)) ? candidate : best;
}

static int unknown(const char *what, const char *typed, const char *best)
{
    if (best)
        return ctl_usage("there is no %s '%s'; did you mean '%s'?  'ekirei --help' lists all", what, typed, best);
    return ctl_usage("there is no %s '%s'; 'ekirei --help' lists all", what, typed);
}

static int unknown_option(const char *typed)
{
    char name[WORD_MOST + 2];
    const char *best = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(typed, "="), typed);
    for (size_t at = 0; at < OPTIONS; at++)
        best = nearer(name, best, options[at].name);
    return unknown("option", typed, best);
}

static int unknown_group(const char *typed)
{
    const char *best = strcmp(typed, "user") == 0 ? "account" : NULL;
    for (size_t at = 0; at < COMMANDS; at++)
        best = nearer(typed, best, commands[at].group);
    return unknown("command", typed, best);
}

static int unknown_verb(const char *group, const char *typed)
{
    const char *best = NULL;
    for (size_t at = 0; at < COMMANDS; at++)
        if (strcmp(commands[at].group, group) == 0)
            best = nearer(typed, best, commands[at].verb);
    if (best)
        return ctl_usage("there is no command '%s %s'; did you mean '%s %s'?", group, typed, group, best);
    return ctl_usage("there is no command '%s %s'; see 'ekirei %s --help'", group, typed, group);
}

/* ---- help ---- */

/* In its column, on the next line where there is no room left on this one. */
static void print_meaning(int width, const char *help)
{
    struct slice rest = slice_of(help), line;
    if (width >= HELP_COLUMN) {
        printf("\n");
        width = 0;
    }
    for (; slice_cut(&rest, '\n', &line); width = 0)
        printf("%*s%.*s\n", HELP_COLUMN - width, "", (int)line.len, line.ptr);
}

static void print_synopsis(const struct ctl_command *command)
{
    int width = printf("  ekirei %s", command->group);
    if (command->verb)
        width += printf(" %s", command->verb);
    if (command->arguments[0] != '\0')
        width += printf(" %s", command->arguments);
    for (size_t at = 0; at < OPTIONS; at++)
        if (command->needed & WITH(at))
            width += printf(" %s %s", options[at].name, options[at].value);
    print_meaning(width, command->help);
}

static void print_options(uint32_t set)
{
    for (size_t at = 0; at < OPTIONS; at++) {
        if (!(set & WITH(at)))
            continue;
        int width = printf("  %s", options[at].name);
        if (options[at].value)
            width += printf(" %s", options[at].value);
        print_meaning(width, options[at].help);
    }
}

/* All commands, those of one group, or one command with its options. */
static int print_help(const char *group, const char *verb)
{
    bool any = false;
    uint32_t used = EVERYWHERE;
    printf("usage: ekirei COMMAND [ARGUMENT]... [OPTION]...\n\n");
    for (size_t at = 0; at < COMMANDS; at++) {
        const struct ctl_command *command = &commands[at];
        if ((group && strcmp(group, command->group) != 0) ||
            (verb && command->verb && strcmp(verb, command->verb) != 0))
            continue;
        print_synopsis(command);
        any = true;
        if (group)
            used |= command->options;
    }
    if (!any)
        return unknown_group(group);
    printf("\n");
    print_options(used);
    if (!group)
        printf("\n'ekirei COMMAND --help' tells more; the manual: ekirei(8), ekirei.conf(5), ekirei-limits(7).\n");
    return CTL_DONE;
}

/* ---- reading the command line ---- */

struct typed {
    const char *words[2 + CTL_ARGUMENTS + 1]; /* one more than any command takes, to see that it is too much */
    size_t count;
};

static size_t option_find(const char *typed, const char **out_value)
{
    const char *equals = strchr(typed, '=');
    size_t len = equals ? (size_t)(equals - typed) : strlen(typed);
    *out_value = equals ? equals + 1 : NULL;
    if (strcmp(typed, "-h") == 0)
        return OPTION_HELP;
    size_t at = 0;
    while (at < OPTIONS && (strlen(options[at].name) != len || strncmp(options[at].name, typed, len) != 0))
        at++;
    return at;
}

/* One option with its value, at argv[*at]. */
static int read_option(struct ctl *ctl, int argc, char **argv, int *at)
{
    const char *value;
    size_t option = option_find(argv[*at], &value);
    if (option == OPTIONS)
        return unknown_option(argv[*at]);
    const struct option_row *row = &options[option];
    if (!row->value && value)
        return ctl_usage("%s takes no value", row->name);
    if (row->value && !value && *at + 1 == argc)
        return ctl_usage("%s needs a value: %s %s", row->name, row->name, row->value);
    if (row->value && !value)
        value = argv[++*at];
    if (ctl->values[option] && option != OPTION_SET)
        return ctl_usage("%s is given twice", row->name);
    ctl->values[option] = value ? value : "";
    if (option != OPTION_SET)
        return CTL_DONE;
    if (ctl->set_count == CTL_SETS)
        return ctl_usage("--set is given more than %u times; edit ekirei.conf instead", CTL_SETS);
    ctl->sets[ctl->set_count++] = value;
    return CTL_DONE;
}

static int read_words(struct ctl *ctl, int argc, char **argv, struct typed *typed)
{
    bool only_words = false;
    for (int at = 1; at < argc; at++) {
        if (!only_words && strcmp(argv[at], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[at][0] == '-' && argv[at][1] != '\0') {
            int code = read_option(ctl, argc, argv, &at);
            if (code != CTL_DONE)
                return code;
        } else {
            if (typed->count == sizeof typed->words / sizeof typed->words[0])
                return ctl_usage("'%s' is too much; see 'ekirei --help'", argv[at]);
            typed->words[typed->count++] = argv[at];
        }
    }
    return CTL_DONE;
}

static int find_command(struct ctl *ctl, const struct typed *typed, size_t *out_first)
{
    bool group = false;
    for (size_t at = 0; at < COMMANDS; at++) {
        const struct ctl_command *command = &commands[at];
        if (strcmp(command->group, typed->words[0]) != 0)
            continue;
        group = true;
        if (command->verb && (typed->count < 2 || strcmp(command->verb, typed->words[1]) != 0))
            continue;
        ctl->command = command;
        *out_first = command->verb ? 2 : 1;
        return CTL_DONE;
    }
    if (!group)
        return unknown_group(typed->words[0]);
    if (typed->count < 2)
        return ctl_usage("'%s' needs one more word; see 'ekirei %s --help'", typed->words[0], typed->words[0]);
    return unknown_verb(typed->words[0], typed->words[1]);
}

/* How many arguments a command takes at least and at most, from its synopsis. */
static void count_arguments(const char *synopsis, size_t *out_least, size_t *out_most)
{
    struct slice rest = slice_of(synopsis), word;
    *out_least = *out_most = 0;
    while (slice_word(&rest, &word)) {
        *out_most = slice_ends_nocase(word, S("...")) ? CTL_ARGUMENTS : *out_most + 1;
        *out_least += word.ptr[0] != '[';
    }
}

/* Some names mean one thing to one command and another to the next: what was read as the first goes to the one that is meant. */
static void settle_names(struct ctl *ctl)
{
    uint32_t known = ctl->command->options;
    for (size_t at = 0; at < OPTIONS; at++)
        for (size_t other = 0; other < OPTIONS; other++)
            if (at != other && ctl->values[at] && !(known & WITH(at)) && (known & WITH(other)) &&
                strcmp(options[at].name, options[other].name) == 0) {
                ctl->values[other] = ctl->values[at];
                ctl->values[at] = NULL;
                break;
            }
}

static int check_usage(struct ctl *ctl, const struct typed *typed, size_t first)
{
    const struct ctl_command *command = ctl->command;
    size_t least, most, count = typed->count - first;
    settle_names(ctl);
    const char *verb = command->verb ? command->verb : "", *gap = command->verb ? " " : "";
    count_arguments(command->arguments, &least, &most);
    if (count < least || count > most)
        return ctl_usage("usage: ekirei %s%s%s%s%s; see 'ekirei %s%s%s --help'", command->group, gap, verb,
            most > 0 ? " " : "", command->arguments, command->group, gap, verb);
    for (size_t at = 0; at < count; at++)
        ctl->arguments[at] = typed->words[first + at];
    for (size_t at = 0; at < OPTIONS; at++) {
        if (ctl->values[at] && !((command->options | EVERYWHERE) & WITH(at)))
            return ctl_usage("'%s%s%s' has no option %s", command->group, gap, verb, options[at].name);
        if (!ctl->values[at] && (command->needed & WITH(at)))
            return ctl_usage("'%s%s%s' needs %s %s", command->group, gap, verb, options[at].name, options[at].value);
    }
    return CTL_DONE;
}

static const char *choose_dir(const struct ctl *ctl)
{
    const char *dir = ctl->values[OPTION_DIR];
    if (!dir)
        dir = getenv("EKIREI_DIR");
    return dir && dir[0] != '\0' ? dir : DEFAULT_DIR;
}

int cmd_serve(struct ctl *ctl)
{
    if (ctl->json)
        return ctl_usage("'serve' has no --json: it prints 'ready', and its log goes to stderr");
    return serve_main(ctl->dir);
}

int ctl_main(int argc, char **argv)
{
    struct ctl ctl = { .socket = -1, .arena = ARENA(COMMAND_ARENA) };
    struct typed typed = { .count = 0 };
    size_t first = 0;
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0))
        return cmd_version(&ctl);
    int code = read_words(&ctl, argc, argv, &typed);
    if (code != CTL_DONE)
        return code;
    bool help_word = typed.count > 0 && strcmp(typed.words[0], "help") == 0;
    if (typed.count == 2 && strcmp(typed.words[1], "help") == 0)
        return print_help(typed.words[0], NULL);
    if (ctl.values[OPTION_HELP] || help_word)
        return print_help(typed.words[help_word], typed.words[help_word + 1]);
    if (typed.count == 0)
        return ctl_usage("what shall it do?  'ekirei demo' shows everything, 'ekirei --help' lists all commands");
    code = find_command(&ctl, &typed, &first);
    if (code == CTL_DONE)
        code = check_usage(&ctl, &typed, first);
    if (code != CTL_DONE)
        return code;
    ctl.dir = choose_dir(&ctl);
    ctl.json = ctl.values[OPTION_JSON] != NULL;
    code = ctl.command->run(&ctl);
    ctl_close(&ctl);
    arena_done(&ctl.arena);
    if (fflush(stdout) != 0 || ferror(stdout))
        return ctl_failed("standard output cannot be written");
    return code;
}

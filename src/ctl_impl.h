/* ctl_impl.h - what the command groups share: the table's rows, what was typed, and the way to the keeper. */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "ask/ask.h"
#include "base/settings.h"

enum { CTL_DONE = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

enum ctl_option {
    OPTION_PASSWORD_STDIN,
    OPTION_HASH_STDIN,
    OPTION_LOGIN,
    OPTION_POP_BEFORE_SMTP,
    OPTION_NO_POP_BEFORE_SMTP,
    OPTION_NAME,
    OPTION_CERTIFICATE,
    OPTION_KEY_DIGEST,
    OPTION_ALLOW,
    OPTION_FROM,
    OPTION_EXPIRES,
    OPTION_DOMAIN,
    OPTION_HOSTNAME,
    OPTION_PORT_OFFSET,
    OPTION_SET,
    OPTION_ONCE,
    OPTION_LANG,
    OPTION_LISTEN,
    OPTION_REPORTS,
    OPTION_MAKE_KEY,
    OPTION_TO,
    OPTION_KEY,
    OPTION_LOCAL,
    OPTION_FAILED,
    OPTION_REPAIR,
    OPTION_TO_FOLDER,   /* "--to" and "--from" again: the command says which is meant */
    OPTION_FROM_FOLDER,
    OPTION_FORCE,
    /* for every command */
    OPTION_DIR,
    OPTION_JSON,
    OPTION_HELP,
    OPTIONS
};
#define WITH(option) (1u << (option))

#define CTL_ARGUMENTS 100u
#define CTL_SETS      128u /* --set on one command line: more than there are settings */

struct ctl;
struct ctl_command {
    const char *group, *verb; /* verb NULL: the group is the whole command */
    const char *arguments;    /* "ADDRESS [NAME]": words in brackets may be left out; one that ends in "..." stands for many */
    uint32_t options, needed; /* sets of WITH() */
    const char *help;
    int (*run)(struct ctl *);
};

struct ctl {
    const struct ctl_command *command;
    const char *dir;
    bool json;
    const char *arguments[CTL_ARGUMENTS]; /* NULL: not given */
    const char *values[OPTIONS];          /* NULL: not given; "" for an option without a value */
    const char *sets[CTL_SETS];
    size_t set_count;
    struct arena arena; /* lives as long as the command */

    /* the way to the keeper (ctl_ask.c): a server's socket, or the keeper's own handlers */
    int socket;
    bool is_open;
    struct keeper_alone *alone;
    bool as_is;  /* without a server: the store is opened to be looked at */
    bool beside; /* without a server: a child has the store and answers, and this process keeps its rights */
    pid_t child; /* that one */
    struct settings *settings;
    struct buf scratch; /* behind the answer's slices */
    struct arena answer_arena;
    struct secret *key;
};

/* ---- saying it (ctl_print.c) ---- */

/* "ekirei: ..." on stderr; gives CTL_FAILED or CTL_USAGE. */
int ctl_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
int ctl_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ctl_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum ctl_column_kind { COLUMN_TEXT, COLUMN_NUMBER, COLUMN_SIZE, COLUMN_SECONDS, COLUMN_YESNO };
struct ctl_column {
    const char *key, *heading; /* key within the object of a row; heading NULL ends the list */
    enum ctl_column_kind kind;
};
/* An array of objects: as JSON whole, for people as an aligned table of these columns (`none` where there is no row).
 * Takes over `rows`. */
int ctl_print_rows(const struct ctl *ctl, json_t *rows, const struct ctl_column *columns, const char *none);
/* Gives `code` back; for what will not be printed, because something failed.  Takes over `value`. */
int ctl_drop(json_t *value, int code);
/* One object: as JSON, or a "name: value" line for each column.  Takes over `object`. */
int ctl_print_object(const struct ctl *ctl, json_t *object, const struct ctl_column *columns);
/* One line for people, or the object for machines.  Takes over `object`. */
int ctl_print_line(const struct ctl *ctl, json_t *object, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Members of a JSON object.  Octets that are no UTF-8 become '?', a time of 0 becomes null. */
void ctl_put_text(json_t *object, const char *key, struct slice text);
void ctl_put_number(json_t *object, const char *key, uint64_t number);
void ctl_put_time(json_t *object, const char *key, wall when);
void ctl_put_yesno(json_t *object, const char *key, bool yes);
/* Text for a terminal: without control octets. */
void ctl_show_text(const char *text, size_t len);

/* ---- asking the keeper (ctl_ask.c) ---- */

/* Puts one ask; 0 and the answer, whose slices live until the next ask, or the exit status of the command, explained on
 * stderr.  `subject` is what the explanation names. */
int ctl_ask(struct ctl *ctl, const struct ask *ask, const char *subject, struct answer *out_answer);
/* The key of the last row of a page, copied: it must outlive the answer that it came with. */
struct slice ctl_after(char *room, size_t size, struct slice key);
struct slice ctl_after_pair(char *room, size_t size, struct slice first, struct slice second); /* "first second" */
void ctl_close(struct ctl *ctl);
/* Connects to a running server, if there is one; for what needs no store.  CTL_FAILED where there is one that cannot be talked to. */
int ctl_reach(struct ctl *ctl, bool *out_served);
/* After an ask: gives up root's rights and all files but the store's, where that has not happened yet. */
int ctl_lock_in(struct ctl *ctl);
bool ctl_is_served(const struct ctl *ctl); /* after an ask: was it a running server that answered? */
/* Reads DIR/ekirei.conf. */
int ctl_settings(const struct ctl *ctl, struct settings **out_settings);

/* ---- reading what was typed (ctl_typed.c) ---- */

/* An account's address in canonical form; CTL_USAGE if it is none. */
int ctl_typed_address(struct ctl *ctl, const char *typed, struct slice *out_address);
/* An address anywhere: its local part stays as it was typed. */
int ctl_typed_target(struct ctl *ctl, const char *typed, struct slice *out_address);
int ctl_typed_domain(struct ctl *ctl, const char *typed, struct slice *out_domain);
/* A password from stdin (one line end at its end is not part of it) or, on a terminal, typed twice. */
int ctl_typed_password(struct ctl *ctl, struct slice address, struct secret *out_password);
/* A password's hash from stdin, as another program keeps it. */
int ctl_typed_hash(struct secret *out_hash);
int ctl_typed_label(struct slice name);     /* of a device */
int ctl_typed_networks(struct slice typed); /* "192.0.2.0/24,...", or nothing */
int ctl_typed_expiry(const char *typed, wall *out_when);
int ctl_typed_allow(const char *typed, uint8_t *out_rights, uint32_t *out_mechanisms);
#define CTL_KEY 32u /* octets of a public key's digest */
/* ctl_key.c: of a PEM file's certificate or public key, and as 64 digits. */
int ctl_typed_certificate(const char *path, uint8_t out_digest[CTL_KEY]);
int ctl_typed_digest(struct slice typed, uint8_t out_digest[CTL_KEY]);
/* The words that ctl_typed_allow() would read: "imap pop3 ...", for lists. */
void ctl_put_allow(json_t *object, uint8_t rights, uint32_t mechanisms);

/* ---- commands ---- */

int cmd_init(struct ctl *ctl);
int cmd_demo(struct ctl *ctl);
int cmd_serve(struct ctl *ctl);
int cmd_account_add(struct ctl *ctl);
int cmd_account_list(struct ctl *ctl);
int cmd_account_show(struct ctl *ctl);
int cmd_account_password(struct ctl *ctl);
int cmd_account_set(struct ctl *ctl);
int cmd_account_disable(struct ctl *ctl);
int cmd_account_enable(struct ctl *ctl);
int cmd_account_remove(struct ctl *ctl);
int cmd_device_add(struct ctl *ctl);
int cmd_device_list(struct ctl *ctl);
int cmd_device_revoke(struct ctl *ctl);
int cmd_alias_add(struct ctl *ctl);
int cmd_alias_list(struct ctl *ctl);
int cmd_alias_remove(struct ctl *ctl);
int cmd_domain_add(struct ctl *ctl);
int cmd_domain_list(struct ctl *ctl);
int cmd_domain_remove(struct ctl *ctl);
int cmd_lease_list(struct ctl *ctl);
int cmd_lease_revoke(struct ctl *ctl);
int cmd_queue_list(struct ctl *ctl);
int cmd_queue_show(struct ctl *ctl);
int cmd_queue_retry(struct ctl *ctl);
int cmd_queue_hold(struct ctl *ctl);
int cmd_queue_release(struct ctl *ctl);
int cmd_queue_remove(struct ctl *ctl);
int cmd_status(struct ctl *ctl);
int cmd_policy(struct ctl *ctl);
int cmd_report(struct ctl *ctl);
int cmd_why(struct ctl *ctl);
int cmd_check(struct ctl *ctl);
int cmd_backup(struct ctl *ctl);
int cmd_restore(struct ctl *ctl);
int cmd_export(struct ctl *ctl);
int cmd_config_check(struct ctl *ctl);
int cmd_config_show(struct ctl *ctl);
int cmd_version(struct ctl *ctl);

/* Rows of lists, shared by the lists and `account show`. */
int ctl_device_rows(struct ctl *ctl, struct slice about, json_t *out_rows);
int ctl_alias_rows(struct ctl *ctl, struct slice about, json_t *out_rows);
int ctl_lease_rows(struct ctl *ctl, struct slice about, json_t *out_rows);

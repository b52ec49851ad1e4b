#include <stdio.h>

#include "base/must.h"
#include "base/secret.h"
#include "ctl_impl.h"

static const struct ctl_column columns[] = {
    { "address", "ADDRESS", COLUMN_TEXT },
    { "login", "LOGIN", COLUMN_TEXT },
    { "enabled", "ENABLED", COLUMN_YESNO },
    { "pop_before_smtp", "POP-BEFORE-SMTP", COLUMN_YESNO },
    { "messages", "MESSAGES", COLUMN_NUMBER },
    { "octets", "SIZE", COLUMN_SIZE },
    { "device_count", "DEVICES", COLUMN_NUMBER },
    { "last_login", "LAST LOGIN", COLUMN_TEXT },
    { NULL, NULL, COLUMN_TEXT },
};

static json_t *object_of(const struct account_row *row)
{
    json_t *object = json_object();
    ctl_put_text(object, "address", row->address);
    ctl_put_text(object, "login", row->login);
    ctl_put_number(object, "id", row->id);
    ctl_put_yesno(object, "enabled", row->enabled);
    ctl_put_yesno(object, "pop_before_smtp", row->pop_before_smtp);
    ctl_put_number(object, "messages", row->messages);
    ctl_put_number(object, "octets", row->octets);
    ctl_put_number(object, "device_count", row->devices);
    ctl_put_time(object, "created", row->created);
    ctl_put_time(object, "last_login", row->last_login);
    return object;
}

static json_t *named(struct slice address)
{
    json_t *object = json_object();
    ctl_put_text(object, "address", address);
    return object;
}

/* A password, or with --hash-stdin what another program made of one. */
static int typed_secret(struct ctl *ctl, struct slice address, struct secret *out_secret)
{
    if (!ctl->values[OPTION_HASH_STDIN])
        return ctl_typed_password(ctl, address, out_secret);
    if (ctl->values[OPTION_PASSWORD_STDIN])
        return ctl_usage("--password-stdin and --hash-stdin exclude each other: standard input is one of them");
    return ctl_typed_hash(out_secret);
}

int cmd_account_add(struct ctl *ctl)
{
    struct secret password = { 0 };
    struct answer answer;
    struct ask ask = { .kind = ASK_ACCOUNT_ADD, .fd = -1 };
    struct slice address;
    int code = ctl_typed_address(ctl, ctl->arguments[0], &address);
    if (code == CTL_DONE)
        code = typed_secret(ctl, address, &password);
    if (code == CTL_DONE) {
        ask.account_add = (struct ask_account_add){ .address = address,
            .login = slice_of(ctl->values[OPTION_LOGIN]),
            .secret = secret_slice(&password),
            .pop_before_smtp = ctl->values[OPTION_POP_BEFORE_SMTP] != NULL,
            .hashed = ctl->values[OPTION_HASH_STDIN] != NULL };
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    }
    secret_wipe(&password);
    if (code != CTL_DONE)
        return code;
    return ctl_print_line(ctl, named(address), "account %.*s made", (int)address.len, address.ptr);
}

int cmd_account_list(struct ctl *ctl)
{
    char after[LIMIT_PATH];
    struct answer answer;
    struct ask ask = { .kind = ASK_ACCOUNT_LIST, .fd = -1 };
    json_t *rows = json_array();
    do {
        int code = ctl_ask(ctl, &ask, "account list", &answer);
        if (code != CTL_DONE)
            return ctl_drop(rows, code);
        for (uint32_t at = 0; at < answer.account_list.rows.count; at++)
            json_array_append_new(rows, object_of(row_of(struct account_row, answer.account_list.rows, at)));
        if (answer.account_list.rows.count > 0)
            ask.list.after = ctl_after(after, sizeof after,
                row_of(struct account_row, answer.account_list.rows, answer.account_list.rows.count - 1)->address);
    } while (answer.account_list.more && answer.account_list.rows.count > 0);
    return ctl_print_rows(ctl, rows, columns, "no accounts yet: make one with 'ekirei account add ADDRESS'");
}

static void show_list(const char *title, const json_t *rows, const char *first, const char *label, const char *second)
{
    size_t at;
    json_t *row;
    json_array_foreach(rows, at, row)
    {
        const json_t *one = json_object_get(row, first), *two = json_object_get(row, second);
        printf("%s: ", title);
        ctl_show_text(json_string_value(one), json_string_length(one));
        printf(", %s ", label);
        if (json_is_integer(two))
            printf("%" JSON_INTEGER_FORMAT, json_integer_value(two));
        else
            ctl_show_text(
                json_is_string(two) ? json_string_value(two) : "-", json_is_string(two) ? json_string_length(two) : 1);
        printf("\n");
    }
}

/* Fills in what belongs to the account; the three lists are the object's then. */
static int put_belongings(struct ctl *ctl, struct slice address, json_t *object)
{
    static const struct {
        const char *key;
        int (*rows)(struct ctl *ctl, struct slice about, json_t *out_rows);
    } lists[] = { { "devices", ctl_device_rows }, { "aliases", ctl_alias_rows }, { "leases", ctl_lease_rows } };
    for (size_t at = 0; at < sizeof lists / sizeof lists[0]; at++) {
        json_t *rows = json_array();
        int set = json_object_set_new(object, lists[at].key, rows);
        must(set == 0);
        int code = lists[at].rows(ctl, address, rows);
        if (code != CTL_DONE)
            return code;
    }
    return CTL_DONE;
}

int cmd_account_show(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_ACCOUNT_LIST, .fd = -1 };
    struct slice address;
    int code = ctl_typed_address(ctl, ctl->arguments[0], &address);
    ask.list.about = address;
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    if (answer.account_list.rows.count == 0)
        return ctl_failed("there is no account %s; 'ekirei account list' shows all", ctl->arguments[0]);
    json_t *object = object_of(row_of(struct account_row, answer.account_list.rows, 0));
    code = put_belongings(ctl, address, object);
    if (code != CTL_DONE)
        return ctl_drop(object, code);
    json_incref(object);
    code = ctl_print_object(ctl, object, columns);
    if (!ctl->json) {
        show_list("device", json_object_get(object, "devices"), "name", "last used", "last_used");
        show_list("alias", json_object_get(object, "aliases"), "address", "target", "target");
        show_list("lease", json_object_get(object, "leases"), "ip", "seconds left", "seconds_left");
    }
    return ctl_drop(object, code);
}

int cmd_account_password(struct ctl *ctl)
{
    struct secret password = { 0 };
    struct answer answer;
    struct slice address;
    int code = ctl_typed_address(ctl, ctl->arguments[0], &address);
    if (code == CTL_DONE)
        code = typed_secret(ctl, address, &password);
    if (code == CTL_DONE) {
        struct ask ask = {
            .kind = ASK_ACCOUNT_PASSWORD, .fd = -1, .account_password = { address, secret_slice(&password), ctl->values[OPTION_HASH_STDIN] != NULL }
        };
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    }
    secret_wipe(&password);
    if (code != CTL_DONE)
        return code;
    return ctl_print_line(ctl, named(address), "%.*s has a new password; its sessions and leases are over",
        (int)address.len, address.ptr);
}

#define AS_IT_IS 2

static int change(struct ctl *ctl, uint8_t enabled, uint8_t pop_before_smtp, const char *done)
{
    struct answer answer;
    struct slice address;
    int code = ctl_typed_address(ctl, ctl->arguments[0], &address);
    struct ask ask = { .kind = ASK_ACCOUNT_SET, .fd = -1, .account_set = { address, enabled, pop_before_smtp } };
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    return ctl_print_line(ctl, named(address), "%.*s %s", (int)address.len, address.ptr, done);
}

int cmd_account_set(struct ctl *ctl)
{
    bool on = ctl->values[OPTION_POP_BEFORE_SMTP], off = ctl->values[OPTION_NO_POP_BEFORE_SMTP];
    if (on == off)
        return ctl_usage("'account set' needs one of --pop-before-smtp and --no-pop-before-smtp");
    return change(ctl, AS_IT_IS, on, on ? "may use POP before SMTP" : "may not use POP before SMTP any more");
}

int cmd_account_disable(struct ctl *ctl)
{
    return change(ctl, false, AS_IT_IS, "is disabled");
}
int cmd_account_enable(struct ctl *ctl)
{
    return change(ctl, true, AS_IT_IS, "is enabled");
}

int cmd_account_remove(struct ctl *ctl)
{
    struct answer answer;
    struct slice address;
    int code = ctl_typed_address(ctl, ctl->arguments[0], &address);
    struct ask ask = { .kind = ASK_ACCOUNT_REMOVE, .fd = -1, .account = { address } };
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    return ctl_print_line(
        ctl, named(address), "account %.*s is removed with its mail and devices", (int)address.len, address.ptr);
}

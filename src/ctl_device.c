#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "ctl_impl.h"

static const struct ctl_column columns[] = {
    { "address", "ADDRESS", COLUMN_TEXT },
    { "name", "NAME", COLUMN_TEXT },
    { "allow", "ALLOW", COLUMN_TEXT },
    { "from", "FROM", COLUMN_TEXT },
    { "created", "CREATED", COLUMN_TEXT },
    { "expires", "EXPIRES", COLUMN_TEXT },
    { "last_used", "LAST USED", COLUMN_TEXT },
    { NULL, NULL, COLUMN_TEXT },
};

static json_t *object_of(const struct device_row *row)
{
    json_t *object = json_object();
    ctl_put_text(object, "address", row->address);
    ctl_put_text(object, "name", row->name);
    ctl_put_allow(object, row->rights, row->mechanisms);
    ctl_put_text(object, "from", row->from);
    ctl_put_time(object, "created", row->created);
    ctl_put_time(object, "expires", row->expires);
    ctl_put_time(object, "last_used", row->last_used);
    return object;
}

int ctl_device_rows(struct ctl *ctl, struct slice about, json_t *out_rows)
{
    char after[LIMIT_PATH + LIMIT_DEVICE_NAME + 1];
    struct answer answer;
    struct ask ask = { .kind = ASK_DEVICE_LIST, .fd = -1, .list = { .about = about } };
    do {
        int code = ctl_ask(ctl, &ask, "device list", &answer);
        if (code != CTL_DONE)
            return code;
        const struct rows *rows = &answer.device_list.rows;
        for (uint32_t at = 0; at < rows->count; at++)
            json_array_append_new(out_rows, object_of(row_of(struct device_row, *rows, at)));
        if (rows->count > 0) {
            const struct device_row *last = row_of(struct device_row, *rows, rows->count - 1);
            ask.list.after = ctl_after_pair(after, sizeof after, last->address, last->name);
        }
    } while (answer.device_list.more && answer.device_list.rows.count > 0);
    return CTL_DONE;
}

int cmd_device_list(struct ctl *ctl)
{
    struct slice about = NO_SLICE;
    json_t *rows = json_array();
    int code = ctl->arguments[0] ? ctl_typed_address(ctl, ctl->arguments[0], &about) : CTL_DONE;
    if (code == CTL_DONE)
        code = ctl_device_rows(ctl, about, rows);
    return code == CTL_DONE ? ctl_print_rows(ctl, rows, columns, "no device passwords") : ctl_drop(rows, code);
}

static const struct ctl_column made[] = {
    { "login", "login name", COLUMN_TEXT },
    { "password", "password (shown once)", COLUMN_TEXT },
    { "allow", "good for", COLUMN_TEXT },
    { NULL, NULL, COLUMN_TEXT },
};

int cmd_device_add(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_DEVICE_ADD, .fd = -1 };
    struct ask_device_add *add = &ask.device_add;
    const char *allow = ctl->values[OPTION_ALLOW], *expires = ctl->values[OPTION_EXPIRES];
    add->name = slice_of(ctl->values[OPTION_NAME]);
    add->from = slice_of(ctl->values[OPTION_FROM]);
    int code = ctl_typed_address(ctl, ctl->arguments[0], &add->address);
    if (code == CTL_DONE)
        code = ctl_typed_allow(allow ? allow : "all", &add->rights, &add->mechanisms);
    if (code == CTL_DONE && expires)
        code = ctl_typed_expiry(expires, &add->expires);
    if (code == CTL_DONE)
        code = ctl_typed_label(add->name);
    if (code == CTL_DONE)
        code = ctl_typed_networks(add->from);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    json_t *object = json_object();
    ctl_put_text(object, "address", add->address);
    ctl_put_text(object, "login", add->address);
    ctl_put_text(object, "name", add->name);
    ctl_put_text(object, "password", answer.device_add.secret);
    ctl_put_allow(object, add->rights, add->mechanisms);
    ctl_put_text(object, "from", add->from);
    ctl_put_time(object, "expires", add->expires);
    return ctl_print_object(ctl, object, made);
}

int cmd_device_revoke(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_DEVICE_REVOKE, .fd = -1 };
    ask.device_revoke.name = slice_of(ctl->arguments[1]);
    int code = ctl_typed_address(ctl, ctl->arguments[0], &ask.device_revoke.address);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    if (answer.count.count == 0)
        return ctl_failed("there is no such device of %s; 'ekirei device list' shows all", ctl->arguments[0]);
    json_t *object = json_object();
    ctl_put_number(object, "count", answer.count.count);
    return ctl_print_line(
        ctl, object, "%u device password%s revoked", answer.count.count, answer.count.count == 1 ? "" : "s");
}

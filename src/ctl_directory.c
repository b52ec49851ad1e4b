/* ctl_directory.c - aliases and domains. */
#include <stdio.h>

#include "ctl_impl.h"

/* ---- aliases ---- */

static const struct ctl_column alias_columns[] = {
    { "address", "ADDRESS", COLUMN_TEXT },
    { "target", "TARGET", COLUMN_TEXT },
    { NULL, NULL, COLUMN_TEXT },
};

static json_t *alias_object(struct slice address, struct slice target)
{
    json_t *object = json_object();
    ctl_put_text(object, "address", address);
    ctl_put_text(object, "target", target);
    return object;
}

/* "@domain" takes everything that no account or other alias of the domain takes. */
static int typed_alias(struct ctl *ctl, const char *typed, struct slice *out_address)
{
    struct slice domain;
    if (typed[0] != '@')
        return ctl_typed_address(ctl, typed, out_address);
    int code = ctl_typed_domain(ctl, typed + 1, &domain);
    if (code != CTL_DONE)
        return code;
    char *copy = arena_take(&ctl->arena, domain.len + 2);
    if (!copy)
        return ctl_usage("'%s' is too long", typed);
    int len = snprintf(copy, domain.len + 2, "@%.*s", (int)domain.len, domain.ptr);
    *out_address = (struct slice){ copy, (size_t)len };
    return CTL_DONE;
}

int ctl_alias_rows(struct ctl *ctl, struct slice about, json_t *out_rows)
{
    char after[2 * LIMIT_PATH + 1];
    struct answer answer;
    struct ask ask = { .kind = ASK_ALIAS_LIST, .fd = -1, .list = { .about = about } };
    do {
        int code = ctl_ask(ctl, &ask, "alias list", &answer);
        if (code != CTL_DONE)
            return code;
        const struct rows *rows = &answer.alias_list.rows;
        for (uint32_t at = 0; at < rows->count; at++) {
            const struct alias_row *row = row_of(struct alias_row, *rows, at);
            json_array_append_new(out_rows, alias_object(row->address, row->target));
            if (at + 1 == rows->count)
                ask.list.after = ctl_after_pair(after, sizeof after, row->address, row->target);
        }
    } while (answer.alias_list.more && answer.alias_list.rows.count > 0);
    return CTL_DONE;
}

int cmd_alias_list(struct ctl *ctl)
{
    struct slice about = NO_SLICE;
    json_t *rows = json_array();
    int code = ctl->arguments[0] ? typed_alias(ctl, ctl->arguments[0], &about) : CTL_DONE;
    if (code == CTL_DONE)
        code = ctl_alias_rows(ctl, about, rows);
    return code == CTL_DONE ? ctl_print_rows(ctl, rows, alias_columns, "no aliases") : ctl_drop(rows, code);
}

int cmd_alias_add(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_ALIAS_ADD, .fd = -1 };
    int code = typed_alias(ctl, ctl->arguments[0], &ask.alias.address);
    if (code == CTL_DONE)
        code = ctl_typed_target(ctl, ctl->arguments[1], &ask.alias.target);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    return ctl_print_line(ctl, alias_object(ask.alias.address, ask.alias.target), "mail for %s goes to %s",
        ctl->arguments[0], ctl->arguments[1]);
}

int cmd_alias_remove(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_ALIAS_REMOVE, .fd = -1 };
    int code = typed_alias(ctl, ctl->arguments[0], &ask.alias.address);
    if (code == CTL_DONE && ctl->arguments[1])
        code = ctl_typed_target(ctl, ctl->arguments[1], &ask.alias.target);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    if (answer.count.count == 0)
        return ctl_failed("there is no such alias %s; 'ekirei alias list' shows all", ctl->arguments[0]);
    json_t *object = json_object();
    ctl_put_number(object, "count", answer.count.count);
    return ctl_print_line(ctl, object, "%u target%s of %s removed", answer.count.count,
        answer.count.count == 1 ? "" : "s", ctl->arguments[0]);
}

/* ---- domains ---- */

static const struct ctl_column domain_columns[] = {
    { "domain", "DOMAIN", COLUMN_TEXT },
    { "accounts", "ACCOUNTS", COLUMN_NUMBER },
    { NULL, NULL, COLUMN_TEXT },
};

int cmd_domain_list(struct ctl *ctl)
{
    char after[LIMIT_DOMAIN];
    struct answer answer;
    struct ask ask = { .kind = ASK_DOMAIN_LIST, .fd = -1 };
    json_t *objects = json_array();
    do {
        int code = ctl_ask(ctl, &ask, "domain list", &answer);
        if (code != CTL_DONE)
            return ctl_drop(objects, code);
        const struct rows *rows = &answer.domain_list.rows;
        for (uint32_t at = 0; at < rows->count; at++) {
            const struct domain_row *row = row_of(struct domain_row, *rows, at);
            json_t *object = json_object();
            ctl_put_text(object, "domain", row->name);
            ctl_put_number(object, "accounts", row->accounts);
            json_array_append_new(objects, object);
            if (at + 1 == rows->count)
                ask.list.after = ctl_after(after, sizeof after, row->name);
        }
    } while (answer.domain_list.more && answer.domain_list.rows.count > 0);
    return ctl_print_rows(ctl, objects, domain_columns, "no domains: add one with 'ekirei domain add DOMAIN'");
}

static int change_domain(struct ctl *ctl, enum ask_kind kind, const char *done)
{
    struct answer answer;
    struct ask ask = { .kind = kind, .fd = -1 };
    int code = ctl_typed_domain(ctl, ctl->arguments[0], &ask.domain.name);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    json_t *object = json_object();
    ctl_put_text(object, "domain", ask.domain.name);
    return ctl_print_line(ctl, object, "%s %s", done, ctl->arguments[0]);
}

int cmd_domain_add(struct ctl *ctl)
{
    return change_domain(ctl, ASK_DOMAIN_ADD, "mail is taken for");
}
int cmd_domain_remove(struct ctl *ctl)
{
    return change_domain(ctl, ASK_DOMAIN_REMOVE, "no more mail is taken for");
}

/* ctl_status.c - leases, status, version. */
#include <stdio.h>
#include <string.h>

#include "base/ip.h"
#include "ctl_impl.h"

/* ---- leases ---- */

static const struct ctl_column lease_columns[] = {
    { "id", "ID", COLUMN_NUMBER },
    { "address", "ACCOUNT", COLUMN_TEXT },
    { "ip", "FROM", COLUMN_TEXT },
    { "protocol", "BY", COLUMN_TEXT },
    { "device", "DEVICE", COLUMN_TEXT },
    { "office", "OFFICE", COLUMN_TEXT },
    { "seconds_left", "TIME LEFT", COLUMN_SECONDS },
    { "messages_left", "MESSAGES LEFT", COLUMN_NUMBER },
    { "recipients_left", "RECIPIENTS LEFT", COLUMN_NUMBER },
    { NULL, NULL, COLUMN_TEXT },
};

static json_t *lease_object(const struct lease_row *row)
{
    char ip[IP_TEXT];
    size_t len = ip_text(row->peer, ip);
    json_t *object = json_object();
    ctl_put_number(object, "id", row->id);
    ctl_put_text(object, "address", row->address);
    ctl_put_text(object, "ip", (struct slice){ ip, len });
    ctl_put_text(object, "protocol", row->protocol);
    ctl_put_text(object, "device", row->device);
    ctl_put_text(object, "office", row->office);
    ctl_put_number(object, "seconds_left", row->seconds_left);
    ctl_put_number(object, "messages_left", row->messages_left);
    ctl_put_number(object, "recipients_left", row->recipients_left);
    return object;
}

/* For people only: programs read a list of leases. */
static void say_shared(const struct ctl *ctl, const struct rows *rows)
{
    for (uint32_t at = 0; !ctl->json && at < rows->count; at++) {
        const struct shared_row *row = row_of(struct shared_row, *rows, at);
        char ip[IP_TEXT];
        ip_text(row->network, ip);
        printf("no leases at %s%s: %u accounts or more were there within the hour, and it is in no pop_before_smtp.office_networks\n",
            ip, ip_is_v4(row->network) ? "" : "/64", row->accounts);
    }
}

int ctl_lease_rows(struct ctl *ctl, struct slice about, json_t *out_rows)
{
    char after[16];
    struct answer answer;
    struct ask ask = { .kind = ASK_LEASE_LIST, .fd = -1, .list = { .about = about } };
    do {
        int code = ctl_ask(ctl, &ask, "lease list", &answer);
        if (code != CTL_DONE)
            return code;
        const struct rows *rows = &answer.lease_list.rows;
        say_shared(ctl, &answer.lease_list.shared);
        for (uint32_t at = 0; at < rows->count; at++) {
            const struct lease_row *row = row_of(struct lease_row, *rows, at);
            json_array_append_new(out_rows, lease_object(row));
            int len = snprintf(after, sizeof after, "%u", row->id);
            ask.list.after = (struct slice){ after, (size_t)len };
        }
    } while (answer.lease_list.more && answer.lease_list.rows.count > 0);
    return CTL_DONE;
}

/* An account's address or an IP address; nothing is all. */
static int typed_about(struct ctl *ctl, struct slice *out_about)
{
    const char *typed = ctl->arguments[0];
    struct ip ip;
    *out_about = slice_of(typed);
    if (!typed || ip_parse(*out_about, &ip) == STATUS_OK)
        return CTL_DONE;
    if (!strchr(typed, '@'))
        return ctl_usage("'%s' is neither an account nor an IP address: write name@domain, 192.0.2.7 or 2001:db8::7", typed);
    return ctl_typed_address(ctl, typed, out_about);
}

int cmd_lease_list(struct ctl *ctl)
{
    struct slice about;
    json_t *rows = json_array();
    int code = typed_about(ctl, &about);
    if (code == CTL_DONE)
        code = ctl_lease_rows(ctl, about, rows);
    return code == CTL_DONE
               ? ctl_print_rows(ctl, rows, lease_columns, "no leases: nobody may send by POP before SMTP now")
               : ctl_drop(rows, code);
}

int cmd_lease_revoke(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_LEASE_REVOKE, .fd = -1 };
    int code = typed_about(ctl, &ask.lease_revoke.about);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0] ? ctl->arguments[0] : "all", &answer);
    if (code != CTL_DONE)
        return code;
    json_t *object = json_object();
    ctl_put_number(object, "count", answer.count.count);
    return ctl_print_line(ctl, object, "%u lease%s revoked", answer.count.count, answer.count.count == 1 ? "" : "s");
}

/* ---- status ---- */

static const struct ctl_column status_columns[] = {
    { "server", "server", COLUMN_TEXT },
    { "version", "version", COLUMN_TEXT },
    { "uptime_seconds", "running for", COLUMN_SECONDS },
    { "accounts", "accounts", COLUMN_NUMBER },
    { "domains", "domains", COLUMN_NUMBER },
    { "messages", "messages", COLUMN_NUMBER },
    { "octets", "stored", COLUMN_SIZE },
    { "queued", "waiting to leave", COLUMN_NUMBER },
    { "leases", "leases", COLUMN_NUMBER },
    { "sessions", "sessions logged in", COLUMN_NUMBER },
    { "disk_free", "room on the disk", COLUMN_SIZE },
    { NULL, NULL, COLUMN_TEXT },
};

int cmd_status(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_STATUS, .fd = -1 };
    int code = ctl_ask(ctl, &ask, "status", &answer);
    if (code != CTL_DONE)
        return code;
    const struct answer_status *about = &answer.about;
    json_t *object = json_object();
    ctl_put_text(object, "server", ctl_is_served(ctl) ? S("running") : S("stopped"));
    ctl_put_text(object, "version", about->version);
    ctl_put_number(object, "uptime_seconds", ctl_is_served(ctl) ? about->uptime_seconds : 0);
    ctl_put_number(object, "accounts", about->accounts);
    ctl_put_number(object, "domains", about->domains);
    ctl_put_number(object, "messages", about->messages);
    ctl_put_number(object, "octets", about->octets);
    ctl_put_number(object, "queued", about->queued);
    ctl_put_number(object, "leases", about->leases);
    ctl_put_number(object, "sessions", about->sessions);
    ctl_put_number(object, "disk_free", about->disk_free);
    ctl_put_number(object, "schema", about->schema);
    ctl_put_number(object, "commits", about->commits);
    ctl_put_number(object, "jobs", about->jobs);
    return ctl_print_object(ctl, object, status_columns);
}

int cmd_version(struct ctl *ctl)
{
    json_t *object = json_object();
    ctl_put_text(object, "version", S(EKIREI_VERSION));
    return ctl_print_line(ctl, object, "ekirei " EKIREI_VERSION);
}

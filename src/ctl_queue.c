#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl_impl.h"

static const struct ctl_column columns[] = {
    { "id", "ID", COLUMN_NUMBER },
    { "state", "STATE", COLUMN_TEXT },
    { "size", "SIZE", COLUMN_SIZE },
    { "arrived", "ARRIVED", COLUMN_TEXT },
    { "attempts", "TRIES", COLUMN_NUMBER },
    { "next", "NEXT TRY", COLUMN_TEXT },
    { "sender", "FROM", COLUMN_TEXT },
    { "recipient", "TO", COLUMN_TEXT },
    { "last_reply", "LAST REPLY", COLUMN_TEXT },
    { NULL, NULL, COLUMN_TEXT },
};

static const char *state_of(const struct queue_row *row)
{
    if (row->state == QUEUE_HELD)
        return "held";
    return row->delivered ? "notice" : "waiting"; /* a notice: the mail is delivered, its sender is to be told */
}

static json_t *object_of(const struct queue_row *row)
{
    json_t *object = json_object();
    ctl_put_number(object, "id", row->id);
    ctl_put_text(object, "state", slice_of(state_of(row)));
    ctl_put_number(object, "size", row->size);
    ctl_put_time(object, "arrived", row->arrived);
    ctl_put_number(object, "attempts", row->attempts);
    ctl_put_time(object, "next", row->state == QUEUE_HELD ? 0 : row->next);
    ctl_put_text(object, "sender", row->sender);
    ctl_put_text(object, "recipient", row->recipient);
    ctl_put_text(object, "last_reply", row->last_reply);
    return object;
}

int cmd_queue_list(struct ctl *ctl)
{
    char after[LIMIT_PATH];
    struct answer answer;
    struct ask ask = { .kind = ASK_QUEUE_LIST, .fd = -1 };
    json_t *objects = json_array();
    do {
        int code = ctl_ask(ctl, &ask, "queue list", &answer);
        if (code != CTL_DONE)
            return ctl_drop(objects, code);
        const struct rows *rows = &answer.queue_list.rows;
        for (uint32_t at = 0; at < rows->count; at++) {
            const struct queue_row *row = row_of(struct queue_row, *rows, at);
            json_array_append_new(objects, object_of(row));
            if (at + 1 < rows->count)
                continue;
            ask.queue_list.after_id = row->id;
            ask.queue_list.after_recipient = ctl_after(after, sizeof after, row->recipient);
        }
    } while (answer.queue_list.more && answer.queue_list.rows.count > 0);
    return ctl_print_rows(ctl, objects, columns, "no mail waits to leave");
}

/* ID as `queue list` shows it; "all", or nothing where `all` may be meant, is 0. */
static int typed_id(const char *typed, bool all, uint64_t *out_id)
{
    *out_id = 0;
    if (!typed || (all && strcmp(typed, "all") == 0))
        return CTL_DONE;
    if (slice_number(slice_of(typed), INT64_MAX, out_id) != STATUS_OK || *out_id == 0)
        return ctl_usage("'%s' is no queue id: 'ekirei queue list' shows them", typed);
    return CTL_DONE;
}

int cmd_queue_show(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_QUEUE_SHOW, .fd = -1 };
    int code = typed_id(ctl->arguments[0], false, &ask.queue_show.id);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    const struct answer_queue_show *show = &answer.queue_show;
    json_t *objects = json_array();
    for (uint32_t at = 0; at < show->rows.count; at++)
        json_array_append_new(objects, object_of(row_of(struct queue_row, show->rows, at)));
    if (ctl->json) {
        json_t *object = json_object();
        ctl_put_number(object, "id", ask.queue_show.id);
        json_object_set_new(object, "recipients", objects);
        ctl_put_text(object, "header", show->header);
        return ctl_print_object(ctl, object, columns);
    }
    ctl_print_rows(ctl, objects, columns, "no recipient is left");
    printf("\n");
    struct slice rest = show->header, line;
    while (slice_cut(&rest, '\n', &line)) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        bool folded = line.len > 0 && line.ptr[0] == '\t';
        printf(folded ? "    " : "");
        ctl_show_text(line.ptr + folded, line.len - folded);
        printf("\n");
    }
    return CTL_DONE;
}

static int change(struct ctl *ctl, enum queue_change how, const char *done)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_QUEUE_CHANGE, .fd = -1, .queue_change = { .change = (uint8_t)how } };
    const char *subject = ctl->arguments[0] ? ctl->arguments[0] : "all";
    int code = typed_id(ctl->arguments[0], true, &ask.queue_change.id);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, subject, &answer);
    if (code != CTL_DONE)
        return code;
    if (answer.count.count == 0 && ask.queue_change.id != 0)
        return ctl_failed("there is no message %s in the queue; 'ekirei queue list' shows all", subject);
    json_t *object = json_object();
    ctl_put_number(object, "count", answer.count.count);
    return ctl_print_line(ctl, object, "%u %s", answer.count.count, done);
}

int cmd_queue_retry(struct ctl *ctl)
{
    return change(ctl, QUEUE_RETRY, "to be tried now");
}
int cmd_queue_hold(struct ctl *ctl)
{
    return change(ctl, QUEUE_HOLD, "held");
}
int cmd_queue_release(struct ctl *ctl)
{
    return change(ctl, QUEUE_RELEASE, "released");
}
int cmd_queue_remove(struct ctl *ctl)
{
    return change(ctl, QUEUE_REMOVE, "removed");
}

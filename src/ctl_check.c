/* ctl_check.c - `ekirei check`: asks the keeper for findings and reads every body.
 *
 * The keeper compares rows; digests are computed and bodies unpacked here, where an octet that a stranger wrote can do least: as
 * the keeper's user, locked into the store's folder, when started as root. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "ctl_body.h"
#include "ctl_file.h"
#include "ctl_impl.h"

#define QUIET SECONDS(2) /* then the first word of progress */

struct finding {
    const char *word, *meaning, *todo;
    bool repairable;
    char numbers; /* 'n': have and want are told; 'm': the mailbox's number */
};

#define REPAIR  "'ekirei check --repair' puts it right"
#define BACKUP  "restore it from a backup, or remove the message; nothing here can bring it back"

/* clang-format off */
static const struct finding findings[FOUND_COUNT_OF] = {
    [FOUND_PAGE]           = { "database", "the database's own structure is damaged", "stop the server and restore the last backup; export what can still be read", false, 0 },
    [FOUND_COUNTER]        = { "counter", "this counter stands behind what was given out", REPAIR, true, 'n' },
    [FOUND_COUNT]          = { "count", "the mailbox's number of messages is wrong", REPAIR, true, 'n' },
    [FOUND_OCTETS]         = { "octets", "the mailbox's size is wrong", REPAIR, true, 'n' },
    [FOUND_UIDNEXT]        = { "uidnext", "the next UID was given out before", REPAIR, true, 'n' },
    [FOUND_MODSEQ]         = { "modseq", "the mailbox's modseq stands behind its messages'", REPAIR, true, 'n' },
    [FOUND_NO_ACCOUNT]     = { "mailbox-of-nobody", "the mailbox belongs to no account", "restore the last backup; its mail stays as it is", false, 0 },
    [FOUND_NO_MAILBOX]     = { "message-of-no-mailbox", "the message is in no mailbox", "restore the last backup; the mail stays as it is", false, 'm' },
    [FOUND_NO_BODY]        = { "no-body", "the message has no body any more", REPAIR ": the row goes, its UID stays used", true, 0 },
    [FOUND_SIZE]           = { "size", "the message's size is not its body's", REPAIR, true, 'n' },
    [FOUND_UNUSED]         = { "unused-body", "nothing refers to the body", REPAIR ": it is removed within two hours", true, 0 },
    [FOUND_DOOMED]         = { "doomed-body", "the body is about to be removed, though mail refers to it", REPAIR, true, 0 },
    [FOUND_REFERENCES]     = { "references", "the number of references to the body is wrong", REPAIR, true, 'n' },
    [FOUND_NO_SUCH_BODY]   = { "no-such-body", "something is counted for a body that is not there", REPAIR, true, 0 },
    [FOUND_QUEUED_NO_BODY] = { "queued-no-body", "the queued message has no body any more and can never be sent", REPAIR ": it leaves the queue; tell its sender", true, 0 },
    [FOUND_QUEUED_EMPTY]   = { "queued-empty", "the queued message has no recipients", REPAIR, true, 0 },
    [FOUND_QUEUED_LOST]    = { "queued-lost", "the recipient belongs to no queued message", REPAIR, true, 0 },
    [FOUND_QUEUED_DUE]     = { "queued-due", "the queued message would never be tried", REPAIR, true, 0 },
    [FOUND_LOST_DEVICE]    = { "device-of-nobody", "the device belongs to no account", REPAIR, true, 0 },
    [FOUND_LOST_PLACE]     = { "place-of-nobody", "a place is remembered for no account", REPAIR, true, 0 },
    [FOUND_LOST_DOMAIN]    = { "account-without-domain", "no mail is taken for the account's domain", "'ekirei domain add', or remove the account", false, 0 },
    [FOUND_LOST_ALIAS]     = { "alias-to-nobody", "the alias points at an address of ours that does not exist", "'ekirei alias remove', or make the account", false, 0 },
    [FOUND_SEALED]         = { "device-sealed", "the device's password cannot be opened with keys/keeper.key", "revoke the device and make it again, or restore the right key", false, 0 },
    [FOUND_ORPHAN_FILE]    = { "orphan-file", "no body is kept in this file", REPAIR, true, 0 },
    [FOUND_FOREIGN_FILE]   = { "foreign-file", "this is not one of ours", "find out who put it there, and remove it", false, 0 },
    [FOUND_MISSING_FILE]   = { "missing-file", "the body's file is not there", BACKUP, false, 0 },
    [FOUND_LENGTH]         = { "damaged-body", "the body is cut, or too long", BACKUP, false, 0 },
    [FOUND_UNREADABLE]     = { "unreadable-body", "the body cannot be read from the disk", BACKUP, false, 0 },
    [FOUND_DIGEST]         = { "damaged-body", "the body is not what was stored: its digest differs", BACKUP, false, 0 },
    [FOUND_UNPACK]         = { "damaged-body", "the body is what was stored, but does not unpack", BACKUP, false, 0 },
};
static const struct { uint8_t part; const char *name; } parts[] = {
    { CHECK_PAGES, "pages of the database" }, { CHECK_COUNTERS, "counters" }, { CHECK_DIRECTORY, "directory" }, { CHECK_MAILBOXES, "mailboxes" },
    { CHECK_MESSAGES, "messages" }, { CHECK_REFERENCES, "references" }, { CHECK_QUEUE, "queue" }, { CHECK_FILES, "files" },
};
/* clang-format on */

struct checking {
    struct ctl *ctl;
    json_t *rows, *damaged; /* what was found; bodies whose uses are to be named */
    uint64_t counts[CHECK_PARTS], bodies, octets;
    uint32_t repairable, lasting;
    bool silent; /* the second look */
    msec tell_at, pause;
};

/* ---- one finding --------------------------------------------------------------------------------------------------- */

static const struct finding *finding_of(uint8_t found)
{
    static const struct finding unknown = { "unknown", "this program does not know what this is", "use the server's own version", false, 0 };
    return found < FOUND_COUNT_OF && findings[found].word ? &findings[found] : &unknown;
}

static void put_place(json_t *object, const struct check_row *row)
{
    struct buf place = BUF(3 * LIMIT_PATH);
    enum status status = STATUS_OK;
    if (row->address.len > 0 || row->mailbox.len > 0)
        status = buf_print(&place, "%.*s %.*s", (int)row->address.len, row->address.ptr, (int)row->mailbox.len, row->mailbox.ptr);
    if (status == STATUS_OK && row->uid > 0)
        status = buf_print(&place, " uid %" PRIu32, row->uid);
    if (status == STATUS_OK && row->detail.len > 0)
        status = buf_print(&place, "%s%.*s", place.len > 0 ? " " : "", (int)row->detail.len, row->detail.ptr);
    if (status == STATUS_OK && place.len == 0)
        status = buf_print(&place, "number %" PRIu64, row->id);
    (void)status; /* cut short it still says the most */
    ctl_put_text(object, "where", slice_trim(buf_slice(&place)));
    buf_done(&place);
}

static void keep(struct checking *c, const struct check_row *row)
{
    const struct finding *finding = finding_of(row->found);
    c->repairable += finding->repairable;
    c->lasting += !finding->repairable;
    if (c->silent)
        return;
    json_t *object = json_object();
    ctl_put_text(object, "found", slice_of(finding->word));
    put_place(object, row);
    ctl_put_text(object, "account", row->address);
    ctl_put_text(object, "mailbox", row->mailbox);
    ctl_put_number(object, "uid", row->uid);
    ctl_put_number(object, "id", row->id);
    if (finding->numbers == 'n') {
        ctl_put_number(object, "have", row->have);
        ctl_put_number(object, "want", row->want);
    }
    ctl_put_text(object, "meaning", slice_of(finding->meaning));
    ctl_put_text(object, "todo", slice_of(finding->todo));
    ctl_put_yesno(object, "repairable", finding->repairable);
    json_array_append_new(c->rows, object);
}

static void print_text(const json_t *object, const char *key)
{
    const json_t *text = json_object_get(object, key);
    ctl_show_text(json_string_value(text), json_string_length(text));
}

static void print_finding(const json_t *object)
{
    print_text(object, "found");
    printf(": ");
    print_text(object, "where");
    printf(": ");
    print_text(object, "meaning");
    const json_t *have = json_object_get(object, "have");
    if (have)
        printf(" (%" JSON_INTEGER_FORMAT ", must be %" JSON_INTEGER_FORMAT ")", json_integer_value(have),
            json_integer_value(json_object_get(object, "want")));
    printf("; ");
    print_text(object, "todo");
    printf("\n");
}

/* Each word takes twice as long to come as the one before, up to a minute. */
static void tell(struct checking *c, const char *what, uint64_t done)
{
    msec now = clock_now();
    if (now < c->tell_at)
        return;
    c->pause = c->pause < SECONDS(60) ? c->pause * 2 : c->pause;
    c->tell_at = now + c->pause;
    if (done > 0)
        fprintf(stderr, "ekirei: looking at %s: %" PRIu64 " so far\n", what, done);
    else
        fprintf(stderr, "ekirei: looking at %s\n", what);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static int look_at_part(struct checking *c, uint8_t part, const char *name)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_CHECK, .fd = -1, .check = { .part = part } };
    do {
        int code = ctl_ask(c->ctl, &ask, name, &answer);
        if (code != CTL_DONE)
            return code;
        const struct answer_check *got = &answer.check;
        for (uint32_t at = 0; at < got->rows.count; at++)
            keep(c, row_of(struct check_row, got->rows, at));
        c->counts[part] += got->done;
        ask.check.at = got->at;
        ask.check.and_at = got->and_at;
        tell(c, name, c->counts[part]);
    } while (answer.check.more);
    return CTL_DONE;
}

static int look_at_rows(struct checking *c)
{
    int code = CTL_DONE;
    memset(c->counts, 0, sizeof c->counts);
    for (size_t at = 0; code == CTL_DONE && at < sizeof parts / sizeof parts[0]; at++)
        code = look_at_part(c, parts[at].part, parts[at].name);
    return code;
}

/* ---- bodies -------------------------------------------------------------------------------------------------------- */

static void note_damage(struct checking *c, uint64_t id, uint8_t found)
{
    json_t *object = json_object();
    ctl_put_number(object, "id", id);
    ctl_put_number(object, "found", found);
    json_array_append_new(c->damaged, object);
}

static void take_body(struct checking *c, struct body_reader *reader, const struct body_row *row)
{
    c->octets += row->octets.len;
    if (!body_reader_feed(reader, row))
        return;
    c->bodies++;
    if (reader->found)
        note_damage(c, row->id, reader->found);
}

static int read_bodies(struct checking *c, struct body_reader *reader)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_BODIES, .fd = -1 };
    do {
        int code = ctl_ask(c->ctl, &ask, "bodies", &answer);
        if (code != CTL_DONE)
            return code;
        for (uint32_t at = 0; at < answer.bodies.rows.count; at++)
            take_body(c, reader, row_of(struct body_row, answer.bodies.rows, at));
        ask.bodies.id = answer.bodies.id;
        ask.bodies.at = answer.bodies.at;
        tell(c, "bodies", c->bodies);
    } while (ask.bodies.id != 0);
    return CTL_DONE;
}

/* A finding for each place where a damaged body is used. */
static int name_uses(struct checking *c, uint64_t id, uint8_t found)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_CHECK, .fd = -1, .check = { .part = CHECK_USES, .at = id } };
    int code = ctl_ask(c->ctl, &ask, "bodies", &answer);
    if (code != CTL_DONE)
        return code;
    const struct rows *uses = &answer.check.rows;
    for (uint32_t at = 0; at < uses->count; at++) {
        struct check_row row = *row_of(struct check_row, *uses, at);
        char queued[64];
        snprintf(queued, sizeof queued, "queued message %" PRIu64, row.have);
        if (row.uid == 0)
            row.detail = slice_of(queued);
        row.found = found;
        keep(c, &row);
    }
    if (uses->count == 0)
        keep(c, &(struct check_row){ .found = found, .id = id, .detail = S("a body that no mail uses") });
    return CTL_DONE;
}

static int look_at_bodies(struct checking *c)
{
    struct body_reader reader;
    body_reader_init(&reader, true);
    int code = ctl_lock_in(c->ctl);
    if (code == CTL_DONE)
        code = read_bodies(c, &reader);
    body_reader_done(&reader);
    size_t at;
    json_t *object;
    json_array_foreach(c->damaged, at, object)
    {
        if (code == CTL_DONE)
            code = name_uses(c, (uint64_t)json_integer_value(json_object_get(object, "id")),
                (uint8_t)json_integer_value(json_object_get(object, "found")));
    }
    return code;
}

/* ---- repair -------------------------------------------------------------------------------------------------------- */

static json_t *repaired_object(const struct answer_repair *repair)
{
    json_t *object = json_object();
    for (uint32_t at = 0; at < repair->rows.count; at++) {
        const struct repair_row *row = row_of(struct repair_row, repair->rows, at);
        const char *word = finding_of(row->found)->word;
        json_int_t before = json_integer_value(json_object_get(object, word));
        ctl_put_number(object, word, (uint64_t)before + row->count);
    }
    return object;
}

static int repair(struct checking *c, json_t *summary)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_REPAIR, .fd = -1 };
    fprintf(stderr, "ekirei: putting %" PRIu32 " finding%s right in one transaction: counts, references, rows that point at nothing, files"
                    " without a row; no UID or UIDVALIDITY changes, no body goes that mail refers to; mail waits for it\n",
        c->repairable, c->repairable == 1 ? "" : "s");
    int code = ctl_ask(c->ctl, &ask, "repair", &answer);
    if (code != CTL_DONE)
        return code;
    json_object_set_new(summary, "repaired", repaired_object(&answer.repair));
    uint32_t lasting = c->lasting;
    c->repairable = c->lasting = 0;
    c->silent = true;
    code = look_at_rows(c);
    c->lasting = lasting; /* what was damaged is so still */
    return code;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static void print_repaired(const json_t *repaired)
{
    const char *word;
    json_t *count;
    json_object_foreach((json_t *)(uintptr_t)repaired, word, count)
        printf("put right: %s, %" JSON_INTEGER_FORMAT " of them\n", word, json_integer_value(count));
}

static int report(struct checking *c, json_t *summary, size_t found)
{
    bool whole = c->repairable + c->lasting == 0;
    bool served = ctl_is_served(c->ctl);
    ctl_put_number(summary, "messages", c->counts[CHECK_MESSAGES]);
    ctl_put_number(summary, "mailboxes", c->counts[CHECK_MAILBOXES]);
    ctl_put_number(summary, "bodies", c->bodies);
    ctl_put_number(summary, "octets", c->octets);
    ctl_put_yesno(summary, "pages_checked", !served);
    ctl_put_yesno(summary, "whole", whole);
    size_t at;
    json_t *object;
    if (!c->ctl->json) {
        json_array_foreach(c->rows, at, object)
            print_finding(object);
        print_repaired(json_object_get(summary, "repaired"));
        printf("%" PRIu64 " messages, %" PRIu64 " mailboxes, %" PRIu64 " bodies of %" PRIu64 " octets: ", c->counts[CHECK_MESSAGES],
            c->counts[CHECK_MAILBOXES], c->bodies, c->octets);
        if (found == 0)
            printf("all whole\n");
        else
            printf("%zu finding%s, %" PRIu32 " of which can be put right with --repair and %" PRIu32 " cannot\n", found, found == 1 ? "" : "s",
                c->repairable, c->lasting);
        if (served)
            printf("the pages of the database (SQLite's integrity_check) are looked at only while the server does not run, and in each backup\n");
    }
    json_object_set_new(summary, "findings", c->rows);
    int code = whole ? CTL_DONE : CTL_FAILED;
    if (c->ctl->json)
        ctl_print_object(c->ctl, summary, NULL);
    else
        json_decref(summary);
    return code;
}

int cmd_check(struct ctl *ctl)
{
    struct checking c = { .ctl = ctl, .rows = json_array(), .damaged = json_array(), .pause = QUIET, .tell_at = clock_now() + QUIET };
    json_t *summary = json_object();
    ctl->as_is = true;
    int code = look_at_rows(&c);
    if (code == CTL_DONE)
        code = look_at_bodies(&c);
    size_t found = json_array_size(c.rows);
    if (code == CTL_DONE && ctl->values[OPTION_REPAIR] && c.repairable > 0)
        code = repair(&c, summary);
    json_decref(c.damaged);
    if (code == CTL_DONE)
        return report(&c, summary, found);
    json_decref(c.rows);
    return ctl_drop(summary, code);
}

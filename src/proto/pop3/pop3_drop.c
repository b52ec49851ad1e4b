#include "base/must.h"
#include "proto/pop3/pop3.h"

/* ---- the snapshot ------------------------------------------------------------------------------------------------- */

const struct drop_row *pop3_row(const struct pop3 *p, uint32_t index)
{
    must(index < p->count);
    return &((const struct drop_row *)(const void *)p->rows.ptr)[index];
}

static bool is_deleted(const struct pop3 *p, uint32_t index)
{
    return index / 8 < p->marks.len && (p->marks.ptr[index / 8] >> (index % 8) & 1);
}

static void ask_page(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    struct ask *ask = session_ask(s, ASK_DROP_LIST);
    ask->drop_list.after = p->count > 0 ? pop3_row(p, p->count - 1)->uid : 0;
    ask->drop_list.until = p->until;
    p->work = POP3_LOADING;
}

void pop3_load(struct session *s) { ask_page(s); }

/* Takes in one page.  Beyond LIMIT_MAILDROP the oldest messages are the maildrop; the others have their turn in a later session. */
static bool take_page(struct pop3 *p, const struct answer_drop_list *page)
{
    if (p->count > 0 && page->uidvalidity != p->uidvalidity)
        return false; /* the mailbox was made anew between two pages */
    uint32_t last = p->count > 0 ? pop3_row(p, p->count - 1)->uid : 0;
    for (uint32_t i = 0; i < page->rows.count && p->count < LIMIT_MAILDROP; i++) {
        const struct drop_row *row = row_of(struct drop_row, page->rows, i);
        if (row->uid <= last)
            return false;
        if (buf_put(&p->rows, (struct slice){ (const char *)row, sizeof *row }) != STATUS_OK)
            return false;
        last = row->uid;
        p->count++;
        p->octets += row->size;
    }
    p->uidvalidity = page->uidvalidity;
    p->until = page->until;
    return !page->more || page->rows.count > 0; /* a page that brings nothing and promises more never ends */
}

static struct slice number_text(struct session *s, uint64_t number)
{
    struct buf text = BUF(20);
    struct slice copy = NO_SLICE;
    if (buf_put_number(&text, number) != STATUS_OK || arena_copy(&s->of_command, buf_slice(&text), &copy) != STATUS_OK)
        copy = NO_SLICE;
    buf_done(&text);
    return copy;
}

static void note_login(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    session_note(s, &(struct note){ .event = "pop3.login", .fields = {
        { "account", p->account },
        { "mechanism", slice_of(mechanism_name(p->mechanism)) },
        { "tls", s->is_secured ? s->tls.version : S("none") },
        { "lease", p->lease ? S("yes") : S("no") },
        { "messages", number_text(s, p->count) },
        { "octets", number_text(s, p->octets) } } });
}

void pop3_load_answer(struct session *s, const struct answer *answer)
{
    struct pop3 *p = pop3_of(s);
    p->work = POP3_READY;
    if (answer->status != STATUS_OK || !take_page(p, &answer->drop_list)) {
        /* The login itself was right: there is no second one in this session. */
        pop3_fail(s, answer->status);
        session_want_close(s);
    } else if (answer->drop_list.more && p->count < LIMIT_MAILDROP) {
        ask_page(s);
    } else {
        pop3_enter(p, POP3_TRANSACTION);
        p->errors = 0;
        note_login(s);
        pop3_reply_number(s, POP3_LOGGED_IN, p->count);
    }
}

/* RFC 1939 5: message numbers are decimal and begin with 1. */
bool pop3_find(struct session *s, struct slice number, uint32_t *out_index)
{
    struct pop3 *p = pop3_of(s);
    uint64_t value = 0;
    enum status status = slice_number(number, UINT32_MAX, &value);
    if (status == STATUS_MALFORMED) {
        pop3_error(s, POP3_BAD_ARGUMENTS);
        return false;
    }
    if (status != STATUS_OK || value == 0 || value > p->count) {
        pop3_reply(s, POP3_NO_SUCH_MESSAGE);
        return false;
    }
    if (is_deleted(p, (uint32_t)(value - 1))) {
        pop3_reply(s, POP3_DELETED_BEFORE);
        return false;
    }
    *out_index = (uint32_t)(value - 1);
    return true;
}

/* ---- STAT, LIST, UIDL --------------------------------------------------------------------------------------------- */

void pop3_cmd_stat(struct session *s, const struct pop3_args *args)
{
    (void)args;
    struct pop3 *p = pop3_of(s);
    session_print(s, "+OK %u %llu\r\n", p->count - p->deleted, (unsigned long long)p->octets);
}

/* RFC 1939 7, C152: 17 octets from 0x21 to 0x7E.  UIDVALIDITY and UID are a message's identity for ever, so this is too. */
#define UIDL_OCTETS 17
static void put_hex(char *out, uint32_t value)
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
}

static void print_row(struct session *s, uint32_t index, bool uid)
{
    const struct pop3 *p = pop3_of(s);
    struct buf *out = session_out(s);
    char id[UIDL_OCTETS];
    enum status status = buf_put_number(out, index + 1);
    must(status == STATUS_OK);
    session_send(s, S(" "));
    if (uid) {
        put_hex(id, p->uidvalidity);
        id[8] = '.';
        put_hex(id + 9, pop3_row(p, index)->uid);
        session_send(s, (struct slice){ id, sizeof id });
    } else {
        status = buf_put_number(out, pop3_row(p, index)->size);
        must(status == STATUS_OK);
    }
    session_send(s, S("\r\n"));
}

/* As many lines as the reader has room for; feed calls again when he took them. */
void pop3_write_on(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    for (; p->at < p->count; p->at++) {
        if (session_is_full(s))
            return;
        if (!is_deleted(p, p->at))
            print_row(s, p->at, p->writes_uids);
    }
    session_send(s, S(".\r\n"));
    p->work = POP3_READY;
}

static void list(struct session *s, const struct pop3_args *args, bool uids)
{
    struct pop3 *p = pop3_of(s);
    uint32_t index;
    if (args->count == 1) {
        if (!pop3_find(s, args->at[0], &index))
            return;
        session_send(s, S("+OK "));
        print_row(s, index, uids);
        return;
    }
    pop3_reply_number(s, uids ? POP3_UIDS : POP3_LISTING, p->count - p->deleted);
    p->at = 0;
    p->writes_uids = uids;
    p->work = POP3_WRITING;
}

void pop3_cmd_list(struct session *s, const struct pop3_args *args) { list(s, args, false); }
void pop3_cmd_uidl(struct session *s, const struct pop3_args *args) { list(s, args, true); }

/* ---- DELE, RSET --------------------------------------------------------------------------------------------------- */

void pop3_cmd_dele(struct session *s, const struct pop3_args *args)
{
    struct pop3 *p = pop3_of(s);
    uint32_t index;
    char *room;
    if (!pop3_find(s, args->at[0], &index))
        return;
    if (p->marks.len == 0) {
        size_t octets = (p->count + 7) / 8;
        enum status status = buf_reserve(&p->marks, octets, &room);
        must(status == STATUS_OK);
        for (size_t i = 0; i < octets; i++)
            room[i] = 0;
        buf_grown(&p->marks, octets);
    }
    p->marks.ptr[index / 8] = (char)(p->marks.ptr[index / 8] | 1 << index % 8);
    p->deleted++;
    p->octets -= pop3_row(p, index)->size;
    pop3_reply(s, POP3_DELETED);
}

void pop3_cmd_rset(struct session *s, const struct pop3_args *args)
{
    (void)args;
    struct pop3 *p = pop3_of(s);
    for (uint32_t i = 0; p->deleted > 0 && i < p->count; i++)
        if (is_deleted(p, i)) {
            p->octets += pop3_row(p, i)->size;
            p->deleted--;
        }
    buf_done(&p->marks);
    pop3_reply(s, POP3_RESET);
}

/* ---- QUIT: RFC 1939 6 --------------------------------------------------------------------------------------------- */

static void finish(struct session *s, enum pop3_reply reply)
{
    struct pop3 *p = pop3_of(s);
    if (p->state != POP3_AUTHORIZATION)
        session_note(s, &(struct note){ .event = "pop3.quit", .warning = reply == POP3_NOT_REMOVED, .fields = {
            { "account", p->account },
            { "retrieved", number_text(s, p->retrieved) },
            { "deleted", number_text(s, p->removed) },
            { "octets", number_text(s, p->octets_sent) } } });
    pop3_reply(s, reply);
    session_want_close(s);
}

/* The next marked messages as ranges.  Only neighbours in UID are joined, so that a range never names a message that the
 * client has not seen. */
static uint32_t take_ranges(struct pop3 *p, struct uid_range *ranges, uint32_t most)
{
    uint32_t count = 0;
    for (; p->at < p->count; p->at++) {
        if (!is_deleted(p, p->at))
            continue;
        uint32_t uid = pop3_row(p, p->at)->uid;
        if (count > 0 && ranges[count - 1].last + 1 == uid) {
            ranges[count - 1].last = uid;
        } else if (count < most) {
            ranges[count++] = (struct uid_range){ uid, uid };
        } else {
            break;
        }
    }
    return count;
}

/* Asks for what is left to be removed; false if nothing is. */
static bool expunge_more(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    arena_reset(&s->of_command);
    struct uid_range *ranges = arena_take_rows(&s->of_command, LIMIT_ROWS, sizeof *ranges);
    must(ranges);
    uint32_t count = take_ranges(p, ranges, LIMIT_ROWS);
    if (count == 0)
        return false;
    struct ask *ask = session_ask(s, ASK_EXPUNGE);
    ask->expunge.ranges = (struct rows){ ranges, count };
    p->work = POP3_EXPUNGING;
    return true;
}

void pop3_cmd_quit(struct session *s, const struct pop3_args *args)
{
    (void)args;
    struct pop3 *p = pop3_of(s);
    if (p->state == POP3_AUTHORIZATION || p->deleted == 0) {
        finish(s, POP3_BYE);
        return;
    }
    pop3_enter(p, POP3_UPDATE);
    p->at = 0;
    bool asked = expunge_more(s);
    must(asked);
}

/* +OK is said only when the removal is on disk (RFC 1939 6, C149). */
void pop3_expunge_answer(struct session *s, const struct answer *answer)
{
    struct pop3 *p = pop3_of(s);
    p->work = POP3_READY;
    if (answer->status != STATUS_OK) {
        finish(s, POP3_NOT_REMOVED);
        return;
    }
    p->removed += answer->expunge.removed;
    if (!expunge_more(s))
        finish(s, POP3_BYE);
}

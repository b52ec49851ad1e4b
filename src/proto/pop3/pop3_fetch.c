#include "base/must.h"
#include "mail/pack.h"
#include "proto/pop3/pop3.h"

#define PIECE 16384u /* plain octets encoded at once: at most twice as many go out, which always fits behind a buffer that is not full */

/* ---- memory ------------------------------------------------------------------------------------------------------- */

bool pop3_fetch_holds(const struct pop3 *p) { return p->fetch.packed.cap > 0 || p->fetch.plain.cap > 0; }

void pop3_fetch_release(struct pop3 *p)
{
    buf_done(&p->fetch.packed);
    buf_done(&p->fetch.pieces);
    buf_done(&p->fetch.plain);
}

/* ---- TOP: RFC 1939 7 ---------------------------------------------------------------------------------------------- */

static void end_line(struct pop3_top *top)
{
    if (top->in_header) {
        top->in_header = !top->line_is_empty;
        top->done = !top->in_header && top->lines == 0;
    } else {
        top->done = --top->lines == 0;
    }
    top->line_is_empty = true;
}

/* How much of `piece` belongs to what was asked for.  Line ends are those that dot_encode() writes: CRLF, and stray CR and LF. */
static size_t top_take(struct pop3_top *top, struct slice piece)
{
    size_t at = 0;
    for (; at < piece.len && !top->done; at++) {
        char octet = piece.ptr[at];
        bool ends_pair = top->after_cr && octet == '\n';
        top->after_cr = octet == '\r';
        if (ends_pair)
            continue; /* its line ended with the CR */
        if (octet == '\r' || octet == '\n')
            end_line(top);
        else
            top->line_is_empty = false;
    }
    return at;
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

/* A failure once octets of the message are out: only a connection that ends without the end mark tells the client. */
static void break_off(struct session *s, enum status status)
{
    pop3_note(s, "pop3.broken", true, "reason", slice_of(status_name(status)));
    session_want_close(s);
}

static void fail(struct session *s, enum status status)
{
    struct pop3 *p = pop3_of(s);
    p->work = POP3_READY;
    pop3_fetch_release(p);
    if (p->fetch.started)
        break_off(s, status);
    else if (status == STATUS_NOT_FOUND)
        pop3_reply(s, POP3_GONE); /* another session removed it (C150) */
    else if (status == STATUS_CORRUPT)
        pop3_reply(s, POP3_CORRUPT);
    else
        pop3_fail(s, status);
}

/* Reading ahead: without it each message costs a wake-up of the keeper. */
static void ask_page(struct session *s, uint64_t at)
{
    struct pop3 *p = pop3_of(s);
    p->fetch.asked_at = at;
    struct ask *ask = session_ask(s, ASK_FETCH);
    ask->fetch = (struct ask_fetch){ .uid = p->fetch.uid, .at = at };
    if (p->fetch.in_order && p->fetch.index + 1 < p->count)
        ask->fetch.until = pop3_row(p, p->count - 1)->uid;
    p->work = POP3_FETCHING;
}

static enum status unpack_next(struct pop3_fetch *f)
{
    size_t len;
    buf_clear(&f->plain);
    f->plain_at = 0;
    if (pack_frame(f->frames, &len) != STATUS_OK)
        return STATUS_CORRUPT;
    enum status status = unpack_frame(&f->plain, slice_upto(f->frames, len));
    f->frames = slice_from(f->frames, len);
    return status == STATUS_OK ? STATUS_OK : STATUS_CORRUPT;
}

static void send_piece(struct session *s)
{
    struct pop3_fetch *f = &pop3_of(s)->fetch;
    struct slice piece = slice_upto(slice_from(buf_slice(&f->plain), f->plain_at), PIECE);
    f->plain_at += piece.len;
    if (f->top.on)
        piece = slice_upto(piece, top_take(&f->top, piece));
    enum status status = dot_encode(&f->encode, piece, session_out(s));
    must(status == STATUS_OK);
    pop3_of(s)->octets_sent += piece.len;
}

static void finish(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    struct pop3_fetch *f = &p->fetch;
    enum status status = STATUS_OK;
    /* A header section without its empty line: clients wait for it (D15). */
    if (f->top.on && f->top.in_header)
        status = dot_encode(&f->encode, f->top.line_is_empty ? S("\r\n") : S("\r\n\r\n"), session_out(s));
    must(status == STATUS_OK);
    status = dot_encode_end(&f->encode, session_out(s));
    must(status == STATUS_OK);
    p->retrieved += !f->top.on;
    p->work = POP3_READY;
}

/* Goes on until the message is over, the reader has enough for now, or the next page has to come. */
void pop3_send_on(struct session *s)
{
    struct pop3 *p = pop3_of(s);
    struct pop3_fetch *f = &p->fetch;
    p->work = POP3_SENDING;
    while (!session_is_full(s)) {
        enum status status = STATUS_OK;
        if (f->top.done) {
            finish(s);
            return;
        }
        if (f->plain_at < f->plain.len) {
            send_piece(s);
        } else if (f->frames.len > 0) {
            status = unpack_next(f);
        } else if (f->next > 0) {
            ask_page(s, f->next);
            return;
        } else {
            finish(s);
            return;
        }
        if (status != STATUS_OK) {
            fail(s, status);
            return;
        }
    }
}

/* ---- pages -------------------------------------------------------------------------------------------------------- */

static const struct pop3_piece *find_piece(const struct pop3_fetch *f, uint32_t uid, uint64_t begin)
{
    const struct pop3_piece *pieces = (const struct pop3_piece *)(const void *)f->pieces.ptr;
    for (size_t i = 0; i < f->pieces.len / sizeof *pieces; i++)
        if (pieces[i].uid == uid && pieces[i].begin == begin)
            return &pieces[i];
    return NULL;
}

static void take_piece(struct pop3_fetch *f, const struct pop3_piece *piece)
{
    f->frames = slice_upto(slice_from(buf_slice(&f->packed), piece->at), piece->len);
    f->next = piece->next;
}

/* The first frame is unpacked before anything is said, so that a damaged message can still be refused in words. */
static void start(struct session *s, const struct pop3_piece *piece)
{
    struct pop3 *p = pop3_of(s);
    struct pop3_fetch *f = &p->fetch;
    take_piece(f, piece);
    buf_clear(&f->plain);
    f->plain_at = 0;
    enum status status = f->frames.len > 0 ? unpack_next(f) : STATUS_OK;
    if (status != STATUS_OK) {
        fail(s, status);
        return;
    }
    f->started = true;
    if (f->top.on)
        pop3_reply(s, POP3_TOP);
    else
        pop3_reply_number(s, POP3_MESSAGE, pop3_row(p, f->index)->size);
    pop3_send_on(s);
}

/* Copies a page; false if it has not the form that a page has. */
static bool take_page(struct pop3_fetch *f, const struct answer_fetch *page)
{
    buf_clear(&f->packed);
    buf_clear(&f->pieces);
    for (uint32_t i = 0; i < page->rows.count; i++) {
        const struct fetch_row *row = row_of(struct fetch_row, page->rows, i);
        if (row->frames.len == 0 && row->next > 0)
            return false; /* nothing, and more of it: would never end */
        struct pop3_piece piece = {
            .uid = row->uid,
            .at = (uint32_t)f->packed.len,
            .len = (uint32_t)row->frames.len,
            .begin = i == 0 ? f->asked_at : 0,
            .next = row->next,
        };
        if (buf_put(&f->packed, row->frames) != STATUS_OK ||
            buf_put(&f->pieces, (struct slice){ (const char *)&piece, sizeof piece }) != STATUS_OK)
            return i > 0; /* what did not fit will be asked for again */
    }
    return true;
}

void pop3_fetch_answer(struct session *s, const struct answer *answer)
{
    struct pop3_fetch *f = &pop3_of(s)->fetch;
    const struct pop3_piece *piece = NULL;
    if (answer->status == STATUS_OK && take_page(f, &answer->fetch))
        piece = find_piece(f, f->uid, f->asked_at);
    if (answer->status != STATUS_OK || !piece) {
        fail(s, answer->status != STATUS_OK ? answer->status : STATUS_IO);
    } else if (f->started) {
        take_piece(f, piece);
        pop3_send_on(s);
    } else {
        start(s, piece);
    }
}

/* ---- RETR and TOP ------------------------------------------------------------------------------------------------- */

static void fetch(struct session *s, uint32_t index, struct pop3_top top)
{
    struct pop3 *p = pop3_of(s);
    struct pop3_fetch *f = &p->fetch;
    f->in_order = index > 0 && index == f->expected;
    f->index = index;
    f->uid = pop3_row(p, index)->uid;
    f->expected = index + 1;
    f->started = false;
    f->encode = (struct dot_encode){ .state = 0 };
    f->top = top;
    const struct pop3_piece *piece = find_piece(f, f->uid, 0);
    if (piece)
        start(s, piece);
    else
        ask_page(s, 0);
}

void pop3_cmd_retr(struct session *s, const struct pop3_args *args)
{
    uint32_t index;
    if (pop3_find(s, args->at[0], &index))
        fetch(s, index, (struct pop3_top){ .on = false });
}

void pop3_cmd_top(struct session *s, const struct pop3_args *args)
{
    uint32_t index;
    uint64_t lines = 0;
    /* RFC 1939 7: a non-negative number; one that is too large to be read means all the same (C151). */
    enum status status = slice_number(args->at[1], UINT64_MAX, &lines);
    if (status == STATUS_TOO_BIG)
        lines = UINT64_MAX;
    if (status == STATUS_MALFORMED)
        pop3_error(s, POP3_BAD_ARGUMENTS);
    else if (pop3_find(s, args->at[0], &index))
        fetch(s, index, (struct pop3_top){ .on = true, .in_header = true, .line_is_empty = true, .lines = lines });
}

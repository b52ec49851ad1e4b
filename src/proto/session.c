#include "proto/session_impl.h"

#include <string.h>

#include "base/alloc.h"
#include "base/must.h"
#include "base/secret.h"

#define NOTES_WAITING 16u    /* notes that wait before an engine stops eating */
#define NOTES_OCTETS  65536u /* of their values */
#define KEPT_OCTETS   1024u  /* of a send or body buffer that an idle session holds on to */

struct queued_note {
    struct queued_note *next;
    struct note note;
};

/* ---- open and close ----------------------------------------------------------------------------------------------- */

/* "m3-1a": pool, worker, number of the session there, as env->id packs them. */
static void make_name(struct session *s)
{
    static const char digits[] = "0123456789abcdef";
    struct buf name = BUF(sizeof s->name - 1);
    uint64_t id = s->env.id & 0xffffffffffff;
    enum status status = buf_put_byte(&name, s->env.service == SERVICE_MX ? 'm' : 'u');
    if (status == STATUS_OK)
        status = buf_put_number(&name, s->env.id >> 48);
    if (status == STATUS_OK)
        status = buf_put_byte(&name, '-');
    int shift = 44;
    while (shift > 0 && id >> shift == 0)
        shift -= 4;
    for (; status == STATUS_OK && shift >= 0; shift -= 4)
        status = buf_put_byte(&name, digits[(id >> shift) & 15]);
    must(status == STATUS_OK);
    memcpy(s->name, name.ptr, name.len);
    buf_done(&name);
}

static struct slice kept(struct session *s, struct slice text)
{
    struct slice copy;
    return arena_copy(&s->of_session, text, &copy) == STATUS_OK ? copy : NO_SLICE;
}

static void take_facts(struct session *s, const struct tls_facts *facts)
{
    s->is_secured = true;
    s->tls = (struct tls_facts){ .version = kept(s, facts->version), .cipher = kept(s, facts->cipher),
        .sni = kept(s, facts->sni), .alpn = kept(s, facts->alpn), .resumed = facts->resumed, .outdated = facts->outdated,
        .exporter = kept(s, facts->exporter), .export = facts->export, .context = facts->context, .unique = kept(s, facts->unique), .end_point = kept(s, facts->end_point),
        .peer_key = kept(s, facts->peer_key) };
}

struct session *session_open(const struct protocol *protocol, const struct session_env *env, const struct tls_facts *tls,
    msec now)
{
    struct session *s = alloc(sizeof *s);
    s->protocol = protocol;
    s->state = alloc(protocol->state_size);
    s->env = *env;
    settings_hold(env->settings);
    s->now = s->opened = now;
    s->deadline = SESSION_NEVER;
    s->random = (struct random_stream){ env->seed[0], env->seed[1], 0 };
    s->of_session = ARENA(LIMIT_SESSION_ARENA);
    s->of_transaction = ARENA(LIMIT_TRANSACTION_ARENA);
    s->of_command = ARENA(LIMIT_COMMAND_ARENA);
    s->of_notes = ARENA(NOTES_OCTETS);
    s->out = BUF(LIMIT_SEND_BUFFER);
    s->body = BUF(4u << 20);
    make_name(s);
    if (tls)
        take_facts(s, tls);
    protocol->open(s);
    return s;
}

void session_close(struct session *s)
{
    if (s->protocol->close)
        s->protocol->close(s);
    buf_wipe(&s->out);
    buf_done(&s->out);
    buf_done(&s->body);
    arena_done(&s->of_session);
    arena_done(&s->of_transaction);
    arena_done(&s->of_command);
    arena_done(&s->of_notes);
    settings_release(s->env.settings);
    release(s->state);
    release(s);
}

/* ---- what was given out is over at the next call ------------------------------------------------------------------ */

static void empty_buffer(struct buf *b)
{
    if (b->cap > KEPT_OCTETS)
        buf_done(b);
    else
        buf_clear(b);
}

static void wipe_secret(struct ask *ask)
{
    const struct field *field = ask_defs[ask->kind].ask;
    for (; field && field->kind != FIELD_END; field++) {
        const struct slice *secret = (const void *)((const char *)&ask->login + field->at); /* any member: they begin alike */
        if (field->kind == FIELD_SECRET && secret->len > 0)
            wipe((void *)(uintptr_t)secret->ptr, secret->len);
    }
}

static void forget_given(struct session *s)
{
    if (s->out_given)
        empty_buffer(&s->out);
    if (s->body_given)
        buf_clear(&s->body);
    if (s->ask_given)
        wipe_secret(&s->asks[s->ask_first - 1]);
    s->out_given = s->body_given = s->ask_given = false;
    if (!s->notes && s->of_notes.used > 0)
        arena_done(&s->of_notes); /* most sessions are idle: a chunk kept would be a kilobyte for each */
}

static bool has_wish(const struct session *s)
{
    return s->notes || s->ask_first < s->ask_count || s->wants_tls || (s->wants_close && !s->closed) ||
        (s->out.len > 0 && !s->out_given) || (s->body.len > 0 && !s->body_given);
}

/* Most sessions are idle most of the time: they hold on to nothing that the next command will make anew. */
static void rest(struct session *s)
{
    if (s->of_command.chunks && s->protocol->rests && !session_is_waiting(s) && s->protocol->rests(s))
        arena_done(&s->of_command);
}

bool session_next(struct session *s, struct wish *out_wish)
{
    forget_given(s);
    if (s->notes) {
        *out_wish = (struct wish){ .kind = WISH_NOTE, .note = &s->notes->note };
        s->notes = s->notes->next;
        s->note_count--;
    } else if (s->out.len > 0) {
        *out_wish = (struct wish){ .kind = WISH_SEND, .bytes = buf_slice(&s->out) };
        s->out_given = true;
    } else if (s->body.len > 0) {
        *out_wish = (struct wish){ .kind = WISH_BODY, .bytes = buf_slice(&s->body) };
        s->body_given = true;
    } else if (s->ask_first < s->ask_count) {
        *out_wish = (struct wish){ .kind = WISH_ASK, .ask = &s->asks[s->ask_first++] };
        s->ask_given = true;
    } else if (s->wants_tls) {
        *out_wish = (struct wish){ .kind = WISH_TLS };
        s->wants_tls = false;
        s->awaits_tls = true;
    } else if (s->wants_close && !s->closed) {
        *out_wish = (struct wish){ .kind = WISH_CLOSE };
        s->closed = true;
    } else {
        rest(s);
        return false;
    }
    return true;
}

/* ---- the driver's side -------------------------------------------------------------------------------------------- */

/* The keeper forgets its binding of this session. */
static void end_asks(struct session *s)
{
    if (s->has_asked)
        session_ask(s, ASK_END_SESSION);
    s->has_asked = false;
}

static bool is_over(const struct session *s) { return s->wants_close || s->gone; }

size_t session_feed(struct session *s, struct slice wire, msec now)
{
    forget_given(s);
    s->now = now;
    if (is_over(s) || session_is_waiting(s) || has_wish(s))
        return 0;
    size_t eaten = s->protocol->feed(s, wire);
    must(eaten <= wire.len);
    return eaten;
}

void session_answer(struct session *s, const struct answer *answer, msec now)
{
    forget_given(s);
    s->now = now;
    if (is_over(s) || s->waiting_for == ASK_NONE)
        return;
    struct answer checked = *answer;
    if (answer->kind != s->waiting_for) /* not what was asked: as good as none */
        checked = (struct answer){ .kind = s->waiting_for, .status = STATUS_IO, .fd = -1 };
    s->waiting_for = ASK_NONE;
    s->protocol->answer(s, &checked);
}

void session_secured(struct session *s, const struct tls_facts *facts, msec now)
{
    forget_given(s);
    s->now = now;
    must(s->awaits_tls);
    s->awaits_tls = false;
    if (is_over(s))
        return;
    take_facts(s, facts);
    s->protocol->secured(s);
}

void session_tick(struct session *s, msec now)
{
    forget_given(s);
    s->now = now;
    if (!is_over(s) && now >= session_deadline(s))
        s->protocol->expired(s);
}

static bool was_given(const struct session *s, uint8_t index) { return index < s->ask_first; }

/* Asks that the driver has not had yet and that want an answer are not worth putting any more. */
static void drop_wishes(struct session *s)
{
    uint8_t keep = s->ask_first;
    for (uint8_t i = s->ask_first; i < s->ask_count; i++) {
        if (ask_defs[s->asks[i].kind].silent) {
            s->asks[keep++] = s->asks[i];
        } else {
            must(!was_given(s, i));
            wipe_secret(&s->asks[i]);
        }
    }
    s->ask_count = keep;
    buf_clear(&s->out);
    buf_clear(&s->body);
    s->wants_tls = false;
}

void session_hangup(struct session *s, msec now)
{
    forget_given(s);
    s->now = now;
    if (s->gone || s->closed)
        return;
    drop_wishes(s);
    if (!s->wants_close) {
        s->protocol->hangup(s);
        end_asks(s);
    }
    buf_clear(&s->out);
    s->wants_close = false;
    s->gone = true;
}

void session_stop(struct session *s, msec now)
{
    forget_given(s);
    s->now = now;
    if (!is_over(s))
        s->protocol->stop(s);
}

/* While an answer is due it is not the peer who is slow. */
msec session_deadline(const struct session *s)
{
    return s->waiting_for != ASK_NONE || is_over(s) ? SESSION_NEVER : s->deadline;
}

bool session_is_waiting(const struct session *s)
{
    return s->waiting_for != ASK_NONE || s->wants_tls || s->awaits_tls;
}

bool session_is_closed(const struct session *s) { return s->closed || s->gone; }

struct slice session_name(const struct session *s) { return slice_of(s->name); }

/* ---- the engine's side -------------------------------------------------------------------------------------------- */

wall session_wall(const struct session *s) { return s->env.started + (s->now - s->opened); }

bool service_is_legacy(enum service service) { return service >= SERVICE_LEGACY_SUBMISSION && service <= SERVICE_LEGACY_POP3S; }

bool session_is_device(const struct session *s) { return networks_have(s->env.settings->legacy_networks, s->env.peer); }

bool session_is_misplaced(const struct session *s) { return service_is_legacy(s->env.service) && !session_is_device(s); }

struct buf *session_out(struct session *s) { return &s->out; }

void session_send(struct session *s, struct slice bytes)
{
    enum status status = buf_put(&s->out, bytes);
    must(status == STATUS_OK);
}

void session_print(struct session *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum status status = buf_vprint(&s->out, format, args);
    va_end(args);
    must(status == STATUS_OK);
}

bool session_is_full(const struct session *s)
{
    return s->out.len >= LIMIT_TURN || s->note_count >= NOTES_WAITING / 2 || s->of_notes.used >= NOTES_OCTETS / 2;
}

bool session_is_stopped(const struct session *s)
{
    return s->ask_first < s->ask_count || s->body.len > 0 || session_is_waiting(s) || s->wants_close || session_is_full(s);
}

struct ask *session_ask(struct session *s, enum ask_kind kind)
{
    if (s->ask_first == s->ask_count)
        s->ask_first = s->ask_count = 0;
    must(s->ask_count < SESSION_ASKS);
    struct ask *ask = &s->asks[s->ask_count++];
    *ask = (struct ask){ .kind = kind, .fd = -1 };
    if (!ask_defs[kind].silent) {
        must(s->waiting_for == ASK_NONE && !s->gone);
        s->waiting_for = kind;
    }
    s->has_asked = true;
    return ask;
}

static bool is_pop3(enum service service)
{
    return service == SERVICE_POP3 || service == SERVICE_POP3S || service == SERVICE_LEGACY_POP3 || service == SERVICE_LEGACY_POP3S;
}

/* One at a time: so the other asks have the room that they always had. */
static bool is_telling(const struct session *s)
{
    for (uint8_t i = 0; s->ask_first < s->ask_count && i < s->ask_count; i++)
        if (s->asks[i].kind == ASK_REFUSED)
            return true;
    return false;
}

void session_tell(struct session *s, uint32_t refusal, struct slice name)
{
    bool fits = name.len <= LIMIT_ADDRESS && slice_is_utf8(name) && !slice_has_control(name), had_asked = s->has_asked;
    struct slice copy = NO_SLICE;
    if (s->gone || is_telling(s) || s->told >= LIMIT_SESSION_TOLD)
        return;
    if (fits && arena_copy(&s->of_command, name, &copy) != STATUS_OK)
        copy = NO_SLICE;
    s->told++;
    session_ask(s, ASK_REFUSED)->refused = (struct ask_refused){ .name = copy, .session = session_name(s), .peer = s->env.peer,
        .code = refusal, .protocol = is_pop3(s->env.service) ? PROTOCOL_POP3 : PROTOCOL_SMTP };
    s->has_asked = had_asked; /* it binds nothing that would have to be forgotten */
}

struct buf *session_body(struct session *s) { return &s->body; }

void session_body_over(struct session *s)
{
    if (s->body.len == 0 && s->body.cap > KEPT_OCTETS)
        buf_done(&s->body);
}

void session_want_tls(struct session *s)
{
    must(!s->is_secured);
    s->wants_tls = true;
}

void session_want_close(struct session *s)
{
    if (is_over(s))
        return;
    end_asks(s);
    s->deadline = SESSION_NEVER;
    s->wants_close = true;
}

bool session_wants_close(const struct session *s) { return s->wants_close; }

void session_note(struct session *s, const struct note *note)
{
    struct queued_note *queued = s->note_count < NOTES_WAITING ? arena_take(&s->of_notes, sizeof *queued) : NULL;
    if (!queued)
        return; /* a note is a courtesy to the log: it never costs a session its life */
    queued->note = *note;
    for (size_t i = 0; i < sizeof note->fields / sizeof *note->fields && note->fields[i].key; i++) {
        struct slice value = slice_upto(note->fields[i].value, LIMIT_LOG_VALUE);
        if (arena_copy(&s->of_notes, value, &queued->note.fields[i].value) != STATUS_OK)
            queued->note.fields[i].value = NO_SLICE;
    }
    if (s->notes)
        s->last_note->next = queued;
    else
        s->notes = queued;
    s->last_note = queued;
    s->note_count++;
}

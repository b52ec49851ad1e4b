/* fuzz_session.c - the first door: a stranger talks to an engine.  The first octet chooses protocol, service and network; then come
 * moves: octets on the wire, answers of a keeper that says anything, time, TLS, the end.  What must hold is must(). */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "config.h"
#include "mail/coding.h"
#include "mail/pack.h"
#include "proto/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at, *end;
};

static uint8_t take_octet(struct input *in) { return in->at < in->end ? *in->at++ : 0; }

static struct slice take_octets(struct input *in, size_t len)
{
    size_t left = (size_t)(in->end - in->at);
    struct slice s = { (const char *)in->at, len < left ? len : left };
    in->at += s.len;
    return s;
}

struct run {
    struct session *s;
    struct input in;
    struct arena arena;
    struct buf wire;    /* said, not eaten */
    enum ask_kind open; /* an answer is due */
    bool wants_tls, is_closed, reserved, has_asked;
    uint64_t body;
    msec now;
    struct tls_facts facts;
};

/* ---- what an engine may wish ------------------------------------------------------------------------------------------ */

static void check_ask(struct run *run, const struct ask *ask)
{
    struct buf wire = BUF(LIMIT_FRAME);
    struct frame frame = { .session = 1, .number = 1, .ask = *ask };
    enum status put = frame_put(&wire, &frame); /* whatever a stranger says, the ask fits its table */
    must(put == STATUS_OK);
    must(run->open == ASK_NONE || ask_defs[ask->kind].silent);
    buf_done(&wire);
    if (ask->kind == ASK_REFUSED) /* it binds nothing */
        return;
    run->has_asked = ask->kind != ASK_END_SESSION;
    if (ask->kind == ASK_MAIL || ask->kind == ASK_RCPT || ask->kind == ASK_STAGE)
        run->reserved = true;
    if (ask->kind == ASK_DELIVER) {
        must(ask->deliver.recipients.count > 0 && ask->deliver.prefix.len > 0);
        must(ask->deliver.staged == 0 ? run->body <= LIMIT_INLINE_BODY : run->body == ask->deliver.staged);
    }
    if (ask->kind == ASK_DELIVER || ask->kind == ASK_RESET) {
        run->reserved = false;
        run->body = 0;
    }
    if (!ask_defs[ask->kind].silent)
        run->open = ask->kind;
}

/* Lines to a peer end with CRLF.  What is inside may be a stored message, but never for SMTP. */
static void check_sent(struct slice bytes, bool is_smtp)
{
    must(bytes.len > 0);
    for (size_t i = 0; is_smtp && i < bytes.len; i++)
        must((bytes.ptr[i] >= ' ' && bytes.ptr[i] <= '~') || bytes.ptr[i] == '\r' || bytes.ptr[i] == '\n');
}

static void take_wishes(struct run *run, bool is_smtp)
{
    struct wish wish;
    while (session_next(run->s, &wish)) {
        must(!run->is_closed);
        switch (wish.kind) {
        case WISH_SEND:
            check_sent(wish.bytes, is_smtp);
            break;
        case WISH_ASK:
            check_ask(run, wish.ask);
            break;
        case WISH_BODY:
            run->body += wish.bytes.len;
            must(run->open == ASK_NONE);
            break;
        case WISH_TLS:
            run->wants_tls = true;
            break;
        case WISH_CLOSE:
            run->is_closed = true;
            break;
        case WISH_NOTE:
            must(wish.note->event);
            break;
        }
    }
}

/* ---- a keeper that answers from the input ------------------------------------------------------------------------------- */

static void fill(struct run *run, const struct field *fields, void *message)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++) {
        char *at = (char *)message + f->at;
        struct slice text = take_octets(&run->in, f->kind >= FIELD_TEXT && f->kind <= FIELD_SECRET ? take_octet(&run->in) % 33 : 0); /* 32: a signature of SCRAM-SHA-256 */
        uint64_t number = take_octet(&run->in);
        if (f->kind == FIELD_ROWS) {
            struct rows rows = { NULL, (uint32_t)number % 4 };
            char *made = arena_take_rows(&run->arena, rows.count, f->row_size);
            must(made);
            for (uint32_t i = 0; i < rows.count; i++)
                fill(run, f->rows, made + (size_t)i * f->row_size);
            rows.at = made;
            memcpy(at, &rows, sizeof rows);
        } else if (f->kind == FIELD_U8 || f->kind == FIELD_U32 || f->kind == FIELD_U64) {
            number = f->kind == FIELD_U8 ? number % 16 : number;
            memcpy(at, &number, f->kind == FIELD_U8 ? 1 : f->kind == FIELD_U32 ? 4 : 8);
        } else if (f->kind != FIELD_IP) {
            memcpy(at, &text, sizeof text);
        }
    }
}

/* Bodies have to be packed to be of any use; now and then they are not. */
static void pack_bodies(struct run *run, struct answer *answer)
{
    if (answer->kind != ASK_FETCH || take_octet(&run->in) % 8 == 0)
        return;
    for (uint32_t i = 0; i < answer->fetch.rows.count; i++) {
        struct fetch_row *row = &((struct fetch_row *)(uintptr_t)answer->fetch.rows.at)[i];
        struct buf packed = BUF(65536);
        enum status status = pack(&packed, row->frames);
        if (status == STATUS_OK)
            status = arena_copy(&run->arena, buf_slice(&packed), &row->frames);
        must(status == STATUS_OK);
        buf_done(&packed);
    }
}

static void answer_open(struct run *run)
{
    struct answer answer = { .kind = run->open, .fd = -1 };
    uint8_t way = take_octet(&run->in);
    arena_reset(&run->arena);
    if (way % 8 == 7) {
        answer.status = (enum status)(way / 8 % STATUS_COUNT);
    } else {
        fill(run, ask_defs[answer.kind].answer, &answer.login);
        pack_bodies(run, &answer);
    }
    if (way % 32 == 31)
        answer.kind = ASK_STATUS; /* not what was asked */
    if (run->open == ASK_DELIVER && (answer.kind != ASK_DELIVER || answer.status != STATUS_OK || answer.deliver.verdict != MAIL_OK))
        run->reserved = true;
    run->open = ASK_NONE;
    session_answer(run->s, &answer, run->now);
}

/* ---- moves ------------------------------------------------------------------------------------------------------------ */

static void secure(struct run *run)
{
    run->wants_tls = false;
    buf_clear(&run->wire);
    session_secured(run->s, &run->facts, run->now);
}

static void feed(struct run *run)
{
    struct slice wire = buf_slice(&run->wire);
    size_t eaten = session_feed(run->s, wire, run->now);
    must(eaten <= wire.len);
    must(eaten == 0 || (run->open == ASK_NONE && !run->wants_tls && !run->is_closed));
    buf_drop(&run->wire, eaten);
}

/* What a client says within a login: so that the input is about what is inside of the base64. */
static void say_base64(struct run *run)
{
    struct buf line = BUF(1024);
    enum status status = base64_encode(&line, take_octets(&run->in, take_octet(&run->in)));
    if (status == STATUS_OK)
        status = buf_put(&line, S("\r\n"));
    must(status == STATUS_OK);
    (void)!buf_put(&run->wire, buf_slice(&line));
    buf_done(&line);
}

static void move(struct run *run)
{
    uint8_t what = take_octet(&run->in);
    if (run->open != ASK_NONE && what % 16 != 15) {
        answer_open(run);
    } else if (run->wants_tls) {
        secure(run);
    } else if (what == 250) {
        session_stop(run->s, run->now);
    } else if (what == 251) {
        run->now += (msec)take_octet(&run->in) * 10000;
        session_tick(run->s, run->now);
    } else if (what == 252) {
        say_base64(run);
    } else if (what >= 240) {
        struct slice unit = take_octets(&run->in, take_octet(&run->in) % 32); /* long content from a short input */
        for (int i = 0; i < 4000 && unit.len > 0; i++)
            if (buf_put(&run->wire, unit) != STATUS_OK)
                break;
    } else {
        (void)!buf_put(&run->wire, take_octets(&run->in, what));
    }
}

static struct tls_facts make_facts(uint8_t way)
{
    struct tls_facts facts = { .version = S("TLSv1.3"), .cipher = S("TLS_AES_256_GCM_SHA384"), .outdated = way & 128 };
    if (way & 64) {
        facts.exporter = S("0123456789abcdef0123456789abcdef");
        facts.unique = S("uuuu");
        facts.end_point = S("eeee");
        facts.peer_key = S("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
    }
    return facts;
}

/* Every mechanism that there is. */
static enum status set_mechanisms(struct settings *settings, struct buf *why)
{
    TRY(config_set(settings, S("oauth.jwks"), S("keys.json"), why));
    TRY(config_set(settings, S("oauth.scope"), S("mail"), why));
    TRY(config_set(settings, S("auth.client_certificates"), S("yes"), why));
    return config_set(settings, S("auth.scram_sha1"), S("yes"), why);
}

static struct session *open_session(uint8_t way)
{
    static const enum service services[] = { SERVICE_MX, SERVICE_SUBMISSION, SERVICE_SUBMISSIONS, SERVICE_POP3, SERVICE_POP3S, SERVICE_MX,
        SERVICE_LEGACY_SUBMISSION, SERVICE_LEGACY_POP3 };
    struct session_env env = { .settings = config_default(), .service = services[way % 8], .id = way, .seed = { way }, .started = 1795428245000,
        .early = way == 253, .crowded = way == 255 };
    struct buf why = BUF(256);
    enum status status = ip_parse(S("192.0.2.7"), &env.peer);
    if (status == STATUS_OK)
        status = config_set(env.settings, S("message.size_limit"), S("128KB"), &why);
    if (status == STATUS_OK && way & 8)
        status = config_set(env.settings, S("legacy.networks"), S("192.0.2.0/24"), &why);
    if (status == STATUS_OK && way & 16)
        status = config_set(env.settings, S("auth.plaintext_networks"), S("192.0.2.0/24"), &why);
    if (status == STATUS_OK && way & 32)
        status = config_set(env.settings, S("mx.greeting_delay"), S("1s"), &why);
    if (status == STATUS_OK && way & 64)
        status = set_mechanisms(env.settings, &why);
    must(status == STATUS_OK);
    bool is_pop3 = env.service == SERVICE_POP3 || env.service == SERVICE_POP3S || env.service == SERVICE_LEGACY_POP3;
    bool tls = env.service == SERVICE_SUBMISSIONS || env.service == SERVICE_POP3S;
    struct tls_facts facts = make_facts(way);
    struct session *s = session_open(is_pop3 ? &pop3_protocol : &smtp_protocol, &env, tls ? &facts : NULL, 1000);
    settings_release(env.settings);
    buf_done(&why);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t way = data[0];
    bool is_smtp = way % 8 != 3 && way % 8 != 4 && way % 8 != 7;
    struct run run = { .s = open_session(way), .in = { data + 1, data + size }, .arena = ARENA(1u << 20), .wire = BUF(1u << 20), .now = 1000,
        .facts = make_facts(way) };
    take_wishes(&run, is_smtp);
    while (run.in.at < run.in.end && !run.is_closed) {
        move(&run);
        take_wishes(&run, is_smtp);
        for (size_t before = SIZE_MAX; before != run.wire.len && run.open == ASK_NONE && !run.wants_tls && !run.is_closed;) {
            before = run.wire.len;
            feed(&run);
            take_wishes(&run, is_smtp);
        }
    }
    session_hangup(run.s, run.now);
    run.open = ASK_NONE;
    take_wishes(&run, is_smtp);
    must(!run.reserved && !run.has_asked); /* the keeper was told */
    session_close(run.s);
    buf_done(&run.wire);
    arena_done(&run.arena);
    return 0;
}

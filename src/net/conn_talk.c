#include "net/conn_impl.h"

#include "base/alloc.h"
#include "base/must.h"
#include "base/secret.h"

/* One loop in a process reads one connection at a time. */
static struct buf shared_plain = { .max = CONN_PLAIN_ROOM };

struct conn_mark conn_mark(const struct conn *conn)
{
    return (struct conn_mark){ conn->session, conn->peer, conn->service };
}

msec conn_now(const struct conn *conn)
{
    return loop_now(conn->host.loop);
}

/* ---- wishes ------------------------------------------------------------------------------------------------------ */

void conn_break(struct conn *conn, const char *why)
{
    if (!conn->broken)
        conn->why = why;
    conn->broken = true;
}

static void send_plain(struct conn *conn, struct slice bytes)
{
    /* During a handshake there is no way to say it: a deadline's last word is lost then. */
    if (conn->broken || (conn->tls && !tls_is_ready(conn->tls)))
        return;
    enum status status = conn->tls ? tls_write(conn->tls, bytes, &conn->out) : buf_put(&conn->out, bytes);
    if (status != STATUS_OK)
        conn_break(conn, "too much to say");
}

static void put_ask(struct conn *conn, const struct ask *wished)
{
    struct ask ask = *wished;
    enum status status = STATUS_OK;
    if (ask.kind == ASK_DELIVER)
        status = arriving_attach(&conn->body, &ask);
    if (status == STATUS_OK)
        status = conn->host.ask(conn->host.context, conn, &ask);
    if (ask.kind == ASK_DELIVER || ask.kind == ASK_RESET)
        arriving_drop(&conn->body);
    if (ask_defs[ask.kind].silent)
        return;
    conn->asked = ask.kind;
    conn->refused = status;
}

/* What was received in plain text behind STARTTLS was not said by whom TLS will prove: the caller drops it (C052,
 * C054). */
void conn_begin_tls(struct conn *conn)
{
    if (!conn->tls_context) {
        conn_break(conn, "no certificate");
        return;
    }
    conn->tls = tls_open(conn->tls_context);
    conn->deadline = conn_now(conn) + LIMIT_HANDSHAKE;
}

static void carry_one(struct conn *conn, const struct wish *wish)
{
    struct conn_mark mark;
    switch (wish->kind) {
    case WISH_SEND:
        send_plain(conn, wish->bytes);
        break;
    case WISH_ASK:
        put_ask(conn, wish->ask);
        break;
    case WISH_BODY:
        arriving_put(&conn->body, wish->bytes);
        break;
    case WISH_TLS:
        conn_begin_tls(conn);
        break;
    case WISH_CLOSE:
        break; /* session_is_closed() tells */
    case WISH_NOTE:
        mark = conn_mark(conn);
        conn_log_note(&mark, wish->note);
        break;
    }
}

/* All wishes; true if there was any.  An ask that the host refused is answered when the others are carried out. */
static bool carry_all(struct conn *conn)
{
    struct wish wish;
    bool any = false;
    must(!conn->driving);
    conn->driving = true;
    for (;;) {
        while (session_next(conn->session, &wish)) {
            carry_one(conn, &wish);
            any = true;
        }
        if (conn->refused == STATUS_OK)
            break;
        struct answer answer = { .kind = conn->asked, .status = conn->refused, .fd = -1 };
        conn->asked = ASK_NONE;
        conn->refused = STATUS_OK;
        session_answer(conn->session, &answer, conn_now(conn));
    }
    conn->driving = false;
    return any;
}

static bool may_feed(struct conn *conn)
{
    bool ready = conn->phase == TALKING && !conn->broken && !session_is_closed(conn->session) &&
                 !session_is_waiting(conn->session);
    conn->stalled = ready && conn->out.len >= LIMIT_TURN;
    return ready && !conn->stalled;
}

/* Feeds and carries out until nothing moves; octets eaten of `wire`. */
static size_t drive(struct conn *conn, struct slice wire)
{
    size_t at = 0;
    bool was_plain = !conn->tls;
    carry_all(conn);
    while (may_feed(conn)) {
        size_t eaten = session_feed(conn->session, slice_from(wire, at), conn_now(conn));
        at += eaten;
        if (!carry_all(conn) && eaten == 0)
            break;
    }
    return was_plain && conn->tls ? wire.len : at;
}

/* After an answer, or when the peer has read: what waits in `in` may be wanted now. */
void conn_resume(struct conn *conn)
{
    size_t eaten = drive(conn, buf_slice(&conn->in));
    buf_drop(&conn->in, eaten);
    if (conn->in.len == 0) {
        buf_done(&conn->in);
        conn->paused = false;
    }
}

static void take_plain(struct conn *conn, struct slice wire)
{
    size_t eaten = drive(conn, wire);
    must(conn->in.len == 0);
    if (eaten < wire.len && buf_put(&conn->in, slice_from(wire, eaten)) != STATUS_OK)
        conn_break(conn, "too much at once");
}

/* ---- TLS --------------------------------------------------------------------------------------------------------- */

void conn_open_session(struct conn *conn, const struct tls_facts *facts)
{
    conn->session = session_open(conn->protocol, conn->env, facts, conn_now(conn));
    settings_release(conn->env->settings); /* the session holds them now */
    release(conn->env);
    conn->env = NULL;
}

static struct slice make_exporter(void *context) { return tls_exporter(context); }

static void secured(struct conn *conn)
{
    struct tls_view view = tls_view(conn->tls);
    struct tls_bindings bindings = tls_bindings(conn->tls);
    struct tls_facts facts = { .version = view.version,
        .cipher = view.cipher,
        .sni = view.sni,
        .alpn = view.alpn,
        .resumed = view.resumed,
        .outdated = bindings.outdated,
        .export = bindings.has_exporter ? make_exporter : NULL,
        .context = conn->tls, /* closed after the session */
        .unique = { bindings.unique.octets, bindings.unique.len },
        .end_point = { bindings.end_point.octets, bindings.end_point.len },
        .peer_key = { bindings.peer_key.octets, bindings.peer_key.len } }; /* the session copies */
    if (conn->session)
        session_secured(conn->session, &facts, conn_now(conn));
    else
        conn_open_session(conn, &facts);
    struct conn_mark mark = conn_mark(conn);
    conn_log_tls(&mark, &view);
}

static void take_cipher(struct conn *conn, struct slice wire)
{
    bool was_ready = tls_is_ready(conn->tls);
    buf_clear(&shared_plain);
    enum status status = tls_feed(conn->tls, wire, &shared_plain, &conn->out);
    if (tls_is_ready(conn->tls)) {
        if (!was_ready)
            secured(conn);
        take_plain(conn, buf_slice(&shared_plain));
        wipe(shared_plain.ptr, shared_plain.len); /* a password, perhaps */
    }
    if (tls_is_ended(conn->tls))
        conn->ended = true;
    if (status != STATUS_OK) { /* `out` may hold the alert that says why: it is still sent */
        conn->ended = true;
        conn->why = tls_problem(conn->tls);
        if (conn->session)
            session_hangup(conn->session, conn_now(conn));
    }
}

void conn_carry_out(struct conn *conn)
{
    carry_all(conn);
}

void conn_take(struct conn *conn, struct slice wire)
{
    if (conn->tls)
        take_cipher(conn, wire);
    else
        take_plain(conn, wire);
}

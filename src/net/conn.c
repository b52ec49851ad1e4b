#include "net/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "base/secret.h"
#include "net/arriving.h"
#include "net/conn_log.h"

#define READ_ROOM       65536u          /* octets of one read; shared by all connections of the process */
#define PLAIN_ROOM      (READ_ROOM + 32768u) /* what one read decrypts to: a record may have begun in the reads before */
#define READS_A_TURN    4               /* then the other connections have their turn */
#define OUT_ROOM        (4u * LIMIT_SEND_BUFFER) /* feeding stops at a quarter; an answer and TLS come on top */
#define HANDSHAKE_LIMIT SECONDS(30)     /* of a TLS handshake (C072) */
#define WRITE_LIMIT     MINUTES(5)      /* without a single octet taken by the peer (RFC 5321 4.5.3.2 gives clients as long) */
#define LINGER_LIMIT    SECONDS(5)      /* for the peer to stop sending after we hung up */
#define NEVER           UINT64_MAX

enum phase {
    TALKING,
    CLOSING,   /* what waits is written, then it is over */
    LINGERING, /* all is said; the peer still sends: a reset now would take our last reply from it */
    OVER,      /* to be freed at the end of this pass */
};

struct conn {
    struct conn_host host;
    uv_poll_t poll;
    uv_timer_t timer;
    struct loop_flush flush;
    const struct protocol *protocol;
    struct session_env *env;        /* until the session is there */
    struct tls_context *tls_context;
    struct session *session;        /* NULL during the handshake of implicit TLS */
    struct tls *tls;
    struct buf in;                  /* plain octets that the session could not take yet */
    struct buf out;                 /* what is due on the wire */
    struct arriving body;
    enum ask_kind asked;            /* ASK_NONE: no answer is due */
    enum status refused;            /* why the host did not take that ask: session_answer() is due; or OK */
    enum service service;
    struct ip peer;
    uint64_t id, octets_in, octets_out;
    msec deadline;                  /* of the handshake or of lingering */
    msec blocked_since;             /* when the socket last took something of what waits; 0: nothing waits for the peer */
    msec timer_at;                  /* 0: not armed */
    const char *why;                /* reason of the end, for the log */
    int fd, watched, handles;
    enum phase phase;
    bool ended;                     /* the peer says no more */
    bool broken;                    /* nothing can be said to it any more */
    bool paused;                    /* not read from, until `in` is used up */
    bool stalled;                   /* not fed, until the peer has read */
    bool driving;
};

/* One loop in a process reads one connection at a time. */
static char shared_in[READ_ROOM];
static struct buf shared_plain = { .max = PLAIN_ROOM };

static msec now_of(const struct conn *conn) { return loop_now(conn->host.loop); }

static struct conn_mark mark_of(const struct conn *conn)
{
    return (struct conn_mark){ conn->session, conn->peer, conn->service };
}

/* ---- wishes --------------------------------------------------------------------------------------------------------- */

static void break_off(struct conn *conn, const char *why)
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
        break_off(conn, "too much to say");
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

/* What was received in plain text behind STARTTLS was not said by whom TLS will prove: the caller drops it (C052, C054). */
static void begin_tls(struct conn *conn)
{
    if (!conn->tls_context) {
        break_off(conn, "no certificate");
        return;
    }
    conn->tls = tls_open(conn->tls_context);
    conn->deadline = now_of(conn) + HANDSHAKE_LIMIT;
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
        begin_tls(conn);
        break;
    case WISH_CLOSE:
        break; /* session_is_closed() tells */
    case WISH_NOTE:
        mark = mark_of(conn);
        conn_log_note(&mark, wish->note);
        break;
    }
}

/* All wishes; true if there was any.  An ask that the host refused is answered when the others are carried out. */
static bool carry_out(struct conn *conn)
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
        session_answer(conn->session, &answer, now_of(conn));
    }
    conn->driving = false;
    return any;
}

static bool may_feed(struct conn *conn)
{
    bool ready = conn->phase == TALKING && !conn->broken && !session_is_closed(conn->session) && !session_is_waiting(conn->session);
    conn->stalled = ready && conn->out.len > LIMIT_SEND_BUFFER;
    return ready && !conn->stalled;
}

/* Feeds and carries out until nothing moves; octets eaten of `wire`. */
static size_t drive(struct conn *conn, struct slice wire)
{
    size_t at = 0;
    bool was_plain = !conn->tls;
    carry_out(conn);
    while (may_feed(conn)) {
        size_t eaten = session_feed(conn->session, slice_from(wire, at), now_of(conn));
        at += eaten;
        if (!carry_out(conn) && eaten == 0)
            break;
    }
    return was_plain && conn->tls ? wire.len : at;
}

/* After an answer, or when the peer has read: what waits in `in` may be wanted now. */
static void resume(struct conn *conn)
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
        break_off(conn, "too much at once");
}

/* ---- TLS ------------------------------------------------------------------------------------------------------------ */

static void open_session(struct conn *conn, const struct tls_facts *facts)
{
    conn->session = session_open(conn->protocol, conn->env, facts, now_of(conn));
    settings_release(conn->env->settings); /* the session holds them now */
    release(conn->env);
    conn->env = NULL;
}

static void secured(struct conn *conn)
{
    struct tls_view view = tls_view(conn->tls);
    struct tls_facts facts = { .version = view.version, .cipher = view.cipher, .sni = view.sni, .alpn = view.alpn, .resumed = view.resumed };
    if (conn->session)
        session_secured(conn->session, &facts, now_of(conn));
    else
        open_session(conn, &facts);
    struct conn_mark mark = mark_of(conn);
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
            session_hangup(conn->session, now_of(conn));
    }
}

/* ---- the socket ----------------------------------------------------------------------------------------------------- */

static void write_out(struct conn *conn)
{
    while (conn->out.len > 0 && !conn->broken) {
        ssize_t sent = send(conn->fd, conn->out.ptr, conn->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN) {
            break_off(conn, strerror(errno));
            return;
        }
        if (sent > 0) {
            conn->octets_out += (uint64_t)sent;
            buf_drop(&conn->out, (size_t)sent);
        }
        if (sent > 0 || conn->blocked_since == 0)
            conn->blocked_since = now_of(conn);
        if (conn->out.len > 0)
            return; /* what it did not take now it would refuse a second time */
    }
    /* A stalled connection has more to say as soon as the kernel's buffer has room: it is blocked all the same. */
    conn->blocked_since = conn->stalled ? now_of(conn) : 0;
    buf_done(&conn->out);
}

/* Octets read, 0 at the peer's end, -1 where there is nothing now or the connection broke. */
static ssize_t read_in(struct conn *conn)
{
    ssize_t got;
    do
        got = recv(conn->fd, shared_in, sizeof shared_in, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        conn->octets_in += (uint64_t)got;
    else if (got < 0 && errno != EAGAIN)
        break_off(conn, strerror(errno));
    return got;
}

static void read_all(struct conn *conn)
{
    for (int i = 0; i < READS_A_TURN && conn->phase == TALKING && !conn->ended && !conn->broken; i++) {
        /* What came before is not used up: from here on the peer waits in its own buffers. */
        conn->paused = conn->in.len > 0;
        if (conn->paused)
            return;
        ssize_t got = read_in(conn);
        if (got < 0)
            return;
        if (got == 0)
            conn->ended = true;
        else if (conn->tls)
            take_cipher(conn, (struct slice){ shared_in, (size_t)got });
        else
            take_plain(conn, (struct slice){ shared_in, (size_t)got });
        if ((size_t)got < sizeof shared_in)
            return;
    }
}

static void linger(struct conn *conn)
{
    ssize_t got = read_in(conn);
    if (got == 0 || conn->broken)
        conn->phase = OVER;
}

/* Everything is written.  Closing now would turn unread octets into a reset, and that would overtake our last reply (RFC 1122 4.2.2.13). */
static void end_writing(struct conn *conn)
{
    conn->phase = OVER;
    if (conn->ended || conn->broken || read_in(conn) <= 0)
        return;
    shutdown(conn->fd, SHUT_WR);
    conn->phase = LINGERING;
    conn->deadline = now_of(conn) + LINGER_LIMIT;
}

/* ---- from event to event -------------------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *handle, int status, int events);
static void on_timer(uv_timer_t *timer);

static void watch(struct conn *conn)
{
    int events = 0;
    bool reads = conn->phase == TALKING ? !conn->ended && !conn->paused : conn->phase == LINGERING;
    if (reads)
        events |= UV_READABLE;
    if (conn->phase < LINGERING && (conn->blocked_since != 0 || conn->stalled))
        events |= UV_WRITABLE;
    if (events == conn->watched)
        return;
    conn->watched = events;
    if (events)
        uv_poll_start(&conn->poll, events, on_poll);
    else
        uv_poll_stop(&conn->poll);
}

static msec sooner(msec a, msec b) { return a < b ? a : b; }

static msec next_deadline(const struct conn *conn)
{
    msec at = NEVER;
    bool shakes = conn->tls && !tls_is_ready(conn->tls);
    if ((conn->phase == TALKING && shakes) || conn->phase == LINGERING)
        at = conn->deadline;
    if (conn->phase < LINGERING && conn->blocked_since != 0)
        at = sooner(at, conn->blocked_since + WRITE_LIMIT);
    if (conn->phase == TALKING && conn->session && !shakes)
        at = sooner(at, session_deadline(conn->session));
    return at;
}

/* Deadlines move on with every command, so the timer is left alone while it is early enough: it looks again when it fires. */
static void arm(struct conn *conn)
{
    msec at = next_deadline(conn), now = now_of(conn);
    if (conn->phase == OVER || at == NEVER || (conn->timer_at != 0 && conn->timer_at <= at))
        return;
    conn->timer_at = at > now ? at : now + 1;
    uv_timer_start(&conn->timer, on_timer, conn->timer_at - now, 0);
}

static void begin_closing(struct conn *conn)
{
    conn->phase = CLOSING;
    if (conn->tls)
        tls_shutdown(conn->tls, &conn->out);
}

/* The peer is gone or ends; only silent asks follow. */
static void hang_up(struct conn *conn)
{
    if (conn->session) {
        session_hangup(conn->session, now_of(conn));
        carry_out(conn);
    }
    begin_closing(conn);
}

/* After whatever happened: is it over, and what is waited for now? */
static void settle(struct conn *conn)
{
    if (conn->phase == TALKING && conn->session && session_is_closed(conn->session)) {
        if (!conn->why)
            conn->why = "bye";
        carry_out(conn);
        begin_closing(conn);
    }
    if (conn->phase == TALKING && conn->ended && (!conn->session || !(session_is_waiting(conn->session) || conn->stalled))) {
        if (!conn->why)
            conn->why = "peer hung up"; /* also in the middle of a message: without its end there is none (C068) */
        hang_up(conn);
    }
    if (conn->broken && conn->phase == TALKING)
        hang_up(conn);
    if (conn->broken)
        conn->phase = OVER;
    bool unsaid = conn->out.len > 0 && conn->blocked_since == 0;
    if (unsaid || conn->phase == OVER || (conn->phase == CLOSING && conn->out.len == 0))
        loop_flush_later(conn->host.loop, &conn->flush);
    watch(conn);
    arm(conn);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    if (--conn->handles == 0)
        release(conn);
}

static void finish(struct conn *conn)
{
    struct conn_mark mark = mark_of(conn);
    conn_log_end(&mark, conn->octets_in, conn->octets_out, conn->why, conn->tls && !tls_is_ready(conn->tls));
    loop_flush_never(&conn->flush);
    conn->host.gone(conn->host.context, conn);
    uv_close((uv_handle_t *)&conn->poll, on_closed);
    uv_close((uv_handle_t *)&conn->timer, on_closed);
    close(conn->fd);
    if (conn->session)
        session_close(conn->session);
    if (conn->env)
        settings_release(conn->env->settings);
    release(conn->env);
    if (conn->tls)
        tls_close(conn->tls);
    if (conn->tls_context)
        tls_context_release(conn->tls_context);
    arriving_drop(&conn->body);
    buf_done(&conn->in);
    buf_done(&conn->out);
}

/* The end of the pass: one write for all that was said in it. */
static void on_flush(struct loop_flush *flush)
{
    struct conn *conn = list_element(flush, struct conn, flush);
    if (conn->phase < LINGERING)
        write_out(conn);
    if (conn->phase == CLOSING && conn->out.len == 0)
        end_writing(conn);
    if (conn->broken && conn->phase != TALKING)
        conn->phase = OVER;
    if (conn->phase == OVER)
        finish(conn);
    else
        settle(conn);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct conn *conn = handle->data;
    if (status < 0) { /* libuv has stopped watching; reading tells the reason */
        conn->watched = 0;
        events = UV_READABLE;
    }
    if ((events & UV_WRITABLE) && conn->phase < LINGERING) {
        write_out(conn);
        if (conn->stalled && conn->session)
            resume(conn);
    }
    if (events & UV_READABLE) {
        if (conn->phase == LINGERING)
            linger(conn);
        else
            read_all(conn);
    }
    if (status < 0)
        break_off(conn, uv_strerror(status));
    settle(conn);
}

static void on_timer(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    msec now = now_of(conn);
    conn->timer_at = 0;
    if (now >= next_deadline(conn)) {
        if (conn->phase == LINGERING)
            conn->phase = OVER;
        else if (conn->blocked_since != 0 && now >= conn->blocked_since + WRITE_LIMIT)
            break_off(conn, "peer does not read");
        else if (conn->tls && !tls_is_ready(conn->tls))
            break_off(conn, "handshake took too long");
        else if (conn->phase == TALKING && conn->session) {
            session_tick(conn->session, now);
            resume(conn);
        }
    }
    settle(conn);
}

/* ---- the host's side ------------------------------------------------------------------------------------------------ */

struct conn *conn_open(const struct conn_host *host, const struct conn_plan *plan, int fd)
{
    struct conn *conn = alloc(sizeof *conn);
    *conn = (struct conn){ .host = *host, .protocol = plan->protocol, .service = plan->env.service, .peer = plan->env.peer,
        .id = plan->env.id, .in = BUF(PLAIN_ROOM), .out = BUF(OUT_ROOM), .fd = fd, .handles = 2, .flush = { .run = on_flush } };
    arriving_init(&conn->body);
    conn->env = alloc(sizeof *conn->env);
    *conn->env = plan->env;
    settings_hold(conn->env->settings);
    conn->tls_context = plan->tls ? tls_context_hold(plan->tls) : NULL;
    must(uv_poll_init(&host->loop->uv, &conn->poll, fd) == 0); /* makes it non-blocking */
    uv_timer_init(&host->loop->uv, &conn->timer);
    conn->poll.data = conn->timer.data = conn;
    if (plan->implicit_tls) {
        begin_tls(conn);
    } else {
        open_session(conn, NULL);
        carry_out(conn);
    }
    struct conn_mark mark = mark_of(conn);
    conn_log_open(&mark);
    settle(conn);
    return conn;
}

void conn_answer(struct conn *conn, const struct answer *answer)
{
    struct answer copy = *answer;
    must(!conn->driving);
    bool wanted = conn->phase == TALKING && conn->asked == answer->kind && conn->asked != ASK_NONE;
    bool staging = wanted && copy.kind == ASK_STAGE && copy.status == STATUS_OK && copy.stage.verdict == MAIL_OK;
    if (staging && copy.fd >= 0)
        arriving_stage(&conn->body, copy.fd);
    else if (copy.fd >= 0)
        close(copy.fd);
    if (staging && copy.fd < 0) /* a file was promised and did not come */
        copy.status = STATUS_IO;
    copy.fd = -1;
    if (!wanted)
        return;
    conn->asked = ASK_NONE;
    session_answer(conn->session, &copy, now_of(conn));
    resume(conn);
    settle(conn);
}

void conn_stop(struct conn *conn)
{
    if (conn->phase != TALKING)
        return;
    if (conn->session) {
        session_stop(conn->session, now_of(conn));
        resume(conn);
    } else {
        break_off(conn, "server stops");
    }
    settle(conn);
}

void conn_abort(struct conn *conn)
{
    if (conn->phase != TALKING)
        return;
    if (conn->asked != ASK_NONE)
        conn_answer(conn, &(struct answer){ .kind = conn->asked, .status = STATUS_AWAY, .fd = -1 });
    conn_stop(conn);
    if (conn->phase != TALKING)
        return;
    /* In the middle of a message: no reply fits there, and a peer that gets none tries again. */
    conn->why = "keeper is away";
    hang_up(conn);
    settle(conn);
}

uint64_t conn_id(const struct conn *conn) { return conn->id; }

#include "net/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/must.h"
#include "net/conn_impl.h"

#define READS_A_TURN 4          /* then the other connections have their turn */
#define NEVER        UINT64_MAX

/* One loop in a process reads one connection at a time. */
static char shared_in[CONN_READ_ROOM];

/* ---- the socket -------------------------------------------------------------------------------------------------- */

static void write_out(struct conn *conn)
{
    while (conn->out.len > 0 && !conn->broken) {
        ssize_t sent = send(conn->fd, conn->out.ptr, conn->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN) {
            conn_break(conn, strerror(errno));
            return;
        }
        if (sent > 0) {
            conn->octets_out += (uint64_t)sent;
            buf_drop(&conn->out, (size_t)sent);
        }
        if (sent > 0 || conn->blocked_since == 0)
            conn->blocked_since = conn_now(conn);
        if (conn->out.len > 0)
            return; /* what it did not take now it would refuse a second time */
    }
    /* A stalled connection has more to say as soon as the kernel's buffer has room: it is blocked all the same. */
    conn->blocked_since = conn->stalled ? conn_now(conn) : 0;
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
        conn_break(conn, strerror(errno));
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
        if (conn->host.heard)
            conn->host.heard(conn->host.context);
        if (got == 0)
            conn->ended = true;
        else
            conn_take(conn, (struct slice){ shared_in, (size_t)got });
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

/* Everything is written.  Closing now would turn unread octets into a reset, and that would overtake our last reply
 * (RFC 1122 4.2.2.13). */
static void end_writing(struct conn *conn)
{
    conn->phase = OVER;
    if (conn->ended || conn->broken || read_in(conn) <= 0)
        return;
    shutdown(conn->fd, SHUT_WR);
    conn->phase = LINGERING;
    conn->deadline = conn_now(conn) + LIMIT_LINGER;
}

/* ---- from event to event ----------------------------------------------------------------------------------------- */

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

static msec sooner(msec a, msec b)
{
    return a < b ? a : b;
}

static msec next_deadline(const struct conn *conn)
{
    msec at = NEVER;
    bool shakes = conn->tls && !tls_is_ready(conn->tls);
    if ((conn->phase == TALKING && shakes) || conn->phase == LINGERING)
        at = conn->deadline;
    if (conn->phase < LINGERING && conn->blocked_since != 0)
        at = sooner(at, conn->blocked_since + LIMIT_WRITE);
    if (conn->phase == TALKING && conn->session && !shakes)
        at = sooner(at, session_deadline(conn->session));
    return at;
}

/* Deadlines move on with every command, so the timer is left alone while it is early enough: it looks again when it
 * fires. */
static void arm(struct conn *conn)
{
    msec at = next_deadline(conn), now = conn_now(conn);
    if (conn->phase == OVER || at == NEVER || (conn->timer_at != 0 && conn->timer_at <= at))
        return;
    conn->timer_at = at > now ? at : now + 1;
    uv_timer_start(&conn->timer, on_timer, conn->timer_at - now, 0);
}

static void begin_closing(struct conn *conn)
{
    conn->phase = CLOSING;
    /* Nobody will want these any more, and who lingers may do so for seconds, in thousands. */
    buf_done(&conn->in);
    arriving_drop(&conn->body);
    if (conn->tls)
        tls_shutdown(conn->tls, &conn->out);
}

/* The peer is gone or ends; only silent asks follow. */
static void hang_up(struct conn *conn)
{
    if (conn->session) {
        session_hangup(conn->session, conn_now(conn));
        conn_carry_out(conn);
    }
    begin_closing(conn);
}

/* Replies to a group of commands go as a unit (RFC 2920 3.2): while the last of them waits for its answer, what would
 * not fill a packet waits with it.  The peer has said that command already, so it cannot be waiting for these. */
static bool is_held(const struct conn *conn)
{
    return conn->phase == TALKING && conn->asked != ASK_NONE && conn->out.len < CONN_SMALL;
}

/* After whatever happened: is it over, and what is waited for now? */
static void settle(struct conn *conn)
{
    if (conn->phase == TALKING && conn->session && session_is_closed(conn->session)) {
        if (!conn->why)
            conn->why = "bye";
        conn_carry_out(conn);
        begin_closing(conn);
    }
    if (conn->phase == TALKING && conn->ended &&
        (!conn->session || !(session_is_waiting(conn->session) || conn->stalled))) {
        if (!conn->why)
            conn->why = "peer hung up"; /* also in the middle of a message: without its end there is none (C068) */
        hang_up(conn);
    }
    if (conn->broken && conn->phase == TALKING)
        hang_up(conn);
    if (conn->broken)
        conn->phase = OVER;
    bool unsaid = conn->out.len > 0 && conn->blocked_since == 0 && !is_held(conn);
    if (unsaid || conn->phase == OVER || (conn->phase == CLOSING && conn->out.len == 0)) {
        loop_flush_later(conn->host.loop, &conn->flush); /* comes here again, or finishes */
        return;
    }
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
    struct conn_mark mark = conn_mark(conn);
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
    if (conn->phase < LINGERING && !is_held(conn))
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
            conn_resume(conn);
    }
    if (events & UV_READABLE) {
        if (conn->phase == LINGERING)
            linger(conn);
        else
            read_all(conn);
    }
    if (status < 0)
        conn_break(conn, uv_strerror(status));
    settle(conn);
}

void conn_timer_fired(struct conn *conn)
{
    msec now = conn_now(conn);
    conn->timer_at = 0;
    if (now >= next_deadline(conn)) {
        if (conn->phase == LINGERING)
            conn->phase = OVER;
        else if (conn->blocked_since != 0 && now >= conn->blocked_since + LIMIT_WRITE)
            conn_break(conn, "peer does not read");
        else if (conn->tls && !tls_is_ready(conn->tls))
            conn_break(conn, "handshake took too long");
        else if (conn->phase == TALKING && conn->session) {
            session_tick(conn->session, now);
            conn_resume(conn);
        }
    }
    settle(conn);
}

static void on_timer(uv_timer_t *timer)
{
    conn_timer_fired(timer->data);
}

/* ---- the host's side --------------------------------------------------------------------------------------------- */

struct conn *conn_open(const struct conn_host *host, const struct conn_plan *plan, int fd)
{
    struct conn *conn = alloc(sizeof *conn);
    *conn = (struct conn){ .host = *host,
        .protocol = plan->protocol,
        .service = plan->env.service,
        .peer = plan->env.peer,
        .in = BUF(CONN_PLAIN_ROOM),
        .out = BUF(CONN_OUT_ROOM),
        .fd = fd,
        .handles = 2,
        .flush = { .run = on_flush } };
    arriving_init(&conn->body);
    conn->env = alloc(sizeof *conn->env);
    *conn->env = plan->env;
    settings_hold(conn->env->settings);
    conn->tls_context = plan->tls ? tls_context_hold(plan->tls) : NULL;
    must(uv_poll_init(&host->loop->uv, &conn->poll, fd) == 0); /* makes it non-blocking */
    uv_timer_init(&host->loop->uv, &conn->timer);
    conn->poll.data = conn->timer.data = conn;
    if (plan->implicit_tls) {
        conn_begin_tls(conn);
    } else {
        conn_open_session(conn, NULL);
        conn_carry_out(conn);
    }
    struct conn_mark mark = conn_mark(conn);
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
    session_answer(conn->session, &copy, conn_now(conn));
    conn_resume(conn);
    settle(conn);
}

void conn_stop(struct conn *conn)
{
    if (conn->phase != TALKING)
        return;
    if (conn->session) {
        session_stop(conn->session, conn_now(conn));
        conn_resume(conn);
    } else {
        conn_break(conn, "server stops");
    }
    settle(conn);
}

bool conn_is_waiting(const struct conn *conn)
{
    return conn->asked != ASK_NONE;
}

void conn_cut(struct conn *conn)
{
    conn_break(conn, "others need the place");
    settle(conn);
}

void conn_expire(struct conn *conn)
{
    must(!conn_is_waiting(conn));
    if (conn->phase != TALKING)
        return;
    conn->why = "silent, and others need the place";
    if (conn->session && (!conn->tls || tls_is_ready(conn->tls))) {
        session_tick(conn->session, session_deadline(conn->session));
        conn_resume(conn);
    }
    if (!conn->session || !session_is_closed(conn->session)) /* shaking hands, or it was not its end that the session waited for */
        conn_break(conn, conn->why);
    settle(conn);
}

/* What lasts may have been done before the keeper went, and nobody can tell: "try again" would say that it was not.  A connection that ends without a
 * reply says just that (RFC 1047). */
static bool is_unknown(enum ask_kind asked)
{
    return asked == ASK_DELIVER || asked == ASK_EXPUNGE;
}

void conn_abort(struct conn *conn)
{
    if (conn->phase != TALKING)
        return;
    if (!is_unknown(conn->asked)) {
        if (conn->asked != ASK_NONE)
            conn_answer(conn, &(struct answer){ .kind = conn->asked, .status = STATUS_AWAY, .fd = -1 });
        conn_stop(conn);
        if (conn->phase != TALKING)
            return;
    }
    /* In the middle of a message: no reply fits there, and a peer that gets none tries again. */
    conn->why = "keeper is away";
    hang_up(conn);
    settle(conn);
}

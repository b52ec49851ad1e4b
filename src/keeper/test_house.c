#include "keeper/test_house.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mail/pack.h"

/* mail/pack.c keeps a context as long as its thread; here threads end with every house. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:ZSTD_create";
}

static struct settings *make_settings(void)
{
    struct settings *s = alloc(sizeof *s);
    s->holders = 1;
    s->arena = ARENA(65536);
    s->hostname = S("mail.our.test");
    s->log_level = LOG_ERROR;
    s->auth_hash_cost = 1;
    s->auth_mechanisms = MECHANISMS_ALL;
    s->auth_client_certificates = true;
    s->message_size_limit = 10u << 20;
    s->message_recipients = 100;
    s->lease_accounts = LEASE_FLAGGED;
    s->lease_window = MINUTES(10);
    s->lease_cap = MINUTES(60);
    s->lease_messages = 2;
    s->lease_recipients = 4;
    s->lease_shared_accounts = 3;
    s->lease_imap = true;
    return s;
}

static void on_stop(uv_async_t *async)
{
    keeper_stop(async->data);
}

static void *run(void *context)
{
    struct house *h = context;
    loop_run(&h->loop);
    return NULL;
}

void house_start(struct house *h)
{
    static const char key[32] = "a key of thirty-two octets......";
    static const enum role roles[ENDS] = { ROLE_MX, ROLE_USER, ROLE_COURIER, ROLE_CTL };
    struct buf why = BUF(1024);
    h->keeper = alloc(sizeof *h->keeper);
    h->keeper->loop = &h->loop;
    loop_init(&h->loop);
    enum status status = keeper_open(h->keeper, h->dir, h->settings, (struct slice){ key, 32 }, &why);
    assert_ok(status);
    buf_done(&why);
    for (int i = 0; i < ENDS; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        h->ends[i] = pair[0];
        h->in[i] = BUF(1u << 20);
        asker_open(h->keeper, pair[1], roles[i], 0);
    }
    uv_async_init(&h->loop.uv, &h->stop, on_stop);
    h->stop.data = h->keeper;
    assert_int_equal(pthread_create(&h->thread, NULL, run, h), 0);
}

void house_stop(struct house *h)
{
    uv_async_send(&h->stop);
    pthread_join(h->thread, NULL);
    keeper_close(h->keeper);
    loop_done(&h->loop);
    release(h->keeper);
    for (int i = 0; i < ENDS; i++) {
        close(h->ends[i]);
        buf_done(&h->in[i]);
    }
}

int house_setup(void **state)
{
    struct house *h = alloc(sizeof *h);
    struct keeper_alone *alone;
    struct buf why = BUF(1024);
    log_open("test", LOG_ERROR);
    snprintf(h->dir, sizeof h->dir, "/tmp/keeper-test-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    h->settings = make_settings();
    h->arena = ARENA(64u << 20);
    static const char key[32] = "a key of thirty-two octets......";
    struct keeper_offline plan = {
        .store_dir = h->dir, .settings = h->settings, .keeper_key = { key, 32 }, .patience = 0, .create = true
    };
    assert_ok(keeper_alone_open(&plan, &alone, &why));
    struct ask ask = { .kind = ASK_DOMAIN_ADD, .fd = -1, .domain = { S("Our.Test") } };
    struct answer answer;
    keeper_alone_ask(alone, &ask, &answer);
    assert_ok(answer.status);
    keeper_alone_close(alone);
    buf_done(&why);
    house_start(h);
    house_add(h, "alice@our.test", true);
    house_add(h, "bob@our.test", false);
    house_add(h, "carol@our.test", false);
    *state = h;
    return 0;
}

static int drop(const char *path, const struct stat *about, int flag, struct FTW *walk)
{
    (void)about, (void)flag, (void)walk;
    return remove(path);
}

int house_teardown(void **state)
{
    struct house *h = *state;
    house_stop(h);
    settings_release(h->settings);
    arena_done(&h->arena);
    nftw(h->dir, drop, 8, FTW_DEPTH | FTW_PHYS);
    release(h);
    return 0;
}

struct ip house_ip(const char *text)
{
    struct ip ip = { 0 };
    assert_ok(ip_parse(slice_of(text), &ip));
    return ip;
}

/* ---- the wire: u32 length, mark, payload
 * ----------------------------------------------------------------------------- */

static void send_all(int fd, struct slice octets, int rider)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    while (octets.len > 0) {
        struct iovec part = { (void *)(uintptr_t)octets.ptr, octets.len };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
        if (rider >= 0) {
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            struct cmsghdr *c = CMSG_FIRSTHDR(&message);
            *c = (struct cmsghdr){
                .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof rider)
            };
            memcpy(CMSG_DATA(c), &rider, sizeof rider);
        }
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* closed: the answer says so */
        rider = -1;
        octets = slice_from(octets, (size_t)sent);
    }
}

uint32_t house_put(struct house *h, int end, uint64_t session, const struct ask *ask)
{
    struct frame frame = { .session = session, .number = ++h->number, .ask = *ask };
    struct buf out = BUF(LIMIT_FRAME + 8);
    char head[5] = { 0 };
    assert_ok(buf_put(&out, (struct slice){ head, 5 }));
    assert_ok(frame_put(&out, &frame));
    uint32_t length = (uint32_t)(out.len - 4);
    memcpy(out.ptr, &length, 4);
    out.ptr[4] = ask->fd >= 0;
    send_all(h->ends[end], buf_slice(&out), ask->fd);
    buf_done(&out);
    return h->number;
}

static bool receive(struct house *h, int end, int *out_fd)
{
    char control[CMSG_SPACE(sizeof(int))], *room;
    assert_ok(buf_reserve(&h->in[end], 65536, &room));
    struct iovec part = { room, 65536 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t got = recvmsg(h->ends[end], &message, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c)
        memcpy(out_fd, CMSG_DATA(c), sizeof *out_fd);
    buf_grown(&h->in[end], (size_t)got);
    return true;
}

struct answer house_get(struct house *h, int end, uint32_t number)
{
    int fd = -1;
    for (;;) {
        uint32_t length = 0;
        struct buf *in = &h->in[end];
        if (in->len >= 4)
            memcpy(&length, in->ptr, 4);
        if (in->len < 4 || in->len < 4 + length) {
            if (!receive(h, end, &fd))
                return (struct answer){ .status = STATUS_AWAY, .fd = -1 };
            continue;
        }
        struct slice payload;
        struct frame frame;
        assert_ok(arena_copy(&h->arena, slice_upto(slice_from(buf_slice(in), 5), length - 1), &payload));
        assert_ok(frame_get(payload, &h->arena, &frame));
        buf_drop(in, 4 + length);
        assert_true(frame.is_answer);
        if (number && frame.number != number)
            continue;
        frame.answer.fd = fd;
        return frame.answer;
    }
}

struct answer house_ask(struct house *h, int end, uint64_t session, const struct ask *ask)
{
    return house_get(h, end, house_put(h, end, session, ask));
}

bool house_is_closed(struct house *h, int end)
{
    char octet;
    return recv(h->ends[end], &octet, 1, 0) <= 0;
}

/* ---- words of the talk
 * ------------------------------------------------------------------------------------------------ */

struct answer_login house_login(struct house *h, int end, uint64_t session, const char *name, const char *secret,
    uint8_t protocol, const char *peer)
{
    struct ask ask = { .kind = ASK_LOGIN,
        .fd = -1,
        .login = { .name = slice_of(name),
            .secret = slice_of(secret),
            .from.session = S("s1"),
            .from.peer = house_ip(peer),
            .from.local = house_ip("192.0.2.250"),
            .from.protocol = protocol,
            .from.mechanism = MECHANISM_PASSWORD,
            .from.encrypted = 1 } };
    struct answer answer = house_ask(h, end, session, &ask);
    assert_ok(answer.status);
    return answer.login;
}

uint8_t house_mail(struct house *h, int end, uint64_t session, const char *sender, const char *peer)
{
    struct ask ask = { .kind = ASK_MAIL,
        .fd = -1,
        .mail = { .sender = slice_of(sender),
            .helo = S("client"),
            .session = S("s1"),
            .peer = house_ip(peer),
            .encrypted = 1,
            .submission = end == END_USER } };
    struct answer answer = house_ask(h, end, session, &ask);
    assert_ok(answer.status);
    return answer.mail.verdict;
}

uint8_t house_rcpt(struct house *h, int end, uint64_t session, const char *recipient)
{
    struct ask ask = { .kind = ASK_RCPT, .fd = -1, .rcpt = { slice_of(recipient) } };
    struct answer answer = house_ask(h, end, session, &ask);
    assert_ok(answer.status);
    return answer.rcpt.verdict;
}

struct answer house_deliver(struct house *h, int end, uint64_t session, const char *sender, const char *recipient,
    const char *author, const char *body)
{
    struct deliver_recipient row = { .address = slice_of(recipient) };
    struct deliver_author from = { slice_of(author) };
    struct ask ask = { .kind = ASK_DELIVER,
        .fd = -1,
        .deliver = { .sender = slice_of(sender),
            .recipients = { &row, 1 },
            .authors = { &from, author ? 1 : 0 },
            .return_path = S("Return-Path: <x>\r\n"),
            .prefix = S("Received: here\r\n"),
            .body = slice_of(body),
            .id = S("s1-1") } };
    return house_ask(h, end, session, &ask);
}

void house_add(struct house *h, const char *address, bool flagged)
{
    char secret[64];
    snprintf(secret, sizeof secret, "secret-%.*s", (int)slice_find(slice_of(address), '@'), address);
    struct ask ask = { .kind = ASK_ACCOUNT_ADD,
        .fd = -1,
        .account_add = { .address = slice_of(address), .secret = slice_of(secret), .pop_before_smtp = flagged } };
    assert_ok(house_ask(h, END_CTL, 0, &ask).status);
}

enum status house_alias(struct house *h, const char *address, const char *target)
{
    struct ask ask = { .kind = ASK_ALIAS_ADD, .fd = -1, .alias = { slice_of(address), slice_of(target) } };
    return house_ask(h, END_CTL, 0, &ask).status;
}

uint32_t house_messages(struct house *h, uint64_t session)
{
    struct ask ask = { .kind = ASK_DROP_LIST, .fd = -1 };
    struct answer answer = house_ask(h, END_USER, session, &ask);
    assert_ok(answer.status);
    return answer.drop_list.rows.count;
}

struct slice house_fetch(struct house *h, uint64_t session, uint32_t uid)
{
    struct buf plain = BUF(32u << 20);
    struct slice copy;
    struct ask ask = { .kind = ASK_FETCH, .fd = -1, .fetch = { .uid = uid } };
    do {
        struct answer answer = house_ask(h, END_USER, session, &ask);
        assert_ok(answer.status);
        const struct fetch_row *row = row_of(struct fetch_row, answer.fetch.rows, 0);
        assert_int_equal(row->uid, uid);
        for (struct slice frames = row->frames; frames.len > 0;) {
            size_t len;
            assert_ok(pack_frame(frames, &len));
            assert_ok(unpack_frame(&plain, slice_upto(frames, len)));
            frames = slice_from(frames, len);
        }
        ask.fetch.at = row->next;
    } while (ask.fetch.at != 0);
    assert_ok(arena_copy(&h->arena, buf_slice(&plain), &copy));
    buf_done(&plain);
    return copy;
}

/* A whole gate, jailed, in a process of its own; the test is its supervisor, its keeper, and the strangers who knock. */
#include "gate/gate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/testing.h"
#include "gate/impl.h"
#include "net/channel.h"
#include "net/control.h"

#define LONG   5000 /* milliseconds that nothing here takes */
#define SOON   300  /* milliseconds in which something would have happened */
#define GUESTS 3u   /* from one address */
#define DEVICES (INADDR_LOOPBACK + 1) /* who may submit on port 25, if the keeper lets them */

struct world {
    struct loop loop;
    struct channel *keeper;
    pid_t pid;
    int control, listening;
    struct sockaddr_in where;
    uv_timer_t timer;
    enum ask_kind awaited;
    bool came, mute, lost, as_device;
    uint64_t session, generation;
    uint32_t number, asked, ended;
    uint32_t from; /* an address of this machine that strangers come from; 0: any */
    uint32_t offers_asked, offers_known, offers_number; /* of the gate's own ask */
};

static struct settings *make_settings(void)
{
    static struct network devices;
    struct settings *settings = alloc(sizeof *settings);
    assert_ok(network_parse(S("127.0.0.2"), &devices));
    *settings = (struct settings){ .arena = ARENA(4096), .holders = 1, .hostname = S("mail.acc.test"), .connections_per_address = GUESTS,
        .connections = 100, .timeout_command = MINUTES(5), .message_size_limit = 1 << 20, .message_recipients = 100, .log_level = LOG_ERROR,
        .auth_mechanisms = MECHANISMS_ALL, .legacy_networks = { &devices, 1 }, .auth_plaintext_networks = { &devices, 1 } };
    return settings;
}

static enum status parse(const struct boot *boot, struct settings **out_settings, struct buf *why)
{
    if (!slice_equal(boot->settings, S("good")))
        return why ? STATUS_MALFORMED : STATUS_IO;
    *out_settings = make_settings();
    (*out_settings)->hostname = S("second.acc.test");
    return STATUS_OK;
}

/* ---- the supervisor ---- */

static void say(struct world *w, enum control_kind kind, uint8_t service, int fd)
{
    assert_ok(control_send(w->control, &(struct control_message){ .kind = kind, .role = ROLE_KEEPER, .service = service, .fd = fd }));
}

/* Octet 0 of the next message, or -1 where none comes in time. */
static int hear(struct world *w, int limit)
{
    struct pollfd entry = { .fd = w->control, .events = POLLIN };
    unsigned char octets[8];
    if (poll(&entry, 1, limit) != 1)
        return -1;
    return recv(w->control, octets, sizeof octets, 0) == 4 ? octets[0] : -2;
}

static int exit_status(struct world *w)
{
    int status;
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- the keeper ---- */

static void on_frame(void *context, struct frame *frame)
{
    struct world *w = context;
    assert_false(frame->is_answer);
    if (frame->ask.kind == ASK_OFFERS) { /* a long poll: nothing is new until a test says so */
        assert_int_equal(frame->session, 0);
        w->offers_asked++;
        w->offers_known = frame->ask.offers.known;
        w->offers_number = frame->number;
        if (w->awaited == ASK_OFFERS) {
            w->came = true;
            loop_stop(&w->loop);
        }
        return;
    }
    w->asked++;
    w->ended += frame->ask.kind == ASK_END_SESSION;
    w->session = frame->session;
    w->number = frame->number;
    struct frame back = { .session = frame->session, .number = frame->number, .is_answer = true, .answer = { .kind = frame->ask.kind, .fd = -1 } };
    if (frame->ask.kind == ASK_RCPT)
        back.answer.rcpt = (struct answer_rcpt){ .verdict = MAIL_OK, .local = 1 };
    else if (frame->ask.kind == ASK_MAIL)
        back.answer.mail = (struct answer_mail){ .verdict = MAIL_OK };
    if (!w->mute && !ask_defs[frame->ask.kind].silent)
        assert_ok(channel_put(w->keeper, &back));
    w->came |= frame->ask.kind == w->awaited;
    if (w->came)
        loop_stop(&w->loop);
}

static void on_lost(void *context, const char *why)
{
    struct world *w = context;
    (void)why;
    w->lost = true;
    loop_stop(&w->loop);
}

static void on_timer(uv_timer_t *timer) { loop_stop(&list_element(timer, struct world, timer)->loop); }

static void give_channel(struct world *w)
{
    int ends[2];
    if (w->keeper)
        channel_close(w->keeper);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    w->keeper = channel_open(&w->loop, ends[0], &(struct channel_events){ .frame = on_frame, .lost = on_lost, .context = w });
    say(w, CONTROL_CHANNEL, 0, ends[1]);
}

/* Answers until that ask came; false if it does not. */
static bool serve_until(struct world *w, enum ask_kind kind, uint64_t limit)
{
    w->awaited = kind;
    w->came = false;
    uv_timer_start(&w->timer, on_timer, limit, 0);
    loop_run(&w->loop);
    uv_timer_stop(&w->timer);
    channel_drain(w->keeper, LONG);
    return w->came;
}

/* ---- the strangers ---- */

static int knock(const struct world *w)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w->as_device || w->from) {
        struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(w->from ? w->from : DEVICES) };
        assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof from), 0);
    }
    assert_int_equal(connect(fd, (const struct sockaddr *)&w->where, sizeof w->where), 0);
    return fd;
}

static void tell(int fd, const char *line) { assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line)); }

/* The reply's code; 0 at the end; -1 where nothing comes. */
static int reply_within(int fd, int limit, char *text, size_t size)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    if (poll(&entry, 1, limit) != 1)
        return -1;
    ssize_t got = recv(fd, text, size - 1, 0);
    text[got > 0 ? got : 0] = 0;
    return got > 0 ? (int)strtol(text, NULL, 10) : 0;
}

static int reply(int fd)
{
    char text[2048];
    return reply_within(fd, LONG, text, sizeof text);
}

/* A session that has asked the keeper once. */
static int known_guest(struct world *w)
{
    int fd = knock(w);
    assert_int_equal(reply(fd), 220);
    tell(fd, "EHLO x.example\r\n");
    assert_int_equal(reply(fd), 250);
    tell(fd, "MAIL FROM:<a@b.example>\r\n");
    assert_true(!w->as_device || serve_until(w, ASK_MAIL, LONG));
    assert_int_equal(reply(fd), 250);
    tell(fd, "RCPT TO:<bob@acc.test>\r\n");
    assert_true(serve_until(w, ASK_RCPT, LONG));
    assert_int_equal(reply(fd), 250);
    return fd;
}

/* ---- the world's beginning and end ---- */

static int begin(void **state)
{
    struct world *w = alloc(sizeof *w);
    int ends[2];
    socklen_t size = sizeof w->where;
    w->where = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    w->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(w->listening, (struct sockaddr *)&w->where, size) || listen(w->listening, 100) ||
        getsockname(w->listening, (struct sockaddr *)&w->where, &size) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return -1;
    w->pid = fork();
    if (w->pid == 0) {
        static struct buf octets = { .max = 1024 };
        struct role_start start = { .control = ends[1], .octets = &octets, .settings = make_settings(), .parse = parse };
        start.settings->uid_mx = 64123;
        close(ends[0]);
        close(w->listening);
        dup2(open("/dev/null", O_WRONLY), 2);
        _exit(gate_run(ROLE_MX, &start));
    }
    close(ends[1]);
    w->control = ends[0];
    loop_init(&w->loop);
    uv_timer_init(&w->loop.uv, &w->timer);
    give_channel(w);
    say(w, CONTROL_LISTEN, SERVICE_MX, fcntl(w->listening, F_DUPFD_CLOEXEC, 0));
    *state = w;
    return 0;
}

static int begin_ready(void **state)
{
    if (begin(state) != 0)
        return -1;
    struct world *w = *state;
    say(w, CONTROL_COMPLETE, 0, -1);
    return hear(w, LONG) == CONTROL_READY ? 0 : -1;
}

static int end(void **state)
{
    struct world *w = *state;
    if (w->keeper)
        channel_close(w->keeper);
    loop_done(&w->loop);
    close(w->control);
    close(w->listening);
    release(w);
    return 0;
}

static void end_gate(struct world *w)
{
    say(w, CONTROL_STOP, 0, -1);
    assert_int_equal(exit_status(w), 0);
}

/* ---- what is asked of it ---- */

static void test_ready_means_listening(void **state)
{
    struct world *w = *state;
    int early = knock(w);
    char text[256];
    assert_int_equal(hear(w, SOON), -1); /* it was not given everything yet */
    assert_int_equal(reply_within(early, 0, text, sizeof text), -1);
    say(w, CONTROL_COMPLETE, 0, -1);
    assert_int_equal(hear(w, LONG), CONTROL_READY);
    assert_int_equal(reply(early), 220);
    close(early);
    end_gate(w);
}

static void test_answers_find_their_session(void **state)
{
    struct world *w = *state;
    int one = known_guest(w);
    uint64_t first = w->session;
    int two = known_guest(w);
    assert_true(w->session != first);
    w->mute = true;
    tell(one, "RCPT TO:<one@acc.test>\r\n");
    assert_true(serve_until(w, ASK_RCPT, LONG));
    struct frame to_one = { .session = w->session, .number = w->number, .is_answer = true,
        .answer = { .kind = ASK_RCPT, .fd = -1, .rcpt = { .verdict = MAIL_NO_SUCH_USER } } };
    assert_true(to_one.session == first);
    tell(two, "RCPT TO:<two@acc.test>\r\n");
    assert_true(serve_until(w, ASK_RCPT, LONG));
    struct frame to_two = { .session = w->session, .number = w->number, .is_answer = true,
        .answer = { .kind = ASK_RCPT, .fd = -1, .rcpt = { .verdict = MAIL_OK, .local = 1 } } };
    /* Answers to nobody: another session's, another kind, a number never given; a descriptor that nobody wants. */
    struct frame wrong = to_one;
    wrong.session = to_two.session;
    assert_ok(channel_put(w->keeper, &wrong));
    wrong = to_one;
    wrong.answer.kind = ASK_MAIL;
    assert_ok(channel_put(w->keeper, &wrong));
    wrong = to_one;
    wrong.number += 4711;
    wrong.answer.fd = dup(0);
    assert_ok(channel_put(w->keeper, &wrong));
    assert_ok(channel_put(w->keeper, &to_two));
    channel_drain(w->keeper, LONG);
    char text[256];
    assert_int_equal(reply(two), 250);
    assert_int_equal(reply_within(one, SOON, text, sizeof text), -1);
    assert_ok(channel_put(w->keeper, &to_one));
    assert_ok(channel_put(w->keeper, &to_one)); /* a second time it is one to nobody */
    channel_drain(w->keeper, LONG);
    assert_int_equal(reply(one), 550);
    close(one);
    close(two);
    end_gate(w);
}

static void test_strangers_are_nothing_to_forget(void **state)
{
    struct world *w = *state;
    int one = known_guest(w), two = known_guest(w);
    tell(one, "RSET\r\n");
    assert_int_equal(reply(one), 250);
    tell(one, "QUIT\r\n");
    close(two);
    assert_int_equal(reply(one), 221);
    assert_false(serve_until(w, ASK_END_SESSION, SOON));
    assert_int_equal(w->asked, 2);
    close(one);
    end_gate(w);
}

static void test_sessions_that_bound_are_ended(void **state)
{
    struct world *w = *state;
    w->as_device = true;
    int silent = knock(w), one = known_guest(w), two = known_guest(w);
    close(silent); /* the keeper never heard of it */
    uint32_t before = w->asked;
    w->mute = true;
    tell(one, "RCPT TO:<gone@acc.test>\r\n");
    assert_true(serve_until(w, ASK_RCPT, LONG));
    struct frame late = { .session = w->session, .number = w->number, .is_answer = true, .answer = { .kind = ASK_RCPT, .fd = -1 } };
    struct linger reset = { .l_onoff = 1 };
    setsockopt(one, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(one); /* with a reset, while its answer is due */
    assert_true(serve_until(w, ASK_END_SESSION, LONG));
    assert_true(w->session == late.session);
    assert_ok(channel_put(w->keeper, &late));
    tell(two, "QUIT\r\n");
    assert_true(serve_until(w, ASK_END_SESSION, LONG));
    assert_false(serve_until(w, ASK_END_SESSION, SOON));
    assert_int_equal(w->ended, 2);
    assert_true(w->asked - before >= 3);
    close(two);
    end_gate(w);
}

static bool offers_digests(struct world *w)
{
    char text[2048];
    int fd = knock(w);
    assert_int_equal(reply(fd), 220);
    tell(fd, "EHLO x.example\r\n");
    assert_int_equal(reply_within(fd, LONG, text, sizeof text), 250);
    close(fd);
    return strstr(text, "CRAM-MD5") != NULL;
}

static void give_offers(struct world *w, uint32_t serial, uint32_t mechanisms)
{
    struct frame frame = { .number = w->offers_number, .is_answer = true,
        .answer = { .kind = ASK_OFFERS, .fd = -1, .offers = { .serial = serial, .mechanisms = mechanisms } } };
    uint32_t before = w->offers_asked;
    assert_ok(channel_put(w->keeper, &frame));
    assert_true(serve_until(w, ASK_OFFERS, LONG)); /* and the next one is under way at once */
    assert_int_equal(w->offers_asked, before + 1);
    assert_int_equal(w->offers_known, serial);
}

static void test_what_credentials_name_is_offered(void **state)
{
    struct world *w = *state;
    w->as_device = true; /* in the listed networks, where this server takes logins in clear */
    assert_true(w->offers_asked == 1 || serve_until(w, ASK_OFFERS, LONG));
    assert_int_equal(w->offers_known, 0);
    assert_false(offers_digests(w)); /* nothing is known yet */
    give_offers(w, 7, 1u << MECHANISM_CRAM_MD5);
    assert_true(offers_digests(w));
    give_offers(w, 8, 0);
    assert_false(offers_digests(w));
    give_offers(w, 9, 1u << MECHANISM_CRAM_MD5);
    /* Another keeper is asked anew; until it answers nothing is known. */
    uint32_t before = w->offers_asked;
    give_channel(w);
    assert_true(w->offers_asked > before || serve_until(w, ASK_OFFERS, LONG));
    assert_int_equal(w->offers_known, 0);
    assert_false(offers_digests(w));
    give_offers(w, 3, 1u << MECHANISM_CRAM_MD5);
    assert_true(offers_digests(w));
    end_gate(w);
}

static void test_C015_who_talks_before_the_greeting(void **state)
{
    struct world *w = *state;
    int bot = knock(w), server = knock(w);
    w->as_device = true;
    int device = knock(w);
    tell(bot, "EHLO x.example\r\nMAIL FROM:<a@b.example>\r\n");
    tell(device, "EHLO x.example\r\n");
    poll(NULL, 0, SOON); /* it is there before the gate takes them in */
    say(w, CONTROL_COMPLETE, 0, -1);
    assert_int_equal(hear(w, LONG), CONTROL_READY);
    assert_int_equal(reply(bot), 554);
    assert_int_equal(reply(bot), 0);
    assert_int_equal(reply(server), 220);
    assert_int_equal(reply(device), 220);
    close(bot);
    close(server);
    close(device);
    end_gate(w);
}

static void test_C227_crowd(void **state)
{
    struct world *w = *state;
    int inside[GUESTS];
    for (unsigned i = 0; i < GUESTS; i++) {
        inside[i] = knock(w);
        assert_int_equal(reply(inside[i]), 220);
    }
    for (unsigned i = 0; i < 20; i++) {
        int one_more = knock(w);
        assert_int_equal(reply(one_more), 421);
        assert_int_equal(reply(one_more), 0);
        close(one_more);
    }
    tell(inside[0], "QUIT\r\n");
    assert_int_equal(reply(inside[0]), 221);
    assert_int_equal(reply(inside[0]), 0);
    close(inside[0]);
    poll(NULL, 0, SOON);
    inside[0] = knock(w);
    assert_int_equal(reply(inside[0]), 220);
    for (unsigned i = 0; i < GUESTS; i++)
        close(inside[i]);
    end_gate(w);
}

/* From many addresses, each with as many as it may have: all 100 places (make_settings). */
static void fill(struct world *w, int *out_fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        w->from = 0x7f000101 + i / GUESTS;
        out_fds[i] = knock(w);
        assert_int_equal(reply(out_fds[i]), 220);
    }
    w->from = 0;
}

static void test_C227_the_silent_make_room(void **state)
{
    struct world *w = *state;
    int inside[100], late;
    fill(w, inside, 100);
    tell(inside[0], "NOOP\r\n"); /* from now on the second has been silent for longest */
    assert_int_equal(reply(inside[0]), 250);
    late = knock(w);
    assert_int_equal(reply(late), 220);
    assert_int_equal(reply(inside[1]), 421);
    assert_int_equal(reply(inside[1]), 0);
    tell(inside[0], "NOOP\r\n");
    assert_int_equal(reply(inside[0]), 250);
    tell(late, "NOOP\r\n");
    assert_int_equal(reply(late), 250);
    for (unsigned i = 2; i < 100; i++) /* each newcomer takes one place */
        assert_int_equal(reply_within(inside[i], 0, (char[256]){ 0 }, 256), -1);
    for (unsigned i = 0; i < 100; i++)
        close(inside[i]);
    close(late);
    end_gate(w);
}

static void test_C227_who_waits_for_us_is_not_silent(void **state)
{
    struct world *w = *state;
    int inside[99], waits = known_guest(w), late;
    w->mute = true;
    tell(waits, "RCPT TO:<one@acc.test>\r\n");
    assert_true(serve_until(w, ASK_RCPT, LONG));
    fill(w, inside, 99);
    late = knock(w);
    assert_int_equal(reply(late), 220);
    assert_int_equal(reply(inside[0]), 421);
    assert_int_equal(reply_within(waits, SOON, (char[256]){ 0 }, 256), -1);
    for (unsigned i = 0; i < 99; i++)
        close(inside[i]);
    close(waits);
    close(late);
    end_gate(w);
}

static void test_C227_also_where_all_wait_for_us(void **state)
{
    struct world *w = *state;
    int inside[100], late;
    w->mute = true;
    fill(w, inside, 100);
    for (unsigned i = 0; i < 100; i++) {
        tell(inside[i], "EHLO x.example\r\n");
        assert_int_equal(reply(inside[i]), 250);
        tell(inside[i], "MAIL FROM:<a@b.example>\r\nRCPT TO:<one@acc.test>\r\n");
        assert_true(serve_until(w, ASK_RCPT, LONG));
    }
    late = knock(w);
    assert_int_equal(reply(late), 220);
    for (unsigned i = 0; i < 100; i++)
        close(inside[i]);
    close(late);
    end_gate(w);
}

static void test_keeper_away_and_back(void **state)
{
    struct world *w = *state;
    int idle = knock(w), busy = known_guest(w);
    char text[256];
    assert_int_equal(reply(idle), 220);
    channel_close(w->keeper);
    w->keeper = NULL;
    assert_int_equal(reply(idle), 421);
    assert_int_equal(reply(busy), 421);
    assert_int_equal(hear(w, LONG), CONTROL_CHANNEL); /* the supervisor may not know: both ends may live */
    int waits = knock(w);
    assert_int_equal(reply_within(waits, SOON, text, sizeof text), -1); /* in the kernel's queue, not refused */
    give_channel(w);
    assert_int_equal(reply(waits), 220);
    int again = known_guest(w);
    assert_int_equal(w->ended, 0); /* the new keeper hears nothing of the old one's sessions */
    int all[] = { idle, busy, waits, again };
    for (unsigned i = 0; i < COUNT(all); i++)
        close(all[i]);
    end_gate(w);
}

static void test_new_settings_for_new_connections(void **state)
{
    struct world *w = *state;
    char text[512];
    int old = knock(w), fd;
    assert_int_equal(reply(old), 220);
    assert_ok(boot_put(&(struct boot){ .settings = S("bad") }, &fd));
    say(w, CONTROL_BOOT, 0, fd);
    assert_int_equal(hear(w, LONG), CONTROL_FAILED);
    assert_ok(boot_put(&(struct boot){ .settings = S("good") }, &fd));
    say(w, CONTROL_BOOT, 0, fd);
    assert_int_equal(hear(w, LONG), CONTROL_IN_FORCE);
    int fresh = knock(w);
    assert_int_equal(reply_within(fresh, LONG, text, sizeof text), 220);
    assert_non_null(strstr(text, "second.acc.test"));
    tell(old, "EHLO x.example\r\n");
    assert_int_equal(reply_within(old, LONG, text, sizeof text), 250);
    assert_non_null(strstr(text, "mail.acc.test"));
    close(old);
    close(fresh);
    end_gate(w);
}

static void test_retire(void **state)
{
    struct world *w = *state;
    int old = known_guest(w);
    char text[256];
    say(w, CONTROL_RETIRE, 0, -1);
    assert_int_equal(hear(w, LONG), CONTROL_RETIRE);
    int late = knock(w);
    assert_int_equal(reply_within(late, SOON, text, sizeof text), -1); /* somebody else's */
    tell(old, "NOOP\r\n");
    assert_int_equal(reply(old), 250);
    tell(old, "QUIT\r\n");
    assert_int_equal(reply(old), 221);
    assert_int_equal(exit_status(w), 0);
    close(old);
    close(late);
}

static void test_stop_says_goodbye(void **state)
{
    struct world *w = *state;
    int idle = knock(w), busy = known_guest(w);
    assert_int_equal(reply(idle), 220);
    w->mute = true;
    tell(busy, "RCPT TO:<never@acc.test>\r\n"); /* and no answer comes: it is cut off in the end */
    assert_true(serve_until(w, ASK_RCPT, LONG));
    msec start = clock_now();
    say(w, CONTROL_STOP, 0, -1);
    assert_int_equal(reply(idle), 421);
    assert_int_equal(reply(busy), 451);
    assert_int_equal(exit_status(w), 0);
    assert_true(clock_now() - start < 900);
    close(idle);
    close(busy);
}

static void test_ends_without_supervisor(void **state)
{
    struct world *w = *state;
    int fd = knock(w);
    assert_int_equal(reply(fd), 220);
    msec start = clock_now();
    shutdown(w->control, SHUT_RDWR);
    assert_int_equal(exit_status(w), 0);
    assert_true(clock_now() - start < 100);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ready_means_listening, begin, end),
        cmocka_unit_test_setup_teardown(test_answers_find_their_session, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_strangers_are_nothing_to_forget, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_sessions_that_bound_are_ended, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_what_credentials_name_is_offered, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_C015_who_talks_before_the_greeting, begin, end),
        cmocka_unit_test_setup_teardown(test_C227_crowd, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_C227_the_silent_make_room, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_C227_who_waits_for_us_is_not_silent, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_C227_also_where_all_wait_for_us, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_keeper_away_and_back, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_new_settings_for_new_connections, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_retire, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_stop_says_goodbye, begin_ready, end),
        cmocka_unit_test_setup_teardown(test_ends_without_supervisor, begin_ready, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

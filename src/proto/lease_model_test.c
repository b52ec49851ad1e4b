/* The life of leases, exhaustively: every order of every step of small sets of parallel programs, and every sequence of steps
 * up to a depth (LEASE_MODEL_DEPTH), over the real lease.c.  After each step it is compared with a model that was written from
 * the rules (DESIGN section 8; A5, C095-C109) and not from the code: it keeps a ledger of what happened and derives everything.
 *
 * A state is reached by replaying its path from the start; states that look alike, in the model and in what the real one shows,
 * are followed once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ask/ask.h"
#include "proto/lease.h"

#define START    MINUTES(1000)
#define WINDOW   MINUTES(10)
#define CAP      MINUTES(15)
#define HOUR     MINUTES(60)
#define MESSAGES 2u
#define RECIPIENTS 3u
#define SHARED   2u /* accounts that one network may have */
#define FAILURES 10u

#define ACCOUNTS 3u
#define PLACES   3u
#define SESSIONS 3u
#define STEPS    24u /* of one path */
#define LEASES   STEPS
#define THREADS  4u

/* Two addresses of one /64, and another place. */
static const char *const addresses[PLACES] = { "2001:db8:1:2::1", "2001:db8:1:2::2", "192.0.2.1" };
static const unsigned network_of[PLACES] = { 0, 0, 1 };
/* Whose lease each SMTP session uses, and where it is. */
static const struct {
    unsigned account, place;
} sessions[SESSIONS] = { { 0, 0 }, { 0, 0 }, { 1, 1 } };

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

enum op { LOGIN, FAIL, RESERVE, COMMIT, GIVE_BACK, REVOKE, PASS, SWEEP };
struct step {
    enum op op;
    unsigned who;    /* account, or session; REVOKE: account + 1, 0 is all */
    unsigned where;  /* place; REVOKE: place + 1, 0 is everywhere */
    unsigned device; /* LOGIN, REVOKE */
    msec amount;     /* FAIL: times, RESERVE: recipients, PASS: how long */
};

static const struct step alphabet[] = {
    { LOGIN, 0, 0, 0, 0 }, { LOGIN, 0, 0, 7, 0 }, { LOGIN, 0, 2, 0, 0 }, { LOGIN, 1, 1, 0, 0 }, { LOGIN, 2, 0, 0, 0 },
    { RESERVE, 0, 0, 0, 1 }, { RESERVE, 0, 0, 0, 2 }, { RESERVE, 1, 0, 0, 1 }, { RESERVE, 2, 0, 0, 1 }, { COMMIT, 0, 0, 0, 0 },
    { COMMIT, 1, 0, 0, 0 }, { COMMIT, 2, 0, 0, 0 }, { GIVE_BACK, 0, 0, 0, 0 }, { GIVE_BACK, 1, 0, 0, 0 }, { FAIL, 0, 0, 0, 9 },
    { FAIL, 0, 0, 0, 1 }, { REVOKE, 1, 0, 0, 0 }, { REVOKE, 1, 0, 7, 0 }, { REVOKE, 0, 1, 0, 0 }, { PASS, 0, 0, 0, MINUTES(5) },
    { PASS, 0, 0, 0, HOUR }, { PASS, 0, 0, 0, 1 }, { SWEEP, 0, 0, 0, 0 },
};
#define LETTERS (sizeof alphabet / sizeof alphabet[0])

/* ---- the model ------------------------------------------------------------------------------------------------------ */

struct deal { /* one lease, from its login to its end */
    unsigned account, place, device;
    uint32_t id;
    msec opened, renewed;
    unsigned renewed_at;   /* number of the step */
    unsigned failures;     /* since then */
    bool killed, reported; /* ended before its time; the real one said so */
    enum lease_end why;
};
struct paid { /* what was committed of a lease, and when */
    unsigned deal, step, messages, recipients;
};
struct model {
    msec now;
    unsigned step;
    struct deal deals[LEASES];
    unsigned deal_count;
    struct paid paid[STEPS];
    unsigned paid_count;
    struct {
        bool open;
        unsigned deal, messages, recipients;
    } held[SESSIONS];
    msec seen[ACCOUNTS][2]; /* last login by network; 0: never */
};

static bool is_alive(const struct model *m, const struct deal *deal)
{
    return !deal->killed && m->now < deal->renewed + WINDOW && m->now < deal->opened + CAP;
}

static int deal_of(const struct model *m, unsigned account, unsigned place)
{
    for (unsigned i = 0; i < m->deal_count; i++)
        if (m->deals[i].account == account && m->deals[i].place == place && is_alive(m, &m->deals[i]))
            return (int)i;
    return -1;
}

/* What is left of a lease, from the ledger alone. */
static void rest_of(const struct model *m, unsigned deal, unsigned *messages, unsigned *recipients)
{
    *messages = MESSAGES;
    *recipients = RECIPIENTS;
    for (unsigned i = 0; i < m->paid_count; i++)
        if (m->paid[i].deal == deal && m->paid[i].step > m->deals[deal].renewed_at) {
            *messages -= m->paid[i].messages;
            *recipients -= m->paid[i].recipients;
        }
    for (unsigned s = 0; s < SESSIONS; s++)
        if (m->held[s].open && m->held[s].deal == deal) {
            *messages -= m->held[s].messages;
            *recipients -= m->held[s].recipients;
        }
}

static void kill(struct model *m, struct deal *deal, enum lease_end why)
{
    if (!is_alive(m, deal))
        return;
    deal->killed = true;
    deal->why = why;
}

/* ---- both, side by side --------------------------------------------------------------------------------------------- */

struct world {
    struct leases real;
    struct settings settings;
    struct lease_hold holds[SESSIONS];
    struct model model;
    struct ip places[PLACES];
    uint64_t checks;
};

static struct ip ip_of(const char *text)
{
    struct ip ip = { 0 };
    assert_int_equal(ip_parse(slice_of(text), &ip), STATUS_OK);
    return ip;
}

/* Each lease ends once, and for the reason that the rules give. */
static void on_ended(void *context, const struct lease *lease, enum lease_end why)
{
    struct world *w = context;
    struct deal *deal = NULL;
    for (unsigned i = 0; i < w->model.deal_count; i++)
        if (w->model.deals[i].id == lease->id)
            deal = &w->model.deals[i];
    assert_non_null(deal);
    assert_false(deal->reported);
    deal->reported = true;
    assert_int_equal(why, deal->killed ? deal->why : LEASE_EXPIRED);
    assert_false(!deal->killed && is_alive(&w->model, deal));
}

static void do_login(struct world *w, const struct step *step)
{
    struct model *m = &w->model;
    unsigned network = network_of[step->where], others = 0;
    for (unsigned a = 0; a < ACCOUNTS; a++)
        others += a != step->who && m->seen[a][network] && m->now - m->seen[a][network] <= HOUR;
    m->seen[step->who][network] = m->now;
    bool shared = others >= SHARED;
    int at = shared ? -1 : deal_of(m, step->who, step->where);
    for (unsigned i = 0; shared && i < m->deal_count; i++)
        if (network_of[m->deals[i].place] == network)
            kill(m, &m->deals[i], LEASE_SHARED);

    struct lease_wish wish = { .account = step->who + 1, .device = step->device, .peer = w->places[step->where], .protocol = PROTOCOL_POP3 };
    const struct lease *lease = NULL;
    enum lease_grant grant = lease_grant(&w->real, &wish, &w->settings, m->now, &lease);
    assert_int_equal(grant, shared ? LEASE_REFUSED_SHARED : at >= 0 ? LEASE_RENEWED : LEASE_OPENED);
    if (shared)
        return;
    if (at < 0) {
        at = (int)m->deal_count++;
        m->deals[at] = (struct deal){ .account = step->who, .place = step->where, .opened = m->now, .id = lease->id };
        for (int i = 0; i < at; i++)
            assert_int_not_equal(m->deals[i].id, lease->id); /* never given again */
    }
    struct deal *deal = &m->deals[at];
    assert_int_equal(lease->id, deal->id);
    deal->device = step->device;
    deal->renewed = m->now;
    deal->renewed_at = m->step;
    deal->failures = 0;
}

static void do_fail(struct world *w, const struct step *step)
{
    struct model *m = &w->model;
    for (msec i = 0; i < step->amount; i++) {
        int at = deal_of(m, step->who, step->where);
        if (at >= 0 && ++m->deals[at].failures >= FAILURES)
            kill(m, &m->deals[at], LEASE_FAILURES);
        lease_failed(&w->real, step->who + 1, w->places[step->where], m->now);
    }
}

/* As at RCPT: with the lease that the transaction has begun with; else with the one for this account here, be it over. */
static void do_reserve(struct world *w, const struct step *step)
{
    struct model *m = &w->model;
    unsigned s = step->who, messages = 0, recipients = 0, wanted = (unsigned)step->amount;
    int at = m->held[s].open ? (int)m->held[s].deal : deal_of(m, sessions[s].account, sessions[s].place);
    for (unsigned i = m->deal_count; at < 0 && i-- > 0;)
        if (m->deals[i].account == sessions[s].account && m->deals[i].place == sessions[s].place)
            at = (int)i;
    bool fits = at >= 0 && is_alive(m, &m->deals[at]);
    if (fits) {
        rest_of(m, (unsigned)at, &messages, &recipients);
        fits = (m->held[s].open || messages >= 1) && recipients >= wanted;
    }
    uint32_t id = at >= 0 ? m->deals[at].id : 77777;
    assert_int_equal(lease_reserve(&w->real, &w->holds[s], id, wanted, m->now), fits);
    if (!fits)
        return;
    m->held[s].open = true;
    m->held[s].deal = (unsigned)at;
    m->held[s].messages = 1;
    m->held[s].recipients += wanted;
}

static void do_settle(struct world *w, const struct step *step)
{
    struct model *m = &w->model;
    unsigned s = step->who;
    if (step->op == COMMIT)
        lease_commit(&w->real, &w->holds[s]);
    else
        lease_give_back(&w->real, &w->holds[s]);
    if (m->held[s].open && step->op == COMMIT)
        m->paid[m->paid_count++] = (struct paid){ m->held[s].deal, m->step, m->held[s].messages, m->held[s].recipients };
    memset(&m->held[s], 0, sizeof m->held[s]);
    assert_true(w->holds[s].lease == 0 && !w->holds[s].message && w->holds[s].recipients == 0);
}

static void do_revoke(struct world *w, const struct step *step)
{
    struct model *m = &w->model;
    uint32_t count = 0;
    for (unsigned i = 0; i < m->deal_count; i++) {
        struct deal *deal = &m->deals[i];
        if ((step->who && deal->account + 1 != step->who) || (step->where && deal->place + 1 != step->where) ||
            (step->device && deal->device != step->device))
            continue;
        count += is_alive(m, deal);
        kill(m, deal, LEASE_REVOKED);
    }
    const struct ip *peer = step->where ? &w->places[step->where - 1] : NULL;
    assert_int_equal(lease_revoke(&w->real, step->who, step->device, peer, LEASE_REVOKED, m->now), count);
}

/* ---- what must be true after every step ------------------------------------------------------------------------------ */

static void check_deal(struct world *w, unsigned at)
{
    const struct model *m = &w->model;
    const struct deal *deal = &m->deals[at];
    const struct lease *lease = lease_find(&w->real, deal->id, m->now);
    unsigned messages, recipients;
    assert_int_equal(lease != NULL, is_alive(m, deal));
    assert_true(!deal->killed || deal->reported);
    if (!lease)
        return;
    rest_of(m, at, &messages, &recipients);
    assert_true(messages <= MESSAGES && recipients <= RECIPIENTS); /* nothing is overdrawn: these would be huge */
    assert_int_equal(lease_messages_left(lease), messages);
    assert_int_equal(lease_recipients_left(lease), recipients);
    assert_true(lease->account == deal->account + 1 && lease->device == deal->device);
    assert_true(ip_equal(lease->peer, w->places[deal->place]));
    assert_true(lease->until <= deal->opened + CAP && lease->until <= deal->renewed + WINDOW);
}

static void check(struct world *w)
{
    const struct model *m = &w->model;
    unsigned alive = 0, unswept = 0, found = 0;
    for (unsigned i = 0; i < m->deal_count; i++) {
        check_deal(w, i);
        alive += is_alive(m, &m->deals[i]);
        unswept += !m->deals[i].reported;
    }
    assert_int_equal(w->real.count, unswept);
    for (unsigned p = 0; p < PLACES; p++)
        for (const struct lease *lease = NULL; (lease = lease_at(&w->real, w->places[p], lease, m->now)); found++)
            assert_true(deal_of(m, lease->account - 1, p) >= 0);
    assert_int_equal(found, alive);
    found = 0;
    for (unsigned a = 0; a < ACCOUNTS; a++)
        for (const struct lease *lease = NULL; (lease = lease_of(&w->real, a + 1, lease, m->now)); found++)
            assert_int_equal(lease->account, a + 1);
    assert_int_equal(found, alive);
    w->checks++;
}

static void take(struct world *w, const struct step *step)
{
    struct model *m = &w->model;
    m->step++;
    switch (step->op) {
    case LOGIN:
        do_login(w, step);
        break;
    case FAIL:
        do_fail(w, step);
        break;
    case RESERVE:
        do_reserve(w, step);
        break;
    case COMMIT:
    case GIVE_BACK:
        do_settle(w, step);
        break;
    case REVOKE:
        do_revoke(w, step);
        break;
    case PASS:
        m->now += step->amount;
        break;
    case SWEEP:
        lease_expire(&w->real, m->now);
        break;
    }
}

static void begin(struct world *w)
{
    lease_done(&w->real);
    memset(w->holds, 0, sizeof w->holds);
    memset(&w->model, 0, sizeof w->model);
    w->model.now = START;
    w->real.ended = on_ended;
    w->real.context = w;
}

/* Whatever was under way comes back: afterwards each live lease has all but what was paid. */
static void finish(struct world *w)
{
    for (unsigned s = 0; s < SESSIONS; s++)
        take(w, &(struct step){ .op = GIVE_BACK, .who = s });
    check(w);
    for (unsigned i = 0; i < w->model.deal_count; i++) {
        const struct lease *lease = lease_find(&w->real, w->model.deals[i].id, w->model.now);
        assert_true(!lease || (lease->messages_reserved == 0 && lease->recipients_reserved == 0));
    }
}

/* ---- states --------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t hash_deal(const struct world *w, uint64_t hash, unsigned account, unsigned place)
{
    const struct model *m = &w->model;
    int at = deal_of(m, account, place);
    if (at < 0)
        return mix(hash, 1);
    const struct deal *deal = &m->deals[at];
    const struct lease *lease = lease_find(&w->real, deal->id, m->now);
    unsigned messages, recipients;
    rest_of(m, (unsigned)at, &messages, &recipients);
    hash = mix(hash, deal->renewed + WINDOW - m->now);
    hash = mix(hash, deal->opened + CAP - m->now);
    hash = mix(hash, (uint64_t)messages << 48 | (uint64_t)recipients << 32 | deal->failures << 8 | deal->device);
    hash = mix(hash, (uint64_t)lease->messages_used << 48 | (uint64_t)lease->recipients_used << 32 | lease->failures);
    hash = mix(hash, (uint64_t)lease->messages_reserved << 32 | lease->recipients_reserved);
    return mix(hash, lease->until - m->now);
}

static uint64_t state_of(const struct world *w)
{
    const struct model *m = &w->model;
    uint64_t hash = mix(w->real.count, w->real.places.count << 16 | w->real.crowds.count);
    for (unsigned a = 0; a < ACCOUNTS; a++)
        for (unsigned p = 0; p < PLACES; p++)
            hash = hash_deal(w, hash, a, p);
    for (unsigned s = 0; s < SESSIONS; s++) {
        /* The hold of a lease that ended is told from that of the one after it. */
        bool void_now = m->held[s].open && !is_alive(m, &m->deals[m->held[s].deal]);
        hash = mix(hash, (m->held[s].open ? 1u : 0u) | (void_now ? 2u : 0u) | m->held[s].recipients << 8);
    }
    for (unsigned a = 0; a < ACCOUNTS; a++)
        for (unsigned n = 0; n < 2; n++) {
            msec age = m->now - m->seen[a][n];
            hash = mix(hash, m->seen[a][n] && age <= HOUR ? age + 1 : 0);
        }
    for (unsigned n = 0; n < PLACES; n++)
        hash = mix(hash, lease_crowd(&w->real, w->places[n], m->now));
    return hash;
}

/* ---- the search: breadth first -------------------------------------------------------------------------------------- */

struct node {
    uint32_t parent;
    uint8_t step, depth;
    uint8_t at[THREADS]; /* how far each program is */
};
struct search {
    struct world world;
    struct node *nodes;
    size_t count, room;
    uint64_t *table;
    size_t slots, used;
    uint64_t replays;
};

static bool is_new(struct search *s, uint64_t hash)
{
    hash += hash == 0;
    if (s->used * 2 >= s->slots) {
        size_t slots = s->slots ? s->slots * 2 : 1u << 12;
        uint64_t *table = calloc(slots, sizeof *table);
        assert_non_null(table);
        for (size_t i = 0; i < s->slots; i++)
            if (s->table[i]) {
                size_t at = s->table[i] & (slots - 1);
                while (table[at])
                    at = (at + 1) & (slots - 1);
                table[at] = s->table[i];
            }
        free(s->table);
        s->table = table;
        s->slots = slots;
    }
    size_t at = hash & (s->slots - 1);
    while (s->table[at] && s->table[at] != hash)
        at = (at + 1) & (s->slots - 1);
    bool fresh = !s->table[at];
    s->table[at] = hash;
    s->used += fresh;
    return fresh;
}

static void add(struct search *s, const struct node *node)
{
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 1024;
        s->nodes = realloc(s->nodes, s->room * sizeof *s->nodes);
        assert_non_null(s->nodes);
    }
    s->nodes[s->count++] = *node;
}

/* The steps that lead to a node, first to last; returns how many. */
static unsigned path_to(const struct search *s, size_t at, uint8_t out[STEPS])
{
    unsigned depth = s->nodes[at].depth;
    for (unsigned i = depth; i-- > 0; at = s->nodes[at].parent)
        out[i] = s->nodes[at].step;
    return depth;
}

static void replay(struct search *s, const struct step *steps, const uint8_t *path, unsigned depth)
{
    begin(&s->world);
    for (unsigned i = 0; i < depth; i++)
        take(&s->world, &steps[path[i]]);
    s->replays++;
}

/* One more step behind a node; a state that was not seen becomes a node. */
static void follow(struct search *s, const struct step *steps, const uint8_t *path, const struct node *next, bool last)
{
    uint64_t hash;
    replay(s, steps, path, next->depth - 1u);
    take(&s->world, &steps[next->step]);
    check(&s->world);
    hash = state_of(&s->world);
    for (unsigned t = 0; t < THREADS; t++)
        hash = mix(hash, next->at[t]);
    if (!is_new(s, hash))
        return;
    add(s, next);
    if (last)
        finish(&s->world);
}

static void open_search(struct search *s)
{
    *s = (struct search){ 0 };
    s->world.settings = (struct settings){ .lease_window = WINDOW, .lease_cap = CAP, .lease_messages = MESSAGES,
        .lease_recipients = RECIPIENTS, .lease_shared_accounts = SHARED };
    for (unsigned p = 0; p < PLACES; p++)
        s->world.places[p] = ip_of(addresses[p]);
    add(s, &(struct node){ 0 });
}

static void close_search(struct search *s, const char *about)
{
    print_message("lease model: %s: %zu states, %llu steps compared\n", about, s->count, (unsigned long long)s->world.checks);
    lease_done(&s->world.real);
    free(s->nodes);
    free(s->table);
}

/* Every sequence of steps up to the depth. */
static void test_C097_C098_C101_C108_C109_every_sequence_of_steps(void **state)
{
    const char *wished = getenv("LEASE_MODEL_DEPTH");
    unsigned depth = wished ? (unsigned)strtoul(wished, NULL, 10) : 6;
    struct search s;
    uint8_t path[STEPS];
    char about[40];
    (void)state;
    assert_in_range(depth, 1, STEPS - SESSIONS);
    open_search(&s);
    for (size_t at = 0; at < s.count && s.nodes[at].depth < depth; at++) {
        path_to(&s, at, path);
        for (unsigned letter = 0; letter < LETTERS; letter++) {
            struct node next = { .parent = (uint32_t)at, .step = (uint8_t)letter, .depth = (uint8_t)(s.nodes[at].depth + 1) };
            follow(&s, alphabet, path, &next, true);
        }
    }
    assert_true(s.count > depth);
    snprintf(about, sizeof about, "every sequence of %u steps", depth);
    close_search(&s, about);
}

/* ---- programs ------------------------------------------------------------------------------------------------------- */

/* Threads of a scenario, divided by END; each runs its own steps in their order, and all orders between them are tried. */
#define END { PASS, 0, 0, 0, 0 }
#define TRANSACTION(session, recipients, how) { RESERVE, session, 0, 0, 1 }, { RESERVE, session, 0, 0, recipients }, { how, session, 0, 0, 0 }
static const struct scenario {
    const char *about;
    struct step steps[STEPS];
} scenarios[] = {
    { "C109 three messages for a lease of two", { { LOGIN, 0, 0, 0, 0 }, { LOGIN, 0, 0, 0, 0 }, END, TRANSACTION(0, 1, COMMIT),
        { RESERVE, 0, 0, 0, 1 }, { COMMIT, 0, 0, 0, 0 }, END, TRANSACTION(1, 1, COMMIT), { RESERVE, 1, 0, 0, 1 }, { GIVE_BACK, 1, 0, 0, 0 }, END,
        { PASS, 0, 0, 0, MINUTES(5) }, { PASS, 0, 0, 0, MINUTES(5) }, { SWEEP, 0, 0, 0, 0 }, END } },
    { "C108 revoked in the midst", { { LOGIN, 0, 0, 0, 0 }, { LOGIN, 0, 0, 7, 0 }, { LOGIN, 0, 0, 0, 0 }, END, TRANSACTION(0, 2, COMMIT), END,
        TRANSACTION(1, 1, GIVE_BACK), { RESERVE, 1, 0, 0, 1 }, END, { REVOKE, 1, 0, 0, 0 }, { REVOKE, 1, 0, 7, 0 }, { REVOKE, 0, 1, 0, 0 }, END } },
    { "C098 renewed up to the cap, and over it", { { LOGIN, 0, 0, 0, 0 }, { LOGIN, 0, 0, 0, 0 }, { LOGIN, 0, 0, 0, 0 }, { LOGIN, 0, 0, 0, 0 }, END,
        TRANSACTION(0, 1, COMMIT), END, { RESERVE, 1, 0, 0, 1 }, { COMMIT, 1, 0, 0, 0 }, END, { PASS, 0, 0, 0, MINUTES(5) }, { PASS, 0, 0, 0, MINUTES(5) },
        { PASS, 0, 0, 0, MINUTES(5) }, { SWEEP, 0, 0, 0, 0 }, END } },
    { "C095 shared while mail is under way", { { LOGIN, 0, 0, 0, 0 }, { LOGIN, 0, 0, 0, 0 }, END, { LOGIN, 1, 1, 0, 0 }, TRANSACTION(2, 1, COMMIT), END,
        TRANSACTION(0, 1, COMMIT), END, { LOGIN, 2, 0, 0, 0 }, { PASS, 0, 0, 0, HOUR }, { PASS, 0, 0, 0, 1 }, { LOGIN, 2, 1, 0, 0 }, END } },
    { "ten failures beside a good login", { { LOGIN, 0, 0, 0, 0 }, { LOGIN, 0, 0, 0, 0 }, { LOGIN, 0, 0, 0, 0 }, END, { FAIL, 0, 0, 0, 9 }, { FAIL, 0, 0, 0, 1 },
        { FAIL, 0, 0, 0, 9 }, END, TRANSACTION(0, 1, COMMIT), { RESERVE, 0, 0, 0, 1 }, END, { PASS, 0, 0, 0, MINUTES(5) }, { SWEEP, 0, 0, 0, 0 }, END } },
};

static bool is_end(const struct step *step) { return step->op == PASS && step->amount == 0; }

static unsigned starts_of(const struct scenario *scenario, unsigned starts[THREADS + 1])
{
    unsigned threads = 0;
    starts[0] = 0;
    for (unsigned i = 0; i < STEPS && threads < THREADS; i++)
        if (is_end(&scenario->steps[i]))
            starts[++threads] = i + 1;
    return threads;
}

static void test_C098_C101_C108_C109_every_order_of_parallel_programs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        const struct step *steps = scenarios[i].steps;
        unsigned starts[THREADS + 1], threads = starts_of(&scenarios[i], starts), total = starts[threads] - threads, whole = 0;
        struct search s;
        uint8_t path[STEPS];
        open_search(&s);
        for (size_t at = 0; at < s.count; at++) {
            path_to(&s, at, path);
            for (unsigned t = 0; t < threads; t++) {
                struct node next = s.nodes[at];
                next.step = (uint8_t)(starts[t] + next.at[t]++);
                next.parent = (uint32_t)at;
                next.depth++;
                if (!is_end(&steps[next.step]))
                    follow(&s, steps, path, &next, true);
            }
            whole += s.nodes[at].depth == total;
        }
        assert_true(whole > 0); /* some ran to their end */
        close_search(&s, scenarios[i].about);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_C098_C101_C108_C109_every_order_of_parallel_programs),
        cmocka_unit_test(test_C097_C098_C101_C108_C109_every_sequence_of_steps),
    };
    return cmocka_run_group_tests_name("lease model", tests, NULL, NULL);
}

/* The keeper's channel: whose ask is under which number, and whose session has to be ended. */
#include "gate/impl.h"

#include <string.h>
#include <unistd.h>

#include "base/must.h"

#define PLACE_BITS 16u
_Static_assert(LIMIT_ASKS == 1u << PLACE_BITS, "a number is a place and a turn");

/* -1: all are taken. */
static int32_t take_place(struct gate *gate)
{
    int32_t place = gate->pending_free;
    if (place >= 0)
        gate->pending_free = gate->pending[place].next_free == UINT16_MAX ? -1 : gate->pending[place].next_free;
    else if (gate->pending_used < LIMIT_ASKS - 1) /* the last number says "none" in the list of the free */
        place = (int32_t)gate->pending_used++;
    return place;
}

static void free_place(struct gate *gate, struct pending *pending)
{
    list_remove(&pending->node);
    pending->visitor = NULL;
    pending->taken = false;
    pending->turn++;
    pending->next_free = gate->pending_free < 0 ? UINT16_MAX : (uint16_t)gate->pending_free;
    gate->pending_free = (int32_t)(pending - gate->pending);
}

static struct pending *find_pending(struct gate *gate, const struct frame *frame)
{
    uint32_t place = frame->number & ((1u << PLACE_BITS) - 1);
    if (!frame->is_answer || place >= gate->pending_used)
        return NULL;
    struct pending *pending = &gate->pending[place];
    bool fits = pending->taken && pending->turn == frame->number >> PLACE_BITS && pending->kind == frame->answer.kind &&
        (!pending->visitor || pending->visitor->id == frame->session);
    return fits ? pending : NULL;
}

static enum status refuse(const struct ask *ask, enum status status)
{
    if (ask->fd >= 0)
        close(ask->fd);
    return status;
}

/* Under a number of its own; takes over the descriptor, also on failure.  No visitor: the gate itself asks. */
static enum status put_numbered(struct gate *gate, struct frame *frame, struct visitor *visitor)
{
    int32_t place = take_place(gate);
    if (place < 0)
        return refuse(&frame->ask, STATUS_BUSY);
    struct pending *pending = &gate->pending[place];
    pending->visitor = visitor;
    pending->kind = frame->ask.kind;
    pending->taken = true;
    list_init(&pending->node);
    if (visitor)
        list_append(&visitor->asks, &pending->node);
    frame->number = (uint32_t)pending->turn << PLACE_BITS | (uint32_t)place;
    enum status status = channel_put(gate->keeper, frame);
    if (status != STATUS_OK)
        free_place(gate, pending);
    return status;
}

/* The keeper answers when there is something new.  Without an answer sessions are told of fewer mechanisms than they could use, and no more. */
static void ask_offers(struct gate *gate)
{
    struct frame frame = { .ask = { .kind = ASK_OFFERS, .fd = -1, .offers = { .known = gate->offers.serial } } };
    enum status status = put_numbered(gate, &frame, NULL);
    if (status != STATUS_OK)
        LOG(LOG_WARNING, "gate.offers", LOG_STATUS(status));
}

static void take_offers(struct gate *gate, const struct answer *answer)
{
    if (answer->status != STATUS_OK || answer->offers.serial == gate->offers.serial) {
        LOG(LOG_WARNING, "gate.offers", LOG_STATUS(answer->status)); /* asking again at once would never end */
        return;
    }
    gate->offers = answer->offers;
    ask_offers(gate);
}

static bool is_login(const struct answer *answer)
{
    bool proves = answer->kind == ASK_LOGIN || answer->kind == ASK_LOGIN_DIGEST || answer->kind == ASK_LOGIN_SCRAM ||
        answer->kind == ASK_LOGIN_TOKEN || answer->kind == ASK_LOGIN_KEY;
    return proves && answer->status == STATUS_OK && answer->login.verdict == LOGIN_OK;
}

static void on_frame(void *context, struct frame *frame)
{
    struct gate *gate = context;
    struct pending *pending = find_pending(gate, frame);
    int fd = frame->is_answer ? frame->answer.fd : frame->ask.fd;
    if (!pending) {
        LOG(LOG_WARNING, "gate.answer-to-nobody", LOG_NUMBER("number", frame->number));
        if (fd >= 0)
            close(fd);
        return;
    }
    struct visitor *visitor = pending->visitor;
    free_place(gate, pending);
    if (visitor) {
        if (is_login(&frame->answer))
            crowd_known(visitor);
        conn_answer(visitor->conn, &frame->answer);
        return;
    }
    if (fd >= 0)
        close(fd);
    if (pending->kind == ASK_OFFERS)
        take_offers(gate, &frame->answer);
}

static void on_lost(void *context, const char *why)
{
    struct gate *gate = context;
    post_lose(gate, why);
    control_tell(gate->control, CONTROL_CHANNEL); /* the keeper may live on, and nobody else knows of this */
}

void post_open(struct gate *gate, int fd)
{
    if (gate->keeper)
        post_lose(gate, "another one came");
    struct channel_events events = { .frame = on_frame, .lost = on_lost, .context = gate };
    gate->keeper = channel_open(&gate->loop, fd, &events);
    gate->line++;
    gate->offers = (struct answer_offers){ 0 }; /* another keeper counts anew */
    ask_offers(gate);
}

void post_lose(struct gate *gate, const char *why)
{
    if (!gate->keeper)
        return;
    if (!gate->stopping)
        LOG(LOG_WARNING, "gate.keeper-lost", LOG_WORD("why", why), LOG_NUMBER("sessions", gate->visitor_count));
    channel_close(gate->keeper);
    gate->keeper = NULL;
    for (uint32_t i = 0; i < gate->pending_used; i++)
        if (gate->pending[i].taken)
            free_place(gate, &gate->pending[i]);
    /* What a session knows of its account was the old keeper's word; the new one knows nothing of it. */
    visitors_each(gate, conn_abort);
    listeners_watch(gate);
}

/* The keeper remembers a session from one of these on (keeper/binding.h).  A stranger who only delivers is unknown to it, and there is nothing to be
 * told that would have to be forgotten. */
static bool binds(enum ask_kind kind)
{
    return kind == ASK_LOGIN || (kind >= ASK_LOGIN_DIGEST && kind <= ASK_LOGIN_KEY) || kind == ASK_MAIL;
}

enum status post_ask(void *context, struct conn *conn, const struct ask *ask)
{
    struct visitor *visitor = context;
    struct gate *gate = visitor->gate;
    (void)conn;
    if (!gate->keeper || visitor->line != gate->line)
        return refuse(ask, STATUS_AWAY);
    struct frame frame = { .session = visitor->id, .ask = *ask };
    if (ask->kind == ASK_REFUSED) /* of strangers, too, and it binds nothing */
        return channel_put(gate->keeper, &frame);
    if (ask_defs[ask->kind].silent) {
        bool is_known = visitor->owes_end;
        visitor->owes_end = is_known && ask->kind != ASK_END_SESSION;
        return is_known ? channel_put(gate->keeper, &frame) : STATUS_OK;
    }
    visitor->owes_end = visitor->owes_end || binds(ask->kind);
    return put_numbered(gate, &frame, visitor);
}

void post_forget(struct visitor *visitor)
{
    struct gate *gate = visitor->gate;
    struct list *node;
    /* The answers still come; their places are taken until then. */
    while ((node = list_take(&visitor->asks)))
        list_element(node, struct pending, node)->visitor = NULL;
    if (!visitor->owes_end || !gate->keeper || visitor->line != gate->line)
        return;
    struct frame frame = { .session = visitor->id, .ask = { .kind = ASK_END_SESSION, .fd = -1 } };
    enum status status = channel_put(gate->keeper, &frame);
    (void)status; /* a lost channel ends all its sessions */
}

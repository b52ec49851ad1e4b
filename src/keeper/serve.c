/* serve.c - the table: question -> handler; and the clients who ask.
 *
 * Role and moment are checked here, before a handler sees anything.  A gate that asks what it may not is not answered:
 * its channel is closed, and the supervisor is told. */
#include <unistd.h>

#include "keeper/impl.h"

#define HELD_LEAST 4096u            /* octets of a task, its arena and its answer */

/* clang-format off */
static void (*const handlers[ASK_KINDS])(struct task *) = {
    [ASK_LOGIN]            = serve_login,
    [ASK_LOGIN_DIGEST]     = serve_login_digest,
    [ASK_SCRAM]            = serve_scram,
    [ASK_LOGIN_SCRAM]      = serve_login_scram,
    [ASK_LOGIN_TOKEN]      = serve_login_token,
    [ASK_LOGIN_KEY]        = serve_login_key,
    [ASK_OFFERS]           = serve_offers,
    [ASK_REFUSED]          = serve_refused,
    [ASK_MAIL]             = serve_mail,
    [ASK_RCPT]             = serve_rcpt,
    [ASK_STAGE]            = serve_stage,
    [ASK_DELIVER]          = serve_deliver,
    [ASK_RESET]            = serve_reset,
    [ASK_END_SESSION]      = serve_end_session,
    [ASK_DROP_LIST]        = serve_drop_list,
    [ASK_FETCH]            = serve_fetch,
    [ASK_EXPUNGE]          = serve_expunge,
    [ASK_CLAIM]            = serve_claim,
    [ASK_QUEUE_BODY]       = serve_queue_body,
    [ASK_SETTLE]           = serve_settle,
    [ASK_ERRAND]           = serve_errand,
    [ASK_ERRAND_DONE]      = serve_errand_done,
    [ASK_ACCOUNT_ADD]      = serve_account_add,
    [ASK_ACCOUNT_LIST]     = serve_account_list,
    [ASK_ACCOUNT_PASSWORD] = serve_account_password,
    [ASK_ACCOUNT_SET]      = serve_account_set,
    [ASK_ACCOUNT_REMOVE]   = serve_account_remove,
    [ASK_DEVICE_ADD]       = serve_device_add,
    [ASK_DEVICE_LIST]      = serve_device_list,
    [ASK_DEVICE_REVOKE]    = serve_device_revoke,
    [ASK_ALIAS_ADD]        = serve_alias_add,
    [ASK_ALIAS_LIST]       = serve_alias_list,
    [ASK_ALIAS_REMOVE]     = serve_alias_remove,
    [ASK_DOMAIN_ADD]       = serve_domain_add,
    [ASK_DOMAIN_LIST]      = serve_domain_list,
    [ASK_DOMAIN_REMOVE]    = serve_domain_remove,
    [ASK_LEASE_LIST]       = serve_lease_list,
    [ASK_LEASE_REVOKE]     = serve_lease_revoke,
    [ASK_QUEUE_LIST]       = serve_queue_list,
    [ASK_QUEUE_SHOW]       = serve_queue_show,
    [ASK_QUEUE_CHANGE]     = serve_queue_change,
    [ASK_STATUS]           = serve_status,
    [ASK_WHY]              = serve_why,
    [ASK_CHECK]            = serve_check,
    [ASK_REPAIR]           = serve_repair,
    [ASK_BODIES]           = serve_bodies,
    [ASK_EXPORT]           = serve_export,
    [ASK_SNAPSHOT]         = serve_snapshot,
};
/* clang-format on */

bool serve_knows(enum ask_kind kind)
{
    return kind < ASK_KINDS && handlers[kind];
}

void serve(struct task *task)
{
    handlers[task->ask.kind](task);
}

/* What an ask may hold until its answer has left: the copy of it, and what it reads or packs. */
static uint32_t weight_of(const struct ask *ask)
{
    switch (ask->kind) {
    case ASK_DELIVER:
        return HELD_LEAST + 2 * LIMIT_INLINE_BODY + (ask->deliver.staged ? LIMIT_INLINE_STORED : 0);
    case ASK_SETTLE:
        return HELD_LEAST + 2 * LIMIT_FRAME;
    case ASK_LOGIN_TOKEN:
    case ASK_ERRAND:
        return HELD_LEAST + 2 * LIMIT_AUTH_LINE;
    case ASK_BODIES:
        return HELD_LEAST + STORE_BODIES_ROOM;
    case ASK_DROP_LIST:
    case ASK_FETCH:
    case ASK_QUEUE_BODY:
        return HELD_LEAST + LIMIT_BODY_FRAME;
    default:
        return HELD_LEAST;
    }
}

enum moment { MOMENT_FITS, MOMENT_FORBIDDEN, MOMENT_REVOKED };

static enum moment check_moment(struct client *client, const struct frame *frame)
{
    const struct binding *binding = binding_find(client->keeper, client, frame->session);
    switch (ask_defs[frame->ask.kind].when) {
    case ASK_ANY_TIME:
        return MOMENT_FITS;
    case ASK_BEFORE_LOGIN:
        return binding && binding->account ? MOMENT_FORBIDDEN : MOMENT_FITS;
    case ASK_AFTER_LOGIN:
        /* A login to send opens no mailbox: a device may have that right alone. */
        if (binding && binding->account && binding->protocol == PROTOCOL_SMTP)
            return MOMENT_FORBIDDEN;
        /* No binding is no crime: after a restart of the keeper the sessions of the gates are still there. */
        return binding_account(client->keeper, binding) ? MOMENT_FITS : MOMENT_REVOKED;
    }
    return MOMENT_FORBIDDEN;
}

static void bad_ask(struct client *client, const char *why)
{
    LOG(LOG_ERROR, "keeper.bad-ask", LOG_WORD("role", role_name(client->role)), LOG_NUMBER("worker", client->worker),
        LOG_WORD("ask", why));
    if (client->keeper->control && client->role != ROLE_CTL) {
        struct control_message message = {
            .kind = CONTROL_BAD_ASK, .role = client->role, .worker = client->worker, .fd = -1
        };
        if (control_send(control_fd(client->keeper->control), &message) != STATUS_OK)
            LOG(LOG_WARNING, "keeper.control", LOG_WORD("error", "the supervisor cannot be told"));
    }
    asker_close(client);
}

static void on_frame(void *context, struct frame *frame)
{
    struct client *client = context;
    int fd = frame->is_answer ? frame->answer.fd : frame->ask.fd;
    enum moment moment = MOMENT_FORBIDDEN;
    if (!frame->is_answer && (ask_defs[frame->ask.kind].from & client->role) &&
        (fd < 0 || frame->ask.kind == ASK_DELIVER))
        moment = check_moment(client, frame);
    if (moment == MOMENT_FORBIDDEN) {
        if (fd >= 0)
            close(fd);
        bad_ask(client, frame->is_answer ? "answer" : ask_defs[frame->ask.kind].name);
        return;
    }
    if (client->task_count >= LIMIT_CLIENT_ASKS) {
        if (fd >= 0)
            close(fd);
        bad_ask(client, "too many");
        return;
    }
    struct task *task = task_new(client->keeper, client, frame);
    task->weight = weight_of(&task->ask);
    client->held += task->weight;
    if (moment == MOMENT_REVOKED)
        task_answer(task, STATUS_REVOKED);
    else if (client->keeper->stopping && !ask_defs[frame->ask.kind].silent)
        task_answer(task, STATUS_AWAY);
    else if ((client->task_count > LIMIT_ASKS || client->held > LIMIT_CLIENT_OCTETS) && !ask_defs[frame->ask.kind].silent)
        task_answer(task, STATUS_BUSY);
    else
        serve(task);
}

static void on_lost(void *context, const char *why)
{
    struct client *client = context;
    if (strcmp(why, "malformed frame") == 0) { /* C041 */
        bad_ask(client, why);
        return;
    }
    if (client->role != ROLE_CTL)
        LOG(LOG_INFO, "keeper.channel-lost", LOG_WORD("role", role_name(client->role)),
            LOG_NUMBER("worker", client->worker), LOG_WORD("why", why));
    asker_close(client);
}

struct client *asker_open(struct keeper *keeper, int fd, enum role role, uint8_t worker)
{
    struct client *client = alloc(sizeof *client);
    client->keeper = keeper;
    client->role = role;
    client->worker = worker;
    client->id = ++keeper->next_client;
    list_init(&client->tasks);
    list_init(&client->late);
    list_init(&client->bindings);
    list_append(&keeper->clients, &client->node);
    struct channel_events events = { .frame = on_frame, .lost = on_lost, .context = client };
    if (fd >= 0)
        client->channel = channel_open(keeper->loop, fd, &events);
    keeper->ctl_clients += role == ROLE_CTL;
    return client;
}

void asker_close(struct client *client)
{
    struct keeper *keeper = client->keeper;
    struct list *node;
    while (!list_is_empty(&client->bindings))
        binding_close(keeper, list_element(client->bindings.next, struct binding, node));
    while ((node = list_take(&client->late)))
        list_append(&client->tasks, node);
    /* Tasks in a pool end without an answer; those that only wait end now. */
    while ((node = list_take(&client->tasks))) {
        struct task *task = list_element(node, struct task, node);
        task->client = NULL;
        bool is_late = task->answer.kind != ASK_NONE;
        if (is_late || task->waiting_count)
            task_drop(task);
    }
    if (client->channel)
        channel_close(client->channel);
    keeper->ctl_clients -= client->role == ROLE_CTL;
    list_remove(&client->node);
    if (client->role == ROLE_COURIER && !keeper->stopping)
        queue_release(keeper);
    if (client->role == ROLE_COURIER)
        errand_release(keeper, client);
    snapshot_release(keeper, client);
    release(client);
}

void serve_reset(struct task *task)
{
    struct binding *binding = binding_find(task->keeper, task->client, task->session);
    if (binding)
        binding_end_transaction(task->keeper, binding);
    task_drop(task);
}

void serve_end_session(struct task *task)
{
    struct binding *binding = binding_find(task->keeper, task->client, task->session);
    if (binding)
        binding_close(task->keeper, binding);
    task_drop(task);
}

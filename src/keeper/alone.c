/* alone.c - the same handlers without a server, in the command line's own process: stages are carried out at once. */
#include "keeper/impl.h"
#include "keeper/keeper.h"

struct keeper_alone {
    struct keeper keeper;
    struct client *client;
};

static enum status open_parts(struct keeper_alone *alone, const struct keeper_offline *offline, struct buf *why)
{
    struct keeper *keeper = &alone->keeper;
    struct store_plan plan = {
        .dir = offline->store_dir, .mode = STORE_WRITER, .patience = offline->patience, .create = offline->create, .as_is = offline->as_is
    };
    list_init(&keeper->clients);
    TRY(store_open(&plan, &keeper->writer, why));
    TRY(body_store_open(&keeper->bodies, offline->store_dir));
    TRY(keeper_init(keeper, (struct settings *)(uintptr_t)offline->settings, offline->keeper_key));
    alone->client = asker_open(keeper, -1, ROLE_CTL, 0);
    return STATUS_OK;
}

enum status keeper_alone_open(const struct keeper_offline *plan, struct keeper_alone **out_alone, struct buf *why)
{
    struct keeper_alone *alone = alloc(sizeof *alone);
    vault_init();
    alone->keeper.bodies.dir = -1;
    enum status status = open_parts(alone, plan, why);
    if (status != STATUS_OK) {
        keeper_alone_close(alone);
        return status;
    }
    *out_alone = alone;
    return STATUS_OK;
}

static void drop_kept(struct client *client)
{
    struct task *task = client->kept;
    client->kept = NULL;
    if (task)
        task_drop(task);
}

void keeper_alone_ask(struct keeper_alone *alone, const struct ask *ask, struct answer *out_answer)
{
    struct client *client = alone->client;
    struct frame frame = { .ask = *ask };
    drop_kept(client);
    if (!(ask_defs[ask->kind].from & ROLE_CTL)) {
        *out_answer = (struct answer){ .kind = ask->kind, .status = STATUS_DENIED, .fd = -1 };
        return;
    }
    serve(task_new(&alone->keeper, client, &frame));
    must(client->kept); /* no stage waits here: the answer is there */
    *out_answer = client->kept->answer;
}

void keeper_alone_close(struct keeper_alone *alone)
{
    struct keeper *keeper = &alone->keeper;
    if (alone->client) {
        drop_kept(alone->client);
        asker_close(alone->client);
    }
    keeper_done(keeper);
    store_close(keeper->writer);
    if (keeper->bodies.dir >= 0)
        body_store_close(&keeper->bodies);
    release(alone);
}

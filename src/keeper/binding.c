#include "keeper/binding.h"

#include "keeper/impl.h"

struct binding_key {
    uint64_t client, session;
};

struct binding *binding_find(struct keeper *keeper, struct client *client, uint64_t session)
{
    struct binding_key key = { client->id, session };
    return map_find(&keeper->bindings, map_key(key));
}

struct binding *binding_get(struct keeper *keeper, struct client *client, uint64_t session, struct slice name)
{
    struct binding *binding = binding_find(keeper, client, session);
    if (binding)
        return binding;
    if (client->binding_count >= LIMIT_BINDINGS)
        return NULL;
    binding = alloc(sizeof *binding);
    binding->client = client;
    binding->session = session;
    name = slice_upto(name, SESSION_NAME - 1);
    if (name.len > 0)
        memcpy(binding->name, name.ptr, name.len);
    struct binding_key key = { client->id, session };
    map_put(&keeper->bindings, map_key(key), binding);
    list_append(&client->bindings, &binding->node);
    client->binding_count++;
    return binding;
}

void binding_end_transaction(struct keeper *keeper, struct binding *binding)
{
    lease_give_back(&keeper->leases, &binding->transaction.hold);
    release(binding->transaction.sender);
    release(binding->transaction.helo);
    binding->transaction = (struct transaction){ 0 };
}

void binding_close(struct keeper *keeper, struct binding *binding)
{
    struct binding_key key = { binding->client->id, binding->session };
    binding_end_transaction(keeper, binding);
    if (binding->account)
        keeper->session_count--;
    map_take(&keeper->bindings, map_key(key));
    list_remove(&binding->node);
    binding->client->binding_count--;
    release(binding);
}

struct account *binding_account(struct keeper *keeper, const struct binding *binding)
{
    if (!binding || !binding->account)
        return NULL;
    struct account *account = directory_account(&keeper->directory, binding->account);
    if (!account || !account->enabled || account->generation != binding->generation)
        return NULL;
    if (!binding->device)
        return account;
    const struct device *device = directory_device(&keeper->directory, binding->device);
    bool lives = device && device->account == account && (device->expires == 0 || device->expires > clock_wall());
    return lives ? account : NULL;
}

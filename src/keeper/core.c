/* core.c - what a server and the command line's own process have in common: memory, directory, disk. */
#include "base/random.h"
#include "base/secret.h"
#include "keeper/impl.h"

msec keeper_now(struct keeper *keeper)
{
    return keeper->loop ? loop_now(keeper->loop) : clock_now();
}

static void on_lease_ended(void *context, const struct lease *lease, enum lease_end end)
{
    struct keeper *keeper = context;
    const struct account *account = directory_account(&keeper->directory, lease->account);
    LOG(LOG_INFO, "lease.ended", LOG_NUMBER("lease", lease->id),
        LOG_TEXT("account", account ? account->address : NO_SLICE), LOG_IP("peer", lease->peer),
        LOG_WORD("reason", lease_end_name(end)), LOG_NUMBER("messages", lease->messages_used));
}

/* A verifier of what nobody knows, with the same work behind it as a real one. */
enum status keeper_make_dummy(uint32_t cost, char out_verifier[VAULT_VERIFIER])
{
    char secret[32];
    random_fill(secret, sizeof secret);
    return vault_hash(cost, (struct slice){ secret, sizeof secret }, out_verifier);
}

void keeper_take_dummy(struct keeper *keeper, uint32_t cost, const char verifier[VAULT_VERIFIER])
{
    must(cost < sizeof keeper->dummies / sizeof *keeper->dummies);
    if (keeper->dummies[cost][0] == '\0')
        memcpy(keeper->dummies[cost], verifier, VAULT_VERIFIER);
    keeper->dummy = keeper->dummies[cost];
}

static enum status load_place(void *context, const struct store_place *row)
{
    struct keeper *keeper = context;
    place_put(&keeper->places, row, clock_wall());
    return STATUS_OK;
}

enum status keeper_init(struct keeper *keeper, struct settings *settings, struct slice key)
{
    uint64_t disk_free = 0;
    if (key.len != sizeof keeper->key)
        return STATUS_MALFORMED;
    memcpy(keeper->key, key.ptr, sizeof keeper->key);
    random_fill(keeper->cache_key, sizeof keeper->cache_key);
    keeper->dummy_sealed = BUF(256);
    keeper->settings = settings_hold(settings);
    TRY(vault_seal(keeper->key, 0, S("nobody"), S("what no device has: six by four"), &keeper->dummy_sealed));
    keeper->leases.ended = on_lease_ended;
    keeper->leases.context = keeper;
    place_init(&keeper->places);
    list_init(&keeper->clients);
    list_init(&keeper->delayed);
    list_init(&keeper->claims);
    oauth_init(keeper);
    refusals_init(&keeper->refusals);
    list_init(&keeper->offers);
    keeper->listen_fd = -1;
    TRY(keeper->writer->verbs->free_octets(keeper->writer, &disk_free));
    atomic_store(&keeper->disk_free, disk_free);
    TRY(directory_load(&keeper->directory, keeper->writer));
    TRY(keeper->writer->verbs->each_place(keeper->writer, load_place, keeper));
    offers_renew(keeper);
    return STATUS_OK;
}

void keeper_done(struct keeper *keeper)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&keeper->verified, &at, &key, &value);)
        release(value);
    map_done(&keeper->verified);
    if (keeper->settings)
        oauth_done(keeper);
    notice_done(keeper);
    map_done(&keeper->bindings);
    throttle_done(&keeper->throttle);
    place_done(&keeper->places);
    refusals_done(&keeper->refusals);
    lease_done(&keeper->leases);
    pin_done(&keeper->pins);
    directory_done(&keeper->directory);
    if (keeper->settings)
        settings_release(keeper->settings);
    keeper->settings = NULL;
    buf_done(&keeper->dummy_sealed);
    wipe(keeper->key, sizeof keeper->key);
    wipe(keeper->cache_key, sizeof keeper->cache_key);
}

bool keeper_has_room(struct keeper *keeper, uint64_t octets)
{
    uint64_t left = atomic_load(&keeper->disk_free), reserve = keeper->settings->disk_reserve;
    return left >= reserve && left - reserve >= octets;
}

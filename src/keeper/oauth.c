/* oauth.c - the key set: from a file that the supervisor read, or from a URL, fetched anew every hour and for keys
 * that it does not have.  The last good one stays while another cannot be had. */
#include "keeper/impl.h"

void oauth_init(struct keeper *keeper)
{
    list_init(&keeper->oauth.waiting);
    keeper->oauth.arena = ARENA(4 * LIMIT_URL);
    errand_init(&keeper->errands);
}

void oauth_done(struct keeper *keeper)
{
    errand_done_all(keeper);
    token_forget(keeper, 0);
    map_done(&keeper->oauth.known);
    jwk_set_release(keeper->oauth.keys);
    keeper->oauth.keys = NULL;
    secret_wipe(&keeper->oauth.secret);
    arena_done(&keeper->oauth.arena);
}

static void replace(struct keeper *keeper, struct jwk_set *set)
{
    jwk_set_release(keeper->oauth.keys);
    keeper->oauth.keys = set;
    LOG(LOG_INFO, "oauth.keys", LOG_TEXT("source", keeper->oauth.source), LOG_NUMBER("keys", jwk_set_count(set)));
}

static void read_keys(struct keeper *keeper, struct slice text)
{
    struct jwk_set *set;
    enum status status = jwk_set_open(text, &set);
    if (status == STATUS_OK)
        replace(keeper, set);
    else
        LOG(LOG_ERROR, "oauth.keys", LOG_TEXT("source", keeper->oauth.source), LOG_STATUS(status),
            LOG_WORD("hint", status == STATUS_NOT_FOUND ? "no key in it can be used" : "it is no key set (RFC 7517)"));
}

/* Does the set come from a URL? */
static bool is_fetched(const struct keeper *keeper)
{
    return slice_starts_nocase(keeper->settings->oauth_jwks, S("https:"));
}

void oauth_take(struct keeper *keeper, struct slice keys, struct slice secret)
{
    struct oauth *oauth = &keeper->oauth;
    struct slice source = keeper->settings->oauth_jwks;
    /* Keys of another issuer are no last good ones. */
    if (!slice_equal(oauth->source, source)) {
        jwk_set_release(oauth->keys);
        oauth->keys = NULL;
        oauth->fetch = 0;
        oauth->sought = 0;
        arena_reset(&oauth->arena);
        must(arena_copy(&oauth->arena, source, &oauth->source) == STATUS_OK); /* LIMIT_URL at most: config.c */
    }
    /* A reload fetches anew, also from the same place; until then the set stays. */
    oauth->tried = oauth->fetched = 0;
    if (source.len > 0 && !is_fetched(keeper))
        read_keys(keeper, keys);
    secret_wipe(&oauth->secret);
    if (secret_set(&oauth->secret, secret) != STATUS_OK)
        LOG(LOG_ERROR, "oauth.secret", LOG_STATUS(STATUS_TOO_BIG));
    token_forget(keeper, 0); /* what was good may not be good by the new rules */
}

static bool is_too_soon(struct keeper *keeper, msec last)
{
    return last && keeper_now(keeper) - last < LIMIT_KEYS_PAUSE;
}

static void send_out(struct keeper *keeper)
{
    struct errand wish = { .kind = ERRAND_GET, .url = keeper->settings->oauth_jwks };
    keeper->oauth.tried = keeper_now(keeper);
    keeper->oauth.fetch = errand_put(keeper, ERRAND_FOR_KEYS, &wish);
}

uint64_t oauth_fetch(struct keeper *keeper)
{
    struct oauth *oauth = &keeper->oauth;
    if (!oauth->fetch && is_fetched(keeper) && !is_too_soon(keeper, oauth->tried))
        send_out(keeper);
    return oauth->fetch;
}

uint64_t oauth_seek(struct keeper *keeper)
{
    struct oauth *oauth = &keeper->oauth;
    if (!oauth->fetch && is_fetched(keeper) && !is_too_soon(keeper, oauth->sought)) {
        oauth->sought = keeper_now(keeper);
        send_out(keeper);
    }
    return oauth->fetch;
}

void oauth_fetched(struct keeper *keeper, const struct errand_end *end)
{
    struct oauth *oauth = &keeper->oauth;
    if (end->id != oauth->fetch)
        return; /* asked for with other settings */
    oauth->fetch = 0;
    if (end->code != 200)
        return; /* errand.c has said so */
    oauth->fetched = keeper_now(keeper);
    read_keys(keeper, end->body);
}

void oauth_tick(struct keeper *keeper, msec now)
{
    const struct oauth *oauth = &keeper->oauth;
    /* Not before there is a courier that could go. */
    if (list_is_empty(&keeper->errands.polls) || !is_fetched(keeper))
        return;
    if (!oauth->keys || !oauth->fetched || now - oauth->fetched >= LIMIT_KEYS_AGE)
        (void)oauth_fetch(keeper);
}

/* Settings and TLS contexts of one generation. */
#include "gate/impl.h"

#include "base/must.h"

/* A ticket of one service opens no other (C066).  SMTP has no name to negotiate by (RFC 7301's registry), so any offer is fine there. */
static const struct scope_row {
    enum scope scope;
    enum role role;
    bool legacy;    /* old versions, if they are wanted; these contexts serve no other port */
    bool has_login; /* where a client's key may log in.  Strangers' servers would only be confused by the question */
    struct slice name, alpn;
} scopes[] = {
    { SCOPE_MX, ROLE_MX, false, false, { "mx", 2 }, { "", 0 } },
    { SCOPE_SUBMISSION, ROLE_USER, false, true, { "submission", 10 }, { "", 0 } },
    { SCOPE_POP3, ROLE_USER, false, true, { "pop3", 4 }, { "\x04pop3", 5 } },
    { SCOPE_LEGACY_SUBMISSION, ROLE_USER, true, false, { "legacy-submission", 17 }, { "", 0 } },
    { SCOPE_LEGACY_POP3, ROLE_USER, true, false, { "legacy-pop3", 11 }, { "\x04pop3", 5 } },
};

enum status house_open(enum role role, const struct boot *boot, struct settings *settings, struct house *out_house, struct buf *why)
{
    struct house house = { .settings = settings };
    struct arena arena = ARENA(65536);
    struct tls_pair *pairs = arena_take_rows(&arena, boot->pairs.count, sizeof *pairs);
    enum status status = pairs ? STATUS_OK : STATUS_TOO_BIG;
    for (uint32_t i = 0; pairs && i < boot->pairs.count; i++) {
        const struct boot_pair *pair = row_of(struct boot_pair, boot->pairs, i);
        must(pair->key.len == 0); /* keys are the signer's: the supervisor never sends a gate any */
        pairs[i] = (struct tls_pair){ pair->certificate };
    }
    for (size_t i = 0; i < SCOPES && status == STATUS_OK && boot->pairs.count > 0; i++) {
        const struct scope_row *scope = &scopes[i];
        struct tls_plan plan = { .pairs = pairs, .pair_count = boot->pairs.count,
            .min_version = scope->legacy ? settings->legacy_tls_min_version : settings->tls_min_version,
            .asks_for_key = scope->has_login && settings->auth_client_certificates,
            .ticket_key = boot->ticket_key, .ticket_scope = scope->name, .alpn = scope->alpn };
        if (scope->role == role && (!scope->legacy || settings->legacy_networks.count > 0))
            status = tls_context_open(&plan, &house.contexts[scope->scope], why);
    }
    arena_done(&arena);
    if (status == STATUS_OK)
        *out_house = house;
    else {
        house.settings = NULL; /* the caller's */
        house_close(&house);
    }
    return status;
}

void house_close(struct house *house)
{
    for (size_t i = 0; i < SCOPES; i++)
        if (house->contexts[i])
            tls_context_release(house->contexts[i]);
    if (house->settings)
        settings_release(house->settings);
    *house = (struct house){ 0 };
}

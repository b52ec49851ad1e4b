/* lease_rule.c - what needs no table of leases: who may have one and where, by the settings, and words for the log. */
#include "proto/lease.h"

#include "base/must.h"

const char *lease_end_name(enum lease_end end)
{
    static const char *const names[] = { [LEASE_EXPIRED] = "expired", [LEASE_REVOKED] = "revoked", [LEASE_CHANGED] = "account-changed",
        [LEASE_SHARED] = "shared-address", [LEASE_FAILURES] = "failed-logins" };
    return names[end];
}

struct slice lease_office(const struct settings *settings, struct ip peer)
{
    must(settings->lease_office_names.count == settings->lease_office_networks.count); /* src/config_value.c */
    for (size_t i = 0; i < settings->lease_office_networks.count; i++)
        if (network_has(settings->lease_office_networks.rows[i], peer))
            return settings->lease_office_names.rows[i];
    return NO_SLICE;
}

static bool is_our_own(const struct settings *settings, const struct lease_asker *asker)
{
    struct ip ip;
    for (size_t i = 0; i < settings->listen_address.count; i++)
        if (ip_parse(settings->listen_address.rows[i], &ip) == STATUS_OK && ip_equal(ip, asker->peer))
            return true;
    return ip_equal(asker->peer, asker->local);
}

const char *lease_refusal(const struct settings *settings, const struct lease_asker *asker)
{
    if (settings->lease_accounts == LEASE_NONE || (asker->imap && !settings->lease_imap))
        return "";
    /* A device has only the rights that it was given, whatever its account may. */
    if (asker->device && !asker->device_may)
        return "";
    if (!asker->flagged && settings->lease_accounts == LEASE_FLAGGED)
        return "";
    if (!asker->flagged && asker->uses_auth)
        return "uses-smtp-auth";
    /* An empty list lifts the rule for our own addresses, too: for tests over loopback. */
    if (settings->lease_never_networks.count == 0)
        return NULL;
    if (networks_have(settings->lease_never_networks, asker->peer)) /* C106 */
        return "never-network";
    return is_our_own(settings, asker) ? "own-address" : NULL;
}

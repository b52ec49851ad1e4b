/* login_lease.c - what a login by POP3 or IMAP opens besides the mailbox: the right to send from that address. */
#include "keeper/login.h"
#include "proto/refusal.h"

static void log_lease(struct keeper *keeper, const struct login *login, const struct account *account,
    const struct device *device, const struct lease *lease, bool renewed)
{
    LOG(LOG_INFO, renewed ? "lease.renewed" : "lease.granted", LOG_NUMBER("lease", lease->id),
        LOG_TEXT("account", account->address), LOG_IP("peer", login->peer), LOG_TEXT("session", login->session),
        LOG_TEXT("device", device ? device->name : NO_SLICE),
        LOG_TEXT("office", lease_office(keeper->settings, login->peer)),
        LOG_NUMBER("seconds", (lease->until - keeper_now(keeper)) / 1000),
        LOG_NUMBER("messages", lease_messages_left(lease)));
}

/* Why not: for a network with too many accounts also which, and how many came from there within the hour. */
static void log_refusal(
    struct keeper *keeper, const struct login *login, const struct account *account, const char *reason, bool shared)
{
    if (shared)
        LOG(LOG_INFO, "lease.refused", LOG_TEXT("account", account->address), LOG_IP("peer", login->peer),
            LOG_TEXT("session", login->session), LOG_WORD("reason", reason),
            LOG_IP("network", ip_place(login->peer)),
            LOG_NUMBER("accounts", lease_crowd(&keeper->leases, login->peer, keeper_now(keeper))));
    else if (*reason)
        LOG(LOG_INFO, "lease.refused", LOG_TEXT("account", account->address), LOG_IP("peer", login->peer),
            LOG_TEXT("session", login->session), LOG_WORD("reason", reason));
    if (*reason == '\0')
        return;
    struct refused refused = { .name = login->name, .session = login->session, .detail = slice_of(reason), .peer = login->peer,
        .code = REFUSAL_PROVE_YOURSELF, .account = account->id, .protocol = login->protocol };
    refusals_note(&keeper->refusals, &refused, clock_wall());
}

/* What a device may do ends on its last day (C108); 0: it has none. */
static msec time_left(const struct device *device)
{
    wall now = clock_wall();
    if (!device || device->expires == 0)
        return 0;
    return device->expires > now ? device->expires - now : 1;
}

/* DESIGN section 8: effective before the answer leaves. */
bool login_open_lease(struct task *task, const struct account *account, const struct device *device)
{
    struct keeper *keeper = task->keeper;
    const struct login *login = task->state;
    struct lease_asker asker = { .flagged = account->pop_before_smtp || (device && (device->rights & RIGHT_LEASE)),
        .device = device != NULL,
        .device_may = device && (device->rights & RIGHT_LEASE),
        .uses_auth = account->uses_auth,
        .imap = login->protocol == PROTOCOL_IMAP,
        .peer = login->peer,
        .local = login->local };
    struct lease_wish wish = { .account = account->id,
        .device = login->device,
        .peer = login->peer,
        .protocol = login->protocol,
        .most = time_left(device),
        .internal_only = device && (device->rights & RIGHT_INTERNAL_ONLY) };
    const struct lease *lease = NULL;
    if (login->protocol == PROTOCOL_SMTP)
        return false;
    const char *refusal = lease_refusal(keeper->settings, &asker);
    if (refusal) {
        log_refusal(keeper, login, account, refusal, false);
        return false;
    }
    enum lease_grant grant = lease_grant(&keeper->leases, &wish, keeper->settings, keeper_now(keeper), &lease);
    bool shared = grant == LEASE_REFUSED_SHARED;
    if (!lease) {
        log_refusal(keeper, login, account, shared ? "shared-address" : "table-full", shared);
        return false;
    }
    log_lease(keeper, login, account, device, lease, grant == LEASE_RENEWED);
    return true;
}

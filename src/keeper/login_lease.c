/* login_lease.c - what a login by POP3 or IMAP opens besides the mailbox: the right to send from that address. */
#include "keeper/login.h"

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
        .internal_only = device && (device->rights & RIGHT_INTERNAL_ONLY) };
    const struct lease *lease = NULL;
    enum lease_grant grant = LEASE_OPENED;
    if (login->protocol == PROTOCOL_SMTP)
        return false;
    const char *refusal = lease_refusal(keeper->settings, &asker);
    if (!refusal) {
        grant = lease_grant(&keeper->leases, &wish, keeper->settings, keeper_now(keeper), &lease);
        refusal = grant == LEASE_REFUSED_SHARED ? "shared-address" : "table-full";
    }
    if (lease)
        LOG(LOG_INFO, grant == LEASE_RENEWED ? "lease.renewed" : "lease.granted", LOG_NUMBER("lease", lease->id),
            LOG_TEXT("account", account->address), LOG_IP("peer", login->peer), LOG_TEXT("session", login->session),
            LOG_TEXT("device", device ? device->name : NO_SLICE),
            LOG_NUMBER("seconds", (lease->until - keeper_now(keeper)) / 1000),
            LOG_NUMBER("messages", lease_messages_left(lease)));
    else if (*refusal)
        LOG(LOG_INFO, "lease.refused", LOG_TEXT("account", account->address), LOG_IP("peer", login->peer),
            LOG_TEXT("session", login->session), LOG_WORD("reason", refusal));
    return lease != NULL;
}

/* login.c - is this the password, and what does it permit?
 *
 * ask (loop: delay, memory of passwords that were right lately) -> prove (hash pool) -> judge (loop: rights, lease,
 * binding) -> answer. Whatever fails, the answer is the same one, after the same work (C073, C074). */
#include "base/secret.h"
#include "keeper/impl.h"
#include "keeper/vault.h"

struct candidate {
    uint32_t device;
    struct slice name, sealed;
};

struct login {
    uint32_t account, generation;       /* who the name stands for; 0: nobody */
    struct slice name, stated, session; /* stated: what delays are counted for */
    struct ip peer, local;
    uint8_t protocol, mechanism;
    bool encrypted, try_person, try_devices;
    struct slice verifier, dummy;
    struct candidate *candidates;
    size_t candidate_count;
    uint32_t device; /* whose password it was */
    bool right, hashing;
    const char *reason; /* for the log, if it fails */
};

/* ---- passwords that were right lately ------------------------------------------------------------------------------
 */

/* Key: a keyed hash of the password with account and generation, so that a change of either leaves nothing to find
 * (C082). */
struct verified {
    msec until;
    uint32_t device;
};

struct verified_key {
    char name[32];
    uint32_t account, generation;
};

static struct verified_key key_of(const struct keeper *keeper, const struct login *login, struct slice secret)
{
    struct verified_key key;
    memset(&key, 0, sizeof key);
    vault_name(keeper->cache_key, secret, key.name);
    key.account = login->account;
    key.generation = login->generation;
    return key;
}

static bool know_again(struct keeper *keeper, struct login *login, struct slice secret)
{
    struct verified_key key = key_of(keeper, login, secret);
    const struct verified *found = login->account ? map_find(&keeper->verified, map_key(key)) : NULL;
    bool fits = found && found->until > keeper_now(keeper) &&
                (found->device ? login->try_devices : login->try_person) &&
                (!found->device || directory_device(&keeper->directory, found->device));
    if (fits) {
        login->right = true;
        login->device = found->device;
    }
    return fits;
}

static void remember(struct keeper *keeper, const struct login *login, struct slice secret)
{
    struct verified_key key = key_of(keeper, login, secret);
    struct verified *verified = map_find(&keeper->verified, map_key(key));
    if (!verified && keeper->verified.count >= LIMIT_VERIFIED)
        return;
    if (!verified) {
        verified = alloc(sizeof *verified);
        map_put(&keeper->verified, map_key(key), verified);
    }
    *verified = (struct verified){ .until = keeper_now(keeper) + LIMIT_VERIFIED_AGE, .device = login->device };
}

void login_forget(struct keeper *keeper, msec now)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&keeper->verified, &at, &key, &value);) {
        if (((struct verified *)value)->until > now)
            continue;
        map_take(&keeper->verified, key);
        release(value);
    }
}

/* ---- prove (pool thread) -------------------------------------------------------------------------------------------
 */

static bool device_fits(
    const struct keeper *keeper, const struct login *login, const struct ask *ask, const struct candidate *candidate)
{
    struct secret secret;
    bool fits = false;
    if (vault_open(keeper->key, login->account, candidate->name, candidate->sealed, &secret) == STATUS_OK) {
        if (ask->kind == ASK_LOGIN_DIGEST) {
            char digest[16];
            vault_apop(ask->login_digest.challenge, secret_slice(&secret), digest);
            fits = slice_equal_secret((struct slice){ digest, 16 }, ask->login_digest.digest);
        } else {
            fits = slice_equal_secret(secret_slice(&secret), ask->login.secret);
        }
    }
    secret_wipe(&secret);
    return fits;
}

static enum status prove(struct task *task, struct store *none)
{
    struct login *login = task->state;
    const struct ask *ask = &task->ask;
    (void)none;
    /* All of them, also when one fits: the time tells nothing. */
    for (size_t i = 0; login->try_devices && i < login->candidate_count; i++)
        if (device_fits(task->keeper, login, ask, &login->candidates[i])) {
            login->right = true;
            login->device = login->candidates[i].device;
        }
    if (login->right || ask->kind == ASK_LOGIN_DIGEST)
        return STATUS_OK;
    /* The same work where there is no such person, or he has no password, or it may not be used here. */
    bool real = login->account && login->try_person && login->verifier.len > 0;
    bool fits = vault_verify(real ? login->verifier : login->dummy, ask->login.secret);
    login->right = real && fits;
    return STATUS_OK;
}

/* ---- judge ---------------------------------------------------------------------------------------------------------
 */

static uint8_t right_for(uint8_t protocol)
{
    return protocol == PROTOCOL_SMTP ? RIGHT_SMTP : protocol == PROTOCOL_POP3 ? RIGHT_POP3 : RIGHT_IMAP;
}

static const char *protocol_name(uint8_t protocol)
{
    return protocol == PROTOCOL_SMTP ? "smtp" : protocol == PROTOCOL_POP3 ? "pop3" : "imap";
}

/* NULL: the device may do this. */
static const char *device_refusal(const struct login *login, const struct device *device)
{
    if (!device)
        return "device-revoked";
    if (device->expires && device->expires <= clock_wall())
        return "device-expired";
    if (!(device->rights & right_for(login->protocol)))
        return "device-protocol";
    if (device->mechanisms && !(device->mechanisms & (1u << login->mechanism)))
        return "device-mechanism";
    if (device->networks.count > 0 && !networks_have(device->networks, login->peer))
        return "device-network";
    return NULL;
}

static void refuse(struct task *task, enum login_verdict verdict)
{
    struct login *login = task->state;
    struct keeper *keeper = task->keeper;
    const struct account *account = directory_account(&keeper->directory, login->account);
    LOG(LOG_INFO, "login.failed", LOG_TEXT("session", login->session),
        LOG_WORD("protocol", protocol_name(login->protocol)),
        LOG_WORD("mechanism", mechanism_name((enum mechanism)login->mechanism)), LOG_TEXT("name", login->name),
        LOG_TEXT("account", account ? account->address : NO_SLICE), LOG_IP("peer", login->peer),
        LOG_WORD("reason", login->reason));
    task->answer.login.verdict = (uint8_t)verdict;
    task_answer(task, STATUS_OK);
}

static void refuse_busy(struct task *task)
{
    ((struct login *)task->state)->reason = "busy";
    refuse(task, LOGIN_BUSY);
}

static void refuse_wrong(struct task *task)
{
    struct login *login = task->state;
    struct keeper *keeper = task->keeper;
    struct binding *binding = task->client ? binding_find(keeper, task->client, task->session) : NULL;
    msec now = keeper_now(keeper);
    if (binding)
        binding->auth_failed = true;
    if (keeper->settings->auth_throttle)
        throttle_failed(&keeper->throttle, login->stated, login->peer, now);
    if (login->account)
        lease_failed(&keeper->leases, login->account, login->peer, now);
    refuse(task, LOGIN_WRONG);
}

/* DESIGN section 8: effective before the answer leaves. */
static bool open_lease(struct task *task, const struct account *account, const struct device *device)
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

static bool is_too_soon(struct keeper *keeper, struct account *account, uint8_t protocol)
{
    msec now = keeper_now(keeper);
    if (protocol != PROTOCOL_POP3)
        return false;
    bool soon = account->has_popped && now - account->last_pop3 < keeper->settings->pop3_login_delay;
    if (!soon) {
        account->has_popped = true;
        account->last_pop3 = now;
    }
    return soon;
}

static void accept_login(struct task *task, struct account *account, struct device *device)
{
    struct keeper *keeper = task->keeper;
    struct login *login = task->state;
    struct binding *binding = binding_find(keeper, task->client, task->session);
    struct slice address;
    /* The session ended while we hashed, and nothing is opened for nobody (C099); or it logged in twice at once. */
    if (!binding || binding->account || arena_copy(&task->arena, account->address, &address) != STATUS_OK) {
        task_answer(task, STATUS_DENIED);
        return;
    }
    throttle_passed(&keeper->throttle, login->stated, login->peer);
    if (is_too_soon(keeper, account, login->protocol)) {
        login->reason = "login-delay";
        refuse(task, LOGIN_TOO_SOON);
        return;
    }
    bool lease = open_lease(task, account, device);
    binding->account = account->id;
    binding->generation = account->generation;
    binding->device = login->device;
    binding->protocol = login->protocol;
    binding->rights = device ? device->rights : RIGHTS_ALL;
    keeper->session_count++;
    account->last_login = clock_wall();
    account->seen = true;
    account->uses_auth = account->uses_auth || (login->protocol == PROTOCOL_SMTP && !device);
    if (device) {
        device->last_used = account->last_login;
        device->seen = true;
    }
    LOG(LOG_INFO, "login.ok", LOG_TEXT("session", login->session), LOG_WORD("protocol", protocol_name(login->protocol)),
        LOG_WORD("mechanism", mechanism_name((enum mechanism)login->mechanism)), LOG_TEXT("account", account->address),
        LOG_TEXT("device", device ? device->name : NO_SLICE), LOG_IP("peer", login->peer),
        LOG_NUMBER("tls", login->encrypted));
    task->answer.login =
        (struct answer_login){ .address = address, .account = account->id, .verdict = LOGIN_OK, .lease = lease };
    task_answer(task, STATUS_OK);
}

static void judge(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct login *login = task->state;
    struct account *account = directory_account(&keeper->directory, login->account);
    struct device *device = login->device ? directory_device(&keeper->directory, login->device) : NULL;
    if (!task->client) {
        task_drop(task);
        return;
    }
    task->client->hash_count -= login->hashing;
    if (task->status == STATUS_BUSY) {
        refuse_busy(task);
        return;
    }
    if (!account)
        login->reason = "unknown-name";
    else if (!login->right)
        login->reason = "wrong-password";
    else if (!account->enabled || account->generation != login->generation)
        login->reason = "disabled";
    else if (login->device)
        login->reason = device_refusal(login, device);
    if (login->reason) {
        refuse_wrong(task);
        return;
    }
    if (task->ask.kind == ASK_LOGIN)
        remember(keeper, login, task->ask.login.secret);
    accept_login(task, account, device);
}

/* ---- ask -----------------------------------------------------------------------------------------------------------
 */

static bool collect_devices(struct task *task, const struct account *account)
{
    struct login *login = task->state;
    login->candidates = arena_take_rows(&task->arena, LIMIT_CREDENTIALS, sizeof *login->candidates);
    if (!login->candidates)
        return false;
    for (struct list *node = account->devices.next;
         node != &account->devices && login->candidate_count < LIMIT_CREDENTIALS; node = node->next) {
        const struct device *device = list_element(node, struct device, node);
        struct candidate *candidate = &login->candidates[login->candidate_count++];
        candidate->device = device->id;
        if (arena_copy(&task->arena, device->name, &candidate->name) != STATUS_OK ||
            arena_copy(&task->arena, device->sealed, &candidate->sealed) != STATUS_OK)
            return false;
    }
    return true;
}

/* The delay is over. */
static void begin(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct login *login = task->state;
    const struct account *account = directory_account(&keeper->directory, login->account);
    login->dummy = slice_of(keeper->dummy);
    if (account) {
        login->generation = account->generation;
        if (!collect_devices(task, account) ||
            arena_copy(&task->arena, account->password, &login->verifier) != STATUS_OK) {
            task_answer(task, STATUS_TOO_BIG);
            return;
        }
    } else {
        login->account = 0;
    }
    if (task->ask.kind == ASK_LOGIN && know_again(keeper, login, task->ask.login.secret)) {
        task->status = STATUS_OK;
        judge(task);
        return;
    }
    /* An intruder's gate keeps the others' people out no longer than its share lasts (C088). */
    if (task->client->hash_count >= (task->client->role == ROLE_MX ? LIMIT_HASHES_MX : LIMIT_HASHES_USER)) {
        refuse_busy(task);
        return;
    }
    login->hashing = true;
    task->client->hash_count++;
    task_go(task, STAGE_HASH, prove, judge);
}

/* DESIGN section 8: which secrets are taken without TLS. */
static void limit_to_lane(const struct keeper *keeper, struct login *login, bool apop, bool device_only)
{
    const struct settings *settings = keeper->settings;
    bool plaintext = login->encrypted || networks_have(settings->auth_plaintext_networks, login->peer);
    bool legacy = networks_have(settings->legacy_networks, login->peer);
    login->try_person = plaintext && !device_only && !apop;
    login->try_devices = plaintext || legacy || (apop && settings->auth_apop_without_tls);
}

static void find_account(struct task *task, struct slice authzid)
{
    struct login *login = task->state;
    const struct directory *d = &task->keeper->directory;
    const struct account *account = directory_login(d, login->name);
    /* PLAIN: acting for another is nobody's right here (C086). */
    if (account && authzid.len > 0 && directory_login(d, authzid) != account)
        account = NULL;
    login->account = account ? account->id : 0;
    login->stated = login->name;
    /* All names of an account share a counter. */
    if (account && arena_copy(&task->arena, account->address, &login->stated) != STATUS_OK)
        login->stated = login->name;
}

/* Those who guess from many sessions at once wait for each other, as they would in one. */
static msec wait_for(struct keeper *keeper, struct ip peer, msec delay)
{
    msec wait = delay;
    struct ip place = throttle_place(peer);
    for (const struct list *node = keeper->delayed.next; node != &keeper->delayed && wait < LIMIT_LOGIN_WAIT; node = node->next) {
        const struct login *other = list_element(node, struct task, waiting)->state;
        if (ip_equal(throttle_place(other->peer), place))
            wait += delay;
    }
    return wait < LIMIT_LOGIN_WAIT ? wait : LIMIT_LOGIN_WAIT;
}

static void start(struct task *task, struct slice authzid)
{
    struct keeper *keeper = task->keeper;
    struct login *login = task->state;
    bool sound = login->name.len > 0 && slice_is_utf8(login->name) && !slice_has_control(login->name) &&
                 slice_is_utf8(authzid) && login->protocol >= PROTOCOL_SMTP && login->protocol <= PROTOCOL_IMAP &&
                 login->mechanism >= MECHANISM_PASSWORD && login->mechanism <= MECHANISM_APOP;
    /* At port 25 a login only sends: it opens neither mailboxes nor leases. */
    if (task->client->role == ROLE_MX && login->protocol != PROTOCOL_SMTP)
        sound = false;
    if (!sound) {
        task_answer(task, STATUS_MALFORMED);
        return;
    }
    if (!binding_get(keeper, task->client, task->session, login->session)) {
        task_answer(task, STATUS_BUSY);
        return;
    }
    find_account(task, authzid);
    msec now = keeper_now(keeper);
    msec delay =
        keeper->settings->auth_throttle ? throttle_delay(&keeper->throttle, login->stated, login->peer, now) : 0;
    if (delay == 0) {
        begin(task);
        return;
    }
    if (keeper->delayed_count >= LIMIT_DELAYED_LOGINS) {
        refuse_busy(task);
        return;
    }
    task->due = now + wait_for(keeper, login->peer, delay);
    task_wait(task, &keeper->delayed, &keeper->delayed_count);
}

void login_delayed(struct keeper *keeper)
{
    msec now = keeper_now(keeper);
    for (struct list *node = keeper->delayed.next, *next; node != &keeper->delayed; node = next) {
        next = node->next;
        struct task *task = list_element(node, struct task, waiting);
        if (task->due > now)
            continue;
        task_resume(task);
        begin(task);
    }
}

void serve_login(struct task *task)
{
    if (task_keep(task) != STATUS_OK) {
        task_answer(task, STATUS_TOO_BIG);
        return;
    }
    const struct ask_login *ask = &task->ask.login;
    struct login *login = task_state(task, sizeof *login);
    *login = (struct login){ .name = ask->name,
        .session = ask->from.session,
        .peer = ask->from.peer,
        .local = ask->from.local,
        .protocol = ask->from.protocol,
        .mechanism = ask->from.mechanism,
        .encrypted = ask->from.encrypted != 0 };
    limit_to_lane(task->keeper, login, false, ask->from.device_only != 0);
    start(task, ask->authzid);
}

void serve_login_digest(struct task *task)
{
    if (task_keep(task) != STATUS_OK || task->ask.login_digest.digest.len != 16) {
        task_answer(task, STATUS_MALFORMED);
        return;
    }
    const struct ask_login_digest *ask = &task->ask.login_digest;
    struct login *login = task_state(task, sizeof *login);
    *login = (struct login){ .name = ask->name,
        .session = ask->from.session,
        .peer = ask->from.peer,
        .local = ask->from.local,
        .protocol = ask->from.protocol,
        .mechanism = MECHANISM_APOP,
        .encrypted = ask->from.encrypted != 0 };
    limit_to_lane(task->keeper, login, true, true);
    start(task, NO_SLICE);
}

/* login_judge.c - the secret was looked at: may it be used in this way, and what does it open?
 *
 * Whatever is wrong, the answer is the same one (C073). */
#include "keeper/login.h"
#include "proto/refusal.h"

/* As the log has it. */
static const char *protocol_word(uint8_t protocol)
{
    return protocol == PROTOCOL_SMTP ? "smtp" : protocol == PROTOCOL_POP3 ? "pop3" : "imap";
}

/* A device that may only open leases logs in by POP3, too: reader.c shows it an empty maildrop. */
static uint8_t rights_for(uint8_t protocol)
{
    return protocol == PROTOCOL_SMTP   ? RIGHT_SMTP
           : protocol == PROTOCOL_POP3 ? RIGHT_POP3 | RIGHT_LEASE
                                       : RIGHT_IMAP;
}

/* Who allowed SCRAM has nothing against its better form. */
static uint32_t widened(uint32_t mechanisms)
{
    if (mechanisms & BIT(MECHANISM_SCRAM_SHA_1))
        mechanisms |= BIT(MECHANISM_SCRAM_SHA_1_PLUS);
    if (mechanisms & BIT(MECHANISM_SCRAM_SHA_256))
        mechanisms |= BIT(MECHANISM_SCRAM_SHA_256_PLUS);
    return mechanisms;
}

/* NULL: the device may do this. */
static const char *device_refusal(const struct login *login, const struct device *device)
{
    if (!device)
        return "device-revoked";
    if (device->expires && device->expires <= clock_wall())
        return "device-expired";
    if (!(device->rights & rights_for(login->protocol)))
        return "device-protocol";
    if (device->mechanisms && !(widened(device->mechanisms) & BIT(login->mechanism)))
        return "device-mechanism";
    if (device->networks.count > 0 && !networks_have(device->networks, login->peer))
        return "device-network";
    return NULL;
}

/* What the one who is refused is never told, the administrator is: the true reason. */
static void remember_refusal(struct keeper *keeper, const struct login *login, enum login_verdict verdict)
{
    struct refused refused = { .name = login->name, .session = login->session, .detail = slice_of(login->reason),
        .peer = login->peer, .account = login->account, .protocol = login->protocol,
        .code = verdict == LOGIN_WRONG      ? REFUSAL_LOGIN
                : verdict == LOGIN_TOO_SOON ? REFUSAL_LOGIN_SOON
                                            : REFUSAL_LOGIN_BUSY };
    refusals_note(&keeper->refusals, &refused, clock_wall());
}

static void refuse(struct task *task, enum login_verdict verdict)
{
    struct login *login = task->state;
    struct keeper *keeper = task->keeper;
    const struct account *account = directory_account(&keeper->directory, login->account);
    LOG(LOG_INFO, "login.failed", LOG_TEXT("session", login->session),
        LOG_WORD("protocol", protocol_word(login->protocol)),
        LOG_WORD("mechanism", mechanism_name((enum mechanism)login->mechanism)), LOG_TEXT("name", login->name),
        LOG_TEXT("account", account ? account->address : NO_SLICE), LOG_IP("peer", login->peer),
        LOG_WORD("reason", login->reason));
    remember_refusal(keeper, login, verdict);
    task->answer.login = (struct answer_login){ .verdict = (uint8_t)verdict };
    task_answer(task, STATUS_OK);
}

void login_busy(struct task *task)
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
    if (keeper->settings->auth_throttle) {
        struct throttle_try attempt = login_attempt(task);
        throttle_failed(&keeper->throttle, &attempt, now);
    }
    if (login->account)
        lease_failed(&keeper->leases, login->account, login->peer, now);
    refuse(task, LOGIN_WRONG);
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

static void log_accepted(const struct login *login, const struct account *account, const struct device *device)
{
    LOG(LOG_INFO, "login.ok", LOG_TEXT("session", login->session), LOG_WORD("protocol", protocol_word(login->protocol)),
        LOG_WORD("mechanism", mechanism_name((enum mechanism)login->mechanism)), LOG_TEXT("account", account->address),
        LOG_TEXT("device", device ? device->name : NO_SLICE), LOG_IP("peer", login->peer),
        LOG_NUMBER("tls", login->encrypted));
}

static void bind_session(struct binding *binding, const struct login *login, struct account *account, struct device *device)
{
    binding->account = account->id;
    binding->generation = account->generation;
    binding->device = login->device;
    binding->protocol = login->protocol;
    binding->rights = device ? device->rights : RIGHTS_ALL;
    account->last_login = clock_wall();
    account->seen = true;
    account->uses_auth = account->uses_auth || (login->protocol == PROTOCOL_SMTP && !device);
    if (device) {
        device->last_used = account->last_login;
        device->seen = true;
    }
}

/* An account that was never used before has no usual places: then nothing is told. */
static bool note_place(struct keeper *keeper, const struct account *account, struct ip peer)
{
    bool has_others = place_has(&keeper->places, account->id);
    return place_note(&keeper->places, account->id, peer, clock_wall()) && has_others;
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
    struct throttle_try attempt = login_attempt(task);
    /* From now on he is at home here, with a counter of his own: that of his namesakes is not his to clear. */
    if (attempt.is_home)
        throttle_passed(&keeper->throttle, &attempt);
    if (is_too_soon(keeper, account, login->protocol)) {
        login->reason = "login-delay";
        refuse(task, LOGIN_TOO_SOON);
        return;
    }
    bool lease = login_open_lease(task, account, device);
    if (note_place(keeper, account, login->peer) && lease)
        notice_new_place(keeper, account, device, login->peer, login->protocol);
    bind_session(binding, login, account, device);
    keeper->session_count++;
    log_accepted(login, account, device);
    task->answer.login = (struct answer_login){ .address = address,
        .account = account->id,
        .verdict = LOGIN_OK,
        .lease = lease };
    if (task->ask.kind == ASK_LOGIN_SCRAM)
        task->answer.login.signature = (struct slice){ login->signature, scram_key_size(login_scram_hash(login->mechanism)) };
    task_answer(task, STATUS_OK);
}

static const char *reason_against(const struct settings *settings, const struct login *login,
    const struct account *account, const struct device *device)
{
    if (login->reason)
        return login->reason; /* found before */
    if (!(settings->auth_mechanisms & BIT(login->mechanism)))
        return "mechanism-off"; /* a session of before SIGHUP, or a gate that lies */
    if (!account)
        return "unknown-name";
    if (!login->right && !login->try_person)
        return "no-device-password"; /* a person's may be right, and was not looked at */
    if (!login->right)
        return login_scram_lacks_keys(login) ? "no-scram-verifier" : "wrong-password";
    if (!account->enabled || account->generation != login->generation)
        return "disabled";
    return login->device ? device_refusal(login, device) : NULL;
}

void login_judge(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct login *login = task->state;
    struct account *account = directory_account(&keeper->directory, login->account);
    struct device *device = login->device ? directory_device(&keeper->directory, login->device) : NULL;
    if (!task->client) {
        task_drop(task);
        return;
    }
    if (login->remade.count > 0 && account && task->status == STATUS_OK)
        rehash_devices(keeper, account, &login->remade);
    login->reason = reason_against(keeper->settings, login, account, device);
    if (login->reason) {
        refuse_wrong(task);
        return;
    }
    if (task->ask.kind == ASK_LOGIN)
        login_remember(keeper, login);
    if (task->ask.kind == ASK_LOGIN && login->hashing && login->device == 0)
        rehash_password(keeper, account, task->ask.login.secret);
    accept_login(task, account, device);
}

void login_found(struct task *task, uint32_t account, uint32_t device, const char *reason)
{
    struct login *login = task->state;
    const struct account *found = directory_account(&task->keeper->directory, account);
    login->account = found ? found->id : 0;
    login->generation = found ? found->generation : 0;
    login->device = device;
    login->right = found && !reason;
    login->reason = reason;
    login_judge(task);
}

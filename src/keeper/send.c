/* send.c - MAIL, RCPT, STAGE: who may send to whom. */
#include "keeper/impl.h"
#include "keeper/standing.h"

static bool is_device_network(const struct settings *settings, struct ip peer)
{
    return networks_have(settings->legacy_networks, peer) || networks_have(settings->auth_plaintext_networks, peer) ||
           networks_have(settings->relay_networks, peer);
}

/* `said`: what the gate said, believed as far as its role allows. */
static bool may_submit(struct task *task, uint8_t said, struct ip peer)
{
    /* The pool for people takes nothing but submissions; the one for strangers only from listed networks. */
    if (task->client->role == ROLE_USER)
        return true;
    return said && is_device_network(task->keeper->settings, peer);
}

/* DESIGN 8: without TLS a lease is usable in the listed networks only. */
static bool may_use_lease(const struct keeper *keeper, const struct binding *binding)
{
    const struct transaction *t = &binding->transaction;
    return !binding->auth_failed &&
           (t->encrypted || networks_have(keeper->settings->auth_plaintext_networks, t->peer) ||
               networks_have(keeper->settings->legacy_networks, t->peer));
}

/* What a transaction has begun to use stays its own. */
static bool is_pinned_elsewhere(const struct keeper *keeper, const struct transaction *t, const struct lease *lease)
{
    return keeper->settings->lease_pin_helo && t->hold.lease != lease->id &&
           !pin_fits(&keeper->pins, lease->account, lease->device, slice_of(t->helo));
}

/* The lease that this transaction holds; or, among those at the address, the one whose account owns the sender. */
static void find_lease(struct keeper *keeper, const struct binding *binding, struct standing *right)
{
    const struct transaction *t = &binding->transaction;
    msec now = keeper_now(keeper);
    if (!may_use_lease(keeper, binding))
        return;
    for (const struct lease *lease = NULL; (lease = lease_at(&keeper->leases, t->peer, lease, now));) {
        struct account *account = directory_account(&keeper->directory, lease->account);
        if (!account || !account->enabled || (t->hold.lease && t->hold.lease != lease->id))
            continue;
        /* One that has no right to this sender counts only where nothing better is there: the refusal then says why. */
        bool owns = directory_owns(&keeper->directory, account, slice_of(t->sender));
        if (is_pinned_elsewhere(keeper, t, lease)) {
            right->facts.other_helo = right->facts.other_helo || owns; /* whose it is not, is told nothing of it */
            continue;
        }
        if (!owns && (right->facts.has_lease || right->facts.listed_network))
            continue;
        right->facts.has_lease = true;
        right->facts.sender_is_theirs = owns;
        right->facts.internal_only = lease->internal_only;
        right->facts.lease_has_room =
            (t->hold.message || lease_messages_left(lease) > 0) && lease_recipients_left(lease) > 0;
        right->account = account;
        right->lease = lease;
        if (owns && right->facts.lease_has_room)
            return;
    }
}

static const struct lease *of_other_family(struct keeper *keeper, const struct transaction *t, const struct account *account)
{
    for (const struct lease *lease = NULL; (lease = lease_of(&keeper->leases, account->id, lease, keeper_now(keeper)));)
        if (ip_is_v4(lease->peer) != ip_is_v4(t->peer) && !is_pinned_elsewhere(keeper, t, lease))
            return lease;
    return NULL;
}

/* C104: is there one at an address of the other family, that would do here?  Of the same family it could be anybody's
 * neighbour, and nobody is told his address. */
static void find_other_family(struct task *task, const struct binding *binding, struct standing *right)
{
    struct keeper *keeper = task->keeper;
    const struct transaction *t = &binding->transaction;
    const struct relay_facts *facts = &right->facts;
    struct resolution found;
    bool has_proof = facts->logged_in || facts->has_lease || facts->listed_network;
    if (!facts->submission || has_proof || facts->sender_is_null || !may_use_lease(keeper, binding) ||
        directory_resolve(&keeper->directory, slice_of(t->sender), &task->arena, &found) != STATUS_OK)
        return;
    for (const struct target *target = found.targets; target; target = target->next) {
        const struct account *account = target->account ? directory_account(&keeper->directory, target->account) : NULL;
        const struct lease *lease = account && account->enabled ? of_other_family(keeper, t, account) : NULL;
        if (!lease || !directory_owns(&keeper->directory, account, slice_of(t->sender)) ||
            !throttle_may_tell(&keeper->throttle, account->address, t->peer, keeper_now(keeper)))
            continue;
        right->facts.other_address = true;
        right->other = lease;
        return;
    }
}

struct standing standing_of(struct task *task, const struct binding *binding)
{
    struct keeper *keeper = task->keeper;
    struct standing right = { 0 };
    right.facts.submission = task->client->role == ROLE_USER;
    if (!binding || !binding->transaction.open)
        return right;
    const struct transaction *t = &binding->transaction;
    struct slice sender = slice_of(t->sender);
    right.facts.device_port = t->device_port;
    if (t->from_outside)
        return right;
    right.facts.sender_is_null = sender.len == 0;
    right.facts.listed_network = networks_have(keeper->settings->relay_networks, t->peer);
    struct account *account = binding_account(keeper, binding);
    if (account && (binding->rights & RIGHT_SMTP)) {
        right.facts.logged_in = true;
        right.facts.sender_is_theirs = directory_owns(&keeper->directory, account, sender);
        right.facts.internal_only = (binding->rights & RIGHT_INTERNAL_ONLY) != 0;
        right.account = account;
        return right;
    }
    find_lease(keeper, binding, &right);
    if (!right.facts.has_lease && right.facts.listed_network)
        right.facts.sender_is_theirs = directory_has_owner(&keeper->directory, sender);
    return right;
}

static void log_lease_use(struct task *task, const struct standing *right, const char *event, enum mail_verdict verdict)
{
    const struct binding *binding = binding_find(task->keeper, task->client, task->session);
    const char *reason = verdict == MAIL_LEASE_USED_UP    ? "used-up"
                         : verdict == MAIL_FOREIGN_SENDER ? "foreign-sender"
                                                          : "refused";
    LOG(LOG_INFO, event, LOG_NUMBER("lease", right->lease->id), LOG_TEXT("account", right->account->address),
        LOG_IP("peer", right->lease->peer), LOG_WORD("session", binding->name), LOG_WORD("reason", reason));
}

/* C104, C096: what was told, and to whom; a neighbour who tries names shows here. */
static void log_near_miss(const struct standing *right, const struct binding *binding, enum mail_verdict verdict)
{
    const struct transaction *t = &binding->transaction;
    LOG(LOG_INFO, "lease.refused", LOG_TEXT("sender", slice_of(t->sender)), LOG_IP("peer", t->peer),
        LOG_IP("other", right->other ? right->other->peer : t->peer), LOG_TEXT("helo", slice_of(t->helo)),
        LOG_WORD("session", binding->name), LOG_WORD("reason", verdict == MAIL_OTHER_HELO ? "other-helo" : "other-family"));
}

/* A text that a gate calls an address: something@something, or nothing at all. */
static bool is_address(struct slice text)
{
    return text.len == 0 || (slice_find_last(text, '@') < text.len && !slice_has_control(text) && slice_is_utf8(text));
}

static char *text_copy(struct slice text)
{
    char *copy = alloc(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return copy;
}

static struct binding *open_transaction(struct task *task, const struct ask_mail *ask)
{
    struct binding *binding = binding_get(task->keeper, task->client, task->session, ask->session);
    if (!binding)
        return NULL;
    struct transaction *t = &binding->transaction;
    t->open = true;
    t->device_port = task->client->role != ROLE_USER;
    t->encrypted = ask->encrypted != 0;
    t->peer = ask->peer;
    t->sender = text_copy(ask->sender);
    t->helo = text_copy(ask->helo);
    return binding;
}

/* What the administrator is told of it besides (refusals.h). */
static struct slice mail_detail(struct task *task, const struct standing *right, const struct transaction *t, enum mail_verdict verdict)
{
    char text[IP_TEXT];
    struct slice detail = NO_SLICE;
    if (verdict == MAIL_FOREIGN_SENDER)
        detail = slice_of(t->sender);
    else if (verdict == MAIL_OTHER_HELO)
        detail = slice_of(t->helo);
    else if (verdict == MAIL_OTHER_ADDRESS && right->other)
        detail = (struct slice){ text, ip_text(right->other->peer, text) };
    return arena_copy(&task->arena, detail, &detail) == STATUS_OK ? detail : NO_SLICE;
}

void serve_mail(struct task *task)
{
    const struct ask_mail *ask = &task->ask.mail;
    struct answer_mail *answer = &task->answer.mail;
    struct binding *binding = binding_find(task->keeper, task->client, task->session);
    if (binding)
        binding_end_transaction(task->keeper, binding);
    if (!is_address(ask->sender)) {
        task_answer(task, STATUS_MALFORMED);
        return;
    }
    if (!may_submit(task, ask->submission, ask->peer)) {
        *answer = (struct answer_mail){ .verdict = MAIL_OK, .proof = PROOF_NONE };
        task_answer(task, STATUS_OK);
        return;
    }
    binding = open_transaction(task, ask);
    if (!binding) {
        task_answer(task, STATUS_BUSY);
        return;
    }
    struct standing right = standing_of(task, binding);
    find_other_family(task, binding, &right);
    struct relay_verdict verdict = relay_mail(&right.facts);
    *answer = (struct answer_mail){ .verdict = (uint8_t)verdict.verdict, .proof = (uint8_t)verdict.proof };
    if (verdict.proof == PROOF_LEASE && right.lease)
        answer->lease = right.lease->id;
    if (verdict.verdict == MAIL_OTHER_ADDRESS && right.other)
        answer->other = right.other->peer;
    binding->transaction.from_outside = verdict.verdict == MAIL_OK && verdict.proof == PROOF_NONE;
    if (verdict.verdict != MAIL_OK) {
        refusals_of_mail(task, binding, right.account, (uint8_t)verdict.verdict, 
            mail_detail(task, &right, &binding->transaction, verdict.verdict));
        if (right.lease)
            log_lease_use(task, &right, "lease.refused", verdict.verdict);
        else if (verdict.verdict == MAIL_OTHER_ADDRESS || verdict.verdict == MAIL_OTHER_HELO)
            log_near_miss(&right, binding, verdict.verdict);
        binding_end_transaction(task->keeper, binding);
    }
    task_answer(task, STATUS_OK);
}

void serve_rcpt(struct task *task)
{
    struct binding *binding = binding_find(task->keeper, task->client, task->session);
    struct resolution found;
    enum status status = directory_resolve(&task->keeper->directory, task->ask.rcpt.recipient, &task->arena, &found);
    if (status != STATUS_OK) {
        task_answer(task, status);
        return;
    }
    struct standing right = standing_of(task, binding);
    right.facts.domain_is_ours = found.ours;
    right.facts.recipient_exists = found.count > 0 || found.disabled || found.endless;
    right.facts.recipient_disabled = found.disabled && found.count == 0;
    right.facts.domain_is_bare = found.bare;
    struct relay_verdict verdict = relay_rcpt(&right.facts);
    if (verdict.verdict == MAIL_OK && found.endless)
        verdict.verdict = MAIL_TOO_MANY_TARGETS;
    if (verdict.verdict == MAIL_OK && verdict.proof == PROOF_LEASE &&
        !(binding && right.lease &&
            lease_reserve(&task->keeper->leases, &binding->transaction.hold, right.lease->id, 1, keeper_now(task->keeper))))
        verdict.verdict = MAIL_LEASE_USED_UP;
    if (verdict.verdict == MAIL_LEASE_USED_UP && right.lease)
        log_lease_use(task, &right, "lease.refused", MAIL_LEASE_USED_UP);
    if (verdict.verdict != MAIL_OK && binding && binding->transaction.open)
        refusals_of_mail(task, binding, right.account, (uint8_t)verdict.verdict, task->ask.rcpt.recipient);
    task->answer.rcpt = (struct answer_rcpt){ .verdict = (uint8_t)verdict.verdict, .local = found.ours };
    task_answer(task, STATUS_OK);
}

void serve_stage(struct task *task)
{
    struct keeper *keeper = task->keeper;
    uint64_t announced = task->ask.stage.announced;
    if (task->client && !list_is_empty(&task->client->late)) { /* whoever does not read is lent no more descriptors */
        task_answer(task, STATUS_BUSY);
        return;
    }
    if (!keeper_has_room(keeper, announced > LIMIT_INLINE_BODY ? announced : LIMIT_INLINE_BODY)) {
        task->answer.stage.verdict = MAIL_DISK_FULL;
        task_answer(task, STATUS_OK);
        return;
    }
    int fd;
    enum status status = body_stage(&keeper->bodies, &fd);
    if (status == STATUS_OK) {
        task->answer.fd = fd;
        task->answer.stage.verdict = MAIL_OK;
    }
    task_answer(task, status);
}

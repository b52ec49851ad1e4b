/* deliver.c - DELIVER: takes a message.  Everything is decided anew here, whatever was said at RCPT: a gate that lies
 * gains nothing.
 *
 * decide (loop) -> pack (loop up to 16 KiB, pool above) -> write (group commit) -> answer. */
#include "keeper/impl.h"
#include "keeper/parcel.h"
#include "keeper/standing.h"

#define TARGETS_MAX                                                                                                    \
    (2 * LIMIT_RECIPIENTS + LIMIT_ALIAS_TARGETS) /* of each kind, in one message: they are compared with each other */

struct delivery {
    struct parcel parcel;
    struct store_message message;
    struct store_target *targets;
    struct store_remote *remotes;
    size_t target_room, remote_room;
    size_t notices; /* of the remotes: delivered here, and to be told of */
    struct lease_hold hold;
    uint32_t lease, account; /* whose right it is, for the log */
    uint32_t device;         /* whose password opened the lease */
    struct slice helo;       /* what it may be pinned to */
    struct slice foreign;    /* FORGED_AUTHOR: whose address it is not */
    enum proof proof;
    struct slice id, session;
    struct ip peer;
    uint64_t queue_id;
    bool needed; /* the body's file, if it has one */
};

static void discard(struct task *task)
{
    struct delivery *d = task->state;
    lease_give_back(&task->keeper->leases, &d->hold);
    parcel_done(&d->parcel, d->needed);
}

static void refuse(struct task *task, enum mail_verdict verdict)
{
    task->answer.deliver.verdict = (uint8_t)verdict;
    task_answer(task, STATUS_OK);
}

/* ---- decide ------------------------------------------------------------------------------------------------------ */

/* RFC 6409 6.1, C092: From and Sender must belong to whoever sends. */
static bool authors_fit(struct task *task, const struct standing *right, struct slice *out_foreign)
{
    struct rows authors = task->ask.deliver.authors;
    const struct directory *d = &task->keeper->directory;
    for (uint32_t i = 0; i < authors.count; i++) {
        struct slice author = row_of(struct deliver_author, authors, i)->address;
        if (!(right->account ? directory_owns(d, right->account, author) : directory_has_owner(d, author))) {
            *out_foreign = author;
            return false;
        }
    }
    return true;
}

static void *grow(struct arena *arena, void *rows, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return rows;
    size_t more = *room ? *room * 2 : 4;
    void *copy = arena_take_rows(arena, more, size);
    if (copy && count > 0)
        memcpy(copy, rows, count * size);
    *room = more;
    return copy;
}

static enum status add_local(struct task *task, struct delivery *d, uint32_t account)
{
    /* Once per account, however many recipients lead to it: one mailbox, one copy. */
    for (size_t i = 0; i < d->message.target_count; i++)
        if (d->targets[i].account == account)
            return STATUS_OK;
    d->targets = grow(&task->arena, d->targets, d->message.target_count, &d->target_room, sizeof *d->targets);
    if (!d->targets || d->message.target_count == TARGETS_MAX)
        return STATUS_TOO_BIG;
    d->targets[d->message.target_count++].account = account;
    return STATUS_OK;
}

static enum status add_remote(struct task *task, struct delivery *d, const struct store_remote *fresh)
{
    for (size_t i = 0; i < d->message.remote_count; i++)
        if (!d->remotes[i].delivered == !fresh->delivered && slice_equal(d->remotes[i].address, fresh->address))
            return STATUS_OK;
    d->remotes = grow(&task->arena, d->remotes, d->message.remote_count, &d->remote_room, sizeof *d->remotes);
    if (!d->remotes || d->message.remote_count == TARGETS_MAX)
        return STATUS_TOO_BIG;
    struct store_remote *remote = &d->remotes[d->message.remote_count];
    *remote = *fresh;
    TRY(arena_copy(&task->arena, fresh->address, &remote->address));
    TRY(arena_copy(&task->arena, fresh->orcpt, &remote->orcpt));
    remote->domain = slice_from(remote->address, slice_find_last(remote->address, '@') + 1);
    d->message.remote_count++;
    d->notices += remote->delivered != DELIVERED_NO;
    return STATUS_OK;
}

/* NOTIFY without its SUCCESS; where that was all of it, nothing is to be told (RFC 3461 4.1: an empty set is NEVER). */
static uint8_t without_success(uint8_t notify)
{
    uint8_t rest = notify & (uint8_t)~DSN_SUCCESS;
    return notify && !rest ? DSN_NEVER : rest;
}

/* RFC 3461 5.2.7.2: where one leads to one, a forwarding carries on what the sender asked for, and a mailbox is the
 * delivery; 5.2.7.3 (c): where it leads to several, they get it without SUCCESS, and "expanded" is said once. */
static enum status add_targets(struct task *task, struct delivery *d, const struct deliver_recipient *recipient,
    const struct resolution *found)
{
    bool several = found->count > 1;
    struct store_remote notice = { .address = recipient->address,
        .orcpt = recipient->orcpt,
        .notify = recipient->notify,
        .delivered = several ? DELIVERED_EXPANDED : found->targets->account ? DELIVERED_HERE : DELIVERED_NO };
    struct store_remote remote = { .orcpt = recipient->orcpt,
        .notify = several ? without_success(recipient->notify) : recipient->notify };
    for (const struct target *t = found->targets; t; t = t->next) {
        remote.address = t->remote;
        TRY(t->account ? add_local(task, d, t->account) : add_remote(task, d, &remote));
    }
    /* RFC 3461 6.1: never to the null sender. */
    bool told = (recipient->notify & DSN_SUCCESS) != 0 && notice.delivered && task->ask.deliver.sender.len > 0;
    return told ? add_remote(task, d, &notice) : STATUS_OK;
}

static enum status add_recipient(struct task *task, struct delivery *d, struct standing *right,
    const struct deliver_recipient *recipient, enum mail_verdict *out_verdict)
{
    struct resolution found;
    TRY(directory_resolve(&task->keeper->directory, recipient->address, &task->arena, &found));
    right->facts.domain_is_ours = found.ours;
    right->facts.recipient_exists = found.count > 0 || found.disabled || found.endless;
    right->facts.recipient_disabled = found.disabled && found.count == 0;
    right->facts.domain_is_bare = found.bare;
    struct relay_verdict verdict = relay_rcpt(&right->facts);
    if (verdict.verdict == MAIL_OK && found.endless)
        verdict.verdict = MAIL_TOO_MANY_TARGETS;
    *out_verdict = verdict.verdict;
    if (verdict.verdict != MAIL_OK)
        return STATUS_OK;
    return add_targets(task, d, recipient, &found);
}

/* The lease must be there still, and reserved for all that is asked for now. */
static enum mail_verdict claim_lease(struct task *task, struct binding *binding, const struct standing *right)
{
    struct lease_hold *hold = &binding->transaction.hold;
    uint32_t count = task->ask.deliver.recipients.count;
    uint32_t more = count > hold->recipients ? count - hold->recipients : 0;
    if (hold->message && more == 0)
        return MAIL_OK;
    return lease_reserve(&task->keeper->leases, hold, right->lease->id, more, keeper_now(task->keeper))
               ? MAIL_OK
               : MAIL_LEASE_USED_UP;
}

static enum mail_verdict judge_sender(
    struct task *task, struct binding *binding, struct delivery *d, struct standing *right)
{
    bool had_lease = binding && binding->transaction.hold.lease != 0;
    *right = standing_of(task, binding);
    if (had_lease && right->facts.has_lease)
        right->facts.lease_has_room = true; /* reserved */
    struct relay_verdict verdict = relay_mail(&right->facts);
    if (verdict.verdict == MAIL_PROVE_YOURSELF && had_lease)
        return MAIL_LEASE_OVER;
    if (verdict.verdict != MAIL_OK || verdict.proof == PROOF_NONE)
        return verdict.verdict;
    must(binding); /* nobody else has a proof */
    if (!slice_equal(slice_of(binding->transaction.sender), task->ask.deliver.sender))
        return MAIL_FOREIGN_SENDER; /* another one than at MAIL */
    if (!authors_fit(task, right, &d->foreign))
        return MAIL_FORGED_AUTHOR;
    d->proof = verdict.proof;
    d->peer = binding->transaction.peer;
    d->account = right->account ? right->account->id : 0;
    if (verdict.proof != PROOF_LEASE)
        return MAIL_OK;
    d->lease = right->lease->id;
    d->device = right->lease->device;
    if (arena_copy(&task->arena, slice_of(binding->transaction.helo), &d->helo) != STATUS_OK)
        return MAIL_TEMPORARY;
    return claim_lease(task, binding, right);
}

/* Fills in the delivery, or says why not.  *out_status: whether the question could be judged at all. */
static enum mail_verdict decide(struct task *task, struct binding *binding, struct delivery *d, enum status *out_status)
{
    const struct ask_deliver *ask = &task->ask.deliver;
    struct standing right;
    *out_status = STATUS_OK;
    enum mail_verdict verdict = judge_sender(task, binding, d, &right);
    if (verdict == MAIL_OK && right.lease)
        right.facts.lease_has_room = true; /* claim_lease() has seen to it */
    for (uint32_t i = 0; verdict == MAIL_OK && i < ask->recipients.count; i++) {
        *out_status = add_recipient(task, d, &right, row_of(struct deliver_recipient, ask->recipients, i), &verdict);
        if (*out_status != STATUS_OK)
            return MAIL_TEMPORARY;
    }
    return verdict;
}

/* ---- pack and write ---------------------------------------------------------------------------------------------- */

static enum status pack_all(struct task *task)
{
    struct delivery *d = task->state;
    const struct ask_deliver *ask = &task->ask.deliver;
    TRY(parcel_put(&d->parcel, ask->return_path));
    TRY(parcel_put(&d->parcel, ask->prefix));
    if (ask->staged > 0)
        TRY(parcel_put_fd(&d->parcel, task->ask.fd, ask->staged));
    else
        TRY(parcel_put(&d->parcel, ask->body));
    return parcel_finish(&d->parcel);
}

static enum status pack_work(struct task *task, struct store *none)
{
    (void)none;
    return pack_all(task);
}

static enum status write_work(struct task *task, struct store *store)
{
    struct delivery *d = task->state;
    return store->verbs->deliver(store, &d->message, &d->queue_id);
}

static const char *proof_name(enum proof proof)
{
    static const char *const names[] = { "none", "login", "lease", "network" };
    return names[proof];
}

static void log_taken(struct task *task, const struct delivery *d)
{
    const struct account *account = directory_account(&task->keeper->directory, d->account);
    struct slice name = account ? account->address : NO_SLICE;
    LOG(LOG_INFO, "mail.stored", LOG_TEXT("session", d->session), LOG_TEXT("id", d->id),
        LOG_TEXT("sender", d->message.sender), LOG_NUMBER("size", d->message.body.size),
        LOG_NUMBER("mailboxes", d->message.target_count), LOG_NUMBER("remote", d->message.remote_count - d->notices), LOG_NUMBER("notices", d->notices),
        LOG_NUMBER("queue", d->queue_id), LOG_WORD("proof", proof_name(d->proof)), LOG_TEXT("account", name));
    if (d->lease)
        LOG(LOG_INFO, "lease.used", LOG_NUMBER("lease", d->lease), LOG_TEXT("account", name), LOG_IP("peer", d->peer),
            LOG_TEXT("session", d->session), LOG_TEXT("id", d->id), LOG_NUMBER("recipients", d->hold.recipients));
}

/* Not where it was revoked meanwhile: what is forgotten stays so. */
static void pin_lease(struct keeper *keeper, const struct delivery *d)
{
    if (d->lease && keeper->settings->lease_pin_helo && lease_find(&keeper->leases, d->lease, keeper_now(keeper)))
        pin_note(&keeper->pins, d->account, d->device, d->helo);
}

static void written(struct task *task)
{
    struct delivery *d = task->state;
    d->needed = parcel_is_needed(task->status);
    if (task->status == STATUS_OK) {
        log_taken(task, d);
        lease_commit(&task->keeper->leases, &d->hold);
        pin_lease(task->keeper, d);
        if (d->queue_id)
            queue_wake(task->keeper);
        task->answer.deliver.verdict = MAIL_OK;
    } else {
        LOG(LOG_ERROR, "mail.not-stored", LOG_TEXT("session", d->session), LOG_TEXT("id", d->id),
            LOG_STATUS(task->status));
    }
    task_answer(task, task->status);
}

static void packed(struct task *task)
{
    struct delivery *d = task->state;
    if (task->status != STATUS_OK) {
        LOG(LOG_ERROR, "mail.not-packed", LOG_TEXT("session", d->session), LOG_TEXT("id", d->id),
            LOG_STATUS(task->status));
        task_answer(task, task->status);
        return;
    }
    d->message.body = parcel_body(&d->parcel);
    d->message.pop3_size = d->message.body.size + task->ask.deliver.growth;
    task->octets = d->message.body.packed.len;
    task_go(task, STAGE_WRITE, write_work, written);
}

/* What the store needs of the ask, apart from the body, outlives the frame. */
static enum status keep_envelope(struct task *task, struct delivery *d)
{
    const struct ask_deliver *ask = &task->ask.deliver;
    struct store_message *m = &d->message;
    TRY(arena_copy(&task->arena, ask->id, &d->id));
    TRY(arena_copy(&task->arena, task_name(task), &d->session));
    TRY(arena_copy(&task->arena, ask->sender, &m->sender));
    TRY(arena_copy(&task->arena, ask->envid, &m->envid));
    m->session = d->id;
    m->received = clock_wall();
    m->targets = d->targets;
    m->remotes = d->remotes;
    m->skip = (uint32_t)ask->return_path.len;
    m->body_type = ask->body_type;
    m->utf8 = ask->utf8;
    m->ret = ask->ret;
    return STATUS_OK;
}

static uint64_t plain_size(const struct ask_deliver *ask)
{
    return ask->return_path.len + ask->prefix.len + (ask->staged ? ask->staged : ask->body.len);
}

/* False: no gate of ours would say this. */
static bool is_sound(const struct task *task)
{
    const struct ask_deliver *ask = &task->ask.deliver;
    return ask->recipients.count > 0 && (task->ask.fd >= 0) == (ask->staged > 0) &&
           (ask->staged == 0 || ask->body.len == 0) && ask->staged <= UINT32_MAX &&
           ask->growth <= plain_size(ask) + 2 && /* one for each octet, and a last CRLF */
           plain_size(ask) + ask->growth <= UINT32_MAX;
}

void serve_deliver(struct task *task)
{
    struct keeper *keeper = task->keeper;
    const struct ask_deliver *ask = &task->ask.deliver;
    struct binding *binding = binding_find(keeper, task->client, task->session);
    struct delivery *d = task_state(task, sizeof *d);
    parcel_init(&d->parcel, &keeper->bodies);
    task->discard = discard;
    enum status status = is_sound(task) ? STATUS_OK : STATUS_MALFORMED;
    uint64_t size = plain_size(ask);
    if (status == STATUS_OK && size > keeper->settings->message_size_limit + 2 * LIMIT_PREFIX)
        status = STATUS_TOO_BIG;
    enum mail_verdict verdict = MAIL_TEMPORARY;
    if (status == STATUS_OK)
        verdict = keeper_has_room(keeper, size) ? decide(task, binding, d, &status) : MAIL_DISK_FULL;
    if (status == STATUS_OK && verdict == MAIL_OK)
        status = keep_envelope(task, d);
    if (status == STATUS_OK && verdict != MAIL_OK && binding && binding->transaction.open)
        refusals_of_mail(task, binding, binding_account(keeper, binding), (uint8_t)verdict, d->foreign);
    if (binding) {
        d->hold = binding->transaction.hold;
        binding->transaction.hold = (struct lease_hold){ 0 };
        binding_end_transaction(keeper, binding); /* OK or not, it is over */
    }
    if (status != STATUS_OK)
        task_answer(task, status);
    else if (verdict != MAIL_OK)
        refuse(task, verdict);
    else if (ask->staged == 0 && size <= LIMIT_PACK_ON_LOOP) {
        task->status = pack_all(task);
        packed(task);
    } else if (task_keep(task) != STATUS_OK)
        task_answer(task, STATUS_TOO_BIG);
    else
        task_go(task, STAGE_PACK, pack_work, packed);
}

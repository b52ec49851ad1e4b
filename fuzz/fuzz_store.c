/* fuzz_store.c - a store that somebody or something has damaged (image.h), opened as the writer and as a reader, with every verb tried on it.
 * What must hold is must(): no crash and no hang, whatever is in it; only statuses, and what comes with STATUS_OK keeps to its limits. */
#include "image.h"

#include "store/store.h"

#define ACCOUNTS 3u
#define PAGES    64 /* of one body: reading always comes to an end */
#define NOW      1795428246000ull

/* Every octet that is given out is read: AddressSanitizer looks at the whole range. */
static void touch(struct slice s)
{
    static char octets[1u << 20];
    must(s.len <= sizeof octets);
    if (s.len > 0)
        memmove(octets, s.ptr, s.len);
}

static enum status good(enum status status)
{
    must((unsigned)status < STATUS_COUNT);
    return status;
}

/* ---- what is read ------------------------------------------------------------------------------------------------------- */

static enum status see_account(void *context, const struct store_account *a)
{
    touch(a->address), touch(a->login), touch(a->password), touch(a->scram);
    ++*(uint32_t *)context;
    return STATUS_OK;
}

static enum status see_device(void *context, const struct store_device *d)
{
    touch(d->name), touch(d->sealed), touch(d->scram), touch(d->key), touch(d->from);
    ++*(uint32_t *)context;
    return STATUS_OK;
}

static enum status see_place(void *context, const struct store_place *place)
{
    touch((struct slice){ (const char *)place->address.octets, sizeof place->address.octets });
    ++*(uint32_t *)context;
    return STATUS_OK;
}

static enum status see_alias(void *context, const struct store_alias *alias)
{
    touch(alias->address), touch(alias->target);
    ++*(uint32_t *)context;
    return STATUS_OK;
}

static enum status see_domain(void *context, const struct store_domain *domain)
{
    touch(domain->name);
    ++*(uint32_t *)context;
    return STATUS_OK;
}

static void read_directory(struct store *store)
{
    const struct store_verbs *v = store->verbs;
    struct store_counts counts;
    uint32_t seen = 0;
    uint64_t room;
    good(v->each_account(store, 0, see_account, &seen));
    good(v->each_account(store, 2, see_account, &seen));
    good(v->each_device(store, 0, see_device, &seen));
    good(v->each_place(store, see_place, &seen));
    good(v->each_alias(store, see_alias, &seen));
    good(v->each_domain(store, see_domain, &seen));
    good(v->counts(store, &counts));
    good(v->free_octets(store, &room));
}

static void read_body(struct store *store, struct store_page page, size_t room)
{
    struct buf out = BUF(1u << 20);
    for (int i = 0; i < PAGES; i++) {
        uint64_t next = 0;
        buf_clear(&out);
        if (good(store->verbs->message_read(store, &page, room, &out, &next)) != STATUS_OK)
            break;
        touch(buf_slice(&out));
        must(next == 0 || (next > page.at && out.len > 0));
        page.at = next;
        if (next == 0)
            break;
    }
    buf_done(&out);
}

static void read_mail(struct store *store, uint32_t account, struct arena *arena)
{
    const struct store_verbs *v = store->verbs;
    struct ask_drop_list ask = { .after = 0, .until = 0 };
    struct answer_drop_list list;
    uint32_t messages, uid = 0;
    uint64_t octets, stored;
    good(v->usage(store, account, &messages, &octets));
    if (good(v->drop_list(store, account, &ask, arena, &list)) == STATUS_OK) {
        must(list.rows.count <= LIMIT_ROWS);
        for (uint32_t i = 0; i < list.rows.count; i++) {
            const struct drop_row *row = row_of(struct drop_row, list.rows, i);
            must(i == 0 || row->uid > row_of(struct drop_row, list.rows, i - 1)->uid);
            read_body(store, (struct store_page){ .account = account, .uid = row->uid }, i % 2 ? 1000 : LIMIT_PAGE);
        }
    }
    for (int i = 0; i < 10 && good(v->message_next(store, account, uid, UINT32_MAX, &messages, &stored)) == STATUS_OK; i++) {
        must(messages > uid);
        uid = messages;
    }
}

static void read_queue(struct store *store, struct arena *arena)
{
    const struct store_verbs *v = store->verbs;
    struct answer_queue_list list;
    struct answer_queue_show show;
    struct ask_queue_list ask = { 0 };
    uint64_t next = 0, at = 0;
    uint32_t skip;
    wall due;
    struct buf out = BUF(1u << 20);
    good(v->queue_next_due(store, &due));
    if (good(v->queue_list(store, &ask, arena, &list)) != STATUS_OK)
        list.rows.count = 0;
    must(list.rows.count <= LIMIT_ROWS);
    for (uint32_t i = 0; i < list.rows.count && i < 4; i++) {
        const struct queue_row *row = row_of(struct queue_row, list.rows, i);
        touch(row->sender), touch(row->recipient), touch(row->last_reply);
        good(v->queue_show(store, row->id, arena, &show));
        for (int page = 0; page < PAGES; page++, at = next) {
            buf_clear(&out);
            if (good(v->queue_read(store, row->id, at, LIMIT_PAGE, &out, &next, &skip)) != STATUS_OK || next == 0)
                break;
            must(next > at && out.len > 0);
        }
    }
    buf_done(&out);
}

static void read_all(struct store *store)
{
    struct arena arena = ARENA(8u << 20);
    good(store->verbs->begin(store));
    read_directory(store);
    for (uint32_t account = 1; account <= ACCOUNTS; account++)
        read_mail(store, account, &arena);
    read_queue(store, &arena);
    store->verbs->rollback(store);
    arena_done(&arena);
}

/* ---- what is written ---------------------------------------------------------------------------------------------------- */

static void write_directory(struct store *store, uint8_t what, uint32_t account)
{
    const struct store_verbs *v = store->verbs;
    struct store_account new = { .address = S("carol@our.test"), .password = S("$"), .enabled = true };
    struct store_device device = { .account = account, .name = S("printer"), .sealed = S("x"), .rights = 1 };
    struct store_place place = { .account = account, .last = 12 };
    struct store_rehash rehash = { .account = account, .expected = S("$6$salt$hash"), .password = S("$7"), .scram = S("s") };
    uint32_t id;
    switch (what % 12) {
    case 0: good(v->account_add(store, &new, &id)); break;
    case 1: good(v->account_password(store, account, S("$8"), S("s"))); break;
    case 2: good(v->account_rehash(store, &rehash)); break;
    case 3: good(v->account_set(store, account, true, true)); break;
    case 4: good(v->account_remove(store, account)); break;
    case 5: good(v->account_seen(store, account, NOW)); break;
    case 6: good(v->device_add(store, &device, &id)); break;
    case 7: good(v->device_remove(store, account)); break;
    case 8: good(v->place_seen(store, &place, 1)); break;
    case 9: good(v->place_forget(store, 100)); break;
    case 10: good(v->alias_remove(store, S("all@our.test"), NO_SLICE, &id)); break;
    default: good(v->domain_remove(store, S("our.test")));
    }
}

static void deliver(struct store *store, uint32_t account)
{
    const struct store_target targets[] = { { account }, { account } };
    const struct store_remote remote = { .address = S("x@y.example"), .domain = S("y.example") };
    struct store_message message = { .body = { .packed = S("(\265/\375 \1\11\0\0a"), .size = 1, .stored = 10 }, .received = NOW, .pop3_size = 3, .targets = targets,
        .target_count = 2, .remotes = &remote, .remote_count = 1, .sender = S("a@b.example"), .session = S("m0-1") };
    uint64_t id;
    good(store->verbs->deliver(store, &message, &id));
}

static void settle(struct store *store, struct arena *arena, uint8_t how)
{
    struct answer_claim claim;
    struct settle_recipient rows[LIMIT_CLAIM];
    struct ask_settle ask = { .recipients = { rows, 0 } };
    bool done;
    if (good(store->verbs->queue_claim(store, &(struct store_claim){ .now = NOW + DAYS(9), .term = NOW + DAYS(10), .owner = 1 }, arena, &claim)) != STATUS_OK)
        return;
    must(claim.recipients.count <= LIMIT_CLAIM);
    touch(claim.sender), touch(claim.envid);
    ask.id = claim.id;
    ask.recipients.count = claim.recipients.count;
    for (uint32_t i = 0; i < claim.recipients.count; i++) {
        const struct claim_recipient *recipient = row_of(struct claim_recipient, claim.recipients, i);
        touch(recipient->address), touch(recipient->orcpt), touch(recipient->last_reply);
        rows[i] = (struct settle_recipient){ .reply = S("550 no"), .id = recipient->id, .next = NOW + DAYS(11), .outcome = (uint8_t)(1 + (how + i) % 3) };
    }
    good(store->verbs->queue_settle(store, &ask, NOW, &done));
}

static void write_mail(struct store *store, struct input *in, struct arena *arena)
{
    const struct store_verbs *v = store->verbs;
    uint8_t what = take_octet(in);
    uint32_t account = 1 + what / 16 % ACCOUNTS, count;
    switch (what % 8) {
    case 0: deliver(store, account); break;
    case 1: good(v->expunge(store, account, &(struct uid_range){ 1, what < 128 ? 1 : UINT32_MAX }, 1, &count)); break;
    case 2: settle(store, arena, what / 16); break;
    case 3: good(v->queue_change(store, &(struct ask_queue_change){ .id = 0, .change = 1 + what / 16 % 4 }, NOW, &count)); break;
    case 4: good(v->queue_release_claims(store)); break;
    case 5: good(v->sweep(store, NOW + DAYS(30), 100, &count)); break;
    default: write_directory(store, what / 8, account);
    }
}

static void write_all(struct store *store, struct input *in)
{
    const struct store_verbs *v = store->verbs;
    struct arena arena = ARENA(8u << 20);
    for (int i = 0; i < 4 && in->at < in->end; i++) {
        uint8_t way = take_octet(in);
        if (good(v->begin(store)) != STATUS_OK)
            break;
        for (uint8_t jobs = way % 4 + 1; jobs > 0; jobs--) {
            good(v->mark(store));
            write_mail(store, in, &arena);
            if (way & 4)
                good(v->undo(store));
        }
        if (way & 8)
            v->rollback(store);
        else
            good(v->commit(store));
        v->rest(store);
    }
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    struct input in = { data, data + size };
    struct store *store;
    struct buf why = BUF(LIMIT_LOG_LINE);
    if (!made)
        image_make();
    made = true;
    image_put(&in);
    struct store_plan plan = { .dir = image_dir(), .mode = STORE_WRITER };
    if (good(store_open(&plan, &store, &why)) == STATUS_OK) {
        read_all(store);
        write_all(store, &in);
        store_close(store);
    } else {
        must(why.len > 0);
    }
    buf_clear(&why);
    plan.mode = STORE_READER;
    if (good(store_open(&plan, &store, &why)) == STATUS_OK) {
        read_all(store);
        store_close(store);
    } else {
        must(why.len > 0);
    }
    buf_done(&why);
    return 0;
}

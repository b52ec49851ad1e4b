/* powercut_jobs.c - what the keeper's writer does with a store, one change at a time, chosen at random from what is
 * there. */
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "faults/powercut.h"

/* A number from the table, at random; 0 where it is empty.  `what` is "id FROM account" and the like. */
static uint64_t any(struct scene *s, const char *what)
{
    char sql[200];
    const char *from = strstr(what, "FROM");
    must(from);
    snprintf(sql, sizeof sql, "SELECT count(*) %s", from);
    uint64_t count = query(scene_db(s), sql, 0, 0);
    if (count == 0 || count == UINT64_MAX)
        return 0;
    snprintf(sql, sizeof sql, "SELECT %s ORDER BY 1 LIMIT 1 OFFSET ?1", what);
    return query(scene_db(s), sql, scene_draw(s, count), 0);
}

static struct slice print(struct scene *s, const char *format, uint64_t number)
{
    char text[64];
    struct slice copy = NO_SLICE;
    snprintf(text, sizeof text, "%s%llu.example", format, (unsigned long long)number);
    enum status status = arena_copy(&s->arena, slice_of(text), &copy);
    must(status == STATUS_OK);
    return copy;
}

static enum status add_account(struct scene *s)
{
    uint32_t id;
    struct store_account account = { .address = print(s, "a@b", scene_draw(s, 40)),
        .password = S("$first"),
        .scram = S("keys"),
        .created = s->now,
        .enabled = true };
    return s->v->account_add(s->store, &account, &id);
}

static enum status change_account(struct scene *s)
{
    uint32_t id = (uint32_t)any(s, "id FROM account");
    struct slice password = print(s, "$hash-", scene_draw(s, 3));
    struct store_device device = { .id = (uint32_t)any(s, "id FROM credential"), .scram = S("its keys") };
    struct store_rehash rehash = { id, print(s, "$hash-", scene_draw(s, 3)), password, S("new keys"), &device, 1 };
    switch (scene_draw(s, 5)) {
    case 0:
        return s->v->account_password(s->store, id, password, S("other keys"));
    case 1:
        return s->v->account_rehash(s->store, &rehash);
    case 2:
        return s->v->account_set(s->store, id, scene_draw(s, 2), scene_draw(s, 2));
    case 3:
        return query(scene_db(s), "SELECT count(*) FROM account", 0, 0) > 4 ? s->v->account_remove(s->store, id)
                                                                            : STATUS_OK;
    default:
        return s->v->account_seen(s->store, id, s->now);
    }
}

static enum status change_directory(struct scene *s)
{
    uint32_t account = (uint32_t)any(s, "id FROM account"), device = (uint32_t)any(s, "id FROM credential"), out;
    struct store_device new = { .account = account,
        .name = print(s, "device-", scene_draw(s, 9)),
        .sealed = S("\0secret"),
        .key = print(s, "digest-", scene_draw(s, 9)) };
    struct store_alias alias = { print(s, "x@c", scene_draw(s, 5)), print(s, "a@b", scene_draw(s, 9)) };
    struct store_place place = { account, { .octets = { [15] = (uint8_t)scene_draw(s, 9) } }, s->now, s->now };
    switch (scene_draw(s, 10)) {
    case 0:
    case 1:
        return s->v->device_add(s->store, &new, &out);
    case 2:
        return s->v->device_remove(s->store, device);
    case 3:
        return s->v->device_seen(s->store, device, s->now);
    case 4:
        return s->v->alias_add(s->store, &alias);
    case 5:
        return s->v->alias_remove(s->store, alias.address, NO_SLICE, &out);
    case 6:
        return s->v->domain_add(s->store, print(s, "b", scene_draw(s, 9)));
    case 7:
        return s->v->domain_remove(s->store, print(s, "b", scene_draw(s, 9)));
    case 8:
        return s->v->place_forget(s->store, s->now - scene_draw(s, 5000));
    default:
        return s->v->place_seen(s->store, &place, 3);
    }
}

static struct store_body next_body(struct scene *s, uint64_t *out_number)
{
    for (size_t i = 0; i < PARCELS; i++) {
        struct parcel_file *parcel = &s->parcels[i];
        if (parcel->number == 0 || parcel->used || parcel->file.fd >= 0)
            continue;
        parcel->used = true;
        *out_number = parcel->number;
        struct store_body body = text_body(parcel->number);
        body.packed = NO_SLICE;
        body.file = slice_of(parcel->file.name);
        return body;
    }
    *out_number = ++s->number;
    return text_body(*out_number);
}

enum status scene_deliver(struct scene *s)
{
    uint64_t number, queue_id;
    struct store_target targets[3];
    struct store_remote remotes[2] = { { .address = S("far@away.example"), .domain = S("away.example") },
        { .address = S("near@away.example"), .domain = S("away.example"), .delivered = DELIVERED_HERE } };
    struct store_message message = {
        .targets = targets, .remotes = remotes, .sender = S("me@b.example"), .session = S("s1")
    };
    message.body = next_body(s, &number);
    message.received = TEXT_RECEIVED + number;
    message.pop3_size = message.body.size + 3;
    message.target_count = scene_draw(s, 4);
    for (size_t i = 0; i < message.target_count; i++)
        targets[i].account = (uint32_t)any(s, "id FROM account");
    message.remote_count = message.target_count == 0 ? 1 + scene_draw(s, 2) : scene_draw(s, 4) == 0;
    return s->v->deliver(s->store, &message, &queue_id);
}

static enum status expunge(struct scene *s)
{
    uint32_t account = (uint32_t)any(s, "account FROM mailbox WHERE messages > 0"), removed;
    if (account == 0)
        return STATUS_NOT_FOUND;
    uint32_t highest =
        (uint32_t)query(scene_db(s), "SELECT uidnext FROM mailbox WHERE account = ?1 AND name = 'INBOX'", account, 0);
    struct uid_range ranges[2];
    ranges[0].first = 1 + (uint32_t)scene_draw(s, highest);
    ranges[0].last = ranges[0].first + (uint32_t)scene_draw(s, 3);
    ranges[1].first = ranges[0].last + 2;
    ranges[1].last = ranges[1].first;
    return s->v->expunge(s->store, account, ranges, 1 + scene_draw(s, 2), &removed);
}

static enum status claim(struct scene *s)
{
    struct answer_claim answer;
    struct store_claim claim = { 0, s->now, s->now + scene_draw(s, 3) * 10000, 7 };
    return s->v->queue_claim(s->store, &claim, &s->arena, &answer);
}

/* As the keeper does it: what could not be delivered is told to the sender in the same transaction. */
static enum status settle(struct scene *s)
{
    uint64_t id = any(s, "id FROM queue_message"), unused;
    struct settle_recipient rows[2] = { { .reply = S("250 ok"), .id = 1 },
        { .reply = S("450 later"), .id = 2, .next = s->now + 20000 } };
    for (size_t i = 0; i < 2; i++)
        rows[i].outcome = (uint8_t)(SETTLE_DELIVERED + scene_draw(s, 3));
    struct ask_settle ask = { .id = id, .recipients = { rows, 1 + (uint32_t)scene_draw(s, 2) } };
    bool done;
    if (id == 0)
        return STATUS_NOT_FOUND;
    TRY(s->v->queue_settle(s->store, &ask, s->now, &done));
    struct store_target target = { (uint32_t)any(s, "id FROM account") };
    if (rows[0].outcome != SETTLE_FAILED || target.account == 0)
        return STATUS_OK;
    uint64_t number = ++s->number;
    struct store_message bounce = { .body = text_body(number),
        .received = TEXT_RECEIVED + number,
        .pop3_size = 5,
        .targets = &target,
        .target_count = 1 };
    return s->v->deliver(s->store, &bounce, &unused);
}

static enum status change_queue(struct scene *s)
{
    uint32_t count;
    struct ask_queue_change change = { .id = scene_draw(s, 3) == 0 ? 0 : any(s, "id FROM queue_message"),
        .change = (uint8_t)(QUEUE_RETRY + scene_draw(s, 3)) };
    if (change.id != 0 && scene_draw(s, 5) == 0)
        change.change = QUEUE_REMOVE;
    return scene_draw(s, 6) == 0 ? s->v->queue_release_claims(s->store)
                                 : s->v->queue_change(s->store, &change, s->now, &count);
}

static enum status sweep(struct scene *s)
{
    uint32_t swept;
    return s->v->sweep(s->store, s->now + 1 - scene_draw(s, 2) * 2000, 1 + (uint32_t)scene_draw(s, 20), &swept);
}

enum status scene_job(struct scene *s)
{
    static const struct {
        enum status (*job)(struct scene *);
        unsigned weight;
    } jobs[] = { { scene_deliver, 40 }, { expunge, 14 }, { claim, 6 }, { settle, 10 }, { change_queue, 3 },
        { sweep, 6 }, { add_account, 4 }, { change_account, 7 }, { change_directory, 10 } };
    if (query(scene_db(s), "SELECT count(*) FROM account", 0, 0) < 3)
        return add_account(s);
    unsigned drawn = (unsigned)scene_draw(s, 100), at = 0;
    while (drawn >= jobs[at].weight)
        drawn -= jobs[at++].weight;
    return jobs[at].job(s);
}

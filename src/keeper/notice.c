/* notice.c - mail that the keeper writes to an account's owner, into the INBOX, by the same writer as all other mail.
 *
 * Never holds up a login: what cannot be stored is lost, with a line in the log.  How often: one a day about passwords in
 * clear; one a day about a place, and LIMIT_NOTICES_DAY in all, about new places.  What was told is in memory only. */
#include "base/random.h"
#include "keeper/impl.h"
#include "keeper/parcel.h"
#include "mail/coding.h"
#include "mail/notice.h"

#define DAY ((msec)DAYS(1))

/* What an account was told within the day. */
struct noticed {
    msec cleartext; /* when this may be told again */
    struct {
        struct ip at;
        msec until;
    } places[LIMIT_NOTICES_DAY];
};

struct letter {
    struct parcel parcel;
    struct store_message message;
    struct store_target target;
    enum notice_kind kind;
    struct ip peer;
    bool needed;
};

/* ---- how often ------------------------------------------------------------------------------------------------------ */

/* NULL: too many accounts were told something today. */
static struct noticed *noticed_get(struct keeper *keeper, uint32_t account)
{
    struct noticed *noticed = map_find(&keeper->noticed, map_key(account));
    if (noticed || keeper->noticed.count >= LIMIT_NOTICED)
        return noticed;
    noticed = alloc(sizeof *noticed);
    map_put(&keeper->noticed, map_key(account), noticed);
    return noticed;
}

static bool may_tell_cleartext(struct keeper *keeper, uint32_t account)
{
    msec now = keeper_now(keeper);
    struct noticed *noticed = noticed_get(keeper, account);
    if (!noticed || noticed->cleartext > now)
        return false;
    noticed->cleartext = now + DAY;
    return true;
}

static bool may_tell_place(struct keeper *keeper, uint32_t account, struct ip peer)
{
    msec now = keeper_now(keeper);
    struct ip place = ip_place(peer);
    struct noticed *noticed = noticed_get(keeper, account);
    size_t at = LIMIT_NOTICES_DAY;
    for (size_t i = 0; noticed && i < LIMIT_NOTICES_DAY; i++) {
        if (noticed->places[i].until <= now)
            at = i;
        else if (ip_equal(noticed->places[i].at, place))
            return false;
    }
    if (at == LIMIT_NOTICES_DAY)
        return false;
    noticed->places[at].at = place;
    noticed->places[at].until = now + DAY;
    return true;
}

void notice_forget(struct keeper *keeper, msec now)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&keeper->noticed, &at, &key, &value);) {
        const struct noticed *noticed = value;
        bool over = noticed->cleartext <= now;
        for (size_t i = 0; i < LIMIT_NOTICES_DAY; i++)
            over = over && noticed->places[i].until <= now;
        if (!over)
            continue;
        map_take(&keeper->noticed, key);
        release(value);
    }
}

void notice_done(struct keeper *keeper)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&keeper->noticed, &at, &key, &value);)
        release(value);
    map_done(&keeper->noticed);
}

/* ---- storing -------------------------------------------------------------------------------------------------------- */

static void discard(struct task *task)
{
    struct letter *letter = task->state;
    parcel_done(&letter->parcel, letter->needed);
}

static enum status write_work(struct task *task, struct store *store)
{
    struct letter *letter = task->state;
    uint64_t queue_id;
    return store->verbs->deliver(store, &letter->message, &queue_id);
}

static void written(struct task *task)
{
    struct letter *letter = task->state;
    const struct account *account = directory_account(&task->keeper->directory, letter->target.account);
    struct slice name = account ? account->address : NO_SLICE;
    const char *kind = letter->kind == NOTICE_CLEARTEXT ? "password-in-clear" : "new-place";
    letter->needed = parcel_is_needed(task->status);
    if (task->status == STATUS_OK)
        LOG(LOG_INFO, "notice.stored", LOG_TEXT("account", name), LOG_WORD("kind", kind), LOG_IP("peer", letter->peer));
    else
        LOG(LOG_WARNING, "notice.lost", LOG_TEXT("account", name), LOG_WORD("kind", kind), LOG_IP("peer", letter->peer),
            LOG_STATUS(task->status));
    task_drop(task);
}

/* A few hundred octets: packed here and now. */
static enum status pack(struct letter *letter, const struct notice *notice)
{
    struct buf text = BUF(LIMIT_NOTICE);
    enum status status = notice_write(&text, notice);
    if (status == STATUS_OK)
        status = parcel_put(&letter->parcel, buf_slice(&text));
    if (status == STATUS_OK)
        status = parcel_finish(&letter->parcel);
    buf_done(&text);
    return status;
}

static enum status make_id(struct buf *out)
{
    char octets[8];
    random_fill(octets, sizeof octets);
    TRY(buf_put(out, S("notice-")));
    return hex_encode(out, (struct slice){ octets, sizeof octets });
}

static void send_notice(struct keeper *keeper, const struct account *account, struct notice *notice, uint8_t protocol)
{
    struct buf id = BUF(LIMIT_NOTICE_ID);
    struct task *task = task_new(keeper, NULL, NULL);
    struct letter *letter = task_state(task, sizeof *letter);
    parcel_init(&letter->parcel, &keeper->bodies);
    task->discard = discard;
    letter->kind = notice->kind;
    letter->peer = notice->peer;
    letter->target.account = account->id;
    notice->host = keeper->settings->hostname;
    notice->to = account->address;
    notice->domain = slice_from(account->address, slice_find_last(account->address, '@') + 1);
    notice->protocol = slice_of(protocol_name(protocol));
    notice->when = clock_wall();
    enum status status = make_id(&id);
    notice->id = buf_slice(&id);
    if (status == STATUS_OK)
        status = pack(letter, notice);
    buf_done(&id);
    if (status == STATUS_OK && !keeper_has_room(keeper, letter->parcel.size))
        status = STATUS_FULL;
    task->status = status;
    if (status != STATUS_OK) {
        written(task);
        return;
    }
    letter->message = (struct store_message){ .body = parcel_body(&letter->parcel), .received = notice->when,
        .targets = &letter->target, .target_count = 1, .body_type = BODY_8BIT };
    letter->message.pop3_size = letter->message.body.size;
    task->octets = letter->message.body.packed.len;
    task_go(task, STAGE_WRITE, write_work, written);
}

/* ---- what is told --------------------------------------------------------------------------------------------------- */

void notice_cleartext(struct keeper *keeper, struct slice name, struct ip peer, uint8_t protocol, uint32_t code)
{
    struct account *account = directory_login(&keeper->directory, name);
    if (!keeper->settings->auth_notices || !account || !account->enabled)
        return;
    /* Anybody can type anybody's name: only from where the owner has been, or before he was anywhere, is it likely he. */
    if (account->last_login && !place_knows(&keeper->places, account->id, peer, clock_wall()))
        return;
    struct notice notice = { .kind = NOTICE_CLEARTEXT, .peer = peer, .code = code };
    if (may_tell_cleartext(keeper, account->id))
        send_notice(keeper, account, &notice, protocol);
}

void notice_new_place(struct keeper *keeper, const struct account *account, const struct device *device, struct ip peer, uint8_t protocol)
{
    struct notice notice = { .kind = NOTICE_NEW_PLACE, .peer = peer, .device = device ? device->name : NO_SLICE };
    if (keeper->settings->auth_notices && account->enabled && may_tell_place(keeper, account->id, peer))
        send_notice(keeper, account, &notice, protocol);
}

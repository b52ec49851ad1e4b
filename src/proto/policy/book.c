#include "proto/policy/book.h"

#include <string.h>

#include "base/alloc.h"
#include "base/must.h"
#include "mail/address.h"

#define KEY_ARENA 8192u /* octets of one address being read */
#define KEY_MOST  (2u * LIMIT_ADDRESS + 2u)
#define LINE_MOST 65536u /* octets of one line of policy.senders */

/* A login name that was reported. */
struct account {
    uint32_t number;
    msec last_login;
    size_t name_len;
    char name[];
};

/* A message that Postfix is taking. */
struct transaction {
    struct list node;
    struct lease_hold hold;
    msec since;
    size_t key_len, last_len;
    char key[sizeof(struct ip) + LIMIT_POLICY_INSTANCE + 1 + LIMIT_ADDRESS];
    char last[LIMIT_ADDRESS]; /* the recipient that was asked about last: several restrictions may ask about one */
};

void book_init(struct book *book, struct settings *settings)
{
    *book = (struct book){ .settings = settings };
    list_init(&book->under_way);
}

static void forget(struct book *book, struct transaction *transaction)
{
    lease_commit(&book->leases, &transaction->hold);
    map_take(&book->transactions, (struct slice){ transaction->key, transaction->key_len });
    list_remove(&transaction->node);
    release(transaction);
}

void book_done(struct book *book)
{
    struct slice key;
    void *value;
    while (!list_is_empty(&book->under_way))
        forget(book, list_element(book->under_way.next, struct transaction, node));
    for (size_t at = 0; map_each(&book->numbers, &at, &key, &value);)
        release(value);
    map_done(&book->transactions);
    map_done(&book->names);
    map_done(&book->numbers);
    map_done(&book->senders);
    lease_done(&book->leases);
    pin_done(&book->pins);
}

/* ---- names and addresses ---- */

/* How an address compares (mail/address.h); a login name that is none compares by its octets without case. */
static enum status key_put(struct buf *out, struct slice text, bool must_be_address)
{
    struct arena arena = ARENA(KEY_ARENA);
    struct address address;
    struct slice key;
    enum status status = address_parse(text, true, &arena, &address);
    if (status == STATUS_OK && (address.is_null || address.domain.len == 0))
        status = STATUS_MALFORMED;
    if (status == STATUS_OK)
        status = address_key(&address, &arena, &key);
    if (status == STATUS_OK)
        status = buf_put(out, key);
    arena_done(&arena);
    if (status != STATUS_MALFORMED || must_be_address)
        return status;
    for (size_t i = 0; i < text.len; i++) {
        char octet = text.ptr[i];
        TRY(buf_put_byte(out, octet_lower(octet)));
    }
    return STATUS_OK;
}

/* A login name without domain gets the one that is set. */
static enum status login_put(struct buf *out, const struct settings *settings, struct slice name)
{
    struct slice domain = settings->policy_domain;
    struct buf whole = BUF(LIMIT_ADDRESS);
    if (domain.len == 0 || slice_find(name, '@') < name.len)
        return key_put(out, name, false);
    enum status status = buf_print(&whole, "%.*s@%.*s", (int)name.len, name.ptr, (int)domain.len, domain.ptr);
    if (status == STATUS_OK)
        status = key_put(out, buf_slice(&whole), false);
    buf_done(&whole);
    return status;
}

/* ---- policy.senders ---- */

static enum status add_sender(struct book *book, struct slice login, struct slice address)
{
    struct buf key = BUF(KEY_MOST);
    bool all = address.len > 1 && address.ptr[0] == '@'; /* any address of that domain */
    struct arena arena = ARENA(KEY_ARENA);
    struct slice domain;
    enum status status = login_put(&key, book->settings, login);
    if (status == STATUS_OK)
        status = buf_put_byte(&key, '\0');
    if (status == STATUS_OK && all)
        status = domain_parse(slice_from(address, 1), true, &arena, &domain);
    if (status == STATUS_OK)
        status = all ? buf_print(&key, "@%.*s", (int)domain.len, domain.ptr) : key_put(&key, address, true);
    if (status == STATUS_OK && book->senders.count >= LIMIT_POLICY_SENDERS)
        status = STATUS_TOO_BIG;
    if (status == STATUS_OK)
        map_put(&book->senders, buf_slice(&key), book);
    arena_done(&arena);
    buf_done(&key);
    return status;
}

static enum status read_line(struct book *book, struct slice line)
{
    struct slice login, address;
    size_t count = 0;
    line = slice_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return STATUS_OK;
    if (line.len > LINE_MOST)
        return STATUS_TOO_BIG;
    if (!slice_is_utf8(line) || slice_has_control(line) || !slice_word(&line, &login))
        return STATUS_MALFORMED;
    for (; slice_word(&line, &address); count++)
        TRY(add_sender(book, login, address));
    return count > 0 ? STATUS_OK : STATUS_MALFORMED;
}

enum status book_senders(struct book *book, struct slice text, uint32_t *out_line)
{
    struct slice line;
    uint32_t number = 0;
    while (slice_cut(&text, '\n', &line)) {
        number++;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        enum status status = read_line(book, line);
        if (status != STATUS_OK) {
            *out_line = number;
            return status;
        }
    }
    return STATUS_OK;
}

static bool is_listed(const struct book *book, const struct account *account, struct slice address)
{
    struct buf key = BUF(KEY_MOST);
    enum status status = buf_put(&key, (struct slice){ account->name, account->name_len });
    if (status == STATUS_OK)
        status = buf_put_byte(&key, '\0');
    if (status == STATUS_OK)
        status = buf_put(&key, address);
    bool found = status == STATUS_OK && map_find(&book->senders, buf_slice(&key));
    buf_done(&key);
    return found;
}

/* `sender` as key_put() made it. */
static bool owns(const struct book *book, const struct account *account, struct slice sender)
{
    struct slice name = { account->name, account->name_len };
    struct slice domain = slice_from(sender, slice_find_last(sender, '@'));
    return slice_equal(sender, name) || is_listed(book, account, sender) || is_listed(book, account, domain);
}

/* Without its +tag; as it is where there is none. */
static struct slice without_tag(struct slice sender, char room[LIMIT_ADDRESS])
{
    size_t plus = slice_find(sender, '+'), at = slice_find_last(sender, '@');
    if (plus == 0 || plus >= at || sender.len > LIMIT_ADDRESS)
        return sender;
    memcpy(room, sender.ptr, plus);
    memcpy(room + plus, sender.ptr + at, sender.len - at);
    return (struct slice){ room, plus + sender.len - at };
}

static bool is_theirs(const struct book *book, const struct account *account, struct slice sender)
{
    char room[LIMIT_ADDRESS];
    return owns(book, account, sender) || owns(book, account, without_tag(sender, room));
}

/* ---- accounts ---- */

static struct account *account_of(const struct book *book, uint32_t number)
{
    return map_find(&book->numbers, map_key(number));
}

struct slice book_name(const struct book *book, uint32_t number)
{
    const struct account *account = account_of(book, number);
    return account ? (struct slice){ account->name, account->name_len } : NO_SLICE;
}

/* NULL: there is none yet, and `make` is not set or there is no room. */
static struct account *account_get(struct book *book, struct slice name, bool make)
{
    struct buf key = BUF(LIMIT_ADDRESS);
    struct account *account = NULL;
    if (login_put(&key, book->settings, name) == STATUS_OK) {
        account = map_find(&book->names, buf_slice(&key));
        if (!account && make && book->names.count < LIMIT_POLICY_ACCOUNTS) {
            account = alloc(sizeof *account + key.len);
            account->number = ++book->last_account;
            must(account->number != 0);
            account->name_len = key.len;
            memcpy(account->name, key.ptr, key.len);
            map_put(&book->names, buf_slice(&key), account);
            map_put(&book->numbers, map_key(account->number), account);
        }
    }
    buf_done(&key);
    return account;
}

/* ---- reports ---- */

struct book_login book_login(struct book *book, const struct report *report, msec now)
{
    struct book_login result = { 0 };
    /* Who may have leases at all is decided by who reports whom. */
    struct lease_asker asker = { .flagged = true, .imap = report->imap, .peer = report->peer, .local = report->local };
    result.refusal = lease_refusal(book->settings, &asker);
    if (result.refusal)
        return result;
    struct account *account = account_get(book, report->name, true);
    if (!account) {
        result.refusal = "table-full";
        return result;
    }
    account->last_login = now;
    struct lease_wish wish = { .account = account->number, .peer = report->peer, .protocol = report->imap };
    enum lease_grant grant = lease_grant(&book->leases, &wish, book->settings, now, &result.lease);
    result.renewed = grant == LEASE_RENEWED;
    if (!result.lease)
        result.refusal = grant == LEASE_REFUSED_SHARED ? "shared-address" : "table-full";
    return result;
}

void book_failed(struct book *book, const struct report *report, msec now)
{
    const struct account *account = account_get(book, report->name, false);
    if (account)
        lease_failed(&book->leases, account->number, report->peer, now);
}

/* ---- verdicts ---- */

/* STATUS_TOO_BIG: no transaction of a length that Postfix ever had. */
static enum status transaction_key(const struct policy_query *query, struct buf *out)
{
    if (query->instance.len == 0 || query->instance.len > LIMIT_POLICY_INSTANCE)
        return STATUS_TOO_BIG;
    TRY(buf_put(out, map_key(query->client)));
    TRY(buf_put(out, query->instance));
    TRY(buf_put_byte(out, '\0'));
    return buf_put(out, query->sender);
}

static struct transaction *begin(struct book *book, struct slice key, msec now)
{
    if (book->transactions.count >= LIMIT_POLICY_TRANSACTIONS)
        forget(book, list_element(book->under_way.next, struct transaction, node));
    struct transaction *transaction = alloc(sizeof *transaction);
    transaction->since = now;
    transaction->key_len = key.len;
    memcpy(transaction->key, key.ptr, key.len);
    map_put(&book->transactions, key, transaction);
    list_append(&book->under_way, &transaction->node);
    return transaction;
}

static struct book_verdict verdict_of(
    const struct book *book, enum policy_action action, const struct lease *lease, bool is_new)
{
    struct book_verdict verdict = { .action = action, .is_new = is_new };
    if (lease) {
        verdict.lease = lease->id;
        verdict.account = book_name(book, lease->account);
        verdict.messages_left = lease_messages_left(lease);
        verdict.recipients_left = lease_recipients_left(lease);
    }
    return verdict;
}

/* Several restrictions may ask about one recipient, one after another.  What is too long to be kept counts each time.
 */
static bool is_last(const struct transaction *transaction, struct slice recipient)
{
    return recipient.len > 0 && slice_equal(recipient, (struct slice){ transaction->last, transaction->last_len });
}

static void keep_last(struct transaction *transaction, struct slice recipient)
{
    transaction->last_len = recipient.len <= sizeof transaction->last ? recipient.len : 0;
    if (transaction->last_len > 0)
        memcpy(transaction->last, recipient.ptr, transaction->last_len);
}

static bool fits_pin(const struct book *book, const struct lease *lease, struct slice helo)
{
    return !book->settings->lease_pin_helo || pin_fits(&book->pins, lease->account, 0, helo);
}

/* C104: has whom the sender is named after a lease at an address of the other family?  Of the same family it could be
 * anybody's neighbour. */
static bool has_other_family(const struct book *book, struct slice sender, struct ip client, msec now)
{
    char room[LIMIT_ADDRESS];
    const struct account *account = map_find(&book->names, sender);
    if (!account)
        account = map_find(&book->names, without_tag(sender, room));
    for (const struct lease *lease = NULL; account && (lease = lease_of(&book->leases, account->number, lease, now));)
        if (ip_is_v4(lease->peer) != ip_is_v4(client))
            return true;
    return false;
}

/* The lease at that address whose account owns the sender: of several the first that has room.  Where there is none,
 * *out_why says how near it was. */
static const struct lease *lease_for(
    const struct book *book, const struct policy_query *query, msec now, enum policy_action *out_why)
{
    struct buf sender = BUF(LIMIT_ADDRESS);
    const struct lease *found = NULL;
    bool good = key_put(&sender, query->sender, true) == STATUS_OK;
    *out_why = POLICY_PROVE;
    for (const struct lease *lease = NULL; (lease = lease_at(&book->leases, query->client, lease, now));) {
        const struct account *account = account_of(book, lease->account);
        bool theirs = good && account && is_theirs(book, account, buf_slice(&sender));
        bool fits = theirs && fits_pin(book, lease, query->helo);
        if (*out_why != POLICY_HELO)
            *out_why = theirs && !fits ? POLICY_HELO : POLICY_FOREIGN;
        if (!fits)
            continue;
        bool has_room = lease_messages_left(lease) > 0 && lease_recipients_left(lease) > 0;
        if (has_room || !found)
            found = lease;
        if (has_room)
            break;
    }
    if (!found && good && *out_why != POLICY_HELO && has_other_family(book, buf_slice(&sender), query->client, now))
        *out_why = POLICY_FAMILY;
    buf_done(&sender);
    return found;
}

static struct book_verdict judge_more(
    struct book *book, struct transaction *transaction, const struct policy_query *query, msec now)
{
    const struct lease *lease = lease_find(&book->leases, transaction->hold.lease, now);
    if (!lease)
        return verdict_of(book, POLICY_OVER, NULL, true);
    if (is_last(transaction, query->recipient))
        return verdict_of(book, POLICY_OK, lease, false);
    if (!lease_reserve(&book->leases, &transaction->hold, lease->id, 1, now))
        return verdict_of(book, POLICY_USED_UP, lease, true);
    keep_last(transaction, query->recipient);
    return verdict_of(book, POLICY_OK, lease, true);
}

/* Are those without any right told so, or left to Postfix? */
static bool refuses(const struct book *book, const struct policy_query *query)
{
    return query->submission || book->settings->policy_refuse;
}

static struct book_verdict judge_first(struct book *book, struct slice key, const struct policy_query *query, msec now)
{
    enum policy_action why;
    bool refuse = refuses(book, query);
    const struct lease *lease = lease_for(book, query, now, &why);
    if (!lease)
        return verdict_of(book, refuse ? why : POLICY_DUNNO, NULL, refuse);
    struct lease_hold hold = { 0 };
    if (!lease_reserve(&book->leases, &hold, lease->id, 1, now))
        return verdict_of(book, POLICY_USED_UP, lease, true);
    struct transaction *transaction = begin(book, key, now);
    transaction->hold = hold;
    keep_last(transaction, query->recipient);
    if (book->settings->lease_pin_helo)
        pin_note(&book->pins, lease->account, 0, query->helo);
    return verdict_of(book, POLICY_OK, lease, true);
}

/* At the end: the lease that paid for it must be there still (C101, C108). */
static struct book_verdict judge_end(
    struct book *book, struct transaction *transaction, enum policy_state state, msec now)
{
    if (!transaction)
        return verdict_of(book, POLICY_DUNNO, NULL, false);
    const struct lease *lease = lease_find(&book->leases, transaction->hold.lease, now);
    if (!lease)
        return verdict_of(book, POLICY_OVER, NULL, true);
    if (state == POLICY_DATA)
        return verdict_of(book, POLICY_DUNNO, lease, false);
    forget(book, transaction);
    return verdict_of(book, POLICY_DUNNO, lease, true);
}

struct book_verdict book_judge(struct book *book, const struct policy_query *query, msec now)
{
    struct book_verdict verdict = { .action = POLICY_DUNNO };
    struct buf key = BUF(sizeof(((struct transaction *)0)->key));
    /* Who logged in needs no lease, and what is counted to him is not ours to count. */
    if (query->state == POLICY_OTHER || query->login.len > 0)
        return verdict;
    bool known = query->has_client && transaction_key(query, &key) == STATUS_OK;
    struct transaction *transaction = known ? map_find(&book->transactions, buf_slice(&key)) : NULL;
    if (query->state != POLICY_RCPT)
        verdict = judge_end(book, transaction, query->state, now);
    else if (!known)
        verdict = verdict_of(book, refuses(book, query) ? POLICY_PROVE : POLICY_DUNNO, NULL, refuses(book, query));
    else if (transaction)
        verdict = judge_more(book, transaction, query, now);
    else
        verdict = judge_first(book, buf_slice(&key), query, now);
    buf_done(&key);
    return verdict;
}

/* ---- time ---- */

void book_sweep(struct book *book, msec now)
{
    struct slice key;
    void *value;
    /* No lease of an account lives longer behind its last login, and no place remembers it longer. */
    msec kept = LIMIT_SHARED_AGE > book->settings->lease_cap ? LIMIT_SHARED_AGE : book->settings->lease_cap;
    while (!list_is_empty(&book->under_way)) {
        struct transaction *oldest = list_element(book->under_way.next, struct transaction, node);
        if (now - oldest->since < LIMIT_POLICY_TRANSACTION)
            break;
        forget(book, oldest);
    }
    lease_expire(&book->leases, now);
    for (size_t at = 0; map_each(&book->numbers, &at, &key, &value);) {
        struct account *account = value;
        /* Where names are pinned, they are for good: the accounts stay. */
        if (now - account->last_login <= kept || book->settings->lease_pin_helo)
            continue;
        map_take(&book->names, (struct slice){ account->name, account->name_len });
        map_take(&book->numbers, map_key(account->number));
        release(account);
    }
}

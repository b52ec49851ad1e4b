/* login.c - one path for every way of proving oneself: ask (loop: whose name, which delay) -> prove (login_prove.c) ->
 * judge (login_judge.c: rights, then lease and binding) -> answer.
 *
 * Whatever fails, the answer is the same one, after the same work (C073, C074). */
#include "base/secret.h"
#include "keeper/login.h"

#define PASSWORDS      (BIT(MECHANISM_PASSWORD) | BIT(MECHANISM_PLAIN) | BIT(MECHANISM_LOGIN))
#define DIGESTS        (BIT(MECHANISM_APOP) | BIT(MECHANISM_CRAM_MD5))
#define TOKENS         (BIT(MECHANISM_OAUTHBEARER) | BIT(MECHANISM_XOAUTH2))
#define SCRAM_1        (BIT(MECHANISM_SCRAM_SHA_1) | BIT(MECHANISM_SCRAM_SHA_1_PLUS))
#define SCRAM_256      (BIT(MECHANISM_SCRAM_SHA_256) | BIT(MECHANISM_SCRAM_SHA_256_PLUS))

/* ---- prove ------------------------------------------------------------------------------------------------------- */

static bool collect_devices(struct task *task, const struct account *account)
{
    struct login *login = task->state;
    login->candidates = arena_take_rows(&task->arena, LIMIT_CREDENTIALS, sizeof *login->candidates);
    if (!login->candidates)
        return false;
    for (struct list *node = account->devices.next;
         node != &account->devices && login->candidate_count < LIMIT_CREDENTIALS; node = node->next) {
        const struct device *device = list_element(node, struct device, node);
        struct candidate *candidate = &login->candidates[login->candidate_count];
        if (device->sealed.len == 0)
            continue;
        login->candidate_count++;
        candidate->device = device->id;
        if (arena_copy(&task->arena, device->name, &candidate->name) != STATUS_OK ||
            arena_copy(&task->arena, device->sealed, &candidate->sealed) != STATUS_OK ||
            arena_copy(&task->arena, device->scram, &candidate->scram) != STATUS_OK)
            return false;
    }
    return true;
}

/* What the pool thread needs, so that it never looks into the directory. */
static bool collect(struct task *task)
{
    struct login *login = task->state;
    const struct account *account = directory_account(&task->keeper->directory, login->account);
    login->dummy = slice_of(task->keeper->dummy);
    login->comparisons = directory_most_devices(&task->keeper->directory);
    return !account ||
           (collect_devices(task, account) &&
               arena_copy(&task->arena, account->password, &login->verifier) == STATUS_OK &&
               arena_copy(&task->arena, account->scram, &login->scram) == STATUS_OK);
}

static void proved(struct task *task)
{
    const struct login *login = task->state;
    if (task->client)
        task->client->hash_count -= login->hashing;
    if (task->client && task->status == STATUS_BUSY)
        login_busy(task);
    else
        login_judge(task);
}

/* An intruder's gate keeps the others' people out no longer than its share lasts (C088); and strangers at a gate keep nobody out who was here
 * before. */
static bool has_share(const struct task *task)
{
    uint32_t share = task->client->role == ROLE_MX ? LIMIT_HASHES_MX : LIMIT_HASHES_USER;
    return task->client->hash_count < (login_attempt(task).is_home ? share : share - share / 4);
}

/* To the pool that takes its time. */
static void hash(struct task *task, enum status (*work)(struct task *, struct store *))
{
    struct login *login = task->state;
    if (!has_share(task)) {
        login_busy(task);
        return;
    }
    login->hashing = true;
    task->client->hash_count++;
    task_go(task, STAGE_HASH, work, proved);
}

/* Digests and proofs take microseconds: they do not queue behind passwords that are hashed, nor share their limit. */
static void begin_digest(struct task *task)
{
    if (!collect(task))
        task_answer(task, STATUS_TOO_BIG);
    else
        task_go(task, STAGE_PACK, login_prove_digest, proved);
}

/* Devices from before there was SCRAM get their keys at its first try: once, that takes longer. */
static enum status collect_stale(struct task *task)
{
    struct login *login = task->state;
    const struct account *account = directory_account(&task->keeper->directory, login->account);
    if (!account) {
        login->plan = credential_plan_new(task->keeper, login->stated); /* for its time */
        return STATUS_OK;
    }
    login->plan = credential_plan_kept(task->keeper, account);
    return login->try_devices ? credential_collect(&login->plan, account, &task->arena, &login->remade) : STATUS_OK;
}

static void begin_scram(struct task *task)
{
    const struct login *login = task->state;
    if (!collect(task) || collect_stale(task) != STATUS_OK)
        task_answer(task, STATUS_TOO_BIG);
    else if (login->remade.count > 0)
        hash(task, login_prove_remade);
    else
        task_go(task, STAGE_PACK, login_prove_scram, proved);
}

static void begin_password(struct task *task)
{
    if (login_know_again(task->keeper, task->state)) {
        task->status = STATUS_OK;
        login_judge(task);
    } else if (!collect(task)) {
        task_answer(task, STATUS_TOO_BIG);
    } else {
        hash(task, login_prove);
    }
}

/* The key was proved in the gate's TLS; which device has it is looked up here, at each login (C066). */
static void begin_key(struct task *task)
{
    const struct login *login = task->state;
    const struct device *device = directory_key(&task->keeper->directory, task->ask.login_key.key);
    if (device && login->authzid.len > 0 &&
        directory_login(&task->keeper->directory, login->authzid) != device->account)
        device = NULL;
    if (!login->try_devices)
        login_found(task, 0, 0, "key-without-tls");
    else if (!task->keeper->settings->auth_client_certificates)
        login_found(task, 0, 0, "keys-not-allowed");
    else if (!device)
        login_found(task, 0, 0, "unknown-key");
    else
        login_found(task, device->account->id, device->id, NULL);
}

/* ---- ask --------------------------------------------------------------------------------------------------------- */

/* What every kind of login says. */
struct words {
    struct slice name, authzid;
    const struct login_from *from;
    uint32_t mechanisms; /* by which it may come */
    bool sound;
};

static struct words words_of(const struct ask *ask)
{
    switch (ask->kind) {
    case ASK_LOGIN:
        return (struct words){ ask->login.name, ask->login.authzid, &ask->login.from, PASSWORDS, true };
    case ASK_LOGIN_DIGEST:
        return (struct words){ ask->login_digest.name, NO_SLICE, &ask->login_digest.from, DIGESTS,
            ask->login_digest.digest.len == 16 };
    case ASK_SCRAM:
        return (struct words){ ask->scram.name, ask->scram.authzid, &ask->scram.from, SCRAM_1 | SCRAM_256, true };
    case ASK_LOGIN_SCRAM:
        return (struct words){ ask->login_scram.name, ask->login_scram.authzid, &ask->login_scram.from,
            ask->login_scram.proof.len == scram_key_size(SCRAM_SHA_1) ? SCRAM_1 : SCRAM_256,
            ask->login_scram.proof.len == scram_key_size(SCRAM_SHA_1) ||
                ask->login_scram.proof.len == scram_key_size(SCRAM_SHA_256) };
    case ASK_LOGIN_TOKEN:
        return (struct words){ ask->login_token.name, NO_SLICE, &ask->login_token.from, TOKENS, true };
    default:
        must(ask->kind == ASK_LOGIN_KEY);
        return (struct words){ ask->login_key.authzid, ask->login_key.authzid, &ask->login_key.from,
            BIT(MECHANISM_EXTERNAL), ask->login_key.key.len == 32 };
    }
}

static bool is_sound(const struct task *task, const struct words *words)
{
    const struct login_from *from = words->from;
    bool nameless = task->ask.kind == ASK_LOGIN_TOKEN || task->ask.kind == ASK_LOGIN_KEY;
    /* At port 25 a login only sends: it opens neither mailboxes nor leases. */
    if (task->client->role == ROLE_MX && from->protocol != PROTOCOL_SMTP)
        return false;
    if (from->mechanism >= MECHANISM_COUNT || !(words->mechanisms & BIT(from->mechanism)))
        return false;
    if (from->mechanism == MECHANISM_APOP && from->protocol != PROTOCOL_POP3)
        return false;
    return words->sound && (nameless || words->name.len > 0) && slice_is_utf8(words->name) &&
           !slice_has_control(words->name) && slice_is_utf8(words->authzid) && from->protocol >= PROTOCOL_SMTP &&
           from->protocol <= PROTOCOL_IMAP;
}

/* DESIGN section 8: which secrets are taken without TLS.  SCRAM shows none, but who listens can guess at it at home. */
static void limit_to_lane(const struct keeper *keeper, struct login *login, bool device_only)
{
    const struct settings *settings = keeper->settings;
    bool plaintext = login->encrypted || networks_have(settings->auth_plaintext_networks, login->peer);
    bool legacy = networks_have(settings->legacy_networks, login->peer);
    bool digest = (DIGESTS & BIT(login->mechanism)) != 0, apop = login->mechanism == MECHANISM_APOP;
    bool needs_tls = ((TOKENS | BIT(MECHANISM_EXTERNAL)) & BIT(login->mechanism)) != 0;
    login->try_person = plaintext && !device_only && !digest;
    login->try_devices = plaintext || legacy || (apop && settings->auth_apop_without_tls);
    /* For people, SHA-1 is a setting. */
    if ((SCRAM_1 & BIT(login->mechanism)) && !settings->auth_scram_sha1)
        login->try_person = false;
    if (needs_tls)
        login->try_person = login->try_devices = login->encrypted && !device_only;
}

/* Who has that name, or has it under another domain: one answer for all ways to write it (C074, C075).  Both are looked for, so that the time
 * tells nothing. */
const struct account *login_namesake(struct task *task, struct slice name)
{
    const struct directory *d = &task->keeper->directory;
    struct slice folded;
    const struct account *account = directory_login(d, name);
    if (directory_fold(name, &task->arena, &folded) != STATUS_OK)
        return account;
    const struct account *elsewhere = directory_login(d, slice_upto(folded, slice_find_last(folded, '@')));
    return account ? account : elsewhere;
}

static void find_account(struct task *task, const struct words *words)
{
    struct login *login = task->state;
    const struct directory *d = &task->keeper->directory;
    const struct account *account = words->name.len > 0 ? directory_login(d, words->name) : NULL;
    /* Acting for another is nobody's right here (C086). */
    if (account && words->authzid.len > 0 && directory_login(d, words->authzid) != account)
        account = NULL;
    login->account = account ? account->id : 0;
    /* All ways to type a name share a counter, whether anybody has it or not (C074). */
    if (words->name.len == 0 || directory_stated(d, words->name, &task->arena, &login->stated) != STATUS_OK)
        login->stated = words->name;
    /* Who gives no name is counted by what he shows instead. */
    if (words->name.len == 0 && task->ask.kind == ASK_LOGIN_KEY)
        login->stated = task->ask.login_key.key;
    const struct account *namesake = words->name.len > 0 ? login_namesake(task, words->name) : NULL;
    if (namesake && arena_copy(&task->arena, namesake->address, &login->stated) != STATUS_OK)
        login->stated = login->name;
}

/* Under which name failures count: at home one's own, elsewhere that of all who are called so, whatever their domains, since otherwise the
 * delays would tell which of them there are (C074). */
static struct slice counted_as(const struct login *login, bool is_home)
{
    struct slice stated = login->stated;
    return is_home || login->name.len == 0 ? stated : slice_upto(stated, slice_find_last(stated, '@'));
}

static bool is_at_home(const struct keeper *keeper, const struct login *login)
{
    return place_knows(&keeper->places, login->account, login->peer, clock_wall());
}

struct login *login_open(struct task *task)
{
    struct keeper *keeper = task->keeper;
    if (task_keep(task) != STATUS_OK) {
        task_answer(task, STATUS_TOO_BIG);
        return NULL;
    }
    struct words words = words_of(&task->ask);
    if (!is_sound(task, &words)) {
        task_answer(task, STATUS_MALFORMED);
        return NULL;
    }
    if (!binding_get(keeper, task->client, task->session, words.from->session)) {
        task_answer(task, STATUS_BUSY);
        return NULL;
    }
    struct login *login = task_state(task, sizeof *login);
    *login = (struct login){ .name = words.name,
        .authzid = words.authzid,
        .session = words.from->session,
        .peer = words.from->peer,
        .local = words.from->local,
        .protocol = words.from->protocol,
        .mechanism = words.from->mechanism,
        .encrypted = words.from->encrypted != 0 };
    if (task->ask.kind == ASK_LOGIN)
        vault_name(keeper->cache_key, task->ask.login.secret, login->fingerprint);
    limit_to_lane(keeper, login, words.from->device_only != 0);
    find_account(task, &words);
    return login;
}

struct throttle_try login_attempt(const struct task *task)
{
    const struct keeper *keeper = task->keeper;
    const struct login *login = task->state;
    struct throttle_try attempt = { .name = login->stated,
        .peer = login->peer,
        .is_nobody = login->account == 0,
        .is_home = is_at_home(keeper, login) };
    attempt.counted = counted_as(login, attempt.is_home);
    memcpy(&attempt.fingerprint, login->fingerprint, sizeof attempt.fingerprint);
    return attempt;
}

/* Those who guess from many sessions at once wait for each other, as they would in one. */
static msec wait_for(struct keeper *keeper, const struct throttle_try *attempt, msec delay)
{
    msec wait = delay;
    struct ip place = ip_place(attempt->peer), site = throttle_site(attempt->peer);
    for (const struct list *node = keeper->delayed.next; node != &keeper->delayed && wait < LIMIT_LOGIN_WAIT; node = node->next) {
        const struct login *other = list_element(node, struct task, waiting)->state;
        bool same_name = slice_equal(counted_as(other, is_at_home(keeper, other)), attempt->counted);
        /* Who is at home waits for himself only; and of a site of IPv6 those who guess at one name. */
        if (ip_equal(ip_place(other->peer), place) ? !attempt->is_home || same_name
                                                         : same_name && ip_equal(throttle_site(other->peer), site))
            wait += delay;
    }
    return wait < LIMIT_LOGIN_WAIT ? wait : LIMIT_LOGIN_WAIT;
}

/* Room for one that is due at that time: who has to wait longest is sent away, since he who guesses at many doors waits longest. */
static bool make_room(struct keeper *keeper, msec due)
{
    struct task *latest = NULL;
    if (keeper->delayed_count < LIMIT_DELAYED_LOGINS)
        return true;
    for (struct list *node = keeper->delayed.next; node != &keeper->delayed; node = node->next) {
        struct task *task = list_element(node, struct task, waiting);
        if (!latest || task->due > latest->due)
            latest = task;
    }
    if (!latest || latest->due <= due)
        return false;
    task_resume(latest);
    login_busy(latest);
    return true;
}

/* The account may have changed or gone during a delay. */
static void begin_now(struct task *task)
{
    struct login *login = task->state;
    const struct account *account = directory_account(&task->keeper->directory, login->account);
    login->account = account ? account->id : 0;
    login->generation = account ? account->generation : 0;
    login->begin(task);
}

void login_delay(struct task *task)
{
    struct keeper *keeper = task->keeper;
    msec now = keeper_now(keeper);
    struct throttle_try attempt = login_attempt(task);
    msec delay = keeper->settings->auth_throttle ? throttle_delay(&keeper->throttle, &attempt, now) : 0;
    if (delay == 0) {
        begin_now(task);
        return;
    }
    task->due = now + wait_for(keeper, &attempt, delay);
    if (!make_room(keeper, task->due)) {
        login_busy(task);
        return;
    }
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
        begin_now(task);
    }
}

static void serve_with(struct task *task, void (*begin)(struct task *))
{
    struct login *login = login_open(task);
    if (!login)
        return;
    login->begin = begin;
    login_delay(task);
}

void serve_login(struct task *task)
{
    serve_with(task, begin_password);
}

void serve_login_digest(struct task *task)
{
    serve_with(task, begin_digest);
}

void serve_login_key(struct task *task)
{
    serve_with(task, begin_key);
}

void serve_login_scram(struct task *task)
{
    struct login *login = login_open(task);
    if (!login)
        return;
    /* At once, before any delay: the nonce is gone, whatever comes of it. */
    if (!login_scram_fits(task, login))
        login->reason = "scram-nonce";
    login->begin = begin_scram;
    login_delay(task);
}

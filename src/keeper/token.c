/* token.c - whose token is this?
 *
 * A signed one is checked against the key set on a pool thread; any other is asked about at the introspection endpoint.
 * A signed token whose key we do not have waits for the key set, once.  Whatever cannot be found out opens nothing. */
#include "keeper/login.h"
#include "mail/jwt.h"

struct token_login {
    struct jwk_set *keys; /* while a thread reads them; NULL: none */
    struct settings *settings;
    struct token_rules rules;
    struct token_owner owner;
    enum token_fault fault;
    uint64_t errand; /* which is waited for; 0: none */
    bool renewed;    /* the key set was fetched for it */
};

/* ---- tokens that were good lately -------------------------------------------------------------------------------- */

struct known {
    msec until;
    wall ends; /* the token; 0: it did not say */
    size_t len;
    char name[LIMIT_LOGIN_NAME];
};

struct known_key {
    char name[32];
};

static struct known_key key_of(const struct task *task)
{
    struct known_key key;
    vault_name(task->keeper->cache_key, task->ask.login_token.token, key.name);
    return key; /* cppcheck-suppress uninitvar ; vault_name writes it */
}

static const struct known *recall(const struct task *task)
{
    struct known_key key = key_of(task);
    const struct known *known = map_find(&task->keeper->oauth.known, map_key(key));
    bool fits = known && known->until > keeper_now(task->keeper) && (!known->ends || known->ends > clock_wall());
    return fits ? known : NULL;
}

static void remember(const struct task *task, const struct token_owner *owner)
{
    struct oauth *oauth = &task->keeper->oauth;
    struct known_key key = key_of(task);
    struct known *known = map_find(&oauth->known, map_key(key));
    if ((!known && oauth->known.count >= LIMIT_TOKENS_KNOWN) || owner->name.len > sizeof known->name)
        return;
    if (!known) {
        known = alloc(sizeof *known);
        map_put(&oauth->known, map_key(key), known);
    }
    *known = (struct known){
        .until = keeper_now(task->keeper) + LIMIT_TOKEN_AGE, .ends = owner->until, .len = owner->name.len
    };
    memcpy(known->name, owner->name.ptr, owner->name.len);
}

void token_forget(struct keeper *keeper, msec now)
{
    struct slice key;
    void *value;
    for (size_t at = 0; map_each(&keeper->oauth.known, &at, &key, &value);) {
        if (now && ((struct known *)value)->until > now)
            continue;
        map_take(&keeper->oauth.known, key);
        release(value);
    }
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static struct token_login *of_token(const struct task *task)
{
    return ((const struct login *)task->state)->more;
}

static void discard(struct task *task)
{
    struct token_login *token = of_token(task);
    jwk_set_release(token->keys);
    settings_release(token->settings);
}

static void refuse(struct task *task, const char *reason)
{
    login_found(task, ((const struct login *)task->state)->account, 0, reason);
}

static void finish(struct task *task)
{
    const struct login *login = task->state;
    const struct token_login *token = of_token(task);
    if (token->fault != TOKEN_GOOD) {
        refuse(task, token_fault_name(token->fault));
        return;
    }
    const struct account *account = directory_login(&task->keeper->directory, token->owner.name);
    if (!account)
        login_found(task, 0, 0, "token-of-nobody");
    else if (login->name.len > 0 && login->account != account->id)
        refuse(task, "token-of-another"); /* RFC 7628 3.1: the name must be the token's (C086) */
    else
        login_found(task, account->id, 0, NULL);
}

/* ---- signed tokens ----------------------------------------------------------------------------------------------- */

/* An intruder's gate takes no more than half of the places, and strangers at one leave some to those who were here before (C088). */
static bool has_place(const struct task *task)
{
    const struct oauth *oauth = &task->keeper->oauth;
    uint32_t mine = 0, share = LIMIT_TOKENS_WAITING / 2;
    if (!login_attempt(task).is_home)
        share -= share / 4;
    for (const struct list *node = oauth->waiting.next; node != &oauth->waiting; node = node->next)
        mine += list_element(node, struct task, waiting)->client == task->client;
    return oauth->waiting_count < LIMIT_TOKENS_WAITING && mine < share;
}

static void wait_for(struct task *task, uint64_t errand)
{
    struct oauth *oauth = &task->keeper->oauth;
    struct token_login *token = of_token(task);
    if (!errand || !has_place(task)) {
        login_busy(task);
        return;
    }
    token->errand = errand;
    task_wait(task, &oauth->waiting, &oauth->waiting_count);
}

static enum status verify_work(struct task *task, struct store *none)
{
    struct token_login *token = of_token(task);
    (void)none;
    token->fault = jwt_verify(token->keys, task->ask.login_token.token, &token->rules, &task->arena, &token->owner);
    return STATUS_OK;
}

static void verify(struct task *task);

static void verified(struct task *task)
{
    struct token_login *token = of_token(task);
    jwk_set_release(token->keys);
    token->keys = NULL;
    if (!task->client) {
        task_drop(task);
        return;
    }
    if (task->status == STATUS_BUSY) {
        login_busy(task);
        return;
    }
    /* The issuer may have new keys: looked for once a minute at most, whoever sends what. */
    if (token->fault == TOKEN_UNKNOWN_KEY && !token->renewed) {
        token->renewed = true;
        uint64_t errand = oauth_seek(task->keeper);
        if (errand) {
            wait_for(task, errand);
            return;
        }
    }
    finish(task);
}

static void verify(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct token_login *token = of_token(task);
    if (!keeper->oauth.keys) {
        /* None yet: from a URL they may be on their way. */
        token->renewed = true;
        wait_for(task, oauth_fetch(keeper));
        return;
    }
    token->keys = jwk_set_hold(keeper->oauth.keys);
    token->rules.now = clock_wall();
    /* With proofs and digests: some 100 us do not queue behind passwords. */
    task_go(task, STAGE_PACK, verify_work, verified);
}

/* ---- introspection ----------------------------------------------------------------------------------------------- */

/* RFC 7662 2.1: a form; the same for our name and password (RFC 6749 2.3.1). */
static enum status put_form(struct buf *out, struct slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        if (plain)
            TRY(buf_put_byte(out, (char)c));
        else
            TRY(buf_put(out, (struct slice){ (const char[]){ '%', digits[c >> 4], digits[c & 15] }, 3 }));
    }
    return STATUS_OK;
}

static uint64_t put_question(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct buf form = BUF(LIMIT_ERRAND), user = BUF(LIMIT_LOGIN_NAME), password = BUF(LIMIT_SECRET);
    uint64_t id = 0;
    enum status status = buf_put(&form, S("token_type_hint=access_token&token="));
    status = status ? status : put_form(&form, task->ask.login_token.token);
    status = status ? status : put_form(&user, keeper->settings->oauth_client);
    status = status ? status : put_form(&password, secret_slice(&keeper->oauth.secret));
    if (status == STATUS_OK) {
        struct errand wish = { .kind = ERRAND_FORM,
            .url = keeper->settings->oauth_introspection,
            .form = buf_slice(&form),
            .user = buf_slice(&user),
            .password = buf_slice(&password) };
        id = errand_put(keeper, ERRAND_FOR_TOKEN, &wish);
    } else {
        LOG(LOG_WARNING, "oauth.question", LOG_STATUS(status));
    }
    buf_wipe(&form);
    buf_wipe(&password);
    buf_done(&form);
    buf_done(&user);
    buf_done(&password);
    return id;
}

static void introspect(struct task *task)
{
    struct token_login *token = of_token(task);
    const struct known *known = recall(task);
    if (!known) {
        wait_for(task, has_place(task) ? put_question(task) : 0);
        return;
    }
    struct slice name = { known->name, known->len };
    token->fault = arena_copy(&task->arena, name, &token->owner.name) == STATUS_OK ? TOKEN_GOOD : TOKEN_MALFORMED;
    finish(task);
}

/* Silence and errors are no refusal: the client may try again, and is let in by nothing but a good answer. */
static void introspected(struct task *task, const struct errand_end *end)
{
    struct token_login *token = of_token(task);
    if (end->code != 200) {
        login_busy(task);
        return;
    }
    token->rules.now = clock_wall();
    token->fault = token_introspected(end->body, &token->rules, &task->arena, &token->owner);
    if (token->fault == TOKEN_GOOD && directory_login(&task->keeper->directory, token->owner.name))
        remember(task, &token->owner);
    finish(task);
}

void token_errand_done(struct keeper *keeper, const struct errand_end *end)
{
    struct list *waiting = &keeper->oauth.waiting;
    for (struct list *node = waiting->next, *next; node != waiting; node = next) {
        next = node->next;
        struct task *task = list_element(node, struct task, waiting);
        struct token_login *token = of_token(task);
        if (token->errand != end->id)
            continue;
        task_resume(task);
        token->errand = 0;
        if (!token->renewed)
            introspected(task, end);
        else if (keeper->oauth.keys)
            verify(task);
        else
            login_busy(task);
    }
}

/* ---- ask --------------------------------------------------------------------------------------------------------- */

static void begin_token(struct task *task)
{
    const struct login *login = task->state;
    const struct settings *settings = task->keeper->settings;
    bool keys = settings->oauth_jwks.len > 0, asks = settings->oauth_introspection.len > 0;
    if (!login->try_person) /* never without TLS, never in the lane of devices */
        refuse(task, "token-without-tls");
    else if (keys && (jwt_is(task->ask.login_token.token) || !asks))
        verify(task);
    else if (asks)
        introspect(task);
    else
        refuse(task, "no-tokens-here");
}

void serve_login_token(struct task *task)
{
    struct keeper *keeper = task->keeper;
    struct login *login = login_open(task);
    if (!login)
        return;
    struct token_login *token = arena_take(&task->arena, sizeof *token);
    must(token);
    *token = (struct token_login){ .settings = settings_hold(keeper->settings) };
    token->rules = (struct token_rules){ .issuer = token->settings->oauth_issuer,
        .audience = token->settings->oauth_audience,
        .scope = token->settings->oauth_scope,
        .claim = token->settings->oauth_claim };
    login->more = token;
    login->begin = begin_token;
    task->discard = discard;
    /* Who gives no name is counted by his token, or else all of them would wait for each other. */
    struct known_key key = key_of(task);
    if (login->name.len == 0 && arena_copy(&task->arena, map_key(key), &login->stated) != STATUS_OK)
        login->stated = NO_SLICE;
    login_delay(task);
}

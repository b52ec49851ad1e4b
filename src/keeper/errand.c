/* errand.c - what the courier fetches for us over HTTPS: this process has no way out.
 *
 * The courier asks and waits (ASK_ERRAND), and tells what came of it (ASK_ERRAND_DONE).  An errand that takes too long has failed, whoever has
 * it. */
#include "base/random.h"
#include "keeper/impl.h"

void errand_init(struct errands *errands)
{
    list_init(&errands->waiting);
    list_init(&errands->out);
    list_init(&errands->polls);
    errands->last_id = random_u64() >> 1; /* what a courier brings for another keeper's errand fits none of ours */
}

static void drop(struct keeper *keeper, struct errand *errand)
{
    list_remove(&errand->node);
    keeper->errands.count--;
    wipe((void *)(uintptr_t)errand->form.ptr, errand->form.len);
    wipe((void *)(uintptr_t)errand->password.ptr, errand->password.len);
    arena_done(&errand->arena);
    release(errand);
}

void errand_done_all(struct keeper *keeper)
{
    struct list *lists[] = { &keeper->errands.waiting, &keeper->errands.out };
    for (size_t i = 0; i < 2; i++)
        while (!list_is_empty(lists[i]))
            drop(keeper, list_element(lists[i]->next, struct errand, node));
}

static void end(struct keeper *keeper, struct errand *errand, const struct errand_end *how)
{
    enum errand_for purpose = errand->purpose;
    if (how->code != 200)
        LOG(LOG_WARNING, "errand.failed", LOG_TEXT("url", errand->url), LOG_NUMBER("code", how->code),
            LOG_TEXT("why", how->why));
    drop(keeper, errand);
    if (purpose == ERRAND_FOR_KEYS)
        oauth_fetched(keeper, how);
    token_errand_done(keeper, how);
}

/* ---- out ----------------------------------------------------------------------------------------------------------- */

static bool fill(struct task *task, const struct errand *errand)
{
    struct answer_errand *answer = &task->answer.errand;
    *answer = (struct answer_errand){ .id = errand->id, .kind = errand->kind };
    return arena_copy(&task->arena, errand->url, &answer->url) == STATUS_OK &&
           arena_copy(&task->arena, errand->form, &answer->form) == STATUS_OK &&
           arena_copy(&task->arena, errand->user, &answer->user) == STATUS_OK &&
           arena_copy(&task->arena, errand->password, &answer->password) == STATUS_OK;
}

static void wipe_answer(struct task *task)
{
    const struct answer_errand *answer = &task->answer.errand;
    wipe((void *)(uintptr_t)answer->form.ptr, answer->form.len);
    wipe((void *)(uintptr_t)answer->password.ptr, answer->password.len);
}

static void hand_out(struct keeper *keeper)
{
    struct errands *errands = &keeper->errands;
    while (!list_is_empty(&errands->waiting) && !list_is_empty(&errands->polls)) {
        struct errand *errand = list_element(errands->waiting.next, struct errand, node);
        struct task *task = list_element(errands->polls.next, struct task, waiting);
        task_resume(task);
        list_remove(&errand->node);
        list_append(&errands->out, &errand->node);
        errand->courier = task->client;
        must(fill(task, errand)); /* it was measured when it came */
        task->discard = wipe_answer;
        task_answer(task, STATUS_OK);
    }
}

uint64_t errand_put(struct keeper *keeper, enum errand_for purpose, const struct errand *wish)
{
    struct errands *errands = &keeper->errands;
    if (errands->count >= LIMIT_ERRANDS || wish->url.len > LIMIT_URL || wish->form.len > LIMIT_ERRAND ||
        wish->user.len > LIMIT_LOGIN_NAME || wish->password.len > LIMIT_SECRET)
        return 0;
    struct errand *errand = alloc(sizeof *errand);
    *errand = (struct errand){ .purpose = purpose, .kind = wish->kind, .arena = ARENA(2 * LIMIT_ERRAND) };
    errand->id = ++errands->last_id;
    errand->due = keeper_now(keeper) + LIMIT_ERRAND_WAIT;
    enum status status = arena_copy(&errand->arena, wish->url, &errand->url);
    status = status ? status : arena_copy(&errand->arena, wish->form, &errand->form);
    status = status ? status : arena_copy(&errand->arena, wish->user, &errand->user);
    status = status ? status : arena_copy(&errand->arena, wish->password, &errand->password);
    must(status == STATUS_OK);
    list_append(&errands->waiting, &errand->node);
    errands->count++;
    uint64_t id = errand->id;
    hand_out(keeper);
    return id;
}

void serve_errand(struct task *task)
{
    struct errands *errands = &task->keeper->errands;
    if (errands->poll_count >= LIMIT_ERRANDS) {
        task_answer(task, STATUS_BUSY);
        return;
    }
    task_wait(task, &errands->polls, &errands->poll_count);
    hand_out(task->keeper);
}

/* ---- back ---------------------------------------------------------------------------------------------------------- */

static struct errand *find(struct keeper *keeper, const struct client *courier, uint64_t id)
{
    for (struct list *node = keeper->errands.out.next; node != &keeper->errands.out; node = node->next) {
        struct errand *errand = list_element(node, struct errand, node);
        if (errand->id == id && errand->courier == courier)
            return errand;
    }
    return NULL;
}

void serve_errand_done(struct task *task)
{
    struct keeper *keeper = task->keeper;
    const struct ask_errand_done *done = &task->ask.errand_done;
    struct errand *errand = find(keeper, task->client, done->id);
    /* One that is too late has failed already. */
    if (errand)
        end(keeper, errand, &(struct errand_end){ done->id, done->code, done->body, done->why });
    task_drop(task);
}

static struct errand *find_late(struct list *list, msec now)
{
    for (struct list *node = list->next; node != list; node = node->next) {
        struct errand *errand = list_element(node, struct errand, node);
        if (errand->due <= now)
            return errand;
    }
    return NULL;
}

/* From the beginning each time: who hears of an end may send for something else, which moves the lists. */
static void fail_late(struct keeper *keeper, struct list *list, msec now)
{
    struct errand *errand;
    while ((errand = find_late(list, now)) != NULL)
        end(keeper, errand, &(struct errand_end){ .id = errand->id, .why = S("no reply in time") });
}

void errand_tick(struct keeper *keeper, msec now)
{
    fail_late(keeper, &keeper->errands.waiting, now);
    fail_late(keeper, &keeper->errands.out, now);
}

void errand_release(struct keeper *keeper, const struct client *courier)
{
    struct errands *errands = &keeper->errands;
    for (struct list *node = errands->out.next, *next; node != &errands->out; node = next) {
        next = node->next;
        struct errand *errand = list_element(node, struct errand, node);
        if (errand->courier != courier)
            continue;
        errand->courier = NULL;
        list_remove(&errand->node);
        list_append(&errands->waiting, &errand->node);
    }
}

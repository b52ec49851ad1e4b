/* errand.c - what is fetched over HTTPS for the keeper: one question for work always waits there, as for messages. */
#include "base/alloc.h"
#include "base/log.h"
#include "courier/courier_impl.h"
#include "net/https.h"

struct errand {
    struct courier *courier;
    uint64_t id;
    uint32_t keeper; /* courier.keepers when it was given out: another keeper knows nothing of it */
};

/* Words of the library, and of the other end: one line of text, or the keeper would not take it. */
static struct slice tidy(const char *why, char room[LIMIT_LOG_VALUE])
{
    struct slice text = slice_upto(slice_of(why), LIMIT_LOG_VALUE);
    for (size_t i = 0; i < text.len; i++)
        room[i] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
    return (struct slice){ room, text.len };
}

static void bring(void *context, const struct https_reply *reply)
{
    struct errand *errand = context;
    struct courier *courier = errand->courier;
    char why[LIMIT_LOG_VALUE];
    struct ask ask = { .kind = ASK_ERRAND_DONE, .fd = -1,
        .errand_done = { .id = errand->id, .code = reply->code, .body = reply->body, .why = tidy(reply->why, why) } };
    if (errand->keeper == courier->keepers && courier_ask(courier, &ask) == 0)
        LOG(LOG_WARNING, "courier.errand-lost", LOG_NUMBER("code", reply->code));
    courier->errand_count--;
    release(errand);
    errand_next(courier);
}

static void go(struct courier *courier, const struct answer_errand *answer)
{
    struct errand *errand = alloc(sizeof *errand);
    *errand = (struct errand){ .courier = courier, .id = answer->id, .keeper = courier->keepers };
    courier->errand_count++;
    LOG(LOG_DEBUG, "courier.errand", LOG_TEXT("url", answer->url));
    https_ask(courier->https, &(struct https_wish){ .url = answer->url, .form = answer->form, .user = answer->user,
        .password = answer->password, .post = answer->kind == ERRAND_FORM }, bring, errand);
}

void errand_next(struct courier *courier)
{
    if (courier->stopping || courier->errand_number != 0 || courier->errand_count >= LIMIT_ERRANDS)
        return;
    courier->errand_number = courier_ask(courier, &(struct ask){ .kind = ASK_ERRAND, .fd = -1 });
}

bool errand_answer(struct courier *courier, uint32_t number, const struct answer *answer)
{
    if (number == 0 || number != courier->errand_number)
        return false;
    courier->errand_number = 0;
    if (answer->status == STATUS_OK && answer->kind == ASK_ERRAND && !courier->stopping)
        go(courier, &answer->errand);
    errand_next(courier);
    return true;
}

#include "courier/courier.h"

#include <signal.h>

#include "base/log.h"
#include "base/must.h"
#include "courier/courier_impl.h"
#include "jail/jail.h"
#include "net/https.h"

uint32_t courier_ask(struct courier *courier, const struct ask *ask)
{
    if (courier->keeper == NULL)
        return 0;
    if (++courier->last_number == 0)
        courier->last_number = 1;
    struct frame frame = { .number = courier->last_number, .ask = *ask };
    return channel_put(courier->keeper, &frame) == STATUS_OK ? courier->last_number : 0;
}

/* One claim is always under way while there is room: the keeper answers it when a message is due. */
static void claim_next(struct courier *courier)
{
    if (courier->stopping || courier->claim_number != 0 || courier->attempt_count >= courier->settings->queue_concurrency)
        return;
    courier->claim_number = courier_ask(courier, &(struct ask){ .kind = ASK_CLAIM, .fd = -1 });
}

void courier_ended(struct courier *courier)
{
    must(courier->attempt_count > 0);
    courier->attempt_count--;
    if (courier->stopping && courier->attempt_count == 0)
        loop_stop(&courier->loop);
    claim_next(courier);
}

static void on_frame(void *context, struct frame *frame)
{
    struct courier *courier = context;
    if (frame->is_answer && frame->number == courier->claim_number) {
        courier->claim_number = 0;
        if (frame->answer.status == STATUS_OK && frame->answer.kind == ASK_CLAIM && !courier->stopping) {
            courier->attempt_count++;
            attempt_open(courier, &frame->answer.claim);
        }
        claim_next(courier);
        return;
    }
    if (frame->is_answer && errand_answer(courier, frame->number, &frame->answer))
        return;
    for (struct list *node = courier->attempts.next; frame->is_answer && node != &courier->attempts; node = node->next) {
        if (attempt_answer(attempt_of(node), frame->number, &frame->answer))
            return;
    }
}

static void forget_keeper(struct courier *courier)
{
    if (courier->keeper != NULL)
        channel_close(courier->keeper);
    courier->keeper = NULL;
    courier->claim_number = courier->errand_number = 0;
    courier->keepers++;
    /* The keeper ends the claims of a courier that it lost; so nothing that was tried here may be settled later. */
    for (struct list *node = courier->attempts.next, *next; node != &courier->attempts; node = next) {
        next = node->next;
        attempt_abort(attempt_of(node));
    }
}

static void on_lost(void *context, const char *why)
{
    struct courier *courier = context;
    LOG(LOG_WARNING, "courier.keeper-lost", LOG_WORD("reason", why));
    forget_keeper(courier);
    control_tell(courier->control, CONTROL_CHANNEL);
}

static void take_boot(struct courier *courier, int fd)
{
    struct arena arena = ARENA(LIMIT_SETTINGS_FILE);
    struct buf octets = BUF(4 * LIMIT_SETTINGS_FILE), why = BUF(1024);
    struct boot boot;
    struct settings *settings;
    enum status status = boot_get(fd, &arena, &octets, &boot);
    if (status == STATUS_OK)
        status = courier->start->parse(&boot, &settings, &why);
    if (status == STATUS_OK) {
        settings_release(courier->settings);
        courier->settings = settings;
        https_trust(courier->https, boot.oauth_ca);
        claim_next(courier);
    } else {
        LOG(LOG_ERROR, "courier.settings-refused", LOG_STATUS(status), LOG_TEXT("reason", buf_slice(&why)));
    }
    buf_wipe(&octets);
    buf_done(&octets);
    buf_done(&why);
    arena_done(&arena);
    control_tell(courier->control, CONTROL_IN_FORCE);
}

static void stop(struct courier *courier)
{
    courier->stopping = true;
    /* Attempts under way are cut: what was not answered is tried again, and the claim ends with this process. */
    loop_stop(&courier->loop);
}

static void on_control(void *context, const struct control_message *message)
{
    struct courier *courier = context;
    switch (message->kind) {
    case CONTROL_CHANNEL:
        forget_keeper(courier);
        courier->keeper = channel_open(&courier->loop, message->fd,
            &(struct channel_events){ .frame = on_frame, .lost = on_lost, .context = courier });
        claim_next(courier);
        errand_next(courier);
        return;
    case CONTROL_BOOT:
        take_boot(courier, message->fd);
        return;
    case CONTROL_STOP:
    case CONTROL_GONE:
        stop(courier);
        break;
    default:
        break;
    }
    if (message->fd >= 0)
        close(message->fd);
}

int courier_run(struct role_start *start)
{
    struct courier courier = { .start = start, .settings = start->settings };
    list_init(&courier.attempts);
    signal(SIGPIPE, SIG_IGN);
    loop_init(&courier.loop);
    if (dns_open(&courier.loop, courier.settings->dns_servers, &courier.dns) != STATUS_OK) {
        LOG(LOG_ERROR, "courier.dns-refused", LOG_WORD("hint", "dns.servers: use address or address:port"));
        return 1;
    }
    must(tls_context_open_client(&courier.tls) == STATUS_OK);
    courier.https = https_open(&courier.loop, courier.dns);
    https_trust(courier.https, start->boot.oauth_ca);
    courier.control = control_open(&courier.loop, start->control, on_control, &courier);
    struct jail_plan plan = { .role = ROLE_COURIER, .uid = jail_uid(ROLE_COURIER, courier.settings->uid_courier), .files = 1024 };
    if (jail_enter(&plan) != STATUS_OK) {
        control_tell(courier.control, CONTROL_FAILED);
        return 1;
    }
    control_tell(courier.control, CONTROL_READY);
    loop_run(&courier.loop);
    return 0;
}

/* offers.c - which mechanisms credentials name: each gate waits for the next change of that, and lists them. */
#include "base/random.h"
#include "keeper/impl.h"

static void answer(struct task *task)
{
    const struct keeper *keeper = task->keeper;
    task->answer.offers =
        (struct answer_offers){ .serial = keeper->offers_serial, .mechanisms = keeper->offers_mechanisms };
    task_answer(task, STATUS_OK);
}

void offers_renew(struct keeper *keeper)
{
    uint32_t mechanisms = directory_mechanisms(&keeper->directory);
    if (keeper->offers_serial != 0 && keeper->offers_mechanisms == mechanisms)
        return;
    keeper->offers_mechanisms = mechanisms;
    /* Begun anywhere, so that what a gate knows of the keeper before is nothing of this one's. */
    if (keeper->offers_serial == 0)
        keeper->offers_serial = (uint32_t)random_u64();
    if (++keeper->offers_serial == 0)
        keeper->offers_serial = 1;
    while (!list_is_empty(&keeper->offers)) {
        struct task *task = list_element(keeper->offers.next, struct task, waiting);
        task_resume(task);
        answer(task);
    }
}

void serve_offers(struct task *task)
{
    struct keeper *keeper = task->keeper;
    if (task->ask.offers.known != keeper->offers_serial)
        answer(task);
    else if (keeper->offers_count >= OFFERS_WAITING)
        task_answer(task, STATUS_BUSY);
    else
        task_wait(task, &keeper->offers, &keeper->offers_count);
}

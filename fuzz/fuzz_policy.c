/* fuzz_policy.c - the fourth door: what a neighbour says to `ekirei policy`.  The first octet chooses Postfix's protocol or the reports, and how
 * the octets are cut; what must hold is must(). */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "config.h"
#include "proto/policy/book.h"

#define KEY   S("0123456789abcdef0123456789abcdef")
#define NONCE S("fedcba9876543210")
#define STEP  60000u /* milliseconds between two pieces of the wire */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t granted, taken;

/* Leases for some whom the input may ask about. */
static void log_in(struct book *book, const char *name, const char *peer, msec now)
{
    struct report report = { .name = slice_of(name) };
    enum status status = ip_parse(slice_of(peer), &report.peer);
    must(status == STATUS_OK);
    struct book_login login = book_login(book, &report, now);
    must(login.lease || login.refusal);
    granted += login.lease ? login.lease->recipients : 0;
}

static void judge(struct book *book, const struct policy_query *query, msec now)
{
    struct buf answer = BUF(256);
    struct book_verdict verdict = book_judge(book, query, now);
    enum status status = policy_put(&answer, verdict.action);
    must(status == STATUS_OK && answer.ptr[answer.len - 1] == '\n' && answer.ptr[answer.len - 2] == '\n');
    must(verdict.action != POLICY_OK || (verdict.lease && query->login.len == 0 && query->sender.len > 0));
    taken += verdict.action == POLICY_OK && verdict.is_new;
    must(taken <= granted);
    buf_done(&answer);
}

static void run_policy(struct slice octets, size_t piece)
{
    struct settings *settings = config_default();
    struct policy policy;
    struct policy_query query;
    struct book book;
    enum policy_event event = POLICY_MORE;
    msec now = 1;
    book_init(&book, settings);
    policy_init(&policy);
    granted = taken = 0;
    while (octets.len > 0 && event != POLICY_BAD) {
        struct slice wire = slice_upto(octets, piece);
        octets = slice_from(octets, wire.len);
        log_in(&book, "a@b.c", "192.0.2.7", now);
        log_in(&book, "user", "2001:db8::7", now);
        while (wire.len > 0 && event != POLICY_BAD) {
            event = policy_feed(&policy, &wire, &query);
            if (event == POLICY_ASKED)
                judge(&book, &query, now);
            else
                must(event == POLICY_BAD || wire.len == 0);
        }
        now += STEP;
        book_sweep(&book, now);
    }
    policy_done(&policy);
    book_done(&book);
    settings_release(settings);
}

/* What passed is written as it came; nobody but the key's owner passes. */
static void run_report(struct slice octets, size_t piece)
{
    struct reporter reporter;
    struct report report;
    enum report_event event = REPORT_MORE;
    reporter_init(&reporter, KEY, NONCE);
    while (octets.len > 0 && event != REPORT_BAD) {
        struct slice wire = slice_upto(octets, piece);
        octets = slice_from(octets, wire.len);
        while (wire.len > 0 && event != REPORT_BAD) {
            event = reporter_feed(&reporter, &wire, &report);
            must(event != REPORT_TOLD); /* no input of these holds a MAC */
        }
    }
    reporter_done(&reporter);
}

/* A report with the key, whose name is the input: what is read is what was written, or it is refused as no name. */
static void run_name(struct slice name)
{
    struct reporter reporter;
    struct report told = { .sequence = 1, .name = slice_upto(name, LIMIT_LOGIN_NAME) }, heard;
    struct buf line = BUF(LIMIT_REPORT_OCTETS + 1);
    reporter_init(&reporter, KEY, NONCE);
    enum status status = report_put(&line, KEY, slice_of(reporter.nonce), &told);
    must(status == STATUS_OK);
    struct slice wire = buf_slice(&line);
    bool good = told.name.len > 0 && slice_is_utf8(told.name) && !slice_has_control(told.name);
    enum report_event event = reporter_feed(&reporter, &wire, &heard);
    must(event == (good ? REPORT_TOLD : REPORT_BAD));
    must(!good || slice_equal(heard.name, told.name));
    reporter_done(&reporter);
    buf_done(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice octets = { (const char *)data + 1, size - 1 };
    size_t piece = (size_t)1 << (data[0] >> 3 & 15);
    switch (data[0] % 4) {
    case 0:
        run_report(octets, piece);
        break;
    case 1:
        run_name(octets);
        break;
    default:
        run_policy(octets, piece);
    }
    return 0;
}

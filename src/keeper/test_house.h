/* test_house.h - a keeper on a loop thread of its own, over a store in a temporary folder, with a blocking channel for
 * each role. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keeper/impl.h"
#include "keeper/keeper.h"

#define assert_status(expected, got) assert_string_equal(status_name(got), status_name(expected))
#define assert_ok(got)               assert_status(STATUS_OK, got)
#define assert_text(expected, got)                                                                                     \
    assert_true(slice_equal(slice_of(expected), (got)) || (print_message("%.*s\n", (int)(got).len, (got).ptr), false))

enum { END_MX, END_USER, END_COURIER, END_CTL, ENDS };

struct house {
    char dir[64];
    struct settings *settings;
    struct keeper *keeper;
    struct loop loop;
    uv_async_t stop;
    pthread_t thread;
    int ends[ENDS];
    struct arena arena; /* answers live here, until house_forget() */
    struct buf in[ENDS];
    uint32_t number;
};

int house_setup(void **state); /* domain our.test, accounts alice (flagged), bob, carol with password "secret-NAME" */
int house_teardown(void **state);
void house_start(struct house *h);
void house_stop(struct house *h);
struct ip house_ip(const char *text);
/* One question and its answer.  AWAY: the channel was closed. */
struct answer house_ask(struct house *h, int end, uint64_t session, const struct ask *ask);
uint32_t house_put(struct house *h, int end, uint64_t session, const struct ask *ask);
struct answer house_get(struct house *h, int end, uint32_t number); /* number 0: whichever comes */
bool house_is_closed(struct house *h, int end);

/* Words of the talk. */
struct answer_login house_login(struct house *h, int end, uint64_t session, const char *name, const char *secret,
    uint8_t protocol, const char *peer);
uint8_t house_mail(struct house *h, int end, uint64_t session, const char *sender, const char *peer);
uint8_t house_rcpt(struct house *h, int end, uint64_t session, const char *recipient);
struct answer house_deliver(struct house *h, int end, uint64_t session, const char *sender, const char *recipient,
    const char *author, const char *body);
void house_add(struct house *h, const char *address, bool flagged);
enum status house_alias(struct house *h, const char *address, const char *target);
uint32_t house_messages(struct house *h, uint64_t session);
struct slice house_fetch(
    struct house *h, uint64_t session, uint32_t uid); /* the whole message, unpacked, in the arena */

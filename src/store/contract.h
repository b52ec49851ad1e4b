/* contract.h - what the parts of the contract suite share; any store must pass it, so nothing here knows how one works
 * inside. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/body.h"
#include "store/store.h"

#define assert_status(expected, got) assert_string_equal(status_name(got), status_name(expected))
#define assert_ok(got)               assert_status(STATUS_OK, got)

/* A store in a folder of its own, open for writing. */
struct contract {
    char dir[64];
    struct store *store;
    const struct store_verbs *v; /* store->verbs */
    struct arena arena;
    struct buf why, octets;
};

int contract_setup(void **state);
int contract_teardown(void **state);
void contract_remove(const char *dir);
enum status contract_open(
    struct contract *c, enum store_mode mode, bool create, msec patience, struct store **out_store);
void contract_close(struct contract *c);
void contract_reopen(struct contract *c);

void contract_begin(struct contract *c);
void contract_commit(struct contract *c);
uint32_t contract_account(struct contract *c, const char *address); /* inside a transaction */
/* A body of `size` octets made from `seed`: noise that does not shrink, so that stored and plain sizes are close. */
void contract_text(struct buf *out, unsigned seed, size_t size);
void contract_body(struct buf *packed, unsigned seed, size_t size, struct store_body *out_body);
enum status contract_deliver(struct contract *c, unsigned seed, size_t size, const uint32_t *accounts, size_t count);
/* The maildrop, all of it. */
void contract_list(struct contract *c, struct store *store, uint32_t account, struct answer_drop_list *out);
/* Reads the whole message in pages of `room` and compares it with contract_text(seed, size). */
void contract_read(
    struct contract *c, struct store *store, uint32_t account, uint32_t uid, unsigned seed, size_t size, size_t room);
bool contract_same(struct slice packed, unsigned seed, size_t size);

extern const struct CMUnitTest contract_mail[], contract_queue[], contract_crash[], contract_check[];
extern const size_t contract_mail_count, contract_queue_count, contract_crash_count, contract_check_count;

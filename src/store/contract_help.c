/* contract_help.c - what the parts of the contract suite share. */
#include "store/contract.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "mail/pack.h"

int contract_setup(void **state)
{
    struct contract *c = alloc(sizeof *c);
    snprintf(c->dir, sizeof c->dir, "/tmp/ekirei-store-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    c->arena = ARENA(64u << 20);
    c->why = BUF(4096);
    c->octets = BUF(64u << 20);
    *state = c;
    assert_ok(contract_open(c, STORE_WRITER, true, 0, &c->store));
    c->v = c->store->verbs;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

void contract_remove(const char *dir)
{
    assert_int_equal(0, nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS));
}

int contract_teardown(void **state)
{
    struct contract *c = *state;
    contract_close(c);
    contract_remove(c->dir);
    arena_done(&c->arena);
    buf_done(&c->why);
    buf_done(&c->octets);
    release(c);
    return 0;
}

enum status contract_open(
    struct contract *c, enum store_mode mode, bool create, msec patience, struct store **out_store)
{
    struct store_plan plan = { .dir = c->dir, .mode = mode, .patience = patience, .create = create };
    buf_clear(&c->why);
    return store_open(&plan, out_store, &c->why);
}

void contract_close(struct contract *c)
{
    store_close(c->store);
    c->store = NULL;
}

void contract_reopen(struct contract *c)
{
    contract_close(c);
    assert_ok(contract_open(c, STORE_WRITER, false, 0, &c->store));
}

void contract_begin(struct contract *c)
{
    assert_ok(c->v->begin(c->store));
}
void contract_commit(struct contract *c)
{
    assert_ok(c->v->commit(c->store));
}

uint32_t contract_account(struct contract *c, const char *address)
{
    struct store_account account = {
        .address = slice_of(address), .password = S("$verifier"), .created = 5, .enabled = true
    };
    uint32_t id = 0;
    assert_ok(c->v->account_add(c->store, &account, &id));
    assert_true(id > 0);
    return id;
}

void contract_text(struct buf *out, unsigned seed, size_t size)
{
    uint32_t x = seed * 2654435761u + 1;
    char *room;
    assert_ok(buf_reserve(out, size, &room));
    for (size_t i = 0; i < size; i++) {
        x = x * 1664525u + 1013904223u;
        room[i] = (char)(x >> 24);
    }
    buf_grown(out, size);
}

void contract_body(struct buf *packed, unsigned seed, size_t size, struct store_body *out_body)
{
    struct buf plain = BUF(64u << 20);
    contract_text(&plain, seed, size);
    buf_clear(packed);
    assert_ok(pack(packed, buf_slice(&plain)));
    buf_done(&plain);
    *out_body = (struct store_body){
        .packed = buf_slice(packed), .size = size, .stored = packed->len, .digest = { (uint8_t)seed }
    };
}

enum status contract_deliver(struct contract *c, unsigned seed, size_t size, const uint32_t *accounts, size_t count)
{
    struct store_target targets[16];
    struct store_message message = {
        .received = 1000 + seed, .pop3_size = size + 3, .targets = targets, .target_count = count
    };
    uint64_t queue_id = 99;
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        targets[i].account = accounts[i];
    contract_body(&c->octets, seed, size, &message.body);
    enum status status = c->v->deliver(c->store, &message, &queue_id);
    if (status == STATUS_OK)
        assert_int_equal(0, queue_id);
    return status;
}

void contract_list(struct contract *c, struct store *store, uint32_t account, struct answer_drop_list *out)
{
    arena_reset(&c->arena);
    assert_ok(store->verbs->drop_list(store, account, &(struct ask_drop_list){ 0 }, &c->arena, out));
    assert_false(out->more);
}

bool contract_same(struct slice packed, unsigned seed, size_t size)
{
    struct buf plain = BUF(64u << 20), expected = BUF(64u << 20);
    while (packed.len > 0) {
        size_t len;
        if (pack_frame(packed, &len) != STATUS_OK || unpack_frame(&plain, slice_upto(packed, len)) != STATUS_OK)
            break;
        packed = slice_from(packed, len);
    }
    contract_text(&expected, seed, size);
    bool same = packed.len == 0 && slice_equal(buf_slice(&plain), buf_slice(&expected));
    buf_done(&plain);
    buf_done(&expected);
    return same;
}

void contract_read(
    struct contract *c, struct store *store, uint32_t account, uint32_t uid, unsigned seed, size_t size, size_t room)
{
    struct store_page page = { .account = account, .uid = uid };
    struct buf *out = &c->octets;
    buf_clear(out);
    do {
        size_t before = out->len, frame;
        assert_ok(store->verbs->message_read(store, &page, room, out, &page.at));
        struct slice got = slice_from(buf_slice(out), before);
        if (got.len > room) { /* more than was asked for only where one frame needs it */
            assert_ok(pack_frame(got, &frame));
            assert_int_equal(frame, got.len);
        }
        assert_true(page.at == 0 || page.at == out->len);
    } while (page.at != 0);
    assert_true(contract_same(buf_slice(out), seed, size));
}

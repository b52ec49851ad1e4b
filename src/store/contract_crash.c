/* contract_crash.c - what was acknowledged survives a process that is killed at any moment. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/contract.h"

#define ROUNDS 20

/* What the child tells after each commit: this message is on disk. */
struct receipt {
    uint32_t account, uid;
    unsigned seed, size;
};

static void child_work(struct contract *c, uint32_t account, unsigned seed, int receipts)
{
    if (contract_open(c, STORE_WRITER, false, 2000, &c->store) != STATUS_OK)
        _exit(2);
    c->v = c->store->verbs;
    for (;; seed++) {
        unsigned size = seed % 7 == 0 ? 100000 : 500 + seed % 3000;
        struct answer_drop_list list;
        contract_begin(c);
        if (contract_deliver(c, seed, size, &account, 1) != STATUS_OK || c->v->commit(c->store) != STATUS_OK)
            _exit(3);
        contract_list(c, c->store, account, &list);
        struct receipt receipt = { account, row_of(struct drop_row, list.rows, list.rows.count - 1)->uid, seed, size };
        if (write(receipts, &receipt, sizeof receipt) != sizeof receipt)
            _exit(4);
        if (seed % 5 == 0)
            c->v->rest(c->store);
    }
}

/* C216, C134: killed at a random moment, again and again.  Every receipt's message is there, whole, under its UID; no
 * UID was given out twice. */
static void test_c216_kill(void **state)
{
    struct contract *c = *state;
    static struct receipt receipts[4096];
    size_t count = 0;
    contract_begin(c);
    uint32_t account = contract_account(c, "a@b.example");
    contract_commit(c);
    contract_close(c);
    for (unsigned round = 0; round < ROUNDS; round++) {
        int ends[2], status;
        assert_int_equal(0, pipe(ends));
        pid_t child = fork();
        if (child == 0)
            child_work(c, account, round * 10000, ends[1]);
        close(ends[1]);
        size_t before = count;
        assert_int_equal(sizeof *receipts, read(ends[0], &receipts[count++], sizeof *receipts));
        usleep(1000 * (round % 7) + 137 * round);
        assert_int_equal(0, kill(child, SIGKILL));
        while (count < 4096 && read(ends[0], &receipts[count], sizeof *receipts) == sizeof *receipts)
            count++;
        close(ends[0]);
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_true(WIFSIGNALED(status));
        for (size_t i = before + 1; i < count; i++)
            assert_true(receipts[i].uid > receipts[i - 1].uid);
        assert_true(before == 0 || receipts[before].uid > receipts[before - 1].uid);
        assert_ok(contract_open(c, STORE_WRITER, false, 2000, &c->store));
        for (size_t i = before; i < count; i++)
            contract_read(c, c->store, account, receipts[i].uid, receipts[i].seed, receipts[i].size, 65536);
        contract_close(c);
    }
    assert_ok(contract_open(c, STORE_WRITER, false, 2000, &c->store));
    for (size_t i = 0; i < count; i++)
        contract_read(c, c->store, account, receipts[i].uid, receipts[i].seed, receipts[i].size, 65536);
}

/* C218: a body whose transaction never came is swept at the next start; one that is named stays. */
static void test_c218_orphan_files(void **state)
{
    struct contract *c = *state;
    struct body_store bodies;
    struct body_file orphan, half, named;
    contract_begin(c);
    uint32_t account = contract_account(c, "a@b.example");
    contract_commit(c);
    struct store_target target = { account };
    struct store_message message = { .received = 1, .pop3_size = 300000, .targets = &target, .target_count = 1 };
    uint64_t queue_id;
    contract_body(&c->octets, 7, 300000, &message.body);
    assert_ok(body_store_open(&bodies, c->dir));
    assert_ok(body_file_open(&bodies, &orphan));
    assert_ok(body_file_put(&orphan, message.body.packed));
    assert_ok(body_file_finish(&bodies, &orphan));
    assert_ok(body_file_open(&bodies, &half));
    assert_ok(body_file_put(&half, slice_upto(message.body.packed, 1000)));
    assert_ok(body_file_open(&bodies, &named));
    assert_ok(body_file_put(&named, message.body.packed));
    assert_ok(body_file_finish(&bodies, &named));
    message.body.packed = NO_SLICE;
    message.body.file = slice_of(named.name);
    contract_begin(c);
    assert_ok(c->v->deliver(c->store, &message, &queue_id));
    contract_commit(c);
    contract_reopen(c);
    buf_clear(&c->octets);
    assert_status(STATUS_NOT_FOUND, body_file_read(&bodies, slice_of(orphan.name), 0, 10, &c->octets));
    assert_status(STATUS_NOT_FOUND, body_file_read(&bodies, slice_of(half.name), 0, 10, &c->octets));
    contract_read(c, c->store, account, 1, 7, 300000, 65536);

    /* A file that was cut behind our back is told, not sent. */
    assert_int_equal(0, close(half.fd));
    char path[160];
    snprintf(path, sizeof path, "%s/%s", c->dir, named.name);
    assert_int_equal(0, truncate(path, 1000));
    buf_clear(&c->octets);
    struct store_page page = { account, 1, 0 };
    uint64_t next;
    assert_status(STATUS_CORRUPT, c->v->message_read(c->store, &page, 65536, &c->octets, &next));
    assert_int_equal(0, c->octets.len);
    assert_int_equal(0, unlink(path));
    assert_status(STATUS_CORRUPT, c->v->message_read(c->store, &page, 65536, &c->octets, &next));
    body_store_close(&bodies);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

const struct CMUnitTest contract_crash[] = { TEST(test_c216_kill), TEST(test_c218_orphan_files) };
const size_t contract_crash_count = sizeof contract_crash / sizeof *contract_crash;

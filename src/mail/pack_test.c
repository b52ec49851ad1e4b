#include "mail/pack.h"

#include <zstd.h>

#include "base/limits.h"
#include "base/random.h"
#include "base/testing.h"

static struct buf text_of(size_t len, bool noise)
{
    struct random_stream random = { len };
    struct buf b = BUF(len);
    for (size_t i = 0; i < len; i++)
        assert_ok(buf_put_byte(&b, noise ? (char)random_next(&random) : (char)('a' + i / 100 % 26)));
    return b;
}

static void bodies_of_every_size_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 2, 100, 4096, LIMIT_BODY_FRAME - 1, LIMIT_BODY_FRAME, LIMIT_BODY_FRAME + 1,
        3 * LIMIT_BODY_FRAME, 3 * LIMIT_BODY_FRAME + 77 };
    for (size_t i = 0; i < COUNT(sizes) * 2; i++) {
        size_t len = sizes[i / 2], frames = 0, frame;
        struct buf plain = text_of(len, i % 2), packed = BUF(1 << 20), back = BUF(len);
        assert_ok(pack(&packed, buf_slice(&plain)));
        struct slice rest = buf_slice(&packed);
        for (; rest.len > 0; frames++) {
            assert_ok(pack_frame(rest, &frame));
            assert_ok(unpack_frame(&back, slice_upto(rest, frame)));
            assert_true(rest.len == frame || back.len % LIMIT_BODY_FRAME == 0);
            rest = slice_from(rest, frame);
        }
        assert_octets(buf_slice(&back), buf_slice(&plain));
        assert_int_equal(frames, (len + LIMIT_BODY_FRAME - 1) / LIMIT_BODY_FRAME);
        /* Any zstd reads the whole. */
        char *other = malloc(len + 1);
        assert_int_equal(ZSTD_decompress(other, len + 1, packed.ptr, packed.len), len);
        assert_true(slice_equal((struct slice){ other, len }, buf_slice(&plain)));
        free(other);
        buf_done(&plain);
        buf_done(&packed);
        buf_done(&back);
    }
}

static void the_maximum_is_used_to_the_octet(void **state)
{
    (void)state;
    struct buf plain = text_of(70000, true), packed = BUF(1 << 20);
    assert_ok(pack(&packed, buf_slice(&plain)));
    for (size_t less = 0; less < 5; less++) {
        struct buf b = BUF(packed.len + 3 - less);
        assert_ok(buf_put(&b, S("...")));
        assert_status(pack(&b, buf_slice(&plain)), less ? STATUS_TOO_BIG : STATUS_OK);
        assert_int_equal(b.len, less ? 3 : packed.len + 3);
        buf_done(&b);
    }
    struct buf small = BUF(LIMIT_BODY_FRAME - 1);
    size_t frame;
    assert_ok(pack_frame(buf_slice(&packed), &frame));
    assert_status(unpack_frame(&small, slice_upto(buf_slice(&packed), frame)), STATUS_TOO_BIG);
    assert_int_equal(small.len, 0);
    buf_done(&small);
    buf_done(&plain);
    buf_done(&packed);
}

static void C148_every_flipped_bit_is_found(void **state)
{
    (void)state;
    struct buf plain = text_of(300, true), packed = BUF(1000);
    assert_ok(pack(&packed, buf_slice(&plain)));
    for (size_t bit = 0; bit < packed.len * 8; bit++) {
        char *copy = exactly(buf_slice(&packed));
        struct buf back = BUF(LIMIT_BODY_FRAME);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        assert_status(unpack_frame(&back, (struct slice){ copy, packed.len }), STATUS_CORRUPT);
        assert_int_equal(back.len, 0);
        buf_done(&back);
        free(copy);
    }
    buf_done(&plain);
    buf_done(&packed);
}

static void C148_cut_and_joined_frames_are_found(void **state)
{
    (void)state;
    struct buf plain = text_of(500, false), packed = BUF(5000);
    assert_ok(pack(&packed, buf_slice(&plain)));
    size_t len = packed.len, frame;
    for (size_t cut = 0; cut < len; cut++) {
        char *copy = exactly(slice_upto(buf_slice(&packed), cut));
        struct buf back = BUF(LIMIT_BODY_FRAME);
        assert_status(pack_frame((struct slice){ copy, cut }, &frame), STATUS_MALFORMED);
        assert_status(unpack_frame(&back, (struct slice){ copy, cut }), STATUS_CORRUPT);
        buf_done(&back);
        free(copy);
    }
    assert_ok(pack(&packed, buf_slice(&plain)));
    assert_ok(pack_frame(buf_slice(&packed), &frame));
    assert_int_equal(frame, len);
    struct buf back = BUF(LIMIT_BODY_FRAME);
    assert_status(unpack_frame(&back, buf_slice(&packed)), STATUS_CORRUPT);
    /* Even where the second frame adds no plain octet. */
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    packed.len = len + ZSTD_compress2(context, packed.ptr + len, packed.cap - len, "", 0);
    ZSTD_freeCCtx(context);
    assert_status(unpack_frame(&back, buf_slice(&packed)), STATUS_CORRUPT);
    assert_ok(unpack_frame(&back, slice_upto(buf_slice(&packed), len)));
    buf_done(&back);
    buf_done(&plain);
    buf_done(&packed);
}

static void refuse_frame(size_t plain_len, bool checksum, bool size)
{
    struct buf plain = text_of(plain_len, false), packed = BUF(1 << 20);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, checksum);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, size);
    char *room;
    assert_ok(buf_reserve(&packed, 500000, &room));
    size_t len = ZSTD_compress2(context, room, 500000, plain.ptr, plain.len), frame;
    buf_grown(&packed, len);
    assert_status(pack_frame(buf_slice(&packed), &frame), STATUS_MALFORMED);
    ZSTD_freeCCtx(context);
    buf_done(&plain);
    buf_done(&packed);
}

static void C143_frames_that_are_not_ours_are_refused(void **state)
{
    (void)state;
    refuse_frame(LIMIT_BODY_FRAME + 1, true, true); /* a bomb: told by its own header */
    refuse_frame(100, true, false);                 /* and one that does not tell */
    refuse_frame(100, false, true);
    size_t frame;
    assert_status(pack_frame(S("\x50\x2a\x4d\x18\x00\x00\x00\x00"), &frame), STATUS_MALFORMED); /* skippable */
    assert_status(pack_frame(S("plain text"), &frame), STATUS_MALFORMED);
    assert_status(pack_frame(NO_SLICE, &frame), STATUS_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_every_size_come_back),
        cmocka_unit_test(the_maximum_is_used_to_the_octet),
        cmocka_unit_test(C148_every_flipped_bit_is_found),
        cmocka_unit_test(C148_cut_and_joined_frames_are_found),
        cmocka_unit_test(C143_frames_that_are_not_ours_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

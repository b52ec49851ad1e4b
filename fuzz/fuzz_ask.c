/* fuzz_ask.c - the third door: what one process says to another.  Octets that are taken for a frame must be one: written again they are the same. */
#include "ask/ask.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct arena arena = ARENA(8u << 20);
    struct buf again = BUF(4u << 20), text = BUF(16u << 20);
    struct frame frame;
    if (frame_get(in, &arena, &frame) == STATUS_OK) {
        enum status put = frame_put(&again, &frame);
        must(put == STATUS_OK && slice_equal(buf_slice(&again), in));
        enum status printed = frame.is_answer ? answer_print(&text, &frame.answer) : ask_print(&text, &frame.ask);
        must(printed == STATUS_OK && !slice_has_control(buf_slice(&text)));
    }
    buf_done(&again);
    buf_done(&text);
    arena_done(&arena);
    return 0;
}

/* fuzz_ask.c - the third door: what one process says to another.  The first octet chooses: frames, a stream of them as a channel cuts it, messages
 * written from structs, and the message with which a role starts.  What must hold is must(): octets that are taken for a message are one (written
 * again they are the same), what was written is read as it was, a secret is never printed, and a descriptor belongs to the frame that announced it. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "net/boot.h"
#include "net/wire.h"

#define HELD 1000 /* stands for a descriptor: nothing opens or closes it here */

static enum status print(struct buf *out, const struct frame *frame)
{
    return frame->is_answer ? answer_print(out, &frame->answer) : ask_print(out, &frame->ask);
}

static void check_frame(const struct frame *frame, struct slice in)
{
    struct buf again = BUF(4u << 20), text = BUF(64u << 20);
    is_fine(frame_put(&again, frame));
    must(slice_equal(buf_slice(&again), in));
    is_fine(print(&text, frame));
    must(!slice_has_control(buf_slice(&text)));
    buf_done(&again);
    buf_done(&text);
}

static void try_frame(struct slice in)
{
    struct arena arena = ARENA(8u << 20);
    struct frame frame;
    if (frame_get(in, &arena, &frame) == STATUS_OK)
        check_frame(&frame, in);
    arena_done(&arena);
}

/* As a channel reads: measure, then open; with and without a descriptor at hand. */
static void try_stream(struct slice in, bool has_descriptor)
{
    struct arena arena = ARENA(8u << 20);
    struct buf again = BUF(4u << 20);
    int held = has_descriptor ? HELD : -1;
    size_t size;
    while (in.len > 0 && wire_measure(in, &size) == STATUS_OK) {
        must(size == 0 ? in.len < WIRE_HEADER : size >= WIRE_HEADER && size <= LIMIT_FRAME + WIRE_HEADER);
        for (size_t cut = 0; cut < WIRE_HEADER && cut < in.len; cut++) { /* a header that has not all come says nothing yet */
            size_t early = 1;
            must(wire_measure(slice_upto(in, cut), &early) == STATUS_OK && early == 0);
        }
        if (size == 0 || size > in.len)
            break;
        struct frame frame;
        bool announced = in.ptr[4] == 1;
        int before = held;
        if (wire_open(slice_upto(in, size), &arena, &held, &frame) != STATUS_OK)
            break;
        must(*wire_fd(&frame) == (announced ? before : -1) && held == (announced ? -1 : before) && (!announced || before == HELD));
        buf_clear(&again);
        is_fine(wire_put(&again, &frame, announced));
        must(slice_equal(buf_slice(&again), slice_upto(in, size)));
        in = slice_from(in, size);
    }
    buf_done(&again);
    arena_done(&arena);
}

/* ---- messages from structs -------------------------------------------------------------------------------------------- */

static void fill(struct input *in, struct slice secret, struct arena *arena, const struct field *fields, void *message)
{
    for (const struct field *f = fields; f && f->kind != FIELD_END; f++) {
        char *at = (char *)message + f->at;
        if (f->kind == FIELD_ROWS) {
            struct rows rows = { NULL, take_octet(in) % 5 };
            char *made = arena_take_rows(arena, rows.count, f->row_size);
            for (uint32_t i = 0; i < rows.count; i++)
                fill(in, secret, arena, f->rows, made + (size_t)i * f->row_size);
            rows.at = made;
            memcpy(at, &rows, sizeof rows);
        } else if (f->kind == FIELD_U8 || f->kind == FIELD_U32 || f->kind == FIELD_U64) {
            uint64_t number = take_number(in, f->kind == FIELD_U8 ? 1 : f->kind == FIELD_U32 ? 4 : 8);
            memcpy(at, &number, f->kind == FIELD_U8 ? 1 : f->kind == FIELD_U32 ? 4 : 8);
        } else if (f->kind == FIELD_IP) {
            struct slice octets = take_octets(in, sizeof(struct ip));
            memcpy(at, octets.ptr, octets.len);
        } else {
            struct slice text = f->kind == FIELD_SECRET ? secret : take_octets(in, take_octet(in));
            memcpy(at, &text, sizeof text);
        }
    }
}

/* Refused where a field is beyond its bounds; else read as it was, and printed without its secrets. */
static void try_message(struct slice octets)
{
    struct input in = { (const uint8_t *)octets.ptr, (const uint8_t *)octets.ptr + octets.len };
    struct arena arena = ARENA(8u << 20);
    struct buf wire = BUF(4u << 20), text = BUF(64u << 20);
    struct canary canary = make_canary(octets);
    struct frame frame = { .session = take_number(&in, 8), .number = (uint32_t)take_number(&in, 4) }, again;
    enum ask_kind kind = (enum ask_kind)(1 + take_octet(&in) % (ASK_KINDS - 1));
    frame.is_answer = !ask_defs[kind].silent && take_octet(&in) % 2;
    *wire_fd(&frame) = -1;
    if (frame.is_answer) {
        frame.answer.kind = kind;
        frame.answer.status = (enum status)(take_octet(&in) % (2 * STATUS_COUNT)) % STATUS_COUNT;
        if (frame.answer.status == STATUS_OK)
            fill(&in, slice_of(canary.text), &arena, ask_defs[kind].answer, &frame.answer.login);
    } else {
        frame.ask.kind = kind;
        fill(&in, slice_of(canary.text), &arena, ask_defs[kind].ask, &frame.ask.login);
    }
    enum status status = frame_put(&wire, &frame);
    must(status == STATUS_OK ? wire.len > 0 : wire.len == 0);
    if (status == STATUS_OK) {
        is_fine(frame_get(buf_slice(&wire), &arena, &again));
        check_frame(&again, buf_slice(&wire));
        for (size_t len = 0; len < wire.len; len += 1 + wire.len / 50) { /* a beginning is no message */
            struct frame part;
            must(frame_get(slice_upto(buf_slice(&wire), len), &arena, &part) != STATUS_OK);
        }
        is_fine(print(&text, &frame));
        must(!slice_has(buf_slice(&text), slice_of(canary.text)));
    }
    buf_done(&wire);
    buf_done(&text);
    arena_done(&arena);
}

/* ---- the boot message --------------------------------------------------------------------------------------------------- */

static int file_of(struct slice octets)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, octets.ptr, octets.len) == (ssize_t)octets.len);
    return fd;
}

static void try_boot(struct slice in)
{
    struct arena arena = ARENA(8u << 20);
    struct buf octets = BUF(0), once_more = BUF(0);
    struct boot boot, again;
    int fd;
    if (boot_get(file_of(in), &arena, &octets, &boot) == STATUS_OK) {
        must(slice_equal(buf_slice(&octets), in));
        is_fine(boot_put(&boot, &fd));
        is_fine(boot_get(fd, &arena, &once_more, &again));
        must(slice_equal(buf_slice(&once_more), in));
    }
    buf_wipe(&octets);
    buf_done(&octets);
    buf_wipe(&once_more);
    buf_done(&once_more);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice in = { (const char *)data + 1, size - 1 };
    switch (data[0] % 8) {
    case 0:
    case 1:
        try_frame(in);
        break;
    case 2:
    case 3:
        try_stream(in, data[0] % 2);
        break;
    case 4:
        try_boot(in);
        break;
    default:
        try_message(in);
    }
    return 0;
}

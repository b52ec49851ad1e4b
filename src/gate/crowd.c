/* Who makes room where all places are taken (limits.connections): whoever has not logged in and was silent for longest.
 *
 * So connections that only wait, however many and from wherever, shut out nobody (C227): who has just come and talks stays, since his silences
 * are the shortest.  Who waits for us is passed over, while there are others.  Who logged in keeps his place: then a newcomer is told to try again. */
#include "gate/impl.h"

#include "base/alloc.h"

#define CROWD      256u /* sessions whose memory is worth the work */
#define TRIM_AFTER 500u /* ms */
#define LOOKS      64   /* at connections whose answer is due: they are not silent, it is we who are slow */

static void on_trim(uv_timer_t *timer)
{
    struct gate *gate = timer->data;
    alloc_trim();
    gate->visitor_peak = gate->visitor_count;
}

/* A crowd has gone: so should the memory that it took.  In a moment, when the last of it is free. */
static void look_at_peak(struct gate *gate)
{
    if (gate->visitor_peak >= CROWD && gate->visitor_count <= gate->visitor_peak / 2 && !uv_is_active((const uv_handle_t *)&gate->trim))
        uv_timer_start(&gate->trim, on_trim, TRIM_AFTER, 0);
}

void crowd_init(struct gate *gate)
{
    list_init(&gate->silent);
    list_init(&gate->leaving);
    uv_timer_init(&gate->loop.uv, &gate->trim);
    gate->trim.data = gate;
}

/* They have said all and are told so, but who does not hang up lingers: some thousands of these would be all descriptors. */
static void show_out(struct visitor *visitor)
{
    struct gate *gate = visitor->gate;
    list_append(&gate->leaving, &visitor->place);
    visitor->is_leaving = true;
    if (++gate->leaving_count <= LIMIT_LEAVING)
        return;
    struct visitor *first = list_element(gate->leaving.next, struct visitor, place);
    list_remove(&first->place);
    first->is_leaving = false;
    gate->leaving_count--;
    conn_cut(first->conn);
}

static struct visitor *find_silent(struct gate *gate)
{
    for (int i = 0; i < LOOKS && !list_is_empty(&gate->silent); i++) {
        struct visitor *visitor = list_element(gate->silent.next, struct visitor, place);
        if (!conn_is_waiting(visitor->conn))
            return visitor;
        list_remove(&visitor->place);
        list_append(&gate->silent, &visitor->place);
    }
    return NULL;
}

static bool make_room(struct gate *gate)
{
    if (list_is_empty(&gate->silent))
        return false;
    struct visitor *visitor = find_silent(gate), *oldest = list_element(gate->silent.next, struct visitor, place);
    bool speaks = visitor != NULL;
    if (!speaks) /* thousands who all ask at once: one of them goes without a reply */
        visitor = oldest;
    door_leave(&gate->door, visitor->ip);
    visitor->counted = false;
    list_remove(&visitor->place);
    if (!speaks) {
        conn_cut(visitor->conn);
        return true;
    }
    show_out(visitor);
    conn_expire(visitor->conn);
    return true;
}

void crowd_enter(struct visitor *visitor)
{
    struct gate *gate = visitor->gate;
    const struct settings *settings = gate->house.settings;
    uint32_t of_address = settings->connections_per_address, most = settings->connections;
    list_init(&visitor->place);
    if (gate->visitor_count > gate->visitor_peak)
        gate->visitor_peak = gate->visitor_count;
    if (!door_is_full(&gate->door, visitor->ip, of_address, most) || make_room(gate))
        visitor->counted = door_enter(&gate->door, visitor->ip, of_address, most);
    if (visitor->counted)
        list_append(&gate->silent, &visitor->place);
    else
        show_out(visitor);
}

void crowd_heard(struct visitor *visitor)
{
    if (list_is_empty(&visitor->place) || visitor->is_leaving)
        return;
    list_remove(&visitor->place);
    list_append(&visitor->gate->silent, &visitor->place);
}

void crowd_known(struct visitor *visitor)
{
    if (!visitor->is_leaving)
        list_remove(&visitor->place);
}

void crowd_leave(struct visitor *visitor)
{
    if (visitor->counted)
        door_leave(&visitor->gate->door, visitor->ip);
    visitor->gate->leaving_count -= visitor->is_leaving;
    list_remove(&visitor->place);
    look_at_peak(visitor->gate);
}

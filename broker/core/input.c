/* Design note. A packet is read once, frame by frame. Publications that stand side by side are one
 * *run* (input_pub.c, run.c): they are looked up, copied and queued as one piece, so a burst costs
 * its publisher's packet and not its messages. Whatever ends a run (other receivers, a header
 * frame, any other frame) sends it off first, which keeps the order.
 *
 * The frames before a broken one stand; the broken one ends the session. */
#include "broker/core/input.h"

#include <string.h>

static bool is_open(const struct input *in)
{
        return in->session->state == SESSION_OPEN;
}

void input_flush_run(struct input *in)
{
        if (!in->run.n_frames)
                return;
        struct run run = in->run;
        in->run.n_frames = 0;
        run.fds = take_ptr(in->fds);
        run.sealed_bytes = run.fds ? in->arrival->sealed_bytes : 0;
        run.has_odd_fds = run.fds && in->arrival->has_odd_fds;
        publish_run(in->core, in->session, &run);
}

/* The frames before this one stand, and are answered. But a packet with descriptors has one
 * publication, and it has to be right as a whole. */
void input_violation(struct input *in, enum wire_code code, const char *text)
{
        if (in->had_fds)
                in->run.n_frames = 0;
        input_flush_run(in);
        session_end(in->core, in->session, code, text);
}

void input_out_of_place(struct input *in)
{
        input_violation(in, WIRE_CODE_PROTOCOL, "a frame out of place");
}

static bool set_header(struct input *in, const struct message *m)
{
        struct header_state h = {.kind = PUB_PLAIN};

        if (in->header.pending) {
                input_violation(in, WIRE_CODE_PROTOCOL, "a header without its publication");
                return false;
        }
        if (in->had_fds && (in->n_headers++ || in->n_pubs)) {
                input_violation(in, WIRE_CODE_PROTOCOL, "descriptors go with one publication");
                return false;
        }
        switch (m->type) {
        case WIRE_INGRESS:
                h.flags = m->ingress.flags;
                h.id = m->ingress.id;
                h.ttl_ms = m->ingress.ttl_ms;
                break;
        case WIRE_REQUEST:
                h.kind = PUB_REQUEST;
                h.pending = true;
                h.id = m->request.id;
                h.timeout_ms = m->request.timeout_ms;
                h.max_fds = m->request.max_fds;
                break;
        default:
                h.kind = PUB_REPLY;
                h.pending = true;
                h.token = m->reply.token;
                h.flags = m->reply.flags;
                h.id = m->reply.id;
                break;
        }
        in->header = h;
        return true;
}

static void input_decoded(struct input *in, const struct frame *f, struct message *m)
{
        switch (m->type) {
        case WIRE_INGRESS:
        case WIRE_REQUEST:
        case WIRE_REPLY:
                set_header(in, m);
                break;
        case WIRE_BEGIN:
                input_begin(in, f, &m->pub);
                break;
        case WIRE_CHUNK:
        case WIRE_END:
                input_upload(in, f, m);
                break;
        default:
                if (in->header.pending || in->had_fds)
                        input_out_of_place(in);
                else
                        control_input(in->core, in->session, m);
        }
}

static void input_other(struct input *in, const struct frame *f)
{
        struct message m;

        in->core->work += WORK_CONTROL;
        if (!in->had_fds)
                input_flush_run(in);
        if (!is_open(in))
                return;
        switch (message_decode(f, &m)) {
        case 0:
                input_decoded(in, f, &m);
                break;
        case MESSAGE_E_UNSUPPORTED:
                if (in->header.pending || in->had_fds)
                        input_out_of_place(in);
                else
                        control_unsupported(in->core, in->session, &m);
                break;
        case MESSAGE_E_IGNORE:
                break;
        case MESSAGE_E_UNKNOWN:
                input_violation(in, WIRE_CODE_PROTOCOL, "unknown frame type");
                break;
        case MESSAGE_E_MALFORMED:
                input_violation(in, WIRE_CODE_PROTOCOL, "malformed frame");
                break;
        default:
                input_violation(in, WIRE_CODE_NO_MEMORY, "no memory to decode a frame");
        }
}

static void input_hello(struct input *in, const struct frame *f, bool is_alone)
{
        bool is_hello = !in->had_fds && is_alone && f->type == WIRE_HELLO;
        struct message m;
        int r = is_hello ? message_decode(f, &m) : MESSAGE_E_MALFORMED;

        if (r < 0)
                input_violation(in, WIRE_CODE_NO_MEMORY, "no memory to decode a frame");
        else if (r)
                input_violation(in, WIRE_CODE_PROTOCOL, "the first packet must be HELLO alone");
        else
                control_hello(in->core, in->session, &m);
}

/* Time for others. What belongs together is not torn apart. */
bool input_is_enough(const struct input *in)
{
        return in->core->work >= in->until && !in->had_fds && !in->header.pending;
}

/* Returns how far it came. */
static const uint8_t *input_frames(struct input *in, const uint8_t *cursor, const uint8_t *end)
{
        struct frame f;

        while (cursor < end && in->session->state < SESSION_LEAVING) {
                if (bt_unlikely(input_is_enough(in))) {
                        input_flush_run(in);
                        in->session->rest = in->header;
                        return cursor;
                }
                in->core->work += WORK_FRAME;
                if (scan_frame(&cursor, end, &f) != 0) {
                        input_violation(in, WIRE_CODE_PROTOCOL, "malformed packet");
                } else if (in->session->state == SESSION_HELLO) {
                        input_hello(in, &f, cursor == end);
                } else if (f.type == WIRE_PUB) {
                        cursor = input_pub(in, &f, end);
                } else {
                        input_other(in, &f);
                }
        }
        if (is_open(in) && in->header.pending)
                input_violation(in, WIRE_CODE_PROTOCOL, "a header without its publication");
        else if (is_open(in) && in->had_fds && !in->n_pubs)
                input_violation(in, WIRE_CODE_DESCRIPTORS, "descriptors without a publication");
        input_flush_run(in);
        return end;
}

/* What a leaving session says is ignored. But its queue is still sent, so it must be heard when it
 * has received descriptors. */
static void input_leaving(struct input *in, const uint8_t *cursor, const uint8_t *end)
{
        struct message m;
        struct frame f;

        while (cursor < end && scan_frame(&cursor, end, &f) == 0) {
                if (f.type == WIRE_CREDIT && message_decode(&f, &m) == 0 &&
                        m.credit.what == WIRE_CREDIT_FDS)
                        flight_credit(in->core, in->session, m.credit.amount);
        }
}

size_t core_input(
        struct core *c, struct session_id id, const struct core_arrival *arrival, uint64_t now_ns)
{
        struct session *s = session_find(c, id);
        struct fdset *fds = arrival->fds;
        const uint8_t *data = arrival->data, *at = data + arrival->len;

        c->now_ns = now_ns;
        if (s) {
                struct input in = {.core = c,
                        .session = s,
                        .arrival = arrival,
                        .fds = fds,
                        .had_fds = fds || arrival->are_cut,
                        .until = arrival->budget ? c->work + arrival->budget : UINT64_MAX};
                if (arrival->is_rest)
                        in.header = s->rest;
                if (s->state == SESSION_LEAVING)
                        input_leaving(&in, data, data + arrival->len);
                else
                        at = input_frames(&in, data, data + arrival->len);
                fds = in.fds;
        }
        fdset_unref(fds);
        publish_resume(c);
        return (size_t)(at - data);
}

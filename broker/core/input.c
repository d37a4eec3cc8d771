/* Design note. A packet is read once, frame by frame. Publications of one topic that stand side by
 * side are one *run*: they are looked up, copied and queued as one piece, so a burst costs its
 * publisher's packet and not its messages. Whatever ends a run (another topic, a header frame, any
 * other frame) sends it off first, which keeps the order.
 *
 * The frames before a broken one stand; the broken one ends the session. */
#include "broker/core/internal.h"
#include "proto/wire/headers.h"

#include <string.h>

/* What is known while a packet is read. */
struct input {
        struct core *core;
        struct session *session;
        const struct core_arrival *arrival;
        struct fdset *fds; /* until a publication has taken them */
        bool had_fds;
        uint32_t n_pubs, n_headers;
        struct header_state header;
        struct run run; /* the one under way; n_frames 0: none */
        uint64_t until; /* core.work at which it is enough */
};

static bool is_open(const struct input *in)
{
        return in->session->state == SESSION_OPEN;
}

static void flush_run(struct input *in)
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
static void violation(struct input *in, enum wire_code code, const char *text)
{
        if (in->had_fds)
                in->run.n_frames = 0;
        flush_run(in);
        session_end(in->core, in->session, code, text);
}

/* Ids must go up; a run of confirms takes one each. */
static bool take_id(struct input *in, uint64_t id)
{
        struct session *s = in->session;

        if (id <= s->last_id || id > INT64_MAX) {
                violation(in, WIRE_CODE_PROTOCOL, "ids must be positive and increase");
                return false;
        }
        s->last_id = id;
        return true;
}

static bool set_header(struct input *in, const struct message *m)
{
        struct header_state h = {.kind = PUB_PLAIN};

        if (in->header.pending) {
                violation(in, WIRE_CODE_PROTOCOL, "a header without its publication");
                return false;
        }
        if (in->had_fds && (in->n_headers++ || in->n_pubs)) {
                violation(in, WIRE_CODE_PROTOCOL, "descriptors go with one publication");
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

/* The id of the publication that comes next, if it has one, must be a new one. */
static bool check_id(struct input *in)
{
        const struct header_state *h = &in->header;
        bool must_have = h->kind == PUB_REQUEST ||
                         (h->kind == PUB_PLAIN && (h->flags & WIRE_INGRESS_CONFIRM));

        if (must_have || (h->kind == PUB_REPLY && h->id))
                return take_id(in, h->id);
        return true;
}

/* Its cost is taken from the window; false if there was not as much. */
static bool charge(struct input *in, uint64_t cost)
{
        struct session *s = in->session;

        s->window_used += cost;
        if (s->window_used <= in->core->config.limits.window_bytes)
                return true;
        violation(in, WIRE_CODE_WINDOW, "published more than the window allows");
        return false;
}

static bool extends_run(const struct input *in, const struct frame *f, const struct msg_pub *pub)
{
        const struct run *run = &in->run;

        return run->n_frames && !pub->n_fds && in->header.kind == PUB_PLAIN &&
               run->data + run->len == f->data && run->len + f->len <= WIRE_FRAME_BYTES &&
               pub->topic.len == run->first.topic.len &&
               !memcmp(pub->topic.data, run->first.topic.data, pub->topic.len);
}

/* What follows a publication: the next of a confirmed run, or no header after REQUEST and REPLY. */
static void advance_header(struct input *in)
{
        if (in->header.kind != PUB_PLAIN)
                in->header = (struct header_state){.kind = PUB_PLAIN};
        else
                in->header.id++;
}

static void accept_pub(
        struct input *in, const struct frame *f, const struct msg_pub *pub, uint64_t cost)
{
        const char *why = NULL;

        if (in->arrival->are_cut) {
                publish_refuse(in->core, in->session, &in->header, cost, &refusal_too_many_fds);
        } else if (pub->n_headers && headers_check(pub->headers, false, &why) != 0) {
                flush_run(in);
                publish_refuse(in->core, in->session, &in->header, cost,
                        &(struct refusal){WIRE_CODE_BAD_HEADERS, "", why});
        } else if (extends_run(in, f, pub)) {
                in->run.len += f->len;
                in->run.cost += cost;
                in->run.n_frames++;
        } else {
                flush_run(in);
                in->run = (struct run){.header = in->header,
                        .first = *pub,
                        .data = f->data,
                        .len = f->len,
                        .n_frames = 1,
                        .cost = cost};
                if (in->header.kind != PUB_PLAIN && !in->had_fds)
                        flush_run(in);
        }
}

/* A publication must have its descriptors, and those of a packet are for one alone. */
static bool count_pub(struct input *in, uint32_t n_fds)
{
        bool are_right = in->arrival->are_cut ? n_fds > 0 : n_fds == fdset_n(in->fds);

        in->n_pubs++;
        if (are_right && !(in->had_fds && in->n_pubs > 1))
                return true;
        violation(in, WIRE_CODE_DESCRIPTORS, "not the descriptors the frame says");
        return false;
}

static void out_of_place(struct input *in)
{
        violation(in, WIRE_CODE_PROTOCOL, "a frame out of place");
}

/* PUB and BEGIN. Returns false if the session has ended for it. */
static bool enter_pub(struct input *in, const struct msg_pub *pub, uint64_t cost)
{
        if (in->session->upload) {
                violation(in, WIRE_CODE_PROTOCOL, "a publication between BEGIN and END");
                return false;
        }
        return count_pub(in, pub->n_fds) && check_id(in) && charge(in, cost);
}

static void input_pub(struct input *in, const struct frame *f)
{
        struct msg_pub pub;

        if (message_decode_pub(f, &pub) != 0) {
                violation(in, WIRE_CODE_PROTOCOL, "malformed publication");
                return;
        }
        uint64_t cost = publish_cost(in->core, f->len, pub.n_fds, pub.size);
        if (!enter_pub(in, &pub, cost))
                return;
        accept_pub(in, f, &pub, cost);
        advance_header(in);
}

static void input_begin(struct input *in, const struct frame *f, const struct msg_pub *pub)
{
        uint64_t cost = publish_cost(in->core, f->len, pub->n_fds, 0);

        if (!enter_pub(in, pub, cost))
                return;
        bool are_odd = in->fds && in->arrival->has_odd_fds;
        struct begun begun = {
                &in->header, pub, cost, take_ptr(in->fds), are_odd, in->arrival->are_cut};
        if (upload_begin(in->core, in->session, &begun) < 0)
                violation(in, WIRE_CODE_NO_MEMORY, "no memory for a publication");
        advance_header(in);
}

/* CHUNK and END. */
static void input_upload(struct input *in, const struct frame *f, const struct message *m)
{
        struct session *s = in->session;
        bool is_end = m->type == WIRE_END;

        if (in->header.pending || in->had_fds || !s->upload) {
                out_of_place(in);
                return;
        }
        uint64_t cost = publish_cost(in->core, f->len, 0, is_end ? s->upload->got : 0);
        if (!charge(in, cost))
                return;
        const char *why = is_end ? upload_end(in->core, s, m->number != 0, cost)
                                 : upload_chunk(in->core, s, m->chunk, cost);
        if (why)
                violation(in, WIRE_CODE_PROTOCOL, why);
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
                        out_of_place(in);
                else
                        control_input(in->core, in->session, m);
        }
}

static void input_other(struct input *in, const struct frame *f)
{
        struct message m;

        in->core->work += WORK_CONTROL;
        if (!in->had_fds)
                flush_run(in);
        if (!is_open(in))
                return;
        switch (message_decode(f, &m)) {
        case 0:
                input_decoded(in, f, &m);
                break;
        case MESSAGE_E_UNSUPPORTED:
                if (in->header.pending || in->had_fds)
                        out_of_place(in);
                else
                        control_unsupported(in->core, in->session, &m);
                break;
        case MESSAGE_E_IGNORE:
                break;
        case MESSAGE_E_UNKNOWN:
                violation(in, WIRE_CODE_PROTOCOL, "unknown frame type");
                break;
        case MESSAGE_E_MALFORMED:
                violation(in, WIRE_CODE_PROTOCOL, "malformed frame");
                break;
        default:
                violation(in, WIRE_CODE_NO_MEMORY, "no memory to decode a frame");
        }
}

static void input_hello(struct input *in, const struct frame *f, bool is_alone)
{
        bool is_hello = !in->had_fds && is_alone && f->type == WIRE_HELLO;
        struct message m;
        int r = is_hello ? message_decode(f, &m) : MESSAGE_E_MALFORMED;

        if (r < 0)
                violation(in, WIRE_CODE_NO_MEMORY, "no memory to decode a frame");
        else if (r)
                violation(in, WIRE_CODE_PROTOCOL, "the first packet must be HELLO alone");
        else
                control_hello(in->core, in->session, &m);
}

/* Time for others. What belongs together is not torn apart. */
static bool is_enough(const struct input *in)
{
        return in->core->work >= in->until && !in->had_fds && !in->header.pending;
}

/* Returns how far it came. */
static const uint8_t *input_frames(struct input *in, const uint8_t *cursor, const uint8_t *end)
{
        struct frame f;

        while (cursor < end && in->session->state < SESSION_LEAVING) {
                if (bt_unlikely(is_enough(in))) {
                        flush_run(in);
                        in->session->rest = in->header;
                        return cursor;
                }
                in->core->work += WORK_FRAME;
                if (scan_frame(&cursor, end, &f) != 0) {
                        violation(in, WIRE_CODE_PROTOCOL, "malformed packet");
                } else if (in->session->state == SESSION_HELLO) {
                        input_hello(in, &f, cursor == end);
                } else if (f.type == WIRE_PUB) {
                        input_pub(in, &f);
                } else {
                        input_other(in, &f);
                }
        }
        if (is_open(in) && in->header.pending)
                violation(in, WIRE_CODE_PROTOCOL, "a header without its publication");
        else if (is_open(in) && in->had_fds && !in->n_pubs)
                violation(in, WIRE_CODE_DESCRIPTORS, "descriptors without a publication");
        flush_run(in);
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

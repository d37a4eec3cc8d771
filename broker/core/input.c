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
        struct fdset *fds; /* until a publication has taken them */
        bool had_fds;
        uint32_t n_pubs, n_headers;
        struct header_state header;

        /* The run under way; n_frames 0: none. */
        struct header_state run_header;
        struct msg_pub first;
        const uint8_t *run;
        size_t run_len;
        uint32_t run_frames;
};

static bool is_open(const struct input *in)
{
        return in->session->state == SESSION_OPEN;
}

static void flush_run(struct input *in)
{
        if (!in->run_frames)
                return;
        uint32_t n = in->run_frames;
        in->run_frames = 0;
        publish_run(in->core, in->session, &in->run_header, &in->first, in->run, in->run_len, n,
                take_ptr(in->fds));
}

/* The frames before this one stand, and are answered. But a packet with descriptors has one
 * publication, and it has to be right as a whole. */
static void violation(struct input *in, enum wire_code code, const char *text)
{
        if (in->had_fds)
                in->run_frames = 0;
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

/* Its bytes are taken from the window; false if there were not enough. */
static bool charge(struct input *in, size_t len)
{
        struct session *s = in->session;

        s->window_used += len;
        if (s->window_used <= in->core->config.limits.window_bytes)
                return true;
        violation(in, WIRE_CODE_WINDOW, "published more than the window allows");
        return false;
}

static void refuse(struct input *in, size_t len, enum wire_code code, const char *text)
{
        publish_refuse(in->core, in->session, &in->header, len, code, text);
}

static bool extends_run(const struct input *in, const struct frame *f, const struct msg_pub *pub)
{
        return in->run_frames && !pub->n_fds && in->header.kind == PUB_PLAIN &&
               in->run + in->run_len == f->data && in->run_len + f->len <= WIRE_FRAME_BYTES &&
               pub->topic.len == in->first.topic.len &&
               !memcmp(pub->topic.data, in->first.topic.data, pub->topic.len);
}

/* What follows a publication: the next of a confirmed run, or no header after REQUEST and REPLY. */
static void advance_header(struct input *in)
{
        if (in->header.kind != PUB_PLAIN)
                in->header = (struct header_state){.kind = PUB_PLAIN};
        else
                in->header.id++;
}

static void accept_pub(struct input *in, const struct frame *f, const struct msg_pub *pub)
{
        const char *why = NULL;

        if (pub->n_headers && headers_check(pub->headers, false, &why) != 0) {
                flush_run(in);
                refuse(in, f->len, WIRE_CODE_BAD_HEADERS, why);
        } else if (!pub->payload.data) {
                flush_run(in);
                refuse(in, f->len, WIRE_CODE_UNSUPPORTED, "no placed payloads here");
        } else if (extends_run(in, f, pub)) {
                in->run_len += f->len;
                in->run_frames++;
        } else {
                flush_run(in);
                in->run_header = in->header;
                in->first = *pub;
                in->run = f->data;
                in->run_len = f->len;
                in->run_frames = 1;
                if (in->header.kind != PUB_PLAIN && !in->had_fds)
                        flush_run(in);
        }
}

/* A publication must have its descriptors, and those of a packet are for one alone. */
static bool count_pub(struct input *in, uint32_t n_fds)
{
        in->n_pubs++;
        if (n_fds == fdset_n(in->fds) && !(in->had_fds && in->n_pubs > 1))
                return true;
        violation(in, WIRE_CODE_DESCRIPTORS, "not the descriptors the frame says");
        return false;
}

static void input_pub(struct input *in, const struct frame *f)
{
        struct msg_pub pub;

        if (message_decode_pub(f, &pub) != 0) {
                violation(in, WIRE_CODE_PROTOCOL, "malformed publication");
                return;
        }
        if (!count_pub(in, pub.n_fds) || !check_id(in) || !charge(in, f->len))
                return;
        accept_pub(in, f, &pub);
        advance_header(in);
}

/* Chunked payloads come later: refused at BEGIN, the rest is skipped. */
static void input_begin(struct input *in, const struct frame *f, const struct msg_pub *pub)
{
        if (!count_pub(in, pub->n_fds) || !check_id(in) || !charge(in, f->len))
                return;
        refuse(in, f->len, WIRE_CODE_UNSUPPORTED, "no chunked payloads here");
        advance_header(in);
}

static void out_of_place(struct input *in)
{
        violation(in, WIRE_CODE_PROTOCOL, "a frame out of place");
}

/* CHUNK and END. */
static void input_chunk(struct input *in, const struct frame *f)
{
        if (in->header.pending || in->had_fds)
                out_of_place(in);
        else if (charge(in, f->len))
                publish_credit(in->core, in->session, f->len);
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
                input_chunk(in, f);
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

static void input_frames(struct input *in, const uint8_t *cursor, const uint8_t *end)
{
        struct frame f;

        while (cursor < end && in->session->state < SESSION_LEAVING) {
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
}

void core_input(struct core *c, struct session_id id, const void *packet, size_t len,
        struct fdset *fds, uint64_t now_ns)
{
        struct session *s = session_find(c, id);

        c->now_ns = now_ns;
        if (s) {
                struct input in = {.core = c, .session = s, .fds = fds, .had_fds = fds != NULL};
                input_frames(&in, packet, (const uint8_t *)packet + len);
                fds = in.fds;
        }
        fdset_unref(fds);
        publish_resume(c);
}

void core_violation(struct core *c, struct session_id id, const char *text, uint64_t now_ns)
{
        struct session *s = session_find(c, id);

        c->now_ns = now_ns;
        if (s)
                session_end(c, s, WIRE_CODE_PROTOCOL, text);
        publish_resume(c);
}

/* Design note. Publications of a packet, and how they become runs. Most are much like the one
 * before, so each way of being like it is tried in turn, the cheapest first: the same bytes up to
 * the payload (input_alike), the same topic, a topic that was in this run before, the same
 * receivers (run.c). */
#include "broker/core/input.h"
#include "broker/core/routing.h"
#include "proto/wire/headers.h"

#include <string.h>

/* Ids must go up; a run of confirms takes one each. */
static bool take_id(struct input *in, uint64_t id)
{
        struct session *s = in->session;

        if (id <= s->last_id || id > INT64_MAX) {
                input_violation(in, WIRE_CODE_PROTOCOL, "ids must be positive and increase");
                return false;
        }
        s->last_id = id;
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
        input_violation(in, WIRE_CODE_WINDOW, "published more than the window allows");
        return false;
}

static bool is_same_topic(const struct slice *a, const void *data, size_t len)
{
        return a->len == len && !memcmp(a->data, data, len);
}

/* Where a topic is found again whose publications were in the run before: those who go round some
 * topics need no look-up for each of them. */
static struct known_topic *known_at(struct input *in, const struct slice *topic)
{
        return &in->known[(topic->len + topic->data[topic->len - 1]) % INPUT_KNOWN];
}

static bool is_known(struct input *in, const struct slice *topic)
{
        const struct known_topic *k = known_at(in, topic);

        return k->run == in->n_runs && is_same_topic(topic, k->data, k->len);
}

static bool joins_run(struct input *in, const struct slice *topic, struct targets **ret_targets)
{
        if (is_same_topic(topic, in->run.first.topic.data, in->run.first.topic.len))
                return true;
        if (!topic->len)
                return false;
        if (is_known(in, topic))
                return true;
        if (!run_takes(in->core, in->session, &in->run, topic, ret_targets))
                return false;
        *known_at(in, topic) = (struct known_topic){topic->data, (uint32_t)topic->len, in->n_runs};
        return true;
}

/* If not, `*ret_targets` may know who receives it. */
static bool extends_run(struct input *in, const struct frame *f, const struct msg_pub *pub,
        struct targets **ret_targets)
{
        const struct run *run = &in->run;

        if (!run->n_frames || pub->n_fds || in->header.kind != PUB_PLAIN ||
                run->data + run->len != f->data || run->len + f->len > WIRE_FRAME_BYTES)
                return false;
        return joins_run(in, &pub->topic, ret_targets);
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
        uint64_t generation = in->core->generation;
        struct targets *targets = NULL; /* of that generation */
        const char *why = NULL;

        if (in->arrival->are_cut) {
                publish_refuse(in->core, in->session, &in->header, cost, &refusal_too_many_fds);
        } else if (pub->n_headers && headers_check(pub->headers, false, &why) != 0) {
                input_flush_run(in);
                publish_refuse(in->core, in->session, &in->header, cost,
                        &(struct refusal){WIRE_CODE_BAD_HEADERS, "", why});
        } else if (extends_run(in, f, pub, &targets)) {
                in->run.len += f->len;
                in->run.cost += cost;
                in->run.n_frames++;
        } else {
                input_flush_run(in);
                in->n_runs++;
                in->run = (struct run){.header = in->header,
                        .first = *pub,
                        .data = f->data,
                        .len = f->len,
                        .n_frames = 1,
                        .cost = cost,
                        .targets = targets,
                        .generation = generation};
                if (in->header.kind != PUB_PLAIN && !in->had_fds)
                        input_flush_run(in);
        }
}

/* A publication must have its descriptors, and those of a packet are for one alone. */
static bool count_pub(struct input *in, uint32_t n_fds)
{
        bool are_right = in->arrival->are_cut ? n_fds > 0 : n_fds == fdset_n(in->fds);

        in->n_pubs++;
        if (are_right && !(in->had_fds && in->n_pubs > 1))
                return true;
        input_violation(in, WIRE_CODE_DESCRIPTORS, "not the descriptors the frame says");
        return false;
}

/* PUB and BEGIN. Returns false if the session has ended for it. */
static bool enter_pub(struct input *in, const struct msg_pub *pub, uint64_t cost)
{
        if (in->session->upload) {
                input_violation(in, WIRE_CODE_PROTOCOL, "a publication between BEGIN and END");
                return false;
        }
        return count_pub(in, pub->n_fds) && check_id(in) && charge(in, cost);
}

/* What goes on with the run by being just like its last one, `f`, is compared and not decoded; the
 * rest takes the common way. Returns how far that goes. */
static const uint8_t *input_alike(
        struct input *in, const struct frame *f, const struct msg_pub *pub, const uint8_t *end)
{
        struct run *run = &in->run;
        const uint8_t *at = f->data + f->len;
        uint64_t window = in->core->config.limits.window_bytes;
        bool is_last = run->n_frames && run->data + run->len == at;
        struct slice payload, prefix = message_run_prefix(f, pub);

        if (!is_last || !prefix.len || in->had_fds || header_has_id(&in->header))
                return at;
        while (!input_is_enough(in) && message_run_next(prefix, at, end, &payload)) {
                size_t len = (size_t)(payload.data + payload.len - at);
                if (run->len + len > WIRE_FRAME_BYTES || in->session->window_used + len > window)
                        break;
                in->session->window_used += len;
                in->core->work += WORK_ALIKE;
                in->n_pubs++;
                run->len += len;
                run->cost += len;
                run->n_frames++;
                at += len;
        }
        return at;
}

/* Returns where the next frame stands. */
const uint8_t *input_pub(struct input *in, const struct frame *f, const uint8_t *end)
{
        const uint8_t *behind = f->data + f->len;
        struct msg_pub pub;

        if (message_decode_pub(f, &pub) != 0) {
                input_violation(in, WIRE_CODE_PROTOCOL, "malformed publication");
                return behind;
        }
        uint64_t cost = publish_cost(in->core, f->len, pub.n_fds, pub.size);
        if (!enter_pub(in, &pub, cost))
                return behind;
        accept_pub(in, f, &pub, cost);
        advance_header(in);
        return behind < end ? input_alike(in, f, &pub, end) : behind;
}

void input_begin(struct input *in, const struct frame *f, const struct msg_pub *pub)
{
        uint64_t cost = publish_cost(in->core, f->len, pub->n_fds, 0);

        if (!enter_pub(in, pub, cost))
                return;
        bool are_odd = in->fds && in->arrival->has_odd_fds;
        struct begun begun = {
                &in->header, pub, cost, take_ptr(in->fds), are_odd, in->arrival->are_cut};
        if (upload_begin(in->core, in->session, &begun) < 0)
                input_violation(in, WIRE_CODE_NO_MEMORY, "no memory for a publication");
        advance_header(in);
}

/* CHUNK and END. */
void input_upload(struct input *in, const struct frame *f, const struct message *m)
{
        struct session *s = in->session;
        bool is_end = m->type == WIRE_END;

        if (in->header.pending || in->had_fds || !s->upload) {
                input_out_of_place(in);
                return;
        }
        uint64_t cost = publish_cost(in->core, f->len, 0, is_end ? s->upload->got : 0);
        if (!charge(in, cost))
                return;
        const char *why = is_end ? upload_end(in->core, s, m->number != 0, cost)
                                 : upload_chunk(in->core, s, m->chunk, cost);
        if (why)
                input_violation(in, WIRE_CODE_PROTOCOL, why);
}

/* Design note. A placed payload on its way to a receiver that takes no memfds: BEGIN, CHUNK ...,
 * END, each packet as large as it may be. The publication stays first in the queue until its END is
 * sent, so nothing overtakes it but answers; its bytes are read from the file by the shell,
 * straight into the packet. Nothing of the broker's memory grows with the payload. */
#include "broker/core/internal.h"

#include <string.h>

enum {
        /* A packet with less room for data is left to what is in it already. */
        CHUNK_LEAST_BYTES = 1024,
};

bool out_is_chunked(const struct session *s, const struct entry *e)
{
        return e->msg->placed && (e->is_chunked || !(s->features & WIRE_FEATURE_MEMFD));
}

/* Header and BEGIN. Returns false if they must wait. */
static bool put_begin(struct core *c, struct packet *p, struct session *s, const struct entry *e)
{
        uint8_t bytes[MESSAGE_DELIVERY_BYTES + WIRE_TOPIC_BYTES + WIRE_HEADER_BYTES + 64];
        const struct msg *m = e->msg;
        const uint8_t *at = m->data;
        uint32_t n_fds = msg_user_fds(m);
        bool has_fds = n_fds && !e->withheld;
        struct frame pub;

        if (p->len + sizeof(bytes) > WIRE_PACKET_BYTES || (has_fds && p->len) ||
                scan_frame(&at, at + m->len, &pub))
                return false;
        if (has_fds && !flight_may(c, s, n_fds, false)) {
                flight_wait(c, s, n_fds, false);
                return false;
        }
        size_t len = out_write_header(s, p, e, bytes);
        len += message_put_begin(bytes + len, &pub, n_fds, m->placed);
        out_put_copy(p, bytes, len);
        p->begins = true;
        p->n_frames = 1;
        if (has_fds) {
                p->fds = fdset_fds(m->fds);
                p->n_fds = n_fds;
        }
        return true;
}

static void put_chunk(struct packet *p, const struct session *s, const struct entry *e)
{
        uint64_t left = e->msg->placed - s->chunked;
        size_t room = WIRE_PACKET_BYTES - p->len, frame = MESSAGE_CHUNK_BYTES + MESSAGE_END_BYTES;
        uint8_t head[MESSAGE_CHUNK_BYTES];

        if (room < CHUNK_LEAST_BYTES)
                return;
        room = size_min(room - frame, WIRE_FRAME_BYTES - frame);
        size_t n = left < room ? (size_t)left : room;
        out_put_copy(p, head, message_put_chunk(head, n));
        p->chunk_at = out_put_room(p, n);
        p->chunk_len = n;
        if (n == left) {
                out_put_copy(p, head, message_put_end(head, 0));
                p->ends = true;
        }
}

void out_put_chunks(struct core *c, struct packet *p, struct session *s, const struct entry *e)
{
        if (!s->is_chunking && !put_begin(c, p, s, e))
                return;
        if (!p->n_fds)
                put_chunk(p, s, e);
}

void out_fill(const struct packet *p, const struct session *s, struct core_packet *ret_packet)
{
        const struct msg *m = queue_first(s)->msg;

        ret_packet->fill = p->chunk_at;
        ret_packet->fill_len = p->chunk_len;
        ret_packet->fill_fd = fdset_fds(m->fds)[fdset_n(m->fds) - 1];
        ret_packet->fill_at = s->chunked;
}

void out_chunks_sent(struct core *c, struct session *s)
{
        const struct packet *p = &c->packet;
        struct entry *e = queue_first(s);

        if (p->begins && e->kind == ENTRY_POOL)
                pool_sent(c, e, s->next_seq);
        s->is_chunking = !p->ends;
        s->chunked += p->chunk_len;
        if (p->ends) {
                s->chunked = 0;
                queue_pop(c, s);
        }
}

/* Who cannot read a request cannot answer it. */
static void give_up_pub(struct core *c, struct session *s, struct entry *e)
{
        if (e->kind == ENTRY_POOL) {
                pool_failed(c, e);
                return;
        }
        if (e->is_spent) {
                queue_pop(c, s);
                return;
        }
        struct holder *h = e->observer ? NULL : request_holder(c, s, e->msg->token);

        queue_make_gap(c, s, e, WIRE_GAP_UNREADABLE);
        if (h)
                request_drop_holder(c, h);
}

/* A request is answered once: what else is queued for it must not follow. */
static void give_up_reply(struct core *c, struct session *s, uint64_t id)
{
        struct request *r = request_by_id(c, s, id);

        if (r)
                request_free(c, r);
        queue_forget_request(c, s, id);
        answer_err(c, s, id, WIRE_CODE_PAYLOAD, "", "the reply could not be read");
}

void out_give_up(struct core *c, struct session *s)
{
        struct entry *e = queue_first(s);

        if (s->is_chunking) { /* all before it is sent, so it may overtake what is queued */
                answer(c, s, &(struct message){.type = WIRE_END, .number = 1});
                s->is_chunking = false;
                s->chunked = 0;
        }
        if (e->subset)
                give_up_pub(c, s, e);
        else
                give_up_reply(c, s, e->msg->request);
        session_mark(c, s);
        out_drained(c, s);
}

/* Design note. One packet at a time, built when the socket is ready for it: answers first, then as
 * much of the backlog as fits. Small pieces are copied behind each other, large ones are referenced
 * (sendmsg gathers them), so a large message is never copied again.
 *
 * A delivery header is written where what it says changes: between publications of one sender to
 * the same subscriptions it is left out. Nothing in the session changes before the kernel has taken
 * the packet (core_out_done): a refused one is simply built again later. */
#include "broker/core/internal.h"

#include <string.h>

static void put_reference(struct packet *p, const void *data, size_t len)
{
        p->iov[p->n_iov++] = (struct iovec){(void *)data, len};
        p->len += len;
}

static void put_copy(struct packet *p, const void *data, size_t len)
{
        uint8_t *to = p->scratch + p->scratch_len;
        struct iovec *last = p->n_iov ? &p->iov[p->n_iov - 1] : NULL;

        memcpy(to, data, len);
        p->scratch_len += len;
        if (last && (uint8_t *)last->iov_base + last->iov_len == to) {
                last->iov_len += len;
                p->len += len;
        } else {
                put_reference(p, to, len);
        }
}

static void put(struct packet *p, const void *data, size_t len)
{
        if (len <= CORE_COPY_BYTES)
                put_copy(p, data, len);
        else
                put_reference(p, data, len);
}

/* Whole frames of the answers, as many as fit. */
static void put_control(struct packet *p, const struct session *s)
{
        const uint8_t *cursor = s->control.data, *end = cursor + s->control.len;
        struct frame frame;

        if (!s->control.len)
                return;
        if (s->control.len <= WIRE_PACKET_BYTES) {
                cursor = end;
        } else {
                const uint8_t *stop = s->control.data + WIRE_PACKET_BYTES;
                for (const uint8_t *next = cursor; next < stop; cursor = next) {
                        if (scan_frame(&next, end, &frame) || next > stop)
                                break;
                }
        }
        p->control_len = (size_t)(cursor - s->control.data);
        put_reference(p, s->control.data, p->control_len);
}

static bool same_subset(const struct subset *a, const struct subset *b)
{
        if (a == b)
                return true;
        return a && b && a->n == b->n && !memcmp(a->ids, b->ids, a->n * sizeof(a->ids[0]));
}

/* A publication whose header says no more than sender and subscriptions: others may follow it. */
static bool is_plain(const struct entry *e)
{
        return !e->msg->flags && !e->withheld;
}

static size_t write_header(
        const struct session *s, const struct packet *p, const struct entry *e, uint8_t *to)
{
        const struct msg *m = e->msg;
        struct msg_delivery d = {
                .seq = s->next_seq + p->n_frames,
                .session = m->sender,
                .pid = (uint64_t)m->peer.pid,
                .uid = m->peer.uid,
                .gid = m->peer.gid,
                .flags = m->flags,
                .withheld = e->withheld ? m->n_fds : 0,
                .token = e->observer ? 0 : m->token,
                .request = m->request,
        };

        if (e->subset) {
                d.n_subs = e->subset->n;
                memcpy(d.subs, e->subset->ids, d.n_subs * sizeof(d.subs[0]));
        }
        return message_put_delivery(to, &d);
}

/* Adds the entry, with a header if `before` (the one in front of it, or NULL) needs another.
 * Returns false if it does not fit any more. */
static bool put_entry(struct packet *p, const struct session *s, const struct entry *e,
        const struct entry *before)
{
        uint8_t header[MESSAGE_DELIVERY_BYTES];
        const struct msg *m = e->msg;
        size_t header_len = 0;

        if (m->n_frames &&
                !(before && is_plain(before) && is_plain(e) && before->msg->sender == m->sender &&
                        same_subset(before->subset, e->subset)))
                header_len = write_header(s, p, e, header);
        if (p->len + header_len + m->len > WIRE_PACKET_BYTES)
                return false;
        if (header_len)
                put_copy(p, header, header_len);
        put(p, m->data, m->len);
        p->n_frames += m->n_frames;
        p->n_entries++;
        return true;
}

static const struct fdset *fds_of(const struct entry *e)
{
        return e->withheld ? NULL : e->msg->fds;
}

static const struct fdset *put_queue(struct packet *p, const struct session *s)
{
        const struct entry *before = NULL;

        list_for_each (link, &s->queue) {
                const struct entry *e = list_entry(link, struct entry, link);
                const struct fdset *fds = fds_of(e);
                if (p->n_iov + 2 > CORE_IOV || (fds && p->len))
                        break;
                if (!put_entry(p, s, e, before))
                        break;
                if (fds)
                        return fds;
                if (e->msg->n_frames)
                        before = e;
        }
        return NULL;
}

bool core_out_build(struct core *c, struct session_id id, struct core_packet *ret_packet)
{
        struct session *s = session_find(c, id);
        struct packet *p = &c->packet;
        const struct fdset *fds = NULL;

        if (!s || s->socket_full)
                return false;
        p->n_iov = p->len = p->control_len = p->n_entries = p->scratch_len = 0;
        p->n_frames = 0;
        put_control(p, s);
        if (p->control_len == s->control.len && s->state != SESSION_ENDING)
                fds = put_queue(p, s);
        if (!p->len)
                return false;
        *ret_packet =
                (struct core_packet){.iov = p->iov, .n_iov = p->n_iov, .len = p->len, .fds = fds};
        return true;
}

static void sent(struct core *c, struct session *s)
{
        struct packet *p = &c->packet;

        buf_drop(&s->control, p->control_len);
        for (size_t i = 0; i < p->n_entries; i++)
                queue_pop(c, s);
        s->next_seq += p->n_frames;
        s->delivered += p->n_frames;
        c->count.delivered += p->n_frames;
        if (queue_is_low(c, s)) {
                heap_remove(&c->timers, &s->stall.node);
                admit_waiters(c, s);
        }
        session_settle(c, s);
}

void core_out_done(struct core *c, struct session_id id, enum core_out how, uint64_t now_ns)
{
        struct session *s = session_find(c, id);

        if (!s)
                return;
        c->now_ns = now_ns;
        switch (how) {
        case CORE_OUT_SENT:
                sent(c, s);
                break;
        case CORE_OUT_FULL:
                s->socket_full = true;
                list_remove(&s->dirty); /* it may have been marked while it was being flushed */
                if (s->state == SESSION_ENDING)
                        session_keep_bye(s);
                break;
        case CORE_OUT_NO_FDS:
                list_entry(list_first(&s->queue), struct entry, link)->withheld = true;
                session_mark(c, s);
                break;
        }
        publish_resume(c);
}

void core_writable(struct core *c, struct session_id id)
{
        struct session *s = session_find(c, id);

        if (!s)
                return;
        s->socket_full = false;
        session_mark(c, s);
}

/* Design note. One packet at a time, built when the socket is ready for it: answers first, then as
 * much of the backlog as fits. Small pieces are copied behind each other, large ones are referenced
 * (sendmsg gathers them), so a large message is never copied again.
 *
 * A delivery header is written where what it says changes: between publications of one sender to
 * the same subscriptions it is left out. Nothing in the session changes before the kernel has taken
 * the packet (core_out_done): a refused one is simply built again later. */
#include "broker/core/internal.h"

#include <string.h>

enum { CONTROL_KEPT_BYTES = 256 };

static void put_reference(struct packet *p, const void *data, size_t len)
{
        p->iov[p->n_iov++] = (struct iovec){(void *)data, len};
        p->len += len;
}

void out_put_copy(struct packet *p, const void *data, size_t len)
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
                out_put_copy(p, data, len);
        else
                put_reference(p, data, len);
}

uint8_t *out_put_room(struct packet *p, size_t len)
{
        uint8_t *at = p->scratch + p->scratch_len;
        struct iovec *last = &p->iov[p->n_iov - 1];

        /* What is in front of it was copied to the scratch too. */
        p->scratch_len += len;
        last->iov_len += len;
        p->len += len;
        return at;
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

/* A publication whose header says no more than sender and subscriptions: others may follow it. */
static bool is_plain(const struct entry *e)
{
        return !e->msg->flags && !e->withheld && !e->is_retained && !e->redelivered &&
               !e->msg->ttl_ns;
}

size_t out_write_header(
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
                .redelivered = e->redelivered,
                .withheld = e->withheld ? msg_user_fds(m) : 0,
                .token = e->observer ? 0 : m->token,
                .request = m->request,
        };

        if (e->is_retained)
                d.flags |= WIRE_DELIVERY_RETAINED;
        if (e->is_retained || m->ttl_ns)
                d.age_ms = (p->now_ns - m->born_ns) / 1000000;

        if (e->subset) {
                d.n_subs = e->subset->n;
                memcpy(d.subs, e->subset->ids, d.n_subs * sizeof(d.subs[0]));
        }
        return message_put_delivery(to, &d);
}

/* Datagrams have no session; who sent them is told by their credentials. */
static bool is_same_sender(const struct msg *a, const struct msg *b)
{
        return a->sender == b->sender && a->peer.pid == b->peer.pid && a->peer.uid == b->peer.uid &&
               a->peer.gid == b->peer.gid;
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
                !(before && is_plain(before) && is_plain(e) && is_same_sender(before->msg, m) &&
                        subset_is_same(before->subset, e->subset)))
                header_len = out_write_header(s, p, e, header);
        if (p->len + header_len + m->len > WIRE_PACKET_BYTES)
                return false;
        if (header_len)
                out_put_copy(p, header, header_len);
        put(p, m->data, m->len);
        p->n_frames += m->n_frames;
        p->n_entries++;
        return true;
}

/* What travels with it to this receiver: all, none, or only what holds the payload. */
static void find_fds(const struct entry *e, const int **ret_fds, size_t *ret_n)
{
        const struct msg *m = e->msg;
        size_t first = e->withheld ? msg_user_fds(m) : 0;

        *ret_n = fdset_n(m->fds) - first;
        *ret_fds = *ret_n ? fdset_fds(m->fds) + first : NULL;
}

/* GAP for each of its subscriptions. Returns false if they do not fit any more. */
static bool put_gap(struct packet *p, const struct session *s, const struct entry *e)
{
        uint8_t frame[MESSAGE_GAP_BYTES];
        const struct subset *subs = e->subset;

        if (p->len + (size_t)subs->n * MESSAGE_GAP_BYTES > WIRE_PACKET_BYTES)
                return false;
        for (uint32_t i = 0; i < subs->n; i++) {
                struct msg_gap gap = {
                        .sub = subs->ids[i],
                        .count = e->gap_count,
                        .reason = e->gap_reason,
                        .seq = s->next_seq + p->n_frames,
                };
                out_put_copy(p, frame, message_put_gap(frame, &gap));
        }
        p->n_entries++;
        return true;
}

/* Adds the first of the queue if it has descriptors: alone in its packet. */
static void put_with_fds(struct core *c, struct packet *p, struct session *s, const struct entry *e)
{
        if (p->len)
                return;
        find_fds(e, &p->fds, &p->n_fds);
        p->places = e->msg->placed > 0;
        if (flight_may(c, s, p->n_fds, p->places)) {
                (void)put_entry(p, s, e, NULL); /* any frame fits behind its header */
        } else {
                flight_wait(c, s, p->n_fds, p->places);
                p->fds = NULL;
                p->n_fds = 0;
        }
}

static void put_queue(struct core *c, struct packet *p, struct session *s)
{
        const struct entry *before = NULL;

        list_for_each (link, &s->queue) {
                const struct entry *e = list_entry(link, struct entry, link);
                const int *fds;
                size_t n_fds = 0;
                if (p->n_iov + 2 > CORE_IOV)
                        return;
                if (!e->msg) {
                        if (!put_gap(p, s, e))
                                return;
                        continue;
                }
                if (out_is_chunked(s, e)) {
                        if (!p->n_entries)
                                out_put_chunks(c, p, s, e);
                        return;
                }
                if (bt_unlikely(e->msg->fds))
                        find_fds(e, &fds, &n_fds);
                if (n_fds) {
                        put_with_fds(c, p, s, e);
                        return;
                }
                if (!put_entry(p, s, e, before))
                        return;
                if (e->msg->n_frames)
                        before = e;
        }
}

static void clear(struct packet *p)
{
        p->n_iov = p->len = p->control_len = p->n_entries = p->scratch_len = 0;
        p->n_frames = 0;
        p->fds = NULL;
        p->n_fds = p->chunk_len = 0;
        p->begins = p->ends = p->places = false;
}

bool core_out_build(struct core *c, struct session_id id, struct core_packet *ret_packet)
{
        struct session *s = session_find(c, id);
        struct packet *p = &c->packet;

        if (!s || s->socket_full)
                return false;
        clear(p);
        p->now_ns = c->now_ns;
        while (bt_unlikely(s->n_mortal) && queue_expire(c, s, WIRE_PACKET_BYTES)) {
                out_drained(c, s);
                publish_resume(c);
        }
        if (bt_unlikely(answer_gathered(s) < 0)) {
                session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for an answer");
                publish_resume(c);
        }
        put_control(p, s);
        if (p->control_len == s->control.len && s->state != SESSION_ENDING)
                put_queue(c, p, s);
        if (!p->len) {
                publish_resume(c); /* its end, if there was no memory to let it wait */
                return false;
        }
        *ret_packet = (struct core_packet){
                .iov = p->iov, .n_iov = p->n_iov, .len = p->len, .fds = p->fds, .n_fds = p->n_fds};
        if (p->chunk_len)
                out_fill(p, s, ret_packet);
        return true;
}

void out_drained(struct core *c, struct session *s)
{
        if (queue_is_low(c, s)) {
                heap_remove(&c->timers, &s->stall.node);
                admit_waiters(c, s);
                pool_drained(c, s);
                if (queue_watch(c, s) < 0)
                        session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
        }
        session_settle(c, s);
}

/* The kernel has them. */
static void pop(struct core *c, struct session *s, size_t n)
{
        uint64_t seq = s->next_seq;

        while (n--) {
                struct entry *e = queue_first(s);
                if (bt_unlikely(e->kind == ENTRY_POOL))
                        pool_sent(c, e, seq);
                seq += e->msg ? e->msg->n_frames : 0;
                queue_pop(c, s);
        }
}

static void sent(struct core *c, struct session *s)
{
        struct packet *p = &c->packet;

        buf_drop(&s->control, p->control_len);
        if (!s->control.len) {
                s->confirm_bytes = 0;
                /* WELCOME, above all: who is idle then takes little. */
                if (s->control.cap > CONTROL_KEPT_BYTES)
                        buf_deinit(&s->control);
        }
        pop(c, s, p->n_entries);
        if (p->begins || p->chunk_len)
                out_chunks_sent(c, s);
        if (p->n_fds)
                flight_sent(c, s, p->n_fds, p->places);
        s->next_seq += p->n_frames;
        uint32_t n_whole = p->n_frames - p->begins + p->ends;
        s->delivered += n_whole;
        c->count.delivered += n_whole;
        out_drained(c, s);
}

bool out_withhold(struct entry *e)
{
        if (e->withheld || !msg_user_fds(e->msg))
                return false;
        e->withheld = true;
        return true;
}

void out_unplace(struct entry *e)
{
        e->is_chunked = true;
}

static void refuse_fds(struct core *c, struct session *s)
{
        struct entry *e = queue_first(s);

        if (!out_withhold(e))
                out_unplace(e); /* not the payload's either */
        session_mark(c, s);
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
                overflow_trim(c, s);
                list_remove(&s->dirty); /* it may have been marked while it was being flushed */
                if (s->state == SESSION_ENDING)
                        session_keep_bye(s);
                break;
        case CORE_OUT_NO_FDS:
                refuse_fds(c, s);
                break;
        case CORE_OUT_SCARCE:
                flight_scarce(c, s);
                break;
        case CORE_OUT_UNREADABLE:
                out_give_up(c, s);
                break;
        }
        publish_resume(c);
}

void core_writable(struct core *c, struct session_id id, uint64_t now_ns)
{
        struct session *s = session_find(c, id);

        if (!s)
                return;
        c->now_ns = now_ns;
        s->socket_full = false;
        session_mark(c, s);
}

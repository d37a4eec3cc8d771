/* Design note. A publication is kept as what it is on the wire, up to the choice of its form: that
 * depends on the broker that will get it. They are sent in their order, before anything that is
 * published later.
 *
 * What stood in the buffer when the connection was lost has not been sent: it is read back, and
 * kept as well. Requests and replies there are not: their answers belong to the lost session. */
#include "client/kept.h"

#include "client/stay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- one copy */

size_t kept_size(const struct kept *k)
{
        return sizeof(*k) + k->prefix_len + k->headers_len + k->payload_len +
               fdset_n(k->fds) * WIRE_FD_COST;
}

static void *append(void *to, const void *bytes, size_t n)
{
        if (n)
                memcpy(to, bytes, n);
        return (uint8_t *)to + n;
}

int kept_new(struct baton *b, const struct post *p, struct kept **ret_k)
{
        size_t n = p->prefix_len + p->headers.len + p->payload_len;
        struct fdset *fds = NULL;
        int r = p->n_fds ? post_copy_fds(b, p, &fds) : 0;

        if (r < 0)
                return r;
        struct kept *k = malloc(sizeof(*k) + n);
        if (!k) {
                fdset_unref(fds);
                return handle_fail(b, -ENOMEM, "out of memory");
        }
        *k = (struct kept){
                .fds = fds,
                .flags = p->flags,
                .ms = p->ms,
                .at_ns = clock_ns(),
                .prefix_len = p->prefix_len,
                .headers_len = p->headers.len,
                .payload_len = p->payload_len,
        };
        uint8_t *at = append(k->bytes, p->prefix, p->prefix_len);
        at = append(at, p->headers.data, p->headers.len);
        append(at, p->payload, p->payload_len);
        *ret_k = k;
        return 0;
}

struct kept *kept_free(struct kept *k)
{
        fdset_unref(k->fds);
        free(k);
        return NULL;
}

struct post kept_post(const struct kept *k)
{
        const uint8_t *headers = k->bytes + k->prefix_len;

        return (struct post){
                .prefix = k->bytes,
                .prefix_len = k->prefix_len,
                .headers = {headers, k->headers_len},
                .payload = headers + k->headers_len,
                .payload_len = k->payload_len,
                .fds = fdset_fds(k->fds),
                .n_fds = fdset_n(k->fds),
                .head = WIRE_INGRESS,
                .flags = k->flags,
                .ms = k->ms,
                .op = k->op,
                .deadline_ns = UINT64_MAX,
        };
}

/* ---------------------------------------------------------------- the row of them */

bool kept_is_empty(const struct baton *b)
{
        return !b->stay || list_is_empty(&b->stay->kept);
}

bool kept_is_taking(const struct baton *b)
{
        return b->stay && !b->link && b->join && b->stay->options.keep_bytes;
}

static void unlink_kept(struct baton *b, struct kept *k)
{
        list_remove(&k->link);
        b->stay->kept_bytes -= kept_size(k);
        if (k->op)
                k->op->kept = NULL;
        out_tune(b);
}

void kept_forget(struct baton *b, struct kept *k)
{
        unlink_kept(b, k);
        kept_free(k);
}

/* `k` is off the row. */
static void end_one(struct baton *b, struct kept *k, const struct verdict *v)
{
        struct op *op = k->op;

        kept_free(k);
        if (op)
                op_end(b, op, v, false);
        else
                b->stay->dropped++;
}

void kept_end_all(struct baton *b, const struct verdict *v)
{
        while (!kept_is_empty(b)) {
                struct kept *k = container_of(list_first(&b->stay->kept), struct kept, link);
                unlink_kept(b, k);
                end_one(b, k, v);
        }
}

void kept_push(struct baton *b, struct kept *k, struct op *op, struct list *before)
{
        k->op = op;
        if (op)
                op->kept = k;
        list_push_back(before ? before : &b->stay->kept, &k->link);
        b->stay->kept_bytes += kept_size(k);
        out_tune(b);
}

static int add(struct baton *b, const struct post *p)
{
        const struct stay *s = b->stay;
        struct kept *k = NULL;

        if (p->head != WIRE_INGRESS || !s->options.keep_bytes || !(b->link || b->dgram || b->join))
                return handle_check(b);
        int r = kept_new(b, p, &k);
        if (r < 0)
                return r;
        if (s->kept_bytes + kept_size(k) > s->options.keep_bytes) {
                kept_free(k);
                return handle_fail(b, -ENOBUFS,
                        "%zu bytes are kept already until the broker is back, and more than %zu "
                        "must not be "
                        "(keep_bytes)",
                        s->kept_bytes, s->options.keep_bytes);
        }
        kept_push(b, k, p->op, NULL);
        return 0;
}

uint64_t kept_age_ms(const struct kept *k)
{
        return (clock_ns() - k->at_ns) / 1000000;
}

static int put_back(struct baton *b, struct kept *k)
{
        kept_push(b, k, k->op, b->stay->kept.next);
        return KEPT_E_AGAIN;
}

/* The connection was lost before it was put. The library's own is made anew for the next session,
 * and if there will be none the rest has ended already. Returns -ENOTCONN. */
static int lose_one(struct baton *b, struct kept *k)
{
        struct op *op = k->op;

        if (op && op->kind == OP_RESTORE) {
                op_drop(b, op);
                kept_free(k);
        } else if (!b->join) {
                end_one(b, k, &(struct verdict){-ENOTCONN, b->loss_code, b->loss_text});
        } else {
                (void)put_back(b, k);
        }
        return -ENOTCONN;
}

/* It is off the row meanwhile: the connection may be lost, and what was put is then read back from
 * the buffer. Returns 0 · KEPT_E_AGAIN · -ENOTCONN. */
static int send_first(struct baton *b, struct kept *k)
{
        struct post p = kept_post(k);
        uint64_t age_ms = kept_age_ms(k);
        bool nonblocking = b->nonblocking;

        unlink_kept(b, k);
        if (p.ms && age_ms >= p.ms) {
                end_one(b, k,
                        &(struct verdict){-ETIMEDOUT, 0, "too old (ttl) when it could be sent"});
                return 0;
        }
        if (p.ms)
                p.ms -= age_ms;
        b->nonblocking = true;
        int r = post_now(b, &p);
        b->nonblocking = nonblocking;
        if (r == -EAGAIN || r == -EBUSY)
                return put_back(b, k);
        if (r == -ENOTCONN && !b->link && !b->dgram)
                return lose_one(b, k);
        if (r < 0)
                end_one(b, k, &(struct verdict){r, 0, b->error});
        else
                kept_free(k);
        return 0;
}

int kept_send(struct baton *b)
{
        while (!kept_is_empty(b)) {
                int r = send_first(b, container_of(list_first(&b->stay->kept), struct kept, link));
                if (r)
                        return r;
        }
        return 0;
}

int kept_drain(struct baton *b, uint64_t deadline_ns)
{
        int r;

        while ((r = kept_send(b)) == KEPT_E_AGAIN) {
                if ((r = handle_await(b, deadline_ns, false)) < 0)
                        return r;
        }
        return r;
}

/* ---------------------------------------------------------------- around a publication */

static int fail_sending(struct baton *b)
{
        return handle_fail_here(b, -EAGAIN, "what was kept is still being sent");
}

/* There is a connection, and what was kept has not all been sent. */
static int wait_or_add(struct baton *b, struct post *p)
{
        for (;;) {
                int r = kept_send(b);
                if (r == 0)
                        return KEPT_E_GO;
                if (r < 0)
                        return add(b, p);
                if (b->nonblocking)
                        break;
                if ((r = handle_await(b, p->deadline_ns, false)) < 0)
                        return b->link ? r : add(b, p);
        }
        int r = b->stay->options.keep_bytes ? add(b, p) : -ENOBUFS;
        return r == -ENOBUFS ? fail_sending(b) : r;
}

int kept_clear(struct baton *b)
{
        if (!b->nonblocking)
                return kept_drain(b, UINT64_MAX);
        int r = kept_send(b);
        return r == KEPT_E_AGAIN ? fail_sending(b) : r;
}

int kept_before(struct baton *b, struct post *p)
{
        if (!b->link && !b->dgram)
                stay_come_back(b);
        if (!b->link && !b->dgram)
                return b->join ? add(b, p) : handle_check(b);
        return kept_is_empty(b) || p->head != WIRE_INGRESS ? KEPT_E_GO : wait_or_add(b, p);
}

int kept_instead(struct baton *b, struct post *p, int error)
{
        bool keeps = error == -ENOTCONN && kept_is_taking(b) && p->head == WIRE_INGRESS;

        return keeps ? add(b, p) : error;
}

/* ---------------------------------------------------------------- what was not sent */

/* What is in force in the buffer that is read back. */
struct salvage {
        struct msg_ingress ingress;
        bool is_publication; /* of the next PUB: no request, no reply */
        struct list *before; /* what was kept and not even put is later */
        uint64_t n;
};

/* The operation that waits for the next publication, if one does. */
static struct op *next_op(struct baton *b, struct salvage *s)
{
        return s->ingress.flags & WIRE_INGRESS_CONFIRM ? ops_find(b, s->ingress.id++) : NULL;
}

static void salvage_pub(struct baton *b, struct salvage *s, const struct frame *f)
{
        bool is_confirmed = s->ingress.flags & WIRE_INGRESS_CONFIRM;
        struct op *op = next_op(b, s);
        struct message m;
        struct kept *k;

        /* Nobody waits for it any more, or it is made anew. */
        if (is_confirmed && (!op || op->kind != OP_ANSWER))
                return;
        if (message_decode(f, &m) || m.pub.n_fds || !m.pub.payload.data)
                return;
        const uint8_t *end = m.pub.topic.data + m.pub.topic.len;
        struct post p = {
                .prefix = f->data,
                .prefix_len = (size_t)(end - f->data),
                .headers = m.pub.n_headers ? m.pub.headers : (struct slice){NULL, 0},
                .payload = m.pub.payload.data,
                .payload_len = m.pub.payload.len,
                .flags = s->ingress.flags & ~(uint64_t)WIRE_INGRESS_CONFIRM,
                .ms = s->ingress.ttl_ms,
        };
        if (kept_new(b, &p, &k) < 0)
                return;
        if (op) {
                /* Its id was the lost session's: it gets another. */
                op_stop(b, op);
                list_remove(&op->item.link);
        }
        s->n += op == NULL;
        kept_push(b, k, op, s->before);
}

uint64_t kept_salvage(struct baton *b)
{
        const uint8_t *at = b->out.data, *end = at + b->out.len;
        struct salvage s = {.is_publication = true, .before = b->stay->kept.next};
        struct message m;
        struct frame f;

        if (!b->stay->options.keep_bytes || b->large.state == LARGE_CHUNKS)
                return 0;
        while (at < end && !scan_frame(&at, end, &f)) {
                if (f.type == WIRE_INGRESS && !message_decode(&f, &m))
                        s.ingress = m.ingress;
                else if (f.type == WIRE_PUB && s.is_publication)
                        salvage_pub(b, &s, &f);
                else if (f.type == WIRE_BEGIN && s.is_publication)
                        (void)next_op(b, &s);
                s.is_publication = f.type != WIRE_REQUEST && f.type != WIRE_REPLY;
                if (!s.is_publication)
                        s.ingress = (struct msg_ingress){.id = 0}; /* they end what was in force */
        }
        return s.n;
}

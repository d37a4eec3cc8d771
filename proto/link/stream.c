/* Design note. A stream has no packets, so each is led by its length. Reads are exact: the head's 5
 * bytes, then the body's, never a byte of the next packet. That costs a second system call a
 * packet, and buys three things:
 *
 *  - poll tells the truth: what is not yet received is still in the kernel, never hidden here.
 *  - Descriptors need no queue. The kernel hands them out with the first byte of their sendmsg, and
 *    a read ends behind the bytes of that sendmsg, not ahead of them: a long read glues the packet
 *    before to the descriptors of the next. A read that stays within a packet can only get that
 *    packet's. (tests/link/kernel_stream_test.c)
 *  - A packet that is there goes straight into the caller's buffer.
 *
 * Only a packet in pieces is put together in a buffer of the link, `in`. Once bytes have been taken
 * from the kernel there must be a place for them, so `in` is made before the body is read: without
 * memory nothing is lost, the call fails and may be made again. `out` likewise is made before a
 * packet is sent, for its rest. Both are let go as soon as they are empty, unless small.
 *
 * What came of a packet that is not whole is kept: 64 KiB, and so many descriptors as a packet may
 * have. Who sends more is broken. How long it may take is for the caller to say (link_is_partial).
 *
 * Who feeds a packet in crumbs while we read could hold us for as long as it likes: a call makes at
 * most PIECES_MAX reads, then says LINK_E_AGAIN, and poll calls it again.
 *
 * Nothing marks where the next packet begins, so a stream that once made no sense never will again:
 * it stays LINK_E_BROKEN. A rest that can no longer be sent likewise leaves it LINK_E_GONE. */
#include "proto/link/stream.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
        HEAD_BYTES = 5,
        HEAD_FIRST = 0xce, /* msgpack's uint 32 */
        PIECES_MAX = 64,
        /* What an idle stream may keep, each way. */
        KEEP_BYTES = 1024,
};

/* Room for bytes that wait. */
struct side {
        uint8_t *data;
        size_t cap;
};

struct stream {
        int fd;
        struct graveyard *yard;

        /* Of the packet that is being received. */
        uint8_t head[HEAD_BYTES];
        size_t n_head, n_body; /* bytes of each that have come */
        bool is_mixed;         /* under different credentials */
        bool is_cut;           /* without all of its descriptors */
        struct msg_extras extras;
        struct side in; /* the first n_body bytes */
        bool is_broken;

        /* Of the packet that is being sent: out_from..out_to of `out`. */
        struct side out;
        size_t out_from, out_to;
        bool is_gone;
};

/* Makes room for `n` bytes; what was in it is lost. */
static int side_reserve(struct side *side, size_t n)
{
        if (n <= side->cap)
                return 0;
        size_t cap = size_max(n, KEEP_BYTES);
        uint8_t *data = malloc(cap);
        if (!data)
                return -ENOMEM;
        free(side->data);
        *side = (struct side){.data = data, .cap = cap};
        return 0;
}

static void side_release(struct side *side)
{
        if (side->cap > KEEP_BYTES) {
                free(side->data);
                *side = (struct side){NULL, 0};
        }
}

int stream_new(int fd, struct graveyard *yard, struct stream **ret_stream)
{
        struct stream *s = malloc(sizeof(*s));

        if (!s)
                return -ENOMEM;
        *s = (struct stream){.fd = fd, .yard = yard};
        *ret_stream = s;
        return 0;
}

struct stream *stream_free(struct stream *s)
{
        if (s) {
                fdset_unref(s->extras.fds);
                free(s->in.data);
                free(s->out.data);
                free(s);
        }
        return NULL;
}

static size_t count_bytes(const struct iovec *iov, size_t n_iov)
{
        size_t n = 0;

        for (size_t i = 0; i < n_iov; i++)
                n += iov[i].iov_len;
        return n;
}

/* Keeps all but the first `n` bytes. */
static void keep_rest(struct stream *s, const struct iovec *iov, size_t n_iov, size_t n)
{
        s->out_from = s->out_to = 0;
        for (size_t i = 0; i < n_iov; i++) {
                size_t gone = size_min(n, iov[i].iov_len);
                size_t left = iov[i].iov_len - gone;
                n -= gone;
                if (left)
                        memcpy(s->out.data + s->out_to, (uint8_t *)iov[i].iov_base + gone, left);
                s->out_to += left;
        }
}

static int send_packet(struct stream *s, const struct iovec *iov, size_t n_iov, size_t len,
        const int *fds, size_t n_fds)
{
        uint8_t head[HEAD_BYTES] = {
                HEAD_FIRST,
                (uint8_t)(len >> 24),
                (uint8_t)(len >> 16),
                (uint8_t)(len >> 8),
                (uint8_t)len,
        };
        struct iovec all[LINK_IOV_MAX + 1];
        struct msghdr msg = {.msg_iov = all, .msg_iovlen = n_iov + 1};
        union msg_control control;

        all[0] = (struct iovec){.iov_base = head, .iov_len = sizeof(head)};
        memcpy(all + 1, iov, n_iov * sizeof(*iov));
        if (n_fds)
                msg_attach(&msg, &control, fds, n_fds);
        ssize_t n = msg_send(s->fd, &msg);
        if (n >= 0 && (size_t)n < sizeof(head) + len) {
                keep_rest(s, all, n_iov + 1, (size_t)n);
                return 0;
        }
        side_release(&s->out);
        return n < 0 ? msg_send_outcome((int)n, n_fds > 0) : 0;
}

int stream_send(
        struct stream *s, const struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds)
{
        size_t len = count_bytes(iov, n_iov);

        assert(n_iov <= LINK_IOV_MAX);
        if (len > LINK_PACKET_BYTES)
                return LINK_E_TOO_BIG;
        int r = stream_flush(s);
        if (r)
                return r;
        if (side_reserve(&s->out, HEAD_BYTES + len) < 0)
                return LINK_E_EXHAUSTED;
        return send_packet(s, iov, n_iov, len, fds, n_fds);
}

size_t stream_unsent(const struct stream *s)
{
        return s->out_to - s->out_from;
}

static int send_rest(struct stream *s)
{
        while (s->out_from < s->out_to) {
                struct iovec iov = {s->out.data + s->out_from, s->out_to - s->out_from};
                struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
                ssize_t n = msg_send(s->fd, &msg);
                if (n < 0)
                        return msg_send_outcome((int)n, false);
                s->out_from += (size_t)n;
        }
        return 0;
}

int stream_flush(struct stream *s)
{
        if (s->is_gone)
                return LINK_E_GONE;
        if (s->out_from == s->out_to)
                return 0;
        int r = send_rest(s);
        if (r == LINK_E_GONE) {
                s->is_gone = true;
                s->out_from = s->out_to;
        }
        if (s->out_from == s->out_to)
                side_release(&s->out);
        return r;
}

/* Adds descriptors to those that came with earlier bytes of the packet. Few senders do that. */
static int join_fds(struct stream *s, struct fdset *more)
{
        struct fdset *sets[] = {s->extras.fds, more};
        int fds[LINK_STREAM_FDS];
        size_t n = 0;

        s->extras.fds = NULL;
        for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
                for (size_t k = 0; k < fdset_n(sets[i]); k++)
                        fds[n++] = fdset_steal(sets[i], k);
                fdset_unref(sets[i]);
        }
        return fdset_new_take(fds, n, s->yard, &s->extras.fds);
}

static int add_fds(struct stream *s, struct fdset *more)
{
        if (fdset_n(s->extras.fds) + fdset_n(more) > LINK_STREAM_FDS) {
                fdset_unref(more);
                return LINK_E_BROKEN;
        }
        if (s->extras.fds)
                return join_fds(s, more);
        s->extras.fds = more;
        return 0;
}

bool stream_is_partial(const struct stream *s)
{
        return s->n_head > 0;
}

static bool same_cred(const struct msg_extras *a, const struct msg_extras *b)
{
        return a->has_cred == b->has_cred && a->cred.pid == b->cred.pid &&
               a->cred.uid == b->cred.uid && a->cred.gid == b->cred.gid;
}

static int add_extras(struct stream *s, const struct msg_extras *more, bool is_first)
{
        if (is_first)
                s->extras = (struct msg_extras){.has_cred = more->has_cred, .cred = more->cred};
        s->is_mixed |= !same_cred(&s->extras, more);
        return more->fds ? add_fds(s, more->fds) : 0;
}

/* Reads what is there of the bytes that lack, `*n` of `want` having come, and of what belongs to
 * them. */
static int read_piece(struct stream *s, uint8_t *to, size_t want, size_t *n)
{
        union msg_control control;
        struct msg_extras extras;
        struct iovec iov = {.iov_base = to + *n, .iov_len = want - *n};
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        ssize_t got = msg_recv(s->fd, &msg, false);

        if (got < 0) {
                if (got == -EAGAIN)
                        return LINK_E_AGAIN;
                return got == -ENOTCONN ? LINK_E_EOF : (int)got; /* see msg_send_outcome */
        }
        int r = msg_take(&msg, s->yard, &extras);
        if (r == 0)
                r = add_extras(s, &extras, s->n_head == 0);
        if (r) {
                s->is_broken = true; /* -ENOMEM: bytes are here, their descriptors are not */
                return r;
        }
        if (got == 0)
                return LINK_E_EOF;
        *n += (size_t)got;
        s->is_cut |= (msg.msg_flags & MSG_CTRUNC) != 0;
        return 0;
}

static int read_head(struct stream *s, int *pieces)
{
        while (s->n_head < HEAD_BYTES) {
                if (++*pieces > PIECES_MAX)
                        return LINK_E_AGAIN;
                int r = read_piece(s, s->head, HEAD_BYTES, &s->n_head);
                if (r)
                        return r;
                if (s->head[0] != HEAD_FIRST)
                        return LINK_E_BROKEN;
        }
        return 0;
}

static size_t body_bytes(const struct stream *s)
{
        const uint8_t *h = s->head;

        return (size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4];
}

static int read_body(struct stream *s, uint8_t *buf, size_t len, int *pieces)
{
        bool is_direct = s->n_body == 0;
        int r = is_direct ? side_reserve(&s->in, len) : 0;

        if (r < 0)
                return r;
        uint8_t *to = is_direct ? buf : s->in.data;
        while (r == 0 && s->n_body < len) {
                if (++*pieces > PIECES_MAX)
                        r = LINK_E_AGAIN;
                else
                        r = read_piece(s, to, len, &s->n_body);
        }
        if (r == 0 && !is_direct)
                memcpy(buf, s->in.data, len);
        if (r && is_direct)
                memcpy(s->in.data, buf, s->n_body);
        return r;
}

static int read_packet(struct stream *s, uint8_t *buf, size_t cap)
{
        int pieces = 0;
        int r = read_head(s, &pieces);

        if (r)
                return r;
        size_t len = body_bytes(s);
        if (!len || len > LINK_PACKET_BYTES || len > cap)
                return LINK_E_BROKEN;
        return read_body(s, buf, len, &pieces);
}

/* Makes ready for the next packet; the descriptors are somebody else's. */
static void begin(struct stream *s)
{
        s->n_head = s->n_body = 0;
        s->is_mixed = s->is_cut = false;
        s->extras = (struct msg_extras){.fds = NULL};
        side_release(&s->in);
}

int stream_recv(
        struct stream *s, void *buf, size_t cap, size_t *ret_len, struct msg_extras *ret_extras)
{
        if (s->is_broken)
                return LINK_E_BROKEN;
        int r = read_packet(s, buf, cap);
        s->is_broken |= r == LINK_E_BROKEN;
        if (r == 0 && s->is_cut) {
                *ret_len = body_bytes(s);
                fdset_unref(s->extras.fds);
                begin(s);
                return LINK_E_CUT;
        }
        if (r == 0) {
                *ret_len = body_bytes(s);
                *ret_extras = s->extras;
                ret_extras->has_cred = s->extras.has_cred && !s->is_mixed;
                begin(s);
        } else if (r == LINK_E_EOF || s->is_broken) {
                fdset_unref(s->extras.fds);
                begin(s);
        }
        return r;
}

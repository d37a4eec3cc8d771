/* Design note. A payload that is written piece by piece. Where it can be placed, it is gathered
 * here and, beyond a frame, in a memory file; nothing is sent before baton_end, which publishes it
 * like any other payload. Elsewhere it goes in chunks as it comes (large.c), and BEGIN is sent at
 * once. Either way small pieces are gathered: a piece is not a packet, nor a system call.
 *
 * -EAGAIN, of a non-blocking handle, changes nothing: the call may be made again. Every other
 * failure abandons what was begun. */
#include "client/handle.h"
#include "client/kept.h"

#include "proto/base/memfile.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* ---------------------------------------------------------------- giving up */

static void drop_op(struct baton *b)
{
        struct large *l = &b->large;
        struct op *op = l->state == LARGE_FILLS ? l->post.op : l->id ? ops_find(b, l->id) : NULL;

        if (op)
                op_drop(b, op);
}

static void abandon(struct baton *b)
{
        struct large *l = &b->large;

        if (l->state == LARGE_NONE || !l->open)
                return;
        drop_op(b);
        if (l->state == LARGE_CHUNKS)
                large_give_up(b);
        else
                large_forget(b);
}

void baton_abandon(baton *b)
{
        out_hold(b);
        abandon(b);
        int r = out_part(b, 0);
        /* A failure shows up with the next call. */
        (void)r;
}

/* What a call returns that may have failed. */
static int settle(struct baton *b, int r)
{
        if (r < 0 && r != -EAGAIN)
                abandon(b);
        return r;
}

static int check(struct baton *b)
{
        int r = handle_check(b);

        if (r < 0)
                return r;
        return b->large.open
                       ? 0
                       : handle_fail(b, -EINVAL, "nothing was begun: baton_begin comes first");
}

/* ---------------------------------------------------------------- beginning */

/* Keeps all that `p` points at. */
static int start_filling(struct baton *b, const struct post *p)
{
        struct large *l = &b->large;
        int r = p->n_fds ? post_copy_fds(b, p, &l->fds) : 0;

        if (r < 0)
                return r;
        l->state = LARGE_FILLS;
        l->file = -1;
        if (buf_push(&l->text, p->prefix, p->prefix_len) < 0 ||
                buf_push(&l->text, p->headers.data, p->headers.len) < 0) {
                large_forget(b);
                return handle_fail(b, -ENOMEM, "out of memory");
        }
        l->post = *p;
        l->post.prefix = l->text.data;
        l->post.headers.data = l->text.data + p->prefix_len;
        l->post.fds = fdset_fds(l->fds);
        out_tune(b);
        return 0;
}

static int start_chunks(struct baton *b, struct post *p, uint64_t size)
{
        p->form = POST_CHUNKED;
        p->size = size;
        post_weigh(b, p);
        int r = large_start(b, p);
        return r < 0 ? r : out_kick(b);
}

static int begin(struct baton *b, const struct baton_publication *p, uint64_t size, struct op *op)
{
        struct large *l = &b->large;
        struct post post;
        int r = publish_prepare(b, p, &post);

        if (r < 0 || (r = kept_clear(b)) < 0 || (r = large_clear(b, UINT64_MAX)) < 0)
                return r;
        if (size > b->facts.payload_bytes)
                return large_refuse_size(b, size);
        post.op = op;
        post.payload_len = 0;
        /* A broker for which a frame is the limit needs no chunks. */
        bool fills = large_may_place(b) || b->facts.payload_bytes <= WIRE_FRAME_BYTES;
        r = fills ? start_filling(b, &post) : start_chunks(b, &post, size);
        if (r < 0)
                return r;
        l->open = true;
        l->size = size;
        return 0;
}

static int begin_confirmed(struct baton *b, const struct baton_publication *p, uint64_t size,
        baton_done_fn done, void *arg)
{
        struct op *op = NULL;
        int r = handle_check_sending(b);

        if (r < 0)
                return r;
        if (done) {
                if ((r = ops_new(b, OP_ANSWER, &op)) < 0)
                        return r;
                op->done = done;
                op->arg = arg;
        }
        r = begin(b, p, size, op);
        if (r < 0 && op)
                op_drop(b, op);
        return r;
}

int baton_begin(
        baton *b, const struct baton_publication *p, uint64_t size, baton_done_fn done, void *arg)
{
        out_hold(b);
        return out_part(b, begin_confirmed(b, p, size, done, arg));
}

/* ---------------------------------------------------------------- writing */

static int append_file(struct baton *b, const void *data, size_t len)
{
        struct large *l = &b->large;
        int r = l->file < 0 ? memfile_new(&l->file) : 0;

        if (r == 0)
                r = memfile_append(l->file, data, len);
        return r < 0 ? handle_fail(b, r, "a memory file: %s", strerror(-r)) : 0;
}

static int write_filling(struct baton *b, const void *data, size_t len)
{
        struct large *l = &b->large;

        if (l->kept.len + len > WIRE_FRAME_BYTES) {
                int r = l->kept.len ? append_file(b, l->kept.data, l->kept.len) : 0;
                if (r < 0)
                        return r;
                buf_clear(&l->kept);
        }
        if (len > WIRE_FRAME_BYTES)
                return append_file(b, data, len);
        if (buf_push(&l->kept, data, len) < 0)
                return handle_fail(b, -ENOMEM, "out of memory");
        return 0;
}

static int write_chunks(struct baton *b, const uint8_t *data, size_t len)
{
        struct large *l = &b->large;
        int r = 0;

        if (b->nonblocking) {
                if ((r = out_push(b)) < 0)
                        return r;
                if (l->left >= LARGE_PIECE_BYTES)
                        return handle_fail_here(
                                b, -EAGAIN, "what was written before is still being sent");
                r = large_keep(b, data, len);
                return r < 0 ? r : out_push(b);
        }
        while (r == 0 && len) {
                size_t n = size_min(len, LARGE_PIECE_BYTES - l->left);
                if ((r = large_keep(b, data, n)) < 0)
                        break;
                data += n;
                len -= n;
                r = large_is_due(b) ? large_drain(b, UINT64_MAX) : 0;
        }
        return r;
}

static int write_some(struct baton *b, const void *data, size_t len)
{
        struct large *l = &b->large;

        if (l->is_sealed)
                return handle_fail(b, -EINVAL, "baton_end was called: only it may be called again");
        if (len > b->facts.payload_bytes || l->written > b->facts.payload_bytes - len)
                return large_refuse_size(b, l->written + len);
        if (l->size && l->written + len > l->size)
                return handle_fail(
                        b, -EINVAL, "more than the %" PRIu64 " bytes that were announced", l->size);
        int r = l->state == LARGE_FILLS ? write_filling(b, data, len) : write_chunks(b, data, len);
        if (r == 0)
                l->written += len;
        return r;
}

int baton_write(baton *b, const void *data, size_t len)
{
        out_hold(b);
        int r = check(b);
        return out_part(b, r < 0 ? r : settle(b, write_some(b, data, len)));
}

/* ---------------------------------------------------------------- ending */

static int seal_file(struct baton *b)
{
        struct large *l = &b->large;
        int r = l->kept.len ? append_file(b, l->kept.data, l->kept.len) : 0;

        if (r < 0)
                return r;
        buf_clear(&l->kept);
        if (!l->is_sealed && (r = memfile_seal(l->file)))
                return handle_fail(b, r < 0 ? r : -EOPNOTSUPP, "a memory file cannot be sealed");
        l->is_sealed = true;
        return 0;
}

static int publish_filled(struct baton *b)
{
        struct large *l = &b->large;
        struct post p = l->post; /* the connection may be lost meanwhile, and that with it */
        int r = l->file >= 0 ? seal_file(b) : 0;

        if (r < 0)
                return r;
        p.file = l->file >= 0 ? &l->file : NULL;
        p.payload = l->kept.data;
        p.payload_len = l->written;
        if ((r = post_measure(b, &p)) < 0)
                return r;
        if (p.form == POST_CHUNKED)
                return handle_fail_here(b, -EACCES, "this session may not place payloads any more");
        if ((r = post_frame(b, &p)) < 0)
                return r;
        large_forget(b);
        r = out_kick(b);
        return p.op ? 0 : r;
}

static int end_chunks(struct baton *b)
{
        struct large *l = &b->large;

        l->ending = true;
        l->open = false;
        int r = b->nonblocking ? out_push(b) : large_drain(b, UINT64_MAX);
        /* Until END is put it can still be abandoned. */
        if (r < 0 && l->state == LARGE_CHUNKS)
                l->open = true;
        return r;
}

static int end(struct baton *b)
{
        struct large *l = &b->large;

        if (l->size && l->written != l->size)
                return handle_fail(b, -EINVAL,
                        "%" PRIu64 " bytes of the %" PRIu64 " that were announced", l->written,
                        l->size);
        return l->state == LARGE_FILLS ? publish_filled(b) : end_chunks(b);
}

int baton_end(baton *b)
{
        out_hold(b);
        int r = check(b);
        return out_part(b, r < 0 ? r : settle(b, end(b)));
}

/* Design note. Everything that the broker answers is an operation with an id: a confirmed
 * publication, SUB, REQUEST, and PING, whose token is an id. It ends exactly once: op_end takes it
 * off the list of what is pending, and telling() takes it out of everything before it calls
 * anybody.
 *
 * Ids are given when the frame is written and not before, since on the wire they only increase.
 * Operations are recycled: a loop of confirmed publications should not live in malloc.
 *
 * A request that ends with the connection stays in the table until the queue comes to it: replies
 * that were received before, and still stand in the queue, are its due. */
#include "client/handle.h"

#include "client/kept.h"
#include "client/stay.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ids come from our own counter: nobody can choose collisions, so any seed does. */
static uint64_t hash_of(uint64_t id)
{
        return hash_u64(0, id);
}

static struct op *op_of(struct list *link)
{
        return container_of(list_entry(link, struct item, link), struct op, item);
}

/* A map that has its table can always take one more: so op_start cannot fail. */
static int make_table(struct map *m)
{
        struct map_node probe;
        int r = 0;

        if (!m->cap && !(r = map_add(m, &probe, 0)))
                map_remove(m, &probe);
        return r;
}

static struct op *allocate(struct ops *ops)
{
        struct list *spare = list_first(&ops->spare);

        if (!spare)
                return malloc(sizeof(struct op));
        list_remove(spare);
        ops->n_spare--;
        return op_of(spare);
}

int ops_new(struct baton *b, enum op_kind kind, struct op **ret_op)
{
        struct op *op;

        /* What a handle that stays connected asks and tells is bounded otherwise. */
        if (b->ops.n >= CLIENT_PENDING && kind < OP_CONNECT)
                return handle_fail(b, -ENOBUFS,
                        "%d answers are awaited already: dispatch, by baton_wait or baton_process, "
                        "first",
                        CLIENT_PENDING);
        if (make_table(&b->ops.by_id) < 0 || !(op = allocate(&b->ops)))
                return handle_fail(b, -ENOMEM, "out of memory");
        *op = (struct op){.kind = kind};
        list_init(&op->item.link);
        list_init(&op->held);
        b->ops.n++;
        *ret_op = op;
        return 0;
}

void op_start(struct baton *b, struct op *op)
{
        list_remove(&op->item.link); /* it may have been pending before */
        op->id = b->ops.next_id++;
        int r = map_add(&b->ops.by_id, &op->node, hash_of(op->id));
        assert(r == 0);
        (void)r;
        op->mapped = true;
        list_push_back(&b->ops.pending, &op->item.link);
}

struct op *ops_find(const struct baton *b, uint64_t id)
{
        map_for_each (node, &b->ops.by_id, hash_of(id)) {
                struct op *op = container_of(node, struct op, node);
                if (op->id == id)
                        return op;
        }
        return NULL;
}

static void unmap(struct baton *b, struct op *op)
{
        if (op->mapped)
                map_remove(&b->ops.by_id, &op->node);
        op->mapped = false;
}

static void detach(struct baton *b, struct op *op)
{
        list_remove(&op->item.link);
        heap_remove(&b->ops.deadlines, &op->deadline);
        unmap(b, op);
}

static void recycle(struct baton *b, struct op *op)
{
        for (struct list *it; (it = list_first(&op->held));) {
                list_remove(it);
                packet_free(container_of(list_entry(it, struct item, link), struct packet, item));
        }
        if (bt_unlikely(op->assembly)) {
                assembly_deinit(op->assembly);
                free(op->assembly);
        }
        free(op->text);
        if (bt_unlikely(op->kind == OP_RESTORE))
                free(op->arg);
        b->ops.n--;
        if (b->freed || b->ops.n_spare >= OPS_SPARE) {
                free(op);
                return;
        }
        list_push_front(&b->ops.spare, &op->item.link);
        b->ops.n_spare++;
}

void op_stop(struct baton *b, struct op *op)
{
        unmap(b, op);
        op->id = 0;
}

void op_drop(struct baton *b, struct op *op)
{
        if (op->kept)
                kept_forget(b, op->kept);
        if (bt_unlikely(op->is_asked && b->stay))
                stay_unask(b);
        detach(b, op);
        recycle(b, op);
}

static void tell_waiter(struct waiter *w, const struct verdict *v)
{
        w->result = v->result;
        w->code = v->code;
        snprintf(w->text, sizeof(w->text), "%s", v->text);
        w->done = true;
}

static void tell_done(struct baton *b, struct op *op, const struct verdict *v)
{
        bool outer = b->dispatching;

        if (op->waiter) {
                tell_waiter(op->waiter, v);
        } else if (op->done) {
                b->code = v->code;
                b->dispatching = true;
                op->done(b, v->result, v->text, op->arg);
                b->dispatching = outer;
        }
}

/* What a handle that stays connected has asked, or has to say. */
static void tell_stay(struct baton *b, struct op *op, const struct verdict *v)
{
        switch (op->kind) {
        case OP_EVENT:
                stay_tell(b, take_ptr(op->arg));
                break;
        case OP_RESUB:
        case OP_RESTORE:
                stay_answered(b, op, v);
                break;
        default:
                tell_done(b, op, v);
                if (!b->freed)
                        stay_answered(b, op, v);
                break;
        }
}

static void tell(struct baton *b, struct op *op, const struct verdict *v)
{
        detach(b, op);
        if (op->kind == OP_SUB && v->result < 0)
                subs_remove(b, op->sub);
        b->progress++;
        if (bt_unlikely(op->kind > OP_CONNECT || op->is_asked))
                tell_stay(b, op, v);
        else
                tell_done(b, op, v);
        recycle(b, op);
}

void op_end(struct baton *b, struct op *op, const struct verdict *v, bool now)
{
        if (now || op->nested) {
                tell(b, op, v);
                return;
        }
        list_remove(&op->item.link);
        heap_remove(&b->ops.deadlines, &op->deadline);
        if (op->kind != OP_REQUEST || v->result != -ENOTCONN)
                unmap(b, op);
        op->result = v->result;
        op->code = v->code;
        /* It may stand in the queue already: lost, then cancelled. The later word holds. */
        free(op->text);
        op->text = v->text[0] ? strdup(v->text) : NULL;
        list_push_back(&b->queue, &op->item.link);
}

void op_finish(struct baton *b, struct op *op)
{
        tell(b, op, &(struct verdict){op->result, op->code, op->text ? op->text : ""});
}

void ops_end_all(struct baton *b, const struct verdict *v)
{
        for (struct list *it; (it = list_first(&b->ops.pending));)
                op_end(b, op_of(it), v, false);
}

void ops_expire(struct baton *b)
{
        struct heap_node *first = heap_peek(&b->ops.deadlines);
        uint64_t now = first ? clock_ns() : 0;

        for (; first && first->at_ns <= now; first = heap_peek(&b->ops.deadlines)) {
                struct op *op = container_of(first, struct op, deadline);
                request_cancel(b, op->id);
                op_end(b, op, &(struct verdict){-ETIMEDOUT, 0, "no reply in time"}, false);
        }
}

void ops_deinit(struct baton *b)
{
        for (struct list *it; (it = list_first(&b->ops.spare));) {
                list_remove(it);
                free(op_of(it));
        }
        map_deinit(&b->ops.by_id);
        heap_deinit(&b->ops.deadlines);
}

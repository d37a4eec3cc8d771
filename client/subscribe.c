/* Design note. Subscriptions are found by their number, which is never used twice in the life of a
 * handle: what is still under way for one that is gone finds nothing and is ignored. Nobody keeps a
 * pointer to one across a callback. */
#include "client/handle.h"

#include "proto/wire/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SUBSCRIBE_TIMEOUT_MS = 30000 };

/* Numbers come from our own counter: nobody can choose collisions, so any seed does. */
static uint64_t hash_of(uint64_t id)
{
        return hash_u64(0, id);
}

struct sub *subs_find(struct baton *b, uint64_t id)
{
        if (bt_likely(b->last_sub && b->last_sub->id == id))
                return b->last_sub;
        map_for_each (node, &b->subs, hash_of(id)) {
                struct sub *s = container_of(node, struct sub, node);
                if (s->id == id)
                        return b->last_sub = s;
        }
        return NULL;
}

void subs_remove(struct baton *b, uint32_t id)
{
        struct sub *s = subs_find(b, id);

        if (!s)
                return;
        b->last_sub = NULL;
        map_remove(&b->subs, &s->node);
        list_remove(&s->order);
        free(s);
}

void subs_clear(struct baton *b)
{
        b->last_sub = NULL;
        for (struct map_node *node; (node = map_any(&b->subs));) {
                struct sub *s = container_of(node, struct sub, node);
                map_remove(&b->subs, node);
                list_remove(&s->order);
                free(s);
        }
}

/* ---------------------------------------------------------------- subscribing */

static int check(struct baton *b, const char *filter, const struct baton_subscription *o,
        baton_message_fn fn)
{
        size_t group_len = o->group ? strnlen(o->group, WIRE_TOPIC_BYTES + 1) : 0;

        const char *fault = filter_fault(filter, strnlen(filter, WIRE_TOPIC_BYTES + 1));

        if (fault)
                return handle_fail(b, -EINVAL, "'%.80s' is no filter: %s", filter, fault);
        if (!fn)
                return handle_fail(b, -EINVAL, "no callback (NULL)");
        if (o->group && (!topic_is_valid(o->group, group_len) || strchr(o->group, '.')))
                return handle_fail(b, -EINVAL,
                        "%.80s: not the name of a group (one token of a topic)", o->group);
        if (o->max_fds > WIRE_FDS)
                return handle_fail(b, -EINVAL, "max_fds %u: a message has at most %d descriptors",
                        o->max_fds, WIRE_FDS);
        if ((unsigned)o->overflow >= WIRE_OVERFLOW_N_)
                return handle_fail(
                        b, -EINVAL, "overflow %u: no such policy", (unsigned)o->overflow);
        if (o->ack && !o->group)
                return handle_fail(b, -EINVAL, "ack is for a group");
        if (!o->ack && (o->ack_ms || o->max_deliveries))
                return handle_fail(b, -EINVAL, "ack_ms and max_deliveries are for ack");
        if (o->hold && !o->group && !o->window)
                return handle_fail(b, -EINVAL, "hold is for a group or a window");
        return 0;
}

static int add(struct baton *b, const char *filter, const struct baton_subscription *o,
        baton_message_fn fn, void *arg, struct sub **ret_sub)
{
        size_t len = strlen(filter), group_len = o->group ? strlen(o->group) : 0;
        struct sub *s = malloc(sizeof(*s) + len + 1 + group_len + 1);

        if (!s)
                return handle_fail(b, -ENOMEM, "out of memory");
        *s = (struct sub){
                .id = b->next_sub,
                .fn = fn,
                .arg = arg,
                .window = o->window  ? o->window
                          : o->group ? SUBS_GROUP_WINDOW
                                     : 0,
                .ack = o->ack,
                .options = *o,
        };
        memcpy(s->filter, filter, len + 1);
        if (o->group) {
                s->options.group = s->filter + len + 1;
                memcpy(s->filter + len + 1, o->group, group_len + 1);
        }
        if (map_add(&b->subs, &s->node, hash_of(s->id)) < 0) {
                free(s);
                return handle_fail(b, -ENOMEM, "out of memory");
        }
        list_push_back(&b->sub_order, &s->order);
        b->next_sub++;
        *ret_sub = s;
        return 0;
}

static int say_sub(struct baton *b, const struct op *op, const struct sub *s)
{
        const struct baton_subscription *o = &s->options;
        struct message m = {
                .type = WIRE_SUB,
                .sub = {.id = op->id,
                        .sub = s->id,
                        .filter = {(const uint8_t *)s->filter, strlen(s->filter)},
                        .max_fds = o->max_fds,
                        .observer = o->observer,
                        .overflow = (enum wire_overflow)o->overflow,
                        .queue_bytes = o->queue_bytes,
                        .queue_messages = o->queue_messages,
                        .has_window = s->window != 0,
                        .window = s->window,
                        .no_retained = o->no_retained,
                        .ack = o->ack,
                        .ack_ms = o->ack_ms,
                        .max_deliveries = o->max_deliveries},
        };

        if (o->group)
                m.sub.group = (struct slice){(const uint8_t *)o->group, strlen(o->group)};
        return out_control(b, &m);
}

/* What the application waits for, and the broker has not been asked. */
static struct op *find_unasked(const struct baton *b, uint32_t sub)
{
        list_for_each (it, &b->ops.pending) {
                struct op *op = container_of(list_entry(it, struct item, link), struct op, item);
                if (op->kind == OP_SUB && op->sub == sub && !op->mapped)
                        return op;
        }
        return NULL;
}

static int restore(struct baton *b, struct sub *s)
{
        struct op *op = find_unasked(b, s->id);
        int r = op ? 0 : ops_new(b, OP_RESUB, &op);

        if (r < 0)
                return r;
        op->sub = s->id;
        op->is_asked = true;
        s->owed = s->n_held = 0;
        op_start(b, op);
        return say_sub(b, op, s);
}

int subs_restore(struct baton *b, unsigned *n_asked)
{
        list_for_each (it, &b->sub_order) {
                int r = restore(b, container_of(it, struct sub, order));
                if (r < 0)
                        return r;
                ++*n_asked;
        }
        return 0;
}

/* `op` is dropped if it fails. */
static int start(struct baton *b, const char *filter, const struct baton_subscription *options,
        baton_message_fn fn, void *arg, struct op *op)
{
        static const struct baton_subscription plain;
        const struct baton_subscription *o = options ? options : &plain;
        struct sub *s = NULL;
        int r = check(b, filter, o, fn);

        if (r < 0 || (r = add(b, filter, o, fn, arg, &s)) < 0) {
                op_drop(b, op);
                return r;
        }
        op->sub = s->id;
        if (!b->link) {
                list_push_back(&b->ops.pending, &op->item.link); /* for subs_restore */
                return 0;
        }
        op_start(b, op);
        r = say_sub(b, op, s);
        if (r < 0) {
                subs_remove(b, op->sub);
                op_drop(b, op);
        }
        return r;
}

static int subscribe_start(struct baton *b, const char *filter,
        const struct baton_subscription *options, baton_message_fn fn, baton_done_fn done,
        void *arg, uint32_t *ret_sub)
{
        struct op *op;
        int r = handle_check_subscribing(b);

        if (r < 0 || (r = ops_new(b, OP_SUB, &op)) < 0)
                return r;
        op->done = done;
        op->arg = arg;
        if ((r = start(b, filter, options, fn, arg, op)) < 0)
                return r;
        if (ret_sub)
                *ret_sub = op->sub;
        return 0;
}

int baton_subscribe_start(baton *b, const char *filter, const struct baton_subscription *options,
        baton_message_fn fn, baton_done_fn done, void *arg, uint32_t *ret_sub)
{
        out_hold(b);
        return out_part(b, subscribe_start(b, filter, options, fn, done, arg, ret_sub));
}

/* It was made while nobody could be asked for it. */
static void end_unasked(struct baton *b, uint32_t sub)
{
        struct op *op = find_unasked(b, sub);

        if (op)
                op_end(b, op, &(struct verdict){-ECANCELED, 0, "unsubscribed"}, false);
}

static int unsubscribe(struct baton *b, uint32_t sub)
{
        struct message m = {.type = WIRE_UNSUB};
        int r = handle_check_subscribing(b);

        if (!subs_find(b, sub))
                return handle_fail(b, -ENOENT, "no subscription has the number %u", sub);
        if (r == 0 && !b->link)
                end_unasked(b, sub);
        if (r == 0 && b->link) {
                /* Nobody waits for the answer: an id that finds no operation is ignored. */
                subs_settle(b, subs_find(b, sub));
                m.unsub = (struct msg_unsub){b->ops.next_id++, sub};
                r = out_control(b, &m);
        }
        /* Without memory it stays; without a connection it goes, though messages may be left. */
        if (r == 0 || r == -ENOTCONN)
                subs_remove(b, sub);
        return r;
}

static int subscribe(struct baton *b, const char *filter, const struct baton_subscription *options,
        baton_message_fn fn, void *arg, uint32_t *ret_sub)
{
        struct waiter w = {.done = false};
        struct op *op;
        int r = handle_check_subscribing(b);

        if (r < 0 || (r = ops_new(b, OP_SUB, &op)) < 0)
                return r;
        op->waiter = &w;
        op->nested = b->dispatching;
        if ((r = start(b, filter, options, fn, arg, op)) < 0)
                return r;
        uint32_t id = op->sub, before = ret_sub ? *ret_sub : 0;
        if (ret_sub)
                *ret_sub = id; /* its callback may be called while we wait */
        r = handle_await_op(b, op, &w, clock_deadline(SUBSCRIBE_TIMEOUT_MS));
        if (r < 0) {
                if (ret_sub)
                        *ret_sub = before;
                /* It may be in force: the answer is missing, not the subscription. */
                if (!b->freed && subs_find(b, id) && unsubscribe(b, id) < 0)
                        subs_remove(b, id);
                return r;
        }
        enum wire_overflow wanted = options ? (enum wire_overflow)options->overflow : 0;
        if (r != (int)wanted && r < WIRE_OVERFLOW_N_)
                handle_log(b, "%s: overflow is %s here, not %s", filter,
                        wire_overflow_name((enum wire_overflow)r), wire_overflow_name(wanted));
        return 0;
}

int baton_subscribe(baton *b, const char *filter, const struct baton_subscription *options,
        baton_message_fn fn, void *arg, uint32_t *ret_sub)
{
        handle_enter(b);
        return handle_leave(b, subscribe(b, filter, options, fn, arg, ret_sub));
}

int baton_unsubscribe(baton *b, uint32_t sub)
{
        out_hold(b);
        return out_part(b, unsubscribe(b, sub));
}

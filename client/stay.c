/* Design note. A handle that stays connected is connected, or away and joining (join.c); a loss
 * makes the one of the other, and WELCOME the other of the one. What the application must know of
 * it goes through the queue, in its place between the messages of the two connections: an event is
 * an operation that has ended already.
 *
 * The way back begins when the messages of the old connection have been dispatched, so nothing of
 * two sessions ever lies side by side. Then the order is: subscriptions, in the order in which they
 * were made; what lasts; what was kept; what is published from then on. READY is told when all but
 * the latter was answered or sent. */
#include "client/stay.h"

#include "client/connect.h"
#include "client/kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---------------------------------------------------------------- when to try */

int stay_delay_ms(struct baton *b)
{
        const struct baton_reconnect *o = &b->stay->options;
        unsigned tries = b->stay->tries++;
        uint64_t ms = (uint64_t)o->first_ms << (tries < 20 ? tries : 20);
        unsigned random = 0;

        if (ms > o->most_ms)
                ms = o->most_ms;
        if (getentropy(&random, sizeof(random)) < 0)
                random = 0; /* then all come at once, a little later */
        return (int)(ms - random % (ms / 2 + 1));
}

bool stay_is_passing(int error)
{
        return error != -EACCES && error != -EPERM && error != -EINVAL;
}

/* ---------------------------------------------------------------- going away */

/* Subscriptions that were asked for and not answered are asked for again; what the library itself
 * had asked is forgotten. */
static void end_pending(struct baton *b, const struct verdict *v, bool may_return)
{
        list_for_each_safe (it, &b->ops.pending) {
                struct op *op = container_of(list_entry(it, struct item, link), struct op, item);
                if (op->kind == OP_RESUB || op->kind == OP_RESTORE)
                        op_drop(b, op);
                else if (op->kind == OP_SUB && may_return && subs_find(b, op->sub))
                        op_stop(b, op);
                else
                        op_end(b, op, v, false);
        }
}

/* What was answered, and nobody was told yet, must not be taken for an answer of the next session.
 */
static void settle_answered(struct baton *b)
{
        list_for_each_safe (it, &b->queue) {
                struct item *item = list_entry(it, struct item, link);
                struct op *op = container_of(item, struct op, item);
                if (item->is_packet)
                        continue;
                op->is_asked = false;
                if (op->kind == OP_SUB && op->result < 0)
                        subs_remove(b, op->sub);
                if (op->kind != OP_RESUB && op->kind != OP_RESTORE)
                        continue;
                stay_answered(
                        b, op, &(struct verdict){op->result, op->code, op->text ? op->text : ""});
                op_drop(b, op);
        }
}

/* Publications of which it is not known whether the broker took them. */
static uint64_t count_uncertain(const struct out *o, uint64_t n_kept)
{
        uint64_t known = o->n_certain + n_kept;

        /* A broker may give back more than it was sent. */
        return o->n_posts > known ? o->n_posts - known : 0;
}

/* They were to be sent, and will be made anew. */
static void drop_unsent_restores(struct baton *b)
{
        list_for_each_safe (it, &b->stay->kept) {
                struct kept *k = container_of(it, struct kept, link);
                if (k->op && k->op->kind == OP_RESTORE)
                        op_drop(b, k->op);
        }
}

void stay_gone(struct baton *b, const struct verdict *v)
{
        struct stay *s = b->stay;

        kept_end_all(b, v);
        stay_push(b, &(struct baton_event){
                             .change = BATON_GONE,
                             .error = v->result,
                             .text = v->text,
                             .dropped = s->dropped,
                     });
        s->dropped = 0;
        if (v->text != b->loss_text)
                snprintf(b->loss_text, sizeof(b->loss_text), "%s", v->text);
        b->loss = v->result;
        b->loss_code = v->code;
        ops_end_all(b, &(struct verdict){-ENOTCONN, v->code, b->loss_text});
}

static bool start_return(struct baton *b)
{
        if (!b->n_where || join_new(b, b->where, b->n_where, UINT64_MAX) < 0)
                return false;
        b->join->is_return = true;
        /* A broker that ends each session soon is not come back to any faster than one that ends
         * none. */
        if (clock_ns() - b->stay->back_ns >= b->stay->options.most_ms * UINT64_C(1000000))
                b->stay->tries = 0;
        b->join->at_ns = clock_deadline(stay_delay_ms(b));
        return true;
}

bool stay_lose(struct baton *b, int error, unsigned code)
{
        char text[HANDLE_TEXT_BYTES + 64];
        struct stay *s = b->stay;

        if (!s || b->leaving)
                return false;
        snprintf(text, sizeof(text), "%s (whether this arrived is not known)", b->loss_text);
        struct verdict v = {-ENOTCONN, code, text};
        bool may_return = b->n_where && stay_is_passing(error);
        settle_answered(b);
        drop_unsent_restores(b);
        uint64_t n_kept = may_return ? kept_salvage(b) : 0;
        stay_push(b, &(struct baton_event){
                             .change = BATON_LOST,
                             .error = error,
                             .text = b->loss_text,
                             .uncertain = count_uncertain(&b->out, n_kept),
                     });
        s->n_asked = 0;
        s->is_ready = false;
        end_pending(b, &v, may_return);
        large_lose(b, &v);
        if (!may_return || !start_return(b))
                stay_gone(b, &(struct verdict){error, code, b->loss_text});
        return true;
}

/* ---------------------------------------------------------------- coming back */

void stay_begin(struct baton *b, const struct address *list, size_t n)
{
        struct stay *s = b->stay;
        bool is_same = n == b->n_where && (!n || !memcmp(list, b->where, n * sizeof(*list)));

        if (n && !is_same) {
                struct address *where = malloc(n * sizeof(*list));
                free(b->where);
                b->where = where;
                b->n_where = where ? n : 0;
                if (where)
                        memcpy(where, list, n * sizeof(*list));
        } else if (!n) {
                b->n_where = 0;
        }
        if (!s)
                return;
        s->is_ready = false;
        s->n_asked = 0;
        s->back_ns = clock_ns();
        s->is_other = s->had_session && memcmp(s->instance, b->facts.instance, 16) != 0;
        if (s->had_session)
                stay_push(b, &(struct baton_event){
                                     .change = BATON_BACK,
                                     .text = b->facts.address,
                                     .missed = s->is_other ? -1 : b->facts.missed,
                                     .other_instance = s->is_other,
                             });
        memcpy(s->instance, b->facts.instance, sizeof(s->instance));
        b->in.last_seq = 0;
        s->was_cut = false;
}

static void check_ready(struct baton *b)
{
        struct stay *s = b->stay;

        if (s->is_ready || s->n_asked || !kept_is_empty(b) || (!b->link && !b->dgram))
                return;
        s->is_ready = true;
        stay_push(b, &(struct baton_event){
                             .change = BATON_READY,
                             .text = b->facts.address,
                             .other_instance = s->is_other,
                             .dropped = s->dropped,
                     });
        s->dropped = 0;
}

void stay_restore(struct baton *b)
{
        struct stay *s = b->stay;
        bool is_first = s && !s->had_session;

        if (!s)
                return;
        s->had_session = true;
        /* It may have ended with the packet that began it. */
        if (!b->link && !b->dgram)
                return;
        int r = b->link ? subs_restore(b, &s->n_asked) : 0;
        if (r == 0 && !is_first)
                r = kept_restore(b, s->is_other);
        if (r < 0) {
                handle_lose(b, r, 0, "what was there before could not be restored: %s", b->error);
                return;
        }
        stay_turn(b);
}

void stay_turn(struct baton *b)
{
        if (!b->stay || (!b->link && !b->dgram))
                return;
        int r = kept_is_empty(b) ? 0 : kept_send(b);
        /* What has not been sent is tried again, and a loss is dealt with as any other. */
        (void)r;
        check_ready(b);
}

void stay_come_back(struct baton *b)
{
        /* An event loop is told of another descriptor by baton_process only. */
        bool may_begin = !b->nonblocking && !b->dispatching && !b->in.view && !b->in.stored_bytes;

        while (b->join && may_begin && join_step(b) == JOIN_E_AGAIN) {
                struct link *link = join_link(b);
                if (!link)
                        return;
                int r = link_wait(link, join_events(b), clock_left_ms(join_next_ns(b)));
                if (r < 0 && r != -EINTR)
                        return;
        }
}

/* It is not asked for again. */
static void deny(struct baton *b, const struct op *op, const struct verdict *v)
{
        struct sub *of = op->kind == OP_RESUB ? subs_find(b, op->sub) : NULL;

        if (op->kind == OP_RESUB && !of)
                return; /* unsubscribed meanwhile */
        stay_push(b, &(struct baton_event){
                             .change = BATON_DENIED,
                             .error = v->result,
                             .text = v->text,
                             .subscription = op->sub,
                             .filter = of ? of->filter : op->arg,
                     });
        if (of)
                subs_remove(b, op->sub);
        else
                kept_forget_one(b, op->arg, op->is_will);
}

void stay_answered(struct baton *b, const struct op *op, const struct verdict *v)
{
        bool is_own = op->kind == OP_RESUB || op->kind == OP_RESTORE;

        if (!b->stay)
                return;
        stay_unask(b);
        if (is_own && v->result < 0 && v->result != -ENOTCONN)
                deny(b, op, v);
        check_ready(b);
}

void stay_unask(struct baton *b)
{
        b->stay->n_asked -= b->stay->n_asked > 0;
}

/* ---------------------------------------------------------------- on and off */

static struct stay *make(struct baton *b)
{
        struct stay *s = calloc(1, sizeof(*s));

        if (!s || !(s->spare = malloc(sizeof(*s->spare)))) {
                free(s);
                return NULL;
        }
        list_init(&s->kept);
        list_init(&s->lasting);
        if (b->link || b->dgram) {
                memcpy(s->instance, b->facts.instance, sizeof(s->instance));
                s->had_session = s->is_ready = true;
        }
        return s;
}

void stay_close(struct baton *b)
{
        if (!b->stay)
                return;
        kept_end_all(b, &(struct verdict){-ENOTCONN, 0, "closed before it could be sent"});
        kept_forget_lasting(b);
        b->stay->dropped = 0;
        b->stay->had_session = false;
}

void stay_deinit(struct baton *b)
{
        if (!b->stay)
                return;
        kept_end_all(b, &(struct verdict){-ENOTCONN, 0, "not sent before the end"});
        kept_forget_lasting(b);
        free(b->stay->spare);
        free(b->stay);
        b->stay = NULL;
        out_tune(b);
}

static void switch_off(struct baton *b)
{
        struct verdict v = {-ENOTCONN, 0, "not connected, and not trying any more"};

        if (b->join && b->join->is_return) {
                join_end(b, &v);
                b->loss = -ENOTCONN; /* from now on it is like any other */
        } else if (b->join) {
                b->join->again = false;
        }
        /* Subscriptions that nobody will be asked for. */
        if (b->stay && !b->link)
                ops_end_all(b, &v);
        stay_deinit(b);
}

int baton_set_reconnect(baton *b, const struct baton_reconnect *options)
{
        struct baton_reconnect o;

        if (!options) {
                switch_off(b);
                return 0;
        }
        o = *options;
        o.first_ms = o.first_ms ? o.first_ms : STAY_FIRST_MS;
        o.most_ms = o.most_ms ? o.most_ms : STAY_MOST_MS;
        if (o.first_ms > o.most_ms || o.most_ms > INT32_MAX)
                return handle_fail(
                        b, -EINVAL, "first_ms %u is more than most_ms %u", o.first_ms, o.most_ms);
        if (!b->stay && !(b->stay = make(b)))
                return handle_fail(b, -ENOMEM, "out of memory");
        b->stay->options = o;
        if (b->join && b->join->n)
                b->join->again = true;
        return 0;
}

bool baton_is_away(const baton *b)
{
        return b->stay && b->join && !b->link && !b->dgram;
}

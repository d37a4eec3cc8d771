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

int stay_delay_ms(const struct baton *b, unsigned tries)
{
        const struct baton_reconnect *o = &b->stay->options;
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

/* ---------------------------------------------------------------- events */

struct event {
        struct baton_event of;
        char *text, *filter; /* owned; NULL: none */
};

static void free_event(struct event *e)
{
        free(e->text);
        free(e->filter);
        free(e);
}

/* How the log says it. */
static const char *const words[] = {
        [BATON_LOST] = "",
        [BATON_BACK] = ": connected again",
        [BATON_READY] = ": ready",
        [BATON_DENIED] = " (not restored)",
        [BATON_GONE] = "; not trying any more",
};

static void push_event(struct baton *b, const struct baton_event *of)
{
        struct event *e = calloc(1, sizeof(*e));
        struct op *op = NULL;

        if (!e || ops_new(b, OP_EVENT, &op) < 0) {
                handle_log(b, "%s (no memory to tell it otherwise)", of->text);
                free(e);
                return;
        }
        e->of = *of;
        e->text = strdup(of->text);
        e->filter = of->filter ? strdup(of->filter) : NULL;
        e->of.text = e->text ? e->text : "";
        e->of.filter = of->filter && !e->filter ? "" : e->filter;
        op->arg = e;
        op_end(b, op, &(struct verdict){0, 0, ""}, false);
}

static void log_event(struct baton *b, const struct baton_event *e)
{
        const char *word = words[e->change];

        if (e->filter)
                handle_log(b, "%s: %s%s", e->filter, e->text, word);
        else if (e->uncertain)
                handle_log(b, "%s%s; up to %llu publications may not have arrived", e->text, word,
                        (unsigned long long)e->uncertain);
        else if (e->dropped)
                handle_log(b, "%s%s; %llu publications could not be sent", e->text, word,
                        (unsigned long long)e->dropped);
        else
                handle_log(b, "%s%s", e->text, word);
}

void stay_tell(struct baton *b, void *event)
{
        struct event *e = event;
        bool outer = b->dispatching;

        if (b->freed) {
                free_event(e);
                return;
        }
        if (b->stay && b->stay->options.on_event) {
                b->dispatching = true;
                b->stay->options.on_event(b, &e->of, b->stay->options.arg);
                b->dispatching = outer;
        } else {
                log_event(b, &e->of);
        }
        free_event(e);
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
                else if (op->kind == OP_SUB && may_return)
                        op_stop(b, op);
                else
                        op_end(b, op, v, false);
        }
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
        push_event(b, &(struct baton_event){
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
        b->join->at_ns = clock_deadline(stay_delay_ms(b, b->join->tries++));
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
        drop_unsent_restores(b);
        uint64_t n_kept = may_return ? kept_salvage(b) : 0;
        push_event(b, &(struct baton_event){
                              .change = BATON_LOST,
                              .error = error,
                              .text = b->loss_text,
                              .uncertain = b->out.n_posts - b->out.n_certain - n_kept,
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

        if (n && list != b->where) {
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
        s->is_other = s->had_session && memcmp(s->instance, b->facts.instance, 16) != 0;
        if (s->had_session)
                push_event(b, &(struct baton_event){
                                      .change = BATON_BACK,
                                      .text = b->facts.address,
                                      .other_instance = s->is_other,
                              });
        memcpy(s->instance, b->facts.instance, sizeof(s->instance));
}

static void check_ready(struct baton *b)
{
        struct stay *s = b->stay;

        if (s->is_ready || s->n_asked || !kept_is_empty(b) || (!b->link && !b->dgram))
                return;
        s->is_ready = true;
        push_event(b, &(struct baton_event){
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
        bool may_begin = !b->dispatching && !b->in.view && !b->in.stored_bytes;

        while (b->join && may_begin && join_step(b) == JOIN_E_AGAIN) {
                struct link *link = join_link(b);
                if (b->nonblocking || !link)
                        return;
                int r = link_wait(link, join_events(b), clock_left_ms(join_next_ns(b)));
                if (r < 0 && r != -EINTR)
                        return;
        }
}

void stay_answered(struct baton *b, uint32_t sub, const char *topic, const struct verdict *v)
{
        struct stay *s = b->stay;

        if (!s)
                return;
        s->n_asked -= s->n_asked > 0;
        if (v->result < 0 && v->result != -ENOTCONN) {
                struct sub *of = sub ? subs_find(b, sub) : NULL;
                push_event(b, &(struct baton_event){
                                      .change = BATON_DENIED,
                                      .error = v->result,
                                      .text = v->text,
                                      .subscription = sub,
                                      .filter = of ? of->filter : topic,
                              });
                if (of)
                        subs_remove(b, sub);
        }
        check_ready(b);
}

/* ---------------------------------------------------------------- on and off */

static struct stay *make(struct baton *b)
{
        struct stay *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        list_init(&s->kept);
        list_init(&s->lasting);
        if (b->link) {
                memcpy(s->instance, b->facts.instance, sizeof(s->instance));
                s->had_session = s->is_ready = true;
        }
        return s;
}

void stay_deinit(struct baton *b)
{
        if (!b->stay)
                return;
        kept_end_all(b, &(struct verdict){-ENOTCONN, 0, "not sent before the end"});
        kept_forget_lasting(b);
        free(b->stay);
        b->stay = NULL;
        out_tune(b);
}

int baton_set_reconnect(baton *b, const struct baton_reconnect *options)
{
        struct baton_reconnect o;

        if (!options) {
                if (b->join && b->join->is_return) {
                        join_end(b, &(struct verdict){-ENOTCONN, 0, ""});
                        b->loss = -ENOTCONN; /* from now on it is like any other */
                }
                stay_deinit(b);
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
        return 0;
}

bool baton_is_away(const baton *b)
{
        return b->stay && b->join && !b->link && !b->dgram;
}

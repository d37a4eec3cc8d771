/* Design note. The way of a publication: it is judged, its topic is looked up, and it is admitted
 * to its receivers (admit.c), or given to the one that it replies to.
 *
 * Who waits: a session whose first parked publication is not through yet has everything behind it
 * wait too, refusals included. That is what `block` means: the publishing session is slowed, and
 * its publications, like the answers to them, stay in order. */
#include "broker/core/routing.h"
#include "proto/wire/topic.h"

#include <string.h>

void publish_credit(struct core *c, struct session *s, uint64_t bytes)
{
        s->owed += bytes;
        if (s->owed < c->config.limits.window_bytes / 4 || s->state != SESSION_OPEN)
                return;
        s->window_used -= s->owed;
        uint64_t amount = s->owed;
        s->owed = 0;
        answer(c, s,
                &(struct message){.type = WIRE_CREDIT,
                        .credit = {.what = WIRE_CREDIT_PUBLISH, .amount = amount}});
}

bool header_has_id(const struct header_state *h)
{
        return h->id && (h->kind != PUB_PLAIN || (h->flags & WIRE_INGRESS_CONFIRM));
}

/* One ERR for each that has an id, one for all that have none. */
static void answer_refusal(
        struct core *c, struct session *s, const struct pub *pub, const struct refusal *why)
{
        const struct header_state *h = &pub->header;
        bool has_id = header_has_id(h);
        uint32_t n = has_id ? pub->n_frames : 1;
        size_t before = s->control.len;

        c->work += n * WORK_CONTROL;
        for (uint32_t i = 0; i < n; i++)
                answer_err(c, s, has_id ? h->id + i : 0, why->code, why->limit, "%s", why->text);
        if (s->control.len > before)
                s->confirm_bytes += s->control.len - before; /* bounded by the window, too */
}

static void refuse(struct core *c, const struct flight *f, enum wire_code code, const char *limit,
        const char *text)
{
        c->count.refused += f->pub->n_frames;
        if (f->request)
                request_end(c, f->request, code, limit, text);
        else
                answer_refusal(c, f->publisher, f->pub, &(struct refusal){code, limit, text});
        publish_credit(c, f->publisher, f->pub->cost);
}

static void refuse_route(struct core *c, const struct flight *f, int outcome)
{
        if (outcome == ROUTE_E_BAD_TOPIC)
                refuse(c, f, WIRE_CODE_BAD_TOPIC, "", "not a topic");
        else if (outcome == ROUTE_E_LIMIT)
                refuse(c, f, WIRE_CODE_LIMIT, "match_nodes", "too many filters to compare");
        else
                refuse(c, f, WIRE_CODE_NO_MEMORY, "", "no memory to route it");
}

void publish_refuse_topic(struct core *c, struct flight *f)
{
        refuse_route(c, f, ROUTE_E_BAD_TOPIC);
}

/* Returns false if nobody asked, or not any more. */
static bool deliver_reply(struct core *c, struct flight *f)
{
        const struct header_state *h = &f->pub->header;
        struct holder *holder = request_holder(c, f->publisher, h->token);

        return holder && holder->request->requester->state == SESSION_OPEN &&
               request_reply(c, holder->request, f->pub->msg, h->flags);
}

static void publish_reply(struct core *c, struct flight *f)
{
        struct session *s = f->publisher;
        const struct header_state *h = &f->pub->header;

        if (f->pub->msg->topic_len) {
                refuse(c, f, WIRE_CODE_BAD_TOPIC, "", "a reply has the topic \"\"");
        } else if (!deliver_reply(c, f)) {
                refuse(c, f, WIRE_CODE_BAD_TOKEN, "", "no such request, or it is over");
        } else {
                if (h->id)
                        answer_confirm(c, s, h->id, 1, 1);
                publish_credit(c, s, f->pub->cost);
        }
}

/* A reply that has to wait keeps its sender's right to give it, also beyond the sender's end. */
static void promise_reply(struct core *c, const struct flight *f)
{
        struct holder *holder = request_holder(c, f->publisher, f->pub->header.token);

        if (!holder)
                return;
        holder->n_parked++;
        f->pub->is_promised = true;
}

static void publish_promised_reply(struct core *c, struct flight *f)
{
        struct session *s = f->publisher;
        struct holder *holder = request_holder(c, s, f->pub->header.token);

        if (holder && f->pub->is_promised)
                holder->n_parked--;
        publish_reply(c, f);
        holder = request_holder(c, s, f->pub->header.token); /* not if that was the last reply */
        if (holder && s->state != SESSION_OPEN)
                request_drop_holder(c, holder);
}

/* `$...`: only the broker publishes there, and it answers some requests. */
static void publish_to_broker(struct core *c, struct flight *f)
{
        if (!f->request)
                refuse(c, f, WIRE_CODE_REFUSED, "", "topics with $ belong to the broker");
        else if (!builtin_answer(c, f))
                refuse(c, f, WIRE_CODE_NO_RESPONDERS, "", "no responders");
}

/* Returns false if it is refused. Of what a session that is gone has left, a will above all, the
 * receivers learn even if it cannot be kept: nobody is there to be told. */
static bool keep(struct core *c, const struct flight *f)
{
        const struct keeper by = {f->publisher->who, f->publisher->account};
        c->work += 2 * WORK_PUBLICATION;
        struct refusal why = retain_keep(c, f->pub->msg, &by);

        if (!why.code)
                return true;
        if (f->publisher->state == SESSION_GHOST)
                answer_refusal(c, f->publisher, f->pub, &why); /* which only counts it */
        else
                refuse(c, f, why.code, why.limit, why.text);
        return f->publisher->state == SESSION_GHOST;
}

/* Sends `f` to all receivers of its topic. Returns true if it is through (or refused), false if it
 * waits, parked. */
static bool publish_to_topic(struct core *c, struct flight *f)
{
        struct msg *m = f->pub->msg;
        struct targets *targets = f->targets;
        int r = targets ? 0 : route_get(c, m->data + m->topic_at, m->topic_len, &targets);

        if (r) {
                refuse_route(c, f, r);
                return true;
        }
        if (!f->request && (f->pub->header.flags & WIRE_INGRESS_RETAIN) && !keep(c, f))
                return true;
        if (f->request) {
                m->token = f->request->token;
                m->flags |= WIRE_DELIVERY_REQUEST;
        }
        return admit_all(c, f, targets);
}

/* Returns as publish_to_topic does. */
static bool publish_now(struct core *c, struct flight *f)
{
        const struct pub *pub = f->pub;
        const struct refusal *why = &pub->refusal;
        const struct msg *m = pub->msg;

        if (f->parked)
                f->parked->is_routed = true;
        if (why->code)
                refuse(c, f, why->code, why->limit, why->text);
        else if (pub->header.kind == PUB_REPLY && f->parked)
                publish_promised_reply(c, f);
        else if (pub->header.kind == PUB_REPLY)
                publish_reply(c, f);
        else if (pub->header.kind == PUB_REQUEST && !f->request)
                publish_credit(c, f->publisher, pub->cost); /* nobody wants the answer any more */
        else if (pub->header.kind == PUB_PLAIN && (pub->header.flags & WIRE_INGRESS_WILL))
                will_keep(c, f);
        else if (topic_is_reserved(m->data + m->topic_at, m->topic_len))
                publish_to_broker(c, f);
        else
                return publish_to_topic(c, f);
        return true;
}

/* Publishes `f`, or puts it behind what waits already. */
static void submit(struct core *c, struct flight *f)
{
        struct session *s = f->publisher;

        if (list_is_empty(&s->parked)) {
                if (publish_now(c, f) && f->parked)
                        park_free(c, f->parked);
        } else if (admit_park(c, f) < 0) {
                refuse(c, f, WIRE_CODE_NO_MEMORY, "", "no memory");
        } else if (f->pub->header.kind == PUB_REPLY && !f->pub->refusal.code) {
                promise_reply(c, f);
        }
}

void publish_refuse(struct core *c, struct session *s, const struct header_state *header,
        uint64_t cost, const struct refusal *why)
{
        struct pub pub = {.header = *header, .refusal = *why, .n_frames = 1, .cost = cost};

        submit(c, &(struct flight){.publisher = s, .pub = &pub});
}

static struct refusal open_request(struct core *c, struct flight *f)
{
        int r = request_new(c, f->publisher, &f->pub->header, &f->request);

        c->work += WORK_REQUEST;
        if (r == REQUEST_E_LIMIT)
                return (struct refusal){WIRE_CODE_LIMIT, "requests", "too many open requests"};
        if (r == REQUEST_E_QUOTA)
                return (struct refusal){
                        WIRE_CODE_LIMIT, "uid_requests", "your uid has too many open requests"};
        if (r < 0)
                return (struct refusal){WIRE_CODE_NO_MEMORY, "", "no memory for a request"};
        return (struct refusal){.code = WIRE_CODE_NONE};
}

/* Takes the descriptors of `run`. Returns NULL without memory. */
static struct msg *new_msg(struct core *c, const struct session *s, struct run *run)
{
        struct msg *m = msg_new(run->data, run->len);

        if (!m)
                return NULL;
        m->n_fds = run->first.n_fds;
        m->n_frames = run->n_frames;
        m->topic_at = (uint32_t)(run->first.topic.data - run->data);
        m->topic_len = (uint32_t)run->first.topic.len;
        m->mixed_at = run->is_mixed ? run->generation : 0;
        m->placed = run->first.size;
        m->born_ns = c->now_ns;
        m->ttl_ns = run->header.kind == PUB_PLAIN ? run->header.ttl_ms * UINT64_C(1000000) : 0;
        m->sender = s->number;
        m->peer = s->peer;
        m->has_odd_fds = run->has_odd_fds;
        m->is_collected = run->is_collected;
        msg_take_fds(m, take_ptr(run->fds), s->account);
        return m;
}

static void publish_one(struct core *c, struct session *s, struct run *run)
{
        struct pub pub = {.header = run->header, .n_frames = run->n_frames, .cost = run->cost};
        struct flight f = {.publisher = s, .pub = &pub};

        if (run->generation == c->generation)
                f.targets = run->targets;
        c->work += WORK_PUBLICATION;
        pub.refusal = judge_run(c, s, run);
        if (!pub.refusal.code && !(pub.msg = new_msg(c, s, run)))
                pub.refusal = (struct refusal){WIRE_CODE_NO_MEMORY, "", "no memory"};
        if (!pub.refusal.code && run->header.kind == PUB_REQUEST)
                pub.refusal = open_request(c, &f);
        struct msg *m = pub.msg;
        if (pub.refusal.code)
                pub.msg = NULL; /* what is refused may have to wait, but need not be kept */
        submit(c, &f);
        run->fds = fdset_unref(run->fds);
        msg_unref(m);
}

static void publish_each(struct core *c, struct session *s, const struct run *run)
{
        const uint8_t *at = run->data, *end = run->data + run->len;
        struct run one = *run;
        struct frame f;

        one.n_frames = 1;
        one.is_mixed = false;
        /* They were scanned and decoded before. */
        while (at < end && scan_frame(&at, end, &f) == 0 &&
                message_decode_pub(&f, &one.first) == 0) {
                one.data = f.data;
                one.len = f.len;
                one.cost = publish_cost(c, f.len, 0, 0);
                publish_one(c, s, &one);
                if (header_has_id(&one.header))
                        one.header.id++;
        }
}

void publish_run(struct core *c, struct session *s, struct run *run)
{
        s->published += run->n_frames;
        c->count.published += run->n_frames;
        if (bt_unlikely(run_must_split(c, run)))
                publish_each(c, s, run);
        else
                publish_one(c, s, run);
        targets_unref(c, take_ptr(run->targets));
}

void publish_will(struct core *c, struct session *s)
{
        struct pub pub = {.header.flags = s->will.flags, .msg = s->will.msg, .n_frames = 1};

        if (!pub.msg)
                return;
        if (!will_is_allowed(c, s)) { /* the policy has changed since */
                refusal_note(c, s->who, &s->peer, "");
                will_drop(s);
                return;
        }
        pub.msg->born_ns = c->now_ns;
        s->published++;
        c->count.published++;
        submit(c, &(struct flight){.publisher = s, .pub = &pub});
        will_drop(s);
}

/* Goes on with the parked publications of `s`, until one has to wait again. */
static void go_on(struct core *c, struct session *s)
{
        struct list *link;

        while ((link = list_first(&s->parked))) {
                struct parked *p = list_entry(link, struct parked, link);
                struct flight f = {
                        .publisher = s, .pub = &p->pub, .parked = p, .request = p->request};
                if (p->n_unresolved)
                        return;
                if (bt_unlikely(run_must_split_parked(c, p))) {
                        park_split(c, p);
                        continue;
                }
                if (p->is_routed)
                        admit_finish(c, s, &p->pub, p->request);
                else if (!publish_now(c, &f))
                        return;
                park_free(c, p);
        }
}

/* The ended first: nobody waits for them any more. */
void publish_resume(struct core *c)
{
        struct list *link;

        for (;;) {
                if ((link = list_first(&c->ended))) {
                        session_strip(c, list_entry(link, struct session, ended));
                } else if ((link = list_first(&c->due))) {
                        pool_run_due(c, link);
                } else if ((link = list_first(&c->runnable))) {
                        struct session *s = list_entry(link, struct session, runnable);
                        list_remove(link);
                        go_on(c, s);
                        session_settle(c, s);
                } else {
                        return;
                }
        }
}

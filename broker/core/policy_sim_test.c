/* Random life among strangers, under policies that change all the time. What has to hold is judged
 * by tables that know nothing of the core's rules: a filter is the set of topics that it matches.
 *
 *   - what its publisher was not allowed to publish, when it said it, reaches nobody, and it is
 * told;
 *   - a subscription gets nothing that was published after its end, nor one that was not allowed;
 *   - a retained value comes only while its owner may retain it, a will only if it may at its end;
 *   - descriptors come only from whom may send them;
 *   - a pair of the broker's own uid sees what it always sees, and all accounts are zero at the
 * end.
 *
 * A failure prints its seed; SIM_SEED=n plays it again, SIM_ROUNDS=n plays more of them. */
#include "broker/core/policy_sim.h"
#include "tests/harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 1500, ROUNDS = 120, PEERS = 10, SUBS = 400, IDS = 2000, NEVER = 1 << 30 };

struct sub {
        int filter;
        bool is_group, blocks;
        int from, until; /* epochs: it is told of nothing that was said in `until` or later */
};

struct peer {
        struct client *c;
        int uid, died; /* epoch of its end; NEVER: it lives */
        uint32_t n_subs;
        struct sub subs[SUBS];
        bool may_not[IDS]; /* what is to be refused, by id */
        bool is_sure[IDS]; /* and what is not */
};

struct said {
        struct peer *by; /* NULL: a datagram, which has no end */
        int uid, topic, epoch;
        bool is_allowed, is_will, is_kept, has_fds;
};

struct life {
        struct fake f;
        uint64_t dice;
        struct client *from, *to;
        uint32_t n_stream;
        struct rules rules[STEPS + 1]; /* by epoch */
        int epoch;
        struct peer *peers[PEERS], *all[STEPS];
        size_t n_all;
        struct said said[STEPS * 2];
        size_t n_said, n_heard, n_refused, n_revoked, n_kept, n_wills, n_fds;
};

static uint32_t roll(struct life *l, uint32_t sides)
{
        return dice_roll(&l->dice, sides);
}

static bool may_topic(const struct life *l, int epoch, int uid, enum action what, int topic)
{
        return rules_may_topic(&l->rules[epoch], uid, what, topic);
}

static bool may_filter(const struct life *l, int uid, enum action what, int filter)
{
        return rules_may_filter(&l->rules[l->epoch], uid, what, filter);
}

static bool may_connect(const struct life *l, int uid)
{
        return rules_may_connect(&l->rules[l->epoch], uid);
}

/* -------------------------------------------------------------- what they hear */

static void hear_pub(struct life *l, struct peer *p, const struct got *g)
{
        const struct msg_delivery *d = &g->delivery;
        size_t n = strtoul((const char *)g->m.pub.payload.data, NULL, 10);

        CHECK(n < l->n_said);
        const struct said *s = &l->said[n];
        CHECK(slice_is(g->m.pub.topic, topics[s->topic]));
        CHECK(s->is_allowed);
        l->n_heard++;
        for (uint32_t i = 0; i < d->n_subs; i++) {
                CHECK(d->subs[i] >= 1 && d->subs[i] <= p->n_subs);
                const struct sub *sub = &p->subs[d->subs[i] - 1];
                CHECK(filters[sub->filter].set >> s->topic & 1);
                CHECK(s->is_will || s->epoch < sub->until);
                if (s->is_will) {
                        CHECK(s->by->died < sub->until);
                        CHECK(may_topic(l, s->by->died, s->uid, WILL, s->topic));
                        l->n_wills++;
                }
                if (d->flags & WIRE_DELIVERY_RETAINED) {
                        CHECK(s->is_kept && may_topic(l, sub->from, s->uid, RETAIN, s->topic));
                        l->n_kept++;
                }
        }
        CHECK(!g->n_fds || s->has_fds);
        l->n_fds += g->n_fds;
}

static void hear_answer(struct life *l, struct peer *p, uint64_t id, uint64_t n, bool is_refused)
{
        for (; n && id < IDS; id++, n--) {
                CHECK(id == 0 || is_refused || !p->may_not[id]);
                CHECK(id == 0 || !is_refused || !p->is_sure[id]);
        }
        l->n_refused += is_refused;
}

static void hear(struct life *l, struct peer *p)
{
        bool has_room = p->c->room == SIZE_MAX;

        for (const struct got *g; (g = fake_next(p->c));) {
                if (g->m.type == WIRE_PUB)
                        hear_pub(l, p, g);
                else if (g->m.type == WIRE_OK)
                        hear_answer(l, p, g->m.ok.id, g->m.ok.n, false);
                else if (g->m.type == WIRE_ERR)
                        hear_answer(
                                l, p, g->m.verdict.id, 1, g->m.verdict.code == WIRE_CODE_REFUSED);
                else if (g->m.type == WIRE_GAP && g->m.gap.reason == WIRE_GAP_REVOKED)
                        l->n_revoked++;
        }
        if (!p->c->is_gone && has_room && p->c->n_flying) {
                say_credit(p->c, p->c->n_flying);
                fake_go(p->c);
        }
}

static void note_ends(struct life *l)
{
        for (size_t i = 0; i < l->n_all; i++) {
                if (l->all[i]->c->is_gone && l->all[i]->died == NEVER)
                        l->all[i]->died = l->epoch;
        }
}

static void hear_all(struct life *l)
{
        char text[16];

        note_ends(l);
        for (size_t i = 0; i < l->n_all; i++)
                hear(l, l->all[i]);
        snprintf(text, sizeof(text), "%u", ++l->n_stream);
        fake_pub(l->from, "own.s", text);
        expect_pub(l->to, "own.s", text);
}

/* ------------------------------------------------------------- what they do */

static struct peer *pick(struct life *l)
{
        for (uint32_t at = roll(l, PEERS), n = 0; n < PEERS; at = (at + 1) % PEERS, n++) {
                struct peer *p = l->peers[at];
                if (p && !p->c->is_gone && may_connect(l, p->uid))
                        return p;
        }
        return NULL;
}

static void come(struct life *l)
{
        uint32_t at = roll(l, PEERS);
        int uid = (int)roll(l, UIDS);

        if (l->peers[at] && !l->peers[at]->c->is_gone) {
                if (roll(l, 4) == 0 && l->peers[at]->died == NEVER)
                        fake_close(l->peers[at]->c);
                return;
        }
        if (!may_connect(l, uid))
                return;
        struct peer *p = calloc(1, sizeof(*p));
        if (!p)
                abort();
        p->c = fake_stranger(&l->f, 2000 + (uint32_t)uid);
        p->uid = uid;
        p->died = NEVER;
        l->peers[at] = l->all[l->n_all++] = p;
}

static void subscribe(struct life *l, struct peer *p)
{
        int filter = (int)roll(l, FILTERS);
        bool is_group = roll(l, 4) == 0;
        struct message m = {
                .type = WIRE_SUB,
                .sub = {.sub = p->n_subs + 1,
                        .filter = fake_text(filters[filter].text),
                        .max_fds = roll(l, 2) * 4,
                        .overflow = roll(l, 2) ? WIRE_OVERFLOW_BLOCK : WIRE_OVERFLOW_LATEST},
        };

        if (p->c->room != SIZE_MAX || p->n_subs == SUBS)
                return;
        note_ends(l);
        hear(l, p);
        if (is_group) {
                m.sub.group = fake_text(roll(l, 2) ? "g" : "h");
                m.sub.overflow = WIRE_OVERFLOW_BLOCK;
                m.sub.has_window = true;
                m.sub.window = 100;
        }
        m.sub.id = ++p->c->last_id;
        say(p->c, &m);
        p->subs[p->n_subs] = (struct sub){filter, is_group, false, l->epoch, NEVER};
        fake_go(p->c);
        const struct got *g = fake_next(p->c);
        while (g && g->m.type != WIRE_OK && g->m.type != WIRE_ERR)
                g = fake_next(p->c);
        if (!g)
                return;
        bool may = may_filter(l, p->uid, is_group ? JOIN : SUBSCRIBE, filter);
        CHECK_EQ(may, g->m.type == WIRE_OK || g->m.verdict.code != WIRE_CODE_REFUSED);
        if (g->m.type != WIRE_OK)
                return;
        p->subs[p->n_subs].blocks = g->m.ok.value == WIRE_OVERFLOW_BLOCK;
        p->n_subs++;
        note_ends(l);
        hear(l, p);
}

static struct said *note(struct life *l, struct peer *p, int uid, uint32_t flags, bool has_fds)
{
        struct said *s = &l->said[l->n_said++];
        int topic = (int)roll(l, TOPICS);
        bool is_will = flags & WIRE_INGRESS_WILL, is_kept = flags & WIRE_INGRESS_RETAIN;

        *s = (struct said){p, uid, topic, l->epoch, .is_will = is_will, .is_kept = is_kept};
        s->has_fds = has_fds;
        s->is_allowed = may_topic(l, l->epoch, uid, is_will ? WILL : PUBLISH, topic) &&
                        (!is_kept || may_topic(l, l->epoch, uid, RETAIN, topic)) &&
                        (!has_fds || may_topic(l, l->epoch, uid, SEND_FDS, topic));
        return s;
}

static void publish(struct life *l, struct peer *p, bool is_request)
{
        static const uint32_t extra[] = {0, 0, 0, WIRE_INGRESS_RETAIN, WIRE_INGRESS_WILL,
                WIRE_INGRESS_RETAIN | WIRE_INGRESS_WILL, WIRE_INGRESS_NO_ECHO};
        uint32_t flags = is_request ? 0 : extra[roll(l, ARRAY_LEN(extra))];
        bool has_fds = roll(l, 5) == 0;
        struct said *s = note(l, p, p->uid, flags, has_fds);
        uint64_t id = ++p->c->last_id;
        char text[300];

        if (id >= IDS)
                return;
        p->may_not[id] = !s->is_allowed;
        p->is_sure[id] = s->is_allowed && !s->is_kept; /* which is judged again in its turn */
        memset(text, ' ', sizeof(text) - 1);
        snprintf(text, sizeof(text), "%zu", l->n_said - 1);
        if (is_request)
                say_request(p->c, id, 1 + roll(l, 500));
        else
                say_ingress(p->c, flags | WIRE_INGRESS_CONFIRM, id);
        say_fds(p->c, topics[s->topic], has_fds, text);
        fake_send(p->c, has_fds);
}

static void send_datagram(struct life *l, struct peer *p)
{
        int uid = (int)roll(l, UIDS);
        uint32_t id = 2000 + (uint32_t)uid;
        struct core_peer sender = {.pid = 1, .uid = id, .gid = id};
        uint32_t flags = roll(l, 2) ? WIRE_INGRESS_RETAIN : 0;
        struct said *s = note(l, NULL, uid, flags, false);
        char text[16];

        snprintf(text, sizeof(text), "%zu", l->n_said - 1);
        say_ingress(p->c, flags, 0);
        say_pub(p->c, topics[s->topic], text);
        bool is_fine =
                core_datagram(l->f.core, &sender, p->c->packet.data, p->c->packet.len, l->f.now_ns);
        CHECK(s->is_allowed || !is_fine);
        buf_clear(&p->c->packet);
        fake_flush(&l->f);
}

/* ----------------------------------------------------------------- policies */

static void end_subs(struct life *l, struct peer *p)
{
        for (uint32_t i = 0; i < p->n_subs; i++) {
                struct sub *s = &p->subs[i];
                bool may = may_filter(l, p->uid, s->is_group ? JOIN : SUBSCRIBE, s->filter);
                if (!s->is_group && s->blocks)
                        may = may && may_filter(l, p->uid, BLOCK, s->filter);
                if (!may && s->until == NEVER)
                        s->until = l->epoch;
        }
}

static void reload(struct life *l)
{
        char text[4000];
        size_t len = 0;

        hear_all(l);
        l->epoch++;
        for (int uid = 0; uid < UIDS; uid++)
                len += rules_write(
                        &l->rules[l->epoch], uid, &l->dice, text + len, sizeof(text) - len);
        for (size_t i = 0; i < l->n_all; i++)
                end_subs(l, l->all[i]);
        fake_policy(&l->f, text);
}

/* ------------------------------------------------------------------ a life */

static void step(struct life *l)
{
        uint32_t what = roll(l, 100);
        struct peer *p = pick(l);

        if (what < 3)
                reload(l);
        else if (what < 8)
                fake_tick(&l->f, roll(l, 300));
        else if (what < 20 || !p)
                come(l);
        else if (what < 40)
                subscribe(l, p);
        else if (what < 55)
                fake_room(p->c, roll(l, 3) ? SIZE_MAX : 0);
        else if (what < 60)
                send_datagram(l, p);
        else
                publish(l, p, what < 66);
}

static void live(uint64_t seed)
{
        struct life *l = calloc(1, sizeof(*l));

        if (!l)
                abort();
        l->dice = seed;
        fake_init_with(&l->f, "queue_messages=4 queue_bytes=65536 stall_ms=3000");
        l->from = fake_open(&l->f);
        l->to = fake_open(&l->f);
        fake_sub(l->to, 1, "own.s");
        reload(l);
        for (int i = 0; i < STEPS; i++) {
                step(l);
                hear_all(l);
        }
        CHECK(l->n_heard > 100 && l->n_refused > 100);
        CHECK(l->n_revoked && l->n_kept + l->n_wills + l->n_fds > 5);
        fake_policy(&l->f, NULL); /* with it goes what is retained */
        for (size_t i = 0; i < l->n_all; i++)
                fake_forget(l->all[i]->c);
        fake_close_all(&l->f);
        fake_deinit(&l->f);
        for (size_t i = 0; i < l->n_all; i++)
                free(l->all[i]);
        free(l);
}

TEST(nothing_passes_that_no_policy_in_force_has_allowed)
{
        fake_seeds(ROUNDS, live);
}

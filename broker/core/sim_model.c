/* Design note. Per receiver and publisher a line of items, in the order of publishing. A delivery
 * takes items off its line up to its own; one that must have come and was passed by is a loss. */
#include "broker/core/sim_model.h"

#include "tests/harness/test.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *array, size_t n, size_t *cap, size_t size)
{
        if (n < *cap)
                return array;
        *cap = *cap * 2 + 16;
        array = realloc(array, *cap * size);
        if (!array)
                abort();
        return array;
}

void sim_init(struct sim *sim, const char *limits)
{
        memset(sim, 0, sizeof(*sim));
        fake_init_with(&sim->f, limits);
}

void sim_deinit(struct sim *sim)
{
        fake_deinit(&sim->f);
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                struct peer *p = sim->peers[i];
                for (size_t j = 0; j < SIM_PEERS; j++)
                        free(p->from[j].items);
                free(p->posts);
                free(p);
        }
}

struct peer *sim_open(struct sim *sim, bool memfd, uint32_t max_fds)
{
        struct peer *p = calloc(1, sizeof(*p));

        if (!p)
                abort();
        p->index = sim->n_peers;
        p->max_fds = max_fds;
        p->c = memfd ? fake_open_memfd(&sim->f) : fake_open(&sim->f);
        CHECK_EQ(p->c->number, p->index + 1);
        sim->peers[sim->n_peers++] = p;
        return p;
}

/* ------------------------------------------------------------ expectation */

static bool matches(const struct peer *p, char topic)
{
        if (topic == SIM_BAD_TOPIC)
                return false;
        for (size_t i = 0; i < p->n_subs; i++) {
                char filter = p->subs[i].filter;
                if (filter == topic || filter == '*' || filter == '>')
                        return true;
        }
        return false;
}

static void line_push(struct line *l, uint32_t counter, bool must)
{
        l->items = grown(l->items, l->n, &l->cap, sizeof(*l->items));
        l->items[l->n++] = (struct item){.counter = counter, .must = must};
}

static struct item *line_find(struct line *l, uint32_t counter)
{
        for (size_t i = l->first; i < l->n; i++) {
                if (l->items[i].counter == counter)
                        return &l->items[i];
        }
        return NULL;
}

/* Puts in what may come now and was not expected, in its place. */
static void line_insert(struct line *l, uint32_t counter)
{
        if (line_find(l, counter))
                return;
        line_push(l, counter, false);
        for (size_t i = l->n - 1; i > l->first && l->items[i - 1].counter > counter; i--) {
                struct item swap = l->items[i];
                l->items[i] = l->items[i - 1];
                l->items[i - 1] = swap;
        }
}

void sim_subscribes(struct sim *sim, struct peer *p, char filter)
{
        p->subs[p->n_subs].number = ++p->last_sub;
        p->subs[p->n_subs++].filter = filter;
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                const struct peer *from = sim->peers[i];
                for (size_t j = from->n_done; j < from->n_posts; j++) {
                        const struct post *post = &from->posts[j];
                        if (post->topic && matches(p, post->topic) && !(post->no_echo && from == p))
                                line_insert(&p->from[i], post->counter);
                }
        }
}

static char topic_of(const struct peer *from, uint32_t counter)
{
        return from->posts[counter - 1].topic;
}

void sim_unsubscribes(struct sim *sim, struct peer *p, size_t at)
{
        p->subs[at] = p->subs[--p->n_subs];
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                struct line *l = &p->from[i];
                for (size_t j = l->first; j < l->n; j++) {
                        char topic = topic_of(sim->peers[i], l->items[j].counter);
                        if (topic && !matches(p, topic))
                                l->items[j].must = false;
                }
        }
}

static struct post *add_post(struct peer *p)
{
        p->posts = grown(p->posts, p->n_posts, &p->cap_posts, sizeof(*p->posts));
        struct post *post = &p->posts[p->n_posts++];
        *post = (struct post){.counter = ++p->last_counter};
        return post;
}

static struct post *publishes(struct sim *sim, struct peer *p, char topic, bool no_echo, bool must)
{
        struct post *post = add_post(p);

        post->topic = topic;
        post->no_echo = no_echo;
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                struct peer *to = sim->peers[i];
                if (!to->has_left && matches(to, topic) && !(no_echo && to == p))
                        line_push(&to->from[p->index], post->counter, must);
        }
        return post;
}

struct post *sim_publishes(struct sim *sim, struct peer *p, char topic, bool no_echo)
{
        return publishes(sim, p, topic, no_echo, true);
}

/* One that ends before its turn to be routed is not sent any more. */
struct post *sim_asks(struct sim *sim, struct peer *p, char topic, uint64_t id)
{
        struct post *post = publishes(sim, p, topic, false, false);

        post->id = id;
        post->asks = post->is_open = true;
        return post;
}

void sim_replies(struct sim *sim, struct peer *p, uint32_t asker, uint64_t id)
{
        struct post *post = add_post(p);

        post->id = id;
        post->replies = asker;
        if (!sim->peers[asker]->has_left)
                line_push(&sim->peers[asker]->from[p->index], post->counter, false);
}

void sim_leaves(struct sim *sim, struct peer *p)
{
        p->has_left = true;
        p->n_subs = 0;
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                struct line *l = &p->from[i];
                for (size_t j = l->first; j < l->n; j++)
                        l->items[j].must = false;
        }
        for (size_t i = 0; i < p->n_posts; i++)
                p->posts[i].is_open = false;
}

/* ----------------------------------------------------------- what has come */

static void complain(const struct peer *to, uint32_t from, uint32_t counter, const char *what)
{
        fail_msg("session %u, publication %u of session %u: %s", to->index + 1, counter, from + 1,
                what);
}

static void take(struct peer *to, uint32_t from, uint32_t counter)
{
        struct line *l = &to->from[from];

        for (; l->first < l->n && l->items[l->first].counter < counter; l->first++) {
                if (l->items[l->first].must)
                        complain(to, from, l->items[l->first].counter, "lost, or out of order");
        }
        if (l->first == l->n || l->items[l->first].counter != counter)
                complain(to, from, counter, "not expected, or twice");
        l->first++;
        to->n_received++;
}

static void read_request(struct peer *p, const struct got *g)
{
        CHECK(g->delivery.token > 0);
        if (p->n_tokens == SIM_TOKENS)
                return; /* never answered: ends by its deadline */
        p->tokens[p->n_tokens].token = g->delivery.token;
        p->tokens[p->n_tokens++].asker = (uint32_t)g->delivery.session - 1;
}

static struct post *post_of(const struct peer *p, uint64_t id)
{
        for (size_t i = p->n_posts; i-- > 0;) {
                if (p->posts[i].id == id)
                        return &p->posts[i];
        }
        return NULL;
}

static void read_pub(struct sim *sim, struct peer *p, const struct got *g)
{
        uint32_t from = (uint32_t)g->delivery.session - 1;
        uint32_t counter = sim_counter_of(g);

        CHECK(from < sim->n_peers && counter - 1 < sim->peers[from]->n_posts);
        sim_check_large(sim, p, &sim->peers[from]->posts[counter - 1], g);
        take(p, from, counter);
        sim->n_delivered++;
        if (g->delivery.flags & WIRE_DELIVERY_REQUEST)
                read_request(p, g);
        if (!(g->delivery.flags & WIRE_DELIVERY_REPLY))
                return;
        struct post *ask = post_of(p, g->delivery.request);
        CHECK(ask && (ask->is_open || p->has_left)); /* it has not ended yet */
        if (!(g->delivery.flags & WIRE_DELIVERY_MORE))
                ask->is_open = false;
}

/* One publication of `p` is through, and so are those before it. */
static void settle(struct sim *sim, struct peer *p, uint64_t id, bool is_ok)
{
        struct post *post = id ? post_of(p, id) : NULL;

        if (!post)
                return; /* SUB, UNSUB, or what had no id */
        sim->n_answered++;
        if (post->asks) {
                CHECK(!is_ok && (post->is_open || p->has_left));
                post->is_open = false;
                return;
        }
        bool is_bad = post->topic == SIM_BAD_TOPIC;
        CHECK(is_ok ? !is_bad : is_bad || !post->topic); /* a reply may come too late */
        CHECK(id > p->last_answered);
        p->last_answered = id;
        p->n_done = (size_t)(post - p->posts) + 1;
        if (post->topic || !is_ok)
                return;
        struct item *item = line_find(&sim->peers[post->replies]->from[p->index], post->counter);
        if (item)
                item->is_answered = true;
}

static void read_one(struct sim *sim, struct peer *p, const struct got *g)
{
        switch (g->m.type) {
        case WIRE_PUB:
        case WIRE_END:
                read_pub(sim, p, g);
                break;
        case WIRE_BEGIN:
                break; /* END has all of it */
        case WIRE_OK:
                for (uint64_t i = 0; i < g->m.ok.n; i++)
                        settle(sim, p, g->m.ok.id + i, true);
                break;
        case WIRE_ERR:
                settle(sim, p, g->m.verdict.id, false);
                break;
        case WIRE_BYE:
                CHECK(g->m.verdict.code == WIRE_CODE_NONE ||
                        g->m.verdict.code == WIRE_CODE_STALLED);
                break;
        default:
                fail_msg("a frame of type 0x%02x", g->m.type);
        }
}

void sim_read(struct sim *sim)
{
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                struct peer *p = sim->peers[i];
                for (const struct got *g; (g = fake_next(p->c));)
                        read_one(sim, p, g);
                if (p->c->is_gone && !p->has_left)
                        sim_leaves(sim, p);
        }
        fake_bury(&sim->f); /* what was read and forgotten */
}

void sim_finish(struct sim *sim)
{
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                const struct peer *p = sim->peers[i];
                if (p->has_left)
                        continue;
                for (uint32_t from = 0; from < sim->n_peers; from++) {
                        const struct line *l = &p->from[from];
                        for (size_t j = l->first; j < l->n; j++) {
                                if (l->items[j].must || l->items[j].is_answered)
                                        complain(p, from, l->items[j].counter, "never came");
                        }
                }
                for (size_t j = 0; j < p->n_posts; j++) {
                        if (p->posts[j].is_open)
                                fail_msg("a request that never ended");
                }
        }
}

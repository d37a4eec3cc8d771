/* Design note. What peers do in the simulation, each at random, and each told to the model first.
 */
#include "broker/core/sim_acts.h"

#include <stdio.h>
#include <string.h>

static uint64_t dice;

void sim_seed(uint64_t seed)
{
        dice = seed;
}

uint32_t rnd(uint32_t n)
{
        dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t)(dice >> 33) % n;
}

struct peer *sim_pick(struct sim *sim)
{
        struct peer *p = NULL;

        for (int tries = 0; tries < 50; tries++) {
                p = sim->peers[rnd(sim->n_peers)];
                if (!p->has_left && !p->c->is_gone)
                        return p;
        }
        return NULL;
}

size_t sim_n_live(const struct sim *sim)
{
        size_t n = 0;

        for (uint32_t i = 0; i < sim->n_peers; i++)
                n += !sim->peers[i]->has_left && !sim->peers[i]->c->is_gone;
        return n;
}

void sim_feed_fds(struct sim *sim, struct peer *p, struct fdset *fds)
{
        if (p->c->packet.len)
                fake_feed_fds(p->c, fds);
        if (rnd(3))
                fake_flush(&sim->f);
}

void sim_feed(struct sim *sim, struct peer *p)
{
        sim_feed_fds(sim, p, NULL);
}

struct peer *sim_open_peer(struct sim *sim)
{
        static const uint32_t max_fds[] = {0, 0, 2, 16};

        return sim_open(sim, rnd(2), max_fds[rnd(4)]);
}

void sim_subscribe(struct sim *sim, struct peer *p)
{
        static const char filters[] = "aabbcdef*>";
        char text[2] = {filters[rnd(sizeof(filters) - 1)], 0};

        if (p->n_subs == SIM_SUBS)
                return;
        sim_subscribes(sim, p, text[0]);
        say(p->c, &(struct message){.type = WIRE_SUB,
                          .sub = {.id = ++p->c->last_id,
                                  .sub = p->last_sub,
                                  .filter = {(const uint8_t *)text, 1},
                                  .max_fds = p->max_fds}});
        sim_feed(sim, p);
}

void sim_unsubscribe(struct sim *sim, struct peer *p)
{
        if (!p->n_subs)
                return;
        size_t i = rnd((uint32_t)p->n_subs);
        say_unsub(p->c, p->c->last_id + 1, p->subs[i].number);
        sim_unsubscribes(sim, p, i);
        sim_feed(sim, p);
}

/* The payload is the publisher's counter; a few are large. */
static void say_counted(struct peer *p, const char *topic, uint32_t counter)
{
        char text[16];
        size_t before = p->c->packet.len;

        snprintf(text, sizeof(text), "%u ", counter);
        if (rnd(40) == 0 && before < 20000)
                say_large(p->c, topic, text, 2000 + rnd(30000));
        else
                say_pub(p->c, topic, text);
        p->sent += p->c->packet.len - before;
}

bool sim_has_window(const struct peer *p)
{
        return p->sent - p->c->credited + 40000 < p->c->window && p->c->packet.len < 30000;
}

static void publish_one(struct sim *sim, struct peer *p, uint64_t flags)
{
        char topic[2] = {(char)('a' + rnd(6)), 0};
        bool is_bad = rnd(50) == 0;
        struct post *post = sim_publishes(
                sim, p, is_bad ? SIM_BAD_TOPIC : topic[0], flags & WIRE_INGRESS_NO_ECHO);

        if (flags & WIRE_INGRESS_CONFIRM)
                post->id = ++p->c->last_id;
        say_counted(p, is_bad ? "a..b" : topic, post->counter);
}

void sim_publish(struct sim *sim, struct peer *p)
{
        uint64_t flags = (rnd(3) ? WIRE_INGRESS_CONFIRM : 0) | (rnd(5) ? 0 : WIRE_INGRESS_NO_ECHO);
        uint32_t n = 1 + rnd(rnd(4) ? 4 : 40);

        if (p->upload.is_on)
                return;
        if (flags || rnd(2)) {
                uint64_t id = p->c->last_id;
                say_ingress(p->c, flags, id + 1);
                p->c->last_id = id;
        }
        while (n-- && sim_has_window(p))
                publish_one(sim, p, flags);
        sim_feed(sim, p);
}

void sim_say_asking(struct peer *p, uint64_t id)
{
        p->c->last_id = id;
        say(p->c,
                &(struct message){.type = WIRE_REQUEST,
                        .request = {.id = id, .timeout_ms = 1 + rnd(3000), .max_fds = p->max_fds}});
}

void sim_ask(struct sim *sim, struct peer *p)
{
        char topic[2] = {(char)('a' + rnd(6)), 0};

        if (p->upload.is_on || !sim_has_window(p))
                return;
        const struct post *post = sim_asks(sim, p, topic[0], p->c->last_id + 1);
        sim_say_asking(p, post->id);
        say_counted(p, topic, post->counter);
        sim_feed(sim, p);
}

void sim_reply(struct sim *sim, struct peer *p)
{
        if (p->upload.is_on || !p->n_tokens || !sim_has_window(p))
                return;
        size_t i = rnd((uint32_t)p->n_tokens);
        uint64_t id = rnd(3) ? p->c->last_id + 1 : 0;
        uint64_t flags = rnd(3) ? 0 : WIRE_DELIVERY_MORE;
        say_reply(p->c, p->tokens[i].token, flags, id);
        sim_replies(sim, p, p->tokens[i].asker, id);
        say_counted(p, "", p->last_counter);
        if (!flags)
                p->tokens[i] = p->tokens[--p->n_tokens];
        sim_feed(sim, p);
}

void sim_cancel(struct sim *sim, struct peer *p)
{
        for (size_t i = p->n_posts; i-- > 0 && i + 30 > p->n_posts;) {
                if (!p->posts[i].is_open)
                        continue;
                say_number(p->c, WIRE_CANCEL, p->posts[i].id);
                sim_feed(sim, p);
                return;
        }
}

void sim_change_room(struct sim *sim, struct peer *p)
{
        switch (rnd(4)) {
        case 0:
                p->c->room = 0; /* from now on */
                break;
        case 1:
                fake_room(p->c, rnd(3000));
                break;
        default:
                fake_room(p->c, SIZE_MAX);
        }
        (void)sim;
}

void sim_leave(struct sim *sim, struct peer *p)
{
        if (sim_n_live(sim) < SIM_LIVE / 2)
                return;
        if (rnd(2)) {
                say_bye(p->c);
                sim_leaves(sim, p);
                sim_feed(sim, p);
        } else {
                fake_close(p->c);
        }
}

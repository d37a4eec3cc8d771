/* Design note. What peers do with descriptors and large payloads in the simulation. */
#include "broker/core/sim_acts.h"

#include "proto/base/memfile.h"
#include "tests/harness/test.h"

#include <stdio.h>

/* What a header frame says about the large publication behind it. */
static bool begin_large(struct peer *p, struct sim_upload *u)
{
        struct client *c = p->c;

        *u = (struct sim_upload){.kind = rnd(5) ? SIM_PLAIN : 1 + rnd(2),
                .topic = (char)('a' + rnd(6)),
                .n_fds = rnd(3) ? 0 : 1 + rnd(3),
                .size = 16 + rnd(rnd(8) ? 3000 : 150000)};
        if (u->kind == SIM_REPLY && !p->n_tokens)
                return false;
        if (u->kind == SIM_PLAIN && rnd(3)) {
                u->id = ++c->last_id;
                u->no_echo = !rnd(4);
                say_ingress(
                        c, WIRE_INGRESS_CONFIRM | (u->no_echo ? WIRE_INGRESS_NO_ECHO : 0), u->id);
        } else if (u->kind == SIM_REQUEST) {
                u->id = c->last_id + 1;
                sim_say_asking(p, u->id);
        } else if (u->kind == SIM_REPLY) {
                u->asker = p->tokens[--p->n_tokens].asker;
                u->id = rnd(2) ? c->last_id + 1 : 0;
                say_reply(c, p->tokens[p->n_tokens].token, 0, u->id);
        }
        return true;
}

static void tell_model(struct sim *sim, struct peer *p, const struct sim_upload *u, uint64_t size)
{
        if (u->kind == SIM_REQUEST)
                sim_asks(sim, p, u->topic, u->id);
        else if (u->kind == SIM_REPLY)
                sim_replies(sim, p, u->asker, u->id);
        else
                sim_publishes(sim, p, u->topic, u->no_echo)->id = u->id;
        struct post *post = &p->posts[p->n_posts - 1];
        post->size = size;
        post->n_fds = u->n_fds;
}

static uint64_t extra_cost(const struct peer *p, uint64_t n_fds, uint64_t size)
{
        uint64_t more = 4096 * n_fds + size / 1024;

        return more < p->c->window / 4 ? more : p->c->window / 4;
}

static const char *topic_of(const struct sim_upload *u)
{
        static char text[2];

        text[0] = u->topic;
        return u->kind == SIM_REPLY ? "" : text;
}

static struct fdset *placed_fds(struct sim *sim, uint32_t n, uint32_t counter, uint64_t size)
{
        static uint8_t bytes[150016];
        int fds[8];
        struct fdset *set = NULL;

        sim_payload(counter, 0, bytes, (size_t)size);
        for (uint32_t i = 0; i < n; i++)
                fds[i] = fake_memfile(0, 0);
        fds[n] = fake_memfile(0, 0);
        CHECK_EQ(memfile_append(fds[n], bytes, (size_t)size), 0);
        CHECK_EQ(memfile_seal(fds[n]), 0);
        CHECK_EQ(fdset_new_take(fds, n + 1, &sim->f.yard, &set), 0);
        return set;
}

/* A placed one, or a small one with descriptors: alone in its packet. */
void sim_publish_fds(struct sim *sim, struct peer *p)
{
        struct sim_upload u;
        bool is_placed = rnd(2);

        if (p->upload.is_on || !sim_has_window(p) || !begin_large(p, &u))
                return;
        size_t before = p->c->packet.len;
        tell_model(sim, p, &u, is_placed ? u.size : 0);
        uint32_t n_fds = u.n_fds + is_placed, counter = p->last_counter;
        if (is_placed) {
                say_placed(p->c, topic_of(&u), n_fds, u.size);
        } else {
                char text[16];
                snprintf(text, sizeof(text), "%u ", counter);
                say_fds(p->c, topic_of(&u), n_fds, text);
        }
        p->sent += p->c->packet.len - before + extra_cost(p, n_fds, is_placed ? u.size : 0);
        sim_feed_fds(sim, p,
                is_placed ? placed_fds(sim, u.n_fds, counter, u.size)
                : n_fds   ? fake_fds(&sim->f, n_fds)
                          : NULL);
}

void sim_upload_begin(struct sim *sim, struct peer *p)
{
        struct sim_upload *u = &p->upload;

        if (p->upload.is_on || !sim_has_window(p) || !begin_large(p, u))
                return;
        size_t before = p->c->packet.len;
        u->is_on = true;
        say_begin(p->c, topic_of(u), u->n_fds, rnd(2) ? u->size : 0);
        p->sent += p->c->packet.len - before + extra_cost(p, u->n_fds, 0);
        sim_feed_fds(sim, p, u->n_fds ? fake_fds(&sim->f, u->n_fds) : NULL);
}

void sim_upload_end(struct sim *sim, struct peer *p, bool is_given_up)
{
        struct sim_upload *u = &p->upload;

        if (!is_given_up) {
                tell_model(sim, p, u, u->size);
        } else if (u->id) {
                u->topic = SIM_BAD_TOPIC; /* answered by ERR, and nobody gets it */
                u->kind = SIM_PLAIN;
                tell_model(sim, p, u, 0);
        }
        p->sent += 3 + extra_cost(p, 0, u->at);
        say_end(p->c, is_given_up);
        u->is_on = false;
        sim_feed(sim, p);
}

/* A chunk or two, or the end. */
void sim_upload_more(struct sim *sim, struct peer *p)
{
        static uint8_t bytes[20000];
        struct sim_upload *u = &p->upload;
        uint64_t n = rnd(rnd(2) ? 20000 : 500);

        if (!u->is_on || !sim_has_window(p))
                return;
        if (u->at == u->size || !rnd(30)) {
                sim_upload_end(sim, p, u->at < u->size);
                return;
        }
        n = n < u->size - u->at ? n : u->size - u->at;
        sim_payload(p->last_counter + 1, u->at, bytes, (size_t)n);
        size_t before = p->c->packet.len;
        say_chunk(p->c, bytes, (size_t)n);
        p->sent += p->c->packet.len - before;
        u->at += n;
        u->idle_ms = n ? 0 : u->idle_ms;
        sim_feed(sim, p);
}

void sim_pass(struct sim *sim, uint64_t ms)
{
        for (uint32_t i = 0; i < sim->n_peers; i++) {
                struct peer *p = sim->peers[i];
                if (p->has_left || p->c->is_gone || !p->upload.is_on)
                        continue;
                p->upload.idle_ms += ms;
                if (p->upload.idle_ms >= sim->f.config.limits.stall_ms)
                        sim_upload_end(sim, p, true);
        }
        fake_tick(&sim->f, ms);
}

void sim_credit(struct sim *sim, struct peer *p)
{
        if (p->c->n_flying) {
                say_credit(p->c, 1 + rnd((uint32_t)p->c->n_flying + 1));
                sim_feed(sim, p);
        }
}

void sim_change_weather(struct sim *sim)
{
        sim->f.scarce = !sim->f.scarce && rnd(3) == 0;
        sim->was_scarce |= sim->f.scarce;
}

/* Design note. The third play: what is kept, dropped, or left behind. */
#include "broker/core/oom.h"

#include <stdio.h>
#include <string.h>

static void subscribe(struct cast *t, struct client *c, const char *filter, enum wire_overflow o)
{
        struct message m = {
                .type = WIRE_SUB,
                .sub = {.id = c->last_id + 1,
                        .sub = (uint32_t)c->last_id + 1,
                        .filter = {(const uint8_t *)filter, strlen(filter)},
                        .overflow = o,
                        .queue_messages = 2},
        };

        say(c, &m);
        oom_go(t, c);
}

static void publish(
        struct cast *t, struct client *c, uint64_t flags, uint64_t ttl_ms, const char *topic)
{
        struct message m = {
                .type = WIRE_INGRESS,
                .ingress = {.flags = flags | WIRE_INGRESS_CONFIRM,
                        .id = c->last_id + 1,
                        .ttl_ms = ttl_ms},
        };

        say(c, &m);
        for (int i = 0; i < 3; i++)
                say_pub(c, topic, "x");
        c->last_id += 2;
        oom_go(t, c);
}

static void act_dropping(struct cast *t)
{
        struct client *slow[WIRE_OVERFLOW_N_];

        for (int o = 0; o < WIRE_OVERFLOW_N_; o++) {
                slow[o] = fake_open(&t->f);
                subscribe(t, slow[o], "d.*", (enum wire_overflow)o);
                slow[o]->room = 0;
        }
        for (int i = 0; i < 3; i++) {
                publish(t, t->pub, 0, 0, "d.a");
                publish(t, t->pub, 0, 50, "d.b");
        }
        fake_tick(&t->f, 60);
        for (int o = 0; o < WIRE_OVERFLOW_N_; o++) {
                if (!slow[o]->is_gone)
                        fake_room(slow[o], SIZE_MAX);
                oom_stream(t);
                fake_forget(slow[o]);
        }
}

static void act_sharing(struct cast *t)
{
        struct client *w[2];

        for (int i = 0; i < 2; i++) {
                w[i] = fake_open(&t->f);
                struct message m = {
                        .type = WIRE_SUB,
                        .sub = {.id = 1,
                                .sub = 1,
                                .filter = {(const uint8_t *)"g.*", 3},
                                .group = {(const uint8_t *)"g", i == 0},
                                .has_window = true,
                                .window = 1,
                                .queue_messages = 2},
                };
                if (i)
                        m.sub.group.data = NULL;
                say(w[i], &m);
                oom_go(t, w[i]);
        }
        publish(t, t->pub, 0, 0, "g.a");
        publish(t, t->pub, 0, 50, "g.a"); /* some wait, some are parked */
        (void)fake_ask(t->pub, ++t->pub->last_id, 0, "g.b", w[0]);
        fake_tick(&t->f, 60);
        for (int i = 0; i < 2; i++) {
                if (!w[i]->is_gone)
                        fake_give_back(w[i], 1, 2);
                oom_stream(t);
        }
        fake_forget(w[0]);
        fake_forget(w[1]);
}

/* One member fails, one answers late, one dies; what is left dies with it. */
static void act_acknowledging(struct cast *t)
{
        static const struct fake_ack often = {
                .window = 2, .ack_ms = 50, .max_deliveries = 2, .queue_messages = 4};
        struct client *w[3], *dead = fake_open(&t->f);

        subscribe(t, dead, "$sys.dead", WIRE_OVERFLOW_BLOCK);
        for (int i = 0; i < 3; i++) {
                w[i] = fake_open(&t->f);
                say_member(w[i], 1, "h.*", "h", &often);
                oom_go(t, w[i]);
        }
        publish(t, t->pub, 0, 0, "h.a");
        w[1]->room = 0;
        publish(t, t->pub, 0, 0, "h.b"); /* some wait, some are parked */
        (void)fake_ask(t->pub, ++t->pub->last_id, 0, "h.c", NULL);
        for (int i = 0; i < 4; i++) {
                if (!w[0]->is_gone)
                        fake_refuse(w[0], 1, w[0]->last_seq, i % 2 ? 10 : 0);
                oom_stream(t);
                fake_tick(&t->f, 20);
        }
        if (!w[1]->is_gone)
                fake_room(w[1], SIZE_MAX);
        for (int i = 2; i >= 0; i--) {
                if (!w[i]->is_gone && i == 1)
                        fake_acknowledge(w[i], 1, w[i]->last_seq);
                if (!w[i]->is_gone)
                        fake_close(w[i]);
                oom_stream(t);
        }
        fake_tick(&t->f, LIMIT_LINGER_MS);
        fake_forget(dead);
}

static void act_keeping(struct cast *t)
{
        struct client *late = fake_open(&t->f);
        char topic[16];

        for (int i = 0; i < 6; i++) { /* one more than may be */
                snprintf(topic, sizeof(topic), "k.%d", i);
                publish(t, t->pub, WIRE_INGRESS_RETAIN, i % 2 ? 20 : 0, topic);
        }
        late->room = 0;
        subscribe(t, late, "k.*", WIRE_OVERFLOW_BLOCK);
        subscribe(t, late, "k.>", WIRE_OVERFLOW_LATEST);
        fake_tick(&t->f, 30);
        subscribe(t, late, "*.1", WIRE_OVERFLOW_DROP_NEWEST);
        if (!late->is_gone)
                fake_room(late, SIZE_MAX);
        oom_stream(t);
        fake_forget(late);
}

static void act_leaving(struct cast *t)
{
        struct client *watch = fake_open(&t->f);

        subscribe(t, watch, "$sys.session.*", WIRE_OVERFLOW_BLOCK);
        watch->room = 0;
        for (int i = 0; i < 4; i++) {
                struct client *c = fake_open(&t->f);
                publish(t, c, WIRE_INGRESS_WILL | (i % 2 ? WIRE_INGRESS_RETAIN : 0), 0, "d.will");
                publish(t, c, 0, 0, "d.last");
                fake_close(c);
                oom_stream(t);
        }
        if (!watch->is_gone)
                fake_room(watch, SIZE_MAX);
        fake_forget(watch);
}

void oom_play_keep(struct cast *t)
{
        struct client **all[] = {&t->pub, &t->fast, &t->slow, &t->asker};

        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                *all[i] = fake_open(&t->f);
        oom_stream(t);
        act_dropping(t);
        act_keeping(t);
        act_sharing(t);
        act_acknowledging(t);
        act_leaving(t);
}

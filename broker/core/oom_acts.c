/* Design note. The first play: small messages. Nothing is expected here but of the
 * bystanders: who is poor may have lost anything. */
#include "broker/core/oom.h"

#include "tests/harness/test.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

/* What the bystanders do between any two acts of the others. */
void oom_stream(struct cast *t)
{
        char text[24];
        bool was = oom_memory.is_scarce;

        oom_memory.is_scarce = false;
        snprintf(text, sizeof(text), "%" PRIu64, t->n_stream++);
        say_ingress(t->from, WIRE_INGRESS_CONFIRM, t->from->last_id + 1);
        say_pub(t->from, "by.standers", text);
        fake_go(t->from);
        expect_ok(t->from, t->from->last_id, 1);
        const struct got *g = expect_pub(t->to, "by.standers", text);
        CHECK_EQ(g->delivery.seq, t->n_stream);
        oom_memory.is_scarce = was;
}

void oom_go(struct cast *t, struct client *c)
{
        if (!c->packet.len)
                return;
        fake_go(c);
        oom_stream(t);
}

static void enter_stage(struct cast *t)
{
        struct client **all[] = {&t->pub, &t->fast, &t->slow, &t->asker, &t->svc};

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                *all[i] = fake_open(&t->f);
                oom_stream(t);
        }
}

static void subscribe(struct cast *t, struct client *c, const char *filter)
{
        say_sub(c, c->last_id + 1, (uint32_t)c->last_id + 1, filter);
        oom_go(t, c);
}

static void publish(struct cast *t, const char *topic, size_t len)
{
        say_ingress(t->pub, WIRE_INGRESS_CONFIRM, t->pub->last_id + 1);
        say_pub(t->pub, topic, "x");
        t->pub->last_id++;
        say_pub(t->pub, topic, "y");
        if (len)
                say_large(t->pub, topic, "z", len);
        t->pub->last_id += len > 0;
        oom_go(t, t->pub);
}

static void publish_fds(struct cast *t)
{
        struct fdset *fds = NULL;
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        CHECK_EQ(fdset_new_take(&fd, 1, &t->f.yard, &fds), 0);
        say_ingress(t->pub, WIRE_INGRESS_CONFIRM, t->pub->last_id + 1);
        say_bytes(t->pub, "95 10 01 a1 61 80 c4 00");
        fake_feed_fds(t->pub, fds);
        fake_flush(&t->f);
        oom_stream(t);
}

static void ask(struct cast *t, const char *topic, uint64_t ms)
{
        say_request(t->asker, t->asker->last_id + 1, ms);
        say_pub(t->asker, topic, "?");
        oom_go(t, t->asker);
}

/* Answers what `svc` has received, `n` times with MORE to come. */
static void answer_all(struct cast *t, int n)
{
        uint64_t token = 0;

        for (const struct got *g; (g = fake_next(t->svc));)
                token = g->m.type == WIRE_PUB && g->delivery.token ? g->delivery.token : token;
        for (; n >= 0; n--) {
                say_reply(t->svc, token, n ? WIRE_DELIVERY_MORE : 0, t->svc->last_id + 1);
                say_pub(t->svc, "", "!");
        }
        oom_go(t, t->svc);
}

static void act_publishing(struct cast *t)
{
        subscribe(t, t->fast, "a");
        subscribe(t, t->fast, "b.>");
        subscribe(t, t->slow, "*");
        subscribe(t, t->slow, "b.c.d");
        t->slow->room = 0;
        publish(t, "a", 0);
        publish(t, "b.c.d", 3000);
        publish_fds(t);
        for (int i = 0; i < 4; i++)
                publish(t, "a", 0); /* parked at last */
        publish(t, "bad..topic", 0);
        say_unsub(t->fast, t->fast->last_id + 1, 1);
        oom_go(t, t->fast);
        if (!t->slow->is_gone)
                fake_room(t->slow, SIZE_MAX);
        oom_stream(t);
}

static void act_asking(struct cast *t)
{
        subscribe(t, t->svc, "svc.*");
        ask(t, "svc.time", 100);
        answer_all(t, 2);
        ask(t, "$sys.status", 0);
        t->asker->room = 0;
        ask(t, "svc.time", 50);
        answer_all(t, 1);
        ask(t, "nobody", 0);  /* an error in its place behind the replies */
        ask(t, "svc.no", 50); /* ends by its deadline */
        ask(t, "svc.no", 0);
        say_number(t->asker, WIRE_CANCEL, t->asker->last_id);
        oom_go(t, t->asker);
        fake_tick(&t->f, 60);
        if (t->f.config.limits.queue_messages == 8)
                t->svc->room = 0; /* so that they wait, each with a deadline */
        for (int i = 0; i < 20; i++)
                ask(t, "svc.gone", 0);
        fake_close(t->svc);
        oom_stream(t);
        if (!t->asker->is_gone)
                fake_room(t->asker, SIZE_MAX);
        oom_stream(t);
}

/* Replies wait behind a full receiver; their responder goes before they are through. */
static void act_replying_late(struct cast *t)
{
        struct client *svc = fake_open(&t->f), *slow = fake_open(&t->f);

        subscribe(t, svc, "late");
        subscribe(t, slow, "*");
        slow->room = 0;
        for (int i = 0; i < 3; i++)
                ask(t, "late", 0);
        for (int i = 0; i < 10; i++) {
                say_pub(svc, "x", "x");
                oom_go(t, svc);
        }
        for (const struct got *g; (g = fake_next(svc));) {
                if (g->m.type != WIRE_PUB)
                        continue;
                say_reply(svc, g->delivery.token, 0, 0);
                say_pub(svc, "", "!");
        }
        oom_go(t, svc);
        fake_close(svc);
        if (!slow->is_gone)
                fake_room(slow, SIZE_MAX);
        oom_stream(t);
        fake_forget(slow);
}

/* More sessions than there were places for. */
static void act_crowd(struct cast *t)
{
        struct client *crowd[64];

        for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
                crowd[i] = fake_connect(&t->f);
        oom_stream(t);
        for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
                fake_close(crowd[i]);
}

/* A session in everything: it asks itself, feeds itself, and leaves while it waits for itself. */
static void act_alone(struct cast *t)
{
        struct client *c = fake_open(&t->f);

        for (int i = 0; i < 70; i++) /* more than one DELIVERY tells */
                say_sub(c, c->last_id + 1, (uint32_t)c->last_id + 1, i % 2 ? "me" : "*");
        oom_go(t, c);
        c->room = 0;
        for (int i = 0; i < 6; i++) {
                say_request(c, c->last_id + 1, 0);
                say_pub(c, "me", "?");
                say_pub(c, "me", "!");
                oom_go(t, c);
        }
        say_bye(c);
        oom_go(t, c);
        if (!c->is_gone)
                fake_room(c, SIZE_MAX);
        fake_forget(c);
}

void oom_play_small(struct cast *t)
{
        enter_stage(t);
        act_publishing(t);
        act_asking(t);
        act_replying_late(t);
        act_alone(t);
        act_crowd(t);
}

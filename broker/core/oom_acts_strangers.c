/* Design note. The fourth play: strangers, with quotas, whose policy changes while they publish,
 * wait, keep and share. */
#include "broker/core/oom.h"

#include <stdio.h>

static const char GENEROUS[] =
        "any publish:> subscribe:> block:> join:> retain:> will:> send-fds:> uid_subscriptions:6 "
        "uid_retained:6 uid_fds:8 uid_groups:4 uid_requests:4 uid_queue_bytes:4000";
static const char STINGY[] =
        "any publish:> subscribe:s.a subscribe:w.* uid_queue_bytes:500 user:2002 connect:no";

static void subscribe(struct cast *t, struct client *c, const char *filter)
{
        say(c, &(struct message){.type = WIRE_SUB,
                       .sub = {.id = c->last_id + 1,
                               .sub = (uint32_t)c->last_id + 1,
                               .filter = fake_text(filter),
                               .max_fds = 4}});
        oom_go(t, c);
}

static void publish(struct cast *t, struct client *c, uint64_t flags, const char *topic)
{
        say_ingress(c, flags | WIRE_INGRESS_CONFIRM, c->last_id + 1);
        say_pub(c, topic, "x");
        oom_go(t, c);
}

static void send_fds(struct cast *t, struct client *c, const char *topic)
{
        if (c->is_gone)
                return;
        say_ingress(c, WIRE_INGRESS_CONFIRM, c->last_id + 1);
        say_fds(c, topic, 2, "x");
        fake_send(c, 2);
        oom_stream(t);
}

static void datagram(struct cast *t, uint32_t uid, const char *topic)
{
        struct core_peer sender = {.pid = 1, .uid = uid, .gid = uid};
        struct client *c = t->from;

        say_ingress(c, WIRE_INGRESS_RETAIN, 0);
        say_pub(c, topic, "x");
        oom_inside(true);
        (void)core_datagram(t->f.core, &sender, c->packet.data, c->packet.len, t->f.now_ns);
        oom_inside(false);
        buf_clear(&c->packet);
        fake_check(&t->f);
        oom_stream(t);
}

static void set_policy(struct cast *t, const char *words)
{
        fake_policy(&t->f, words);
        oom_stream(t);
}

/* What waits for one of them was allowed when it came. */
static void act_waiting(struct cast *t)
{
        subscribe(t, t->slow, "w.*");
        t->slow->room = 0;
        for (int i = 0; i < 6; i++) {
                publish(t, t->pub, 0, "w.a");
                publish(t, t->asker, WIRE_INGRESS_RETAIN, i % 2 ? "w.b" : "w.c");
                send_fds(t, t->pub, "w.d");
        }
        set_policy(t, STINGY);
        if (!t->slow->is_gone)
                fake_room(t->slow, SIZE_MAX);
        oom_stream(t);
        if (!t->slow->is_gone && t->slow->n_flying)
                say_credit(t->slow, t->slow->n_flying);
        oom_go(t, t->slow);
        set_policy(t, GENEROUS);
}

/* Members lose the right, or die; their groups stay in their names for a while. */
static void act_sharing(struct cast *t)
{
        static const struct fake_ack often = {.window = 2, .ack_ms = 50, .queue_messages = 4};
        struct client *w[2];

        for (uint32_t i = 0; i < 2; i++) {
                w[i] = fake_stranger(&t->f, 2001 + i);
                say_member(w[i], 1, "s.*", i ? "g" : "h", &often);
                subscribe(t, w[i], "s.a");
                subscribe(t, w[i], "s.*");
        }
        for (int i = 0; i < 4; i++) {
                publish(t, t->pub, 0, "s.a");
                publish(t, t->asker, 0, "s.b");
        }
        fake_close(w[0]);
        set_policy(t, STINGY); /* the other is put out */
        set_policy(t, GENEROUS);
        fake_tick(&t->f, LIMIT_LINGER_MS);
        oom_stream(t);
}

static void act_leaving(struct cast *t)
{
        for (uint32_t i = 0; i < 4; i++) {
                struct client *c = fake_stranger(&t->f, 2001 + i % 2);
                publish(t, c, WIRE_INGRESS_WILL | (i % 2 ? WIRE_INGRESS_RETAIN : 0), "w.will");
                publish(t, c, WIRE_INGRESS_RETAIN, "w.kept");
                datagram(t, 2001, "w.kept");
                datagram(t, 3000 + i, "w.will");
                if (i == 2)
                        set_policy(t, STINGY);
                fake_close(c);
                oom_stream(t);
                set_policy(t, GENEROUS);
        }
}

void oom_play_strangers(struct cast *t)
{
        struct client **all[] = {&t->pub, &t->fast, &t->slow, &t->asker};

        set_policy(t, GENEROUS);
        for (uint32_t i = 0; i < ARRAY_LEN(all); i++)
                *all[i] = fake_stranger(&t->f, 2000 + i % 2);
        subscribe(t, t->fast, "w.>");
        act_waiting(t);
        act_sharing(t);
        act_leaving(t);
        fake_bury(&t->f);
}

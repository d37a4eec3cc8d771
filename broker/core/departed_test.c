/* Who comes back is told what it has missed. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <string.h>

/* Comes as the one who was `session`, and saw `seq` last. Returns what it is told; -1: nothing. */
static int64_t come_back(struct fake *f, uint64_t session, uint64_t seq, bool is_other_instance)
{
        struct client *c = fake_connect(f);
        uint8_t instance[WIRE_INSTANCE_BYTES];

        memcpy(instance, f->config.instance, sizeof(instance));
        instance[0] ^= is_other_instance;
        struct message m = {.type = WIRE_HELLO,
                .hello = {.version = 1,
                        .resume_instance = {instance, sizeof(instance)},
                        .resume_session = session,
                        .resume_seq = seq}};
        say(c, &m);
        fake_go(c);
        struct got *g = expect(c, WIRE_WELCOME);
        int64_t missed = g->m.welcome.has_missed ? (int64_t)g->m.welcome.missed : -1;
        fake_close(c);
        return missed;
}

TEST(what_was_sent_and_not_seen_and_what_was_queued_is_missed)
{
        struct fake f;
        fake_init(&f);
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        uint64_t number = sub->number;

        fake_sub(sub, 1, "a");
        for (int i = 0; i < 5; i++)
                fake_pub(pub, "a", "x");
        fake_room(sub, 0);
        for (int i = 0; i < 3; i++)
                fake_pub(pub, "a", "x");
        CHECK_EQ(come_back(&f, number, 5, false), 3); /* it has not been noticed yet */
        fake_close(sub);
        CHECK_EQ(come_back(&f, number, 5, false), 3);
        CHECK_EQ(come_back(&f, number, 2, false), 6);
        CHECK_EQ(come_back(&f, number, 0, false), 8);
        fake_deinit(&f);
}

TEST(what_waited_for_room_was_missed_too)
{
        struct fake f;
        fake_init_with(&f, "queue_messages=1");
        struct client *pub = fake_open(&f), *sub = fake_open(&f);
        uint64_t number = sub->number;

        fake_sub(sub, 1, "a");
        fake_room(sub, 0);
        for (int i = 0; i < 2; i++)
                fake_pub(pub, "a", "x");
        fake_close(sub);
        CHECK_EQ(come_back(&f, number, 0, false), 2);
        fake_deinit(&f);
}

TEST(nobody_is_told_of_what_is_not_known)
{
        struct core_peer root = {.pid = 1};
        struct fake f;
        fake_init(&f);
        f.config.self.uid = 0;
        struct client *sub = fake_open(&f);
        uint64_t number = sub->number;

        fake_close(sub);
        CHECK_EQ(come_back(&f, number, 0, false), 0);
        CHECK_EQ(come_back(&f, number, 0, true), -1);
        CHECK_EQ(come_back(&f, number + 1000, 0, false), -1);
        CHECK_EQ(come_back(&f, number, 1, false), -1); /* more than there was */
        CHECK_EQ(come_back(&f, 0, 0, false), -1);
        struct client *other = fake_connect_as(&f, &root);
        say_hello(other, "root");
        fake_go(other);
        uint64_t theirs = other->number;
        fake_close(other);
        if (f.config.self.uid != root.uid)
                CHECK_EQ(come_back(&f, theirs, 0, false), -1);
        fake_deinit(&f);
}

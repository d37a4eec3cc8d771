/* Retained values and wills, which a handle that stays connected makes again. */
#include "client/fake_house.h"

#include <errno.h>
#include <string.h>

static void retain(struct house *h, const char *topic, const char *payload)
{
        struct baton_publication p = {
                .topic = topic,
                .payload = payload,
                .payload_len = strlen(payload),
                .flags = BATON_RETAIN,
        };

        CHECK_EQ(baton_publish_with(h->f.b, &p), 0);
}

static uint64_t expect_lasting(struct house *h, uint64_t flag, const char *topic, const char *text)
{
        struct message m = fake_expect(&h->f, WIRE_INGRESS);

        CHECK_EQ(m.ingress.flags, flag | WIRE_INGRESS_CONFIRM);
        uint64_t id = m.ingress.id;
        m = fake_expect(&h->f, WIRE_PUB);
        CHECK(slice_is(m.pub.topic, topic));
        CHECK(slice_is(m.pub.payload, text));
        return id;
}

TEST(another_instance_is_told_retained_values_and_will_and_the_same_one_only_the_will)
{
        struct baton_publication will = {
                .topic = "w", .payload = "bye", .payload_len = 3, .flags = BATON_WILL};
        struct message m;
        struct house h;

        house_begin(&h, 0);
        retain(&h, "a", "old");
        retain(&h, "b", "1");
        retain(&h, "a", "new");
        retain(&h, "c", "x");
        retain(&h, "c", ""); /* cleared */
        CHECK_EQ(baton_publish_with(h.f.b, &will), 0);
        CHECK_EQ(baton_flush(h.f.b, 0), 0);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 6);
        house_lose(&h, "LOST uncertain 6;");
        house_return(&h);
        uint64_t id = expect_lasting(&h, WIRE_INGRESS_RETAIN, "b", "1");
        m = fake_expect(&h.f, WIRE_PUB); /* under the same INGRESS */
        CHECK(slice_is(m.pub.topic, "a"));
        CHECK(slice_is(m.pub.payload, "new"));
        CHECK_EQ(expect_lasting(&h, WIRE_INGRESS_WILL, "w", "bye"), id + 2);
        CHECK(!fake_next(&h.f, &m));
        fake_say(&h.f, fake_ok(id, 0, 1));
        fake_say(&h.f, fake_err(id + 1, WIRE_CODE_LIMIT, "too many"));
        fake_say(&h.f, fake_ok(id + 2, 0, 1));
        fake_send(&h.f);
        house_await(&h, "BACK other;DENIED a -122;READY other;");

        house_lose(&h, "LOST;");
        house_enter(&h);
        house_meet(&h);
        id = expect_lasting(&h, WIRE_INGRESS_WILL, "w", "bye");
        CHECK(!fake_next(&h.f, &m));
        /* Lost again before it was answered: once more, and only once. */
        house_lose(&h, "BACK;LOST;");
        house_enter(&h);
        house_meet(&h);
        id = expect_lasting(&h, WIRE_INGRESS_WILL, "w", "bye");
        CHECK(!fake_next(&h.f, &m));
        fake_say(&h.f, fake_ok(id, 0, 1));
        fake_send(&h.f);
        house_await(&h, "BACK;READY;");
        house_close(&h);
}

TEST(a_will_that_was_cleared_is_not_restored)
{
        struct baton_publication will = {.topic = "w", .flags = BATON_WILL};
        struct message m;
        struct house h;

        house_begin(&h, 0);
        CHECK_EQ(baton_publish_with(h.f.b, &will), 0);
        will.topic = "";
        CHECK_EQ(baton_publish_with(h.f.b, &will), 0);
        house_lose(&h, "LOST uncertain 2;");
        house_return(&h);
        CHECK(!fake_next(&h.f, &m));
        house_close(&h);
}

TEST(more_retained_values_than_may_be_kept_are_told_to_the_log)
{
        static char large[3 << 20];
        struct house h;

        house_begin(&h, 0);
        baton_set_log(h.f.b, note_log, &h.notes);
        baton_set_nonblocking(h.f.b, true);
        struct baton_publication p = {.topic = "a",
                .payload = large,
                .payload_len = sizeof(large),
                .flags = BATON_RETAIN};
        CHECK_EQ(baton_publish_with(h.f.b, &p), 0);
        while (h.f.b->large.state != LARGE_NONE) {
                (void)fake_skip(&h.f, WIRE_CHUNK);
                fake_refund(&h.f);
                CHECK_EQ(baton_process(h.f.b), 0);
        }
        p.topic = "b";
        CHECK_EQ(baton_publish_with(h.f.b, &p), 0);
        CHECK(strstr(h.notes.text, "is not restored"));
        h.notes = (struct notes){.len = 0};
        house_close(&h);
}

TEST(descriptors_alone_are_a_value)
{
        int fd = 0;
        struct baton_publication p = {.topic = "a", .fds = &fd, .n_fds = 1, .flags = BATON_RETAIN};
        struct house h;

        house_begin(&h, 0);
        CHECK_EQ(baton_publish_with(h.f.b, &p), 0);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 1);
        house_lose(&h, "LOST uncertain 1;");
        house_return(&h);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 1);
        house_close(&h);
}

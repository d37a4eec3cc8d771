/* Publications in chunks that are too large, not wanted any more, given up, or cut off by the end
 * of the connection. */
#include "client/fake_payload.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static int pipe_end(void)
{
        int fds[2];

        CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
        close(fds[1]);
        return fds[0];
}

TEST(more_than_the_broker_lets_through_is_a_gap)
{
        struct message welcome = fake_welcome_large(FAKE_WINDOW, 0);
        struct notes notes = {.len = 0};
        struct fake f;

        welcome.welcome.limits[1].value = 100000;
        fake_open_over(&f, SOCK_SEQPACKET, welcome, 0);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        baton_set_gap(f.b, note_gap, &notes);
        /* Announced. */
        fake_begin(&f, fake_delivery(1, sub), "a", 100001);
        CHECK(run(&f) >= 0);
        CHECK_NULL(f.b->in.assembly.payload);
        fake_chunks(&f, 0, 100001, 50000);
        fake_end(&f, 0);
        CHECK(run(&f) >= 0);
        /* Not announced. */
        fake_begin(&f, fake_delivery(2, sub), "a", 0);
        fake_chunks(&f, 0, 100001, 50000);
        CHECK(run(&f) >= 0);
        CHECK_NULL(f.b->in.assembly.payload);
        fake_end(&f, 0);
        fake_begin(&f, fake_delivery(3, sub), "a", 0);
        fake_chunks(&f, 0, 100000, 50000);
        fake_end(&f, 0);
        CHECK(run(&f) >= 0);
        CHECK_STR(notes.text, "a lost 1 (too large);a lost 1 (too large);a:100000;");
        fake_close(&f);
}

TEST(a_file_larger_than_the_broker_lets_through_is_not_mapped)
{
        struct message welcome = fake_welcome_large(FAKE_WINDOW, 0);
        struct notes notes = {.len = 0};
        struct fake f;

        NEEDS_MEMFD();
        welcome.welcome.limits[1].value = 100000;
        fake_open_over(&f, SOCK_SEQPACKET, welcome, 0);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        baton_set_gap(f.b, note_gap, &notes);
        fake_place(&f, sub, "a", 100001);
        fake_place(&f, sub, "a", 100000);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "a lost 1 (not readable);a:100000;");
        fake_close(&f);
}

TEST(what_is_announced_takes_no_memory_before_it_comes_and_no_more_then)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_large(&f, 0, 0);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        fake_begin(&f, fake_delivery(1, sub), "a", FAKE_LARGEST);
        fake_chunks(&f, 0, 10, 10);
        CHECK_EQ(run(&f), 0);
        CHECK(f.b->in.assembly.payload->cap <= 65536);
        fake_end(&f, 1);
        fake_begin(&f, fake_delivery(2, sub), "a", 100000);
        fake_chunks(&f, 0, 70000, 35000);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(f.b->in.assembly.payload->cap, 100000);
        fake_close(&f);
}

TEST(what_nobody_wants_any_more_is_thrown_away_as_it_comes)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_large(&f, 0, 0);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        fake_begin(&f, fake_delivery(1, 4711), "a", 0);
        fake_chunks(&f, 0, 100000, 50000);
        CHECK_EQ(run(&f), 0);
        CHECK_NULL(f.b->in.assembly.payload);
        fake_end(&f, 0);
        fake_begin(&f, fake_delivery(2, sub), "a", 0);
        fake_chunks(&f, 0, 10, 10);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(baton_unsubscribe(f.b, sub), 0);
        fake_end(&f, 0);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "");
        fake_close(&f);
}

TEST(a_publication_that_was_given_up_is_not_heard_of)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_large(&f, 0, 0);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        baton_set_gap(f.b, note_gap, &notes);
        fake_begin(&f, fake_delivery(1, sub), "a", 100000);
        fake_chunks(&f, 0, 50000, 50000);
        fake_end(&f, 1);
        fake_say(&f, (struct message){.type = WIRE_GAP, .gap = {sub, 1, WIRE_GAP_UNREADABLE, 2}});
        fake_deliver(&f, 2, sub, "a", "");
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "a lost 1 (not readable);a:0;");
        fake_close(&f);
}

TEST(half_a_publication_of_a_lost_connection_does_not_disturb_the_next)
{
        struct notes notes = {.len = 0};
        struct link *link;
        struct fake f;

        fake_open_large(&f, 0, 0);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        fake_begin(&f, fake_delivery(1, sub), "a", 0);
        CHECK_EQ(run(&f), 0);
        f.link = link_free(f.link);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), -ENOTCONN);
        CHECK_EQ(link_pair(NULL, NULL, &link, &f.link), 0);
        fake_say(&f, fake_welcome_large(FAKE_WINDOW, 0));
        fake_send(&f);
        CHECK_EQ(handle_adopt_link(f.b, link, "@again", 1000), 0);
        (void)fake_expect(&f, WIRE_HELLO);
        sub = fake_subscribe(&f, "a", note_large, &notes);
        fake_begin(&f, fake_delivery(1, sub), "a", 0);
        fake_chunks(&f, 0, 10, 10);
        fake_end(&f, 0);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "a:10;");
        fake_close(&f);
}

TEST(a_connection_that_is_lost_in_the_middle_leaves_nothing)
{
        for (int i = 0; i < 4; i++) {
                struct notes notes = {.len = 0};
                struct message m = fake_pub("a", "");
                struct fake f;
                fake_open_large(&f, 0, 0);
                uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
                size_t fds = test_open_fds();
                struct fdset *set = payload_set(pipe_end(), 0);
                m.type = WIRE_BEGIN;
                m.pub.n_fds = 1;
                fake_say(&f, fake_delivery(1, sub));
                fake_say(&f, m);
                fake_send_fds(&f, set);
                fdset_unref(set);
                fake_chunks(&f, 0, 100000, 50000);
                CHECK_EQ(run(&f), 0);
                CHECK_EQ(test_open_fds(), fds + 1);
                if (i < 2)
                        f.link = link_free(f.link);
                if (i == 1)
                        CHECK_EQ(baton_publish(f.b, "t", "", 0), -ENOTCONN);
                if (i < 2) {
                        CHECK_EQ(run(&f), -ENOTCONN);
                        CHECK_EQ(test_open_fds(), fds - 2);
                } else if (i == 2) {
                        CHECK_EQ(baton_close(f.b, 0), -ETIMEDOUT);
                }
                fake_close(&f);
                CHECK_STR(notes.text, "");
        }
}

/* Where a publisher must wait: the window, the socket, the inbox. */
#include "client/fake_broker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

TEST(the_window_stops_a_publisher_and_credit_lets_it_go_on)
{
        char payload[1000] = "";
        struct fake f;
        int n = 0;

        fake_open_with(&f, 262144, FAKE_RIGHTS);
        baton_set_nonblocking(f.b, true);
        int r;
        while ((r = baton_publish(f.b, "t", payload, sizeof(payload))) == 0 && ++n)
                (void)fake_skip(&f, WIRE_PUB);
        CHECK_EQ(r, -EAGAIN);
        CHECK_EQ(n, 262144 / 1009);
        CHECK_EQ(baton_events(f.b), POLLIN);
        fake_say(&f, fake_credit(2018));
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 0);
        CHECK_EQ(baton_publish(f.b, "t", payload, sizeof(payload)), 0);
        CHECK_EQ(baton_publish(f.b, "t", payload, sizeof(payload)), 0);
        CHECK_EQ(baton_publish(f.b, "t", payload, sizeof(payload)), -EAGAIN);
        fake_close(&f);
}

TEST(control_frames_pass_a_publisher_that_waits_for_the_window)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_with(&f, 5, FAKE_RIGHTS);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_publish(f.b, "t", "x", 1), -EAGAIN);
        CHECK_EQ(baton_subscribe_start(f.b, "t", NULL, note_message, note_done, &notes, NULL), 0);
        (void)fake_expect(&f, WIRE_SUB);
        fake_say(&f, (struct message){.type = WIRE_PING, .number = 42});
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 0);
        CHECK_EQ(fake_expect(&f, WIRE_PONG).number, 42);
        fake_close(&f);
}

TEST(control_frames_pass_a_full_socket_and_keep_their_order)
{
        struct fake f;

        fake_open(&f);
        fake_fill(&f);
        CHECK_EQ(baton_events(f.b), POLLIN | POLLOUT);
        for (int i = 0; i < 3000; i++)
                CHECK_EQ(baton_subscribe_start(
                                 f.b, "some.filter.>", NULL, note_message, NULL, NULL, NULL),
                        0);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), -EAGAIN);
        uint64_t last = 0;
        size_t n = 0;
        for (int turn = 0; turn < 20; turn++) {
                struct message m;
                while (fake_next(&f, &m)) {
                        if (m.type != WIRE_SUB)
                                continue;
                        CHECK_EQ(m.sub.id, last + 1);
                        last = m.sub.id;
                        n++;
                }
                CHECK_EQ(baton_process(f.b), 0);
        }
        CHECK_EQ(n, 3000);
        CHECK_EQ(baton_events(f.b), POLLIN);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        fake_close(&f);
}

TEST(what_is_gathered_while_the_socket_is_full_is_sent_in_order_later)
{
        struct fake f;
        struct message m;
        size_t n = 0;

        fake_open(&f);
        fake_fill(&f);
        while (fake_next(&f, &m)) {
                n++;
                CHECK(slice_is(m.pub.topic, "fill"));
        }
        CHECK(n >= 2);
        CHECK_EQ(baton_flush(f.b, 0), 0);
        CHECK_EQ(fake_skip(&f, WIRE_PUB), 1);
        CHECK_EQ(baton_flush(f.b, 0), 0);
        fake_close(&f);
}

static void *read_all(void *arg)
{
        struct fake *f = arg;
        struct message m;
        size_t n = 0;

        while (n < 500) {
                if (fake_next(f, &m))
                        n += m.type == WIRE_PUB;
                else
                        assert_int_equal(link_wait(f->link, POLLIN, -1), 0);
        }
        return NULL;
}

TEST(a_blocking_publisher_waits_for_the_socket_and_flush_delivers_the_rest)
{
        static char payload[2000];
        struct fake f;
        pthread_t thread;

        fake_open(&f);
        CHECK_EQ(pthread_create(&thread, NULL, read_all, &f), 0);
        for (int i = 0; i < 500; i++)
                CHECK_EQ(baton_publish(f.b, "t", payload, sizeof(payload)), 0);
        CHECK_EQ(baton_flush(f.b, -1), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        fake_close(&f);
}

TEST(a_blocking_publish_keeps_what_arrives_for_the_next_process)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_with(&f, 20, FAKE_RIGHTS);
        uint32_t sub = fake_subscribe(&f, "m.>", note_message, &notes);
        CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), 0);
        fake_deliver(&f, 1, sub, "m.a", "1");
        fake_deliver(&f, 2, sub, "m.b", "2");
        fake_say(&f, fake_credit(100));
        fake_send(&f);
        CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), 0);
        CHECK_STR(notes.text, "");
        CHECK_EQ(baton_timeout(f.b), 0);
        fake_deliver(&f, 3, sub, "m.c", "3");
        CHECK_EQ(baton_wait(f.b, 1000), 3);
        CHECK_STR(notes.text, "m.a=1;m.b=2;m.c=3;");
        CHECK_EQ(baton_timeout(f.b), -1);
        fake_close(&f);
}

TEST(a_full_inbox_ends_the_wait)
{
        struct notes notes = {.len = 0};
        char text[1000] = "";
        struct fake f;

        memset(text, 'x', sizeof(text) - 1);
        fake_open_with(&f, 20, FAKE_RIGHTS);
        uint32_t sub = fake_subscribe(&f, "m", note_message, &notes);
        baton_set_inbox(f.b, 2500);
        CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), 0);
        for (uint64_t i = 1; i <= 4; i++)
                fake_deliver(&f, i, sub, "m", text);
        CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), -ENOBUFS);
        CHECK(strstr(baton_error(f.b), "inbox"));
        CHECK_EQ(baton_wait(f.b, 0), 4);
        CHECK_EQ(notes.len, 4 * (strlen("m=;") + 999));
        fake_say(&f, fake_credit(100));
        fake_send(&f);
        CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), 0);
        fake_close(&f);
}

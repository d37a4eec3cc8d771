/* A handle that stays connected, against odd brokers and at odd moments. */
#include "client/fake_house.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The session ends; the broker is there for another. */
static void cut(struct house *h)
{
        h->f.link = link_free(h->f.link);
        h->f.at = h->f.end = NULL;
}

/* ---------------------------------------------------------------- switched on and off */

TEST(switching_off_while_connecting_leaves_one_pass)
{
        struct house h;

        house_open(&h);
        house_stay(&h, 0);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, house_done, &h), 0);
        CHECK_EQ(baton_process(h.f.b), 0);
        CHECK_EQ(baton_set_reconnect(h.f.b, NULL), 0);
        house_await(&h, "done -111;");
        house_close(&h);
}

TEST(switching_on_while_connecting_goes_on_trying)
{
        struct house h;

        house_open(&h);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, house_done, &h), 0);
        house_stay(&h, 0);
        for (int i = 0; i < 3; i++)
                house_turn(&h, house_welcome(&h));
        house_enter(&h);
        house_await(&h, "done 0;READY;");
        house_close(&h);
}

TEST(a_subscription_nobody_was_asked_for_ends_when_it_is_switched_off)
{
        struct house h;

        house_begin(&h, 0);
        house_lose(&h, "LOST;");
        CHECK_EQ(baton_subscribe_start(h.f.b, "a", NULL, note_message, house_done, &h, NULL), 0);
        CHECK_EQ(baton_set_reconnect(h.f.b, NULL), 0);
        house_await(&h, "done -107;process -107;");
        house_close(&h);
}

static void connect_in_event(baton *b, const struct baton_event *e, void *arg)
{
        house_event(b, e, arg);
        if (e->change == BATON_GONE)
                CHECK_EQ(baton_connect_start(b, "./elsewhere", -1, NULL, NULL), 0);
}

TEST(who_connects_anew_when_it_is_gone_may_sleep)
{
        struct baton_reconnect o = {.first_ms = 1000, .most_ms = 1000};
        struct house h;

        house_begin(&h, 0);
        o.on_event = connect_in_event;
        o.arg = &h;
        CHECK_EQ(baton_set_reconnect(h.f.b, &o), 0);
        handle_lose(h.f.b, -EACCES, 0, "thrown out");
        house_leave(&h);
        for (int i = 0; i < 5; i++)
                CHECK_EQ(baton_process(h.f.b), 0);
        CHECK_STR(h.notes.text, "LOST;GONE -13;");
        CHECK(baton_timeout(h.f.b) > 100);
        house_close(&h);
}

/* ---------------------------------------------------------------- closed */

static void close_well(struct house *h)
{
        fake_say(&h->f, fake_bye(WIRE_CODE_NONE, ""));
        fake_send(&h->f);
        CHECK_EQ(baton_close(h->f.b, 1000), 0);
        house_leave(h);
}

static void connect_again(struct house *h)
{
        house_enter(h);
        CHECK_EQ(baton_connect_start(h->f.b, h->address, -1, NULL, NULL), 0);
        house_meet(h);
}

TEST(ready_is_told_of_a_connection_after_a_close_too)
{
        struct house h;

        house_begin(&h, 0);
        close_well(&h);
        connect_again(&h);
        house_await(&h, "READY;");
        house_close(&h);
}

TEST(a_will_does_not_outlive_a_close)
{
        struct baton_publication will = {.topic = "w", .flags = BATON_WILL};
        struct message m;
        struct house h;

        house_begin(&h, 0);
        CHECK_EQ(baton_publish_with(h.f.b, &will), 0);
        close_well(&h);
        connect_again(&h);
        house_await(&h, "READY;");
        house_lose(&h, "LOST;");
        house_return(&h);
        house_await(&h, "BACK other;READY other;");
        CHECK(!fake_next(&h.f, &m));
        house_close(&h);
}

TEST(what_was_kept_ends_with_a_close_that_takes_too_long)
{
        static const char big[40000];
        struct baton_publication p = {.topic = "t", .payload = big, .payload_len = sizeof(big)};
        struct message narrow;
        struct house h;

        house_begin(&h, 1 << 20);
        house_lose(&h, "LOST;");
        for (int i = 0; i < 3; i++)
                CHECK_EQ(baton_publish_confirm(h.f.b, &p, house_done, &h), 0);
        narrow = house_welcome(&h);
        narrow.welcome.window = 50000;
        house_enter(&h);
        while (!baton_is_connected(h.f.b))
                house_turn(&h, narrow);
        CHECK_EQ(baton_close(h.f.b, 5), -ETIMEDOUT);
        CHECK_STR(h.notes.text, "BACK;done -107;done -107;done -107;");
        h.notes = (struct notes){.len = 0};
        house_leave(&h);
        connect_again(&h);
        house_await(&h, "READY;");
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 0);
        house_close(&h);
}

/* ---------------------------------------------------------------- odd brokers */

TEST(a_broker_that_ends_each_session_at_once_is_come_back_to_ever_later)
{
        struct baton_reconnect o = {.first_ms = 4, .most_ms = 1000};
        struct house h;

        house_begin(&h, 0);
        o.on_event = house_event;
        o.arg = &h;
        CHECK_EQ(baton_set_reconnect(h.f.b, &o), 0);
        for (int i = 0; i < 6; i++) {
                cut(&h);
                house_await(&h, i ? "BACK;READY;LOST;" : "LOST;");
                if (i < 5)
                        house_meet(&h);
        }
        CHECK(baton_timeout(h.f.b) > 40); /* 4 ms, five times doubled, less up to half */
        house_close(&h);
}

TEST(a_broker_that_reads_no_more_is_left)
{
        struct house h;

        house_begin(&h, 1000);
        CHECK_EQ(shutdown(link_fd(h.f.link), SHUT_RD), 0);
        CHECK_EQ(baton_publish(h.f.b, "t", "1", 1), 0);
        house_await(&h, "LOST;");
        CHECK_STR(h.text, "./broker.sock: the broker reads no more");
        cut(&h);
        house_meet(&h);
        CHECK(slice_is(fake_expect(&h.f, WIRE_PUB).pub.payload, "1"));
        house_await(&h, "BACK;READY;");
        house_close(&h);
}

TEST(a_session_that_ends_with_its_welcome_restores_nothing_twice)
{
        struct baton_publication will = {.topic = "w", .flags = BATON_WILL};
        struct message m;
        struct house h;

        house_begin(&h, 0);
        CHECK_EQ(baton_publish_with(h.f.b, &will), 0);
        house_lose(&h, "LOST uncertain 1;");
        house_enter(&h);
        while (!baton_fd(h.f.b) || baton_fd(h.f.b) < 0) {
                CHECK_EQ(poll(NULL, 0, 1), 0);
                CHECK_EQ(baton_process(h.f.b), 0);
        }
        int fd;
        CHECK_EQ(listener_accept(h.listener, &fd), 0);
        CHECK_EQ(link_new_adopt(fd, TRANSPORT_SEQPACKET, NULL, &h.f.link), 0);
        (void)fake_expect(&h.f, WIRE_HELLO);
        fake_say(&h.f, house_welcome(&h));
        fake_say(&h.f, fake_bye(WIRE_CODE_LIMIT, "no"));
        fake_send(&h.f);
        while (h.notes.len < 10)
                CHECK_EQ(baton_process(h.f.b), 0);
        CHECK_STR(h.notes.text, "BACK;LOST;");
        h.notes = (struct notes){.len = 0};
        cut(&h);
        house_meet(&h);
        (void)fake_expect(&h.f, WIRE_INGRESS);
        (void)fake_expect(&h.f, WIRE_PUB);
        CHECK(!fake_next(&h.f, &m));
        fake_say(&h.f, fake_ok(h.f.b->ops.next_id - 1, 0, 1));
        fake_send(&h.f);
        house_await(&h, "BACK;READY;");
        house_close(&h);
}

TEST(a_broker_that_accepts_nobody_does_not_keep_from_the_next)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "busy.sock"};
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fds[64], n = 0;
        struct house h;

        house_open(&h);
        CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        CHECK_EQ(listen(fd, 1), 0);
        for (int r = 0; r == 0; n++) {
                fds[n] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                r = connect(fds[n], (struct sockaddr *)&addr, sizeof(addr));
        }
        house_stay(&h, 0);
        house_enter(&h);
        CHECK_EQ(baton_connect_start(h.f.b, "./busy.sock,./broker.sock", -1, NULL, NULL), 0);
        house_await(&h, "READY;");
        while (n > 0)
                close(fds[--n]);
        close(fd);
        house_close(&h);
}

/* ---------------------------------------------------------------- descriptors */

static void sleep_in_event(baton *b, const struct baton_event *e, void *arg)
{
        house_event(b, e, arg);
        CHECK_EQ(poll(NULL, 0, 5), 0); /* the time to come back has come */
}

TEST(who_lost_a_descriptor_is_seen_without_before_there_is_another)
{
        struct baton_reconnect o = {.first_ms = 1, .most_ms = 1, .keep_bytes = 1000};
        struct house h;

        house_begin(&h, 0);
        o.on_event = sleep_in_event;
        o.arg = &h;
        CHECK_EQ(baton_set_reconnect(h.f.b, &o), 0);
        cut(&h);
        while (h.notes.len == 0)
                CHECK_EQ(baton_process(h.f.b), 0);
        CHECK_EQ(baton_fd(h.f.b), -1);
        /* Publishing tells nobody of another one. */
        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), 0);
        CHECK_EQ(baton_fd(h.f.b), -1);
        house_await(&h, "LOST;BACK;READY;");
        house_close(&h);
}

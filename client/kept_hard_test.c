/* What is kept, against losses at odd moments. */
#include "client/connect.h"
#include "client/fake_house.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void publish(struct house *h, const char *payload)
{
        CHECK_EQ(baton_publish(h->f.b, "t", payload, strlen(payload)), 0);
}

static void publish_flags(struct house *h, const char *topic, const char *payload, uint32_t flags)
{
        struct baton_publication p = {
                .topic = topic,
                .payload = payload,
                .payload_len = strlen(payload),
                .flags = flags,
        };

        CHECK_EQ(baton_publish_with(h->f.b, &p), 0);
}

static void expect(struct house *h, const char *payload)
{
        struct message m;

        do
                CHECK(fake_next(&h->f, &m));
        while (m.type != WIRE_PUB);
        CHECK(slice_is(m.pub.payload, payload));
}

/* The broker says WELCOME and is gone: what is sent at once finds that out. As by a publication,
 * which does not cork. */
static void come_back_for_a_moment(struct house *h)
{
        int fd;

        house_enter(h);
        while (!join_link(h->f.b)) {
                CHECK_EQ(poll(NULL, 0, 1), 0);
                CHECK_EQ(join_step(h->f.b), JOIN_E_AGAIN);
        }
        CHECK_EQ(listener_accept(h->listener, &fd), 0);
        CHECK_EQ(link_new_adopt(fd, TRANSPORT_SEQPACKET, NULL, &h->f.link), 0);
        (void)fake_expect(&h->f, WIRE_HELLO);
        fake_say(&h->f, house_welcome(h));
        fake_send(&h->f);
        house_leave(h);
        CHECK_EQ(join_step(h->f.b), 0);
        CHECK(baton_is_away(h->f.b));
}

TEST(what_was_being_sent_when_the_broker_went_again_keeps_its_place)
{
        struct baton_publication p = {.topic = "t", .payload = "2", .payload_len = 1};
        struct message m;
        struct house h;

        house_begin(&h, 10000);
        house_lose(&h, "LOST;");
        publish(&h, "1");
        CHECK_EQ(baton_publish_confirm(h.f.b, &p, house_done, &h), 0);
        publish(&h, "3");
        come_back_for_a_moment(&h);
        publish(&h, "4");
        house_return(&h);
        expect(&h, "1");
        expect(&h, "2");
        expect(&h, "3");
        expect(&h, "4");
        CHECK(!fake_next(&h.f, &m));
        fake_say(&h.f, fake_ok(h.f.b->ops.next_id - 1, 1, 1));
        fake_send(&h.f);
        house_await(&h, "BACK;LOST;BACK other;READY other;done 1;");
        house_close(&h);
}

static void restores_once(size_t keep_bytes)
{
        struct message m;
        struct house h;

        house_begin(&h, keep_bytes);
        publish_flags(&h, "w", "bye", BATON_WILL);
        publish_flags(&h, "v", "will too", BATON_WILL);
        house_lose(&h, "LOST uncertain 2;");
        come_back_for_a_moment(&h);
        come_back_for_a_moment(&h);
        house_return(&h);
        expect(&h, "will too");
        CHECK(!fake_next(&h.f, &m));
        fake_say(&h.f, fake_ok(h.f.b->ops.next_id - 1, 0, 1));
        fake_send(&h.f);
        house_await(&h, "BACK;LOST;BACK;LOST;BACK other;READY other;");
        house_close(&h);
}

TEST(what_lasts_and_was_being_restored_when_the_broker_went_again_is_restored_once)
{
        restores_once(0);
        restores_once(10000);
}

TEST(a_confirm_that_nobody_waits_for_any_more_is_neither_kept_nor_counted)
{
        static const char big[30000];
        struct baton_publication p = {.topic = "t"};
        struct message m;
        struct house h;
        char want[64];
        int n = 0;

        house_begin(&h, 1 << 20);
        while (baton_publish(h.f.b, "t", big, sizeof(big)) == 0)
                n++;
        CHECK_EQ(baton_publish_wait(h.f.b, &p, 0), -ETIMEDOUT);
        house_leave(&h);
        while (!baton_is_away(h.f.b))
                house_turn(&h, house_welcome(&h));
        house_return(&h);
        int again = 0;
        for (; fake_next(&h.f, &m); again++)
                CHECK_EQ(m.pub.payload.len, sizeof(big));
        CHECK(again >= 1 && again < n);
        snprintf(want, sizeof(want), "LOST uncertain %d;BACK other;READY other;", n - again);
        house_await(&h, want);
        house_close(&h);
}

/* A broker of which only a packet at a time is taken. */
static struct message come_back_narrow(struct house *h)
{
        struct message narrow = house_welcome(h);

        narrow.welcome.window = 50000;
        house_enter(h);
        while (!baton_is_connected(h->f.b))
                house_turn(h, narrow);
        return narrow;
}

TEST(what_is_kept_is_sent_before_a_payload_is_begun)
{
        static const char big[40000];
        struct baton_publication p = {.topic = "begun"};
        struct message narrow;
        struct house h;

        house_begin(&h, 1 << 20);
        house_lose(&h, "LOST;");
        for (int i = 0; i < 3; i++)
                CHECK_EQ(baton_publish(h.f.b, "t", big, sizeof(big)), 0);
        narrow = come_back_narrow(&h);
        for (int i = 0; i < 3; i++) {
                if (i < 2)
                        CHECK_EQ(baton_begin(h.f.b, &p, 0, NULL, NULL), -EAGAIN);
                CHECK_EQ(fake_expect(&h.f, WIRE_PUB).pub.payload.len, sizeof(big));
                fake_refund(&h.f);
                house_turn(&h, narrow);
        }
        CHECK_EQ(baton_begin(h.f.b, &p, 0, NULL, NULL), 0);
        baton_abandon(h.f.b);
        house_await(&h, "BACK;READY;");
        house_close(&h);
}

TEST(who_keeps_nothing_is_told_to_wait_while_what_lasts_is_restored)
{
        static char big[40001];
        struct message narrow;
        struct house h;

        memset(big, 'x', sizeof(big) - 1);
        house_begin(&h, 0);
        publish_flags(&h, "a", big, BATON_RETAIN);
        publish_flags(&h, "b", big, BATON_RETAIN);
        house_lose(&h, "LOST uncertain 2;");
        h.instance++;
        narrow = come_back_narrow(&h);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 1);
        CHECK_EQ(baton_publish(h.f.b, "t", "1", 1), -EAGAIN);
        fake_refund(&h.f);
        house_turn(&h, narrow);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 1);
        fake_refund(&h.f);
        house_turn(&h, narrow);
        publish(&h, "1");
        expect(&h, "1");
        house_close(&h);
}

/* As a presence is told: by the value while it is there, by the will when it is not. */
TEST(a_will_that_is_retained_is_no_retained_value)
{
        struct message m;
        struct house h;

        house_begin(&h, 0);
        publish_flags(&h, "presence", "gone", BATON_WILL | BATON_RETAIN);
        publish_flags(&h, "presence", "here", BATON_RETAIN);
        house_lose(&h, "LOST uncertain 2;");
        house_return(&h);
        expect(&h, "gone");
        expect(&h, "here");
        CHECK(!fake_next(&h.f, &m));
        house_close(&h);
}

TEST(a_retained_value_that_was_denied_is_not_tried_again)
{
        struct message m;
        struct house h;

        house_begin(&h, 0);
        publish_flags(&h, "a", "1", BATON_RETAIN);
        publish_flags(&h, "a", "2", BATON_WILL);
        house_lose(&h, "LOST uncertain 2;");
        house_return(&h);
        uint64_t id = fake_expect(&h.f, WIRE_INGRESS).ingress.id;
        expect(&h, "1");
        expect(&h, "2");
        fake_say(&h.f, fake_err(id, WIRE_CODE_REFUSED, "no"));
        fake_say(&h.f, fake_ok(id + 1, 0, 1));
        fake_send(&h.f);
        house_await(&h, "BACK other;DENIED a -13;READY other;");
        house_lose(&h, "LOST;");
        house_return(&h);
        expect(&h, "2");
        CHECK(!fake_next(&h.f, &m));
        house_close(&h);
}

TEST(a_retained_value_that_is_too_old_is_forgotten)
{
        struct baton_publication p = {.topic = "a", .flags = BATON_RETAIN, .ttl_ms = 1};
        struct message m;
        struct house h;

        p.payload = "x";
        p.payload_len = 1;
        house_begin(&h, 0);
        CHECK_EQ(baton_publish_with(h.f.b, &p), 0);
        house_lose(&h, "LOST uncertain 1;");
        CHECK_EQ(poll(NULL, 0, 3), 0);
        house_return(&h);
        CHECK(!fake_next(&h.f, &m));
        house_await(&h, "BACK other;READY other;");
        house_close(&h);
}

TEST(descriptors_are_kept_before_the_first_connection_too)
{
        struct house h;
        int fds[2];

        house_open(&h);
        house_stay(&h, 1 << 20);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, NULL, NULL), 0);
        CHECK_EQ(pipe(fds), 0);
        struct baton_publication p = {.topic = "t", .fds = &fds[0], .n_fds = 1};
        CHECK_EQ(baton_publish_with(h.f.b, &p), 0);
        close(fds[0]);
        close(fds[1]);
        house_enter(&h);
        house_meet(&h);
        CHECK_EQ(fake_expect(&h.f, WIRE_PUB).pub.n_fds, 1);
        house_await(&h, "READY;");
        house_close(&h);
}

TEST(what_lasts_and_is_kept_is_told_once_and_in_order)
{
        struct message m;
        struct house h;

        house_begin(&h, 10000);
        publish_flags(&h, "a", "1", BATON_RETAIN);
        house_lose(&h, "LOST uncertain 1;");
        publish_flags(&h, "a", "2", BATON_RETAIN);
        house_return(&h);
        expect(&h, "2");
        CHECK(!fake_next(&h.f, &m));
        house_await(&h, "BACK other;READY other;");
        baton_cork(h.f.b);
        publish_flags(&h, "a", "3", BATON_RETAIN);
        publish_flags(&h, "a", "4", BATON_RETAIN);
        house_leave(&h);
        handle_lose(h.f.b, -ENOTCONN, 0, "cut");
        CHECK_EQ(baton_uncork(h.f.b), 0);
        house_await(&h, "LOST uncertain 1;");
        house_return(&h);
        expect(&h, "3");
        expect(&h, "4");
        CHECK(!fake_next(&h.f, &m));
        house_await(&h, "BACK other;READY other;");
        house_close(&h);
}

/* ---------------------------------------------------------------- datagrams */

static int open_receiver(void)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "d.sock"};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        CHECK(fd >= 0);
        CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        return fd;
}

LINUX_TEST(the_datagram_that_found_nobody_is_kept_once, "datagrams")
{
        uint8_t packet[1000];
        struct house h;

        house_open(&h);
        int fd = open_receiver();
        house_stay(&h, 1000);
        CHECK_EQ(baton_connect(h.f.b, "dgram:./d.sock", 1000), 0);
        house_await(&h, "READY;");
        publish(&h, "0");
        CHECK(recv(fd, packet, sizeof(packet), MSG_DONTWAIT) > 0);
        close(fd);
        publish(&h, "1");
        house_await(&h, "LOST uncertain 1;");
        CHECK_EQ(unlink("d.sock"), 0);
        fd = open_receiver();
        house_await(&h, "BACK;READY;");
        CHECK(recv(fd, packet, sizeof(packet), MSG_DONTWAIT) > 0);
        CHECK(recv(fd, packet, sizeof(packet), MSG_DONTWAIT) < 0);
        close(fd);
        house_close(&h);
}

/* Publications while the broker is away. */
#include "client/fake_house.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void publish(struct house *h, const char *payload)
{
        CHECK_EQ(baton_publish(h->f.b, "t", payload, strlen(payload)), 0);
}

static void expect(struct house *h, const char *payload)
{
        CHECK(slice_is(fake_expect(&h->f, WIRE_PUB).pub.payload, payload));
}

TEST(what_is_published_while_away_is_sent_first_and_in_order)
{
        struct baton_header header = {.key = "k", .kind = BATON_UINT, .value.u = 7};
        struct baton_publication p = {
                .topic = "with.header",
                .payload = "2",
                .payload_len = 1,
                .headers = &header,
                .n_headers = 1,
                .flags = BATON_NO_ECHO,
        };
        struct house h;

        house_begin(&h, 10000);
        (void)fake_subscribe(&h.f, "a", note_message, &h.notes);
        house_lose(&h, "LOST;");
        publish(&h, "1");
        CHECK_EQ(baton_publish_confirm(h.f.b, &p, house_done, &h), 0);
        publish(&h, "3");
        CHECK_EQ(baton_flush(h.f.b, 0), -ENOTCONN);
        house_return(&h);
        publish(&h, "4");
        (void)fake_expect(&h.f, WIRE_SUB);
        expect(&h, "1");
        struct message m = fake_expect(&h.f, WIRE_INGRESS);
        CHECK_EQ(m.ingress.flags, WIRE_INGRESS_CONFIRM | WIRE_INGRESS_NO_ECHO);
        uint64_t id = m.ingress.id;
        m = fake_expect(&h.f, WIRE_PUB);
        CHECK(slice_is(m.pub.topic, "with.header"));
        CHECK_EQ(m.pub.n_headers, 1);
        (void)fake_expect(&h.f, WIRE_INGRESS);
        expect(&h, "3");
        expect(&h, "4");
        fake_say(&h.f, fake_ok(id - 1, 0, 1));
        fake_say(&h.f, fake_ok(id, 5, 1));
        fake_send(&h.f);
        house_await(&h, "BACK other;done 5;READY other;");
        house_close(&h);
}

TEST(more_than_the_limit_is_refused_and_what_is_kept_stays)
{
        char payload[300] = "";
        struct house h;
        int n = 0, r;

        house_begin(&h, 2000);
        house_lose(&h, "LOST;");
        while ((r = baton_publish(h.f.b, "t", payload, sizeof(payload))) == 0)
                n++;
        CHECK_EQ(r, -ENOBUFS);
        CHECK(strstr(baton_error(h.f.b), "more than 2000 must not be (keep_bytes)"));
        CHECK(n >= 4 && n <= 6);
        house_return(&h);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), n);
        house_await(&h, "BACK other;READY other;");
        CHECK_EQ(baton_publish(h.f.b, "t", payload, sizeof(payload)), 0);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 1);
        house_close(&h);
}

TEST(what_was_gathered_and_not_sent_is_kept_too)
{
        struct baton_publication p = {.topic = "t", .payload = "2", .payload_len = 1};
        struct house h;

        house_begin(&h, 10000);
        baton_cork(h.f.b);
        publish(&h, "1");
        CHECK_EQ(baton_publish_confirm(h.f.b, &p, house_done, &h), 0);
        CHECK_EQ(baton_request_start(h.f.b, &p, 0, NULL, house_done, &h, NULL), 0);
        publish(&h, "3");
        /* Its end is found before anything is sent. */
        house_leave(&h);
        handle_lose(h.f.b, -ENOTCONN, 0, "cut");
        CHECK_EQ(baton_uncork(h.f.b), 0);
        house_await(&h, "LOST;done -107;");
        house_return(&h);
        expect(&h, "1");
        uint64_t id = fake_expect(&h.f, WIRE_INGRESS).ingress.id;
        expect(&h, "2");
        (void)fake_expect(&h.f, WIRE_INGRESS);
        expect(&h, "3");
        fake_say(&h.f, fake_ok(id, 1, 1));
        fake_send(&h.f);
        house_await(&h, "BACK other;READY other;done 1;");
        house_close(&h);
}

TEST(the_publication_that_finds_the_loss_is_kept_once)
{
        struct house h;

        house_begin(&h, 10000);
        house_leave(&h);
        publish(&h, "1");
        CHECK(baton_is_away(h.f.b));
        publish(&h, "2");
        house_return(&h);
        expect(&h, "1");
        expect(&h, "2");
        struct message m;
        CHECK(!fake_next(&h.f, &m));
        house_await(&h, "LOST;BACK other;READY other;");
        house_close(&h);
}

TEST(what_was_given_to_a_full_socket_is_uncertain_and_the_rest_is_kept)
{
        static const char big[30000];
        struct house h;
        uint64_t sent;
        int n = 0;

        house_begin(&h, 1 << 20);
        while (baton_publish(h.f.b, "t", big, sizeof(big)) == 0)
                n++;
        CHECK(n > 5);
        sent = h.f.b->out.n_posts;
        house_leave(&h);
        while (!baton_is_away(h.f.b))
                house_turn(&h, house_welcome(&h));
        CHECK_EQ(sent, n);
        house_return(&h);
        int again = (int)fake_skip(&h.f, WIRE_PUB);
        CHECK(again >= 1 && again < n);
        char want[64];
        snprintf(want, sizeof(want), "LOST uncertain %d;BACK other;READY other;", n - again);
        house_await(&h, want);
        house_close(&h);
}

TEST(what_is_too_old_when_the_broker_is_back_is_not_sent)
{
        struct baton_publication p = {.topic = "t", .ttl_ms = 1}, q = {.topic = "t"};
        struct message m;
        struct house h;

        q.ttl_ms = 1000000;
        house_begin(&h, 10000);
        house_lose(&h, "LOST;");
        CHECK_EQ(baton_publish_with(h.f.b, &p), 0);
        CHECK_EQ(baton_publish_confirm(h.f.b, &p, house_done, &h), 0);
        CHECK_EQ(baton_publish_with(h.f.b, &q), 0);
        CHECK_EQ(poll(NULL, 0, 2), 0);
        house_return(&h);
        m = fake_expect(&h.f, WIRE_INGRESS);
        CHECK(m.ingress.ttl_ms > 0 && m.ingress.ttl_ms < 1000000);
        (void)fake_expect(&h.f, WIRE_PUB);
        CHECK(!fake_next(&h.f, &m));
        house_await(&h, "BACK other;done -110;READY other dropped 1;");
        house_close(&h);
}

TEST(what_is_kept_waits_for_window_and_what_comes_later_waits_behind)
{
        static const char big[40000];
        struct message narrow;
        struct house h;

        house_begin(&h, 1 << 20);
        house_lose(&h, "LOST;");
        for (int i = 0; i < 3; i++)
                CHECK_EQ(baton_publish(h.f.b, "t", big, sizeof(big)), 0);
        narrow = house_welcome(&h);
        narrow.welcome.window = 50000;
        house_enter(&h);
        while (!baton_is_connected(h.f.b))
                house_turn(&h, narrow);
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 1);
        publish(&h, "later");
        CHECK_EQ(fake_skip(&h.f, WIRE_PUB), 0);
        CHECK_EQ(baton_flush(h.f.b, 0), -EAGAIN);
        for (int i = 0; i < 2; i++) {
                fake_refund(&h.f);
                house_turn(&h, narrow);
                CHECK_EQ(fake_expect(&h.f, WIRE_PUB).pub.payload.len, sizeof(big));
        }
        fake_refund(&h.f);
        house_await(&h, "BACK;READY;");
        expect(&h, "later");
        house_close(&h);
}

TEST(a_large_payload_is_kept_whole)
{
        static char large[200000];
        struct message m;
        struct house h;
        size_t got = 0;

        for (size_t i = 0; i < sizeof(large); i++)
                large[i] = (char)(i * 7);
        house_begin(&h, 1 << 20);
        house_lose(&h, "LOST;");
        CHECK_EQ(baton_publish(h.f.b, "t", large, sizeof(large)), 0);
        publish(&h, "behind");
        house_return(&h);
        (void)fake_expect(&h.f, WIRE_BEGIN);
        while (got < sizeof(large)) {
                if (!fake_next(&h.f, &m)) {
                        house_turn(&h, house_welcome(&h));
                        continue;
                }
                CHECK_EQ(m.type, WIRE_CHUNK);
                CHECK_BYTES(m.chunk.data, large + got, m.chunk.len);
                got += m.chunk.len;
        }
        (void)fake_expect(&h.f, WIRE_END);
        house_await(&h, "BACK other;READY other;");
        expect(&h, "behind");
        house_close(&h);
}

TEST(descriptors_are_kept_though_their_owner_closes_them)
{
        struct house h;
        int fds[2];

        house_begin(&h, 1 << 20);
        CHECK_EQ(pipe(fds), 0);
        house_lose(&h, "LOST;");
        struct baton_publication p = {.topic = "t", .fds = &fds[0], .n_fds = 1};
        CHECK_EQ(baton_publish_with(h.f.b, &p), 0);
        close(fds[0]);
        CHECK_EQ(write(fds[1], "x", 1), 1);
        close(fds[1]);
        house_return(&h);
        CHECK_EQ(fake_expect(&h.f, WIRE_PUB).pub.n_fds, 1);
        char byte = 0;
        CHECK_EQ(read(fdset_fds(h.f.fds)[0], &byte, 1), 1);
        CHECK_EQ(byte, 'x');
        house_close(&h);
}

TEST(closing_waits_for_the_broker_and_freeing_tells_what_is_lost)
{
        struct baton_publication p = {.topic = "t"};
        struct house h;

        house_begin(&h, 10000);
        house_lose(&h, "LOST;");
        CHECK_EQ(baton_publish_confirm(h.f.b, &p, house_done, &h), 0);
        CHECK_EQ(baton_close(h.f.b, 5), -ETIMEDOUT);
        CHECK_STR(h.notes.text, "done -107;");
        CHECK(!baton_is_away(h.f.b));
        h.notes = (struct notes){.len = 0};
        house_enter(&h);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, NULL, NULL), 0);
        house_await(&h, "READY;");
        house_lose(&h, "LOST;");
        CHECK_EQ(baton_publish_confirm(h.f.b, &p, house_done, &h), 0);
        h.f.b = baton_free(h.f.b);
        CHECK_STR(h.notes.text, "done -107;");
        house_close(&h);
}

TEST(a_wait_for_a_confirm_that_times_out_takes_it_back)
{
        struct baton_publication p = {.topic = "t"};
        struct message m;
        struct house h;

        house_begin(&h, 10000);
        house_lose(&h, "LOST;");
        CHECK_EQ(baton_publish_wait(h.f.b, &p, 5), -ETIMEDOUT);
        house_return(&h);
        CHECK(!fake_next(&h.f, &m));
        house_close(&h);
}

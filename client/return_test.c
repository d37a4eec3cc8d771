/* A handle that stays connected: answers, and calls that wait, around a loss. */
#include "client/fake_house.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* The session ends; the broker is there for another. */
static void cut(struct house *h)
{
        h->f.link = link_free(h->f.link);
        h->f.at = h->f.end = NULL;
}

/* ---------------------------------------------------------------- subscriptions */

TEST(a_subscription_given_up_before_its_answer_ends_with_the_connection)
{
        struct house h;
        uint32_t sub = 0;

        house_begin(&h, 0);
        CHECK_EQ(baton_subscribe_start(h.f.b, "a", NULL, note_message, house_done, &h, &sub), 0);
        CHECK_EQ(baton_unsubscribe(h.f.b, sub), 0);
        house_lose(&h, "LOST;done -107;");
        house_close(&h);
}

TEST(the_refusal_of_what_was_given_up_meanwhile_is_not_told)
{
        struct house h;

        house_begin(&h, 0);
        uint32_t sub = fake_subscribe(&h.f, "a", note_message, &h.notes);
        house_lose(&h, "LOST;");
        house_return(&h);
        uint64_t id = fake_expect(&h.f, WIRE_SUB).sub.id;
        CHECK_EQ(baton_unsubscribe(h.f.b, sub), 0);
        fake_say(&h.f, fake_err(id, WIRE_CODE_REFUSED, "no"));
        fake_send(&h.f);
        house_await(&h, "BACK other;READY other;");
        house_close(&h);
}

enum { MANY = 130 };

/* Answers that stand in the queue when the connection is lost are not those of the next one. */
TEST(ready_waits_for_the_answers_of_its_own_session)
{
        struct message m;
        struct house h;
        uint64_t id = 0;

        house_begin(&h, 1000);
        for (int i = 0; i < MANY; i++)
                (void)fake_subscribe(&h.f, "a", note_message, &h.notes);
        house_lose(&h, "LOST;");
        house_return(&h);
        while (fake_next(&h.f, &m))
                id = id ? id : m.sub.id;
        for (int i = 0; i < MANY - 1; i++)
                fake_say(&h.f, fake_ok(id + (uint64_t)i, 0, 1));
        fake_send(&h.f);
        cut(&h);
        /* The end is found by publishing: all is read, nothing dispatched. */
        CHECK_EQ(baton_publish(h.f.b, "t", "1", 1), 0);
        CHECK(baton_is_away(h.f.b));
        for (int i = 0; !baton_is_connected(h.f.b); i++) {
                CHECK_EQ(poll(NULL, 0, 3), 0);
                house_turn(&h, house_welcome(&h));
        }
        id = fake_expect(&h.f, WIRE_SUB).sub.id;
        for (int i = 0; i < 10; i++)
                CHECK_EQ(baton_process(h.f.b), 0);
        for (int i = 0; i < MANY - 1; i++)
                fake_say(&h.f, fake_ok(id + (uint64_t)i, 0, 1));
        fake_send(&h.f);
        for (int i = 0; i < 10; i++)
                CHECK_EQ(baton_process(h.f.b), 0);
        CHECK_STR(h.notes.text, "BACK other;LOST;BACK;");
        fake_say(&h.f, fake_ok(id + MANY - 1, 0, 1));
        fake_send(&h.f);
        house_await(&h, "BACK other;LOST;BACK;READY;");
        house_close(&h);
}

TEST(who_awaits_as_many_answers_as_there_may_be_is_told_of_the_loss)
{
        struct baton_publication p = {.topic = "t"};
        struct message wide;
        struct house h;
        int r;

        house_open(&h);
        house_enter(&h);
        house_stay(&h, 0);
        wide = house_welcome(&h);
        wide.welcome.window = 1 << 28;
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, NULL, NULL), 0);
        while (!baton_is_connected(h.f.b))
                house_turn(&h, wide);
        house_await(&h, "READY;");
        while ((r = baton_publish_confirm(h.f.b, &p, NULL, NULL)) != -ENOBUFS) {
                CHECK(r == 0 || r == -EAGAIN);
                if (r == -EAGAIN)
                        (void)fake_skip(&h.f, WIRE_PUB);
        }
        house_leave(&h);
        house_await(&h, "LOST;");
        house_close(&h);
}

/* ---------------------------------------------------------------- blocking calls */

static void *greet_one(void *arg)
{
        struct house *h = arg;
        struct pollfd pfd = {.events = POLLIN};
        struct message m;
        int fd;

        pfd.fd = listener_fd(h->listener);
        if (poll(&pfd, 1, 10000) != 1 || listener_accept(h->listener, &fd) ||
                link_new_adopt(fd, TRANSPORT_SEQPACKET, NULL, &h->f.link))
                return NULL;
        while (!fake_next(&h->f, &m) && link_wait(h->f.link, POLLIN, 10000) == 0)
                continue;
        fake_say(&h->f, house_welcome(h));
        fake_send(&h->f);
        return NULL;
}

/* Nothing but this call is ever made. */
static void comes_back_by(int (*call)(baton *b))
{
        pthread_t thread;
        struct house h;

        house_begin(&h, 0);
        house_lose(&h, "LOST;");
        baton_set_nonblocking(h.f.b, false);
        house_enter(&h);
        CHECK_EQ(pthread_create(&thread, NULL, greet_one, &h), 0);
        while (!baton_is_connected(h.f.b)) {
                int r = call(h.f.b);
                CHECK(r == -ENOTCONN || r == -ETIMEDOUT);
        }
        CHECK_EQ(pthread_join(thread, NULL), 0);
        house_close(&h);
}

static int publish_wait(baton *b)
{
        return baton_publish_wait(b, &(struct baton_publication){.topic = "t"}, 1);
}

static int request(baton *b)
{
        return baton_request(b, &(struct baton_publication){.topic = "t"}, 1, NULL, NULL);
}

static int ping(baton *b)
{
        return baton_ping(b, 1);
}

TEST(who_only_publishes_and_waits_comes_back)
{
        comes_back_by(publish_wait);
}

TEST(who_only_requests_comes_back)
{
        comes_back_by(request);
}

TEST(who_only_pings_comes_back)
{
        comes_back_by(ping);
}

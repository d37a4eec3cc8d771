/* Allocations fail, one after the other, on the way back to a broker and in bursts: the handle
 * comes back, or says that it does not, and what was asked for ends exactly once. */
#include "client/fake_house.h"
#include "client/fake_memory.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

struct tally {
        struct house h;
        int started, ended;      /* done callbacks, wanted and called */
        int n[BATON_GONE + 1];   /* events */
        uint64_t told;           /* unconfirmed publications that were told to be lost, or may be */
        int accepted, delivered; /* unconfirmed publications */
};

static void count_done(baton *b, int result, const char *text, void *arg)
{
        (void)b;
        (void)result;
        (void)text;
        ((struct tally *)arg)->ended++;
}

static void count_event(baton *b, const struct baton_event *e, void *arg)
{
        struct tally *t = arg;

        (void)b;
        CHECK_PTR(e->text);
        CHECK(e->change != BATON_DENIED || e->filter);
        t->n[e->change]++;
        t->told += e->uncertain + e->dropped;
}

static bool fine(int r)
{
        CHECK(r >= 0 || r == -ENOMEM || r == -ENOTCONN || r == -EAGAIN || r == -ENOBUFS);
        return r >= 0;
}

/* One turn of both; the broker agrees to everything. */
static void turn(struct tally *t, bool is_there)
{
        struct house *h = &t->h;
        long left = memory_suspend();
        struct message m;
        int fd;

        if (is_there && !h->f.link && listener_accept(h->listener, &fd) == 0)
                CHECK_EQ(link_new_adopt(fd, TRANSPORT_SEQPACKET, NULL, &h->f.link), 0);
        uint64_t id = 0; /* of the next publication; 0: it has none. Ends with the packet */
        for (bool is_first = true; h->f.link && fake_next(&h->f, &m);
                is_first = h->f.at == h->f.end) {
                id = is_first ? 0 : id;
                if (m.type == WIRE_HELLO)
                        fake_say(&h->f, house_welcome(h));
                else if (m.type == WIRE_SUB)
                        fake_say(&h->f, fake_ok(m.sub.id, 0, 1));
                else if (m.type == WIRE_INGRESS)
                        id = m.ingress.flags & WIRE_INGRESS_CONFIRM ? m.ingress.id : 0;
                else if (m.type == WIRE_PUB && id)
                        fake_say(&h->f, fake_ok(id++, 0, 1));
                else if (m.type == WIRE_PUB)
                        t->delivered++;
        }
        /* All is read, and it can be read: it gave up on us. */
        if (h->f.link && link_wait(h->f.link, POLLIN, 0) == 0) {
                h->f.link = link_free(h->f.link);
                buf_clear(&h->f.out);
        }
        if (h->f.link && h->f.out.len &&
                link_send(h->f.link, &(struct iovec){h->f.out.data, h->f.out.len}, 1, NULL, 0) == 0)
                buf_clear(&h->f.out);
        struct pollfd pfd = {.fd = baton_fd(h->f.b), .events = baton_events(h->f.b)};
        int ms = baton_timeout(h->f.b);
        CHECK(poll(&pfd, pfd.fd >= 0, ms < 0 || ms > 5 ? 5 : ms) >= 0);
        memory_resume(left);
        (void)fine(baton_process(h->f.b));
}

static void publish(struct tally *t)
{
        struct baton_publication p = {.topic = "t", .flags = BATON_NO_ECHO};

        t->started += fine(baton_publish_confirm(t->h.f.b, &p, count_done, t));
        t->accepted += fine(baton_publish(t->h.f.b, "t", "1", 1));
        t->accepted += fine(baton_publish(t->h.f.b, "t", "2", 1));
}

static void begin(struct tally *t)
{
        struct baton_publication will = {.topic = "w", .flags = BATON_WILL};
        struct baton_reconnect o = {
                .first_ms = 1, .most_ms = 1, .keep_bytes = 10000, .on_event = count_event};

        memset(t, 0, sizeof(*t));
        house_open(&t->h);
        house_enter(&t->h);
        o.arg = t;
        CHECK_EQ(baton_set_reconnect(t->h.f.b, &o), 0);
        CHECK_EQ(baton_connect_start(t->h.f.b, t->h.address, -1, NULL, NULL), 0);
        while (!t->n[BATON_READY])
                turn(t, true);
        CHECK_EQ(baton_subscribe_start(t->h.f.b, "a", NULL, note_message, count_done, t, NULL), 0);
        t->started++;
        CHECK_EQ(baton_publish_with(t->h.f.b, &will), 0);
        t->accepted++;
        turn(t, true);
}

static void live(struct tally *t)
{
        struct house *h = &t->h;

        publish(t);
        long left = memory_suspend();
        h->f.link = link_free(h->f.link);
        h->f.at = h->f.end = NULL;
        memory_resume(left);
        for (int i = 0; i < 3; i++) {
                publish(t);
                turn(t, false);
        }
        t->started +=
                fine(baton_subscribe_start(h->f.b, "b", NULL, note_message, count_done, t, NULL));
        for (int i = 0; i < 200 && !baton_is_connected(h->f.b) && !t->n[BATON_GONE]; i++)
                turn(t, true);
        publish(t);
        for (int i = 0; i < 10; i++)
                turn(t, true);
}

TEST(every_allocation_on_the_way_back_may_fail)
{
        long n = 0;

        do {
                struct tally t;
                begin(&t);
                memory_fail_after(n++);
                live(&t);
                bool failed = memory_has_failed();
                (void)memory_suspend();
                CHECK(baton_is_connected(t.h.f.b) && !t.n[BATON_GONE]);
                if (!failed)
                        CHECK(t.n[BATON_LOST] == 1 && t.n[BATON_BACK] == 1 &&
                                t.n[BATON_READY] == 2);
                /* None is lost without a word: nor in memory, but then the log is told. */
                if (!failed || t.n[BATON_LOST])
                        CHECK((uint64_t)t.delivered + t.told >= (uint64_t)t.accepted);
                house_close(&t.h);
                CHECK_EQ(t.ended, t.started);
        } while (memory_has_failed());
        CHECK(n > 20);
}

/* A handle that blocks, whose burst needs a thread and a place to stand in. */
TEST(every_allocation_of_a_burst_may_fail)
{
        for (long n = 0; n < 5; n++) {
                struct message m;
                struct fake f;
                int got = 0;
                fake_open(&f);
                memory_fail_after(n);
                for (int i = 0; i < 100; i++)
                        CHECK_EQ(baton_publish(f.b, "t", &i, sizeof(i)), 0);
                (void)memory_suspend();
                while (got < 100) {
                        if (fake_next(&f, &m))
                                got += m.type == WIRE_PUB;
                        else
                                CHECK_EQ(link_wait(f.link, POLLIN, 20000), 0);
                }
                fake_close(&f);
        }
}

/* Allocations fail, one after the other, while large payloads go both ways: what is sent is sent or
 * refused, what is received is delivered or told as a gap, and nothing is lost otherwise. */
#include "client/fake_memory.h"
#include "client/fake_payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { N = 100000, PIECE = 50000 };

/* What a life of the handle came to. */
struct count {
        struct fake *f;
        int messages, gaps, done, replies;
        int n_sub, n_done;
};

static bool fine(int r)
{
        CHECK(r >= 0 || r == -ENOMEM);
        return r >= 0;
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_payload p;
        struct count *c = arg;

        (void)b;
        c->messages++;
        if (fine(baton_take_payload(m, &p)))
                baton_drop_payload(&p);
}

static void on_gap(baton *b, const struct baton_gap *gap, void *arg)
{
        (void)b;
        CHECK(!strcmp(gap->reason, "out of memory") || !strcmp(gap->reason, "not readable"));
        ((struct count *)arg)->gaps++;
}

static void on_done(baton *b, int result, const char *text, void *arg)
{
        (void)b;
        (void)result;
        (void)text;
        ((struct count *)arg)->done++;
}

static void on_reply(baton *b, const struct baton_message *m, void *arg)
{
        (void)b;
        CHECK_EQ(m->payload_len, N);
        ((struct count *)arg)->replies++;
}

/* The fake needs memory too. */
static void say_ok(struct fake *f)
{
        long left = memory_suspend();

        fake_say(f, fake_ok(f->b->ops.next_id, 0, 1));
        fake_send(f);
        memory_resume(left);
}

static void deliver_chunks(struct fake *f, struct message d, const char *topic)
{
        long left = memory_suspend();

        fake_begin(f, d, topic, 0);
        fake_chunks(f, 0, N, PIECE);
        fake_end(f, 0);
        memory_resume(left);
}

/* A packet whose descriptors cannot be noted for want of memory is lost, and the connection with
 * it. Returns false then. */
static bool process(struct fake *f)
{
        int r;

        while ((r = baton_process(f->b)) != 0) {
                if (r == -ENOTCONN) {
                        CHECK(strstr(baton_error(f->b), "receiving: Cannot allocate memory"));
                        return false;
                }
                (void)fine(r);
        }
        return true;
}

/* Reads on until the broker has seen the end of what was begun. */
static void read_out(struct fake *f)
{
        struct message m;
        long left = memory_suspend();

        do {
                while (fake_next(f, &m))
                        continue;
                fake_refund(f);
                memory_resume(left);
                CHECK(process(f));
                left = memory_suspend();
        } while (f->in_chunks || f->at != f->end || fake_next(f, &m));
        memory_resume(left);
}

static void request_inside(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_publication p = {.topic = "svc"};
        struct count *c = arg;

        (void)m;
        c->messages++;
        deliver_chunks(c->f, fake_reply(b->ops.next_id, 0), "");
        int before = c->replies;
        if (fine(baton_request(b, &p, 2000, on_reply, c)))
                CHECK_EQ(c->replies, before + 1);
}

static void send_some(struct fake *f, struct count *c, const void *bytes)
{
        struct baton_publication p = {.topic = "t", .payload = bytes, .payload_len = N};

        (void)fine(baton_publish(f->b, "t", bytes, N));
        read_out(f);
        c->n_done += fine(baton_publish_confirm(f->b, &p, on_done, c));
        read_out(f);
        if (fine(baton_begin(f->b, &p, 0, on_done, c)) && fine(baton_write(f->b, bytes, N)))
                c->n_done += fine(baton_end(f->b));
        read_out(f);
}

static void live(struct fake *f, struct count *c, const void *bytes)
{
        uint32_t sub = 0, nested = 0;

        say_ok(f);
        c->n_sub = fine(baton_subscribe(f->b, "a", NULL, on_message, c, &sub));
        say_ok(f);
        int n_nested = fine(baton_subscribe(f->b, "n", NULL, request_inside, c, &nested));
        read_out(f);
        send_some(f, c, bytes);
        deliver_chunks(f, fake_delivery(1, sub ? sub : 99), "a");
        CHECK(process(f));
        long left = memory_suspend();
        fake_place(f, sub ? sub : 99, "a", N);
        fake_deliver(f, 3, nested ? nested : 99, "n", "");
        memory_resume(left);
        if (!process(f))
                return;
        read_out(f);
        CHECK_EQ(c->messages + c->gaps, 2 * c->n_sub + n_nested);
        CHECK_EQ(f->left, f->b->out.window);
}

/* Returns whether there was memory for it. */
static bool open_handle(struct fake *f, uint64_t features)
{
        long left = memory_suspend();
        struct link *link;

        memset(f, 0, sizeof(*f));
        CHECK_EQ(link_pair(NULL, NULL, &link, &f->link), 0);
        fake_say(f, fake_welcome_large(FAKE_WINDOW, features));
        fake_send(f);
        memory_resume(left);
        if (!fine(baton_new(&f->b))) {
                link_free(link);
                f->b = NULL;
                return false;
        }
        baton_set_nonblocking(f->b, true);
        return fine(handle_adopt_link(f->b, link, "@fake", 1000));
}

static void fail_everywhere(uint64_t features)
{
        void *bytes = payload_make(N);
        long n = 0;

        do {
                struct count c = {.n_sub = 0};
                struct fake f;
                memory_fail_after(n++);
                bool open = open_handle(&f, features);
                c.f = &f;
                if (open) {
                        baton_set_gap(f.b, on_gap, &c);
                        live(&f, &c, bytes);
                }
                (void)memory_suspend();
                fake_close(&f);
                CHECK_EQ(c.done, c.n_done);
                CHECK_EQ(payload_maps(), 0);
        } while (memory_has_failed());
        CHECK(n > 30);
        free(bytes);
}

TEST(every_allocation_may_fail_while_chunks_are_sent)
{
        NEEDS_MEMFD();
        fail_everywhere(0);
}

TEST(every_allocation_may_fail_while_payloads_are_placed)
{
        NEEDS_MEMFD();
        fail_everywhere(WIRE_FEATURE_MEMFD);
}

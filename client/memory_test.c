/* Allocations fail, one after the other, all of them: every call then says -ENOMEM or does without,
 * and nothing is lost, leaked or called twice. */
#include "client/fake_broker.h"
#include "client/fake_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Counts what it is called for. */
struct count {
        int messages, done;
};

static void count_message(baton *b, const struct baton_message *m, void *arg)
{
        (void)b;
        (void)m;
        ((struct count *)arg)->messages++;
}

static void count_done(baton *b, int result, const char *text, void *arg)
{
        (void)b;
        (void)result;
        (void)text;
        ((struct count *)arg)->done++;
}

static bool fine(int r)
{
        CHECK(r >= 0 || r == -ENOMEM);
        return r >= 0;
}

/* What the broker will say is prepared before memory runs out: the fake needs some too. */
static struct message script(int step, const struct fake *f)
{
        switch (step) {
        case 0:
                return fake_ok(f->b->ops.next_id, 0, 1);
        case 1:
                return fake_delivery(1, 1);
        case 2:
                return fake_pub("a", "x");
        default:
                return fake_credit(1000);
        }
}

static void say_without_failure(struct fake *f, int first, int last)
{
        long left = memory_suspend();

        for (int i = first; i <= last; i++)
                fake_say(f, script(i, f));
        fake_send(f);
        memory_resume(left);
}

static void live(struct fake *f, struct count *done, struct count *started)
{
        struct baton_header h = {.key = "k", .kind = BATON_BOOL};
        struct baton_publication p = {.topic = "t", .headers = &h, .n_headers = 1};
        struct baton_publication plain = {.topic = "t"};

        say_without_failure(f, 0, 0);
        if (fine(baton_subscribe(f->b, "a", NULL, count_message, done, NULL)))
                started->messages++;
        if (fine(baton_publish_with(f->b, &p)))
                (void)fake_skip;
        if (fine(baton_publish_confirm(f->b, &plain, count_done, done)))
                started->done++;
        if (fine(baton_request_start(f->b, &plain, 0, NULL, count_done, done, NULL)))
                started->done++;
        say_without_failure(f, 1, 2);
        say_without_failure(f, 3, 3);
        /* Waits for the window, so the message is kept. */
        char payload[150] = "";
        fine(baton_publish(f->b, "t", payload, sizeof(payload)));
        fine(baton_publish(f->b, "t", payload, sizeof(payload)));
        while (baton_process(f->b) == -ENOMEM)
                continue;
        fine(baton_process(f->b));
}

static void open_handle(struct fake *f)
{
        long left = memory_suspend();
        struct link *link;

        memset(f, 0, sizeof(*f));
        CHECK_EQ(link_pair(NULL, NULL, &link, &f->link), 0);
        fake_say(f, fake_welcome(200, FAKE_RIGHTS));
        fake_send(f);
        memory_resume(left);
        if (!fine(baton_new(&f->b))) {
                link_free(link);
                f->b = NULL;
                return;
        }
        if (!fine(handle_adopt_link(f->b, link, "@fake", 1000)))
                f->b = baton_free(f->b);
}

TEST(every_allocation_may_fail)
{
        long n = 0;

        do {
                struct count done = {0}, started = {0};
                struct fake f;
                memory_fail_after(n++);
                open_handle(&f);
                if (f.b)
                        live(&f, &done, &started);
                (void)memory_suspend();
                int messages = done.messages;
                fake_close(&f);
                CHECK_EQ(messages, started.messages);
                CHECK_EQ(done.done, started.done);
        } while (memory_has_failed());
        CHECK(n > 10);
}

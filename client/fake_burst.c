/* Design note. Numbers in their order show what is missing, doubled or overtaken at once. */
#include "client/fake_burst.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

void fake_publish_n(struct fake *f, int n)
{
        for (int i = 0; i < n; i++)
                CHECK_EQ(baton_publish(f->b, "burst.test", &i, sizeof(i)), 0);
}

void fake_expect_n(struct fake *f, int first, int n)
{
        struct message m;

        for (int i = 0; i < n;) {
                if (!fake_next(f, &m)) {
                        CHECK_EQ(link_wait(f->link, POLLIN, FAKE_PATIENCE_MS), 0);
                        continue;
                }
                if (m.type != WIRE_PUB)
                        continue;
                int want = first + i++, got = -1;
                CHECK_EQ(m.pub.payload.len, sizeof(got));
                memcpy(&got, m.pub.payload.data, sizeof(got));
                CHECK_EQ(got, want);
        }
}

void fake_expect_no_more(struct fake *f)
{
        CHECK_EQ(fake_skip(f, WIRE_PUB), 0);
}

int fake_fill_up(struct fake *f)
{
        int n = 0, r;

        baton_set_nonblocking(f->b, true);
        while ((r = baton_publish(f->b, "burst.test", &n, sizeof(n))) == 0)
                n++;
        CHECK_EQ(r, -EAGAIN);
        CHECK(f->b->out.len > 0 || link_is_unsent(f->b->link));
        baton_set_nonblocking(f->b, false);
        CHECK_EQ(baton_flush(f->b, 0), -ETIMEDOUT);
        return n;
}

/* What a session takes that does nothing. */
#include "broker/core/fake.h"
#include "broker/core/internal.h"
#include "tests/harness/test.h"

TEST(what_was_told_takes_no_room_any_more)
{
        struct fake f;
        fake_init(&f);
        struct client *c = fake_open(&f);

        fake_sub(c, 1, "a");
        const struct session *s = session_find(f.core, c->id);
        CHECK(s->control.cap <= 256);
        fake_deinit(&f);
}

/* Beside what others share, and the shell's: a thousand of these are to take two megabytes at most
 * in all (docs/PERFORMANCE.md). */
TEST(a_session_is_small)
{
        CHECK(sizeof(struct session) + sizeof(struct account) + sizeof(struct sub) < 1200);
}

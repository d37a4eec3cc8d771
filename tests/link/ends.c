#include "tests/link/ends.h"

#include <stdlib.h>

void open_ends(struct ends *e)
{
        const char *address = getenv("LINK_ADDRESS");

        *e = (struct ends){0};
        room_enter();
        if (!address) {
                CHECK_EQ(link_pair(&e->yard_a, &e->yard_b, &e->a, &e->b), 0);
                return;
        }
        e->listener = open_listener(address);
        e->a = connect_to(address, &e->yard_a);
        e->b = accept_from(e->listener, &e->yard_b);
        CHECK_EQ(link_allow_fds(e->b, true), 0);
}

void close_ends(struct ends *e)
{
        e->a = link_free(e->a);
        e->b = link_free(e->b);
        e->listener = listener_close(e->listener);
        CHECK_NULL(graveyard_take(&e->yard_a));
        CHECK_NULL(graveyard_take(&e->yard_b));
        room_leave();
}

#include "tests/link/ends.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void open_streams(struct ends *e)
{
        int fds[2];

        raw_pair_of(SOCK_STREAM, fds);
        e->a = link_of(fds[0], TRANSPORT_STREAM, &e->yard_a);
        e->b = link_of(fds[1], TRANSPORT_STREAM, &e->yard_b);
}

void open_ends(struct ends *e)
{
        const char *address = getenv("LINK_ADDRESS");

        *e = (struct ends){0};
        room_enter();
        if (!address) {
                CHECK_EQ(link_pair(&e->yard_a, &e->yard_b, &e->a, &e->b), 0);
                return;
        }
        if (strcmp(address, "stream:") == 0) {
                open_streams(e);
                return;
        }
        e->listener = open_listener(address);
        e->a = connect_to(address, &e->yard_a);
        e->b = accept_from(e->listener, &e->yard_b);
        CHECK_EQ(link_allow_fds(e->b, true), 0);
}

bool are_streams(void)
{
        const char *address = getenv("LINK_ADDRESS");

        return address && strncmp(address, "stream:", 7) == 0;
}

int recv_at_b(struct ends *e)
{
        int r = recv_any(e->b);

        if (r != LINK_E_AGAIN || !link_is_unsent(e->a))
                return r;
        CHECK_EQ(link_flush(e->a), 0);
        return recv_any(e->b);
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

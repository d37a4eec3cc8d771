/* start.c - connect without waiting, in a loop of one's own that does something else meanwhile. */
#include <baton.h>
#include <poll.h>
#include <stdio.h>

struct progress {
        bool is_over;
        int result;
};

static void on_connected(baton *b, int result, const char *text, void *arg)
{
        struct progress *p = arg;

        p->is_over = true;
        p->result = result;
        if (result < 0)
                fprintf(stderr, "start: %s\n", text);
        else
                printf("connected to %s\n", baton_address(b));
}

/* One turn of the loop; a real one polls its other descriptors here, too. */
static int turn(baton *b)
{
        struct pollfd fd = {.fd = baton_fd(b), .events = baton_events(b)};

        if (poll(&fd, 1, baton_timeout(b)) < 0)
                return 0; /* a signal */
        return baton_process(b);
}

int main(void)
{
        struct progress p = {.is_over = false};
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        baton_set_nonblocking(b, true);
        int r = baton_connect_start(b, NULL, 5000, on_connected, &p);
        if (r < 0)
                fprintf(stderr, "start: %s\n", baton_error(b));
        while (r >= 0 && !p.is_over)
                r = turn(b);
        if (r >= 0 && p.result == 0)
                r = baton_close(b, 5000);
        baton_free(b);
        return r < 0 || p.result < 0;
}

/* reconnect.c - outlive the broker: publish a line now and then, whether it is there or not, and
 * print what comes and what becomes of the connection. */
#include <baton.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)arg;
        printf("got %.*s\n", (int)m->payload_len, (const char *)m->payload);
}

static void on_event(baton *b, const struct baton_event *e, void *arg)
{
        (void)b, (void)arg;
        switch (e->change) {
        case BATON_LOST:
                printf("lost, %" PRIu64 " uncertain: %s\n", e->uncertain, e->text);
                break;
        case BATON_BACK:
                printf("back, %s\n", e->other_instance ? "another broker" : "the same broker");
                break;
        case BATON_READY:
                printf("ready, %" PRIu64 " dropped\n", e->dropped);
                break;
        case BATON_DENIED:
                printf("denied: %s: %s\n", e->filter, e->text);
                break;
        case BATON_GONE:
                printf("gone: %s\n", e->text);
                break;
        }
}

static int run(baton *b)
{
        const struct baton_reconnect options = {.keep_bytes = 65536, .on_event = on_event};
        char text[16];
        int r = baton_set_reconnect(b, &options);

        if (r == 0)
                r = baton_connect(b, NULL, -1);
        if (r == 0)
                r = baton_subscribe(b, "ticks.>", NULL, on_message, NULL, NULL);
        for (int i = 0; r >= 0; i++) {
                int len = snprintf(text, sizeof(text), "%d", i);
                r = baton_publish(b, "ticks.tock", text, (size_t)len);
                if (r == -ENOBUFS) /* away for so long that no more is kept: this one is lost */
                        r = 0;
                while (r >= 0 && (r = baton_wait(b, 50)) > 0)
                        continue; /* until nothing has come for a while */
        }
        return r;
}

int main(void)
{
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (run(b) < 0)
                fprintf(stderr, "reconnect: %s\n", baton_error(b));
        baton_free(b);
        return 1;
}

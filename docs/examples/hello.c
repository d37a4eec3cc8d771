/* hello.c - the blocking way: connect, subscribe, publish, wait, take leave. */
#include <baton.h>
#include <stdio.h>

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        int *n = arg;

        (void)b;
        printf("%s %.*s (uid %u, pid %d)\n", m->topic, (int)m->payload_len,
                (const char *)m->payload, m->sender.uid, m->sender.pid);
        ++*n;
}

static int run(baton *b)
{
        int n = 0;
        int r = baton_connect(b, NULL, 5000);

        if (r == 0)
                r = baton_subscribe(b, "sensors.*.temp", NULL, on_message, &n, NULL);
        if (r == 0)
                r = baton_publish(b, "sensors.cabin.temp", "21.5", 4);
        while (r >= 0 && n == 0)
                r = baton_wait(b, -1);
        if (r >= 0)
                r = baton_close(b, 5000);
        return r;
}

int main(void)
{
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        int r = run(b);
        if (r < 0)
                fprintf(stderr, "hello: %s\n", baton_error(b));
        baton_free(b);
        return r < 0;
}

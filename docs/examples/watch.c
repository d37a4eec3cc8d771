/* watch.c - see what comes, and what did not: watch FILTER. Messages that were lost are told in
 * their place, and what no call reports by the log. */
#include <baton.h>
#include <inttypes.h>
#include <stdio.h>

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)arg;
        printf("%s %.*s\n", m->topic, (int)m->payload_len, (const char *)m->payload);
}

static void on_gap(baton *b, const struct baton_gap *gap, void *arg)
{
        (void)b, (void)arg;
        printf("%" PRIu64 " lost of %s: %s\n", gap->count, gap->filter, gap->reason);
}

static void on_log(const char *text, void *arg)
{
        fprintf(stderr, "%s: %s\n", (const char *)arg, text);
}

int main(int argc, char **argv)
{
        baton *b;

        if (argc != 2 || baton_new(&b) < 0) {
                fprintf(stderr, "usage: watch FILTER\n");
                return 2;
        }
        setvbuf(stdout, NULL, _IOLBF, 0);
        baton_set_gap(b, on_gap, NULL);
        baton_set_log(b, on_log, argv[0]);
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = baton_subscribe(b, argv[1], NULL, on_message, NULL, NULL);
        if (r == 0)
                printf("watching %s\n", argv[1]);
        while (r >= 0)
                r = baton_wait(b, -1);
        fprintf(stderr, "watch: %s\n", baton_error(b));
        baton_free(b);
        return 1;
}

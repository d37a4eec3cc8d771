/* confirm.c - many publications under way at once, each of them confirmed. */
#include <baton.h>
#include <stdio.h>

struct tally {
        int pending, taken, failed;
};

static void on_confirm(baton *b, int result, const char *text, void *arg)
{
        struct tally *t = arg;

        (void)b;
        t->pending--;
        if (result >= 0) {
                t->taken++;
                return;
        }
        t->failed++;
        fprintf(stderr, "confirm: %s\n", text);
}

static int publish_all(baton *b, struct tally *t)
{
        const struct baton_publication p = {
                .topic = "jobs.new", .payload = "work", .payload_len = 4};
        int r = 0;

        for (int i = 0; i < 10000 && r == 0; i++) {
                r = baton_publish_confirm(b, &p, on_confirm, t);
                t->pending += r == 0;
        }
        while (r >= 0 && t->pending > 0)
                r = baton_wait(b, -1);
        return r;
}

int main(void)
{
        struct tally t = {0};
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = publish_all(b, &t);
        printf("%d taken, %d failed\n", t.taken, t.failed);
        if (r >= 0)
                r = baton_close(b, 5000);
        if (r < 0)
                fprintf(stderr, "confirm: %s\n", baton_error(b));
        baton_free(b);
        return r < 0 || t.failed;
}

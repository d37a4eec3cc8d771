/* burst.c - ten thousand publications at once, in full packets, and given to the kernel before the
 * program goes on. */
#include <baton.h>
#include <stdio.h>

enum { N = 10000 };

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        int *n = arg;

        (void)b, (void)m;
        ++*n;
}

static int publish_all(baton *b)
{
        int r = 0;

        baton_cork(b);
        for (int i = 0; i < N && r == 0; i++)
                r = baton_publish(b, "readings.new", &i, sizeof(i));
        int sent = baton_uncork(b);
        if (r == 0)
                r = sent;
        return r == 0 ? baton_flush(b, 5000) : r;
}

static int count(baton *b)
{
        int n = 0;
        int r = baton_subscribe(b, "readings.*", NULL, on_message, &n, NULL);

        if (r == 0)
                r = publish_all(b);
        while (r >= 0 && n < N)
                r = baton_wait(b, -1);
        printf("%d came\n", n);
        return r;
}

int main(void)
{
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = count(b);
        if (r < 0)
                fprintf(stderr, "burst: %s\n", baton_error(b));
        baton_free(b);
        return r < 0;
}

/* threads.c - a handle for each thread: one that publishes, one that receives. */
#include <baton.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 1000 };

static int publish_all(baton *b)
{
        int r = baton_connect(b, NULL, 5000);

        for (int i = 0; i < N && r == 0; i++)
                r = baton_publish(b, "threads.work", &i, sizeof(i));
        return r == 0 ? baton_close(b, 5000) : r;
}

static void *worker(void *arg)
{
        baton *b;

        (void)arg;
        if (baton_new(&b) < 0)
                exit(1);
        if (publish_all(b) < 0) {
                fprintf(stderr, "worker: %s\n", baton_error(b));
                exit(1);
        }
        return baton_free(b);
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        int *n = arg;

        (void)b, (void)m;
        ++*n;
}

static int receive_all(baton *b)
{
        pthread_t thread;
        int n = 0;
        int r = baton_subscribe(b, "threads.*", NULL, on_message, &n, NULL);

        if (r < 0)
                return r;
        if ((r = -pthread_create(&thread, NULL, worker, NULL)) < 0)
                return r;
        while (r >= 0 && n < N)
                r = baton_wait(b, -1);
        pthread_join(thread, NULL);
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
                r = receive_all(b);
        if (r < 0)
                fprintf(stderr, "threads: %s\n",
                        *baton_error(b) ? baton_error(b) : baton_strerror(r));
        baton_free(b);
        return r < 0;
}

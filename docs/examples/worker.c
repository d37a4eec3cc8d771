/* worker.c - work that must not get lost: a member of a group that acknowledges. What this process
 * has not finished when it dies goes to another worker. */
#include <baton.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int work_on(const struct baton_message *m)
{
        printf("%.*s%s\n", (int)m->payload_len, (const char *)m->payload,
                m->redelivered ? ", again" : "");
        if (fflush(stdout) == EOF)
                return -errno;
        return memchr(m->payload, '!', m->payload_len) ? -EIO : 0;
}

static void on_job(baton *b, const struct baton_message *m, void *arg)
{
        (void)arg;
        if (work_on(m) == 0)
                return; /* which acknowledges it */
        if (baton_nack(b, m->receipt, 200) < 0)
                fprintf(stderr, "worker: %s\n", baton_error(b));
}

int main(void)
{
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        struct baton_subscription job = {
                .group = "workers", .ack = true, .window = 1, .max_deliveries = 3};
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = baton_subscribe(b, "jobs.>", &job, on_job, NULL, NULL);
        if (r == 0)
                fprintf(stderr, "ready\n");
        while (r >= 0)
                r = baton_wait(b, -1);
        fprintf(stderr, "worker: %s\n", baton_error(b));
        baton_free(b);
        return 1;
}

/* serve.c - a service: one topic with a single reply, or a failure, and one with several replies.
 */
#include <baton.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A reply that cannot be sent is the requester's loss, not a reason to end the service. */
static void check(baton *b, int r)
{
        if (r < 0)
                fprintf(stderr, "serve: no reply: %s\n", baton_error(b));
}

static int number_in(const struct baton_message *m)
{
        char text[16];

        snprintf(text, sizeof(text), "%.*s", (int)m->payload_len, (const char *)m->payload);
        return atoi(text);
}

static void on_double(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_publication no = {.payload = "not a number", .payload_len = 12};
        char text[16];
        int n = number_in(m);

        (void)arg;
        no.flags = BATON_FAILED;
        snprintf(text, sizeof(text), "%d", n * 2);
        if (!m->is_request)
                return;
        check(b, n ? baton_reply(b, m->token, text, strlen(text))
                   : baton_reply_with(b, m->token, &no));
}

static void on_countdown(baton *b, const struct baton_message *m, void *arg)
{
        char text[16];

        (void)arg;
        for (int n = m->is_request ? number_in(m) : -1; n >= 0; n--) {
                struct baton_publication p = {.payload = text, .flags = n ? BATON_MORE : 0};
                p.payload_len = (size_t)snprintf(text, sizeof(text), "%d", n);
                check(b, baton_reply_with(b, m->token, &p));
        }
}

int main(void)
{
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = baton_subscribe(b, "math.double", NULL, on_double, NULL, NULL);
        if (r == 0)
                r = baton_subscribe(b, "math.countdown", NULL, on_countdown, NULL, NULL);
        if (r == 0)
                fprintf(stderr, "ready\n");
        while (r >= 0)
                r = baton_wait(b, -1);
        fprintf(stderr, "serve: %s\n", baton_error(b));
        baton_free(b);
        return 1;
}

/* ask.c - send a request and print the replies: ask TOPIC PAYLOAD. */
#include <baton.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void on_reply(baton *b, const struct baton_message *m, void *arg)
{
        bool *failed = arg;

        (void)b;
        *failed = m->failed;
        printf("%s%.*s\n", m->failed ? "failed: " : "", (int)m->payload_len,
                (const char *)m->payload);
}

static int ask(baton *b, const char *topic, const char *payload, bool *ret_failed)
{
        struct baton_publication p = {
                .topic = topic, .payload = payload, .payload_len = strlen(payload)};
        int r = baton_request(b, &p, 5000, on_reply, ret_failed);

        if (r == -EHOSTUNREACH)
                fprintf(stderr, "ask: nobody serves %s\n", topic);
        else if (r < 0)
                fprintf(stderr, "ask: %s\n", baton_error(b));
        return r;
}

int main(int argc, char **argv)
{
        bool failed = false;
        baton *b;

        if (argc != 3 || baton_new(&b) < 0) {
                fprintf(stderr, "usage: ask TOPIC PAYLOAD\n");
                return 2;
        }
        int r = baton_connect(b, NULL, 5000);
        if (r < 0)
                fprintf(stderr, "ask: %s\n", baton_error(b));
        else
                r = ask(b, argv[1], argv[2], &failed);
        baton_free(b);
        return r < 0 || failed;
}

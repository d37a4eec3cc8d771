/* errors.c - what a failed call can say of itself. */
#include <baton.h>
#include <stdio.h>

static void report(const baton *b, const char *what, int result)
{
        if (result >= 0)
                return;
        fprintf(stderr, "%s: %s\n", what, baton_error(b));
        fprintf(stderr, "    in general: %s\n", baton_strerror(result));
        if (baton_code(b))
                fprintf(stderr, "    the broker: %s\n", baton_code_name(baton_code(b)));
}

int main(void)
{
        const struct baton_publication question = {.topic = "nobody.home"};
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        report(b, "too early", baton_publish(b, "a.b", "", 0));
        int r = baton_connect(b, NULL, 5000);
        report(b, "connect", r);
        if (r == 0) {
                report(b, "bad topic", baton_publish(b, "a..b", "", 0));
                report(b, "request", baton_request(b, &question, 5000, NULL, NULL));
        }
        baton_free(b);
        return r < 0;
}

/* What somebody may write first who has installed the library, in C or in C++; it needs no broker.
 * install_test compiles it in all the ways that baton.pc is for. */
#include <baton.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)arg;
        printf("%s\n", m->topic);
}

int main(void)
{
        baton *b;
        bool ok;

        if (baton_new(&b) < 0)
                return 1;
        ok = baton_connect(b, "/nonexistent/baton.sock", 1000) == -ECONNREFUSED &&
             strstr(baton_error(b), "/nonexistent/baton.sock") != NULL;
        printf("%s: %s\n", BATON_VERSION, baton_error(b));
        ok = ok && baton_subscribe(b, "a.>", NULL, on_message, NULL, NULL) == -ENOTCONN;
        baton_free(b);
        return ok ? 0 : 1;
}

/* publish.c - the smallest publisher. */
#include <baton.h>
#include <stdio.h>

int main(void)
{
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = baton_publish(b, "sensors.cabin.temp", "21.5", 4);
        if (r == 0)
                r = baton_close(b, 5000);
        if (r < 0)
                fprintf(stderr, "%s\n", baton_error(b));
        baton_free(b);
        return r < 0;
}

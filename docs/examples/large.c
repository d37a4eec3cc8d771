/* large.c - a payload of any size, published piece by piece from stdin, and kept by the receiver
 * beyond its callback: large <FILE. */
#include <baton.h>
#include <errno.h>
#include <stdio.h>

struct kept {
        struct baton_payload payload;
        bool is_here;
};

static void on_blob(baton *b, const struct baton_message *m, void *arg)
{
        struct kept *k = arg;

        (void)b;
        if (!k->is_here && baton_take_payload(m, &k->payload) == 0)
                k->is_here = true;
}

static int publish_stdin(baton *b)
{
        const struct baton_publication p = {.topic = "blobs.stdin"};
        char piece[65536];
        size_t n;
        int r = baton_begin(b, &p, 0, NULL, NULL);

        while (r == 0 && (n = fread(piece, 1, sizeof(piece), stdin)) > 0)
                r = baton_write(b, piece, n);
        if (r == 0 && ferror(stdin)) {
                baton_abandon(b); /* nobody sees half of it */
                return -EIO;
        }
        return r == 0 ? baton_end(b) : r;
}

int main(void)
{
        struct kept k = {.is_here = false};
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = baton_subscribe(b, "blobs.*", NULL, on_blob, &k, NULL);
        if (r == 0)
                r = publish_stdin(b);
        while (r >= 0 && !k.is_here)
                r = baton_wait(b, -1);
        if (r < 0)
                fprintf(stderr, "large: %s\n",
                        ferror(stdin) ? "stdin: read error" : baton_error(b));
        baton_free(b); /* the payload does not need the handle */
        if (k.is_here) {
                fprintf(stderr, "%zu bytes\n", k.payload.len);
                fwrite(k.payload.data, 1, k.payload.len, stdout);
                baton_drop_payload(&k.payload);
        }
        return r < 0 || fflush(stdout) < 0;
}

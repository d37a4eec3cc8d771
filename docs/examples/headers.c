/* headers.c - a message with headers, told how many took it; and how a receiver reads them. */
#include <baton.h>
#include <inttypes.h>
#include <stdio.h>

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_header h;

        (void)b, (void)arg;
        if (baton_header_find(m, "sensor", &h) == 0 && h.kind == BATON_UINT)
                printf("from sensor %" PRIu64 "\n", h.value.u);
        for (uint32_t i = 0; i < m->n_headers; i++) {
                if (baton_header_at(m, i, &h) == 0 && h.kind == BATON_STR)
                        printf("%.*s = %.*s\n", (int)h.key_len, h.key, (int)h.value.bytes.len,
                                (const char *)h.value.bytes.data);
        }
}

static int publish(baton *b)
{
        const struct baton_header headers[] = {
                {.key = "unit", .kind = BATON_STR, .value.bytes = {"C", 1}},
                {.key = "sensor", .kind = BATON_UINT, .value.u = 7},
        };
        const struct baton_publication p = {
                .topic = "sensors.attic.temp",
                .payload = "12.1",
                .payload_len = 4,
                .headers = headers,
                .n_headers = 2,
        };
        int n = baton_publish_wait(b, &p, 5000);

        if (n >= 0)
                printf("taken by %d\n", n);
        return n;
}

int main(void)
{
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = baton_subscribe(b, "sensors.>", NULL, on_message, NULL, NULL);
        if (r == 0)
                r = publish(b);
        if (r >= 0)
                r = baton_close(b, 5000); /* dispatches what is still here */
        if (r < 0)
                fprintf(stderr, "headers: %s\n", baton_error(b));
        baton_free(b);
        return r < 0;
}

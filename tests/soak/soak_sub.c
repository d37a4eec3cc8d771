/* Design note. Checks every message against its own headers, and that no publisher's counter has a
 * hole; takes every tenth payload and reads it after the callback. Ends with soak.stop, which the
 * driver publishes when everything before it has been confirmed. */
#include "tests/soak/soak.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_PUBLISHERS = 4096, NAME_BYTES = 64, TURN_MS = 1000 };

struct from {
        char name[NAME_BYTES];
        uint64_t first, last, count, all;
        bool is_done;
};

struct sub {
        const char *name;
        struct from *from; /* [n] */
        size_t n;
        uint64_t count;
        bool is_over;
        struct baton_payload taken; /* of an earlier message */
        uint64_t taken_sum;
};

static struct from *find(struct sub *s, const char *topic)
{
        char name[NAME_BYTES];

        if (sscanf(topic, "soak.%63[^.].x", name) != 1)
                soak_fail("%s: topic %s", s->name, topic);
        for (size_t i = 0; i < s->n; i++) {
                if (!strcmp(s->from[i].name, name))
                        return &s->from[i];
        }
        if (s->n == MOST_PUBLISHERS)
                soak_fail("too many publishers");
        struct from *f = &s->from[s->n++];
        snprintf(f->name, sizeof(f->name), "%s", name);
        return f;
}

static uint64_t number(const struct baton_message *m, const char *key)
{
        struct baton_header h;

        if (baton_header_find(m, key, &h) < 0)
                soak_fail("no header %s", key);
        return h.kind == BATON_BOOL ? h.value.boolean : h.value.u;
}

static uint64_t sum_fds(const struct baton_message *m, uint64_t sum)
{
        uint8_t text[512];

        if (m->fds_withheld)
                soak_fail("descriptors were withheld");
        for (uint32_t i = 0; i < m->n_fds; i++) {
                ssize_t n = pread(m->fds[i], text, sizeof(text), 0);
                if (n <= 0)
                        soak_fail("a descriptor without its content");
                sum = soak_sum(sum, text, (size_t)n);
        }
        return sum;
}

static void check_taken(struct sub *s)
{
        if (s->taken.data && soak_sum(0, s->taken.data, s->taken.len) != s->taken_sum)
                soak_fail("a payload that was taken has changed");
        if (s->taken.data)
                baton_drop_payload(&s->taken);
        s->taken.data = NULL;
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        struct sub *s = arg;

        (void)b;
        if (!strcmp(m->topic, "soak.stop")) {
                s->is_over = true;
                return;
        }
        struct from *f = find(s, m->topic);
        uint64_t n = number(m, "n");
        uint64_t sum = soak_sum(n, m->payload, m->payload_len);

        sum = sum_fds(m, sum);
        if (sum != number(m, "sum"))
                soak_fail(
                        "%s: message %" PRIu64 " of %s is not what was sent", s->name, n, f->name);
        if (f->count && n != f->last + 1)
                soak_fail("%s: %s: %" PRIu64 " follows %" PRIu64, s->name, f->name, n, f->last);
        if (!f->count)
                f->first = n;
        f->last = n;
        f->count++;
        f->all ^= sum * n;
        f->is_done |= number(m, "last") != 0;
        if (++s->count % 10 == 0) {
                check_taken(s);
                if (baton_take_payload(m, &s->taken) < 0)
                        soak_fail("take");
                s->taken_sum = soak_sum(0, s->taken.data, s->taken.len);
        }
}

static void on_gap(baton *b, const struct baton_gap *gap, void *arg)
{
        (void)b, (void)arg;
        soak_fail("%" PRIu64 " messages lost: %s", gap->count, gap->reason);
}

static void report(const struct sub *s, const struct soak_self *first)
{
        struct soak_self last = soak_self();

        printf("{\"name\":\"%s\",\"count\":%" PRIu64
               ",\"fds\":[%ld,%ld],\"maps\":[%ld,%ld],\"kib\":[%ld,%ld],\"from\":{",
                s->name, s->count, first->fds, last.fds, first->maps, last.maps, first->kib,
                last.kib);
        for (size_t i = 0; i < s->n; i++) {
                const struct from *f = &s->from[i];
                printf("%s\"%s\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%d]",
                        i ? "," : "", f->name, f->first, f->last, f->count, f->all, f->is_done);
        }
        puts("}}");
}

int soak_sub(baton *b, const char *name)
{
        struct baton_subscription options = {.max_fds = 16};
        struct sub s = {.name = name, .from = calloc(MOST_PUBLISHERS, sizeof(struct from))};

        if (!s.from)
                soak_fail("out of memory");
        baton_set_gap(b, on_gap, &s);
        if (baton_subscribe(b, "soak.>", &options, on_message, &s, NULL) < 0)
                soak_fail("subscribe: %s", baton_error(b));
        struct soak_self first = soak_self();
        puts("ready");
        fflush(stdout);
        while (!s.is_over) {
                int r = baton_wait(b, TURN_MS);
                if (r < 0 && r != -EINTR)
                        soak_fail("%s: %s", name, baton_error(b));
        }
        check_taken(&s);
        report(&s, &first);
        if (baton_close(b, TURN_MS) < 0)
                soak_fail("close: %s", baton_error(b));
        free(s.from);
        return 0;
}

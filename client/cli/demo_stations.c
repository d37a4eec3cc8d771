/* Design note. The main process is the one that watches; whoever sends to it or answers it is
 * forked, so that the kernel has something to attest. */
#include "client/cli/demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        STEP_MS = 5000,
        STRANGER_UID = 65534,
        NOT_POSSIBLE = 77,
        SPEED_MS = 500,
        SPEED_BYTES = 64,
        SPEED_BURST = 256,
};

/* What came, for a station to look at. */
struct seen {
        struct baton_sender sender;
        char topic[64], payload[64];
        unsigned n;
        bool has_headers;
};

static void see(baton *b, const struct baton_message *m, void *arg)
{
        struct seen *s = arg;
        struct baton_header unit, sensor;

        (void)b;
        s->n++;
        s->sender = m->sender;
        snprintf(s->topic, sizeof(s->topic), "%s", m->topic);
        snprintf(s->payload, sizeof(s->payload), "%.*s", (int)m->payload_len,
                (const char *)m->payload);
        s->has_headers = baton_header_find(m, "unit", &unit) == 0 && unit.kind == BATON_STR &&
                         unit.value.bytes.len == 1 && !memcmp(unit.value.bytes.data, "C", 1) &&
                         baton_header_find(m, "sensor", &sensor) == 0 &&
                         sensor.kind == BATON_UINT && sensor.value.u == 7;
}

/* Waits until `s` has seen `n`. Returns 0 · -ETIMEDOUT · -errno. */
static int await_seen(baton *b, const struct seen *s, unsigned n)
{
        uint64_t deadline_ns = cli_now_ns() + STEP_MS * UINT64_C(1000000);

        while (s->n < n) {
                int r = baton_wait(b, cli_left_ms(deadline_ns, -1));
                if (r < 0)
                        return r;
                if (s->n < n && cli_now_ns() >= deadline_ns)
                        return -ETIMEDOUT;
        }
        return 0;
}

static int connect_part(struct demo *d)
{
        return cli_connect(&d->cli, CLI_CONNECT_MS);
}

static int publish(struct demo *d, const char *topic, const char *payload)
{
        struct baton_publication p = {
                .topic = topic, .payload = payload, .payload_len = strlen(payload)};
        int r = baton_publish_wait(d->cli.b, &p, STEP_MS);

        return r < 0 ? cli_fail(&d->cli, r) : 0;
}

/* ---------------------------------------------------------------- messages */

static int publish_one(struct demo *d, int out)
{
        int status = connect_part(d);

        (void)out;
        return status ? status : publish(d, "sensors.cabin.temp", "21.5");
}

int demo_message(struct demo *d)
{
        struct seen seen = {.n = 0};
        struct part part;
        uint32_t sub;
        int r = baton_subscribe(d->cli.b, "sensors.cabin.temp", NULL, see, &seen, &sub);

        if (r < 0)
                return cli_fail(&d->cli, r);
        int status = demo_fork(d, publish_one, &part);
        if (status)
                return status;
        r = await_seen(d->cli.b, &seen, 1);
        status = demo_join(&part);
        if (r < 0 || status || baton_unsubscribe(d->cli.b, sub) < 0)
                return demo_fail(d, "message", "it did not come");
        if (!demo_is_from(&seen.sender, part.pid))
                return demo_fail(d, "message", "the sender is not who sent it");
        demo_tell("message", "%s = %s", seen.topic, seen.payload);
        if (seen.sender.pid)
                demo_tell("", "from pid %d, uid %u: the kernel said so when it connected",
                        (int)seen.sender.pid, (unsigned)seen.sender.uid);
        else
                demo_tell("", "from uid %u: the kernel said so when it connected",
                        (unsigned)seen.sender.uid);
        return 0;
}

int demo_wildcard(struct demo *d)
{
        struct seen seen = {.n = 0};
        uint32_t sub;
        int r = baton_subscribe(d->cli.b, "sensors.*.temp", NULL, see, &seen, &sub);

        if (r < 0)
                return cli_fail(&d->cli, r);
        int status = publish(d, "sensors.cabin.temp", "21.6");
        if (status == 0)
                status = publish(d, "sensors.cabin.door", "open");
        if (status == 0)
                status = publish(d, "sensors.attic.temp", "12.0");
        if (status)
                return status;
        /* In order: when the last is here, all are. */
        if (await_seen(d->cli.b, &seen, 2) < 0 || strcmp(seen.topic, "sensors.attic.temp") != 0 ||
                baton_unsubscribe(d->cli.b, sub) < 0)
                return demo_fail(d, "wildcard", "what matches did not come, or something else did");
        demo_tell("wildcard", "sensors.*.temp got cabin.temp and attic.temp, not cabin.door");
        return 0;
}

int demo_headers(struct demo *d)
{
        struct seen seen = {.n = 0};
        const struct baton_header headers[] = {
                {.key = "unit", .kind = BATON_STR, .value.bytes = {"C", 1}},
                {.key = "sensor", .kind = BATON_UINT, .value.u = 7},
        };
        struct baton_publication p = {
                .topic = "sensors.attic.temp",
                .payload = "12.1",
                .payload_len = 4,
                .headers = headers,
                .n_headers = ARRAY_LEN(headers),
        };
        uint32_t sub;
        int r = baton_subscribe(d->cli.b, "sensors.>", NULL, see, &seen, &sub);

        if (r == 0)
                r = baton_publish_wait(d->cli.b, &p, STEP_MS);
        if (r < 0)
                return cli_fail(&d->cli, r);
        if (await_seen(d->cli.b, &seen, 1) < 0 || !seen.has_headers ||
                baton_unsubscribe(d->cli.b, sub) < 0)
                return demo_fail(d, "headers", "they did not come as they were sent");
        demo_tell("headers", "unit = \"C\" (text) and sensor = 7 (integer) came with it");
        return 0;
}

/* ---------------------------------------------------------------- requests */

static void answer_double(baton *b, const struct baton_message *m, void *arg)
{
        char text[32];
        int *n_answered = arg;

        snprintf(text, sizeof(text), "%.*s", (int)m->payload_len, (const char *)m->payload);
        snprintf(text, sizeof(text), "%d", atoi(text) * 2);
        if (m->token && baton_reply(b, m->token, text, strlen(text)) == 0)
                ++*n_answered;
}

static int serve_one(struct demo *d, int out)
{
        int n_answered = 0, r = 0, status = connect_part(d);

        if (status)
                return status;
        if (baton_subscribe(d->cli.b, "math.double", NULL, answer_double, &n_answered, NULL) < 0 ||
                write(out, "ready", 5) != 5)
                return CLI_FAILED;
        while (!n_answered && r >= 0)
                r = baton_wait(d->cli.b, STEP_MS);
        return n_answered && baton_close(d->cli.b, CLI_CLOSE_MS) == 0 ? 0 : CLI_FAILED;
}

int demo_request(struct demo *d)
{
        struct baton_publication p = {.topic = "math.double", .payload = "21", .payload_len = 2};
        struct seen seen = {.n = 0};
        struct part part;
        char text[16];
        int status = demo_fork(d, serve_one, &part);

        if (status)
                return status;
        if (!demo_hear(&part, text, sizeof(text)))
                return demo_fail(d, "request", "the responder did not start");
        uint64_t started_ns = cli_now_ns();
        int r = baton_request(d->cli.b, &p, STEP_MS, see, &seen);
        uint64_t took_us = (cli_now_ns() - started_ns) / 1000;
        if (r < 0)
                return cli_fail(&d->cli, r);
        if (demo_join(&part) || strcmp(seen.payload, "42") != 0 ||
                !demo_is_from(&seen.sender, part.pid))
                return demo_fail(d, "request", "a wrong reply");
        demo_tell("request", "math.double 21 -> %s from pid %d, %" PRIu64 " us there and back",
                seen.payload, (int)part.pid, took_us);
        return 0;
}

int demo_nobody(struct demo *d)
{
        struct baton_publication p = {.topic = "math.triple", .payload = "21", .payload_len = 2};
        struct seen seen = {.n = 0};
        uint64_t started_ns = cli_now_ns();
        int r = baton_request(d->cli.b, &p, STEP_MS, see, &seen);
        uint64_t took_us = (cli_now_ns() - started_ns) / 1000;

        if (r != -EHOSTUNREACH || seen.n)
                return demo_fail(d, "nobody", "a request that nobody serves did not fail so");
        demo_tell("nobody", "math.triple 21 -> %s, known after %" PRIu64 " us, no timeout",
                baton_strerror(r), took_us);
        return 0;
}

/* ---------------------------------------------------------------- strangers */

static int knock(struct demo *d, int out)
{
        if (setgid(STRANGER_UID) < 0 || setuid(STRANGER_UID) < 0) /* root: for good */
                return NOT_POSSIBLE;
        int r = baton_connect(d->cli.b, d->address, STEP_MS);
        if (r != -EACCES)
                return CLI_FAILED;
        /* Behind the address is what the broker said. */
        const char *text = strstr(baton_error(d->cli.b), ": ");
        ssize_t n = text ? write(out, text + 2, strlen(text + 2)) : 0;
        return n > 0 ? 0 : CLI_FAILED;
}

int demo_stranger(struct demo *d)
{
        struct part part;
        char text[64] = "";
        int status = NOT_POSSIBLE;

        if (geteuid() == 0) {
                if ((status = demo_fork(d, knock, &part)))
                        return status;
                (void)demo_hear(&part, text, sizeof(text));
                status = demo_join(&part);
        }
        if (status == NOT_POSSIBLE) {
                demo_tell("stranger", "another uid would be refused (only root can show that)");
                return 0;
        }
        if (status)
                return demo_fail(d, "stranger", "a uid that was not invited came in");
        demo_tell("stranger", "a process of another uid came, and was told:");
        demo_tell("", "\"%s\"", text);
        return 0;
}

/* ---------------------------------------------------------------- speed */

struct tally {
        uint64_t n, expected; /* expected 0: the end has not come yet */
};

static void count(baton *b, const struct baton_message *m, void *arg)
{
        struct tally *t = arg;

        (void)b;
        if (m->payload_len == SPEED_BYTES)
                t->n++;
        else if (m->payload_len == sizeof(t->expected))
                memcpy(&t->expected, m->payload, sizeof(t->expected));
}

static int take_all(struct demo *d, int out)
{
        struct tally t = {0};
        int r = 0, status = connect_part(d);

        if (status)
                return status;
        if (baton_subscribe(d->cli.b, "demo.speed", NULL, count, &t, NULL) < 0 ||
                write(out, "ready", 5) != 5)
                return CLI_FAILED;
        while (!t.expected && r >= 0)
                r = baton_wait(d->cli.b, STEP_MS);
        return t.expected && t.n == t.expected && write(out, "all", 3) == 3 ? 0 : CLI_FAILED;
}

/* Publishes for a while, and at the end how many. Returns 0 · -errno. */
static int publish_all(baton *b, uint64_t *ret_n)
{
        static const char payload[SPEED_BYTES] = "64 bytes";
        uint64_t deadline_ns = cli_now_ns() + SPEED_MS * UINT64_C(1000000), n = 0;
        int r = 0;

        baton_cork(b);
        while (r == 0 && cli_now_ns() < deadline_ns) {
                for (int i = 0; i < SPEED_BURST && r == 0; i++, n++)
                        r = baton_publish(b, "demo.speed", payload, sizeof(payload));
        }
        if (r == 0)
                r = baton_publish(b, "demo.speed", &n, sizeof(n));
        int sent = baton_uncork(b);
        *ret_n = n;
        return r < 0 ? r : sent < 0 ? sent : baton_flush(b, STEP_MS);
}

int demo_speed(struct demo *d)
{
        struct part part;
        char text[16];
        uint64_t n = 0;
        int status = demo_fork(d, take_all, &part);

        if (status)
                return status;
        if (!demo_hear(&part, text, sizeof(text)))
                return demo_fail(d, "speed", "the subscriber did not start");
        uint64_t started_ns = cli_now_ns();
        int r = publish_all(d->cli.b, &n);
        if (r < 0)
                return cli_fail(&d->cli, r);
        bool is_complete = demo_hear(&part, text, sizeof(text)) && !strcmp(text, "all");
        uint64_t took_ns = cli_now_ns() - started_ns;
        if (demo_join(&part) || !is_complete)
                return demo_fail(d, "speed", "not all messages came");
        uint64_t rate = n * 1000000 / (took_ns / 1000);
        demo_tell("speed",
                "%" PRIu64 ",%03" PRIu64 ",%03" PRIu64
                " messages of %d B a second to another process",
                rate / 1000000, rate / 1000 % 1000, rate % 1000, SPEED_BYTES);
        demo_tell("", "(this machine, now; corked; all %" PRIu64 " arrived)", n);
        return 0;
}

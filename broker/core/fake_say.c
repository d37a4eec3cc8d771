/* Design note. What a client says and what it expects to hear. A failed expectation names the line
 * of the test, and what came instead. */
#include "broker/core/fake.h"

#include "tests/harness/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------- say */

static void must(int r)
{
        if (r < 0)
                abort();
}

struct slice fake_text(const char *s)
{
        return (struct slice){(const uint8_t *)s, strlen(s)};
}

static void used(struct client *c, uint64_t id)
{
        if (id > c->last_id)
                c->last_id = id;
}

void say(struct client *c, const struct message *m)
{
        must(message_encode(&c->packet, m));
}

void say_bytes(struct client *c, const char *hex)
{
        unsigned byte;
        int n;

        for (; sscanf(hex, " %2x%n", &byte, &n) == 1; hex += n)
                must(buf_push(&c->packet, &(uint8_t){(uint8_t)byte}, 1));
        CHECK_STR(hex, "");
}

void say_hello(struct client *c, const char *name)
{
        say(c, &(struct message){.type = WIRE_HELLO,
                       .hello = {.version = WIRE_VERSION, .name = fake_text(name)}});
}

void say_sub(struct client *c, uint64_t id, uint32_t sub, const char *filter)
{
        used(c, id);
        say(c, &(struct message){.type = WIRE_SUB,
                       .sub = {.id = id, .sub = sub, .filter = fake_text(filter)}});
}

void say_unsub(struct client *c, uint64_t id, uint32_t sub)
{
        used(c, id);
        say(c, &(struct message){.type = WIRE_UNSUB, .unsub = {.id = id, .sub = sub}});
}

void say_pub(struct client *c, const char *topic, const char *payload)
{
        say(c, &(struct message){.type = WIRE_PUB,
                       .pub = {.topic = fake_text(topic), .payload = fake_text(payload)}});
}

void say_large(struct client *c, const char *topic, const char *start, size_t len)
{
        /* Array, type, n_fds, str header, topic, map, bin16 header. */
        size_t head = 3 + 1 + strlen(topic) + 1 + 3, n = len - head;
        uint8_t *payload = malloc(n);

        CHECK(strlen(topic) < 32 && len > head + 255 && len <= WIRE_FRAME_BYTES);
        memset(payload, '.', n);
        memcpy(payload, start, size_min(strlen(start), n));
        say(c, &(struct message){.type = WIRE_PUB,
                       .pub = {.topic = fake_text(topic), .payload = {payload, n}}});
        free(payload);
}

void say_ingress(struct client *c, uint64_t flags, uint64_t id)
{
        used(c, id);
        say(c, &(struct message){.type = WIRE_INGRESS, .ingress = {.flags = flags, .id = id}});
}

void say_request(struct client *c, uint64_t id, uint64_t timeout_ms)
{
        used(c, id);
        say(c, &(struct message){
                       .type = WIRE_REQUEST, .request = {.id = id, .timeout_ms = timeout_ms}});
}

void say_reply(struct client *c, uint64_t token, uint64_t flags, uint64_t id)
{
        used(c, id);
        say(c, &(struct message){
                       .type = WIRE_REPLY, .reply = {.token = token, .flags = flags, .id = id}});
}

void say_number(struct client *c, enum wire_type type, uint64_t number)
{
        say(c, &(struct message){.type = type, .number = number});
}

void say_bye(struct client *c)
{
        say(c, &(struct message){.type = WIRE_BYE, .verdict = {.text = fake_text("")}});
}

void fake_sub(struct client *c, uint32_t sub, const char *filter)
{
        say_sub(c, c->last_id + 1, sub, filter);
        fake_go(c);
        if (!c->fake->inside)
                expect_ok(c, c->last_id, WIRE_OVERFLOW_BLOCK);
}

void fake_pub(struct client *c, const char *topic, const char *payload)
{
        say_pub(c, topic, payload);
        fake_go(c);
}

void fake_confirmed(struct client *c, uint64_t id, const char *topic, const char *payload)
{
        say_ingress(c, WIRE_INGRESS_CONFIRM, id);
        say_pub(c, topic, payload);
        fake_go(c);
}

uint64_t fake_ask(
        struct client *c, uint64_t id, uint64_t timeout_ms, const char *topic, struct client *by)
{
        say_request(c, id, timeout_ms);
        say_pub(c, topic, "?");
        fake_go(c);
        const struct got *g = by ? fake_next(by) : NULL;
        return g && g->m.type == WIRE_PUB ? g->delivery.token : 0;
}

void fake_reply(struct client *c, uint64_t token, uint64_t flags, uint64_t id, const char *payload)
{
        say_reply(c, token, flags, id);
        say_pub(c, "", payload);
        fake_go(c);
}

void fake_join(
        struct client *c, uint32_t sub, const char *filter, const char *group, uint64_t window)
{
        struct message m = {
                .type = WIRE_SUB,
                .sub = {.id = ++c->last_id,
                        .sub = sub,
                        .filter = {(const uint8_t *)filter, strlen(filter)},
                        .has_window = window > 0,
                        .window = window},
        };

        if (group)
                m.sub.group = (struct slice){(const uint8_t *)group, strlen(group)};
        say(c, &m);
        fake_go(c);
        expect_ok(c, c->last_id, 0);
}

void fake_give_back(struct client *c, uint32_t sub, uint64_t amount)
{
        say(c, &(struct message){.type = WIRE_CREDIT, .credit = {WIRE_CREDIT_SUB, sub, amount}});
        fake_go(c);
}

/* ------------------------------------------------------------------- hear */

struct got *fake_next(struct client *c)
{
        if (c->current)
                buf_deinit(&c->current->whole);
        free(c->current);
        c->current = c->first;
        if (c->first)
                c->first = c->first->next;
        if (!c->first)
                c->last = NULL;
        return c->current;
}

bool slice_is(struct slice s, const char *wanted)
{
        return s.len == strlen(wanted) && !memcmp(s.data, wanted, s.len);
}

static void print_verdict(const struct got *g)
{
        const struct msg_verdict *v = &g->m.verdict;

        print_error("got type 0x%02x id %" PRIu64 " %s: %.*s\n", g->m.type, v->id,
                wire_code_name(v->code), (int)v->text.len, (const char *)v->text.data);
}

static void print_got(const struct got *g)
{
        if (!g)
                print_error("got nothing\n");
        else if (g->m.type == WIRE_BYE || g->m.type == WIRE_ERR)
                print_verdict(g);
        else if (g->m.type == WIRE_OK)
                print_error("got OK(%" PRIu64 ", %" PRIu64 ", n = %" PRIu64 ")\n", g->m.ok.id,
                        g->m.ok.value, g->m.ok.n);
        else if (g->m.type == WIRE_PUB)
                print_error("got publication %" PRIu64 " '%.*s' of %zu bytes: %.*s\n",
                        g->delivery.seq, (int)g->m.pub.topic.len, (const char *)g->m.pub.topic.data,
                        g->m.pub.payload.len, (int)size_min(g->m.pub.payload.len, 40),
                        (const char *)g->m.pub.payload.data);
        else
                print_error("got type 0x%02x\n", g->m.type);
}

static void check(bool is_right, const struct got *g, const char *file, int line)
{
        if (is_right)
                return;
        print_got(g);
        _fail(file, line);
}

struct got *fake_expect(struct client *c, enum wire_type type, const char *file, int line)
{
        struct got *g = fake_next(c);

        check(g && g->m.type == type, g, file, line);
        return g;
}

struct got *fake_expect_ok(
        struct client *c, uint64_t id, uint64_t value, uint64_t n, const char *file, int line)
{
        struct got *next = c->first;

        /* One answer for several, of which this one is asked for: the rest stays to be expected. */
        if (n == 1 && next && next->m.type == WIRE_OK && next->m.ok.n > 1) {
                check(next->m.ok.id == id && next->m.ok.value == value, next, file, line);
                next->m.ok.id++;
                next->m.ok.n--;
                return next;
        }
        struct got *g = fake_expect(c, WIRE_OK, file, line);
        const struct msg_ok *ok = &g->m.ok;

        check(ok->id == id && ok->value == value && ok->n == n, g, file, line);
        return g;
}

struct got *fake_expect_err(
        struct client *c, uint64_t id, enum wire_code code, const char *file, int line)
{
        struct got *g = fake_expect(c, WIRE_ERR, file, line);

        check(g->m.verdict.id == id && g->m.verdict.code == code, g, file, line);
        return g;
}

struct got *fake_expect_bye(struct client *c, enum wire_code code, const char *file, int line)
{
        struct got *g = fake_expect(c, WIRE_BYE, file, line);

        check(g->m.verdict.code == code && c->is_gone && !c->first, g, file, line);
        return g;
}

struct got *fake_expect_pub(
        struct client *c, const char *topic, const char *payload, const char *file, int line)
{
        struct got *g = fake_expect(c, WIRE_PUB, file, line);
        size_t n = strlen(payload);

        /* A payload made by say_large begins with it and goes on with dots. */
        check(slice_is(g->m.pub.topic, topic) && g->m.pub.payload.len >= n &&
                        !memcmp(g->m.pub.payload.data, payload, n) &&
                        (g->m.pub.payload.len == n || g->m.pub.payload.data[n] == '.'),
                g, file, line);
        return g;
}

void fake_expect_nothing(struct client *c, const char *file, int line)
{
        struct got *g = fake_next(c);

        check(!g, g, file, line);
}

uint64_t fake_report(struct fake *f, const char *key)
{
        struct buf json cleanup_(buf_deinit) = BUF_INIT;
        char pattern[64];

        must(core_report(f->core, f->now_ns, &json));
        must(buf_push(&json, "", 1));
        snprintf(pattern, sizeof(pattern), "\"%s\":", key);
        const char *at = strstr((const char *)json.data, pattern);
        if (!at)
                fail_msg("no %s in the report", key);
        return strtoull(at + strlen(pattern), NULL, 10);
}

size_t fake_count(struct client *c)
{
        size_t n = 0;

        for (struct got *g; (g = fake_next(c));)
                n += g->m.type == WIRE_PUB;
        return n;
}

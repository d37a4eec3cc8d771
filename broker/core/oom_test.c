/* Memory runs out at every place where it can: the Nth allocation of a fixed scenario fails, once
 * or from then on, for every N until the scenario runs clean. Nothing crashes or leaks (under
 * asan), the invariants hold after every call, whoever is still there has all its answers, and a
 * pair of bystanders, for whom there is memory, sees what it always sees. */
#include "broker/core/fake.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static struct {
        bool is_inside; /* the core, */
        bool is_scarce; /* by somebody for whom memory may run out */
        bool for_ever;
        uint64_t left, n; /* allocations until the first failure; so far */
} memory;

static bool fails(void)
{
        if (!memory.is_inside || !memory.is_scarce)
                return false;
        memory.n++;
        if (memory.left && --memory.left)
                return false;
        if (!memory.for_ever)
                memory.is_scarce = false;
        return true;
}

void *__wrap_malloc(size_t n)
{
        return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
        return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
        return fails() ? NULL : __real_realloc(p, n);
}

static void inside(bool is_inside)
{
        memory.is_inside = is_inside;
}

/* --------------------------------------------------------------- the play */

enum { IDS = 128 };

struct cast {
        struct fake f;
        struct client *pub, *fast, *slow, *asker, *svc; /* poor */
        struct client *from, *to;                       /* bystanders */
        uint64_t n_stream;
};

/* What the bystanders do between any two acts of the others. */
static void stream(struct cast *t)
{
        char text[24];
        bool was = memory.is_scarce;

        memory.is_scarce = false;
        snprintf(text, sizeof(text), "%" PRIu64, t->n_stream++);
        say_ingress(t->from, WIRE_INGRESS_CONFIRM, t->from->last_id + 1);
        say_pub(t->from, "by.standers", text);
        fake_go(t->from);
        expect_ok(t->from, t->from->last_id, 1);
        const struct got *g = expect_pub(t->to, "by.standers", text);
        CHECK_EQ(g->delivery.seq, t->n_stream);
        memory.is_scarce = was;
}

static void go(struct cast *t, struct client *c)
{
        if (!c->packet.len)
                return;
        fake_go(c);
        stream(t);
}

static void enter_stage(struct cast *t)
{
        struct client **all[] = {&t->pub, &t->fast, &t->slow, &t->asker, &t->svc};

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                *all[i] = fake_open(&t->f);
                stream(t);
        }
}

static void subscribe(struct cast *t, struct client *c, const char *filter)
{
        say_sub(c, c->last_id + 1, (uint32_t)c->last_id + 1, filter);
        go(t, c);
}

static void publish(struct cast *t, const char *topic, size_t len)
{
        say_ingress(t->pub, WIRE_INGRESS_CONFIRM, t->pub->last_id + 1);
        say_pub(t->pub, topic, "x");
        t->pub->last_id++;
        say_pub(t->pub, topic, "y");
        if (len)
                say_large(t->pub, topic, "z", len);
        t->pub->last_id += len > 0;
        go(t, t->pub);
}

static void publish_fds(struct cast *t)
{
        struct fdset *fds = NULL;
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        CHECK_EQ(fdset_new_take(&fd, 1, &t->f.yard, &fds), 0);
        say_ingress(t->pub, WIRE_INGRESS_CONFIRM, t->pub->last_id + 1);
        say_bytes(t->pub, "95 10 01 a1 61 80 c4 00");
        fake_feed_fds(t->pub, fds);
        fake_flush(&t->f);
        stream(t);
}

static void ask(struct cast *t, const char *topic, uint64_t ms)
{
        say_request(t->asker, t->asker->last_id + 1, ms);
        say_pub(t->asker, topic, "?");
        go(t, t->asker);
}

/* Answers what `svc` has received, `n` times with MORE to come. */
static void answer_all(struct cast *t, int n)
{
        uint64_t token = 0;

        for (const struct got *g; (g = fake_next(t->svc));)
                token = g->m.type == WIRE_PUB && g->delivery.token ? g->delivery.token : token;
        for (; n >= 0; n--) {
                say_reply(t->svc, token, n ? WIRE_DELIVERY_MORE : 0, t->svc->last_id + 1);
                say_pub(t->svc, "", "!");
        }
        go(t, t->svc);
}

static void act_publishing(struct cast *t)
{
        subscribe(t, t->fast, "a");
        subscribe(t, t->fast, "b.>");
        subscribe(t, t->slow, "*");
        subscribe(t, t->slow, "b.c.d");
        t->slow->room = 0;
        publish(t, "a", 0);
        publish(t, "b.c.d", 3000);
        publish_fds(t);
        for (int i = 0; i < 4; i++)
                publish(t, "a", 0); /* parked at last */
        publish(t, "bad..topic", 0);
        say_unsub(t->fast, t->fast->last_id + 1, 1);
        go(t, t->fast);
        if (!t->slow->is_gone)
                fake_room(t->slow, SIZE_MAX);
        stream(t);
}

static void act_asking(struct cast *t)
{
        subscribe(t, t->svc, "svc.*");
        ask(t, "svc.time", 100);
        answer_all(t, 2);
        ask(t, "$sys.status", 0);
        t->asker->room = 0;
        ask(t, "svc.time", 50);
        answer_all(t, 1);
        ask(t, "nobody", 0);  /* an error in its place behind the replies */
        ask(t, "svc.no", 50); /* ends by its deadline */
        ask(t, "svc.no", 0);
        say_number(t->asker, WIRE_CANCEL, t->asker->last_id);
        go(t, t->asker);
        fake_tick(&t->f, 60);
        if (t->f.config.limits.queue_messages == 8)
                t->svc->room = 0; /* so that they wait, each with a deadline */
        for (int i = 0; i < 20; i++)
                ask(t, "svc.gone", 0);
        fake_close(t->svc);
        stream(t);
        if (!t->asker->is_gone)
                fake_room(t->asker, SIZE_MAX);
        stream(t);
}

/* Replies wait behind a full receiver; their responder goes before they are through. */
static void act_replying_late(struct cast *t)
{
        struct client *svc = fake_open(&t->f), *slow = fake_open(&t->f);

        subscribe(t, svc, "late");
        subscribe(t, slow, "*");
        slow->room = 0;
        for (int i = 0; i < 3; i++)
                ask(t, "late", 0);
        for (int i = 0; i < 10; i++) {
                say_pub(svc, "x", "x");
                go(t, svc);
        }
        for (const struct got *g; (g = fake_next(svc));) {
                if (g->m.type != WIRE_PUB)
                        continue;
                say_reply(svc, g->delivery.token, 0, 0);
                say_pub(svc, "", "!");
        }
        go(t, svc);
        fake_close(svc);
        if (!slow->is_gone)
                fake_room(slow, SIZE_MAX);
        stream(t);
        fake_forget(slow);
}

/* More sessions than there were places for. */
static void act_crowd(struct cast *t)
{
        struct client *crowd[64];

        for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
                crowd[i] = fake_connect(&t->f);
        stream(t);
        for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
                fake_close(crowd[i]);
}

/* A session in everything: it asks itself, feeds itself, and leaves while it waits for itself. */
static void act_alone(struct cast *t)
{
        struct client *c = fake_open(&t->f);

        for (int i = 0; i < 70; i++) /* more than one DELIVERY tells */
                say_sub(c, c->last_id + 1, (uint32_t)c->last_id + 1, i % 2 ? "me" : "*");
        go(t, c);
        c->room = 0;
        for (int i = 0; i < 6; i++) {
                say_request(c, c->last_id + 1, 0);
                say_pub(c, "me", "?");
                say_pub(c, "me", "!");
                go(t, c);
        }
        say_bye(c);
        go(t, c);
        if (!c->is_gone)
                fake_room(c, SIZE_MAX);
        fake_forget(c);
}

/* ------------------------------------------------------------- afterwards */

/* With memory again, whoever is still there has an answer to everything it asked. */
static void check_answers(struct client *c)
{
        bool is_answered[IDS] = {false};

        if (c->is_gone)
                return;
        for (const struct got *g; (g = fake_next(c));) {
                uint64_t from = 0, n = 1;
                if (g->m.type == WIRE_OK) {
                        from = g->m.ok.id;
                        n = g->m.ok.n;
                } else if (g->m.type == WIRE_ERR) {
                        from = g->m.verdict.id;
                } else if (g->m.type == WIRE_PUB) {
                        from = g->delivery.request;
                        n = !(g->delivery.flags & WIRE_DELIVERY_MORE);
                }
                for (; n && from; from++, n--)
                        is_answered[from] = true;
        }
        for (uint64_t id = 1; id <= c->last_id; id++) {
                if (!is_answered[id])
                        fail_msg("%" PRIu64 " was never answered", id);
        }
}

static void make_scarce(uint64_t nth, bool for_ever)
{
        memset(&memory, 0, sizeof(memory));
        memory.left = nth;
        memory.for_ever = for_ever;
        memory.is_scarce = nth > 0;
}

static void play(const char *limits, uint64_t nth, bool for_ever)
{
        struct cast t = {.n_stream = 0};

        fake_init_with(&t.f, limits);
        t.from = fake_open(&t.f);
        t.to = fake_open(&t.f);
        fake_sub(t.to, 1, "by.*");
        t.f.inside = inside;
        make_scarce(nth, for_ever);
        enter_stage(&t);
        act_publishing(&t);
        act_asking(&t);
        act_replying_late(&t);
        act_alone(&t);
        act_crowd(&t);
        memory.is_scarce = false;
        fake_tick(&t.f, 60000);
        stream(&t);
        struct client *const all[] = {t.pub, t.asker, t.fast, t.slow};
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                check_answers(all[i]);
        CHECK(!t.from->is_gone && !t.to->is_gone);
        for (size_t i = 0; i < t.f.n_clients; i++)
                fake_close(t.f.clients[i]);
        CHECK_EQ(fake_report(&t.f, "requests"), 0);
        CHECK_EQ(fake_report(&t.f, "parked_bytes"), 0);
        fake_deinit(&t.f);
}

static void play_all(bool for_ever)
{
        /* With the one every publication starts a watch, with the other hardly any. */
        static const char *const limits[] = {"queue_messages=3", "queue_messages=8"};

        for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
                uint64_t nth = 1;
                do {
                        play(limits[i], nth, for_ever);
                } while (memory.n >= nth++);
                CHECK(nth > 200); /* the play is not empty */
        }
}

TEST(the_scenario_runs_clean_with_memory)
{
        play("queue_messages=3", 0, false);
}

TEST(any_allocation_may_fail)
{
        play_all(false);
}

TEST(any_allocation_may_be_the_last)
{
        play_all(true);
}

/* Tables that are made when they are first needed, and the core itself. */
static void play_first(uint64_t nth, bool for_ever)
{
        struct core_config config = {.name = "first", .rights = 0xff};
        struct fake f = {.inside = inside, .now_ns = 1};

        core_limits_default(&config.limits);
        make_scarce(nth, for_ever);
        inside(true);
        int r = core_new(&config, f.now_ns, &f.core);
        inside(false);
        if (r < 0) {
                CHECK_EQ(r, -ENOMEM);
                return;
        }
        struct client *c = fake_connect_as(&f, &(struct core_peer){.pid = 1});
        if (!c->is_gone) {
                say_hello(c, "first");
                fake_go(c);
        }
        for (int i = 0; i < 2 && !c->is_gone; i++) {
                say_sub(c, c->last_id + 1, (uint32_t)c->last_id + 1, "a.b");
                say_request(c, c->last_id + 1, 0);
                say_pub(c, "a.b", "?");
                fake_go(c);
        }
        fake_deinit(&f);
}

TEST(the_first_of_everything_may_fail)
{
        for (int for_ever = 0; for_ever < 2; for_ever++) {
                uint64_t nth = 1;
                do {
                        play_first(nth, for_ever);
                } while (memory.n >= nth++);
        }
}

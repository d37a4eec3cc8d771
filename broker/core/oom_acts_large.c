/* Design note. The second play: payloads that come and go in chunks or as memory files, descriptors
 * that have to wait, and gaps. */
#include "broker/core/oom.h"

#include "proto/wire/limits.h"
#include "tests/harness/test.h"

#include <string.h>

enum { SIZE = 70000 };

static void send_fds(struct cast *t, struct client *c, struct fdset *fds)
{
        fake_feed_fds(c, fds);
        fake_flush(&t->f);
        oom_stream(t);
}

static void confirm(struct client *c)
{
        say_ingress(c, WIRE_INGRESS_CONFIRM, c->last_id + 1);
}

/* More than the first block of a buffer takes. */
static void begin_with_headers(struct client *c, const char *topic)
{
        static uint8_t headers[400] = {0x81, 0xa1, 'k', 0xc5, 0x01, 0x8a};

        say(c, &(struct message){.type = WIRE_BEGIN,
                       .pub = {.topic = {(const uint8_t *)topic, 1},
                               .headers = {headers, sizeof(headers)}}});
}

static void upload(struct cast *t, struct client *c, uint64_t size)
{
        fake_chunks(c, 1, size, 30000);
        say_end(c, 0);
        oom_go(t, c);
}

static void place(struct cast *t, const char *topic, uint32_t n)
{
        confirm(t->pub);
        say_placed(t->pub, topic, n + 1, SIZE);
        send_fds(t, t->pub, fake_placed_fds(&t->f, n, 1, SIZE));
}

static void receive(struct cast *t, struct client *c)
{
        while (!c->is_gone && c->n_flying) {
                say_credit(c, c->n_flying);
                oom_go(t, c);
        }
}

static void enter(struct cast *t)
{
        struct client **all[] = {&t->pub, &t->fast, &t->slow, &t->asker, &t->svc};

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                *all[i] = fake_open(&t->f);
                oom_stream(t);
        }
        t->memfd = fake_open_memfd(&t->f);
        fake_sub_fds(t->fast, 1, "a", 16);
        fake_sub_fds(t->memfd, 1, "*", 16);
        fake_sub(t->slow, 1, "a");
        fake_sub(t->slow, 2, "*");
        fake_sub(t->svc, 1, "s");
        oom_stream(t);
}

static void act_uploads(struct cast *t)
{
        confirm(t->pub);
        begin_with_headers(t->pub, "a");
        oom_go(t, t->pub);
        upload(t, t->pub, 600);
        confirm(t->pub);
        say_begin(t->pub, "a", 2, 0);
        send_fds(t, t->pub, fake_fds(&t->f, 2));
        upload(t, t->pub, SIZE);
        confirm(t->pub);
        say_begin(t->pub, "a", 1, SIZE);
        send_fds(t, t->pub, fake_fds(&t->f, 1));
        fake_chunks(t->pub, 1, SIZE / 2, 30000);
        say_end(t->pub, 1);
        oom_go(t, t->pub);
        confirm(t->pub);
        say_begin(t->pub, "*", 0, 0);
        upload(t, t->pub, SIZE);
        say_begin(t->pub, "a", 1, 0); /* for those who leave in the middle */
        send_fds(t, t->pub, fake_fds(&t->f, 1));
        t->f.append_fails = true;
        upload(t, t->pub, SIZE);
        t->f.append_fails = false;
        receive(t, t->fast);
        receive(t, t->memfd);
}

/* As many deadlines as there is room for: the next one needs memory. */
static void fill_clock(struct cast *t)
{
        for (int i = 0; i < 16; i++) {
                say_request(t->asker, t->asker->last_id + 1, 500);
                say_pub(t->asker, "s", "?");
                oom_go(t, t->asker);
        }
}

/* Wait for the budget, for the kernel, and in vain. */
static void act_descriptors(struct cast *t)
{
        fill_clock(t);
        for (int i = 0; i < 4; i++)
                place(t, "a", 8);
        for (int i = 0; i < 4; i++) {
                receive(t, t->fast);
                receive(t, t->memfd);
        }
        t->f.scarce = true;
        place(t, "a", 2);
        for (int i = 0; i <= 10; i++)
                fake_tick(&t->f, LIMIT_FLIGHT_RETRY_MS);
        t->f.scarce = false;
        oom_stream(t);
        receive(t, t->fast);
        receive(t, t->memfd);
}

static void datagram(struct cast *t, const char *topic)
{
        static const struct core_peer sender = {.pid = 1, .uid = 1000, .gid = 1000};
        struct client *box = t->from; /* for its packet alone */

        say_pub(box, topic, "x");
        oom_inside(true);
        (void)core_datagram(t->f.core, &sender, box->packet.data, box->packet.len, t->f.now_ns);
        oom_inside(false);
        buf_clear(&box->packet);
        fake_check(&t->f);
        fake_flush(&t->f);
        oom_stream(t);
}

static void act_full(struct cast *t)
{
        if (t->slow->is_gone)
                return;
        t->slow->room = 0;
        for (int i = 0; i < 4; i++) {
                datagram(t, "a");
                datagram(t, "b");
                datagram(t, "a");
        }
        fake_room(t->slow, SIZE_MAX);
        if (!t->slow->is_gone)
                t->slow->room = 0;
        place(t, "a", 0);
        confirm(t->pub);
        say_begin(t->pub, "a", 0, 0);
        upload(t, t->pub, SIZE); /* parked */
        place(t, "b", 0);
        fake_room(t->slow, 66000);
        t->slow->reads_nothing = true;
        if (!t->slow->is_gone)
                fake_room(t->slow, SIZE_MAX);
        t->slow->reads_nothing = false;
        receive(t, t->fast);
        receive(t, t->memfd);
        oom_stream(t);
}

static void reply(struct cast *t, uint64_t flags)
{
        uint64_t token = 0;

        for (const struct got *g; (g = fake_next(t->svc));)
                token = g->delivery.token ? g->delivery.token : token;
        say_reply(t->svc, token, flags, t->svc->last_id + 1);
        say_begin(t->svc, "", 0, 0);
        upload(t, t->svc, SIZE);
}

static void act_asking_for_much(struct cast *t)
{
        for (int i = 0; i < 3; i++) {
                say_request(t->asker, t->asker->last_id + 1, 0);
                begin_with_headers(t->asker, "s");
                upload(t, t->asker, SIZE);
                if (!t->asker->is_gone && i)
                        fake_room(t->asker, i == 1 ? 0 : 66000);
                t->asker->reads_nothing = i == 2;
                reply(t, i == 2 ? WIRE_DELIVERY_MORE : 0);
                if (!t->asker->is_gone)
                        fake_room(t->asker, SIZE_MAX);
        }
        t->asker->reads_nothing = false;
}

static void act_leaving(struct cast *t)
{
        struct client *c = fake_open_memfd(&t->f);

        fake_sub_fds(c, 1, "a", 16);
        for (int i = 0; i < 3; i++)
                place(t, "a", 8);
        say_begin(c, "a", 0, 0);
        fake_chunks(c, 1, SIZE, 30000);
        say_bye(c);
        oom_go(t, c);
        for (int i = 0; i < 4; i++) {
                receive(t, c);
                receive(t, t->fast);
                receive(t, t->memfd);
        }
        fake_forget(c);
}

void oom_play_large(struct cast *t)
{
        enter(t);
        act_uploads(t);
        act_descriptors(t);
        act_full(t);
        act_asking_for_much(t);
        act_leaving(t);
        fake_bury(&t->f);
}

/* Design note. Members of groups that acknowledge. */
#include "broker/core/fake.h"

#include "tests/harness/test.h"

#include <string.h>

void say_member(struct client *c, uint32_t sub, const char *filter, const char *group,
        const struct fake_ack *a)
{
        say(c, &(struct message){
                       .type = WIRE_SUB,
                       .sub = {.id = ++c->last_id,
                               .sub = sub,
                               .filter = fake_text(filter),
                               .group = fake_text(group),
                               .has_window = a->window > 0,
                               .window = a->window,
                               .max_fds = a->max_fds,
                               .queue_messages = a->queue_messages,
                               .ack = true,
                               .ack_ms = a->ack_ms,
                               .max_deliveries = a->max_deliveries},
               });
}

void fake_member(struct client *c, uint32_t sub, const char *filter, const char *group,
        const struct fake_ack *a)
{
        say_member(c, sub, filter, group, a);
        fake_go(c);
        if (!c->fake->inside)
                expect_ok(c, c->last_id, 0);
}

void fake_acknowledge(struct client *c, uint64_t first, uint64_t last)
{
        say(c, &(struct message){.type = WIRE_ACK, .ack = {first, last, 0}});
        fake_go(c);
}

void fake_refuse(struct client *c, uint64_t first, uint64_t last, uint64_t delay_ms)
{
        say(c, &(struct message){.type = WIRE_NACK, .ack = {first, last, delay_ms}});
        fake_go(c);
}

struct got *fake_expect_again(struct client *c, const char *topic, const char *payload,
        uint64_t redelivered, const char *file, int line)
{
        struct got *g = fake_expect_pub(c, topic, payload, file, line);

        if (g->delivery.redelivered != redelivered) {
                print_error("redelivered %u times\n", (unsigned)g->delivery.redelivered);
                _fail(file, line);
        }
        return g;
}

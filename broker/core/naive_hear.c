/* Design note. Two ways to say the same, compared field by field. */
#include "broker/core/naive_hear.h"

#include "tests/harness/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char *naive_text(char topic, char text[2])
{
        if (topic == NAIVE_DEAD)
                return "$sys.dead";
        text[0] = topic;
        text[1] = '\0';
        return text;
}

static bool is_same_pub(const struct got *g, const struct naive_word *w)
{
        const struct naive_entry *e = &w->entry;
        const struct msg_delivery *d = &g->delivery;
        char topic[2], payload[16] = "";

        if (e->msg->number)
                snprintf(payload, sizeof(payload), "%u", e->msg->number);
        bool is_to_same = d->n_subs == e->n_subs;
        for (uint32_t i = 0; is_to_same && i < d->n_subs; i++)
                is_to_same = d->subs[i] == e->subs[i];
        return is_to_same && d->seq == w->seq && d->session == e->msg->sender &&
               d->redelivered == e->redelivered &&
               d->flags == (e->is_retained ? WIRE_DELIVERY_RETAINED : 0) &&
               slice_is(g->m.pub.topic, naive_text(e->msg->topic, topic)) &&
               slice_is(g->m.pub.payload, payload);
}

bool naive_is_heard(const struct got *g, const struct naive_word *w)
{
        if (g->m.type != w->type)
                return false;
        switch (w->type) {
        case WIRE_OK:
                return g->m.ok.id == w->id && g->m.ok.value == w->value;
        case WIRE_ERR:
                return g->m.verdict.id == w->id && g->m.verdict.code == w->value;
        case WIRE_BYE:
                return g->m.verdict.code == w->value;
        case WIRE_GAP:
                return g->m.gap.sub == w->id && g->m.gap.count == w->count &&
                       g->m.gap.reason == w->reason && g->m.gap.seq == w->seq;
        case WIRE_PUB:
                return is_same_pub(g, w);
        default:
                return false;
        }
}

static void print_word(const char *who, const struct naive_word *w)
{
        const struct naive_entry *e = &w->entry;

        if (w->type == WIRE_PUB)
                print_error("%s: publication %" PRIu64 " '%c' %u of %" PRIu64 " for %u.., %" PRIu64
                            " times before%s\n",
                        who, w->seq, e->msg->topic, e->msg->number, e->msg->sender, e->subs[0],
                        e->redelivered, e->is_retained ? ", retained" : "");
        else
                print_error("%s: type 0x%02x id %" PRIu64 " value %" PRIu64 " count %" PRIu64
                            " reason %" PRIu64 " seq %" PRIu64 "\n",
                        who, w->type, w->id, w->value, w->count, w->reason, w->seq);
}

static void print_got(const struct got *g)
{
        struct naive_msg m = {.topic = '?'};
        struct naive_word w = {.type = g->m.type};

        if (g->m.type == WIRE_PUB) {
                w.seq = g->delivery.seq;
                w.entry = (struct naive_entry){.msg = &m,
                        .subs = {g->delivery.n_subs ? g->delivery.subs[0] : 0},
                        .is_retained = g->delivery.flags,
                        .redelivered = g->delivery.redelivered};
                m.topic = (char)g->m.pub.topic.data[0];
                m.sender = g->delivery.session;
                m.number = (unsigned)strtoul((const char *)g->m.pub.payload.data, NULL, 10);
        } else if (g->m.type == WIRE_GAP) {
                w.id = g->m.gap.sub;
                w.count = g->m.gap.count;
                w.reason = g->m.gap.reason;
                w.seq = g->m.gap.seq;
        } else if (g->m.type == WIRE_OK) {
                w.id = g->m.ok.id;
                w.value = g->m.ok.value;
        } else {
                w.id = g->m.verdict.id;
                w.value = g->m.verdict.code;
        }
        print_word("the core", &w);
}

void naive_print(const struct naive_session *s, const struct got *g, const struct naive_word *w)
{
        print_error("session %" PRIu64 "\n", s->number);
        if (w)
                print_word("the naive", w);
        if (g)
                print_got(g);
}

void naive_check_report(struct fake *f, const struct naive *n)
{
        const struct {
                const char *key;
                uint64_t value;
        } sums[] = {
                {"published", n->count.published},
                {"delivered", n->count.delivered},
                {"unrouted", n->count.unrouted},
                {"discarded", n->count.discarded},
                {"dropped", n->count.dropped},
                {"returned", n->count.returned},
                {"dead", n->count.dead},
                {"queued", naive_queued(n)},
                {"parked", naive_parked(n)},
                {"waiting", naive_waiting(n)},
                {"unacknowledged", naive_unacked(n)},
                {"subscriptions", naive_subs(n)},
        };

        for (size_t i = 0; i < ARRAY_LEN(sums); i++) {
                uint64_t value = fake_report(f, sums[i].key);
                if (value != sums[i].value)
                        fail_msg("%s: the core has %" PRIu64 ", the naive %" PRIu64, sums[i].key,
                                value, sums[i].value);
        }
}

void naive_check_sum(struct fake *f, const struct naive *n)
{
        static const char *const parts[] = {
                "delivered", "dropped", "discarded", "dead", "queued", "waiting"};
        uint64_t sum = 0;

        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                sum += fake_report(f, parts[i]);
        CHECK_EQ(sum, n->count.owed + fake_report(f, "returned"));
}

/* Design note. The addresses are tried in turn, all under one deadline; the first with a broker
 * that may be trusted and that says WELCOME is taken. Why the others were not is kept in one line:
 * it is the error if none is left, and else told to the log.
 *
 * Nothing here waits: an event loop connects, and a handle that stays connected comes back, by the
 * same steps that a blocking call takes one after the other. After a broker has failed to greet, a
 * step ends, so that whoever polls sees that there is no descriptor before there is another one. */
#include "client/connect.h"
#include "client/stay.h"

#include "proto/link/connect.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The more a reason tells, the higher it ranks. */
static int rank(int error)
{
        return error == -EACCES ? 3 : error == -EPROTO ? 2 : 1;
}

static void skip(struct join *j, const struct refusal *why)
{
        struct skipped *s = &j->skipped;
        size_t len = strlen(s->text);

        snprintf(s->text + len, sizeof(s->text) - len, "%s%s: %s", len ? "; " : "", j->address,
                why->text);
        if (s->error && rank(why->error) <= rank(s->error))
                return;
        s->error = why->error;
        s->code = why->code;
}

static struct join *new_join(struct baton *b, uint64_t until_ns)
{
        struct join *j = b->stay ? take_ptr(b->stay->spare) : NULL;

        if (!j && !(j = malloc(sizeof(*j))))
                return NULL;
        *j = (struct join){.until_ns = until_ns, .rest_ms = JOIN_BUSY_FIRST_MS};
        return j;
}

int join_new(struct baton *b, const struct address *list, size_t n, uint64_t until_ns)
{
        struct join *j = new_join(b, until_ns);

        if (!j)
                return handle_fail(b, -ENOMEM, "out of memory");
        memcpy(j->list, list, n * sizeof(*list));
        j->n = n;
        j->again = b->stay != NULL;
        b->join = j;
        return 0;
}

int join_new_link(struct baton *b, struct link *link, const struct cred *broker, bool is_inherited,
        const char *address, uint64_t until_ns)
{
        struct join *j = new_join(b, until_ns);

        if (!j) {
                link_free(link);
                return handle_fail(b, -ENOMEM, "out of memory");
        }
        j->link = link;
        j->broker = *broker;
        j->is_inherited = is_inherited;
        snprintf(j->address, sizeof(j->address), "%s", address);
        b->join = j;
        return 0;
}

/* The next one should not want for memory. */
static void retire(struct baton *b, struct join *j)
{
        j->link = link_free(j->link);
        if (b->stay && !b->stay->spare)
                b->stay->spare = j;
        else
                free(j);
}

void join_end(struct baton *b, const struct verdict *v)
{
        struct join *j = take_ptr(b->join);

        if (!j)
                return;
        if (j->op)
                op_end(b, j->op, v, false);
        retire(b, j);
}

/* ---------------------------------------------------------------- one address */

static void rest(struct join *j, int ms)
{
        j->at_ns = clock_deadline(ms);
}

/* Returns true if there is time for another try of the same. */
static bool rest_because_busy(struct join *j)
{
        if (clock_left_ms(j->until_ns) == 0)
                return false;
        /* Who goes on for ever should try the others too. */
        if (j->again && j->rest_ms >= JOIN_BUSY_MOST_MS)
                return false;
        rest(j, j->rest_ms);
        j->rest_ms = j->rest_ms * 2 > JOIN_BUSY_MOST_MS ? JOIN_BUSY_MOST_MS : j->rest_ms * 2;
        return true;
}

int connect_errno(int r)
{
        if (r < 0)
                return r;
        switch (r) {
        case LINK_E_DENIED:
                return -EACCES;
        case LINK_E_BUSY:
                return -ETIMEDOUT;
        default:
                return -ECONNREFUSED;
        }
}

/* A broker that accepts and does not greet must not be the end of trying others, or later. */
static void limit_greeting(struct join *j)
{
        bool is_last = !j->again && j->i + 1 >= j->n;

        j->greeting_ns = is_last ? UINT64_MAX : clock_deadline(JOIN_GREETING_MS);
        if (j->until_ns < j->greeting_ns)
                j->greeting_ns = j->until_ns;
}

static int greet(struct baton *b, struct join *j, struct link *link, struct refusal *why)
{
        int r = hello_say(b, link, j->is_inherited, why);

        if (r < 0) {
                link_free(link);
                return r;
        }
        limit_greeting(j);
        j->link = link;
        return 0;
}

/* Returns 0 greeted, or publishing in datagrams · CONNECT_E_BUSY · -errno. */
static int try_address(struct baton *b, struct join *j, struct refusal *why)
{
        const struct address *a = &j->list[j->i];
        struct link *link;
        struct link_why link_why;

        (void)address_format(a, j->address);
        if (a->transport == TRANSPORT_DGRAM)
                return datagram_open(b, a, why);
        int r = link_connect(a, NULL, &link, &j->broker, &link_why);
        if (r) {
                (void)refuse(why, connect_errno(r), link_why.text);
                return r == LINK_E_BUSY ? CONNECT_E_BUSY : why->error;
        }
        return greet(b, j, link, why);
}

/* ---------------------------------------------------------------- the steps */

static int give_up(struct baton *b)
{
        struct join *j = b->join;
        struct verdict v = {j->skipped.error, j->skipped.code, j->skipped.text};
        int error = handle_fail_code(b, v.result, v.code, v.text);

        if (j->is_return)
                stay_gone(b, &v);
        join_end(b, &v);
        return error;
}

/* What was skipped is the last of this pass. Returns JOIN_E_AGAIN · -errno. */
static int end_pass(struct baton *b)
{
        struct join *j = b->join;

        if (!j->again || !stay_is_passing(j->skipped.error) || clock_left_ms(j->until_ns) == 0)
                return give_up(b);
        rest(j, stay_delay_ms(b));
        if (j->at_ns > j->until_ns)
                j->at_ns = j->until_ns;
        j->i = 0;
        j->skipped = (struct skipped){.text = ""};
        return JOIN_E_AGAIN;
}

/* Returns 0 go on with the next address · as end_pass. */
static int skip_address(struct baton *b, const struct refusal *why)
{
        struct join *j = b->join;
        bool is_its_own = why->error == -ECONNREFUSED || why->error == -EACCES ||
                          why->error == -EPROTO ||
                          (why->error == -ETIMEDOUT && clock_left_ms(j->until_ns) != 0);

        skip(j, why);
        j->rest_ms = JOIN_BUSY_FIRST_MS;
        /* Out of time or memory: the next would fare no better. */
        if (!is_its_own || ++j->i >= j->n)
                return end_pass(b);
        return 0;
}

static int finish(struct baton *b)
{
        struct join *j = take_ptr(b->join);

        if (j->skipped.text[0])
                handle_log(b, "skipped: %s", j->skipped.text);
        if (j->link) {
                snprintf(b->facts.address, sizeof(b->facts.address), "%s", j->address);
                b->facts.broker = j->broker;
                b->link = take_ptr(j->link);
        }
        if (j->op)
                op_end(b, j->op, &(struct verdict){0, 0, ""}, false);
        stay_begin(b, j->list, j->n);
        retire(b, j);
        if (b->link)
                in_keep(b);
        stay_restore(b);
        return 0;
}

static int hear(struct baton *b)
{
        struct join *j = b->join;
        struct refusal why = {.text = ""};
        int r = hello_hear(b, j->link, j->is_inherited, &why);

        if (r == 0)
                return finish(b);
        if (r == HELLO_E_AGAIN) {
                if (clock_left_ms(j->greeting_ns) != 0)
                        return JOIN_E_AGAIN;
                (void)refuse(&why, -ETIMEDOUT, "no greeting from the broker in time");
        }
        j->link = link_free(j->link);
        rest(j, 0);
        r = skip_address(b, &why);
        return r ? r : JOIN_E_AGAIN;
}

static int go_on(struct baton *b)
{
        for (;;) {
                struct join *j = b->join;
                struct refusal why = {.text = ""};
                int r = try_address(b, j, &why);

                if (r == CONNECT_E_BUSY && rest_because_busy(j))
                        return JOIN_E_AGAIN;
                if (r == 0)
                        return b->dgram ? finish(b) : hear(b);
                if ((r = skip_address(b, &why)))
                        return r;
        }
}

static int greet_given(struct baton *b)
{
        struct join *j = b->join;
        struct link *link = take_ptr(j->link);
        struct refusal why = {.text = ""};

        int r = greet(b, j, link, &why);
        if (r == 0)
                return hear(b);
        skip(j, &why);
        return give_up(b);
}

int join_step(struct baton *b)
{
        struct join *j = b->join;

        if (!j->n && !j->greeting_ns)
                return greet_given(b);
        if (j->link)
                return hear(b);
        return clock_left_ms(j->at_ns) > 0 ? JOIN_E_AGAIN : go_on(b);
}

struct link *join_link(const struct baton *b)
{
        return b->join->link;
}

short join_events(const struct baton *b)
{
        return link_is_unsent(b->join->link) ? POLLIN | POLLOUT : POLLIN;
}

uint64_t join_next_ns(const struct baton *b)
{
        const struct join *j = b->join;

        if (j->link)
                return j->greeting_ns;
        return j->at_ns;
}

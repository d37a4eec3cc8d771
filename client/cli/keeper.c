/* Design note. Two states: connected (the handle's descriptor is polled), or waiting for the next
 * try (retry_ns). Tries come after 100 ms, then twice as late each time up to 5 s, each shortened
 * by a random part of up to half: clients that lost the same broker should not all come at once.
 *
 * The delay is reset when the subscriptions are confirmed, not when the connection is made: a
 * broker that accepts and then fails is not hammered. */
#include "client/cli/keeper.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MOST_MS = 5000, RECONNECT_MS = 2000 };

bool keeper_is_ready(const struct keeper *k)
{
        return baton_is_connected(k->cli->b) && k->n_confirmed == k->n_asked;
}

/* ---------------------------------------------------------------- subscribing */

static void note_ready(struct keeper *k)
{
        const uint8_t *instance = baton_instance(k->cli->b);
        bool is_another = memcmp(k->instance, instance, sizeof(k->instance)) != 0;

        memcpy(k->instance, instance, sizeof(k->instance));
        k->backoff_ms = 0;
        if (k->was_ready) {
                cli_say(k->cli, "reconnected to %s", baton_address(k->cli->b));
                if (k->on_returned)
                        k->on_returned(k, is_another);
        }
        k->was_ready = true;
        if (k->cli->verbose)
                cli_tell("ready");
}

static void on_confirmed(baton *b, int result, const char *text, void *arg)
{
        struct keeper *k = arg;
        size_t i = k->n_confirmed; /* answers come in the order of asking, the will's first */

        (void)b;
        if (result == -ENOTCONN || k->status)
                return; /* keeper_turn hears of it */
        if (result < 0 && k->will)
                k->status = cli_fail_about(
                        k->cli, result, i ? k->filters[i - 1] : k->will->topic, text);
        else if (result < 0)
                k->status = cli_fail_about(k->cli, result, k->filters[i], text);
        else if (++k->n_confirmed == k->n_asked)
                note_ready(k);
}

static int ask(struct keeper *k)
{
        baton *b = k->cli->b;
        int r = 0;

        k->n_confirmed = 0;
        k->n_asked = k->n_filters + (k->will != NULL);
        if (k->will)
                r = baton_publish_confirm(b, k->will, on_confirmed, k);
        for (size_t i = 0; i < k->n_filters && r == 0; i++)
                r = baton_subscribe_start(
                        b, k->filters[i], &k->options, k->on_message, on_confirmed, k, &k->sub);
        return r;
}

/* ---------------------------------------------------------------- losing and coming back */

static void plan_retry(struct keeper *k)
{
        unsigned random = 0;

        k->backoff_ms = k->backoff_ms ? k->backoff_ms * 2 : BACKOFF_FIRST_MS;
        if (k->backoff_ms > BACKOFF_MOST_MS)
                k->backoff_ms = BACKOFF_MOST_MS;
        if (getentropy(&random, sizeof(random)) < 0)
                random = 0; /* then all come at once, later */
        uint64_t ms = (uint64_t)k->backoff_ms - random % ((unsigned)k->backoff_ms / 2);
        k->retry_ns = cli_now_ns() + ms * 1000000;
}

/* What may be otherwise next time. A refusal is not. */
static bool is_passing(int error)
{
        return error != -EACCES && error != -EPERM && error != -EINVAL;
}

static int lose(struct keeper *k, int error)
{
        /* What was inherited cannot be had again. */
        if (!k->was_ready || !is_passing(error) || cli_is_inherited(k->cli))
                return cli_fail(k->cli, error);
        cli_say(k->cli, "%s; reconnecting", baton_error(k->cli->b));
        if (k->on_lost)
                k->on_lost(k);
        plan_retry(k);
        return 0;
}

static int retry(struct keeper *k)
{
        int r = baton_connect(k->cli->b, k->cli->addresses, RECONNECT_MS);

        if (r == 0 && cli_check_datagram(k->cli))
                return CLI_USAGE;
        if (r == 0)
                r = ask(k);
        if (r == 0)
                return 0;
        if (!is_passing(r) || baton_is_connected(k->cli->b))
                return cli_fail(k->cli, r);
        cli_note(k->cli, "%s", baton_error(k->cli->b));
        plan_retry(k);
        return 0;
}

int keeper_start(struct keeper *k)
{
        int status = cli_connect(k->cli, CLI_CONNECT_MS);

        if (status)
                return status;
        baton_set_nonblocking(k->cli->b, k->nonblocking);
        baton_set_gap(k->cli->b, k->on_gap, k);
        int r = ask(k);
        return r < 0 ? cli_fail(k->cli, r) : 0;
}

void keeper_poll(const struct keeper *k, struct pollfd *ret_pfd, int *ret_timeout_ms)
{
        const baton *b = k->cli->b;

        if (k->retry_ns) {
                *ret_pfd = (struct pollfd){.fd = -1};
                *ret_timeout_ms = cli_left_ms(k->retry_ns, -1);
        } else {
                *ret_pfd = (struct pollfd){.fd = baton_fd(b), .events = baton_events(b)};
                *ret_timeout_ms = baton_timeout(b);
        }
}

int keeper_turn(struct keeper *k)
{
        if (k->retry_ns) {
                if (cli_now_ns() < k->retry_ns)
                        return 0;
                k->retry_ns = 0;
                return retry(k);
        }
        int r = baton_process(k->cli->b);
        if (k->status)
                return k->status;
        return r < 0 && r != -EINTR ? lose(k, r) : 0;
}

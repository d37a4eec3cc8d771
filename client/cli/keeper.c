/* Design note. The library comes back by itself; here is what a tool adds. The handle is told to
 * stay connected only when it is: until then a broker that is not there is an error like others,
 * and said at once. The same holds until the broker has confirmed everything: one that goes away
 * before has not been there for this tool.
 *
 * Answers to the first connection's questions come to on_confirmed, those to later ones, which the
 * library asks, as events. */
#include "client/cli/keeper.h"

#include <errno.h>

static bool was_ready(const struct keeper *k)
{
        return k->n_asked && k->n_confirmed == k->n_asked;
}

static void tell_ready(const struct keeper *k)
{
        if (k->cli->verbose)
                cli_tell("ready");
}

/* ---------------------------------------------------------------- the first connection */

static void on_confirmed(baton *b, int result, const char *text, void *arg)
{
        struct keeper *k = arg;
        size_t i = k->n_confirmed; /* answers come in the order of asking, the will's first */

        (void)b;
        if (result == -ENOTCONN || k->status)
                return; /* the event tells it */
        if (result < 0 && k->will)
                k->status = cli_fail_about(
                        k->cli, result, i ? k->filters[i - 1] : k->will->topic, text);
        else if (result < 0)
                k->status = cli_fail_about(k->cli, result, k->filters[i], text);
        else if (++k->n_confirmed == k->n_asked)
                tell_ready(k);
}

static int ask(struct keeper *k)
{
        baton *b = k->cli->b;
        int r = 0;

        k->n_asked = k->n_filters + (k->will != NULL);
        if (k->will)
                r = baton_publish_confirm(b, k->will, on_confirmed, k);
        for (size_t i = 0; i < k->n_filters && r == 0; i++)
                r = baton_subscribe_start(
                        b, k->filters[i], &k->options, k->on_message, on_confirmed, k, &k->sub);
        return r;
}

/* ---------------------------------------------------------------- losing and coming back */

static void end_with(struct keeper *k, const struct baton_event *e)
{
        cli_say(k->cli, "%s", e->text);
        k->status = cli_status_of(e->error);
}

static void lose(struct keeper *k, const struct baton_event *e)
{
        const baton *b = k->cli->b;
        bool is_for_good = !baton_is_away(b) && !baton_is_connected(b);

        if (!was_ready(k)) {
                end_with(k, e);
                return;
        }
        if (k->on_lost)
                k->on_lost(k);
        if (!is_for_good) /* else the next event says so */
                cli_say(k->cli, "%s; reconnecting", e->text);
}

static void note_return(struct keeper *k, const struct baton_event *e)
{
        if (k->missed > 0)
                cli_say(k->cli, "reconnected to %s; %lld messages were missed", e->text,
                        (long long)k->missed);
        else
                cli_say(k->cli, "reconnected to %s", e->text);
        if (k->on_returned)
                k->on_returned(k, e->other_instance, k->missed);
        tell_ready(k);
}

static void on_event(baton *b, const struct baton_event *e, void *arg)
{
        struct keeper *k = arg;

        (void)b;
        if (k->status || k->is_over)
                return;
        switch (e->change) {
        case BATON_LOST:
                lose(k, e);
                break;
        case BATON_BACK:
                k->missed = e->missed;
                k->status = cli_check_datagram(k->cli);
                break;
        case BATON_READY:
                note_return(k, e);
                break;
        case BATON_DENIED:
                k->status = cli_fail_about(k->cli, e->error, e->filter, e->text);
                break;
        case BATON_GONE:
                end_with(k, e);
                break;
        }
}

/* ---------------------------------------------------------------- for the owner */

int keeper_start(struct keeper *k)
{
        struct baton_reconnect stay = {.on_event = on_event, .arg = k};
        int status = cli_connect(k->cli, CLI_CONNECT_MS);

        if (status)
                return status;
        baton_set_nonblocking(k->cli->b, k->nonblocking);
        baton_set_gap(k->cli->b, k->on_gap, k);
        int r = baton_set_reconnect(k->cli->b, &stay);
        if (r == 0)
                r = ask(k);
        return r < 0 ? cli_fail(k->cli, r) : 0;
}

int keeper_turn(struct keeper *k)
{
        int r = baton_process(k->cli->b);

        if (k->status)
                return k->status;
        return r < 0 && !k->is_over ? cli_fail(k->cli, r) : 0;
}

void keeper_end(struct keeper *k)
{
        baton *b = k->cli->b;

        k->is_over = true;
        if (b && baton_is_connected(b) && baton_close(b, CLI_CLOSE_MS) < 0)
                cli_note(k->cli, "%s", baton_error(b));
}

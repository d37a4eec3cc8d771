/* Design note. What a handle that stays connected has to say is an operation that has ended
 * already: it stands in the queue, in its place between messages, and owns its words. If there is
 * no memory for it the log is told at once. */
#include "client/stay.h"

#include <stdlib.h>
#include <string.h>

struct event {
        struct baton_event of;
        char *text, *filter; /* owned; NULL: none */
};

static void free_event(struct event *e)
{
        free(e->text);
        free(e->filter);
        free(e);
}

/* How the log says it. */
static const char *const words[] = {
        [BATON_LOST] = "",
        [BATON_BACK] = ": connected again",
        [BATON_READY] = ": ready",
        [BATON_DENIED] = " (not restored)",
        [BATON_GONE] = "; not trying any more",
};

void stay_push(struct baton *b, const struct baton_event *of)
{
        struct event *e = calloc(1, sizeof(*e));
        struct op *op = NULL;

        if (!e || ops_new(b, OP_EVENT, &op) < 0) {
                handle_log(b, "%s (no memory to tell it otherwise)", of->text);
                free(e);
                return;
        }
        e->of = *of;
        e->text = strdup(of->text);
        e->filter = of->filter ? strdup(of->filter) : NULL;
        e->of.text = e->text ? e->text : "";
        e->of.filter = of->filter && !e->filter ? "" : e->filter;
        op->arg = e;
        op_end(b, op, &(struct verdict){0, 0, ""}, false);
}

static void log_event(struct baton *b, const struct baton_event *e)
{
        const char *word = words[e->change];

        if (e->filter)
                handle_log(b, "%s: %s%s", e->filter, e->text, word);
        else if (e->uncertain)
                handle_log(b, "%s%s; up to %llu publications may not have arrived", e->text, word,
                        (unsigned long long)e->uncertain);
        else if (e->dropped)
                handle_log(b, "%s%s; %llu publications could not be sent", e->text, word,
                        (unsigned long long)e->dropped);
        else
                handle_log(b, "%s%s", e->text, word);
}

void stay_tell(struct baton *b, void *event)
{
        struct event *e = event;
        bool outer = b->dispatching;

        if (b->freed) {
                free_event(e);
                return;
        }
        if (b->stay && b->stay->options.on_event) {
                b->dispatching = true;
                b->stay->options.on_event(b, &e->of, b->stay->options.arg);
                b->dispatching = outer;
        } else {
                log_event(b, &e->of);
        }
        free_event(e);
}

/* glib.c - a handle on GLib's main loop. `struct baton_source` fits any program that has one; below
 * it is a service that publishes the time, prints what others say, and outlives its broker. */
#include <baton.h>
#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>

/* ---------------------------------------------------------------- the source */

struct baton_source {
        GSource source;
        baton *b;
        int fd; /* as GLib knows it; -1: not */
        short events;
        gpointer tag;
};

/* The descriptor changes when the handle reconnects, and what to watch it for with every call. Only
 * a change is told: GLib wakes its loop for each. */
static void follow(struct baton_source *s)
{
        int fd = baton_fd(s->b);
        short events = baton_events(s->b); /* the bits of poll and GIOCondition are the same */

        if (fd == s->fd && events == s->events)
                return;
        if (s->tag)
                g_source_remove_unix_fd(&s->source, s->tag);
        s->tag = fd >= 0 ? g_source_add_unix_fd(&s->source, fd, (GIOCondition)events) : NULL;
        s->fd = fd;
        s->events = events;
}

static gboolean prepare(GSource *source, gint *ret_timeout)
{
        struct baton_source *s = (struct baton_source *)source;

        follow(s);
        *ret_timeout = baton_timeout(s->b);
        return *ret_timeout == 0;
}

static gboolean check(GSource *source)
{
        struct baton_source *s = (struct baton_source *)source;

        return (s->tag && g_source_query_unix_fd(source, s->tag)) || baton_timeout(s->b) == 0;
}

/* Calls `callback` once, when the handle has failed for good. */
static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer arg)
{
        struct baton_source *s = (struct baton_source *)source;

        return baton_process(s->b) >= 0 ? G_SOURCE_CONTINUE : callback(arg);
}

static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch};

/* Returns the source: destroy it before the handle is freed, and unref it. */
static GSource *baton_source_attach(baton *b, GSourceFunc on_failure, gpointer arg)
{
        GSource *source = g_source_new(&functions, sizeof(struct baton_source));
        struct baton_source *s = (struct baton_source *)source;

        s->b = b;
        s->fd = -1;
        g_source_set_callback(source, on_failure, arg, NULL);
        g_source_attach(source, NULL);
        return source;
}

/* ---------------------------------------------------------------- the service */

struct service {
        GMainLoop *loop;
        baton *b;
        bool failed;
};

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)arg;
        printf("%s %.*s\n", m->topic, (int)m->payload_len, (const char *)m->payload);
}

static void on_event(baton *b, const struct baton_event *e, void *arg)
{
        (void)b, (void)arg;
        if (e->change == BATON_LOST || e->change == BATON_READY)
                printf("%s: %s\n", e->change == BATON_LOST ? "lost" : "ready", e->text);
}

static gboolean on_failure(gpointer arg)
{
        struct service *s = arg;

        fprintf(stderr, "glib: %s\n", baton_error(s->b));
        s->failed = true;
        g_main_loop_quit(s->loop);
        return G_SOURCE_REMOVE;
}

static gboolean on_term(gpointer arg)
{
        struct service *s = arg;

        g_main_loop_quit(s->loop);
        return G_SOURCE_REMOVE;
}

static gboolean on_tick(gpointer arg)
{
        struct service *s = arg;
        char text[32];
        int len = snprintf(text, sizeof(text), "%lld", (long long)g_get_real_time());
        int r = baton_publish(s->b, "clock.now", text, (size_t)len);

        /* The next one will do: away, or the broker is behind. */
        return r == 0 || r == -ENOTCONN || r == -EAGAIN ? G_SOURCE_CONTINUE : on_failure(s);
}

static int start(struct service *s)
{
        const struct baton_reconnect options = {.on_event = on_event};
        int r = baton_set_reconnect(s->b, &options);

        baton_set_nonblocking(s->b, true);
        if (r == 0)
                r = baton_connect_start(s->b, NULL, -1, NULL, NULL);
        if (r == 0)
                r = baton_subscribe_start(s->b, "clock.>", NULL, on_message, NULL, NULL, NULL);
        return r;
}

int main(void)
{
        struct service s = {.loop = g_main_loop_new(NULL, FALSE)};

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (baton_new(&s.b) < 0)
                return 1;
        GSource *source = baton_source_attach(s.b, on_failure, &s);
        g_unix_signal_add(SIGTERM, on_term, &s);
        g_timeout_add(200, on_tick, &s);
        if (start(&s) < 0)
                on_failure(&s);
        else
                g_main_loop_run(s.loop);
        g_source_destroy(source);
        g_source_unref(source);
        if (!s.failed)
                s.failed = baton_close(s.b, 1000) < 0;
        baton_free(s.b);
        g_main_loop_unref(s.loop);
        return s.failed;
}

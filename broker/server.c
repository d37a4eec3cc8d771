/* Design note. One loop, one thread (and the reaper). A turn: libuv polls and calls conn.c, which
 * feeds the core; then, in `check`, everything the core wants to say is sent. `prepare` does the
 * same for what a timer set off, so the loop never sleeps on unsent output.
 *
 * SIGTERM closes the listeners first, so the names are free at once whatever happens to the rest;
 * then every session is told, and gets what is queued for it, for drain_ms at most. */
#include "broker/server.h"

#include "broker/confine.h"
#include "broker/internal.h"
#include "broker/log.h"
#include "broker/store.h"
#include "broker/version.h"
#include "proto/base/memfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t server_now(const struct server *s)
{
        return uv_now(&s->loop) * UINT64_C(1000000);
}

static void stop_when_empty(struct server *s)
{
        bool may_stop = s->is_stopping || (s->is_private && !s->n_adopted);

        if (may_stop && !core_sessions(s->core))
                uv_stop(&s->loop);
}

static void on_alarm(void *arg)
{
        struct server *s = arg;

        core_tick(s->core, server_now(s));
        conn_bury_all(s);
}

static void turn(struct server *s)
{
        conn_flush_all(s);
        alarm_advance(&s->alarm, core_deadline(s->core));
        stop_when_empty(s);
}

static void on_prepare(uv_prepare_t *prepare)
{
        turn(prepare->data);
}

static void on_check(uv_check_t *check)
{
        struct server *s = check->data;

        turns_serve(s);
        front_accept_all(s);
        turn(s);
}

static void on_drained(uv_timer_t *timer)
{
        struct server *s = timer->data;

        log_line("%zu sessions did not read in time", core_sessions(s->core));
        uv_stop(&s->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
        struct server *s = handle->data;

        (void)number;
        if (s->is_stopping)
                return;
        s->is_stopping = true;
        log_line("stopping");
        front_close_all(s);
        adopted_close_all(s);
        core_shutdown(s->core, server_now(s));
        uv_timer_start(&s->drain, on_drained, s->drain_ms, 0);
}

static void on_hangup(uv_signal_t *handle, int number)
{
        struct server *s = handle->data;

        (void)number;
        if (!s->policy_path) {
                log_line("SIGHUP: there is no policy to read again");
                return;
        }
        int r = reload_policy(s);
        if (r < 0)
                log_line("%s: %s", s->policy_path, strerror(-r));
        log_line(r ? "the policy is as it was" : "the policy was read again");
}

static int init_handles(struct server *s)
{
        uv_prepare_init(&s->loop, &s->prepare);
        uv_check_init(&s->loop, &s->check);
        uv_idle_init(&s->loop, &s->idle);
        list_init(&s->crowds);
        list_init(&s->line);
        alarm_init(&s->alarm, &s->loop, on_alarm, s);
        uv_timer_init(&s->loop, &s->drain);
        uv_timer_init(&s->loop, &s->rest);
        s->prepare.data = s->check.data = s->drain.data = s;
        s->rest.data = s;
        s->sigterm.data = s->sigint.data = s->sighup.data = s;
        int r = uv_signal_init(&s->loop, &s->sigterm);
        if (r == 0)
                r = uv_signal_init(&s->loop, &s->sigint);
        if (r == 0)
                r = uv_signal_start(&s->sigterm, on_signal, SIGTERM);
        if (r == 0)
                r = uv_signal_start(&s->sigint, on_signal, SIGINT);
        if (r == 0)
                r = uv_signal_init(&s->loop, &s->sighup);
        if (r == 0)
                r = uv_signal_start(&s->sighup, on_hangup, SIGHUP);
        uv_prepare_start(&s->prepare, on_prepare);
        uv_check_start(&s->check, on_check);
        return r;
}

static int make_core(struct server *s, const struct core_limits *limits)
{
        struct core_config config = {
                .name = "baton " BATON_BROKER_VERSION,
                .self = {.pid = getpid(), .uid = geteuid(), .gid = getegid()},
                .rights = WIRE_RIGHT_PUBLISH | WIRE_RIGHT_SUBSCRIBE | WIRE_RIGHT_GROUP |
                          WIRE_RIGHT_BLOCK | WIRE_RIGHT_RETAIN | WIRE_RIGHT_FDS | WIRE_RIGHT_MEMFD |
                          WIRE_RIGHT_ADMIN,
                .features = memfile_can_seal() ? WIRE_FEATURE_MEMFD : 0,
                .store = store_of(&s->yard),
                .yard = &s->yard,
                .limits = *limits,
        };
        int r = uv_random(NULL, NULL, &config.seed, sizeof(config.seed), 0, NULL);

        if (r == 0)
                r = uv_random(NULL, NULL, config.instance, sizeof(config.instance), 0, NULL);
        if (r == 0)
                r = core_new(&config, server_now(s), &s->core);
        return r;
}

static int start(struct server *s, const struct options *options)
{
        struct core_limits limits = options->limits;
        int r = prepare_process(s, &limits);

        if (r == 0)
                r = init_handles(s);
        if (r == 0)
                r = make_core(s, &limits);
        s->drain_ms = limits.drain_ms;
        s->packet = malloc(WIRE_PACKET_BYTES);
        if (r == 0 && !s->packet)
                r = -ENOMEM;
        return r;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
        (void)arg;
        if (!uv_is_closing(handle))
                uv_close(handle, NULL);
}

/* Half-built servers end here too. */
static void finish(struct server *s)
{
        front_close_all(s);
        adopted_close_all(s);
        for (size_t i = 0; i < s->n_conns; i++) {
                if (s->conns[i])
                        conn_close(s->conns[i]);
        }
        s->core = core_free(s->core);
        uv_walk(&s->loop, close_handle, NULL);
        uv_run(&s->loop, UV_RUN_DEFAULT);
        uv_loop_close(&s->loop);
        if (s->alarm.fn)
                alarm_deinit(&s->alarm);
        if (s->reaper) {
                reaper_take(s->reaper, &s->yard);
                reaper_abandon(s->reaper);
        }
        free(s->conns);
        free(s->packet);
}

static void confine(const struct server *s)
{
        const struct address *served[LIMIT_ADDRESSES];
        struct confinement needs = {.policy = s->policy_path, .served = served};

        for (size_t i = 0; i < s->n_fronts; i++) {
                const struct listener *l = s->fronts[i].listener;
                const struct address *a = listener_address(l);
                if (!a->is_abstract && !listener_is_adopted(l)) /* whose files are not ours */
                        served[needs.n_served++] = a;
        }
        (void)confine_process(&needs); /* has said what it could not do */
}

/* Returns the exit status. */
static int serve(struct server *s, const struct options *options)
{
        s->policy_path = options->policy;
        int r = start(s, options);

        if (r == 0 && s->policy_path && (r = reload_policy(s)) > 0)
                return 1;
        if (r < 0) {
                log_line("cannot start: %s", strerror(-r));
                return 1;
        }
        s->is_private = !options->n_listen && !options->n_passed;
        if (adopted_open(s, options) < 0)
                return 1;
        r = s->is_private ? 0 : front_open(s, options);
        if (r < 0) {
                if (r != -EADDRNOTAVAIL) /* which has been explained */
                        log_line("cannot serve: %s", strerror(-r));
                return 1;
        }
        if (options->is_unconfined)
                log_line("not confined: --no-confine");
        else
                confine(s);
        r = reaper_new(&s->reaper); /* its threads are as confined as the one that starts them */
        if (r < 0) {
                log_line("cannot serve: %s", strerror(-r));
                return 1;
        }
        uv_run(&s->loop, UV_RUN_NOWAIT); /* libuv's own descriptors go into epoll, or end us now */
        log_ready();
        uv_run(&s->loop, UV_RUN_DEFAULT);
        return 0;
}

int server_run(const struct options *options)
{
        struct server s = {0};
        int r = prepare_streams();

        confine_prepare();
        if (r == 0)
                r = uv_loop_init(&s.loop);
        if (r < 0) {
                log_line("cannot start: %s", strerror(-r));
                return 1;
        }
        int status = serve(&s, options);
        finish(&s);
        return status;
}

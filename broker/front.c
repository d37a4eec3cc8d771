/* Design note. Listeners. accept runs a bounded number of times a turn; when the process has no
 * descriptors or memory left, the listener rests for a moment instead of spinning (a
 * level-triggered listener would be ready 1.5 million times a second), and the connection waits in
 * the backlog. */
#include "broker/internal.h"
#include "broker/log.h"
#include "broker/passed.h"
#include "broker/watch.h"
#include "proto/link/dgram.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static uv_poll_cb callback_of(const struct front *front);

static void on_rested(uv_timer_t *timer);

static void rest(struct front *front, const char *why)
{
        log_line("a listener pauses for %d ms: %s", LIMIT_ACCEPT_PAUSE_MS, why);
        uv_poll_stop(&front->poll);
        uv_timer_start(&front->pause, on_rested, LIMIT_ACCEPT_PAUSE_MS, 0);
}

static void on_rested(uv_timer_t *timer)
{
        struct front *front = timer->data;
        int r = watch_start(&front->poll, UV_READABLE, callback_of(front));

        if (r < 0)
                rest(front, uv_strerror(r));
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
        struct front *front = poll->data;

        (void)events;
        if (status < 0)
                rest(front, uv_strerror(status));
        else
                front->is_ready = true;
}

static void accept_some(struct front *front)
{
        for (int i = 0; i < LIMIT_ACCEPTS_PER_TURN; i++) {
                int fd, r = listener_accept(front->listener, &fd);
                if (r == LINK_E_AGAIN)
                        return;
                if (r) {
                        rest(front, r == LINK_E_EXHAUSTED ? "out of descriptors or memory"
                                                          : strerror(r < 0 ? -r : EIO));
                        return;
                }
                conn_accept(front->server, fd, listener_address(front->listener)->transport);
        }
}

void front_accept_all(struct server *s)
{
        for (size_t i = 0; i < s->n_fronts; i++) {
                struct front *front = &s->fronts[i];
                if (front->is_ready && front->listener)
                        accept_some(front);
                front->is_ready = false;
        }
}

/* The first that is wrong is told, then the second, the fourth, ...: a flood is no flood of lines.
 */
static void note_bad_datagram(struct server *s, const struct cred *who)
{
        uint64_t n = ++s->n_bad_datagrams;

        if (!(n & (n - 1)))
                log_line("%" PRIu64 " datagrams were refused so far, the last from pid %d (uid %u)",
                        n, (int)who->pid, (unsigned)who->uid);
}

static void on_datagrams(uv_poll_t *poll, int status, int events)
{
        struct front *front = poll->data;
        struct server *s = front->server;

        (void)events;
        if (status < 0) {
                rest(front, uv_strerror(status));
                return;
        }
        for (int i = 0; i < LIMIT_READS_PER_TURN; i++) {
                struct cred who = {.pid = 0};
                size_t len = 0;
                int r = dgram_recv(
                        front->listener, &s->yard, s->packet, WIRE_PACKET_BYTES, &len, &who);
                if (r == LINK_E_AGAIN)
                        return;
                if (r < 0 || r == LINK_E_EXHAUSTED) {
                        rest(front, r < 0 ? strerror(-r) : "out of descriptors or memory");
                        return;
                }
                struct core_peer peer = {.pid = who.pid, .uid = who.uid, .gid = who.gid};
                if (!core_datagram(s->core, &peer, s->packet, r ? 0 : len, server_now(s)))
                        note_bad_datagram(s, &who);
        }
}

static uv_poll_cb callback_of(const struct front *front)
{
        return listener_address(front->listener)->transport == TRANSPORT_DGRAM ? on_datagrams
                                                                               : on_ready;
}

static int start(struct server *s, struct listener *listener)
{
        struct front *front = &s->fronts[s->n_fronts];
        int r = uv_poll_init(&s->loop, &front->poll, listener_fd(listener));

        if (r < 0) {
                listener_close(listener);
                return r;
        }
        uv_timer_init(&s->loop, &front->pause);
        front->poll.data = front->pause.data = front;
        front->server = s;
        front->listener = listener;
        s->n_fronts++;
        return watch_start(&front->poll, UV_READABLE, callback_of(front));
}

/* Root's default directory is made where it is missing, for /run is empty after every boot; all may
 * search it, the socket has a mode of its own. If that fails, so will the listener, and says why.
 */
static void make_default_directory(const struct address *address)
{
        if (address->is_abstract || strcmp(address->name, ADDRESS_ROOT_DIR "/baton.sock") != 0)
                return;
        mode_t before = umask(S_IWGRP | S_IWOTH);
        (void)!mkdir(ADDRESS_ROOT_DIR, 0755);
        umask(before);
}

/* Returns 0 · 1 (it could not be served; said why) · -errno. */
static int open_one(struct server *s, const struct address *address)
{
        struct listener *listener = NULL;
        struct listener_why why = {{0}};
        char text[ADDRESS_TEXT];
        int r = listener_open(address, LIMIT_BACKLOG, &listener, &why);

        address_format(address, text);
        if (r) {
                log_line("%s: %s", text, why.text[0] ? why.text : strerror(r < 0 ? -r : EINVAL));
                return 1;
        }
        r = start(s, listener);
        if (r == 0)
                log_line("listening on %s", text);
        return r;
}

/* Returns 0 · 1 (it cannot be served; said why) · -errno. */
static int open_passed(struct server *s, int fd)
{
        struct listener *listener = NULL;
        struct listener_why why = {{0}};
        char text[ADDRESS_TEXT];
        int r = listener_adopt(fd, LIMIT_BACKLOG, &listener, &why);

        if (r) {
                log_line("descriptor %d, passed on to be served: %s", fd, why.text);
                return 1;
        }
        address_format(listener_address(listener), text);
        r = start(s, listener);
        if (r == 0)
                log_line("listening on %s (passed on)", text);
        return r;
}

/* None but all of them: whoever waits in one that is left out would wait for ever. */
static int open_all_passed(struct server *s, size_t n)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = open_passed(s, PASSED_FD_FIRST + (int)i);
        return r > 0 ? -EADDRNOTAVAIL : r;
}

int front_open(struct server *s, const struct options *options)
{
        int passed = open_all_passed(s, options->n_passed);

        if (passed < 0)
                return passed;
        for (size_t i = 0; i < options->n_listen; i++) {
                if (options->is_default)
                        make_default_directory(&options->listen[i]);
                int r = open_one(s, &options->listen[i]);
                if (r < 0)
                        return r;
                if (r > 0 && !options->is_default)
                        return -EADDRNOTAVAIL;
        }
        return s->n_fronts ? 0 : -EADDRNOTAVAIL;
}

void front_close_all(struct server *s)
{
        for (size_t i = 0; i < s->n_fronts; i++) {
                struct front *front = &s->fronts[i];
                if (!front->listener)
                        continue;
                uv_close((uv_handle_t *)&front->poll, NULL);
                uv_close((uv_handle_t *)&front->pause, NULL);
                front->listener = listener_close(front->listener);
        }
}

/* demo.h - the guided tour: what its parts share. */
#ifndef BATON_CLIENT_CLI_DEMO_H
#define BATON_CLIENT_CLI_DEMO_H

#include "client/cli/common.h"
#include <limits.h>
#include <sys/types.h>

struct demo {
        struct cli cli;
        char address[PATH_MAX];
        char dir[PATH_MAX - 16]; /* where the broker's socket file is, "" if it has none */
        char broker_path[PATH_MAX];
        pid_t broker;    /* 0: not running */
        int broker_says; /* its stderr, -1 if none */
};

/* ---------------------------------------------------------------- its broker */

/* demo_find_broker looks for the broker's program: $BATON_BROKER; the runfiles of `program`
 * (main's argv[0]); beside it as `broker` or `baton-broker`; in $PATH as `baton-broker` or
 * `broker`. Returns true if there is one. */
bool demo_find_broker(struct demo *d, const char *program);

/* demo_start_broker starts it on an abstract name of its own, or, where there are none, on a path
 * in a fresh directory, and waits until it is ready. It dies with this process, however that ends,
 * if the system can see to it. Returns 0 · an exit status. */
BT_MUST int demo_start_broker(struct demo *d);

/* demo_stop_broker ends it in an orderly way; demo_kill_broker otherwise, if it still runs, and
 * removes its directory. */
BT_MUST int demo_stop_broker(struct demo *d);
void demo_kill_broker(struct demo *d);

/* ---------------------------------------------------------------- its processes */

/* A forked part of the tour. */
struct part {
        pid_t pid;
        int says; /* what it writes for us */
};

/* demo_fork runs `fn` in a process of its own, which dies with this one. It has a handle of its
 * own, not connected yet, in d->cli.b; `fn` returns its exit status and writes to `out` what the
 * parent wants to know. Returns 0 · an exit status. */
BT_MUST int demo_fork(struct demo *d, int (*fn)(struct demo *d, int out), struct part *ret_part);

/* demo_hear reads what the part wrote, as a string, and waits for it at most 5 s.
 * Returns false if nothing came. */
bool demo_hear(const struct part *p, char *text, size_t cap);

/* demo_join waits for its end. Returns its exit status; 1 if it was killed. */
int demo_join(struct part *p);

/* demo_is_from tells whether `who` is this process; where the system does not say the number of a
 * process (0), the user must do. */
bool demo_is_from(const struct baton_sender *who, pid_t pid);

/* ---------------------------------------------------------------- telling */

/* demo_tell prints a line of the tour: what it is about, and what happened. */
void demo_tell(const char *about, const char *format, ...) BT_PRINTF(2, 3);

/* demo_fail says that `about` did not go as it should. Returns CLI_FAILED. */
int demo_fail(const struct demo *d, const char *about, const char *why);

/* ---------------------------------------------------------------- the stations */

/* Each shows one thing and returns 0 only if it really happened, else an exit status. */
BT_MUST int demo_message(struct demo *d);
BT_MUST int demo_wildcard(struct demo *d);
BT_MUST int demo_headers(struct demo *d);
BT_MUST int demo_request(struct demo *d);
BT_MUST int demo_nobody(struct demo *d);
BT_MUST int demo_stranger(struct demo *d);
BT_MUST int demo_file(struct demo *d);
BT_MUST int demo_large(struct demo *d);
BT_MUST int demo_speed(struct demo *d);

#endif

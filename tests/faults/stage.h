/* stage.h - one run: a broker with faults, its clients, and what must be true in the end. Nothing
 * here ends the test: the first thing that goes wrong is kept in `wrong`. */
#ifndef BATON_TESTS_STAGE_H
#define BATON_TESTS_STAGE_H

#include "tests/faults/fault.h"

#include <baton.h>
#include <sys/types.h>

enum {
        LONG_MS = 10000, /* longer than anything takes */
};

enum actor_name {
        ACTOR_PLAIN,  /* takes no memory files */
        ACTOR_TAKER,  /* takes descriptors, and memory files */
        ACTOR_GIVER,  /* sends descriptors, and chunks */
        ACTOR_PLACER, /* sends memory files */
        ACTOR_STREAM, /* over stream: */
        ACTOR_SERVER, /* replies, works in a group */
        ACTOR_MUTE,   /* does not read */
        ACTOR_LATE,   /* comes when others leave */
        ACTORS_N_,
};

struct actor {
        baton *b;
        bool is_done; /* connecting, one way or the other */
        int result;
        bool was_on;
};

struct stage {
        pid_t broker;
        int says;    /* what the broker says */
        int adopted; /* our end of a socketpair that the broker was given */
        char addresses[3][96];
        baton *from, *to; /* the bystanders */
        uint64_t n_sent, n_got;
        struct actor actors[ACTORS_N_];
        size_t n_fds;      /* that the broker has open when all but the bystanders are gone */
        unsigned n_lost;   /* actors that were cut off and had not asked for it */
        bool has_hanging;  /* a close hangs, then another: the only calls of pthread_create */
        unsigned n_awake;  /* how often the loop woke while nothing happened, in SPIN_MS */
        bool is_dead;      /* the broker, before it was asked to end */
        const char *wrong; /* NULL: all is well */
};

/* stage_open starts a broker, and the bystanders are connected. */
void stage_open(struct stage *s);

/* stage_turn sends a message from one bystander to the other, and waits for it: the broker has then
 * seen what was sent to it before. */
void stage_turn(struct stage *s);

/* stage_close checks that the broker works, has let go of everything, and ends as it should. */
void stage_close(struct stage *s);

/* actors_play is the scenario; actors_end asks those who are still there for a sign of life, and
 * lets all go. */
void actors_play(struct stage *s);
void actors_end(struct stage *s);

/* stage_await_thread waits until the broker has started `n` threads, or has tried. */
void stage_await_threads(struct stage *s, unsigned n);

/* What a run may have besides. */
enum {
        STAGE_SPIN = 1, /* counts how often the loop wakes for nothing while the faults last */
        STAGE_HANG = 2, /* closes that hang: the only occasion for pthread_create */
};

/* stage_run does it all, with these faults. */
void stage_run(struct stage *s, const struct fault *faults, size_t n, int extras);

/* stage_fail keeps the first reason. */
void stage_fail(struct stage *s, const char *why);

#endif

/* carrier.h - what load.c measures: Baton, or a bare relay. One process is at one end. */
#ifndef BATON_TESTS_BENCH_RELAY_CARRIER_H
#define BATON_TESTS_BENCH_RELAY_CARRIER_H

#include <stddef.h>
#include <stdint.h>

/* Called for each message; `fd` (-1: none) is closed behind the call. */
typedef void (*carrier_fn)(void *arg, const void *data, size_t len, int fd);

struct carrier {
        const char *name;
        /* Connects; with a channel to hear (1, 2; 0: none), it is heard when this returns. */
        void *(*open)(const char *address, int channel, carrier_fn fn, void *arg);
        /* Sends to a channel; may gather until flush. Waits for room. */
        void (*send)(void *end, int channel, const void *data, size_t len, int fd);
        /* All that was gathered is on its way. */
        void (*flush)(void *end);
        /* Waits until something has come, and calls the function for all of it. */
        void (*receive)(void *end);
};

extern const struct carrier carrier_baton; /* gathers between sends: corked */
extern const struct carrier carrier_plain; /* Baton again, as a program is written first */
extern const struct carrier carrier_raw;   /* packets of 64 KiB by relay.c, which looks into none */
extern const struct carrier carrier_single; /* the same, one message a packet */

/* Ends the program with what failed. */
_Noreturn void fail(const char *what, const char *why);

#endif

/* soak.h - what both sides of the soak agree on.
 *
 * Every message carries in its headers `n`, its publisher's counter from 1 on, and `sum`, a hash of
 * its payload and of what is in its descriptors. Its topic is soak.<publisher>.x. */
#ifndef BATON_TESTS_SOAK_H
#define BATON_TESTS_SOAK_H

#include <baton.h>

#include <stdint.h>

/* soak_sum goes on hashing `len` bytes. */
uint64_t soak_sum(uint64_t sum, const void *data, size_t len);

/* soak_self counts what a process must not collect: descriptors, mapped payloads, resident KiB. */
struct soak_self {
        long fds, maps, kib;
};
struct soak_self soak_self(void);

/* soak_stopped: SIGTERM has come. */
int soak_stopped(void);

int soak_pub(baton *b, const char *name, uint64_t seed);
int soak_sub(baton *b, const char *name);

/* soak_fail prints why and ends the process. */
void soak_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif

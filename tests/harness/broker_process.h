/* broker_process.h - a real broker for tests in C: //broker as a process of its own, which the test
 * has among its data. It listens at an address that no other process uses, of the kind that
 * BATON_TEST_ADDRESS_KIND says (tests/e2e/harness.py): abstract, seqpacket or stream.
 *
 * Failures end the test. What the broker says goes on to stderr, a sanitizer's reports too. */
#ifndef BATON_TESTS_BROKER_PROCESS_H
#define BATON_TESTS_BROKER_PROCESS_H

#include <pthread.h>
#include <stdio.h>
#include <sys/types.h>

struct broker_process {
        char address[96];
        char file[64]; /* "": the address is no path */
        pid_t pid;
        FILE *says;
        pthread_t echo;
};

/* broker_process_start chooses an address, and returns when the broker has said `ready`. It dies
 * with the thread that started it, if that is before broker_process_stop. */
void broker_process_start(struct broker_process *p);

/* broker_process_restart starts another one at the same address, when the first was ended. */
void broker_process_restart(struct broker_process *p);

/* broker_process_end asks the broker to end (SIGTERM), and checks that it does so with 0;
 * broker_process_kill gives it no time to say good-bye. broker_process_stop is the former, and
 * removes what is left of the address. */
void broker_process_end(struct broker_process *p);
void broker_process_kill(struct broker_process *p);
void broker_process_stop(struct broker_process *p);

#endif

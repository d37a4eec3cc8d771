/* job.h - one request and the command that answers it. Knows no broker. */
#ifndef BATON_CLIENT_CLI_JOB_H
#define BATON_CLIENT_CLI_JOB_H

#include "client/baton.h"

#include "client/cli/spool.h"
#include "proto/base/list.h"
#include "proto/wire/limits.h"
#include <poll.h>
#include <stdbool.h>

struct job {
        struct list link;
        uint64_t token; /* 0: nobody waits for the answer any more */
        struct baton_sender sender;
        char topic[WIRE_TOPIC_BYTES + 1];
        struct baton_payload payload; /* owned; dropped when the command has it */
        size_t n_written;
        int fds[WIRE_FDS]; /* owned */
        size_t n_fds;

        pid_t pid;   /* 0: not running */
        int in, out; /* our ends of its stdin and stdout, -1 once closed */
        bool is_over;
        struct spool reply;
        bool echoes; /* the payload is the answer */
        size_t longest_reply;
        bool has_failed; /* `reply` says why */
};

/* job_new takes what it needs of the request: its payload where it lies, if it is large, and its
 * descriptors. Returns 0 · -errno. */
BT_MUST int job_new(const struct baton_message *m, size_t longest_reply, struct job **ret_job);

/* job_free lets a command that is still running run. NULL is fine; returns NULL. */
struct job *job_free(struct job *j);

/* job_start runs `argv` with the payload on its stdin, the descriptors as 3, 4, ..., the sender in
 * its environment, and nothing else of ours open. Returns 0 · -errno. */
BT_MUST int job_start(struct job *j, char *const *argv);

/* job_poll says what to poll for; job_turn, afterwards, writes and reads what is possible without
 * waiting, up to a fair share. */
void job_poll(const struct job *j, struct pollfd ret_pfds[2]);
void job_turn(struct job *j);

/* job_reap looks whether the command has ended. If so, `is_over`, and its answer is complete.
 * `name` is what it is called in it. */
void job_reap(struct job *j, const char *name);

/* job_answer gives the answer, `*ret_len` bytes that stay the job's. Returns 0 · -errno. */
BT_MUST int job_answer(struct job *j, const void **ret_data, size_t *ret_len);

/* job_fail makes `text` the answer. */
void job_fail(struct job *j, const char *format, ...) BT_PRINTF(2, 3);

#endif

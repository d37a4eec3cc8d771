/* input.h - a packet that is being read. Private to the core. */
#ifndef BATON_BROKER_CORE_INPUT_H
#define BATON_BROKER_CORE_INPUT_H

#include "broker/core/internal.h"

enum { INPUT_KNOWN = 16 };

/* What is known while a packet is read. */
struct input {
        struct core *core;
        struct session *session;
        const struct core_arrival *arrival;
        struct fdset *fds; /* until a publication has taken them */
        bool had_fds;
        uint32_t n_pubs, n_headers;
        struct header_state header;
        struct run run; /* the one under way; n_frames 0: none */
        uint64_t until; /* core.work at which it is enough */
        /* Some topics of the run under way, which is number n_runs. */
        struct known_topic {
                const uint8_t *data;
                uint32_t len, run;
        } known[INPUT_KNOWN];
        uint32_t n_runs;
};

/* input.c */
/* input_flush_run publishes what was gathered. */
void input_flush_run(struct input *in);
/* input_violation ends the session, and with it the packet. */
void input_violation(struct input *in, enum wire_code code, const char *text);
void input_out_of_place(struct input *in);
/* input_is_enough: the turn is over, and the rest of the packet may wait. */
bool input_is_enough(const struct input *in);

/* input_pub.c */
/* input_pub takes in a publication, and those behind it that are like it. Returns where the next
 * frame stands. */
const uint8_t *input_pub(struct input *in, const struct frame *f, const uint8_t *end);
void input_begin(struct input *in, const struct frame *f, const struct msg_pub *pub);
/* input_upload: CHUNK and END. */
void input_upload(struct input *in, const struct frame *f, const struct message *m);

#endif

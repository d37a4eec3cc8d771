/* options.h - the maps of options that HELLO, WELCOME and SUB end with, described by tables that
 * decoder and encoder share. Private to this room. */
#ifndef BATON_WIRE_OPTIONS_H
#define BATON_WIRE_OPTIONS_H

#include "proto/wire/message.h"

enum option_kind {
        OPTION_UINT,     /* uint64_t */
        OPTION_BOOL,     /* bool */
        OPTION_NOT,      /* bool, the opposite of what the frame says */
        OPTION_STR,      /* struct slice */
        OPTION_INSTANCE, /* struct slice of WIRE_INSTANCE_BYTES */
        OPTION_OVERFLOW, /* enum wire_overflow, by its name */
};

struct option {
        const char *key;
        enum option_kind kind;
        uint16_t offset; /* in the struct of the table's frame */
        uint16_t has;    /* of a bool that says it was given; 0: the value zero says it was not */
        uint64_t most;   /* of an OPTION_UINT */
};

enum { HELLO_OPTIONS = 3, WELCOME_INFOS = 1, SUB_OPTIONS = 11 };

extern const struct option hello_options[HELLO_OPTIONS]; /* of struct msg_hello */
extern const struct option welcome_infos[WELCOME_INFOS]; /* of struct msg_welcome */
extern const struct option sub_options[SUB_OPTIONS];     /* of struct msg_sub */

/* option_in points at the option's place in the struct. */
static inline void *option_in(const void *object, const struct option *option)
{
        return (char *)object + option->offset;
}

/* option_is_set: the struct has it, so that the frame must say it. */
bool option_is_set(const void *object, const struct option *option);

#endif

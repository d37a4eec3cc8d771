/* Design note. An option that was not given is all zero in its struct, which is also what a struct
 * that nobody filled says; the one that may be zero and given has a bool beside it. */
#include "proto/wire/options.h"

#define AT(kind, member, max) #member, kind, offsetof(struct OF, member), 0, max

#define OF msg_hello
const struct option hello_options[HELLO_OPTIONS] = {
        {AT(OPTION_INSTANCE, resume_instance, 0)},
        {AT(OPTION_UINT, resume_session, UINT64_MAX)},
        {AT(OPTION_UINT, resume_seq, UINT64_MAX)},
};
#undef OF

const struct option welcome_infos[WELCOME_INFOS] = {
        {"missed", OPTION_UINT, offsetof(struct msg_welcome, missed),
                offsetof(struct msg_welcome, has_missed), UINT64_MAX},
};

#define OF msg_sub
const struct option sub_options[SUB_OPTIONS] = {
        {"retained", OPTION_NOT, offsetof(struct msg_sub, no_retained), 0, 0},
        {AT(OPTION_UINT, max_fds, WIRE_FDS)},
        {AT(OPTION_BOOL, observer, 0)},
        {AT(OPTION_OVERFLOW, overflow, 0)},
        {AT(OPTION_UINT, queue_bytes, UINT64_MAX)},
        {AT(OPTION_UINT, queue_messages, UINT64_MAX)},
        {"window", OPTION_UINT, offsetof(struct msg_sub, window),
                offsetof(struct msg_sub, has_window), UINT64_MAX},
        {AT(OPTION_STR, group, 0)},
        {AT(OPTION_BOOL, ack, 0)},
        {AT(OPTION_UINT, ack_ms, UINT64_MAX)},
        {AT(OPTION_UINT, max_deliveries, UINT64_MAX)},
};
#undef OF

bool option_is_set(const void *object, const struct option *option)
{
        const void *value = option_in(object, option);

        if (option->has)
                return *(const bool *)((const char *)object + option->has);
        switch (option->kind) {
        case OPTION_UINT:
                return *(const uint64_t *)value != 0;
        case OPTION_BOOL:
        case OPTION_NOT:
                return *(const bool *)value;
        case OPTION_OVERFLOW:
                return *(const enum wire_overflow *)value != WIRE_OVERFLOW_BLOCK;
        case OPTION_STR:
        case OPTION_INSTANCE:
                return ((const struct slice *)value)->data != NULL;
        }
        return false;
}

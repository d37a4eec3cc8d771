/* fields.h - the frames that are nothing but unsigned integers, described by a table that decoder
 * and encoder share. Private to this room. */
#ifndef BATON_WIRE_FIELDS_H
#define BATON_WIRE_FIELDS_H

#include "proto/wire/message.h"

enum { FIELDS_MAX = 4 };

struct field {
        uint16_t offset; /* of a uint64_t in struct message */
        uint64_t least, most;
        uint64_t absent; /* the value of an optional field that is left out */
};

struct fields {
        uint8_t n_required, n;
        struct field field[FIELDS_MAX];
};

/* fields_find returns the description of the frame `type`, NULL if it has other than integers or
 * is unknown. */
const struct fields *fields_find(unsigned type);

static inline uint64_t field_get(const struct message *message, const struct field *field)
{
        return *(const uint64_t *)((const char *)message + field->offset);
}

static inline void field_set(struct message *message, const struct field *field, uint64_t value)
{
        *(uint64_t *)((char *)message + field->offset) = value;
}

#endif

/* say.h - one phrase for a person, into the fixed room of an x_why. Private to this room. */
#ifndef BATON_LINK_SAY_H
#define BATON_LINK_SAY_H

#include "proto/base/defs.h"
#include "proto/link/cred.h"

enum { SAY_BYTES = 160 };

/* say writes the phrase, cut at SAY_BYTES - 1 bytes. */
void say(char text[SAY_BYTES], const char *format, ...) BT_PRINTF(2, 3);

/* say_who writes `before`, who it is, and `after`: "held by pid 12 (uid 0)". */
void say_who(char text[SAY_BYTES], const char *before, const struct cred *who, const char *after);

#endif

/* command.h - is there such a program? */
#ifndef BATON_CLIENT_CLI_COMMAND_H
#define BATON_CLIENT_CLI_COMMAND_H

#include "proto/base/defs.h"

/* command_find looks where execvp would look for `name`. Returns 0 there is one, or that cannot be
 * known · -ENOENT · -EACCES it may not be executed. */
BT_MUST int command_find(const char *name);

#endif

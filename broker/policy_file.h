/* policy_file.h - reads a policy (docs/SECURITY.md) from a file. */
#ifndef BATON_BROKER_POLICY_FILE_H
#define BATON_BROKER_POLICY_FILE_H

#include "broker/core/policy.h"

/* policy_file_read reads all of it, or nothing. Looks up names of users and groups, which may take
 * as long as the system's name service takes.
 *
 * Returns 0 · 1 (it is bad; one line with file and line has been logged) · -ENOMEM. */
BT_MUST int policy_file_read(const char *path, struct policy **ret_policy);

/* policy_file_explain reads it and says on stdout what it allows. Returns 0 · 1 (said why not). */
BT_MUST int policy_file_explain(const char *path);

#endif

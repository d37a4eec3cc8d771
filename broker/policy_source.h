/* policy_source.h - the bytes of a policy file. */
#ifndef BATON_BROKER_POLICY_SOURCE_H
#define BATON_BROKER_POLICY_SOURCE_H

#include "proto/base/buf.h"

enum { POLICY_SOURCE_E_BAD = 1 };

/* policy_source_read appends the whole file to `out`. It must be a regular file of at most 1 MiB
 * that belongs to root or the effective uid and that not everybody may write to. Returns 0 ·
 * POLICY_SOURCE_E_BAD (`*ret_why` says why, static) · -errno. */
BT_MUST int policy_source_read(const char *path, struct buf *out, const char **ret_why);

/* policy_source_path makes a relative path count from $BUILD_WORKING_DIRECTORY where that is set
 * (`bazel run` changes directory). The caller frees it; NULL without memory. */
char *policy_source_path(const char *path);

#endif

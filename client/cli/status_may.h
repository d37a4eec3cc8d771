/* status_may.h - `status --may USER ACTION [TOPIC]`: what the running broker lets somebody do. */
#ifndef BATON_CLIENT_CLI_STATUS_MAY_H
#define BATON_CLIENT_CLI_STATUS_MAY_H

#include "client/cli/common.h"
#include "proto/base/buf.h"

/* status_may_ask appends the question of `words` ([n], 2 or 3: a name or uid, the action, and on
 * what) to `out`; the groups are those that the system knows of. Returns 0 · CLI_USAGE ·
 * CLI_FAILED. */
BT_MUST int status_may_ask(const struct cli *cli, char *const *words, size_t n, struct buf *out);

/* status_may_answer appends the broker's answer, in words. Returns 0 · CLI_REFUSED (it may not) ·
 * CLI_FAILED (said why). */
BT_MUST int status_may_answer(const struct cli *cli, const void *json, size_t len, struct buf *out);

#endif

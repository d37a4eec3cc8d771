/* sub_print.h - the forms in which `sub` prints. All functions add to `out`, large payloads
 * straight from where they lie, and return 0 · as output_put (then a part may be written). */
#ifndef BATON_CLIENT_CLI_SUB_PRINT_H
#define BATON_CLIENT_CLI_SUB_PRINT_H

#include "client/baton.h"
#include "client/cli/output.h"

/* sub_print_raw: the payload. sub_print_plain: topic, space, payload, newline. */
BT_MUST int sub_print_raw(
        struct output *out, const struct baton_message *m, struct progress *progress);
BT_MUST int sub_print_plain(
        struct output *out, const struct baton_message *m, struct progress *progress);

/* sub_print_json: one object, newline. `now_ms` is the time, since 1970. */
BT_MUST int sub_print_json(struct output *out, const struct baton_message *m, int64_t now_ms,
        struct progress *progress);
BT_MUST int sub_print_json_gap(struct output *out, const struct baton_gap *gap);
BT_MUST int sub_print_json_reconnected(
        struct output *out, bool is_another_instance, int64_t missed);

#endif

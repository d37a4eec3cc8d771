/* sub_print.h - the forms in which `sub` prints. All functions append to `out` and return 0 ·
 * -ENOMEM (then it may hold a part). */
#ifndef BATON_CLIENT_CLI_SUB_PRINT_H
#define BATON_CLIENT_CLI_SUB_PRINT_H

#include "client/baton.h"
#include "proto/base/buf.h"

/* sub_print_plain: topic, space, payload, newline. */
BT_MUST int sub_print_plain(struct buf *out, const struct baton_message *m);

/* sub_print_json: one object, newline. `now_ms` is the time, since 1970. */
BT_MUST int sub_print_json(struct buf *out, const struct baton_message *m, int64_t now_ms);
BT_MUST int sub_print_json_gap(struct buf *out, const struct baton_gap *gap);
BT_MUST int sub_print_json_reconnected(struct buf *out, bool is_another_instance);

#endif

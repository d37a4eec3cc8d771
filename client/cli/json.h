/* json.h - JSON as text, appended to a buffer. Written here and not by a library, because `sub
 * --json` does it for each message. */
#ifndef BATON_CLIENT_CLI_JSON_H
#define BATON_CLIENT_CLI_JSON_H

#include "proto/base/buf.h"
#include <stdbool.h>

/* json_is_text: valid UTF-8 (shortest forms, no surrogates, nothing above U+10FFFF), which JSON can
 * hold. */
bool json_is_text(const void *bytes, size_t n);

/* json_put_string appends a string with its quotes. `bytes` [n] is text (json_is_text). Besides
 * quote and backslash everything is escaped that a terminal, a line reader or JavaScript could
 * stumble over: U+0000-U+001F, U+007F-U+009F, U+2028, U+2029.
 * Returns 0 · -ENOMEM. */
BT_MUST int json_put_string(struct buf *out, const void *bytes, size_t n);

/* json_put_base64 appends bytes in base64 (RFC 4648, padded), with quotes. Returns 0 · -ENOMEM. */
BT_MUST int json_put_base64(struct buf *out, const void *bytes, size_t n);

/* The same without quotes, for what is put in pieces: all but the last of as many bytes as
 * json_piece says, at most `most` (>= 4): `n` bytes of text are cut between characters, others at a
 * multiple of three. */
BT_MUST int json_put_text(struct buf *out, const void *bytes, size_t n);
BT_MUST int json_put_base64_digits(struct buf *out, const void *bytes, size_t n);
size_t json_piece(bool is_text, const void *bytes, size_t n, size_t most);

/* json_put_double appends a finite number, in as few digits as read back the same. Returns 0 ·
 * -ENOMEM. */
BT_MUST int json_put_double(struct buf *out, double value);

#endif

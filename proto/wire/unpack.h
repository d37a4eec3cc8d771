/* unpack.h - the frames that msgpack-c decodes: HELLO, WELCOME, SUB. Private to this room. */
#ifndef BATON_WIRE_UNPACK_H
#define BATON_WIRE_UNPACK_H

#include "proto/wire/message.h"

/* Each as message_decode. */
BT_MUST int unpack_hello(const struct frame *frame, struct msg_hello *ret_hello);
BT_MUST int unpack_welcome(const struct frame *frame, struct msg_welcome *ret_welcome);

/* unpack_sub also fills `*ret_sub` when it returns MESSAGE_E_UNSUPPORTED. */
BT_MUST int unpack_sub(const struct frame *frame, struct msg_sub *ret_sub);

#endif

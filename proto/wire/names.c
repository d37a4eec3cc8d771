/* Design note. The names are PROTOCOL.md's. Codes are named in logs and errors only; an overflow
 * policy travels in SUB by its name. */
#include "proto/wire/message.h"

static const char *const code_names[WIRE_CODE_N_] = {
        [WIRE_CODE_NONE] = "NONE",
        [WIRE_CODE_PROTOCOL] = "PROTOCOL",
        [WIRE_CODE_VERSION] = "VERSION",
        [WIRE_CODE_REFUSED] = "REFUSED",
        [WIRE_CODE_LIMIT] = "LIMIT",
        [WIRE_CODE_BAD_TOPIC] = "BAD_TOPIC",
        [WIRE_CODE_BAD_HEADERS] = "BAD_HEADERS",
        [WIRE_CODE_NO_RESPONDERS] = "NO_RESPONDERS",
        [WIRE_CODE_RESPONDER_GONE] = "RESPONDER_GONE",
        [WIRE_CODE_TIMEOUT] = "TIMEOUT",
        [WIRE_CODE_BAD_TOKEN] = "BAD_TOKEN",
        [WIRE_CODE_NO_SUCH_SUB] = "NO_SUCH_SUB",
        [WIRE_CODE_DUPLICATE] = "DUPLICATE",
        [WIRE_CODE_NO_MEMORY] = "NO_MEMORY",
        [WIRE_CODE_STALLED] = "STALLED",
        [WIRE_CODE_SHUTDOWN] = "SHUTDOWN",
        [WIRE_CODE_UNSUPPORTED] = "UNSUPPORTED",
        [WIRE_CODE_WINDOW] = "WINDOW",
        [WIRE_CODE_DESCRIPTORS] = "DESCRIPTORS",
        [WIRE_CODE_PAYLOAD] = "PAYLOAD",
        [WIRE_CODE_CANCELLED] = "CANCELLED",
};

static const char *const overflow_names[WIRE_OVERFLOW_N_] = {
        [WIRE_OVERFLOW_BLOCK] = "block",
        [WIRE_OVERFLOW_DROP_OLDEST] = "drop-oldest",
        [WIRE_OVERFLOW_DROP_NEWEST] = "drop-newest",
        [WIRE_OVERFLOW_LATEST] = "latest",
        [WIRE_OVERFLOW_DISCONNECT] = "disconnect",
};

const char *wire_code_name(uint64_t code)
{
        return code < WIRE_CODE_N_ ? code_names[code] : "UNKNOWN";
}

const char *wire_overflow_name(enum wire_overflow overflow)
{
        return (unsigned)overflow < WIRE_OVERFLOW_N_ ? overflow_names[overflow] : "unknown";
}

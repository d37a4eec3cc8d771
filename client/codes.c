/* Design note. The library speaks errno, the wire speaks codes; this is the only place that knows
 * both. Several codes share an errno: baton_code() tells them apart. */
#include "client/handle.h"

#include "proto/wire/topic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int code_errno(uint64_t code)
{
        static const int numbers[WIRE_CODE_N_] = {
                [WIRE_CODE_NONE] = ENOTCONN,
                [WIRE_CODE_PROTOCOL] = EPROTO,
                [WIRE_CODE_VERSION] = EPROTO,
                [WIRE_CODE_REFUSED] = EACCES,
                [WIRE_CODE_LIMIT] = EDQUOT,
                [WIRE_CODE_BAD_TOPIC] = EINVAL,
                [WIRE_CODE_BAD_HEADERS] = EINVAL,
                [WIRE_CODE_NO_RESPONDERS] = EHOSTUNREACH,
                [WIRE_CODE_RESPONDER_GONE] = EPIPE,
                [WIRE_CODE_TIMEOUT] = ETIMEDOUT,
                [WIRE_CODE_BAD_TOKEN] = ESTALE,
                [WIRE_CODE_NO_SUCH_SUB] = ENOENT,
                [WIRE_CODE_DUPLICATE] = EEXIST,
                [WIRE_CODE_NO_MEMORY] = ENOMEM,
                [WIRE_CODE_STALLED] = ENOTCONN,
                [WIRE_CODE_SHUTDOWN] = ESHUTDOWN,
                [WIRE_CODE_UNSUPPORTED] = EOPNOTSUPP,
                [WIRE_CODE_WINDOW] = EPROTO,
                [WIRE_CODE_DESCRIPTORS] = EACCES,
                [WIRE_CODE_PAYLOAD] = EINVAL,
                [WIRE_CODE_CANCELLED] = ECANCELED,
        };

        return code < WIRE_CODE_N_ ? -numbers[code] : -EIO;
}

void code_text(const struct msg_verdict *v, char text[WIRE_TEXT_BYTES + 1])
{
        struct slice said = v->text, limit = v->limit;

        /* A terminal may be shown it. */
        if (!said.len || said.len > WIRE_TEXT_BYTES || !text_is_plain(said.data, said.len)) {
                said.data = (const uint8_t *)wire_code_name(v->code);
                said.len = strlen((const char *)said.data);
        }
        if (limit.len > WIRE_NAME_BYTES || !text_is_plain(limit.data, limit.len))
                limit.len = 0;
        snprintf(text, WIRE_TEXT_BYTES + 1, limit.len ? "%.*s (limit %.*s)" : "%.*s", (int)said.len,
                (const char *)said.data, (int)limit.len, (const char *)limit.data);
}

const char *baton_code_name(int code)
{
        return code == 0 ? "NONE" : code > 0 ? wire_code_name((uint64_t)code) : "UNKNOWN";
}

const char *baton_strerror(int result)
{
        static const struct {
                int error;
                const char *text;
        } texts[] = {
                {0, "done"},
                {ECONNREFUSED, "no broker, or none to trust, at any of the addresses"},
                {ENOTCONN, "not connected, or not any more"},
                {EISCONN, "connected, or connecting, already"},
                {EACCES, "refused: by uid, by policy, or by file permissions"},
                {ETIMEDOUT, "the time that was given has passed"},
                {EHOSTUNREACH, "no responders"},
                {EPIPE, "all responders went away without a reply"},
                {EINVAL, "a topic, filter, header or argument is bad"},
                {EDQUOT, "a limit of the broker"},
                {EAGAIN, "would have to wait"},
                {ENOBUFS, "the inbox is full, or what may be kept is: dispatch first"},
                {ECANCELED, "cancelled"},
                {ESTALE, "the request is over, or was not yours to answer"},
                {ENOENT, "no such subscription, request, header"},
                {EEXIST, "a group with other options"},
                {EOPNOTSUPP, "this broker, or this kind of connection, does not do that"},
                {EMSGSIZE, "too large"},
                {EBUSY, "in use: between baton_begin and baton_end, or a socket used before"},
                {EPROTO, "one side broke the protocol"},
                {ESHUTDOWN, "the broker stops"},
                {EIO, "the broker failed, or the payload of a reply cannot be read"},
                {ENOMEM, "out of memory, here or in the broker"},
        };

        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                if (texts[i].error == -result || texts[i].error == result)
                        return texts[i].text;
        }
        return result < 0 ? strerror(-result) : "done";
}

const char *code_gap_reason(uint64_t reason)
{
        static const char *const names[] = {
                [WIRE_GAP_OVERFLOW] = "overflow",
                [WIRE_GAP_EXPIRED] = "expired",
                [WIRE_GAP_TOO_LARGE] = "too large",
                [WIRE_GAP_NO_MEMORY] = "out of memory",
                [WIRE_GAP_UNREADABLE] = "not readable",
                [WIRE_GAP_REVOKED] = "revoked",
        };

        return reason > 0 && reason < ARRAY_LEN(names) ? names[reason] : "unknown";
}

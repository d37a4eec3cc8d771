/* address.h - where a broker is: the text that people write, and what it means.
 *
 *      @name                   an abstract name: no file, no permission bits (unix(7))
 *      /path ./path ../path    a socket file
 *      seqpacket:ADDR          the same as ADDR
 *      stream:/path            the same packets, each led by its length
 *      dgram:/path             one publication a datagram
 *
 * The broker may add ?mode=0660&group=NAME to a path, a client ?uid=NAME to any address: whom it
 * expects there. A comma separates addresses, so no name contains one. */
#ifndef BATON_LINK_ADDRESS_H
#define BATON_LINK_ADDRESS_H

#include "proto/base/defs.h"
#include <stdbool.h>
#include <sys/types.h>

enum transport { TRANSPORT_SEQPACKET, TRANSPORT_STREAM, TRANSPORT_DGRAM };

/* Who reads the text: each side has options of its own. */
enum address_side { ADDRESS_BROKER, ADDRESS_CLIENT };

struct address {
        enum transport transport;
        bool is_abstract;
        /* `name` has `name_len` (1..107) bytes and a NUL behind them; an abstract name is kept
         * without the NUL that leads it in the kernel's form. */
        size_t name_len;
        char name[108];
        bool has_mode;
        mode_t mode; /* 0..0777 */
        bool has_group;
        gid_t gid;
        bool has_uid;
        uid_t uid;
};

/* Room for every address as text, its NUL included. */
enum { ADDRESS_TEXT = 192 };

/* One phrase for a person, without the address itself: "group nosuch does not exist". */
struct address_why {
        char text[160];
};

enum { ADDRESS_E_BAD = 1 };

/* address_parse reads one address. A relative path counts from $BUILD_WORKING_DIRECTORY where that
 * is set (`bazel run` changes the directory) and else from the current one.
 *
 * The broker's path may have 103 bytes, not 107: it is bound as PATH.new first.
 * Returns 0 · ADDRESS_E_BAD `ret_why` says why. */
BT_MUST int address_parse(
        const char *text, enum address_side side, struct address *ret, struct address_why *ret_why);

/* address_parse_list reads addresses with commas between them.
 *
 * ret_list [cap]   receives `*ret_n` addresses, 1 <= *ret_n <= cap.
 * Returns 0 · ADDRESS_E_BAD `ret_why` says which and why (`ret_list` is then undefined). */
BT_MUST int address_parse_list(const char *text, enum address_side side, struct address *ret_list,
        size_t cap, size_t *ret_n, struct address_why *ret_why);

/* Where root's default socket file is. */
#define ADDRESS_ROOT_DIR "/run/baton"

/* address_defaults gives what is meant when nobody named an address: $BATON_ADDRESS, a list; else
 * @baton-UID, and behind it /run/baton/baton.sock for root, $XDG_RUNTIME_DIR/baton.sock for others
 * who have one. UID is the effective one. A setuid program ignores its environment.
 *
 * ret_list [cap]   cap >= 2; receives `*ret_n` addresses, 1 <= *ret_n <= cap.
 * Returns 0 · ADDRESS_E_BAD $BATON_ADDRESS is wrong. */
BT_MUST int address_defaults(enum address_side side, struct address *ret_list, size_t cap,
        size_t *ret_n, struct address_why *ret_why);

/* address_format writes the address as text, without options: "@baton-0", "stream:/run/x.sock".
 * Returns `out`. */
const char *address_format(const struct address *a, char out[ADDRESS_TEXT]);

#endif

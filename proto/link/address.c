/* Design note. The text is looked at from left to right: transport, name, options. Control
 * characters are refused before anything else, so that every later phrase may quote the text.
 * Users and groups are looked up here, once, so that nothing that runs later depends on the user
 * database. */
#include "proto/link/address.h"

#include "proto/base/sys.h"
#include "proto/link/os.h"
#include "proto/link/say.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        /* sun_path has 108 bytes (104 on the BSDs and macOS): a path ends with a NUL, an abstract
         * name begins with one. */
        NAME_BYTES = sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
        /* What listener_open puts behind the path while it prepares the socket: ".new". */
        BROKER_SUFFIX_BYTES = 4,
        /* One address of a list, options included. */
        ITEM_BYTES = 512,
        /* The user database's scratch memory: where to begin and where to give up. */
        LOOKUP_FIRST_BYTES = 1024,
        LOOKUP_MOST_BYTES = 1 << 20,
};

_Static_assert(NAME_BYTES < sizeof(((struct address *)0)->name), "an address holds every name");
_Static_assert(sizeof(((struct address_why *)0)->text) == SAY_BYTES, "say fits an address_why");

#define bad(why, ...) (say((why)->text, __VA_ARGS__), ADDRESS_E_BAD)

static const char *skip(const char *text, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(text, prefix, n) ? NULL : text + n;
}

static const char *parse_transport(const char *text, enum transport *ret)
{
        const char *rest;

        *ret = TRANSPORT_SEQPACKET;
        if ((rest = skip(text, "seqpacket:")))
                return rest;
        if ((rest = skip(text, "stream:"))) {
                *ret = TRANSPORT_STREAM;
                return rest;
        }
        if ((rest = skip(text, "dgram:"))) {
                *ret = TRANSPORT_DGRAM;
                return rest;
        }
        return text;
}

static int parse_abstract(const char *name, size_t len, struct address *a, struct address_why *why)
{
        if (a->transport != TRANSPORT_SEQPACKET)
                return bad(why, "stream: and dgram: need a path, not an abstract name");
        if (!len)
                return bad(why, "the name is empty");
        if (len > NAME_BYTES)
                return bad(why, "too long: %zu bytes, %d at most", len, NAME_BYTES);
        a->is_abstract = true;
        a->name_len = len;
        memcpy(a->name, name, len);
        return 0;
}

/* The file name must be one: what ends in a slash or a dot directory names a directory. */
static bool names_a_file(const char *path)
{
        const char *base = strrchr(path, '/') + 1;

        return *base && strcmp(base, ".") && strcmp(base, "..");
}

static int parse_path(const char *path, size_t len, enum address_side side, struct address *a,
        struct address_why *why)
{
        size_t most = NAME_BYTES - (side == ADDRESS_BROKER ? BROKER_SUFFIX_BYTES : 0);
        const char *base = path[0] == '/' ? NULL : sys_getenv("BUILD_WORKING_DIRECTORY");
        int n;

        if (len > NAME_BYTES)
                return bad(why, "too long: %zu bytes, %zu at most", len, most);
        if (base && *base == '/') {
                const char *rest = path[1] == '/' ? path + 2 : path; /* without its "./" */
                n = snprintf(a->name, sizeof(a->name), "%s/%.*s", base,
                        (int)(len - (size_t)(rest - path)), rest);
        } else {
                n = snprintf(a->name, sizeof(a->name), "%.*s", (int)len, path);
        }
        if ((size_t)n > most)
                return bad(why, "too long: %d bytes, %zu at most", n, most);
        a->name_len = (size_t)n;
        if (!names_a_file(a->name))
                return bad(why, "the path names a directory");
        return 0;
}

static int parse_name(const char *text, size_t len, enum address_side side, struct address *a,
        struct address_why *why)
{
        if (text[0] == '@')
                return parse_abstract(text + 1, len - 1, a, why);
        if (text[0] == '/' || skip(text, "./") || skip(text, "../"))
                return parse_path(text, len, side, a, why);
        return bad(why, "an address is @name, /path or ./path, and may begin with seqpacket:, "
                        "stream: or dgram:");
}

enum who { WHO_USER, WHO_GROUP };

static int look_up_in(enum who who, const char *name, char *room, size_t cap, unsigned *ret_id)
{
        if (who == WHO_GROUP) {
                struct group group, *found = NULL;
                int e = getgrnam_r(name, &group, room, cap, &found);
                if (found)
                        *ret_id = found->gr_gid;
                return found ? 0 : e ? -e : -ENOENT;
        }
        struct passwd user, *found = NULL;
        int e = getpwnam_r(name, &user, room, cap, &found);
        if (found)
                *ret_id = found->pw_uid;
        return found ? 0 : e ? -e : -ENOENT;
}

static int look_up(enum who who, const char *name, unsigned *ret_id)
{
        int r = -ERANGE;

        for (size_t cap = LOOKUP_FIRST_BYTES; r == -ERANGE && cap <= LOOKUP_MOST_BYTES; cap *= 2) {
                char *room = malloc(cap);
                if (!room)
                        return -ENOMEM;
                r = look_up_in(who, name, room, cap, ret_id);
                free(room);
        }
        return r;
}

/* As chown(1) does it: a name first, and what is none may be a number. */
static int parse_who(enum who who, const char *value, unsigned *ret_id, struct address_why *why)
{
        unsigned long number;
        char *end;

        if (!*value)
                return bad(why, "%s needs a value", who == WHO_GROUP ? "group=" : "uid=");
        if (look_up(who, value, ret_id) == 0)
                return 0;
        number = strtoul(value, &end, 10);
        if (value[0] < '0' || value[0] > '9' || *end || number >= UINT32_MAX)
                return bad(
                        why, "%s %.64s does not exist", who == WHO_GROUP ? "group" : "user", value);
        *ret_id = (unsigned)number;
        return 0;
}

static int parse_mode(const char *value, struct address *a, struct address_why *why)
{
        size_t len = strlen(value);

        if (!len || len > 4 || strspn(value, "01234567") != len || strtoul(value, NULL, 8) > 0777)
                return bad(why, "mode=%.32s is not an octal number up to 0777", value);
        a->mode = (mode_t)strtoul(value, NULL, 8);
        a->has_mode = true;
        return 0;
}

static int parse_broker_option(
        const char *key, const char *value, struct address *a, struct address_why *why)
{
        unsigned id;

        if (strcmp(key, "mode") && strcmp(key, "group"))
                return bad(why, "unknown option %.32s (a broker has mode and group)", key);
        if (a->is_abstract)
                return bad(why, "an abstract name has no mode and no group");
        if (strcmp(key, "mode") == 0)
                return a->has_mode ? bad(why, "mode is given twice") : parse_mode(value, a, why);
        if (a->has_group)
                return bad(why, "group is given twice");
        int r = parse_who(WHO_GROUP, value, &id, why);
        if (r)
                return r;
        a->gid = id;
        a->has_group = true;
        return 0;
}

static int parse_client_option(
        const char *key, const char *value, struct address *a, struct address_why *why)
{
        unsigned id;

        if (strcmp(key, "uid"))
                return bad(why, "unknown option %.32s (a client has uid)", key);
        if (a->has_uid)
                return bad(why, "uid is given twice");
        int r = parse_who(WHO_USER, value, &id, why);
        if (r)
                return r;
        a->uid = id;
        a->has_uid = true;
        return 0;
}

static int parse_options(
        const char *text, enum address_side side, struct address *a, struct address_why *why)
{
        char copy[ITEM_BYTES];
        char *rest = copy;
        char *key;

        if (strlen(text) >= sizeof(copy))
                return bad(why, "the options are too long");
        strcpy(copy, text);
        while ((key = strsep(&rest, "&"))) {
                char *value = strchr(key, '=');
                if (!value)
                        return bad(why, "an option is NAME=VALUE, not \"%.32s\"", key);
                *value++ = '\0';
                int r = side == ADDRESS_BROKER ? parse_broker_option(key, value, a, why)
                                               : parse_client_option(key, value, a, why);
                if (r)
                        return r;
        }
        return 0;
}

static bool has_control(const char *text)
{
        for (; *text; text++) {
                if ((unsigned char)*text < 0x20 || *text == 0x7f)
                        return true;
        }
        return false;
}

int address_parse(
        const char *text, enum address_side side, struct address *ret, struct address_why *ret_why)
{
        struct address a = {0};

        if (has_control(text))
                return bad(ret_why, "contains a control character");
        if (strchr(text, ','))
                return bad(ret_why, "contains a comma, which separates addresses");
        const char *name = parse_transport(text, &a.transport);
        const char *options = name + strcspn(name, "?");
        int r = parse_name(name, (size_t)(options - name), side, &a, ret_why);
        if (r)
                return r;
        if (*options && (r = parse_options(options + 1, side, &a, ret_why)))
                return r;
        *ret = a;
        return 0;
}

int address_parse_list(const char *text, enum address_side side, struct address *ret_list,
        size_t cap, size_t *ret_n, struct address_why *ret_why)
{
        size_t n = 0;

        for (;;) {
                size_t len = strcspn(text, ",");
                struct address_why why;
                char item[ITEM_BYTES];
                if (n == cap)
                        return bad(ret_why, "more than %zu addresses", cap);
                if (len >= sizeof(item))
                        return bad(ret_why, "address %zu is too long", n + 1);
                memcpy(item, text, len);
                item[len] = '\0';
                if (!len)
                        return bad(ret_why, "address %zu is empty", n + 1);
                if (address_parse(item, side, &ret_list[n], &why))
                        return bad(ret_why, "address %zu: %s", n + 1, why.text);
                n++;
                if (!text[len])
                        break;
                text += len + 1;
        }
        *ret_n = n;
        return 0;
}

/* Where the socket file is by default. Root's stays out of $XDG_RUNTIME_DIR, which sudo may have
 * left pointing into somebody's own directory. A directory that cannot be used is none. */
static bool default_path(enum address_side side, struct address *ret)
{
        const char *dir = geteuid() == 0 ? ADDRESS_ROOT_DIR : sys_getenv("XDG_RUNTIME_DIR");
        char path[sizeof(ret->name)];
        struct address_why why;

        if (!dir || dir[0] != '/')
                return false;
        int n = snprintf(path, sizeof(path), "%s/baton.sock", dir);
        if ((size_t)n >= sizeof(path) || strchr(path, '?'))
                return false;
        return address_parse(path, side, ret, &why) == 0;
}

int address_defaults(enum address_side side, struct address *ret_list, size_t cap, size_t *ret_n,
        struct address_why *ret_why)
{
        const char *env = sys_getenv("BATON_ADDRESS");
        size_t n = 0;

        if (env && *env) {
                struct address_why why;
                if (address_parse_list(env, side, ret_list, cap, ret_n, &why))
                        return bad(ret_why, "BATON_ADDRESS: %s", why.text);
                return 0;
        }
        if (sys_has_abstract()) {
                struct address *a = &ret_list[n++];
                *a = (struct address){.is_abstract = true};
                a->name_len =
                        (size_t)snprintf(a->name, sizeof(a->name), "baton-%u", (unsigned)geteuid());
        }
        if (n < cap && default_path(side, &ret_list[n]))
                n++;
        if (!n)
                return bad(ret_why, "XDG_RUNTIME_DIR is not set: name an address");
        *ret_n = n;
        return 0;
}

const char *address_format(const struct address *a, char out[ADDRESS_TEXT])
{
        static const char *const prefix[] = {
                [TRANSPORT_SEQPACKET] = "",
                [TRANSPORT_STREAM] = "stream:",
                [TRANSPORT_DGRAM] = "dgram:",
        };

        snprintf(out, ADDRESS_TEXT, "%s%s%s", prefix[a->transport], a->is_abstract ? "@" : "",
                a->name);
        return out;
}

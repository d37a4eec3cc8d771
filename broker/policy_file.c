/* Design note. The format is that of INI files, read by libinih; what is ours is what the words
 * mean, and a reader that feeds it line by line, so that every error names its line. The file is
 * taken into memory first: nothing that happens to it later matters.
 *
 * It is strict wherever leniency could allow more than was meant: an indented line goes on with the
 * list before it, so one with `=` in it, which somebody took for a line of its own, is an error. */
#include "broker/policy_file.h"

#include "broker/core/core.h"
#include "broker/log.h"
#include "broker/policy_source.h"
#include "proto/base/number.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <grp.h>
#include <ini.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_BYTES = 256, TITLE_BYTES = 50 };

struct parser {
        const char *path;
        const uint8_t *at, *end; /* what is still to be read */
        unsigned line;           /* of what was read last */
        bool is_continued;       /* the file begins a list with it, or goes on with one */
        struct policy *policy;
        char title[TITLE_BYTES];
        int error;           /* 0 · 1: see `why` · -errno */
        unsigned error_line; /* 0: the file as a whole */
        char why[WHY_BYTES];
};

/* The first error counts. Returns 0, which tells libinih. */
static int BT_PRINTF(2, 3) fail(struct parser *p, const char *format, ...)
{
        va_list args;

        if (p->error)
                return 0;
        va_start(args, format);
        vsnprintf(p->why, sizeof(p->why), format, args);
        va_end(args);
        p->error = 1;
        p->error_line = p->line;
        return 0;
}

static int fail_with(struct parser *p, int error)
{
        if (!p->error)
                p->error = error;
        return 0;
}

/* ---------------------------------------------------------------- sections */

/* A name, or a number. Returns false if there is no such user, and has failed. */
static bool find_id(struct parser *p, enum policy_who who, const char *name, uint32_t *ret)
{
        uint64_t number;

        /* The last number means "none" to the kernel. */
        if (number_read(name, UINT32_MAX - 1, &number)) {
                *ret = (uint32_t)number;
                return true;
        }
        errno = 0;
        if (who == POLICY_USER) {
                const struct passwd *user = getpwnam(name);
                if (user) {
                        *ret = user->pw_uid;
                        return true;
                }
        } else {
                const struct group *group = getgrnam(name);
                if (group) {
                        *ret = group->gr_gid;
                        return true;
                }
        }
        fail(p, "no %s '%s'%s%s", who == POLICY_USER ? "user" : "group", name, errno ? ": " : "",
                errno ? strerror(errno) : "");
        return false;
}

static bool begin_section(struct parser *p, const char *title)
{
        enum policy_who who = POLICY_ANY;
        const char *name = NULL;
        uint32_t id = 0;

        if (strlen(title) >= TITLE_BYTES - 1) /* libinih has cut it */
                return fail(p, "[%s: too long", title);
        if (!strncmp(title, "user ", 5)) {
                who = POLICY_USER;
                name = title + 5;
        } else if (!strncmp(title, "group ", 6)) {
                who = POLICY_GROUP;
                name = title + 6;
        } else if (strcmp(title, "any") != 0) {
                return fail(p, "[%s]: expected [any], [user NAME] or [group NAME]", title);
        }
        if (name && !find_id(p, who, name, &id))
                return false;
        int r = policy_add_section(p->policy, who, id, title);
        if (r < 0)
                return fail_with(p, r);
        snprintf(p->title, sizeof(p->title), "%s", title);
        return true;
}

/* ----------------------------------------------------------------- entries */

static int add_filter(struct parser *p, enum policy_action action, const char *filter)
{
        int r = policy_grant(p->policy, action, filter, strlen(filter), p->line);
        switch (r) {
        case 0:
                return 1;
        case POLICY_E_FILTER:
                return fail(p, "'%s' is not a filter: %s", filter,
                        filter_fault(filter, strlen(filter)));
        case POLICY_E_RESERVED:
                return fail(p, "'%s': topics with $ are the broker's: see-sys = yes", filter);
        default:
                return fail_with(p, r);
        }
}

static int add_filters(struct parser *p, enum policy_action action, const char *value)
{
        const char *at = value + strspn(value, " \t");

        if (!*at)
                return fail(p, "%s: no filters: leave it out", policy_action_name(action));
        while (*at) {
                size_t len = strcspn(at, " \t");
                char *filter = strndup(at, len);
                int fine = filter ? add_filter(p, action, filter) : fail_with(p, -ENOMEM);
                free(filter);
                if (!fine)
                        return 0;
                at += len + strspn(at + len, " \t");
        }
        return 1;
}

static int add_answer(struct parser *p, enum policy_action action, const char *value)
{
        int r;

        if (!strcmp(value, "yes"))
                r = policy_allow(p->policy, action, p->line);
        else if (!strcmp(value, "no") && action == POLICY_CONNECT)
                r = policy_deny_connect(p->policy, p->line);
        else
                return fail(p, "%s = %s: expected yes%s", policy_action_name(action), value,
                        action == POLICY_CONNECT ? " or no" : ", or leave it out");
        return r < 0 ? fail_with(p, r) : 1;
}

/* 4096, 64K, 32M, 1G. What is too much for any quota is UINT64_MAX. */
static bool read_size(const char *text, uint64_t *ret)
{
        static const uint64_t MOST = UINT64_C(1) << 40;
        static const char units[] = "KMG";
        size_t len = strlen(text);
        const char *unit = len ? strchr(units, text[len - 1]) : NULL;
        char digits[24];

        if (!len || len >= sizeof(digits))
                return false;
        snprintf(digits, sizeof(digits), "%.*s", (int)(unit ? len - 1 : len), text);
        if (!number_read(digits, MOST, ret))
                return false;
        int shift = unit ? 10 * (int)(unit - units + 1) : 0;
        *ret = *ret > MOST >> shift ? UINT64_MAX : *ret << shift;
        return true;
}

static int set_quota(struct parser *p, enum policy_quota quota, const char *value)
{
        const char *name = policy_quota_name(quota);
        struct core_limits scratch;
        uint64_t n, least = 0;

        if (!read_size(value, &n))
                return fail(p, "%s = %s: not a whole number (units: K, M, G)", name, value);
        if (core_limits_set(&scratch, name, n, &least))
                return fail(p, "%s = %s: must be %" PRIu64 " to 2^40", name, value, least);
        policy_set_quota(p->policy, quota, n);
        return 1;
}

static int on_entry(void *arg, const char *section, const char *name, const char *value)
{
        struct parser *p = arg;
        enum policy_action action = policy_action_find(name);
        enum policy_quota quota = policy_quota_find(name);

        if (p->error)
                return 0;
        if (!*section)
                return fail(p, "%s: before any section", name);
        if (strcmp(section, p->title) != 0 && !begin_section(p, section))
                return 0;
        p->is_continued = true;
        if (quota != QUOTAS)
                return set_quota(p, quota, value);
        if (action == POLICY_ACTIONS)
                return fail(p, "no such word: %s", name);
        return policy_action_has_filters(action) ? add_filters(p, action, value)
                                                 : add_answer(p, action, value);
}

/* ------------------------------------------------------------------- lines */

static bool is_blank(const char *line)
{
        return !line[strspn(line, " \t\r\n")];
}

/* From a `;` or `#` that begins a word. libinih knows the first alone, and not in lines that go on
 * with a list. */
static void cut_comment(char *line)
{
        for (char *at = line; (at = strpbrk(at, ";#")); at++) {
                if (at == line || at[-1] == ' ' || at[-1] == '\t') {
                        *at = 0;
                        return;
                }
        }
}

/* `NAME: VALUE`, which libinih would take for `NAME = VALUE`. */
static bool has_colon(const char *line)
{
        for (const char *at = line; (at = strchr(at, ':')); at++) {
                if (is_blank((char[]){at[1], 0}) || (at > line && is_blank((char[]){at[-1], 0})))
                        return true;
        }
        return false;
}

static const char *fault_of(const struct parser *p, const char *line)
{
        const char *first = line + strspn(line, " \t"), *close = strchr(line, ']');

        if (is_blank(line))
                return NULL;
        if (*line == '[')
                return close && !is_blank(close + 1) ? "[SECTION] stands alone" : NULL;
        if (first == line)
                return line[strcspn(line, "=:")] == ':' ? "expected NAME = VALUE" : NULL;
        if (!p->is_continued || *first == '[' || strchr(first, '=') || has_colon(first))
                return "an indented line goes on with the one before: NAME = VALUE is not indented,"
                       " nor is [SECTION]";
        return NULL;
}

/* Some would be taken for blanks, or for the end of a line. */
static bool has_control(const uint8_t *line, size_t len)
{
        for (size_t i = 0; i < len; i++) {
                bool is_end = line[i] == '\n' || (line[i] == '\r' && i + 2 >= len);
                if (line[i] < ' ' && line[i] != '\t' && !is_end)
                        return true;
        }
        return false;
}

/* As fgets: gives libinih one line. */
static char *read_line(char *line, int room, void *arg)
{
        struct parser *p = arg;
        const uint8_t *newline = memchr(p->at, '\n', (size_t)(p->end - p->at));
        size_t len = (size_t)((newline ? newline + 1 : p->end) - p->at);

        if (!len || p->error)
                return NULL;
        p->line++;
        if (has_control(p->at, len) && !fail(p, "a control character, or a NUL byte"))
                return NULL;
        if (len >= (size_t)room) {
                fail(p, "longer than %d bytes: go on in the next line, indented", room - 2);
                return NULL;
        }
        memcpy(line, p->at, len);
        line[len] = 0;
        cut_comment(line);
        p->at += len;
        if (*line == '[')
                p->is_continued = false;
        const char *why = fault_of(p, line);
        return why && !fail(p, "%s", why) ? NULL : line;
}

static void parse(struct parser *p)
{
        int r = ini_parse_stream(read_line, p, on_entry, p); /* > 0: a line it could not read */

        if (r < 0)
                fail_with(p, -ENOMEM);
        if (r <= 0 || (p->error && p->error_line <= (unsigned)r))
                return;
        p->error = 0;
        p->line = (unsigned)r;
        fail(p, "expected [SECTION], or NAME = VALUE");
}

/* What is in the file may be anything. */
static void make_plain(char *text)
{
        if (text_is_plain(text, strlen(text)))
                return;
        for (; *text; text++) {
                if (*text < ' ' || *text > '~')
                        *text = '?';
        }
}

static void say_why(struct parser *p)
{
        make_plain(p->why);
        if (p->error_line)
                log_line("%s:%u: %s", p->path, p->error_line, p->why);
        else
                log_line("%s: %s", p->path, p->why);
}

static void take_in(struct parser *p)
{
        struct buf text cleanup_(buf_deinit) = BUF_INIT;
        const char *why = NULL;
        int r = policy_source_read(p->path, &text, &why);

        if (r == -ENOMEM) {
                fail_with(p, r);
        } else if (r) {
                fail(p, "%s", r < 0 ? strerror(-r) : why);
        } else {
                p->at = text.data;
                p->end = text.data + text.len;
                parse(p);
        }
}

int policy_file_read(const char *path, struct policy **ret_policy)
{
        struct parser p = {.path = path, .policy = policy_new(path)};

        if (p.policy)
                take_in(&p);
        else
                p.error = -ENOMEM;
        if (p.error > 0)
                say_why(&p);
        if (p.error)
                policy_free(p.policy);
        else
                *ret_policy = p.policy;
        return p.error;
}

int policy_file_explain(const char *path)
{
        struct buf text cleanup_(buf_deinit) = BUF_INIT;
        struct policy *policy = NULL;
        int r = policy_file_read(path, &policy);

        if (r > 0)
                return 1;
        if (r == 0)
                r = policy_explain(policy, &text);
        policy_free(policy);
        if (r == 0 && fwrite(text.data, 1, text.len, stdout) < text.len)
                r = -EIO;
        if (r == 0 && fflush(stdout) == EOF)
                r = -errno;
        if (r < 0)
                log_line("%s: %s", path, strerror(-r));
        return r < 0;
}

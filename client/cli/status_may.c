/* Design note. The broker knows uids and groups as numbers, and says what its policy says of them.
 * Whom a name means and in which groups that one is, is asked here: it is this system's view, and
 * may differ from that of a process which has been running since before it changed. */
#include "client/cli/status_may.h"
#include "proto/base/number.h"

#include <grp.h>
#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>
#include <string.h>

enum { GROUPS = 256 };

/* The gid of whom the system does not know: no rule is about it. */
static const gid_t NO_GROUP = (gid_t)-1;

static bool read_uid(const char *text, uid_t *ret)
{
        uint64_t n;

        if (!number_read(text, UINT32_MAX - 1, &n))
                return false;
        *ret = (uid_t)n;
        return true;
}

static int put_who(const struct cli *cli, const char *name, struct buf *out)
{
        gid_t groups[GROUPS];
        int n = GROUPS;
        uid_t uid;
        const struct passwd *user = read_uid(name, &uid) ? getpwuid(uid) : getpwnam(name);

        if (!user && !read_uid(name, &uid))
                return cli_usage(cli, "no user '%s'", name);
        if (!user)
                return buf_printf(out, "%u %u", (unsigned)uid, (unsigned)NO_GROUP);
        int r = buf_printf(out, "%u %u", (unsigned)user->pw_uid, (unsigned)user->pw_gid);
        if (getgrouplist(user->pw_name, user->pw_gid, groups, &n) < 0)
                n = GROUPS; /* more than the question may name */
        for (int i = 0; i < n && r == 0; i++) {
                if (groups[i] != user->pw_gid)
                        r = buf_printf(out, " %u", (unsigned)groups[i]);
        }
        return r;
}

int status_may_ask(const struct cli *cli, char *const *words, size_t n, struct buf *out)
{
        if (n != 2 && n != 3)
                return cli_usage(cli, "--may: expected USER ACTION [TOPIC or FILTER]");
        int r = buf_printf(out, "%s %s ", words[1], n == 3 ? words[2] : "-");
        if (r == 0)
                r = put_who(cli, words[0], out);
        return r < 0 ? cli_fail_about(cli, r, "--may", NULL) : r;
}

static const char *text(const json_t *object, const char *key)
{
        const char *value = json_string_value(json_object_get(object, key));

        return value ? value : "";
}

static int put(const json_t *answer, bool may, struct buf *out)
{
        const char *file = text(answer, "file"), *filter = text(answer, "filter");
        int r = buf_printf(out, "%s: ", may ? "yes" : "no");

        if (!*file || !may)
                r = r < 0 ? r : buf_printf(out, "%s", text(answer, "because"));
        if (r == 0 && *file)
                r = buf_printf(out, "%s%s:%" JSON_INTEGER_FORMAT " [%s]%s%s", may ? "" : ": ", file,
                        json_integer_value(json_object_get(answer, "line")),
                        text(answer, "section"), *filter ? " " : "", filter);
        return r < 0 ? r : buf_printf(out, "\n");
}

int status_may_answer(const struct cli *cli, const void *json, size_t len, struct buf *out)
{
        json_error_t why;
        json_t *answer = json_loadb(json, len, 0, &why);
        const json_t *verdict = json_object_get(answer, "may");
        int status = json_is_true(verdict) ? 0 : CLI_REFUSED;
        int r = 0;

        if (!json_is_boolean(verdict)) {
                cli_say(cli, "%s: not an answer", baton_address(cli->b));
                status = CLI_FAILED;
        } else {
                r = put(answer, status == 0, out);
        }
        json_decref(answer);
        return r < 0 ? cli_fail_about(cli, r, "answer", NULL) : status;
}

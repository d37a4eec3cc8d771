/* Design note. Landlock, by its bare system calls: the C library has no names for them, and Debian
 * 12's header knows its first version only. The kernel is asked for its version, and every right
 * that it can take away is taken away: what a kernel does not know stays as it was.
 *
 * Descriptors that are open are not affected, and a memory file has no path; so all that is given
 * back is the right to remove files in the directories of our sockets (a directory is the smallest
 * unit there is for removing), and, with a policy, to read what its reading takes. /etc is given as
 * a whole: passwd and group are replaced, not written, by whoever adds a user. */
#include "broker/confine_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset /* the same on all that Linux runs on but alpha */
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

/* linux/landlock.h of Linux 6.12. A kernel takes a longer one than its own if the rest is zero. */
struct rights {
        uint64_t files, net, scope;
};

#define TO_READ   LANDLOCK_ACCESS_FS_READ_FILE
#define TO_REMOVE LANDLOCK_ACCESS_FS_REMOVE_FILE

/* What each version has added: all of its rights are below these numbers. */
enum {
        FILES_1 = 13,
        FILES_2 = 14,  /* moving files between directories */
        FILES_3 = 15,  /* truncating */
        FILES_5 = 16,  /* ioctl on devices */
        NET_4 = 0x3,   /* bind and connect TCP */
        SCOPE_6 = 0x3, /* abstract names and processes outside of what is confined */
};

static void closep(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

static struct rights all_of(long version)
{
        int files = version >= 5   ? FILES_5
                    : version >= 3 ? FILES_3
                    : version == 2 ? FILES_2
                                   : FILES_1;

        return (struct rights){
                .files = (UINT64_C(1) << files) - 1,
                .net = version >= 4 ? NET_4 : 0,
                .scope = version >= 6 ? SCOPE_6 : 0,
        };
}

static int new_ruleset(void)
{
        long version = syscall(
                SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);

        if (version < 0)
                return -errno;
        struct rights rights = all_of(version);
        long fd = syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0U);
        return fd < 0 ? -errno : (int)fd;
}

static int allow(int ruleset, const char *directory, uint64_t rights)
{
        cleanup_(closep) int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        struct landlock_path_beneath_attr beneath = {.allowed_access = rights, .parent_fd = fd};
        return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0U) < 0
                       ? -errno
                       : 0;
}

/* The same for the directory that `path` is in. */
static int allow_around(int ruleset, const char *path, uint64_t rights)
{
        const char *slash = strrchr(path, '/');
        char directory[4096];

        if (!slash)
                return allow(ruleset, ".", rights);
        size_t len = (size_t)(slash - path) + 1;
        if (len >= sizeof(directory))
                return -ENAMETOOLONG;
        memcpy(directory, path, len);
        directory[len] = '\0';
        return allow(ruleset, directory, rights);
}

static int allow_needs(int ruleset, const struct confinement *needs)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < needs->n_served; i++) {
                const struct address *a = needs->served[i];
                if (!a->is_abstract)
                        r = allow_around(ruleset, a->name, TO_REMOVE);
        }
        if (r == 0 && needs->policy)
                r = allow_around(ruleset, needs->policy, TO_READ);
        if (r == 0 && needs->policy)
                r = allow(ruleset, "/etc", TO_READ);
        return r;
}

int confine_paths(const struct confinement *needs)
{
        cleanup_(closep) int ruleset = new_ruleset();

        if (ruleset < 0)
                return ruleset;
        int r = allow_needs(ruleset, needs);
        if (r < 0)
                return r;
        return syscall(SYS_landlock_restrict_self, ruleset, 0U) < 0 ? -errno : 0;
}

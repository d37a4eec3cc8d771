#include "tests/link/others.h"

#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool can_become_others(void)
{
        if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || seteuid(NOBODY) < 0)
                return false;
        CHECK_EQ(seteuid(0), 0);
        return true;
}

char dir[] = "/tmp/baton-uid-XXXXXX";

void dir_enter(mode_t mode)
{
        strcpy(dir + sizeof(dir) - 7, "XXXXXX");
        CHECK_PTR(mkdtemp(dir));
        CHECK_EQ(chmod(dir, mode), 0);
        CHECK_EQ(chdir(dir), 0);
        unsetenv("BUILD_WORKING_DIRECTORY");
}

void dir_leave(void)
{
        static const char *const names[] = {"s", "s.lock", "s.new"};

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                unlink(names[i]);
        CHECK_EQ(chdir("/"), 0);
        CHECK_EQ(rmdir(dir), 0);
}

int become(uid_t uid, gid_t gid)
{
        return setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid);
}

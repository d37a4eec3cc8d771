/* Design note. Files in a directory of our own, and a $PATH that names it. */
#include "client/cli/command.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
        char dir[64], program[96], text[96], folder[96];
};

static void make_file(char path[96], const char *dir, const char *name, mode_t mode)
{
        snprintf(path, 96, "%s/%s", dir, name);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK_EQ(fchmod(fd, mode), 0);
        close(fd);
}

static void make_place(struct place *p)
{
        snprintf(p->dir, sizeof(p->dir), "/tmp/command-test-XXXXXX");
        CHECK_PTR(mkdtemp(p->dir));
        make_file(p->program, p->dir, "program", 0700);
        make_file(p->text, p->dir, "text", 0600);
        snprintf(p->folder, sizeof(p->folder), "%s/folder", p->dir);
        CHECK_EQ(mkdir(p->folder, 0700), 0);
}

static void remove_place(const struct place *p)
{
        unlink(p->program);
        unlink(p->text);
        rmdir(p->folder);
        rmdir(p->dir);
}

TEST(a_path_is_looked_at_itself)
{
        struct place p;

        make_place(&p);
        CHECK_EQ(command_find(p.program), 0);
        CHECK_EQ(command_find(p.text), -EACCES);
        CHECK_EQ(command_find(p.folder), -EACCES);
        CHECK_EQ(command_find("/nonexistent/program"), -ENOENT);
        CHECK_EQ(command_find(""), -ENOENT);
        remove_place(&p);
}

TEST(a_name_is_looked_for_in_the_directories_of_the_path)
{
        struct place p;
        char path[PATH_MAX];

        make_place(&p);
        snprintf(path, sizeof(path), "/nonexistent:%s", p.dir);
        CHECK_EQ(setenv("PATH", path, 1), 0);
        CHECK_EQ(command_find("program"), 0);
        CHECK_EQ(command_find("text"), -EACCES);
        CHECK_EQ(command_find("absent"), -ENOENT);
        CHECK_EQ(setenv("PATH", "/nonexistent", 1), 0);
        CHECK_EQ(command_find("program"), -ENOENT);
        remove_place(&p);
}

TEST(an_empty_directory_is_the_current_one)
{
        static const char *const paths[] = {"", ":/nonexistent", "/nonexistent:", "/a::/b"};
        struct place p;

        make_place(&p);
        CHECK_EQ(chdir(p.dir), 0);
        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                CHECK_EQ(setenv("PATH", paths[i], 1), 0);
                CHECK_EQ(command_find("program"), 0);
                CHECK_EQ(command_find("absent"), -ENOENT);
        }
        remove_place(&p);
}

TEST(without_a_path_nothing_is_known)
{
        CHECK_EQ(unsetenv("PATH"), 0);
        CHECK_EQ(command_find("absent"), 0);
}

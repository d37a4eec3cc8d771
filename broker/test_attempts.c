/* Design note. One function an attempt: what the kernel says is the result, not what the filter
 * looks like. Only for a process that is confined: as root some would do harm if they succeeded. */
#include "broker/test_attempts.h"

#include "broker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int of(long result)
{
        return result < 0 ? -errno : 0;
}

/* ------------------------------------------------------------- what works */

static int memory_file(const struct place *p)
{
        char text[3];
        int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        (void)p;
        if (fd < 0 || write(fd, "abc", 3) != 3 || pread(fd, text, 3, 0) != 3)
                return of(-1);
        return of(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

static int much_memory(const struct place *p)
{
        (void)p;
        for (size_t n = 1; n < 1U << 28; n *= 2) {
                void *block = malloc(n), *larger = realloc(block, n * 3);
                if (!larger)
                        return -ENOMEM;
                ((volatile char *)larger)[n * 2] = 1;
                free(larger);
        }
        return 0;
}

static int remove_our_socket(const struct place *p)
{
        return of(unlinkat(p->dir, "s", 0));
}

static int read_policy(const struct place *p)
{
        char text[8];
        int fd = open(p->policy, O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : read(fd, text, sizeof(text)) == 6 ? 0 : -EIO;
}

static int find_names(const struct place *p)
{
        (void)p;
        const struct passwd *user = getpwnam("root");
        const struct group *group = getgrnam("root");
        if (!user || user->pw_uid || !group || group->gr_gid)
                return -ENOENT;
        return getpwnam("nobody-has-this-name") ? -EEXIST : 0;
}

/* ------------------------------------------------------------- what fails */

static int read_elsewhere(const struct place *p)
{
        return of(open(p->secret, O_RDONLY | O_CLOEXEC));
}

static int write_policy(const struct place *p)
{
        return of(open(p->policy, O_WRONLY | O_CLOEXEC));
}

static int read_and_write_policy(const struct place *p)
{
        return of(open(p->policy, O_RDWR | O_CLOEXEC));
}

static int truncate_policy(const struct place *p)
{
        return of(open(p->policy, O_RDONLY | O_TRUNC | O_CLOEXEC));
}

static int make_file(const struct place *p)
{
        return of(openat(p->dir, "new", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int make_unnamed_file(const struct place *p)
{
        return of(open(p->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

/* A filter cannot look into its arguments. */
static int open_anew(const struct place *p)
{
        struct {
                uint64_t flags, mode, resolve;
        } how = {O_WRONLY, 0, 0};

        return of(syscall(SYS_openat2, AT_FDCWD, p->policy, &how, sizeof(how)));
}

static int remove_elsewhere(const struct place *p)
{
        return of(unlinkat(AT_FDCWD, p->secret, 0));
}

static int remove_directory(const struct place *p)
{
        return of(unlinkat(AT_FDCWD, p->elsewhere, AT_REMOVEDIR));
}

static int rename_file(const struct place *p)
{
        return of(renameat(p->dir, "policy", p->dir, "stolen"));
}

static int change_mode(const struct place *p)
{
        return of(chmod(p->policy, 0666));
}

static int socket_inet(const struct place *p)
{
        (void)p;
        return of(socket(AF_INET, SOCK_STREAM, 0));
}

static int socket_unix(const struct place *p)
{
        (void)p;
        return of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int connect_somewhere(const struct place *p)
{
        struct sockaddr nobody = {.sa_family = AF_UNSPEC};

        (void)p;
        return of(connect(STDIN_FILENO, &nobody, sizeof(nobody)));
}

static int fork_process(const struct place *p)
{
        (void)p;
        pid_t pid = fork();
        if (pid == 0)
                _exit(0);
        return of(pid);
}

static int clone_anew(const struct place *p)
{
        uint64_t args[8] = {[4] = SIGCHLD};

        (void)p;
        long pid = syscall(SYS_clone3, args, sizeof(args));
        if (pid == 0)
                _exit(0);
        return of(pid);
}

static int signal_another(const struct place *p)
{
        (void)p;
        return of(kill(getppid(), 0));
}

static int signal_a_thread_of_another(const struct place *p)
{
        (void)p;
        return of(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int map_code(const struct place *p)
{
        (void)p;
        void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return page == MAP_FAILED ? -errno : 0;
}

static int make_code(const struct place *p)
{
        (void)p;
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return page == MAP_FAILED ? -EIO : of(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int filter_a_socket(const struct place *p)
{
        (void)p;
        return of(setsockopt(STDIN_FILENO, IPPROTO_IP, 0, NULL, 0));
}

static int take_owner(const struct place *p)
{
        (void)p;
        return of(fcntl(STDIN_FILENO, F_SETOWN, getppid()));
}

static int type_for_the_terminal(const struct place *p)
{
        (void)p;
        return of(ioctl(STDIN_FILENO, TIOCSTI, "x"));
}

static int ring(const struct place *p)
{
        char params[256] = {0};

        (void)p;
        return of(syscall(SYS_io_uring_setup, 4, params));
}

static int raise_limit(const struct place *p)
{
        uint64_t limit[2] = {1, 1};

        (void)p;
        return of(syscall(SYS_prlimit64, 0, 7, limit, NULL));
}

/* ----------------------------------------------------------- what is fatal */

static int execute(const struct place *p)
{
        char *const none[] = {NULL};

        (void)p;
        return of(execve("/bin/true", none, none));
}

static int execute_descriptor(const struct place *p)
{
        char *const none[] = {NULL};

        return of(syscall(SYS_execveat, p->dir, "", none, none, AT_EMPTY_PATH));
}

static int trace(const struct place *p)
{
        (void)p;
        return of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int mount_something(const struct place *p)
{
        return of(mount("none", p->directory, "tmpfs", 0, NULL));
}

static int new_namespace(const struct place *p)
{
        (void)p;
        return of(unshare(CLONE_NEWUSER));
}

static int be_another(const struct place *p)
{
        (void)p;
        return of(syscall(SYS_setresuid, 1, 1, 1));
}

static int change_root(const struct place *p)
{
        return of(chroot(p->directory));
}

#if defined(__x86_64__)
/* getpid by the calls of another architecture: x32. */
static int call_as_x32(const struct place *p)
{
        (void)p;
        return of(syscall(0x40000000 + SYS_getpid));
}
#endif

/* ------------------------------------------------------------------ table */

const struct attempt attempts[] = {
        {"memory file", memory_file, 0, 0, 0},
        {"much memory", much_memory, 0, 0, 0},
        {"remove our socket", remove_our_socket, 0, 0, 0},
        {"read the policy", read_policy, ENOSYS, 0, 0},
        {"find names", find_names, ENOENT, 0, 0},
        {"read elsewhere", read_elsewhere, ENOSYS, EACCES, CONFINED_PATHS},
        {"write the policy", write_policy, ENOSYS, ENOSYS, 0},
        {"read and write the policy", read_and_write_policy, ENOSYS, ENOSYS, 0},
        {"truncate the policy", truncate_policy, ENOSYS, ENOSYS, 0},
        {"make a file", make_file, ENOSYS, ENOSYS, 0},
        {"make an unnamed file", make_unnamed_file, ENOSYS, ENOSYS, 0},
        {"openat2", open_anew, ENOSYS, ENOSYS, 0},
        {"remove elsewhere", remove_elsewhere, EACCES, EACCES, CONFINED_PATHS},
        {"remove a directory", remove_directory, ENOSYS, ENOSYS, 0},
        {"rename", rename_file, ENOSYS, ENOSYS, 0},
        {"chmod", change_mode, ENOSYS, ENOSYS, 0},
        {"socket AF_INET", socket_inet, ENOSYS, ENOSYS, 0},
        {"socket AF_UNIX", socket_unix, ENOSYS, ENOSYS, 0},
        {"connect", connect_somewhere, ENOSYS, ENOSYS, 0},
        {"fork", fork_process, ENOSYS, ENOSYS, 0},
        {"clone3", clone_anew, ENOSYS, ENOSYS, 0},
        {"kill", signal_another, ENOSYS, ENOSYS, 0},
        {"tgkill", signal_a_thread_of_another, ENOSYS, ENOSYS, 0},
        {"map code", map_code, ENOSYS, ENOSYS, 0},
        {"make code", make_code, ENOSYS, ENOSYS, 0},
        {"setsockopt of a protocol", filter_a_socket, ENOSYS, ENOSYS, 0},
        {"fcntl F_SETOWN", take_owner, ENOSYS, ENOSYS, 0},
        {"ioctl TIOCSTI", type_for_the_terminal, ENOSYS, ENOSYS, 0},
        {"io_uring", ring, ENOSYS, ENOSYS, 0},
        {"prlimit", raise_limit, ENOSYS, ENOSYS, 0},
        {"execve", execute, FATAL, FATAL, 0},
        {"execveat", execute_descriptor, FATAL, FATAL, 0},
        {"ptrace", trace, FATAL, FATAL, 0},
        {"mount", mount_something, FATAL, FATAL, 0},
        {"unshare", new_namespace, FATAL, FATAL, 0},
        {"setresuid", be_another, FATAL, FATAL, 0},
        {"chroot", change_root, FATAL, FATAL, 0},
#if defined(__x86_64__)
        {"x32", call_as_x32, FATAL, FATAL, 0},
#endif
        {NULL, NULL, 0, 0, 0},
};

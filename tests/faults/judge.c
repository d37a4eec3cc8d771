/* Design note. Two things say for whom a call is: its descriptor, and the session that the core was
 * last asked about, which the wrappers around the core's entries keep. The core is walked through
 * by core_check whenever a session ends, and at the end. */
#include "tests/faults/judge.h"

#include <stdio.h>
#include <stdlib.h>

enum {
        FDS = 1024,
        SLOTS = 256,
};

static struct {
        bool is_broker;
        bool fds[FDS]; /* bystanders' */
        bool slots[SLOTS];
} self;

/* The loop's thread, and whether it is busy for a bystander. */
static _Thread_local bool is_loop, is_for_bystander;

void fault_enter(void)
{
        self.is_broker = is_loop = true;
}

bool judge_is_aside(void)
{
        return self.is_broker && !is_loop;
}

static void note_site(enum symbol s, uintptr_t at)
{
        struct fault_control *c = fault_control;

        for (size_t i = 0; i < c->n_sites; i++) {
                if (c->sites[i].symbol == s && c->sites[i].at == at) {
                        c->sites[i].n++;
                        return;
                }
        }
        if (c->n_sites == FAULT_SITES)
                abort(); /* make it larger */
        c->sites[c->n_sites++] = (struct fault_site){s, at, 1};
}

static int judge(struct fault *f, enum symbol s, uintptr_t site)
{
        if (f->symbol != s)
                return 0;
        if (!f->is_on) {
                if (f->site != site || f->skip-- > 0)
                        return 0;
                f->is_on = true;
        }
        if (f->left == 0)
                return 0;
        f->left--;
        return f->error;
}

void judge_count(enum symbol s)
{
        if (self.is_broker)
                __atomic_add_fetch(&fault_control->n_calls[s], 1, __ATOMIC_RELAXED);
}

static int fails(enum symbol s, uintptr_t site)
{
        struct fault_control *c = fault_control;
        int error = 0;

        if (!__atomic_load_n(&c->is_armed, __ATOMIC_SEQ_CST))
                return 0;
        while (__atomic_test_and_set(&c->lock, __ATOMIC_ACQUIRE))
                continue;
        note_site(s, site);
        for (size_t i = 0; i < c->n_faults && !error; i++)
                error = judge(&c->faults[i], s, site);
        c->n_failed += error != 0;
        __atomic_clear(&c->lock, __ATOMIC_RELEASE);
        return error;
}

static bool is_bystanders(int fd)
{
        return fd >= 0 && fd < FDS && self.fds[fd];
}

int judge_free(enum symbol s, uintptr_t site)
{
        judge_count(s);
        return self.is_broker && !is_for_bystander ? fails(s, site) : 0;
}

int judge_fd(enum symbol s, uintptr_t site, int fd)
{
        return is_bystanders(fd) ? 0 : judge_free(s, site);
}

void judge_opened(int fd)
{
        if (self.is_broker && fd >= 0 && fd < FDS)
                self.fds[fd] = fault_control->is_marking;
}

void judge_closing(int fd)
{
        if (self.is_broker && is_bystanders(fd))
                self.fds[fd] = false;
}

/* ------------------------------------------------------------- the core's doors */

/* As core.h declares it, so that a wrapper that differs from it is an error. */
#define DOORS(name) extern __typeof__(name) __real_##name, __wrap_##name

static void check(const struct core *core)
{
        is_for_bystander = true; /* it needs memory */
        const char *what = core_check(core);
        is_for_bystander = false;

        if (what && !fault_control->broken[0])
                snprintf(fault_control->broken, sizeof(fault_control->broken), "%s", what);
}

static void serve(struct session_id id)
{
        is_for_bystander = id.slot < SLOTS && self.slots[id.slot];
}

static void serve_nobody(void)
{
        is_for_bystander = false;
}

DOORS(core_open);
int __wrap_core_open(struct core *core, const struct core_peer *peer,
        const struct core_groups *groups, uint64_t now_ns, struct session_id *id)
{
        is_for_bystander = fault_control->is_marking;
        int r = __real_core_open(core, peer, groups, now_ns, id);
        serve_nobody();
        if (r == 0 && id->slot < SLOTS)
                self.slots[id->slot] = fault_control->is_marking;
        return r;
}

DOORS(core_input);
size_t __wrap_core_input(
        struct core *core, struct session_id id, const struct core_arrival *a, uint64_t now_ns)
{
        serve(id);
        size_t n = __real_core_input(core, id, a, now_ns);
        serve_nobody();
        return n;
}

DOORS(core_out_build);
bool __wrap_core_out_build(struct core *core, struct session_id id, struct core_packet *ret)
{
        serve(id);
        bool is_built = __real_core_out_build(core, id, ret);
        if (!is_built)
                serve_nobody();
        return is_built;
}

DOORS(core_out_done);
void __wrap_core_out_done(
        struct core *core, struct session_id id, enum core_out how, uint64_t now_ns)
{
        __real_core_out_done(core, id, how, now_ns);
        serve_nobody();
}

DOORS(core_close);
void __wrap_core_close(struct core *core, struct session_id id, uint64_t now_ns)
{
        serve(id);
        __real_core_close(core, id, now_ns);
        serve_nobody();
        check(core);
}

DOORS(core_free);
struct core *__wrap_core_free(struct core *core)
{
        if (core)
                check(core);
        return __real_core_free(core);
}

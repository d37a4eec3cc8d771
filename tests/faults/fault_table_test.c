/* No errno ends the broker. Every call that it makes once it is ready fails, in every way that it
 * can, once and for as long as the scenario lasts, at every place that makes it. The broker lives
 * on, serves who comes next, has lost no descriptor, and its core is in order; a pair of bystanders
 * sees nothing of it; and one failure ends one session at most. The table is printed: "-" means
 * that no session ended, "2 ended" that two did.
 *
 *      BATON_FAULTS_FULL=1     every single call, not only some, first and last among them, of
 *                              each place (fault_table_full, a `manual` target)
 *      BATON_FAULTS_PAIRS=N    pairs of faults, chosen by chance
 *      BATON_FAULTS_SEED=N     of that chance; a pair that fails says its own */
#include "tests/faults/errnos.h"
#include "tests/faults/site.h"
#include "tests/faults/stage.h"

#include "tests/harness/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        PAIRS = 150,
        /* The loop's wakes in 20 ms when nothing happens: timers, and what a rest ends. */
        AWAKE_MAX = 60,
        INTERRUPTS = 1000,
        POSITIONS = 6, /* of a call at its place, unless all */
};

/* What the scenario calls when nothing fails. */
static struct fault_site sites[FAULT_SITES];
static size_t n_sites;

static struct {
        unsigned runs, failed_calls, wrong, deaths;
} total;

/* The outcome of the runs of one cell of the table. */
struct cell {
        unsigned runs, n_failed, most_lost;
        const char *wrong;
};

static int compare(const void *left, const void *right)
{
        const struct fault_site *a = left, *b = right;

        if (a->symbol != b->symbol)
                return a->symbol < b->symbol ? -1 : 1;
        return a->at < b->at ? -1 : a->at > b->at;
}

static void look_round(void)
{
        struct stage s;

        fault_init();
        stage_run(&s, NULL, 0, STAGE_HANG);
        if (s.wrong)
                fail_msg("without faults: %s", s.wrong);
        n_sites = fault_control->n_sites;
        memcpy(sites, fault_control->sites, sizeof(sites));
        qsort(sites, n_sites, sizeof(sites[0]),
                compare); /* chance shall find them where they were */
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
        const char *text = getenv(variable);

        return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* Interruptions come one by one: who is interrupted tries again. */
static struct fault fault_of(const struct fault_site *site, int error, bool for_ever, int skip)
{
        int left = !for_ever ? 1 : error == EINTR ? INTERRUPTS : FAULT_FOR_EVER;

        return (struct fault){site->symbol, site->at, skip, left, error, false};
}

/* A socket that is ready and says EAGAIN all the same is no socket: then the loop may spin. */
static bool may_spin(const struct fault *f)
{
        return f->error == EAGAIN || f->symbol == SYMBOL_EPOLL_WAIT || f->error == EINTR;
}

static void run(const struct fault *faults, size_t n, struct cell *cell, int extras)
{
        struct stage s;
        bool is_once = true;

        stage_run(&s, faults, n, extras);
        for (size_t i = 0; i < n; i++)
                is_once &= faults[i].left == 1;
        if (!s.wrong && (extras & STAGE_SPIN) && s.n_awake > AWAKE_MAX) {
                fprintf(stderr, "%u wakes\n", s.n_awake);
                s.wrong = "the loop spins";
        }
        if (!s.wrong && is_once && s.n_lost > fault_control->n_failed)
                s.wrong = "more sessions ended than calls failed";
        cell->runs++;
        cell->n_failed += fault_control->n_failed;
        if (s.n_lost > cell->most_lost)
                cell->most_lost = s.n_lost;
        total.runs++;
        total.failed_calls += fault_control->n_failed;
        if (!s.wrong)
                return;
        total.wrong++;
        total.deaths += s.is_dead;
        if (!cell->wrong)
                cell->wrong = s.wrong;
}

static struct cell run_cell(const struct fault_site *site, int error, bool for_ever, bool is_full)
{
        struct cell cell = {.runs = 0};
        int step = is_full || site->n <= POSITIONS ? 1 : (site->n - 1) / (POSITIONS - 1);

        for (int skip = 0; skip < site->n && !cell.wrong; skip += step) {
                struct fault f = fault_of(site, error, for_ever, skip);
                bool is_spin_watched = for_ever && skip == 0 && !may_spin(&f);
                run(&f, 1, &cell,
                        (is_spin_watched ? STAGE_SPIN : 0) |
                                (site->symbol == SYMBOL_PTHREAD_CREATE ? STAGE_HANG : 0));
        }
        return cell;
}

static void format(const struct cell *cell, char *text, size_t cap)
{
        if (cell->wrong)
                snprintf(text, cap, "%s", cell->wrong);
        else if (!cell->n_failed)
                snprintf(text, cap, "not met");
        else if (cell->most_lost)
                snprintf(text, cap, "%u ended", cell->most_lost);
        else
                snprintf(text, cap, "-");
}

static void print_row(const struct fault_site *site, int error, bool is_full)
{
        struct cell once = run_cell(site, error, false, is_full);
        struct cell ever = run_cell(site, error, true, is_full);
        char texts[2][80], name[64];

        format(&once, texts[0], sizeof(texts[0]));
        format(&ever, texts[1], sizeof(texts[1]));
        site_name(site->at, name, sizeof(name));
        printf("%-14s %-30s %-13s %5u  %-10s %-10s%s\n", fault_symbol_name(site->symbol), name,
                errno_name(error), once.runs + ever.runs, texts[0], texts[1],
                once.wrong || ever.wrong ? "  WRONG" : "");
        fflush(stdout);
}

static void print_uncalled(void)
{
        printf("never called by a broker that is ready:");
        for (enum symbol s = 0; s < SYMBOL_N_; s++) {
                bool is_called = false;
                for (size_t i = 0; i < n_sites; i++)
                        is_called |= sites[i].symbol == s;
                if (!is_called)
                        printf(" %s", fault_symbol_name(s));
        }
        printf("\n");
}

TEST(no_failing_call_ends_the_broker)
{
        bool is_full = number_of("BATON_FAULTS_FULL", 0);
        const char *only = getenv("BATON_FAULTS_ONLY");

        look_round();
        printf("%-14s %-30s %-13s %5s  %-10s %-10s\n", "call", "in", "fails with", "runs", "once",
                "for ever");
        for (enum symbol s = 0; s < SYMBOL_N_; s++) {
                if (only && strcmp(only, fault_symbol_name(s)) != 0)
                        continue;
                for (size_t i = 0; i < n_sites; i++) {
                        for (const int *e = errnos_of(s); sites[i].symbol == s && *e; e++)
                                print_row(&sites[i], *e, is_full);
                }
        }
        print_uncalled();
        printf("%u runs, %u calls failed, %u brokers died, %u runs were wrong\n", total.runs,
                total.failed_calls, total.deaths, total.wrong);
        CHECK_EQ(total.wrong, 0);
}

/* xorshift64*: any generator will do that repeats itself. */
static uint64_t draw(uint64_t *state, uint64_t below)
{
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return (*state * UINT64_C(2685821657736338717) >> 33) % below;
}

static struct fault any_fault(uint64_t *state)
{
        const struct fault_site *site = &sites[draw(state, n_sites)];
        const int *errors = errnos_of(site->symbol);
        size_t n = 0;

        while (errors[n])
                n++;
        int error = errors[draw(state, n)];
        bool for_ever = draw(state, 3) == 0;
        return fault_of(site, error, for_ever, (int)draw(state, (uint64_t)site->n));
}

static void print_fault(const struct fault *f, uint64_t seed, const char *wrong)
{
        char name[64];

        site_name(f->site, name, sizeof(name));
        printf("seed %llu: %s in %s, %s %s after %d: %s\n", (unsigned long long)seed,
                fault_symbol_name(f->symbol), name, errno_name(f->error),
                f->left == 1 ? "once" : "for ever", f->skip, wrong);
}

TEST(no_two_failing_calls_end_the_broker)
{
        uint64_t n = number_of("BATON_FAULTS_PAIRS", PAIRS);
        uint64_t seed = number_of("BATON_FAULTS_SEED", 1);
        unsigned wrong = 0;

        look_round();
        for (uint64_t i = 0; i < n; i++) {
                uint64_t chance = (seed + i) * UINT64_C(0x9e3779b97f4a7c15);
                struct fault pair[2] = {any_fault(&chance), any_fault(&chance)};
                struct cell cell = {.runs = 0};
                run(pair, 2, &cell, 0);
                wrong += cell.wrong != NULL;
                for (size_t k = 0; cell.wrong && k < ARRAY_LEN(pair); k++)
                        print_fault(&pair[k], seed + i, cell.wrong);
        }
        printf("%llu pairs, %u wrong\n", (unsigned long long)n, wrong);
        CHECK_EQ(wrong, 0);
}

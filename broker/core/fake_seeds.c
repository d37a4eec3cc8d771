/* Design note. Random lives that can be played again. */
#include "broker/core/fake.h"

#include "tests/harness/test.h"

#include <inttypes.h>
#include <stdlib.h>

void fake_seeds(uint64_t rounds, void (*live)(uint64_t seed))
{
        const char *seed = getenv("SIM_SEED"), *n = getenv("SIM_ROUNDS");
        uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;
        uint64_t count = n ? strtoull(n, NULL, 10) : seed ? 1 : rounds;

        for (uint64_t i = first; i < first + count; i++) {
                print_message("seed %" PRIu64 "\n", i);
                live(i);
        }
}

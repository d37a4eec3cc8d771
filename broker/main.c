/* Design note. Exit statuses: 0 done, 1 failed, 2 usage.
 *
 * Messages come and go by the packet, so the top of the heap rises and falls by as much with every
 * turn of the loop. glibc would give it back each time (M_TRIM_THRESHOLD, 128 KiB; mallopt(3)), and
 * the kernel clear it again page by page, which cost as much as all that the broker does with 1 KiB
 * messages. So some of it is kept. Other C libraries decide for themselves. */
#include "broker/options.h"
#include "broker/server.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { KEPT_HEAP_BYTES = 32 << 20 };

static void keep_heap(void)
{
#ifdef M_TRIM_THRESHOLD
        mallopt(M_TRIM_THRESHOLD, KEPT_HEAP_BYTES);
#endif
}

int main(int argc, char **argv)
{
        struct options options;
        int status;

        switch (options_parse(argc, argv, &options)) {
        case 0:
                keep_heap();
                status = server_run(&options);
                options_deinit(&options);
                return status;
        case OPTIONS_E_DONE:
                return 0;
        case OPTIONS_E_POLICY:
        case OPTIONS_E_PASSED:
                return 1;
        default:
                return 2;
        }
}

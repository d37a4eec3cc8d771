/* Design note. Exit statuses: 0 done, 1 failed, 2 usage. */
#include "broker/options.h"
#include "broker/server.h"

int main(int argc, char **argv)
{
        struct options options;
        int status;

        switch (options_parse(argc, argv, &options)) {
        case 0:
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

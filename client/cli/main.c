/* Design note. One main for every tool: the BUILD file names the function. */
#include "client/cli/tools.h"

int main(int argc, char **argv)
{
        return TOOL_MAIN(argc, argv);
}

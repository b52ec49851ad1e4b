/* ekirei is one program: the command line, the server, and each of the server's roles. */
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "serve.h"

int main(int argc, char **argv)
{
    /* A role ends at once: it has nothing to flush, and in its jail the exit handlers of libraries could only be in the way. */
    if (argc == 3 && strcmp(argv[1], "--role") == 0)
        _exit(serve_role(argv[2]));
    return ctl_main(argc, argv);
}

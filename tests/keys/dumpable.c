/* The program as it is, but for one thing: its memory may be read by the user who runs it, so that test_keys.py can search it without being root. */
#include <stdarg.h>
#include <sys/prctl.h>

int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);

int __wrap_prctl(int option, ...)
{
    unsigned long words[4];
    va_list rest;
    va_start(rest, option);
    for (int i = 0; i < 4; i++)
        words[i] = va_arg(rest, unsigned long);
    va_end(rest);
    return option == PR_SET_DUMPABLE ? 0 : __real_prctl(option, words[0], words[1], words[2], words[3]);
}

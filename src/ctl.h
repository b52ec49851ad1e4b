/* ctl.h - the command line: one table of commands (group, verb, arguments, options, help, handler).
 *
 * Exit status: 0 done, 1 it did not work, 2 wrong usage or wrong settings.  Errors are one line on stderr, "ekirei:
 * what". */
#pragma once

int ctl_main(int argc, char **argv);

/* pass_vfs.h - for tests: what a layer between SQLite and the system does not change goes through here.
 *
 * A layer's own file begins with struct pass_file; it copies pass_methods and puts its own calls in. */
#pragma once

#include <sqlite3.h>

struct pass_file {
    sqlite3_file base;
    sqlite3_file *real; /* lies behind the layer's file in the same memory */
};

extern const sqlite3_io_methods pass_methods; /* without xWrite, xTruncate and xSync: a layer is there for these */

static inline sqlite3_file *pass_real(sqlite3_file *file)
{
    return ((struct pass_file *)(void *)file)->real;
}

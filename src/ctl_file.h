/* ctl_file.h - the few things that the command line does with files: read one whole, make one durably, take the
 * keeper's place. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

#define FILE_PATH 4096u /* octets with NUL: PATH_MAX */

/* "DIR/NAME"; a path that is too long is a usage error of its own: it ends the program with exit status 2. */
void file_path(char out[FILE_PATH], const char *dir, const char *name);
/* The whole file.  NOT_FOUND; TOO_BIG beyond out's max; IO with errno. */
MUST_USE enum status file_read(const char *path, struct buf *out);
/* A new file, on disk when this returns.  EXISTS; FULL; IO with errno: then there is no such file. */
MUST_USE enum status file_make(const char *path, struct slice octets, mode_t mode);
/* As root: becomes the keeper's user, locked into the store's folder; *out_path is where the store is then. */
MUST_USE enum status file_own_store(const char *store, uint32_t preset_uid, const char **out_path);
/* The file, or the folder with all that is in it; never across a mount or a link. */
void file_remove_all(const char *path);
void file_remove_at(int folder, const char *name);

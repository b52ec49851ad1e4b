/* body.h - large bodies: one file each, in folders of their own, beside the database (DESIGN section 6).
 *
 * A body that is larger than LIMIT_INLINE_STORED once packed is written here by a pool thread, synced with its folder, and only then named in a transaction: a
 * crash in between leaves an orphan, which the next start sweeps.  Staging files have no name at all (O_TMPFILE). */
#pragma once

#include <stdatomic.h>

#include "base/buf.h"

#define BODY_FOLDERS 256u    /* "00" to "ff" */

/* All paths are relative to the store's folder, opened once before rights are dropped. */
struct body_store {
    int dir;
    atomic_bool settled[BODY_FOLDERS]; /* this process knows that the folder's own name is on the disk */
};
MUST_USE enum status body_store_open(struct body_store *out_bodies, const char *store_dir);
void body_store_close(struct body_store *bodies);

/* An unnamed file for a gate to write a body into. */
MUST_USE enum status body_stage(struct body_store *bodies, int *out_fd);

/* Writing one body: put pieces, then finish (fsync of file and folder) or abandon. */
struct body_file {
    int fd;
    char name[80];           /* "bodies/ab/abcdef..." */
};
MUST_USE enum status body_file_open(struct body_store *bodies, struct body_file *out_file);
MUST_USE enum status body_file_put(struct body_file *file, struct slice octets);
MUST_USE enum status body_file_finish(struct body_store *bodies, struct body_file *file);
void body_file_abandon(struct body_store *bodies, struct body_file *file);

MUST_USE enum status body_file_read(struct body_store *bodies, struct slice name, uint64_t at, size_t room, struct buf *out);
MUST_USE enum status body_file_size(struct body_store *bodies, struct slice name, uint64_t *out_size);
/* Gives it a second name below `folder`, a folder of the store; EXISTS, NOT_FOUND. */
MUST_USE enum status body_file_link(struct body_store *bodies, struct slice name, const char *folder);
bool body_is_name(struct slice name); /* has it the form of ours? */
/* Calls `each` with the name of all that lies in the folder of that number, ours or not, while it says OK; a folder that is not there is empty. */
MUST_USE enum status body_file_each(struct body_store *bodies, unsigned folder, enum status (*each)(void *context, const char *name), void *context);
MUST_USE enum status body_file_remove(struct body_store *bodies, struct slice name);

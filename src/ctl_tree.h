/* ctl_tree.h - folders that are made whole or not at all, and copied with the SHA-256 of every file.
 *
 * As long as something is missing a folder holds a file INCOMPLETE: whoever comes next sees what it is, and removes what was made. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/clock.h"

#define TREE_MANIFEST "manifest.sha256" /* in the form of sha256sum(1) */
#define TREE_HEX      64u

struct tree {
    const char *folder; /* for words */
    int fd;
    bool made;             /* by us: it goes again if the rest fails */
    struct buf manifest;   /* of all that was copied into it */
    uint64_t files, octets;
    const char *verb;      /* of the progress: "copied" */
    msec tell_at, pause;
};
/* A new or empty folder, or one that an earlier run left incomplete; 0, or the exit status, explained. */
int tree_claim(struct tree *t, const char *folder, const char *const *entries);
/* It failed: removes what was made. */
void tree_abandon(struct tree *t, const char *const *entries);
/* On disk, whatever comes after it. */
int tree_sync(struct tree *t);
/* On disk, and INCOMPLETE no longer. */
int tree_finish(struct tree *t);
void tree_done(struct tree *t);

/* What a file is copied with. */
struct tree_copy {
    int from;              /* a folder */
    const char *from_name; /* of it, for words */
    mode_t (*mode)(const char *path); /* of a file; NULL: 0600 */
    uid_t owner;           /* where `owned` */
    bool owned;
};
/* The file or folder `from/name` becomes `t/path`, folders with all that is in them; links and sockets are left out with a warning. */
int tree_copy(struct tree *t, const struct tree_copy *copy, const char *name, const char *path);
int tree_put(struct tree *t, const char *path, struct slice octets); /* a small file of our own */
struct tree_giving {
    uid_t from, uid; /* what belongs to `from` becomes uid's and gid's */
    gid_t gid;
    dev_t device; /* the folder that is meant, whatever stands at its path now */
    ino_t inode;
};
/* The folder with all in it that is `from`'s and has no second name elsewhere. */
int tree_give(const char *folder, const struct tree_giving *giving);
/* The SHA-256 of a file as it is now. */
int tree_hash(struct tree *t, const char *path, char out_hex[TREE_HEX + 1]);
/* All plain files below: each(path); anything else that is no folder is each(path) as well, with `plain` false. */
int tree_each(int fd, const char *path, int (*each)(void *context, const char *path, bool plain), void *context);

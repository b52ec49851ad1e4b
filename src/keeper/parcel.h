/* parcel.h - a body being packed for the store: frames as they fill, hashed as they are stored; what grows beyond
 * LIMIT_INLINE_STORED goes to a file of its own. */
#pragma once

#include "keeper/vault.h"
#include "store/body.h"
#include "store/store.h"

struct parcel {
    struct body_store *bodies;
    struct vault_digest *digest;
    struct buf plain;  /* of the frame under way */
    struct buf packed; /* not in the file */
    struct body_file file;
    uint64_t size, stored;
    uint8_t hash[32];
    bool has_file, finished;
};

void parcel_init(struct parcel *parcel, struct body_store *bodies);
MUST_USE enum status parcel_put(struct parcel *parcel, struct slice plain);
/* Copies `size` octets from the start of a descriptor that a gate handed in, once.  MALFORMED where it is no regular
 * file, or shorter. */
MUST_USE enum status parcel_put_fd(struct parcel *parcel, int fd, uint64_t size);
MUST_USE enum status parcel_finish(struct parcel *parcel);
struct store_body parcel_body(const struct parcel *parcel); /* points into the parcel */
/* What became of the write that was to name it.  True where its file must stay: it is named now, or the disk failed, and
 * should the machine die before the next commit, the transaction may be found after all (store.h).  A file that nobody
 * names then is swept at the next start; a row without its file would be a message that nobody can read. */
bool parcel_is_needed(enum status written);
/* `needed`: its file stays; else it goes. */
void parcel_done(struct parcel *parcel, bool needed);

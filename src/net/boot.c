#include "net/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"
#include "net/tls.h"

#define MOST_PATH  4096u            /* octets: PATH_MAX */
#define MOST_BOOT  (16u << 20)      /* octets of the whole message */

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* clang-format off */
static const struct field pair_row[] = { F_BYTES(boot_pair, certificate, LIMIT_PEM), F_BYTES(boot_pair, key, LIMIT_PEM), { .kind = FIELD_END } };
static const struct field boot_fields[] = {
    F_BYTES(boot, settings, LIMIT_SETTINGS_FILE), F_TEXT(boot, settings_name, MOST_PATH), F_TEXT(boot, dir, MOST_PATH),
    F_ROWS(boot, pairs, boot_pair, pair_row, LIMIT_CERTIFICATES), F_BYTES(boot, ticket_key, TLS_TICKET_KEY), F_BYTES(boot, keeper_key, KEEPER_KEY_OCTETS),
    F_BYTES(boot, oauth_keys, LIMIT_ERRAND), F_BYTES(boot, oauth_secret, LIMIT_SECRET), F_BYTES(boot, oauth_ca, LIMIT_PEM),
    F_U32(boot, worker), F_U64(boot, generation), { .kind = FIELD_END } };
/* clang-format on */

static enum status write_all(int fd, struct slice octets)
{
    while (octets.len > 0) {
        ssize_t written = write(fd, octets.ptr, octets.len);
        if (written < 0 && errno != EINTR)
            return STATUS_IO;
        if (written > 0)
            octets = slice_from(octets, (size_t)written);
    }
    return STATUS_OK;
}

static enum status seal(struct slice octets, int *out_fd)
{
    int fd = memfd_create("boot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return STATUS_IO;
    enum status status = write_all(fd, octets);
    if (status == STATUS_OK && fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        status = STATUS_IO;
    if (status == STATUS_OK)
        *out_fd = fd;
    else
        close(fd);
    return status;
}

enum status boot_put(const struct boot *boot, int *out_fd)
{
    struct buf octets = BUF(MOST_BOOT);
    /* All the room at once: a buffer that grows leaves copies of the keys behind. */
    size_t size = 256 + boot->settings.len + boot->settings_name.len + boot->dir.len + TLS_TICKET_KEY + KEEPER_KEY_OCTETS;
    size += boot->oauth_keys.len + boot->oauth_secret.len + boot->oauth_ca.len;
    for (uint32_t i = 0; i < boot->pairs.count; i++) {
        const struct boot_pair *pair = row_of(struct boot_pair, boot->pairs, i);
        size += 16 + pair->certificate.len + pair->key.len;
    }
    char *room;
    TRY(buf_reserve(&octets, size, &room));
    enum status status = field_put(&octets, boot_fields, boot);
    if (status == STATUS_OK)
        status = seal(buf_slice(&octets), out_fd);
    buf_wipe(&octets);
    buf_done(&octets);
    return status;
}

static enum status read_all(int fd, struct buf *octets)
{
    struct stat about;
    if (fstat(fd, &about) != 0 || about.st_size < 0)
        return STATUS_IO;
    if ((uint64_t)about.st_size > MOST_BOOT)
        return STATUS_TOO_BIG;
    size_t size = (size_t)about.st_size;
    char *room;
    octets->max = MOST_BOOT;
    buf_wipe(octets);
    TRY(buf_reserve(octets, size, &room));
    /* pread: the descriptor's offset stands where the writer left it. */
    while (octets->len < size) {
        ssize_t got = pread(fd, room + octets->len, size - octets->len, (off_t)octets->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return STATUS_IO;
        buf_grown(octets, (size_t)got);
    }
    return STATUS_OK;
}

enum status boot_get(int from, struct arena *arena, struct buf *octets, struct boot *out_boot)
{
    scoped_fd int fd = from;
    TRY(read_all(fd, octets));
    return field_get(buf_slice(octets), boot_fields, arena, out_boot);
}

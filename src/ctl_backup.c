/* ctl_backup.c - `ekirei backup`: a folder with all that a server is, verified.
 *
 *   FOLDER/ekirei.conf, keys/, tls/   as in DIR
 *   FOLDER/store/                     the store of one moment
 *   FOLDER/backup.txt                 when, and by which version
 *   FOLDER/manifest.sha256            of every file; made last: `sha256sum -c` reads it
 *
 * The keeper makes a snapshot beside its store, this process copies it out, reads every body in the copy, and lets the snapshot go. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "base/scoped.h"
#include "ctl_backup.h"
#include "ctl_body.h"
#include "ctl_file.h"
#include "ctl_impl.h"
#include "ctl_tree.h"
#include "mail/date.h"
#include "store/store.h"

#define QUIET SECONDS(2)

const char *const backup_entries[] = { "ekirei.conf", "keys", "tls", "store", BACKUP_ABOUT, TREE_MANIFEST, NULL };

struct backup {
    struct ctl *ctl;
    struct tree tree;
    uint64_t bodies;
    uint32_t missing, damaged;
};

/* ---- the snapshot -------------------------------------------------------------------------------------------------- */

static int step(struct backup *b, enum snapshot_step step, struct answer *answer)
{
    struct ask ask = { .kind = ASK_SNAPSHOT, .fd = -1, .snapshot = { .step = (uint8_t)step } };
    return ctl_ask(b->ctl, &ask, "the snapshot", answer);
}

static int step_all(struct backup *b, enum snapshot_step which, const char *what)
{
    struct answer answer;
    msec pause = QUIET, tell_at = clock_now() + pause;
    do {
        int code = step(b, which, &answer);
        if (code != CTL_DONE)
            return code;
        b->missing += answer.snapshot.missing;
        if (clock_now() >= tell_at) {
            pause = pause < SECONDS(60) ? pause * 2 : pause;
            tell_at = clock_now() + pause;
            fprintf(stderr, "ekirei: snapshot: %" PRIu64 " of %" PRIu64 " %s\n", answer.snapshot.done, answer.snapshot.total, what);
        }
    } while (answer.snapshot.more);
    return CTL_DONE;
}

static int make_snapshot(struct backup *b)
{
    struct answer answer;
    int code = step(b, SNAPSHOT_BEGIN, &answer);
    if (code == CTL_DONE)
        code = step_all(b, SNAPSHOT_COPY, "pages");
    if (code == CTL_DONE)
        code = step_all(b, SNAPSHOT_LINK, "files of bodies");
    return code;
}

/* ---- copying ------------------------------------------------------------------------------------------------------- */

static int copy_all(struct backup *b)
{
    scoped_fd int dir = open(b->ctl->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return ctl_failed("%s cannot be opened: %s", b->ctl->dir, strerror(errno));
    scoped_fd int store = openat(dir, "store", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (store < 0)
        return ctl_failed("%s/store cannot be opened: %s", b->ctl->dir, strerror(errno));
    struct tree_copy from_dir = { .from = dir, .from_name = b->ctl->dir, .mode = backup_mode };
    struct tree_copy from_store = { .from = store, .from_name = b->ctl->dir };
    int code = tree_copy(&b->tree, &from_dir, "ekirei.conf", "ekirei.conf");
    if (code == CTL_DONE)
        code = tree_copy(&b->tree, &from_dir, "keys", "keys");
    if (code == CTL_DONE)
        code = tree_copy(&b->tree, &from_dir, "tls", "tls");
    return code == CTL_DONE ? tree_copy(&b->tree, &from_store, STORE_SNAPSHOT, "store") : code;
}

static void warn_outside(const char *setting, struct slice path)
{
    if (path.len > 0 && path.ptr[0] == '/')
        ctl_warn("%s names %.*s, which is not in the backup", setting, (int)path.len, path.ptr);
}

/* What the settings name elsewhere stays there. */
static int look_at_settings(struct backup *b)
{
    struct settings *settings;
    int code = ctl_settings(b->ctl, &settings);
    if (code != CTL_DONE)
        return code;
    for (uint32_t at = 0; at < settings->tls_certificate.count; at++) {
        warn_outside("tls.certificate", settings->tls_certificate.rows[at]);
        warn_outside("tls.key", settings->tls_key.rows[at]);
    }
    warn_outside("oauth.jwks", settings->oauth_jwks);
    warn_outside("oauth.secret_file", settings->oauth_secret_file);
    warn_outside("oauth.ca_file", settings->oauth_ca_file);
    settings_release(settings);
    return CTL_DONE;
}

/* ---- verifying ----------------------------------------------------------------------------------------------------- */

static int read_bodies(struct backup *b, struct store *store, struct body_reader *reader)
{
    struct arena arena = ARENA(4u << 20);
    struct buf octets = BUF(STORE_BODIES_ROOM);
    struct ask_bodies ask = { 0 };
    struct answer_bodies answer;
    enum status status;
    do {
        buf_clear(&octets);
        arena_reset(&arena);
        status = store->verbs->bodies(store, &ask, &arena, &octets, &answer);
        for (uint32_t at = 0; status == STATUS_OK && at < answer.rows.count; at++)
            if (body_reader_feed(reader, row_of(struct body_row, answer.rows, at))) {
                b->bodies++;
                b->damaged += reader->found != 0;
            }
        ask = (struct ask_bodies){ .id = answer.id, .at = answer.at };
    } while (status == STATUS_OK && ask.id != 0);
    buf_done(&octets);
    arena_done(&arena);
    return status == STATUS_OK ? CTL_DONE : ctl_failed("the copy cannot be read: %s", status_name(status));
}

static int check_pages(struct store *store)
{
    struct arena arena = ARENA(1u << 20);
    struct answer_check answer;
    enum status status = store->verbs->check(store, &(struct ask_check){ .part = CHECK_PAGES }, &arena, &answer);
    int code = CTL_DONE;
    if (status != STATUS_OK)
        code = ctl_failed("the copy cannot be read: %s", status_name(status));
    else if (answer.rows.count > 0)
        code = ctl_failed("the copy's database is damaged: %.*s", (int)row_of(struct check_row, answer.rows, 0)->detail.len,
            row_of(struct check_row, answer.rows, 0)->detail.ptr);
    arena_done(&arena);
    return code;
}

/* What was copied, and not what it was copied from: each page, and each body against its digest. */
static int verify(struct backup *b)
{
    char path[FILE_PATH];
    struct store *store;
    struct body_reader reader;
    struct buf why = BUF(LIMIT_LOG_LINE);
    file_path(path, b->tree.folder, "store");
    struct store_plan plan = { .dir = path, .mode = STORE_COPY };
    enum status status = store_open(&plan, &store, &why);
    int code = status == STATUS_OK ? CTL_DONE : ctl_failed("the copy cannot be opened: %.*s", (int)why.len, why.ptr);
    buf_done(&why);
    if (code != CTL_DONE)
        return code;
    body_reader_init(&reader, false);
    code = check_pages(store);
    if (code == CTL_DONE)
        code = read_bodies(b, store, &reader);
    body_reader_done(&reader);
    store_close(store);
    return code;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static int write_about(struct backup *b)
{
    struct buf text = BUF(4096), now = BUF(64);
    enum status status = date_print_iso(&now, clock_wall());
    if (status == STATUS_OK)
        status = buf_print(&text, "A backup of an ekirei server, with its keys: whoever reads it can read the mail and knows the devices' passwords.\n"
                                  "made = %.*s\nversion = " EKIREI_VERSION "\nbodies = %" PRIu64 "\n", (int)now.len, now.ptr, b->bodies);
    must(status == STATUS_OK);
    int code = tree_put(&b->tree, BACKUP_ABOUT, buf_slice(&text));
    buf_done(&text);
    buf_done(&now);
    if (code == CTL_DONE)
        code = tree_put(&b->tree, TREE_MANIFEST, buf_slice(&b->tree.manifest));
    return code == CTL_DONE ? tree_finish(&b->tree) : code;
}

static int make(struct backup *b)
{
    struct answer answer;
    int code = look_at_settings(b);
    if (code == CTL_DONE)
        code = make_snapshot(b);
    if (code == CTL_DONE)
        code = copy_all(b);
    /* Where there is none to end, nothing is said of it. */
    if (b->ctl->is_open && code == CTL_DONE)
        code = step(b, SNAPSHOT_END, &answer);
    if (code == CTL_DONE)
        code = verify(b);
    return code == CTL_DONE ? write_about(b) : code;
}

static int tell(struct backup *b)
{
    json_t *object = json_object();
    ctl_put_text(object, "folder", slice_of(b->tree.folder));
    ctl_put_number(object, "files", b->tree.files);
    ctl_put_number(object, "octets", b->tree.octets);
    ctl_put_number(object, "bodies", b->bodies);
    ctl_put_number(object, "damaged", b->damaged);
    int code = ctl_print_line(b->ctl, object,
        "%s: %" PRIu64 " bodies verified, %" PRIu64 " files, %" PRIu64 " MB; it holds keys and passwords: keep it as safe as the server", b->tree.folder,
        b->bodies - b->damaged, b->tree.files, b->tree.octets >> 20);
    if (b->damaged == 0 && b->missing == 0)
        return code;
    return ctl_failed("the backup was made, but %" PRIu32 " bod%s damaged in the store itself; 'ekirei check' names the messages", b->damaged,
        b->damaged == 1 ? "y is" : "ies are");
}

int cmd_backup(struct ctl *ctl)
{
    struct backup b = { .ctl = ctl };
    ctl->beside = true;
    int code = tree_claim(&b.tree, ctl->values[OPTION_TO_FOLDER], backup_entries);
    if (code == CTL_DONE) {
        code = make(&b);
        if (code != CTL_DONE)
            tree_abandon(&b.tree, backup_entries);
        else
            code = tell(&b);
    }
    tree_done(&b.tree);
    return code;
}

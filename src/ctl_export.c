/* ctl_export.c - `ekirei export`: mail as Maildir, one folder an account, other mailboxes as ".Name" within (Maildir++).
 *
 * Every body is read to its end and compared with its digest before its file gets its name; what is damaged is listed and left out. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "base/scoped.h"
#include "ctl_body.h"
#include "ctl_file.h"
#include "ctl_impl.h"
#include "ctl_tree.h"
#include "jail/jail.h"

#define QUIET       SECONDS(2)
#define OUT_ROOM    (4u * LIMIT_BODY_FRAME)
#define PAGE_ARENA  (4u << 20)

struct exporting {
    struct ctl *ctl;
    struct tree tree;
    int tell;          /* as root: where the folder's owner is told once it is ours; -1: nowhere */
    struct arena page; /* rows of one answer: the next ask ends those of the channel */
    struct body_reader reader;
    struct buf out;    /* lines of the message under way */
    int fd;
    int error;         /* of writing it */
    bool after_cr;
    uint64_t mails, damaged;
    msec tell_at, pause;
};

/* ---- names --------------------------------------------------------------------------------------------------------- */

/* Letters, digits and what is harmless stay; all else, and a dot in front, becomes "=XX". */
static void put_name(struct buf *path, struct slice name, bool dots)
{
    for (size_t at = 0; at < name.len; at++) {
        unsigned char octet = (unsigned char)name.ptr[at];
        bool plain = octet > ' ' && octet != 0x7f && octet != '/' && octet != '=' && (octet != '.' || (dots && at > 0));
        enum status status = plain ? buf_put_byte(path, (char)octet) : buf_print(path, "=%02X", octet);
        must(status == STATUS_OK);
    }
}

/* "bob@example.net" or "bob@example.net/.Sent", ended by NUL. */
static void folder_of(struct buf *path, struct slice address, struct slice mailbox)
{
    put_name(path, address, true);
    enum status status = STATUS_OK;
    if (!slice_equal(mailbox, S("INBOX"))) {
        status = buf_put(path, S("/."));
        must(status == STATUS_OK);
        put_name(path, mailbox, false);
    }
    status = buf_put_byte(path, '\0');
    must(status == STATUS_OK);
}

static int make_folder(const struct exporting *e, const char *path)
{
    if (mkdirat(e->tree.fd, path, 0700) == 0 || errno == EEXIST)
        return CTL_DONE;
    return ctl_failed("%s/%s cannot be made: %s", e->tree.folder, path, strerror(errno));
}

static int make_maildir(const struct exporting *e, const char *folder)
{
    static const char *const inner[] = { "cur", "new", "tmp" };
    char path[FILE_PATH];
    int code = make_folder(e, folder);
    for (size_t at = 0; code == CTL_DONE && at < sizeof inner / sizeof inner[0]; at++) {
        file_path(path, folder, inner[at]);
        code = make_folder(e, path);
    }
    return code;
}

/* No standard, but everybody's: letters in the order of ASCII. */
static void put_flags(char out[8], uint32_t flags)
{
    static const struct {
        uint32_t flag;
        char letter;
    } letters[] = { { FLAG_DRAFT, 'D' }, { FLAG_FLAGGED, 'F' }, { FLAG_ANSWERED, 'R' }, { FLAG_SEEN, 'S' }, { FLAG_DELETED, 'T' } };
    for (size_t at = 0; at < sizeof letters / sizeof letters[0]; at++)
        if (flags & letters[at].flag)
            *out++ = letters[at].letter;
    *out = '\0';
}

/* ---- one body ------------------------------------------------------------------------------------------------------ */

static enum status flush(struct exporting *e)
{
    for (size_t at = 0; at < e->out.len;) {
        ssize_t put = write(e->fd, e->out.ptr + at, e->out.len - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            e->error = errno;
            return STATUS_IO;
        }
        at += (size_t)put;
    }
    buf_clear(&e->out);
    return STATUS_OK;
}

/* A Maildir's lines end with LF; a CR that stands alone stays. */
static enum status put_plain(void *context, struct slice plain)
{
    struct exporting *e = context;
    for (size_t at = 0; at < plain.len; at++) {
        char octet = plain.ptr[at];
        if (e->after_cr && octet != '\n')
            TRY(buf_put_byte(&e->out, '\r'));
        e->after_cr = octet == '\r';
        if (!e->after_cr)
            TRY(buf_put_byte(&e->out, octet));
    }
    return e->out.len > OUT_ROOM / 2 ? flush(e) : STATUS_OK;
}

static int read_body(struct exporting *e, uint64_t id)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_BODIES, .fd = -1, .bodies = { .id = id, .only = 1 } };
    bool over = false;
    buf_clear(&e->out);
    e->after_cr = false;
    e->error = 0;
    do {
        int code = ctl_ask(e->ctl, &ask, "a body", &answer);
        if (code != CTL_DONE)
            return code;
        for (uint32_t at = 0; at < answer.bodies.rows.count; at++)
            over = body_reader_feed(&e->reader, row_of(struct body_row, answer.bodies.rows, at));
        ask.bodies.at = answer.bodies.at;
    } while (answer.bodies.id != 0 && !over);
    if (!over && e->reader.found == 0)
        e->reader.found = FOUND_UNREADABLE;
    if (e->after_cr && buf_put_byte(&e->out, '\r') != STATUS_OK)
        e->reader.found = FOUND_UNREADABLE;
    if (e->error == 0)
        (void)flush(e);
    return e->error == 0 ? CTL_DONE : ctl_failed("%s cannot be written: %s", e->tree.folder, strerror(e->error));
}

/* ---- one message --------------------------------------------------------------------------------------------------- */

static void list_damaged(struct exporting *e, struct slice address, const struct export_row *row)
{
    e->damaged++;
    fflush(stdout);
    ctl_warn("left out, damaged: %.*s %.*s uid %" PRIu32 " (body %" PRIu64 ")", (int)address.len, address.ptr, (int)row->mailbox.len, row->mailbox.ptr,
        row->uid, row->blob);
}

static int finish_mail(struct exporting *e, const char *folder, const char *made, const char *name, const struct export_row *row)
{
    char path[FILE_PATH], there[FILE_PATH], flags[8];
    struct timespec times[2];
    times[0] = times[1] = (struct timespec){ .tv_sec = (time_t)(row->received / 1000), .tv_nsec = (long)(row->received % 1000) * 1000000 };
    put_flags(flags, row->flags);
    if (row->flags != 0)
        snprintf(path, sizeof path, "cur/%s:2,%s", name, flags);
    else
        snprintf(path, sizeof path, "new/%s", name);
    file_path(there, folder, path);
    if (futimens(e->fd, times) != 0 || renameat(e->tree.fd, made, e->tree.fd, there) != 0)
        return ctl_failed("%s/%s cannot be written: %s", e->tree.folder, there, strerror(errno));
    e->mails++;
    return CTL_DONE;
}

static int export_mail(struct exporting *e, struct slice address, const char *folder, const struct export_row *row)
{
    char name[128], path[200], made[FILE_PATH];
    snprintf(name, sizeof name, "%" PRIu64 ".V%" PRIu64 "U%" PRIu32 ".ekirei", (uint64_t)row->received / 1000, row->mailbox_id, row->uid);
    snprintf(path, sizeof path, "tmp/%s", name);
    file_path(made, folder, path);
    scoped_fd int fd = openat(e->tree.fd, made, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return ctl_failed("%s/%s cannot be made: %s", e->tree.folder, made, strerror(errno));
    e->fd = fd;
    int code = read_body(e, row->blob);
    if (code == CTL_DONE && e->reader.found == 0)
        return finish_mail(e, folder, made, name, row);
    (void)unlinkat(e->tree.fd, made, 0);
    if (code == CTL_DONE)
        list_damaged(e, address, row);
    return code;
}

/* ---- one account --------------------------------------------------------------------------------------------------- */

static void tell(struct exporting *e)
{
    if (clock_now() < e->tell_at)
        return;
    e->pause = e->pause < SECONDS(60) ? e->pause * 2 : e->pause;
    e->tell_at = clock_now() + e->pause;
    fprintf(stderr, "ekirei: %" PRIu64 " messages so far\n", e->mails);
}

static int keep_page(struct exporting *e, const struct answer_export *got, struct export_row **out_rows)
{
    arena_reset(&e->page);
    struct export_row *rows = arena_take_rows(&e->page, got->rows.count + 1, sizeof *rows);
    must(rows);
    for (uint32_t at = 0; at < got->rows.count; at++) {
        rows[at] = *row_of(struct export_row, got->rows, at);
        enum status status = arena_copy(&e->page, rows[at].mailbox, &rows[at].mailbox);
        must(status == STATUS_OK);
    }
    *out_rows = rows;
    return CTL_DONE;
}

static int export_page(struct exporting *e, struct slice address, const struct export_row *rows, uint32_t count)
{
    struct buf folder = BUF(FILE_PATH);
    uint64_t mailbox = 0;
    int code = CTL_DONE;
    for (uint32_t at = 0; code == CTL_DONE && at < count; at++) {
        if (rows[at].mailbox_id != mailbox) {
            buf_clear(&folder);
            folder_of(&folder, address, rows[at].mailbox);
            code = make_maildir(e, folder.ptr);
        }
        mailbox = rows[at].mailbox_id;
        if (code == CTL_DONE)
            code = export_mail(e, address, folder.ptr, &rows[at]);
        tell(e);
    }
    buf_done(&folder);
    return code;
}

static int export_account(struct exporting *e, struct slice address)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_EXPORT, .fd = -1, .export = { .address = address } };
    char subject[LIMIT_PATH + 1];
    struct buf folder = BUF(FILE_PATH);
    snprintf(subject, sizeof subject, "%.*s", (int)address.len, address.ptr);
    folder_of(&folder, address, S("INBOX"));
    bool more = true;
    int code = CTL_DONE;
    for (bool first = true; code == CTL_DONE && more; first = false) {
        struct export_row *rows;
        code = ctl_ask(e->ctl, &ask, subject, &answer);
        if (code == CTL_DONE && first)
            code = make_maildir(e, folder.ptr); /* also of one without mail */
        if (code != CTL_DONE)
            break;
        uint32_t count = answer.export.rows.count;
        more = answer.export.more != 0 && count > 0;
        code = keep_page(e, &answer.export, &rows);
        if (count > 0) {
            ask.export.mailbox = rows[count - 1].mailbox_id;
            ask.export.uid = rows[count - 1].uid;
        }
        if (code == CTL_DONE)
            code = export_page(e, address, rows, count);
    }
    buf_done(&folder);
    return code;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static int list_accounts(struct exporting *e, json_t *names)
{
    char after[LIMIT_PATH];
    struct answer answer;
    struct ask ask = { .kind = ASK_ACCOUNT_LIST, .fd = -1 };
    do {
        int code = ctl_ask(e->ctl, &ask, "account list", &answer);
        if (code != CTL_DONE)
            return code;
        const struct rows *rows = &answer.account_list.rows;
        for (uint32_t at = 0; at < rows->count; at++) {
            struct slice address = row_of(struct account_row, *rows, at)->address;
            json_array_append_new(names, json_stringn(address.ptr, address.len));
            ask.list.after = ctl_after(after, sizeof after, address);
        }
    } while (answer.account_list.more && answer.account_list.rows.count > 0);
    return CTL_DONE;
}

/* The way to the store is opened while there are rights for it. */
static int reach(struct exporting *e)
{
    struct answer answer;
    return ctl_ask(e->ctl, &(struct ask){ .kind = ASK_STATUS, .fd = -1 }, "status", &answer);
}

static int typed_accounts(struct ctl *ctl, json_t *names)
{
    for (size_t at = 0; at < CTL_ARGUMENTS && ctl->arguments[at]; at++) {
        struct slice address;
        int code = ctl_typed_address(ctl, ctl->arguments[at], &address);
        if (code != CTL_DONE)
            return code;
        json_array_append_new(names, json_stringn(address.ptr, address.len));
    }
    return CTL_DONE;
}

static int export_all(struct exporting *e, const json_t *names)
{
    size_t at;
    json_t *name;
    int code = CTL_DONE;
    json_array_foreach(names, at, name)
    {
        if (code == CTL_DONE)
            code = export_account(e, (struct slice){ json_string_value(name), json_string_length(name) });
    }
    return code == CTL_DONE ? tree_finish(&e->tree) : code;
}

static int report(struct exporting *e, size_t accounts)
{
    json_t *object = json_object();
    ctl_put_text(object, "folder", slice_of(e->tree.folder));
    ctl_put_number(object, "accounts", accounts);
    ctl_put_number(object, "messages", e->mails);
    ctl_put_number(object, "damaged", e->damaged);
    int code = ctl_print_line(e->ctl, object, "%s: %" PRIu64 " messages of %zu account%s", e->tree.folder, e->mails, accounts, accounts == 1 ? "" : "s");
    if (e->damaged == 0)
        return code;
    return ctl_failed("%" PRIu64 " damaged message%s left out", e->damaged, e->damaged == 1 ? " was" : "s were");
}

/* Stored octets are unpacked with the rights of the keeper's user, and with nothing in reach but FOLDER. */
static int lock_in(struct exporting *e)
{
    struct ctl *ctl = e->ctl;
    if (geteuid() != 0)
        return CTL_DONE;
    int code = ctl->settings ? CTL_DONE : ctl_settings(ctl, &ctl->settings);
    if (code != CTL_DONE)
        return code;
    must(ctl->settings);
    struct stat about;
    uint32_t uid = jail_uid(ROLE_KEEPER, ctl->settings->uid_keeper);
    if (fstat(e->tree.fd, &about) != 0)
        return ctl_failed("%s: %s", e->tree.folder, strerror(errno));
    struct tree_giving giving = { .from = uid, .uid = about.st_uid, .gid = about.st_gid, .device = about.st_dev, .inode = about.st_ino };
    if (write(e->tell, &giving, sizeof giving) != sizeof giving)
        return ctl_failed("%s: %s", e->tree.folder, strerror(errno));
    if (uid != 0 && fchown(e->tree.fd, uid, uid) != 0)
        return ctl_failed("%s cannot be given to user id %u: %s", e->tree.folder, uid, strerror(errno));
    if (jail_become(uid, e->tree.folder) != STATUS_OK)
        return ctl_failed("%s: the rights of the keeper's user cannot be taken: %s", e->tree.folder, strerror(errno));
    return CTL_DONE;
}

static int export_to(struct ctl *ctl, int tell)
{
    static const char *const nothing[] = { NULL };
    struct exporting e = { .ctl = ctl, .tell = tell, .page = ARENA(PAGE_ARENA), .out = BUF(OUT_ROOM), .pause = QUIET, .tell_at = clock_now() + QUIET };
    json_t *names = json_array();
    ctl->beside = true;
    body_reader_init(&e.reader, true);
    e.reader.put = put_plain;
    e.reader.context = &e;
    int code = typed_accounts(ctl, names);
    bool all = json_array_size(names) == 0;
    if (code == CTL_DONE)
        code = all ? list_accounts(&e, names) : reach(&e);
    if (code == CTL_DONE)
        code = tree_claim(&e.tree, ctl->values[OPTION_TO_FOLDER], nothing);
    else
        e.tree.fd = -1;
    if (code == CTL_DONE)
        code = lock_in(&e);
    if (code == CTL_DONE)
        code = export_all(&e, names);
    if (code == CTL_DONE)
        code = report(&e, json_array_size(names));
    json_decref(names);
    body_reader_done(&e.reader);
    buf_done(&e.out);
    arena_done(&e.page);
    tree_done(&e.tree);
    return code;
}

/* As root a child does it, and what it made belongs to the folder's owner afterwards. */
static int export_in_child(struct ctl *ctl)
{
    const char *folder = ctl->values[OPTION_TO_FOLDER];
    struct tree_giving giving;
    int pair[2], how = 0;
    fflush(stdout);
    if (pipe2(pair, O_CLOEXEC) != 0)
        return ctl_failed("no new process can be started: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        int code = export_to(ctl, pair[1]);
        ctl_close(ctl);
        fflush(stdout);
        _exit(code);
    }
    close(pair[1]);
    bool ours = child > 0 && read(pair[0], &giving, sizeof giving) == sizeof giving;
    close(pair[0]);
    while (child > 0 && waitpid(child, &how, 0) < 0)
        if (errno != EINTR)
            break;
    int given = ours ? tree_give(folder, &giving) : CTL_DONE;
    if (given != CTL_DONE)
        return given;
    return child > 0 && WIFEXITED(how) ? WEXITSTATUS(how) : ctl_failed("the export ended before it was done");
}

int cmd_export(struct ctl *ctl)
{
    return geteuid() == 0 ? export_in_child(ctl) : export_to(ctl, -1);
}

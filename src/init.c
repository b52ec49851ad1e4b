/* init.c - `ekirei init`: everything a new server needs, or nothing.
 *
 *   DIR/ekirei.conf             what was --set, short
 *   DIR/keys/keeper.key         seals device passwords
 *   DIR/tls/ca.pem, ca.key      a small CA; cert.pem, key.pem: the first certificate
 *   DIR/run/                    pid files and the control socket: the supervisor's
 *   DIR/store/                  the keeper's, with the first domain in it */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"
#include "config.h"
#include "ctl_file.h"
#include "ctl_impl.h"
#include "init_cert.h"
#include "jail/jail.h"
#include "keeper/keeper.h"
#include "net/boot.h"

#define FIRST_ID  64100u /* upwards: above what distributions give out, below the ids of containers and nobody */
#define LAST_ID   64999u
#define MADE_MOST 16u

struct init {
    struct ctl *ctl;
    struct slice domain, hostname;
    struct settings *settings;
    bool given[CTL_SETS];            /* rows of the table that ekirei.conf will hold */
    char made[MADE_MOST][FILE_PATH]; /* to be removed again if the rest fails */
    size_t made_count;
    char key[KEEPER_KEY_OCTETS];
};

/* ---- what was typed ---- */

static size_t row_of_name(struct slice name)
{
    size_t at = 0;
    while (config_each(at) && !slice_equal_nocase(name, slice_of(config_each(at)->name)))
        at++;
    return at;
}

static int set_one(struct init *init, struct slice name, struct slice value, const char *option)
{
    struct buf why = BUF(LIMIT_LOG_LINE);
    int code = CTL_DONE;
    if (config_set(init->settings, name, value, &why) != STATUS_OK)
        code = ctl_usage("%s: %.*s", option, (int)why.len, why.ptr);
    else
        init->given[row_of_name(name)] = true;
    buf_done(&why);
    return code;
}

static int read_sets(struct init *init)
{
    const struct ctl *ctl = init->ctl;
    for (size_t at = 0; at < ctl->set_count; at++) {
        struct slice value = slice_of(ctl->sets[at]), name;
        if (slice_find(value, '=') == value.len)
            return ctl_usage("--set: '%s' is no setting: write --set name=value", ctl->sets[at]);
        bool cut = slice_cut(&value, '=', &name);
        must(cut);
        int code = set_one(init, slice_trim(name), slice_trim(value), "--set");
        if (code != CTL_DONE)
            return code;
    }
    return CTL_DONE;
}

static int read_typed(struct init *init)
{
    struct ctl *ctl = init->ctl;
    struct buf why = BUF(LIMIT_LOG_LINE);
    char hostname[LIMIT_DOMAIN + sizeof "mail."];
    init->settings = config_default();
    must(!config_each(CTL_SETS));
    int code = ctl_typed_domain(ctl, ctl->values[OPTION_DOMAIN], &init->domain);
    if (code != CTL_DONE)
        return code;
    snprintf(hostname, sizeof hostname, "mail.%.*s", (int)init->domain.len, init->domain.ptr);
    const char *typed = ctl->values[OPTION_HOSTNAME];
    code = set_one(init, S("server.hostname"), slice_of(typed ? typed : hostname), "--hostname");
    if (code == CTL_DONE && ctl->values[OPTION_PORT_OFFSET])
        code = set_one(init, S("listen.port_offset"), slice_of(ctl->values[OPTION_PORT_OFFSET]), "--port-offset");
    if (code == CTL_DONE)
        code = read_sets(init);
    if (code == CTL_DONE && config_finish(init->settings, &why) != STATUS_OK)
        code = ctl_usage("--set: %.*s", (int)why.len, why.ptr);
    buf_done(&why);
    init->hostname = init->settings->hostname;
    return code;
}

/* ---- ids ---- */

static bool is_taken(const uint32_t *ids, size_t count, uint32_t id)
{
    for (size_t at = 0; at < count; at++)
        if (ids[at] == id)
            return true;
    return getpwuid(id) || getgrgid(id);
}

/* As root each role gets an id of its own: a system user's where there is one, else one that nobody has. */
static int fix_ids(struct init *init)
{
    static const struct {
        const char *setting, *user;
    } roles[] = { { "users.mx", "ekirei-mx" }, { "users.user", "ekirei-user" }, { "users.keeper", "ekirei-keeper" },
        { "users.courier", "ekirei-courier" } };
    enum { ROLES = sizeof roles / sizeof roles[0] };
    uint32_t ids[ROLES], next = FIRST_ID;
    if (geteuid() != 0)
        return CTL_DONE;
    for (size_t at = 0; at < ROLES; at++) {
        char text[16];
        const struct passwd *user = getpwnam(roles[at].user);
        while (!user && next <= LAST_ID && is_taken(ids, at, next))
            next++;
        if (!user && next > LAST_ID)
            return ctl_failed("no user id between %u and %u is free; set users.* with --set", FIRST_ID, LAST_ID);
        ids[at] = user ? user->pw_uid : next;
        if (init->given[row_of_name(slice_of(roles[at].setting))])
            continue;
        snprintf(text, sizeof text, "%u", ids[at]);
        int code = set_one(init, slice_of(roles[at].setting), slice_of(text), "users");
        if (code != CTL_DONE)
            return code;
    }
    return CTL_DONE;
}

/* ---- making and unmaking ---- */

static void unmake(struct init *init)
{
    while (init->made_count > 0)
        file_remove_all(init->made[--init->made_count]);
}

static void remember(struct init *init, const char *path)
{
    must(init->made_count < MADE_MOST);
    snprintf(init->made[init->made_count++], FILE_PATH, "%s", path);
}

static int make_folder(struct init *init, const char *path)
{
    if (mkdir(path, 0700) != 0)
        return ctl_failed("%s cannot be made: %s", path, strerror(errno));
    remember(init, path);
    return chmod(path, 0700) == 0 ? CTL_DONE : ctl_failed("%s: %s", path, strerror(errno));
}

static int make_in(struct init *init, const char *name)
{
    char path[FILE_PATH];
    file_path(path, init->ctl->dir, name);
    return make_folder(init, path);
}

static int make_file(struct init *init, const char *name, struct slice octets, mode_t mode)
{
    char path[FILE_PATH];
    file_path(path, init->ctl->dir, name);
    if (file_make(path, octets, mode) != STATUS_OK)
        return ctl_failed("%s cannot be written: %s", path, strerror(errno));
    remember(init, path);
    return CTL_DONE;
}

/* A folder that is there already must be empty. */
static int make_dir(struct init *init)
{
    const char *dir = init->ctl->dir;
    char conf[FILE_PATH];
    file_path(conf, dir, "ekirei.conf");
    if (access(conf, F_OK) == 0)
        return ctl_failed("%s holds a server already; nothing was changed", dir);
    if (mkdir(dir, 0700) == 0) {
        remember(init, dir);
        return CTL_DONE;
    }
    if (errno == ENOENT)
        return ctl_failed("%s cannot be made: the folder above it is not there", dir);
    if (errno != EEXIST)
        return ctl_failed("%s cannot be made: %s", dir, strerror(errno));
    static const char *const names[] = { "keys", "tls", "run", "store" };
    for (size_t at = 0; at < sizeof names / sizeof names[0]; at++) {
        char path[FILE_PATH];
        file_path(path, dir, names[at]);
        if (access(path, F_OK) == 0)
            return ctl_failed("%s is there already; nothing was changed", path);
    }
    return CTL_DONE;
}

/* ---- what goes into the files ---- */

static const char *const conf_head =
    "# ekirei.conf: the settings of this mail server that differ from their defaults.\n"
    "# 'ekirei config show' lists all settings, ekirei.conf(5) explains them, 'ekirei config check' reads this file\n"
    "# as the server would.  Changes come into force with SIGHUP to the server.\n";

/* The names without a section first: a section has no end. */
static enum status put_settings(const struct init *init, struct buf *out, bool in_sections)
{
    struct slice section = NO_SLICE;
    for (size_t at = 0; config_each(at); at++) {
        struct slice key = slice_of(config_each(at)->name), mine = NO_SLICE;
        bool has_section = slice_find(key, '.') < key.len;
        if (!init->given[at] || has_section != in_sections)
            continue;
        if (has_section && slice_cut(&key, '.', &mine) && !slice_equal(mine, section)) {
            TRY(buf_print(out, "\n[%.*s]\n", (int)mine.len, mine.ptr));
            section = mine;
        }
        TRY(buf_print(out, in_sections ? "" : "\n"));
        TRY(buf_put(out, key));
        TRY(buf_put(out, S(" = ")));
        size_t before = out->len;
        TRY(config_print(init->settings, at, out));
        out->len -= out->len == before; /* an empty list: no space at the end of the line */
        TRY(buf_put_byte(out, '\n'));
    }
    return STATUS_OK;
}

static int make_conf(struct init *init)
{
    struct buf text = BUF(LIMIT_SETTINGS_FILE), why = BUF(LIMIT_LOG_LINE);
    struct settings *again;
    enum status status = buf_put(&text, slice_of(conf_head));
    if (status == STATUS_OK)
        status = put_settings(init, &text, false);
    if (status == STATUS_OK)
        status = put_settings(init, &text, true);
    int code = status == STATUS_OK ? CTL_DONE : ctl_usage("the settings are too large altogether");
    if (code == CTL_DONE) {
        status = config_parse(buf_slice(&text), "ekirei.conf", &again, &why);
        must(status == STATUS_OK); /* what we write we read */
        settings_release(again);
        code = make_file(init, "ekirei.conf", buf_slice(&text), 0644);
    }
    buf_done(&text);
    buf_done(&why);
    return code;
}

static int make_keys(struct init *init)
{
    struct init_cert cert;
    random_fill(init->key, sizeof init->key);
    int code = make_in(init, "keys");
    if (code == CTL_DONE)
        code = make_file(init, "keys/keeper.key", (struct slice){ init->key, sizeof init->key }, 0600);
    if (code == CTL_DONE)
        code = make_in(init, "tls");
    if (code != CTL_DONE)
        return code;
    if (init_cert_make(init->domain, init->hostname, &cert) != STATUS_OK)
        return ctl_failed("OpenSSL cannot make a certificate for %.*s", (int)init->hostname.len, init->hostname.ptr);
    code = make_file(init, "tls/ca.pem", buf_slice(&cert.ca), 0644);
    if (code == CTL_DONE)
        code = make_file(init, "tls/ca.key", buf_slice(&cert.ca_key), 0600);
    if (code == CTL_DONE)
        code = make_file(init, "tls/cert.pem", buf_slice(&cert.cert), 0644);
    if (code == CTL_DONE)
        code = make_file(init, "tls/key.pem", buf_slice(&cert.key), 0600);
    init_cert_done(&cert);
    return code;
}

/* ---- the store, by a child with the keeper's rights ---- */

static int fill_store(struct init *init, const char *store)
{
    struct buf why = BUF(LIMIT_LOG_LINE);
    struct keeper_alone *alone;
    struct answer answer;
    struct ask ask = { .kind = ASK_DOMAIN_ADD, .fd = -1, .domain = { init->domain } };
    struct keeper_offline plan = { .settings = init->settings,
        .keeper_key = { init->key, sizeof init->key },
        .patience = SECONDS(1),
        .create = true };
    if (file_own_store(store, init->settings->uid_keeper, &plan.store_dir) != STATUS_OK)
        return ctl_failed("%s: the rights of the keeper's user cannot be taken: %s", store, strerror(errno));
    enum status status = keeper_alone_open(&plan, &alone, &why);
    if (status != STATUS_OK)
        return ctl_failed("the store in %s cannot be made: %.*s", store,
            why.len > 0 ? (int)why.len : (int)strlen(status_name(status)), why.len > 0 ? why.ptr : status_name(status));
    keeper_alone_ask(alone, &ask, &answer);
    status = answer.status;
    keeper_alone_close(alone);
    buf_done(&why);
    return status == STATUS_OK ? CTL_DONE : ctl_failed("the domain cannot be stored: %s", status_name(status));
}

static int make_store(struct init *init)
{
    char store[FILE_PATH];
    file_path(store, init->ctl->dir, "store");
    int code = make_folder(init, store), how = 0;
    uint32_t uid = jail_uid(ROLE_KEEPER, init->settings->uid_keeper);
    if (code == CTL_DONE && geteuid() == 0 && uid != 0 && chown(store, uid, uid) != 0)
        code = ctl_failed("%s cannot be given to user id %u: %s", store, uid, strerror(errno));
    if (code != CTL_DONE)
        return code;
    fflush(stdout);
    log_open("init", LOG_ERROR);
    pid_t child = fork();
    if (child < 0)
        return ctl_failed("no new process can be started: %s", strerror(errno));
    if (child == 0)
        _exit(fill_store(init, store));
    while (waitpid(child, &how, 0) < 0)
        if (errno != EINTR)
            return ctl_failed("the store cannot be made: %s", strerror(errno));
    if (!WIFEXITED(how))
        return ctl_failed("the store cannot be made: signal %d", WTERMSIG(how));
    return WEXITSTATUS(how);
}

static int tell(struct init *init)
{
    struct ctl *ctl = init->ctl;
    char ca[FILE_PATH];
    json_t *object = json_object();
    file_path(ca, ctl->dir, "tls/ca.pem");
    ctl_put_text(object, "dir", slice_of(ctl->dir));
    ctl_put_text(object, "domain", init->domain);
    ctl_put_text(object, "hostname", init->hostname);
    ctl_put_text(object, "ca", slice_of(ca));
    return ctl_print_line(ctl, object,
        "%s is ready for mail to %.*s.\n\n"
        "The first account:   ekirei account add NAME@%.*s --dir %s\n"
        "The server:          ekirei serve --dir %s\n\n"
        "Mail programs need to trust %s once, or set tls.certificate and tls.key to a certificate that they know.",
        ctl->dir, (int)init->domain.len, init->domain.ptr, (int)init->domain.len, init->domain.ptr, ctl->dir, ctl->dir,
        ca);
}

/* Signals wait from the first folder to the last file: so nothing stays half made. */
static void hold_signals(sigset_t *out_before)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, out_before);
}

static int look_for_signals(void)
{
    sigset_t waiting;
    sigpending(&waiting);
    bool any = sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1 || sigismember(&waiting, SIGHUP) == 1;
    return any ? ctl_failed("interrupted; nothing was made") : CTL_DONE;
}

int cmd_init(struct ctl *ctl)
{
    struct init init = { .ctl = ctl };
    sigset_t before;
    hold_signals(&before);
    int code = read_typed(&init);
    if (code == CTL_DONE)
        code = fix_ids(&init);
    if (code == CTL_DONE)
        code = make_dir(&init);
    if (code == CTL_DONE)
        code = make_keys(&init);
    if (code == CTL_DONE)
        code = make_in(&init, "run");
    if (code == CTL_DONE)
        code = make_store(&init);
    if (code == CTL_DONE)
        code = look_for_signals();
    if (code == CTL_DONE)
        code = make_conf(&init); /* last: its presence says that all the rest is there */
    if (code == CTL_DONE)
        code = tell(&init);
    else
        unmake(&init);
    wipe(init.key, sizeof init.key);
    settings_release(init.settings);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}

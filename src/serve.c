#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "base/scoped.h"
#include "base/secret.h"
#include "config.h"
#include "courier/courier.h"
#include "gate/gate.h"
#include "keeper/keeper.h"
#include "mail/jwk.h"
#include "net/signer.h"
#include "supervisor/supervisor.h"

#define MOST_WHY    1024u
#define MOST_ROWS   65536u       /* octets of decoded rows: at most 256 pairs */

/* ---- reading what the roles are told ---------------------------------------------------------------------------------- */

struct reading {
    const char *dir;
    struct arena *arena;
    struct buf *why;
};

static enum status complain(const struct reading *reading, const char *path, const char *what)
{
    enum status status = buf_print(reading->why, "%s: %s", path, what);
    (void)status; /* cut short it still says the most */
    return STATUS_NOT_FOUND;
}

/* The file goes straight into the arena, so that there is one copy of a key and no more. */
static enum status read_file(const struct reading *reading, const char *path, size_t most, struct slice *out_octets)
{
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0)
        return complain(reading, path, strerror(errno));
    if (!S_ISREG(about.st_mode))
        return complain(reading, path, "not a plain file");
    if (about.st_size < 0 || (uint64_t)about.st_size > most)
        return complain(reading, path, "too long");
    size_t size = (size_t)about.st_size, at = 0;
    char *octets = arena_take(reading->arena, size + 1);
    if (!octets)
        return complain(reading, path, "too long, together with the files before it");
    while (at < size) {
        ssize_t got = read(fd, octets + at, size - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return complain(reading, path, strerror(errno));
        if (got == 0)
            return complain(reading, path, "it changed while it was read; try again");
        at += (size_t)got;
    }
    *out_octets = (struct slice){ octets, size };
    return STATUS_OK;
}

/* Relative paths in the settings belong to the data folder. */
static enum status read_upto(const struct reading *reading, struct slice name, size_t most, struct slice *out_octets)
{
    char path[PATH_MAX];
    bool whole = name.len > 0 && name.ptr[0] == '/';
    int len = snprintf(path, sizeof path, "%s%s%.*s", whole ? "" : reading->dir, whole ? "" : "/", (int)name.len, name.ptr);
    if (len < 0 || (size_t)len >= sizeof path)
        return complain(reading, reading->dir, "a path in the settings is too long");
    return read_file(reading, path, most, out_octets);
}

static enum status read_named(const struct reading *reading, struct slice name, struct slice *out_octets)
{
    return read_upto(reading, name, LIMIT_PEM, out_octets);
}

static enum status read_pairs(const struct reading *reading, const struct settings *settings, struct rows *out_pairs)
{
    size_t count = settings->tls_certificate.count;
    must(count == settings->tls_key.count); /* config_finish() */
    struct boot_pair *pairs = arena_take_rows(reading->arena, count, sizeof *pairs);
    if (!pairs)
        return STATUS_TOO_BIG;
    /* What is read is known to the caller at once: he wipes it, however this ends. */
    *out_pairs = (struct rows){ pairs, (uint32_t)count };
    for (size_t i = 0; i < count; i++) {
        TRY(read_named(reading, settings->tls_certificate.rows[i], &pairs[i].certificate));
        TRY(read_named(reading, settings->tls_key.rows[i], &pairs[i].key));
        /* Two files that are replaced one after the other: half of a new pair is told apart before anybody uses it (C070). */
        if (signer_check(&pairs[i], i, reading->why) != STATUS_OK)
            return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

/* A set without a usable key would lock everybody out: the settings before it stay in force (C233). */
static enum status check_keys(const struct reading *reading, struct slice keys)
{
    struct jwk_set *set;
    enum status status = jwk_set_open(keys, &set);
    if (status == STATUS_OK) {
        jwk_set_release(set);
        return STATUS_OK;
    }
    return complain(reading, "oauth.jwks", status == STATUS_NOT_FOUND ? "no key in it can check a signature (RFC 7518: RSA of 2048 bits and more, P-256, P-384, Ed25519)"
                                                                     : "not a JSON Web Key Set (RFC 7517)");
}

static enum status read_oauth(const struct reading *reading, struct boot *boot, const struct settings *settings)
{
    if (settings->oauth_jwks.len > 0 && !slice_starts_nocase(settings->oauth_jwks, S("https:"))) {
        TRY(read_upto(reading, settings->oauth_jwks, LIMIT_ERRAND, &boot->oauth_keys));
        TRY(check_keys(reading, boot->oauth_keys));
    }
    if (settings->oauth_secret_file.len > 0) {
        TRY(read_upto(reading, settings->oauth_secret_file, LIMIT_SECRET, &boot->oauth_secret));
        /* An editor ends the line. */
        while (boot->oauth_secret.len > 0 && strchr("\r\n", boot->oauth_secret.ptr[boot->oauth_secret.len - 1]))
            boot->oauth_secret.len--;
    }
    if (settings->oauth_ca_file.len > 0)
        TRY(read_named(reading, settings->oauth_ca_file, &boot->oauth_ca));
    return STATUS_OK;
}

static enum status read_all(const struct reading *reading, struct boot *boot, struct settings *settings)
{
    TRY(read_pairs(reading, settings, &boot->pairs));
    TRY(read_named(reading, S("keys/keeper.key"), &boot->keeper_key));
    if (boot->keeper_key.len != KEEPER_KEY_OCTETS)
        return complain(reading, "keys/keeper.key", "not 32 octets long; restore it from a backup");
    return read_oauth(reading, boot, settings);
}

/* supervisor_plan.load */
static enum status load(void *context, struct boot *out_boot, struct settings **out_settings, struct arena *arena, struct buf *why)
{
    struct reading reading = { .dir = context, .arena = arena, .why = why };
    struct settings *settings = NULL;
    struct slice path;
    char name[PATH_MAX];
    int len = snprintf(name, sizeof name, "%s/ekirei.conf", reading.dir);
    if (len < 0 || (size_t)len >= sizeof name)
        return complain(&reading, reading.dir, "the path is too long");
    TRY(arena_copy(arena, slice_of(name), &path));
    out_boot->settings_name = path;
    out_boot->dir = slice_of(reading.dir);
    enum status status = read_file(&reading, name, LIMIT_SETTINGS_FILE, &out_boot->settings);
    if (status != STATUS_OK) {
        enum status hinted = buf_print(why, " (`ekirei init --dir DIR --domain YOUR.DOMAIN` makes a new one)");
        (void)hinted;
        return status;
    }
    TRY(config_parse(out_boot->settings, path.ptr, &settings, why));
    status = read_all(&reading, out_boot, settings);
    if (status != STATUS_OK) {
        settings_release(settings);
        return status;
    }
    *out_settings = settings;
    return STATUS_OK;
}

/* supervisor_plan.in_force */
static void say_risks(void *context, const struct settings *settings)
{
    const char *risk;
    (void)context;
    for (size_t at = 0; (risk = config_risk(settings, at)); at++)
        LOG(LOG_WARNING, "settings.risk", LOG_WORD("what", risk));
}

int serve_main(const char *dir)
{
    static char whole[PATH_MAX];
    if (!realpath(dir, whole)) {
        fprintf(stderr, "ekirei: %s: %s (`ekirei init --dir DIR --domain YOUR.DOMAIN` makes it)\n", dir, strerror(errno));
        return 2;
    }
    struct supervisor_plan plan = { .dir = whole, .load = load, .in_force = say_risks, .context = whole };
    return supervisor_run(&plan);
}

/* ---- a role ------------------------------------------------------------------------------------------------------------ */

static enum status parse(const struct boot *boot, struct settings **out_settings, struct buf *why)
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%.*s", (int)boot->settings_name.len, boot->settings_name.ptr);
    return config_parse(boot->settings, name, out_settings, why);
}

static int run_mx(struct role_start *start) { return gate_run(ROLE_MX, start); }
static int run_user(struct role_start *start) { return gate_run(ROLE_USER, start); }

static const struct role_row {
    enum role role;
    int (*run)(struct role_start *start);
} roles[] = { { ROLE_MX, run_mx }, { ROLE_USER, run_user }, { ROLE_COURIER, courier_run }, { ROLE_KEEPER, keeper_run } };

static const struct role_row *find_role(const char *name)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(role_name(roles[i].role), name) == 0)
            return &roles[i];
    return NULL;
}

int serve_role(const char *name)
{
    static struct arena arena = ARENA(MOST_ROWS);
    static struct buf octets;
    struct buf why = BUF(MOST_WHY);
    struct role_start start = { .control = ROLE_CONTROL_FD, .octets = &octets, .parse = parse };
    const struct role_row *row = find_role(name);
    if (!row || fcntl(ROLE_CONTROL_FD, F_GETFD) < 0 || fcntl(ROLE_BOOT_FD, F_GETFD) < 0) {
        fprintf(stderr, "ekirei: --role is for the server's own use; try `ekirei serve`\n");
        return 2;
    }
    /* Nothing that a role opens or starts may inherit them. */
    (void)fcntl(ROLE_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
    const char *role = role_name(row->role);
    log_open(role, LOG_INFO);
    enum status status = boot_get(ROLE_BOOT_FD, &arena, &octets, &start.boot);
    if (status == STATUS_OK)
        status = parse(&start.boot, &start.settings, &why);
    if (status != STATUS_OK) {
        LOG(LOG_ERROR, "role.boot", LOG_STATUS(status), LOG_TEXT("why", buf_slice(&why)));
        return 1;
    }
    buf_done(&why);
    log_open(role, (enum log_level)start.settings->log_level);
    return row->run(&start);
}

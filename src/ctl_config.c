/* ctl_config.c - `config show` and `config check`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "config.h"
#include "ctl_file.h"
#include "ctl_impl.h"
#include "init_cert.h"
#include "mail/jwk.h"
#include "net/signer.h"

#define VALUE_MOST LIMIT_SETTINGS_FILE
#define SOON       (14 * 86400) /* seconds: a certificate that ends before is worth a warning */

/* As it would stand in ekirei.conf, and below it what it means: a table would be wider than any screen. */
static void show_setting(const struct config_row *row, struct slice value)
{
    printf("%s =%s", row->name, value.len > 0 ? " " : "");
    ctl_show_text(value.ptr, value.len);
    printf("\n    %s", row->help);
    printf("\n    %s: %s; default: %s\n", row->unit, row->range, row->preset[0] == '\0' ? "nothing" : row->preset);
}

int cmd_config_show(struct ctl *ctl)
{
    char path[FILE_PATH];
    struct settings *settings;
    struct buf value = BUF(VALUE_MOST);
    file_path(path, ctl->dir, "ekirei.conf");
    int code = CTL_DONE;
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        ctl_warn("there is no %s: these are the defaults", path);
        settings = config_default();
    } else {
        code = ctl_settings(ctl, &settings);
    }
    if (code != CTL_DONE)
        return code;
    json_t *rows = json_array();
    for (size_t at = 0; config_each(at); at++) {
        const struct config_row *row = config_each(at);
        json_t *object = json_object();
        buf_clear(&value);
        enum status status = config_print(settings, at, &value);
        must(status == STATUS_OK);
        ctl_put_text(object, "name", slice_of(row->name));
        ctl_put_text(object, "value", buf_slice(&value));
        ctl_put_text(object, "default", slice_of(row->preset));
        ctl_put_text(object, "unit", slice_of(row->unit));
        ctl_put_text(object, "range", slice_of(row->range));
        ctl_put_text(object, "help", slice_of(row->help));
        json_array_append_new(rows, object);
        if (!ctl->json)
            show_setting(row, buf_slice(&value));
    }
    buf_done(&value);
    settings_release(settings);
    return ctl->json ? ctl_print_rows(ctl, rows, NULL, "") : ctl_drop(rows, CTL_DONE);
}

/* ---- check ---- */

struct check {
    const struct ctl *ctl;
    json_t *warnings;
};

static void warn(struct check *check, const char *text)
{
    json_array_append_new(check->warnings, json_string(text));
    ctl_warn("%s", text);
}

/* A path in ekirei.conf is relative to the data folder. */
static int read_named(const struct check *check, const char *setting, struct slice name, struct buf *out)
{
    char path[FILE_PATH];
    bool absolute = name.len > 0 && name.ptr[0] == '/';
    int len = absolute ? snprintf(path, sizeof path, "%.*s", (int)name.len, name.ptr)
                       : snprintf(path, sizeof path, "%s/%.*s", check->ctl->dir, (int)name.len, name.ptr);
    must(len > 0);
    if (len >= (int)sizeof path)
        return ctl_usage("%s: '%.*s': the path is too long", setting, (int)name.len, name.ptr);
    buf_clear(out);
    enum status status = file_read(path, out);
    if (status == STATUS_OK)
        return CTL_DONE;
    return ctl_usage("%s: %s cannot be read: %s", setting, path, status == STATUS_TOO_BIG ? "it is too large" : strerror(errno));
}

static int check_pair(struct check *check, size_t number, struct slice cert_name, struct slice key_name)
{
    struct buf cert = BUF(LIMIT_PEM), key = BUF(LIMIT_PEM);
    int64_t left = 0;
    int code = read_named(check, "tls.certificate", cert_name, &cert);
    if (code == CTL_DONE)
        code = read_named(check, "tls.key", key_name, &key);
    /* As the server does it before it starts. */
    struct boot_pair pair = { buf_slice(&cert), buf_slice(&key) };
    struct buf why = BUF(1024);
    if (code == CTL_DONE && signer_check(&pair, number, &why) != STATUS_OK)
        code = ctl_usage("tls.certificate, tls.key: '%.*s' and '%.*s': %.*s", (int)cert_name.len, cert_name.ptr,
            (int)key_name.len, key_name.ptr, (int)why.len, why.ptr);
    buf_done(&why);
    enum status status = code == CTL_DONE ? init_cert_check(buf_slice(&cert), buf_slice(&key), &left) : STATUS_OK;
    if (status != STATUS_OK)
        code = ctl_usage("tls.certificate: '%.*s' does not say when it ends", (int)cert_name.len, cert_name.ptr);
    else if (code == CTL_DONE && left <= 0)
        warn(check, "a certificate in tls.certificate is over: mail programs will refuse it");
    else if (code == CTL_DONE && left < SOON)
        warn(check, "a certificate in tls.certificate ends within 14 days");
    buf_wipe(&key);
    buf_done(&key);
    buf_done(&cert);
    return code;
}

/* What the server reads for tokens before it starts. */
static int check_tokens(const struct check *check, const struct settings *settings)
{
    struct buf octets = BUF(LIMIT_PEM);
    struct jwk_set *set;
    int code = CTL_DONE;
    if (settings->oauth_jwks.len > 0 && !slice_starts_nocase(settings->oauth_jwks, S("https:"))) {
        code = read_named(check, "oauth.jwks", settings->oauth_jwks, &octets);
        if (code == CTL_DONE && (octets.len > LIMIT_ERRAND || jwk_set_open(buf_slice(&octets), &set) != STATUS_OK))
            code = ctl_usage("oauth.jwks: '%.*s' must be a JSON Web Key Set (RFC 7517) of at most %u octets, with a key that can check signatures",
                (int)settings->oauth_jwks.len, settings->oauth_jwks.ptr, LIMIT_ERRAND);
        else if (code == CTL_DONE)
            jwk_set_release(set);
    }
    if (code == CTL_DONE && settings->oauth_secret_file.len > 0)
        code = read_named(check, "oauth.secret_file", settings->oauth_secret_file, &octets);
    if (code == CTL_DONE && octets.len > LIMIT_SECRET && settings->oauth_secret_file.len > 0)
        code = ctl_usage("oauth.secret_file: a password of at most %d octets is meant", LIMIT_SECRET);
    if (code == CTL_DONE && settings->oauth_ca_file.len > 0)
        code = read_named(check, "oauth.ca_file", settings->oauth_ca_file, &octets);
    buf_wipe(&octets);
    buf_done(&octets);
    return code;
}

static void check_risks(struct check *check, const struct settings *settings)
{
    const char *text;
    for (size_t at = 0; (text = config_risk(settings, at)); at++)
        warn(check, text);
}

int cmd_config_check(struct ctl *ctl)
{
    struct check check = { .ctl = ctl };
    struct settings *settings;
    int code = ctl_settings(ctl, &settings);
    if (code != CTL_DONE)
        return code;
    check.warnings = json_array();
    for (size_t at = 0; at < settings->tls_certificate.count && code == CTL_DONE; at++)
        code = check_pair(&check, at, settings->tls_certificate.rows[at], settings->tls_key.rows[at]);
    if (code == CTL_DONE)
        code = check_tokens(&check, settings);
    if (code == CTL_DONE)
        check_risks(&check, settings);
    settings_release(settings);
    json_t *object = json_object();
    ctl_put_yesno(object, "ok", code == CTL_DONE);
    json_object_set_new(object, "warnings", check.warnings);
    if (code == CTL_DONE)
        return ctl_print_line(ctl, object, "the settings in %s are fine", ctl->dir);
    json_decref(object);
    return code;
}

#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "ctl_impl.h"

static const struct ctl_column columns[] = {
    { "address", "ADDRESS", COLUMN_TEXT },
    { "name", "NAME", COLUMN_TEXT },
    { "allow", "ALLOW", COLUMN_TEXT },
    { "from", "FROM", COLUMN_TEXT },
    { "created", "CREATED", COLUMN_TEXT },
    { "expires", "EXPIRES", COLUMN_TEXT },
    { "last_used", "LAST USED", COLUMN_TEXT },
    { "key_digest", "KEY DIGEST", COLUMN_TEXT },
    { NULL, NULL, COLUMN_TEXT },
};
#define WITHOUT_KEYS (sizeof columns / sizeof columns[0] - 2) /* columns before that of the digests */

/* Null where it has a password. */
static void put_digest(json_t *object, struct slice key)
{
    char text[2 * CTL_KEY + 1] = "";
    for (size_t at = 0; at < key.len && at < CTL_KEY; at++)
        snprintf(text + 2 * at, 3, "%02x", (unsigned char)key.ptr[at]);
    int set = json_object_set_new(object, "key_digest", key.len > 0 ? json_string(text) : json_null());
    must(set == 0);
}

static json_t *object_of(const struct device_row *row)
{
    json_t *object = json_object();
    ctl_put_text(object, "address", row->address);
    ctl_put_text(object, "name", row->name);
    ctl_put_allow(object, row->rights, row->mechanisms);
    ctl_put_text(object, "from", row->from);
    ctl_put_time(object, "created", row->created);
    ctl_put_time(object, "expires", row->expires);
    ctl_put_time(object, "last_used", row->last_used);
    put_digest(object, row->key);
    return object;
}

int ctl_device_rows(struct ctl *ctl, struct slice about, json_t *out_rows)
{
    char after[LIMIT_PATH + LIMIT_DEVICE_NAME + 1];
    struct answer answer;
    struct ask ask = { .kind = ASK_DEVICE_LIST, .fd = -1, .list = { .about = about } };
    do {
        int code = ctl_ask(ctl, &ask, "device list", &answer);
        if (code != CTL_DONE)
            return code;
        const struct rows *rows = &answer.device_list.rows;
        for (uint32_t at = 0; at < rows->count; at++)
            json_array_append_new(out_rows, object_of(row_of(struct device_row, *rows, at)));
        if (rows->count > 0) {
            const struct device_row *last = row_of(struct device_row, *rows, rows->count - 1);
            ask.list.after = ctl_after_pair(after, sizeof after, last->address, last->name);
        }
    } while (answer.device_list.more && answer.device_list.rows.count > 0);
    return CTL_DONE;
}

static bool has_keys(const json_t *rows)
{
    size_t at;
    const json_t *row;
    json_array_foreach(rows, at, row)
    {
        if (json_is_string(json_object_get(row, "key_digest")))
            return true;
    }
    return false;
}

int cmd_device_list(struct ctl *ctl)
{
    struct slice about = NO_SLICE;
    json_t *rows = json_array();
    int code = ctl->arguments[0] ? ctl_typed_address(ctl, ctl->arguments[0], &about) : CTL_DONE;
    if (code == CTL_DONE)
        code = ctl_device_rows(ctl, about, rows);
    if (code != CTL_DONE)
        return ctl_drop(rows, code);
    /* Few have keys, and a digest is as wide as a screen. */
    struct ctl_column shown[sizeof columns / sizeof columns[0]];
    memcpy(shown, columns, sizeof shown);
    if (!has_keys(rows))
        shown[WITHOUT_KEYS] = (struct ctl_column){ NULL, NULL, COLUMN_TEXT };
    return ctl_print_rows(ctl, rows, shown, "no device passwords");
}

static const struct ctl_column made[] = {
    { "login", "login name", COLUMN_TEXT },
    { "password", "password (shown once)", COLUMN_TEXT },
    { "allow", "good for", COLUMN_TEXT },
    { NULL, NULL, COLUMN_TEXT },
};
static const struct ctl_column taken[] = {
    { "login", "login name", COLUMN_TEXT },
    { "key_digest", "key digest (SHA-256)", COLUMN_TEXT },
    { "allow", "good for", COLUMN_TEXT },
    { NULL, NULL, COLUMN_TEXT },
};

/* With a key, and by EXTERNAL; or with a password, and by anything else. */
static int typed_key(struct ctl *ctl, uint8_t room[CTL_KEY], struct ask_device_add *add)
{
    const char *certificate = ctl->values[OPTION_CERTIFICATE], *digest = ctl->values[OPTION_KEY_DIGEST];
    const uint32_t external = 1u << MECHANISM_EXTERNAL;
    if (certificate && digest)
        return ctl_usage("--certificate and --key-digest exclude each other: a device has one key");
    if (!certificate && !digest && (add->mechanisms & external))
        return ctl_usage("--allow: 'external' needs a key: give --certificate FILE.pem or --key-digest HEX");
    if (!certificate && !digest)
        return CTL_DONE;
    if (add->mechanisms & ~external)
        return ctl_usage("--allow: a key logs in by 'external' only; make another device for passwords");
    int code = certificate ? ctl_typed_certificate(certificate, room) : ctl_typed_digest(slice_of(digest), room);
    add->key = (struct slice){ (const char *)room, CTL_KEY };
    return code;
}

static int typed_device(struct ctl *ctl, uint8_t key[CTL_KEY], struct ask_device_add *add)
{
    const char *allow = ctl->values[OPTION_ALLOW], *expires = ctl->values[OPTION_EXPIRES];
    add->name = slice_of(ctl->values[OPTION_NAME]);
    add->from = slice_of(ctl->values[OPTION_FROM]);
    int code = ctl_typed_address(ctl, ctl->arguments[0], &add->address);
    if (code == CTL_DONE)
        code = ctl_typed_allow(allow ? allow : "all", &add->rights, &add->mechanisms);
    if (code == CTL_DONE)
        code = typed_key(ctl, key, add);
    if (code == CTL_DONE && expires)
        code = ctl_typed_expiry(expires, &add->expires);
    if (code == CTL_DONE)
        code = ctl_typed_label(add->name);
    return code == CTL_DONE ? ctl_typed_networks(add->from) : code;
}

/* Many programs take one of these before PLAIN wherever they see it, and with a person's password none can work. */
static void warn_listed(uint32_t mechanisms)
{
    static const struct {
        enum mechanism mechanism;
        const char *name;
    } listed[] = { { MECHANISM_CRAM_MD5, "cram-md5" },
        { MECHANISM_SCRAM_SHA_1, "scram-sha-1" },
        { MECHANISM_SCRAM_SHA_1_PLUS, "scram-sha-1-plus" } };
    for (size_t at = 0; at < sizeof listed / sizeof listed[0]; at++)
        if (mechanisms & 1u << listed[at].mechanism)
            ctl_warn("--allow: %s is announced to everybody from now on; a mail program that chooses it (curl and others) cannot log in with a "
                     "person's password any more.  A device that is told to use it can do so without this word, too",
                listed[at].name);
}

int cmd_device_add(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_DEVICE_ADD, .fd = -1 };
    struct ask_device_add *add = &ask.device_add;
    uint8_t key[CTL_KEY];
    int code = typed_device(ctl, key, add);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    warn_listed(add->mechanisms);
    json_t *object = json_object();
    ctl_put_text(object, "address", add->address);
    ctl_put_text(object, "login", add->address);
    ctl_put_text(object, "name", add->name);
    if (add->key.len > 0)
        put_digest(object, add->key);
    else
        ctl_put_text(object, "password", answer.device_add.secret);
    ctl_put_allow(object, add->rights, add->mechanisms);
    ctl_put_text(object, "from", add->from);
    ctl_put_time(object, "expires", add->expires);
    return ctl_print_object(ctl, object, add->key.len > 0 ? taken : made);
}

int cmd_device_revoke(struct ctl *ctl)
{
    struct answer answer;
    struct ask ask = { .kind = ASK_DEVICE_REVOKE, .fd = -1 };
    ask.device_revoke.name = slice_of(ctl->arguments[1]);
    int code = ctl_typed_address(ctl, ctl->arguments[0], &ask.device_revoke.address);
    if (code == CTL_DONE)
        code = ctl_ask(ctl, &ask, ctl->arguments[0], &answer);
    if (code != CTL_DONE)
        return code;
    if (answer.count.count == 0)
        return ctl_failed("there is no such device of %s; 'ekirei device list' shows all", ctl->arguments[0]);
    json_t *object = json_object();
    ctl_put_number(object, "count", answer.count.count);
    return ctl_print_line(
        ctl, object, "%u device password%s revoked", answer.count.count, answer.count.count == 1 ? "" : "s");
}

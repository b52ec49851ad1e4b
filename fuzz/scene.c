#include "scene.h"

#include "base/must.h"
#include "config.h"

/* Bits of `way`. */
enum { DEVICE = 1, PLAINTEXT = 2, GREETING_DELAY = 4, MECHANISMS = 8, BINDINGS = 16, OUTDATED = 32, EARLY = 64, CROWDED = 128 };
#define OF_SETTINGS (DEVICE | PLAINTEXT | GREETING_DELAY | MECHANISMS)

static void set(struct settings *settings, struct slice name, struct slice value)
{
    struct buf why = BUF(256);
    enum status status = config_set(settings, name, value, &why);
    must(status == STATUS_OK);
    buf_done(&why);
}

static struct settings *settings_for(uint8_t way)
{
    static struct settings *known[OF_SETTINGS + 1];
    struct settings **at = &known[way & OF_SETTINGS];
    if (*at)
        return *at;
    *at = config_default();
    set(*at, S("message.size_limit"), S("128KB"));
    if (way & DEVICE)
        set(*at, S("legacy.networks"), S("192.0.2.0/24"));
    if (way & PLAINTEXT)
        set(*at, S("auth.plaintext_networks"), S("192.0.2.0/24"));
    if (way & GREETING_DELAY) {
        set(*at, S("mx.greeting_delay"), S("1s"));
        set(*at, S("pop3.login_delay"), S("10s"));
    }
    if (way & MECHANISMS) {
        set(*at, S("oauth.jwks"), S("keys.json"));
        set(*at, S("oauth.scope"), S("mail"));
        set(*at, S("auth.client_certificates"), S("yes"));
        set(*at, S("auth.scram_sha1"), S("yes"));
    }
    return *at;
}

void scene_make(struct scene *scene, uint8_t service, uint8_t way)
{
    *scene = (struct scene){ .env = { .settings = settings_for(way), .service = (enum service)(1 + service % (SERVICES - 1)), .id = way,
                                 .seed = { way, service }, .offers = UINT32_MAX, .started = 1795428245000, .early = way & EARLY, .crowded = way & CROWDED },
        .facts = { .version = S("TLSv1.3"), .cipher = S("TLS_AES_256_GCM_SHA384"), .outdated = way & OUTDATED } };
    enum status status = ip_parse(S("192.0.2.7"), &scene->env.peer);
    must(status == STATUS_OK);
    if (way & BINDINGS) {
        scene->facts.exporter = S("0123456789abcdef0123456789abcdef");
        scene->facts.unique = S("uuuu");
        scene->facts.end_point = S("eeee");
        scene->facts.peer_key = S("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
    }
    enum service s = scene->env.service;
    scene->is_pop3 = s == SERVICE_POP3 || s == SERVICE_POP3S || s == SERVICE_LEGACY_POP3 || s == SERVICE_LEGACY_POP3S;
    scene->tls = s == SERVICE_SUBMISSIONS || s == SERVICE_POP3S || s == SERVICE_LEGACY_SUBMISSIONS || s == SERVICE_LEGACY_POP3S;
}

struct session *scene_open(const struct scene *scene, msec now)
{
    return session_open(scene->is_pop3 ? &pop3_protocol : &smtp_protocol, &scene->env, scene->tls ? &scene->facts : NULL, now);
}

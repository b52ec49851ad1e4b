#include "talk_scene.h"

#include "config.h"

static bool apply_service(struct slice word, struct session_env *env)
{
    static const struct {
        struct slice word;
        enum service service;
    } services[] = { { S("mx"), SERVICE_MX }, { S("submission"), SERVICE_SUBMISSION }, { S("submissions"), SERVICE_SUBMISSIONS },
        { S("pop3"), SERVICE_POP3 }, { S("pop3s"), SERVICE_POP3S }, { S("legacy-submission"), SERVICE_LEGACY_SUBMISSION },
        { S("legacy-pop3"), SERVICE_LEGACY_POP3 } };
    for (size_t i = 0; i < sizeof services / sizeof *services; i++)
        if (slice_equal(word, services[i].word)) {
            env->service = services[i].service;
            return true;
        }
    return false;
}

static bool apply_offer(struct slice word, struct session_env *env)
{
    for (int kind = MECHANISM_PASSWORD; kind < MECHANISM_COUNT; kind++)
        if (slice_equal(word, slice_of(mechanism_name((enum mechanism)kind)))) {
            env->offers |= 1u << kind;
            return true;
        }
    return false;
}

/* What this TLS connection has: texts stand for octets. */
static bool apply_fact(struct slice word, struct slice value, struct tls_facts *facts)
{
    if (slice_equal(word, S("outdated"))) {
        facts->version = S("TLSv1");
        facts->outdated = true;
        return true;
    }
    struct slice *fact = slice_equal(word, S("exporter")) ? &facts->exporter : slice_equal(word, S("unique")) ? &facts->unique :
        slice_equal(word, S("end-point")) ? &facts->end_point : slice_equal(word, S("key")) ? &facts->peer_key : NULL;
    if (fact)
        *fact = value;
    return fact != NULL;
}

static void apply(const struct script *script, const struct step *step, struct talk_scene *scene)
{
    struct session_env *env = &scene->env;
    struct slice rest = step->text, word = NO_SLICE, key = NO_SLICE;
    struct buf why = BUF(1024);
    bool fine = slice_word(&rest, &word);
    rest = slice_trim(rest);
    if (slice_equal(word, S("service")))
        fine = fine && apply_service(rest, env);
    else if (slice_equal(word, S("peer")))
        fine = fine && ip_parse(rest, &env->peer) == STATUS_OK;
    else if (slice_equal(word, S("set")))
        fine = fine && slice_word(&rest, &key) && config_set(env->settings, key, slice_trim(rest), &why) == STATUS_OK;
    else if (slice_equal(word, S("offers")))
        fine = fine && apply_offer(rest, env);
    else if (slice_equal(word, S("tls")))
        scene->tls = true;
    else if (slice_equal(word, S("crowded")))
        env->crowded = true;
    else if (slice_equal(word, S("early")))
        env->early = true;
    else
        fine = fine && (apply_fact(word, rest, &scene->facts) || slice_equal(word, S("whole")));
    if (!fine)
        script_fail(script, step, "bad directive %.*s", (int)why.len, why.ptr);
    buf_done(&why);
}

void talk_scene_read(const struct script *script, struct talk_scene *out_scene)
{
    struct talk_scene scene = { .env = { .settings = config_default(), .service = SERVICE_MX, .id = 0x1a, .seed = { 1 },
        .started = 1795428245000, .peer_port = 40000 },
        .facts = { .version = S("TLSv1.3"), .cipher = S("TLS_AES_256_GCM_SHA384") } };
    struct buf why = BUF(1024);
    if (config_set(scene.env.settings, S("server.hostname"), S("mail.example.test"), &why) != STATUS_OK ||
        ip_parse(S("192.0.2.7"), &scene.env.peer) != STATUS_OK || ip_parse(S("192.0.2.1"), &scene.env.local) != STATUS_OK)
        script_fail(script, NULL, "no defaults");
    for (size_t i = 0; i < script->count; i++)
        if (script->steps[i].kind == STEP_DIRECTIVE)
            apply(script, &script->steps[i], &scene);
    enum service service = scene.env.service;
    scene.is_pop3 = service == SERVICE_POP3 || service == SERVICE_POP3S || service == SERVICE_LEGACY_POP3;
    scene.tls = scene.tls || service == SERVICE_SUBMISSIONS || service == SERVICE_POP3S;
    buf_done(&why);
    *out_scene = scene;
}

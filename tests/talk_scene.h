/* talk_scene.h - where a transcript plays: the lines that begin with "=" (talk_script.h). */
#pragma once

#include "proto/session.h"
#include "talk_script.h"

struct talk_scene {
    struct session_env env;    /* holds one generation of settings: settings_release() */
    struct tls_facts facts;    /* of this connection, now or behind STARTTLS; borrows from the script */
    bool tls;                  /* from the first octet */
    bool is_pop3;
};
void talk_scene_read(const struct script *script, struct talk_scene *out_scene);

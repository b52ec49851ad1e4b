/* scene.h - which session an input is about: service, peer, settings. */
#pragma once

#include "base/settings.h"
#include "proto/session.h"

struct scene {
    struct session_env env;
    struct tls_facts facts; /* of a connection that is secured, now or later */
    bool is_pop3, tls;      /* tls: from the first octet */
};

void scene_make(struct scene *scene, uint8_t service, uint8_t way); /* settings are kept for the next input */
struct session *scene_open(const struct scene *scene, msec now);

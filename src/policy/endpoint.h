/* endpoint.h - where somebody listens: "127.0.0.1:10040", "[::1]:10040", "unix:/path". */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/ip.h"

struct endpoint {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    };
    socklen_t size;
};
MUST_USE enum status endpoint_read(struct slice text, struct endpoint *out_endpoint);

/* Explains a failure on stderr, in the name of a setting. */
MUST_USE enum status endpoint_listen(struct slice text, const char *setting, int *out_fd);

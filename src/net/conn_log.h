/* conn_log.h - the log lines of connections: each says whose it is. */
#pragma once

#include "base/ip.h"
#include "net/tls.h"
#include "proto/session.h"

struct conn_mark {
    const struct session *session; /* NULL: not there yet */
    struct ip peer;
    enum service service;
};
void conn_log_open(const struct conn_mark *mark);
void conn_log_note(const struct conn_mark *mark, const struct note *note);
void conn_log_tls(const struct conn_mark *mark, const struct tls_view *view);
/* `handshake`: it ended before TLS was up, which is worth an administrator's look. */
void conn_log_end(
    const struct conn_mark *mark, uint64_t octets_in, uint64_t octets_out, const char *why, bool handshake);

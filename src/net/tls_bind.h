/* tls_bind.h - what ties a login to the connection on which it is made, and the key that a client proved to hold. */
#pragma once

#include <openssl/ssl.h>

#include "net/tls.h"

/* `end_point`: of the certificate with which the server showed itself in this session, be it now or when the session that is resumed began. */
struct tls_bindings tls_bind(SSL *ssl, const struct tls_binding *end_point);
/* Without octets where there is none.  The first is of a connection, the second of a certificate. */
void tls_bind_exporter(SSL *ssl, struct tls_binding *out);
void tls_bind_end_point(const X509 *certificate, struct tls_binding *out);

/* For contexts: clients are asked for a certificate; tickets are good only where the plan says the same. */
void tls_ask_for_key(SSL_CTX *ctx);
void tls_bind_tickets(SSL_CTX *ctx, const struct tls_plan *plan);

#include "proto/sasl_impl.h"

/* EXTERNAL: RFC 4422 appendix A.  The message is the authorization identity, or nothing: then the key says who. */
enum sasl_outcome sasl_step_external(struct sasl *sasl, struct slice message)
{
    return sasl_keep_authzid(sasl, message) ? sasl_ask(sasl, ASK_LOGIN_KEY) : SASL_MALFORMED;
}

#include "net/tls_key.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "net/tls_provider.h"

/* ---- the stream ---- */

static struct {
    int fd;
    uint32_t asked, answered; /* numbers of the last of each */
    struct buf out;
    char in[SIGN_FRAME];
    size_t in_len;
    void (*lost)(void *context);
    void *context;
} line = { .fd = -1, .out = BUF(SIGN_FRAME) };

void tls_key_signer(int fd)
{
    const struct timeval patience = { .tv_sec = LIMIT_SIGN_WAIT / 1000, .tv_usec = LIMIT_SIGN_WAIT % 1000 * 1000 };
    if (line.fd >= 0)
        close(line.fd);
    line.fd = fd;
    line.answered = line.asked;
    line.in_len = 0;
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience); /* recv() then needs no poll() before it */
}

void tls_key_watch(void (*lost)(void *context), void *context)
{
    line.lost = lost;
    line.context = context;
}

static enum status lose(const char *why)
{
    LOG(LOG_WARNING, "tls.signer-lost", LOG_WORD("why", why), LOG_WORD("hint", "handshakes fail until the supervisor brings another"));
    tls_key_signer(-1);
    if (line.lost)
        line.lost(line.context);
    return STATUS_AWAY;
}

/* The answer that is due.  BUSY: it did not come. */
static enum status receive(int flags, struct sign_answer *out_answer)
{
    size_t len;
    enum status status;
    while ((status = sign_get((struct slice){ line.in, line.in_len }, sign_answer_fields, out_answer, &len)) == STATUS_BUSY) {
        ssize_t got = recv(line.fd, line.in + line.in_len, sizeof line.in - line.in_len, flags);
        if (got > 0)
            line.in_len += (size_t)got;
        else if (got == 0 || (errno != EINTR && errno != EAGAIN))
            return lose("the end of the stream");
        else if (errno == EAGAIN)
            return STATUS_BUSY;
    }
    if (status != STATUS_OK || len != line.in_len || out_answer->number != line.asked)
        return lose("not an answer");
    line.answered = line.asked;
    line.in_len = 0; /* its octets stay where they are */
    return STATUS_OK;
}

static enum status send_ask(const struct sign_ask *ask)
{
    TRY(sign_put(&line.out, sign_ask_fields, ask));
    ssize_t sent;
    do
        sent = send(line.fd, line.out.ptr, line.out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent != (ssize_t)line.out.len) /* there is room for one, and never more than one under way */
        return lose("it cannot be written to");
    line.asked = ask->number;
    return STATUS_OK;
}

enum status tls_key_ask(enum sign_kind kind, uint32_t detail, struct slice key, struct slice octets, struct slice *out_octets)
{
    struct sign_answer answer;
    if (line.fd < 0)
        return STATUS_AWAY;
    if (line.answered != line.asked)
        TRY(receive(MSG_DONTWAIT, &answer));
    struct sign_ask ask = { .number = line.asked + 1, .kind = (uint8_t)kind, .detail = detail, .key = key, .octets = octets };
    TRY(send_ask(&ask));
    enum status status = receive(0, &answer);
    if (status == STATUS_BUSY)
        LOG(LOG_WARNING, "tls.signer-silent", LOG_NUMBER("waited_ms", LIMIT_SIGN_WAIT));
    TRY(status);
    if (answer.status != STATUS_OK)
        return answer.status == STATUS_NOT_FOUND ? STATUS_NOT_FOUND : STATUS_IO;
    *out_octets = answer.octets;
    return STATUS_OK;
}

/* ---- the door ---- */

enum status tls_key_open(X509 *certificate, EVP_PKEY **out_key)
{
    char name[SIGN_KEY_NAME];
    EVP_PKEY *public = X509_get0_pubkey(certificate), *key = NULL;
    if (!public || !sign_knows(public))
        return STATUS_MALFORMED;
    TRY(sign_name(public, name));
    tls_provider_start();
    OSSL_PARAM ours[] = { OSSL_PARAM_construct_octet_string(TLS_PROVIDER_NAME, name, sizeof name), OSSL_PARAM_construct_end() }, *parts = NULL;
    OSSL_PARAM *all = EVP_PKEY_todata(public, EVP_PKEY_PUBLIC_KEY, &parts) == 1 ? OSSL_PARAM_merge(parts, ours) : NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, EVP_PKEY_get0_type_name(public), TLS_PROVIDER_QUERY);
    bool made = all && context && EVP_PKEY_fromdata_init(context) == 1 && EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, all) == 1;
    EVP_PKEY_CTX_free(context);
    OPENSSL_free(all);
    OSSL_PARAM_free(parts);
    ERR_clear_error();
    if (!made)
        return STATUS_MALFORMED;
    *out_key = key;
    return STATUS_OK;
}

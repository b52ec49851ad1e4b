#include "net/signer.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
#include "base/scoped.h"
#include "base/secret.h"
#include "net/control.h"
#include "net/sign.h"

#define SETS_MISSED 2u /* then a key is dropped */
#define STREAMS     2u /* of one gate: a reload brings another before the gate lets go of the one it has */

enum purpose { PURPOSE_TLS }; /* what a key is for: a key for one purpose is never used for another */

struct key {
    struct list node;
    EVP_PKEY *key;
    enum purpose purpose;
    char name[SIGN_KEY_NAME];
    unsigned missed; /* sets without it */
    unsigned holders;
    /* The thread's: made ready for the scheme that was asked for last, since making ready costs a tenth of signing. */
    const struct sign_scheme *scheme;
    EVP_PKEY_CTX *context;
    EVP_MD *digest;
};

struct stream {
    struct list node;
    int fd;
    enum role role;
    uint8_t worker;
    bool over;
    size_t len;
    char in[SIGN_FRAME];
};

struct signer {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what stands in this part */
    struct list keys, joining;
    bool closing;

    int control, wake;
    struct list streams; /* the thread's, from here on */
    size_t count;
    struct pollfd *polled;
    struct buf out;
    char reject[32]; /* what takes a secret's place */
};

/* ---- keys ---- */

/* A key with a passphrase is refused: nobody sits there to type it, and OpenSSL would ask the terminal. */
static int no_passphrase(char *room, int size, int for_writing, void *unused)
{
    (void)room;
    (void)size;
    (void)for_writing;
    (void)unused;
    return -1;
}

static BIO *text_of(struct slice pem)
{
    BIO *text = pem.len > 0 && pem.len <= LIMIT_PEM ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    return text;
}

static enum status complain(struct buf *why, size_t number, const char *what)
{
    if (buf_print(why, "certificate %zu: %s", number + 1, what) != STATUS_OK)
        buf_clear(why); /* that it failed is said by the status */
    return STATUS_MALFORMED;
}

/* Everything behind the first certificate is one, too: a gate would refuse the chain otherwise. */
static bool is_whole(BIO *text)
{
    X509 *next;
    while ((next = PEM_read_bio_X509(text, NULL, NULL, NULL)))
        X509_free(next);
    unsigned long error = ERR_peek_last_error();
    return error == 0 || ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static enum status open_pair(const struct boot_pair *pair, size_t number, struct key *out_key, struct buf *why)
{
    BIO *certificate_text = text_of(pair->certificate), *key_text = text_of(pair->key);
    X509 *certificate = certificate_text ? PEM_read_bio_X509_AUX(certificate_text, NULL, NULL, NULL) : NULL;
    EVP_PKEY *key = key_text ? PEM_read_bio_PrivateKey(key_text, NULL, no_passphrase, NULL) : NULL;
    struct key opened = { .purpose = PURPOSE_TLS };
    enum status status = STATUS_OK;
    if (!certificate || !is_whole(certificate_text))
        status = complain(why, number, pair->certificate.len == 0 ? "is empty" : "the file holds no whole chain of certificates in PEM form");
    else if (!key)
        status = complain(why, number, "its key is no private key in PEM form without passphrase");
    else if (!sign_knows(key))
        status = complain(why, number, "its key is of no kind that works here: RSA, EC, Ed25519 and Ed448 do");
    else if (X509_check_private_key(certificate, key) != 1)
        status = complain(why, number, "the key does not belong to the certificate");
    else if (sign_name(X509_get0_pubkey(certificate), opened.name) != STATUS_OK)
        status = complain(why, number, "its public key cannot be written down");
    BIO_free(certificate_text);
    BIO_free(key_text);
    X509_free(certificate);
    ERR_clear_error();
    if (status == STATUS_OK) {
        opened.key = key;
        *out_key = opened;
    } else {
        EVP_PKEY_free(key);
    }
    return status;
}

enum status signer_check(const struct boot_pair *pair, size_t number, struct buf *why)
{
    struct key key;
    TRY(open_pair(pair, number, &key, why));
    EVP_PKEY_free(key.key);
    return STATUS_OK;
}

static void unready(struct key *key)
{
    EVP_PKEY_CTX_free(key->context);
    EVP_MD_free(key->digest);
    key->context = NULL;
    key->digest = NULL;
    key->scheme = NULL;
}

/* What the thread and the set hold; under the mutex. */
static void let_go(struct key *key)
{
    if (--key->holders > 0)
        return;
    unready(key);
    EVP_PKEY_free(key->key); /* wipes it */
    release(key);
}

static void drop_key(struct key *key)
{
    list_remove(&key->node);
    let_go(key);
}

static struct key *find_key(const struct list *keys, struct slice name)
{
    for (struct list *node = keys->next; node != keys; node = node->next) {
        struct key *key = list_element(node, struct key, node);
        if (slice_equal((struct slice){ key->name, sizeof key->name }, name))
            return key;
    }
    return NULL;
}

static void drop_all(struct list *keys)
{
    while (!list_is_empty(keys))
        drop_key(list_element(keys->next, struct key, node));
}

static enum status open_all(const struct rows *pairs, struct list *keys, struct buf *why)
{
    for (uint32_t i = 0; i < pairs->count; i++) {
        struct key opened;
        TRY(open_pair(row_of(struct boot_pair, *pairs, i), i, &opened, why));
        if (find_key(keys, (struct slice){ opened.name, sizeof opened.name })) {
            EVP_PKEY_free(opened.key); /* two certificates of one key */
            continue;
        }
        struct key *key = alloc(sizeof *key);
        *key = opened;
        key->holders = 1;
        list_append(keys, &key->node);
    }
    return STATUS_OK;
}

enum status signer_take(struct signer *signer, const struct rows *pairs, struct buf *why)
{
    struct list taken;
    list_init(&taken);
    enum status status = open_all(pairs, &taken, why);
    if (status != STATUS_OK) {
        drop_all(&taken);
        return status;
    }
    scoped_lock pthread_mutex_t *held = lock(&signer->mutex);
    for (struct list *node = signer->keys.next, *next; node != &signer->keys; node = next) {
        struct key *key = list_element(node, struct key, node);
        next = node->next;
        bool again = find_key(&taken, (struct slice){ key->name, sizeof key->name }) != NULL;
        if (again || key->missed + 1 >= SETS_MISSED) {
            drop_key(key);
            continue;
        }
        key->missed++;
    }
    struct list *node;
    while ((node = list_take(&taken)))
        list_append(&signer->keys, node);
    return STATUS_OK;
}

/* ---- using them ---- */

static bool make_ready(struct key *key, const struct sign_scheme *scheme)
{
    unready(key);
    key->digest = EVP_MD_fetch(NULL, scheme->digest, NULL);
    key->context = EVP_PKEY_CTX_new_from_pkey(NULL, key->key, NULL);
    bool ready = key->digest && key->context && EVP_PKEY_sign_init(key->context) == 1 && EVP_PKEY_CTX_set_signature_md(key->context, key->digest) == 1;
    if (ready && scheme->padding == SIGN_PADDING_PSS)
        ready = EVP_PKEY_CTX_set_rsa_padding(key->context, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(key->context, RSA_PSS_SALTLEN_DIGEST) == 1;
    if (ready)
        key->scheme = scheme;
    return ready;
}

/* Ed25519 and Ed448 hash by themselves, twice. */
static bool sign_whole(EVP_PKEY *key, struct slice octets, unsigned char *out, size_t *out_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool made = context && EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
                EVP_DigestSign(context, out, out_len, (const unsigned char *)octets.ptr, octets.len) == 1;
    EVP_MD_CTX_free(context);
    return made;
}

static bool sign(struct key *key, const struct sign_scheme *scheme, struct slice octets, unsigned char *out, size_t *out_len)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int len;
    *out_len = LIMIT_SIGNED;
    if (!scheme->digest)
        return sign_whole(key->key, octets, out, out_len);
    if (key->scheme != scheme && !make_ready(key, scheme))
        return false;
    return EVP_Digest(octets.ptr, octets.len, hash, &len, key->digest, NULL) == 1 && EVP_PKEY_sign(key->context, out, out_len, hash, len) == 1;
}

/* Unpads in constant time: what has the wrong form or version gives random octets, others each time. */
static bool open_once(EVP_PKEY *key, uint32_t version, struct slice octets, unsigned char out[SIGN_SECRET])
{
    unsigned int offered = version;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &offered), OSSL_PARAM_construct_end() };
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t len = SIGN_SECRET;
    bool opened = context && EVP_PKEY_decrypt_init(context) == 1 && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_WITH_TLS_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_params(context, params) == 1 &&
                  EVP_PKEY_decrypt(context, out, &len, (const unsigned char *)octets.ptr, octets.len) == 1 && len == SIGN_SECRET;
    EVP_PKEY_CTX_free(context);
    return opened;
}

/* RFC 5246 7.4.7.1: whether the padding was right must not be seen.  A peer does not see it: the handshake fails as late as it would otherwise.  But the owner of a gate sees
 * the secret itself, and could ask twice: octets that differ are random ones, so he would have the oracle with which the key can be used for anything (Bleichenbacher).
 * So what takes the secret's place is always the same for the same question, and looks as a right one does; and it is we who open it twice. */
static bool open_secret(const struct signer *signer, EVP_PKEY *key, const struct sign_ask *ask, unsigned char *out)
{
    unsigned char first[SIGN_SECRET], second[SIGN_SECRET], instead[EVP_MAX_MD_SIZE], differ = 0;
    struct buf question = BUF(SIGN_FRAME);
    bool opened = sign_put(&question, sign_ask_fields, &(struct sign_ask){ .detail = ask->detail, .key = ask->key, .octets = ask->octets }) == STATUS_OK &&
                  open_once(key, ask->detail, ask->octets, first) && open_once(key, ask->detail, ask->octets, second) &&
                  HMAC(EVP_sha512(), signer->reject, sizeof signer->reject, (const unsigned char *)question.ptr, question.len, instead, NULL);
    buf_done(&question);
    if (!opened)
        return false;
    instead[0] = (unsigned char)(ask->detail >> 8);
    instead[1] = (unsigned char)ask->detail;
    for (size_t i = 0; i < SIGN_SECRET; i++)
        differ |= first[i] ^ second[i];
    unsigned char rejected = (unsigned char)-(unsigned char)((differ | -differ) >> 7 & 1);
    for (size_t i = 0; i < SIGN_SECRET; i++)
        out[i] = (unsigned char)((first[i] & ~rejected) | (instead[i] & rejected));
    wipe(first, sizeof first);
    wipe(second, sizeof second);
    return true;
}

static struct key *hold_key(struct signer *signer, struct slice name)
{
    scoped_lock pthread_mutex_t *held = lock(&signer->mutex);
    struct key *key = find_key(&signer->keys, name);
    if (!key || key->purpose != PURPOSE_TLS)
        return NULL;
    key->holders++;
    return key;
}

static void give_back_key(struct signer *signer, struct key *key)
{
    scoped_lock pthread_mutex_t *held = lock(&signer->mutex);
    let_go(key);
}

/* MALFORMED: nobody who is himself asks that. */
static enum status use(struct signer *signer, const struct sign_ask *ask, unsigned char *out, size_t *out_len)
{
    const struct sign_scheme *scheme = sign_scheme(ask->detail);
    if (ask->kind == SIGN_HANDSHAKE ? !scheme || !sign_is_handshake(ask->octets, scheme) : ask->kind != SIGN_OPEN || ask->detail > UINT16_MAX)
        return STATUS_MALFORMED;
    struct key *key = hold_key(signer, ask->key);
    if (!key)
        return STATUS_NOT_FOUND;
    enum status status = EVP_PKEY_is_a(key->key, ask->kind == SIGN_HANDSHAKE ? scheme->key : "RSA") ? STATUS_OK : STATUS_MALFORMED;
    *out_len = SIGN_SECRET;
    if (status == STATUS_OK && !(ask->kind == SIGN_HANDSHAKE ? sign(key, scheme, ask->octets, out, out_len) : open_secret(signer, key->key, ask, out)))
        status = STATUS_IO;
    give_back_key(signer, key);
    ERR_clear_error();
    return status;
}

/* ---- streams ---- */

static void bad_ask(const struct signer *signer, struct stream *stream, const char *why)
{
    LOG(LOG_ERROR, "signer.bad-ask", LOG_WORD("role", role_name(stream->role)), LOG_NUMBER("worker", stream->worker), LOG_WORD("why", why));
    struct control_message message = { .kind = CONTROL_BAD_ASK, .role = stream->role, .worker = stream->worker, .fd = -1 };
    if (signer->control >= 0 && control_send(signer->control, &message) != STATUS_OK)
        LOG(LOG_WARNING, "signer.control", LOG_WORD("error", "the supervisor cannot be told"));
    stream->over = true;
}

static void serve_ask(struct signer *signer, struct stream *stream, const struct sign_ask *ask)
{
    unsigned char octets[LIMIT_SIGNED];
    size_t len = 0;
    enum status status = use(signer, ask, octets, &len);
    if (status == STATUS_MALFORMED) {
        bad_ask(signer, stream, "not a handshake of ours");
        return;
    }
    struct sign_answer answer = { .number = ask->number, .status = (uint8_t)status, .octets = { (const char *)octets, status == STATUS_OK ? len : 0 } };
    enum status put = sign_put(&signer->out, sign_answer_fields, &answer);
    must(put == STATUS_OK);
    /* One answer for one ask: there is always room, unless nobody reads. */
    if (send(stream->fd, signer->out.ptr, signer->out.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)signer->out.len)
        stream->over = true;
}

static void serve_stream(struct signer *signer, struct stream *stream)
{
    struct sign_ask ask;
    size_t len;
    ssize_t got = recv(stream->fd, stream->in + stream->len, sizeof stream->in - stream->len, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        stream->over = true;
        return;
    }
    stream->len += (size_t)got;
    enum status status = sign_get((struct slice){ stream->in, stream->len }, sign_ask_fields, &ask, &len);
    if (status == STATUS_BUSY)
        return;
    if (status != STATUS_OK || len != stream->len) {
        bad_ask(signer, stream, status == STATUS_OK ? "more than one at a time" : "malformed frame");
        return;
    }
    serve_ask(signer, stream, &ask);
    stream->len = 0;
}

static void drop_stream(struct signer *signer, struct stream *stream)
{
    close(stream->fd);
    list_remove(&stream->node);
    signer->count--;
    release(stream);
}

/* A gate that does not let go of its old streams loses the oldest. */
static void look_at_seat(struct signer *signer, const struct stream *newest)
{
    unsigned count = 0;
    for (struct list *node = signer->streams.prev, *before; node != &signer->streams; node = before) {
        struct stream *stream = list_element(node, struct stream, node);
        before = node->prev;
        if (stream->role == newest->role && stream->worker == newest->worker && ++count > STREAMS)
            drop_stream(signer, stream);
    }
}

/* False: the end. */
static bool take_joining(struct signer *signer)
{
    struct list joining;
    list_init(&joining);
    {
        scoped_lock pthread_mutex_t *held = lock(&signer->mutex);
        if (signer->closing)
            return false;
        struct list *node;
        while ((node = list_take(&signer->joining)))
            list_append(&joining, node);
    }
    struct list *node;
    while ((node = list_take(&joining))) {
        list_append(&signer->streams, node);
        signer->count++;
        look_at_seat(signer, list_element(node, struct stream, node));
    }
    release(signer->polled);
    signer->polled = alloc((signer->count + 1) * sizeof *signer->polled);
    return true;
}

static void serve_all(struct signer *signer)
{
    size_t at = 1;
    for (struct list *node = signer->streams.next, *next; node != &signer->streams; node = next) {
        struct stream *stream = list_element(node, struct stream, node);
        next = node->next;
        if (signer->polled[at++].revents)
            serve_stream(signer, stream);
        if (stream->over)
            drop_stream(signer, stream);
    }
}

static void *run(void *context)
{
    struct signer *signer = context;
    pthread_setname_np(pthread_self(), "signer");
    while (take_joining(signer)) {
        uint64_t woken;
        do {
            size_t at = 0;
            signer->polled[at++] = (struct pollfd){ .fd = signer->wake, .events = POLLIN };
            for (struct list *node = signer->streams.next; node != &signer->streams; node = node->next)
                signer->polled[at++] = (struct pollfd){ .fd = list_element(node, struct stream, node)->fd, .events = POLLIN };
            if (poll(signer->polled, at, -1) > 0)
                serve_all(signer);
            else
                signer->polled[0].revents = 0;
        } while (!signer->polled[0].revents);
        ssize_t got = read(signer->wake, &woken, sizeof woken);
        (void)got;
    }
    return NULL;
}

static void wake(struct signer *signer)
{
    uint64_t one = 1;
    ssize_t written = write(signer->wake, &one, sizeof one);
    must(written == sizeof one || errno == EAGAIN);
}

/* ---- from the loop ---- */

static void *take_memory(size_t size, const char *file, int number)
{
    (void)file;
    (void)number;
    return secret_take(size);
}

static void *resize_memory(void *memory, size_t size, const char *file, int number)
{
    (void)file;
    (void)number;
    return secret_resize(memory, size);
}

static void give_back_memory(void *memory, const char *file, int number)
{
    (void)file;
    (void)number;
    secret_give_back(memory);
}

bool signer_prepare(void) { return CRYPTO_set_mem_functions(take_memory, resize_memory, give_back_memory) == 1; }

struct signer *signer_open(int control)
{
    struct signer *signer = alloc(sizeof *signer);
    *signer = (struct signer){ .control = control, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .out = BUF(SIGN_FRAME) };
    must(signer->wake >= 0);
    random_fill(signer->reject, sizeof signer->reject);
    pthread_mutex_init(&signer->mutex, NULL);
    list_init(&signer->keys);
    list_init(&signer->joining);
    list_init(&signer->streams);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the loop thread */
    int failed = pthread_create(&signer->thread, NULL, run, signer);
    must(failed == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return signer;
}

void signer_join(struct signer *signer, int fd, enum role role, uint8_t worker)
{
    struct stream *stream = alloc(sizeof *stream);
    *stream = (struct stream){ .fd = fd, .role = role, .worker = worker };
    {
        scoped_lock pthread_mutex_t *held = lock(&signer->mutex);
        list_append(&signer->joining, &stream->node);
    }
    wake(signer);
}

void signer_close(struct signer *signer)
{
    {
        scoped_lock pthread_mutex_t *held = lock(&signer->mutex);
        signer->closing = true;
    }
    wake(signer);
    pthread_join(signer->thread, NULL);
    struct list *lists[] = { &signer->joining, &signer->streams };
    for (size_t i = 0; i < 2; i++)
        while (!list_is_empty(lists[i])) {
            signer->count++;
            drop_stream(signer, list_element(lists[i]->next, struct stream, node));
        }
    drop_all(&signer->keys);
    close(signer->wake);
    pthread_mutex_destroy(&signer->mutex);
    buf_done(&signer->out);
    release(signer->polled);
    wipe(signer->reject, sizeof signer->reject);
    release(signer);
}

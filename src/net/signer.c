#include "net/signer.h"

#include <errno.h>
#include <openssl/err.h>
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
#include "net/signer_key.h"

#define SETS_MISSED 2u /* then a key is dropped */
#define STREAMS     2u /* of one gate: a reload brings another before the gate lets go of the one it has */

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
    char reject[SIGNER_REJECT]; /* what takes a secret's place */
};

/* ---- keys ---- */

enum status signer_take(struct signer *signer, const struct rows *pairs, struct buf *why)
{
    struct list taken;
    list_init(&taken);
    enum status status = signer_keys_open(pairs, &taken, why);
    if (status != STATUS_OK) {
        signer_keys_drop(&taken);
        return status;
    }
    scoped_lock pthread_mutex_t *held = lock(&signer->mutex);
    for (struct list *node = signer->keys.next, *next; node != &signer->keys; node = next) {
        struct key *key = list_element(node, struct key, node);
        next = node->next;
        bool again = signer_key_find(&taken, (struct slice){ key->name, sizeof key->name }) != NULL;
        if (again || key->missed + 1 >= SETS_MISSED) {
            signer_key_drop(key);
            continue;
        }
        key->missed++;
    }
    struct list *node;
    while ((node = list_take(&taken)))
        list_append(&signer->keys, node);
    return STATUS_OK;
}

static struct key *hold_key(struct signer *signer, struct slice name)
{
    scoped_lock pthread_mutex_t *held = lock(&signer->mutex);
    struct key *key = signer_key_find(&signer->keys, name);
    if (!key || key->purpose != PURPOSE_TLS)
        return NULL;
    key->holders++;
    return key;
}

static void give_back_key(struct signer *signer, struct key *key)
{
    scoped_lock pthread_mutex_t *held = lock(&signer->mutex);
    signer_key_let_go(key);
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
    if (status == STATUS_OK && !(ask->kind == SIGN_HANDSHAKE ? signer_key_sign(key, scheme, ask->octets, out, out_len) : signer_key_open(key->key, signer->reject, ask, out)))
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
    signer_keys_drop(&signer->keys);
    close(signer->wake);
    pthread_mutex_destroy(&signer->mutex);
    buf_done(&signer->out);
    release(signer->polled);
    wipe(signer->reject, sizeof signer->reject);
    release(signer);
}

/* What a handshake costs with the key in the gate and with the key in the signer's process.
 *
 *   handshakes [ROUNDS]
 *
 * A server and a client of plain OpenSSL in one thread, over memory; only the server's calls are measured.  The two kinds of key take turns, in processes of their own: one that knows the private key, and one
 * that asks a signer in a third, as gates do.  Of each figure the median of a round's handshakes, and of these the lowest: what else the machine does only adds. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "net/test_pair.h"

#define MOST_ROUNDS 99
#define MOST_COUNT  1000

struct cost {
    double wall, gate, signer; /* microseconds a handshake */
};

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static X509 *read_certificate(const struct test_pair *pair)
{
    BIO *text = BIO_new_mem_buf(pair->certificate.ptr, (int)pair->certificate.len);
    X509 *certificate = PEM_read_bio_X509(text, NULL, NULL, NULL);
    BIO_free(text);
    must(certificate);
    return certificate;
}

static EVP_PKEY *own_key(const struct test_pair *pair)
{
    BIO *text = BIO_new_mem_buf(pair->key.ptr, (int)pair->key.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(text, NULL, NULL, NULL);
    BIO_free(text);
    must(key);
    return key;
}

static SSL_CTX *make_server(const struct test_pair *pair, bool asks)
{
    X509 *certificate = read_certificate(pair);
    EVP_PKEY *key;
    if (asks)
        must(tls_key_open(certificate, &key) == STATUS_OK);
    else
        key = own_key(pair);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    must(ctx && SSL_CTX_use_certificate(ctx, certificate) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1);
    SSL_CTX_set_num_tickets(ctx, 1);
    EVP_PKEY_free(key);
    X509_free(certificate);
    return ctx;
}

static void shake(SSL_CTX *server_ctx, SSL_CTX *client_ctx, struct cost *cost)
{
    SSL *server = SSL_new(server_ctx), *client = SSL_new(client_ctx);
    BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
    BIO_up_ref(up);
    BIO_up_ref(down);
    SSL_set_bio(server, up, down);
    SSL_set_bio(client, down, up);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int i = 0; i < 3 && !SSL_is_init_finished(server); i++) {
        SSL_do_handshake(client);
        double clock = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID);
        SSL_do_handshake(server);
        cost->gate += now(CLOCK_THREAD_CPUTIME_ID) - cpu;
        cost->wall += now(CLOCK_MONOTONIC) - clock;
    }
    must(SSL_is_init_finished(server));
    SSL_free(server);
    SSL_free(client);
    ERR_clear_error();
}

static int compare(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof values[0], compare);
    return values[count / 2];
}

/* In a process of its own. */
static struct cost measure(const struct test_pair *pair, bool asks, unsigned count, int version, pid_t signer, int stream)
{
    struct cost cost = { 0 };
    static double whole[MOST_COUNT], gate[MOST_COUNT], signing[MOST_COUNT];
    clockid_t signers = CLOCK_MONOTONIC;
    must(count <= MOST_COUNT);
    if (asks)
        tls_key_signer(stream);
    SSL_CTX *server = make_server(pair, asks), *client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(client, version);
    for (unsigned i = 0; i < count / 10; i++)
        shake(server, client, &cost);
    must(!asks || clock_getcpuclockid(signer, &signers) == 0);
    for (unsigned i = 0; i < count; i++) {
        cost = (struct cost){ 0 };
        double before = now(signers);
        shake(server, client, &cost);
        signing[i] = asks ? now(signers) - before : 0;
        whole[i] = cost.wall;
        gate[i] = cost.gate;
    }
    return (struct cost){ median(whole, count), median(gate, count), median(signing, count) };
}

static pid_t start_signer(const struct test_pair *pair, int stream)
{
    pid_t pid = fork();
    must(pid >= 0);
    if (pid > 0)
        return pid;
    struct signer *signer = signer_open(-1);
    const struct test_pair *all[] = { pair };
    test_signer_take(signer, all, 1);
    signer_join(signer, stream, ROLE_USER, 0);
    for (;;)
        pause();
}

static struct cost measure_apart(const struct test_pair *pair, bool asks, unsigned count, int version)
{
    struct cost *cost = mmap(NULL, sizeof *cost, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ends[2];
    must(cost != MAP_FAILED && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    pid_t signer = asks ? start_signer(pair, ends[0]) : 0, gate = fork();
    if (gate == 0) {
        *cost = measure(pair, asks, count, version, signer, ends[1]);
        _exit(0);
    }
    int status;
    waitpid(gate, &status, 0);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (signer) {
        kill(signer, SIGKILL);
        waitpid(signer, NULL, 0);
    }
    close(ends[0]);
    close(ends[1]);
    struct cost found = *cost;
    munmap(cost, sizeof *cost);
    return found;
}

static double lowest(const struct cost *costs, unsigned count, size_t at)
{
    double least = 0;
    for (unsigned i = 0; i < count; i++) {
        double value = *(const double *)(const void *)((const char *)&costs[i] + at);
        least = i == 0 || value < least ? value : least;
    }
    return least;
}

static void print(const char *what, const char *where, const struct cost *costs, unsigned rounds)
{
    double whole = lowest(costs, rounds, offsetof(struct cost, wall)), gate = lowest(costs, rounds, offsetof(struct cost, gate)), signer = lowest(costs, rounds, offsetof(struct cost, signer));
    printf("| %s | %s | %.0f | %.0f | %.0f | %.0f | %.0f |\n", what, where, 1e6 / whole, whole, gate, signer, gate + signer);
    fflush(stdout);
}

int main(int count, char **words)
{
    static const struct {
        const char *what;
        bool rsa;
        int version;
        unsigned count;
    } rows[] = { { "P-256, TLS 1.3", false, TLS1_3_VERSION, 500 }, { "P-256, TLS 1.2", false, TLS1_2_VERSION, 500 }, { "RSA-2048, TLS 1.3", true, TLS1_3_VERSION, 200 } };
    unsigned rounds = count > 1 ? (unsigned)strtoul(words[1], NULL, 10) : 5;
    rounds = rounds < 1 ? 1 : rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;
    printf("| key | where | handshakes/s of one gate | us a handshake | us CPU, gate | us CPU, signer | us CPU, both |\n|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct test_pair pair = test_pair_make("server", "DNS:mail.example", rows[i].rsa);
        struct cost before[MOST_ROUNDS], after[MOST_ROUNDS];
        for (unsigned round = 0; round < rounds; round++) {
            before[round] = measure_apart(&pair, false, rows[i].count, rows[i].version);
            after[round] = measure_apart(&pair, true, rows[i].count, rows[i].version);
        }
        print(rows[i].what, "in the gate", before, rounds);
        print(rows[i].what, "signer", after, rounds);
        test_pair_done(&pair);
    }
    return 0;
}

#include "net/dns.h"

#include <string.h>
#include <unbound.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/must.h"

struct dns {
    struct loop *loop;
    struct ub_ctx *context;
    uv_poll_t poll;
};

/* One name: both families are asked, the answer is told when both are in. */
struct question {
    struct dns *dns;
    struct loop_flush later; /* an answer that is known at once must not come before dns_find() returned */
    void (*found)(void *context, const struct dns_answer *answer);
    void *context;
    struct dns_answer answer;
    int waiting;
};

enum { TYPE_A = 1, TYPE_AAAA = 28, CLASS_IN = 1 };

static void tell(struct loop_flush *later)
{
    struct question *question = list_element(later, struct question, later);
    if (question->answer.count > 0)
        question->answer.status = STATUS_OK;
    question->found(question->context, &question->answer);
    release(question);
}

static void collect(struct question *question, const struct ub_result *result)
{
    for (int i = 0; result->data[i] != NULL && question->answer.count < DNS_ADDRESSES; i++) {
        struct ip ip = { .octets = { [10] = 0xff, [11] = 0xff } };
        if (result->qtype == TYPE_A && result->len[i] == 4)
            memcpy(ip.octets + 12, result->data[i], 4);
        else if (result->qtype == TYPE_AAAA && result->len[i] == 16)
            memcpy(ip.octets, result->data[i], 16);
        else
            continue;
        question->answer.addresses[question->answer.count++] = ip;
    }
}

static void answered(void *context, int error, struct ub_result *result)
{
    struct question *question = context;
    if (error != 0 || result->rcode == 2)
        question->answer.status = STATUS_AWAY;
    else
        collect(question, result);
    if (result != NULL)
        ub_resolve_free(result);
    if (--question->waiting == 0)
        loop_flush_later(question->dns->loop, &question->later);
}

static void readable(uv_poll_t *poll, int status, int events)
{
    struct dns *dns = poll->data;
    (void)status;
    (void)events;
    (void)ub_process(dns->context);
}

void dns_find(struct dns *dns, struct slice name, void (*found)(void *, const struct dns_answer *), void *context)
{
    struct question *question = alloc(sizeof(*question));
    *question = (struct question){ .dns = dns, .found = found, .context = context, .later.run = tell,
        .answer.status = STATUS_NOT_FOUND };
    list_init(&question->later.node);
    char text[LIMIT_DOMAIN + 2];
    if (ip_parse(name, &question->answer.addresses[0]) == STATUS_OK) {
        question->answer.count = 1;
    } else if (name.len <= LIMIT_DOMAIN) {
        memcpy(text, name.ptr, name.len);
        text[name.len] = 0;
        /* IPv4 first: the order in which their addresses are tried. */
        static const int types[] = { TYPE_A, TYPE_AAAA };
        for (size_t i = 0; i < 2; i++) {
            question->waiting++;
            if (ub_resolve_async(dns->context, text, types[i], CLASS_IN, question, answered, NULL) != 0) {
                question->waiting--;
                question->answer.status = STATUS_AWAY;
            }
        }
    }
    if (question->waiting == 0)
        loop_flush_later(dns->loop, &question->later);
}

/* "192.0.2.1:5353" is written 192.0.2.1@5353 for libunbound; "[2001:db8::1]:53" likewise. */
static enum status add_server(struct ub_ctx *context, struct slice server)
{
    char text[80];
    struct ip ip;
    struct slice host = server, port = NO_SLICE;
    if (ip_parse(server, &ip) != STATUS_OK) {
        size_t colon = slice_find_last(server, ':');
        host = slice_upto(server, colon);
        port = slice_from(server, colon + 1);
        if (host.len > 2 && host.ptr[0] == '[')
            host = slice_upto(slice_from(host, 1), host.len - 2);
    }
    if (ip_parse(host, &ip) != STATUS_OK || host.len + port.len + 2 > sizeof(text))
        return STATUS_MALFORMED;
    memcpy(text, host.ptr, host.len);
    text[host.len] = 0;
    if (port.len > 0) {
        text[host.len] = '@';
        memcpy(text + host.len + 1, port.ptr, port.len);
        text[host.len + 1 + port.len] = 0;
    }
    return ub_ctx_set_fwd(context, text) == 0 ? STATUS_OK : STATUS_MALFORMED;
}

enum status dns_open(struct loop *loop, struct slices servers, struct dns **out_dns)
{
    struct ub_ctx *context = ub_ctx_create();
    must(context != NULL);
    /* A thread, not a child process: the jail forbids fork.  Servers on loopback are asked, too. */
    int failed = ub_ctx_async(context, 1);
    failed |= ub_ctx_set_option(context, "do-not-query-localhost:", "no");
    for (size_t i = 0; i < servers.count && failed == 0; i++)
        failed |= add_server(context, servers.rows[i]) != STATUS_OK;
    if (servers.count == 0)
        (void)ub_ctx_resolvconf(context, NULL);
    (void)ub_ctx_hosts(context, NULL);
    if (failed != 0) {
        ub_ctx_delete(context);
        return STATUS_MALFORMED;
    }
    struct dns *dns = alloc(sizeof(*dns));
    *dns = (struct dns){ .loop = loop, .context = context };
    dns->poll.data = dns;
    must(uv_poll_init(&loop->uv, &dns->poll, ub_fd(context)) == 0);
    must(uv_poll_start(&dns->poll, UV_READABLE, readable) == 0);
    *out_dns = dns;
    return STATUS_OK;
}

#include "net/conn_log.h"

#include "base/log.h"

#define OWN_FIELDS 3

static const char *service_name(enum service service)
{
    static const char *const names[] = { [SERVICE_MX] = "mx",
        [SERVICE_SUBMISSION] = "submission",
        [SERVICE_SUBMISSIONS] = "submissions",
        [SERVICE_POP3] = "pop3",
        [SERVICE_POP3S] = "pop3s",
        [SERVICE_LEGACY_SUBMISSION] = "legacy-submission",
        [SERVICE_LEGACY_SUBMISSIONS] = "legacy-submissions",
        [SERVICE_LEGACY_POP3] = "legacy-pop3",
        [SERVICE_LEGACY_POP3S] = "legacy-pop3s" };
    return (size_t)service < sizeof names / sizeof *names && names[service] ? names[service] : "none";
}

/* Writes the line; `fields` has room for OWN_FIELDS in front. */
static void write_line(const struct conn_mark *mark, enum log_level level, const char *event, struct log_field *fields)
{
    fields[0] = LOG_TEXT("session", mark->session ? session_name(mark->session) : S("-"));
    fields[1] = LOG_IP("peer", mark->peer);
    fields[2] = LOG_WORD("service", service_name(mark->service));
    log_event(level, event, fields);
}

void conn_log_open(const struct conn_mark *mark)
{
    struct log_field fields[OWN_FIELDS + 1] = { 0 };
    write_line(mark, LOG_DEBUG, "conn.open", fields);
}

void conn_log_note(const struct conn_mark *mark, const struct note *note)
{
    enum { MOST = sizeof note->fields / sizeof *note->fields };
    struct log_field fields[OWN_FIELDS + MOST + 1] = { 0 };
    for (size_t i = 0; i < MOST && note->fields[i].key; i++)
        fields[OWN_FIELDS + i] = LOG_TEXT(note->fields[i].key, note->fields[i].value);
    write_line(mark, note->warning ? LOG_WARNING : LOG_INFO, note->event, fields);
}

void conn_log_tls(const struct conn_mark *mark, const struct tls_view *view)
{
    struct log_field fields[OWN_FIELDS + 6] = { [OWN_FIELDS] = LOG_TEXT("version", view->version),
        LOG_TEXT("cipher", view->cipher),
        LOG_TEXT("sni", view->sni),
        LOG_TEXT("alpn", view->alpn),
        LOG_WORD("resumed", view->resumed ? "yes" : "no") };
    write_line(mark, LOG_INFO, "conn.tls", fields);
}

void conn_log_end(
    const struct conn_mark *mark, uint64_t octets_in, uint64_t octets_out, const char *why, bool handshake)
{
    struct log_field fields[OWN_FIELDS + 4] = {
        [OWN_FIELDS] = LOG_NUMBER("in", octets_in), LOG_NUMBER("out", octets_out), LOG_WORD("why", why)
    };
    write_line(mark, handshake ? LOG_INFO : LOG_DEBUG, handshake ? "conn.tls.failed" : "conn.close", fields);
}

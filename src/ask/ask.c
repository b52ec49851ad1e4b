#include "ask/ask.h"

#include <string.h>

#include "base/must.h"

/* Maxima that are no limits of their own: they only keep a frame's fields in proportion. */
#define MOST_ADDRESS LIMIT_PATH          /* canonical form: a quoted local part may double */
#define MOST_SESSION 32u                 /* "u0-1a" */
#define MOST_STAMP   (LIMIT_DOMAIN + 80) /* APOP, CRAM-MD5: <session.random.time@host> */
#define MOST_ID      64u                 /* a transaction's id: session name and a counter */
#define MOST_KEY     1024u               /* the key of a row, made of several fields */
#define MOST_WORD    64u
#define END          { .kind = FIELD_END }

/* clang-format off */

/* ---- login ---- */
#define FROM(s) \
    { .name = "session", .kind = FIELD_TEXT, .at = FIELD_CHECKED(s, from.session, struct slice), .max = MOST_SESSION }, \
    { .name = "peer", .kind = FIELD_IP, .at = FIELD_CHECKED(s, from.peer, struct ip) }, \
    { .name = "local", .kind = FIELD_IP, .at = FIELD_CHECKED(s, from.local, struct ip) }, \
    { .name = "protocol", .kind = FIELD_U8, .at = FIELD_CHECKED(s, from.protocol, uint8_t) }, \
    { .name = "mechanism", .kind = FIELD_U8, .at = FIELD_CHECKED(s, from.mechanism, uint8_t) }, \
    { .name = "encrypted", .kind = FIELD_U8, .at = FIELD_CHECKED(s, from.encrypted, uint8_t) }, \
    { .name = "device_only", .kind = FIELD_U8, .at = FIELD_CHECKED(s, from.device_only, uint8_t) }
static const struct field login_ask[] = {
    F_TEXT(ask_login, name, LIMIT_LOGIN_NAME), F_SECRET(ask_login, secret), F_TEXT(ask_login, authzid, LIMIT_LOGIN_NAME),
    FROM(ask_login), END };
static const struct field login_digest_ask[] = {
    F_TEXT(ask_login_digest, name, LIMIT_LOGIN_NAME), F_TEXT(ask_login_digest, challenge, MOST_STAMP),
    F_SECRET(ask_login_digest, digest), FROM(ask_login_digest), END };
static const struct field scram_ask[] = {
    F_TEXT(ask_scram, name, LIMIT_LOGIN_NAME), F_TEXT(ask_scram, authzid, LIMIT_LOGIN_NAME), FROM(ask_scram), END };
static const struct field scram_answer[] = {
    F_BYTES(answer_scram, salt, MOST_WORD), F_TEXT(answer_scram, nonce, MOST_WORD), F_U32(answer_scram, rounds), END };
static const struct field login_scram_ask[] = {
    F_TEXT(ask_login_scram, name, LIMIT_LOGIN_NAME), F_TEXT(ask_login_scram, authzid, LIMIT_LOGIN_NAME),
    F_BYTES(ask_login_scram, message, LIMIT_AUTH_LINE), F_SECRET(ask_login_scram, proof), FROM(ask_login_scram), END };
static const struct field login_token_ask[] = {
    F_TEXT(ask_login_token, name, LIMIT_LOGIN_NAME),
    F_SECRET_OF(ask_login_token, token, LIMIT_AUTH_LINE),
    FROM(ask_login_token), END };
static const struct field login_key_ask[] = {
    F_TEXT(ask_login_key, authzid, LIMIT_LOGIN_NAME), F_BYTES(ask_login_key, key, MOST_WORD), FROM(ask_login_key), END };
static const struct field offers_ask[] = { F_U32(ask_offers, known), END };
static const struct field offers_answer[] = { F_U32(answer_offers, serial), F_U32(answer_offers, mechanisms), END };
static const struct field refused_ask[] = {
    F_TEXT(ask_refused, name, MOST_ADDRESS), F_TEXT(ask_refused, session, MOST_SESSION), F_IP(ask_refused, peer),
    F_U32(ask_refused, code), F_U8(ask_refused, protocol), END };
static const struct field login_answer[] = {
    F_TEXT(answer_login, address, MOST_ADDRESS), F_BYTES(answer_login, signature, MOST_WORD), F_U32(answer_login, account), F_U8(answer_login, verdict),
    F_U8(answer_login, lease), END };

/* ---- sending ---- */
static const struct field mail_ask[] = {
    F_TEXT(ask_mail, sender, MOST_ADDRESS), F_TEXT(ask_mail, helo, LIMIT_DOMAIN), F_TEXT(ask_mail, session, MOST_SESSION),
    F_IP(ask_mail, peer), F_U8(ask_mail, encrypted), F_U8(ask_mail, submission), END };
static const struct field mail_answer[] = {
    F_IP(answer_mail, other), F_U32(answer_mail, lease), F_U8(answer_mail, verdict), F_U8(answer_mail, proof), END };
static const struct field rcpt_ask[] = { F_TEXT(ask_rcpt, recipient, MOST_ADDRESS), END };
static const struct field rcpt_answer[] = { F_U8(answer_rcpt, verdict), F_U8(answer_rcpt, local), END };
static const struct field stage_ask[] = { F_U64(ask_stage, announced), END };
static const struct field stage_answer[] = { F_U8(answer_stage, verdict), END };
static const struct field deliver_recipient[] = {
    F_TEXT(deliver_recipient, address, MOST_ADDRESS), F_TEXT(deliver_recipient, orcpt, LIMIT_ORCPT),
    F_U8(deliver_recipient, notify), END };
static const struct field deliver_author[] = { F_TEXT(deliver_author, address, MOST_ADDRESS), END };
static const struct field deliver_ask[] = {
    F_TEXT(ask_deliver, sender, MOST_ADDRESS),
    F_ROWS(ask_deliver, recipients, deliver_recipient, deliver_recipient, LIMIT_RECIPIENTS),
    F_ROWS(ask_deliver, authors, deliver_author, deliver_author, LIMIT_AUTHORS),
    F_BYTES(ask_deliver, return_path, LIMIT_PREFIX), F_BYTES(ask_deliver, prefix, LIMIT_PREFIX),
    F_BYTES(ask_deliver, body, LIMIT_INLINE_BODY), F_TEXT(ask_deliver, envid, LIMIT_ENVID), F_TEXT(ask_deliver, id, MOST_ID),
    F_U64(ask_deliver, staged), F_U64(ask_deliver, growth), F_U8(ask_deliver, body_type), F_U8(ask_deliver, utf8),
    F_U8(ask_deliver, ret), END };
static const struct field deliver_answer[] = { F_U8(answer_deliver, verdict), END };

/* ---- POP3 ---- */
static const struct field drop_row[] = { F_U32(drop_row, uid), F_U32(drop_row, size), END };
static const struct field drop_list_ask[] = { F_U32(ask_drop_list, after), F_U32(ask_drop_list, until), END };
static const struct field drop_list_answer[] = {
    F_ROWS(answer_drop_list, rows, drop_row, drop_row, LIMIT_ROWS), F_U32(answer_drop_list, uidvalidity),
    F_U32(answer_drop_list, until), F_U8(answer_drop_list, more), END };
static const struct field fetch_row[] = {
    F_BYTES(fetch_row, frames, LIMIT_FRAME), F_U64(fetch_row, next), F_U32(fetch_row, uid), END };
static const struct field fetch_ask[] = { F_U32(ask_fetch, uid), F_U32(ask_fetch, until), F_U64(ask_fetch, at), END };
static const struct field fetch_answer[] = { F_ROWS(answer_fetch, rows, fetch_row, fetch_row, LIMIT_ROWS), END };
static const struct field uid_range[] = { F_U32(uid_range, first), F_U32(uid_range, last), END };
static const struct field expunge_ask[] = { F_ROWS(ask_expunge, ranges, uid_range, uid_range, LIMIT_ROWS), END };
static const struct field expunge_answer[] = { F_U32(answer_expunge, removed), END };

/* ---- courier ---- */
static const struct field claim_recipient[] = {
    F_TEXT(claim_recipient, address, MOST_ADDRESS), F_TEXT(claim_recipient, orcpt, LIMIT_ORCPT),
    F_TEXT(claim_recipient, last_reply, LIMIT_REPLY_LINE), F_U32(claim_recipient, id), F_U32(claim_recipient, attempts),
    F_U8(claim_recipient, notify), F_U8(claim_recipient, delivered), END };
static const struct field claim_answer[] = {
    F_TEXT(answer_claim, sender, MOST_ADDRESS), F_TEXT(answer_claim, envid, LIMIT_ENVID),
    F_ROWS(answer_claim, recipients, claim_recipient, claim_recipient, LIMIT_CLAIM), F_U64(answer_claim, id),
    F_U64(answer_claim, size), F_U64(answer_claim, arrived), F_U8(answer_claim, body_type), F_U8(answer_claim, utf8),
    F_U8(answer_claim, ret), END };
static const struct field queue_body_ask[] = { F_U64(ask_queue_body, id), F_U64(ask_queue_body, at), END };
static const struct field queue_body_answer[] = {
    F_BYTES(answer_queue_body, frames, LIMIT_FRAME), F_U64(answer_queue_body, next), F_U32(answer_queue_body, skip), END };
static const struct field settle_recipient[] = {
    F_TEXT(settle_recipient, reply, LIMIT_REPLY_LINE), F_U32(settle_recipient, id), F_U64(settle_recipient, next),
    F_U8(settle_recipient, outcome), END };
static const struct field settle_ask[] = {
    F_U64(ask_settle, id), F_ROWS(ask_settle, recipients, settle_recipient, settle_recipient, LIMIT_CLAIM),
    F_BYTES(ask_settle, bounce, LIMIT_FRAME), END };
static const struct field settle_answer[] = { F_U8(answer_settle, done), END };

static const struct field errand_answer[] = {
    F_TEXT(answer_errand, url, LIMIT_URL), F_SECRET_OF(answer_errand, form, LIMIT_ERRAND), F_TEXT(answer_errand, user, LIMIT_LOGIN_NAME),
    F_SECRET(answer_errand, password), F_U64(answer_errand, id), F_U8(answer_errand, kind), END };
static const struct field errand_done_ask[] = {
    F_BYTES(ask_errand_done, body, LIMIT_ERRAND), F_TEXT(ask_errand_done, why, LIMIT_LOG_VALUE), F_U64(ask_errand_done, id),
    F_U32(ask_errand_done, code), END };

/* ---- command line ---- */
static const struct field list_ask[] = { F_TEXT(ask_list, after, MOST_KEY), F_TEXT(ask_list, about, MOST_ADDRESS), END };
static const struct field account_row[] = {
    F_TEXT(account_row, address, MOST_ADDRESS), F_TEXT(account_row, login, LIMIT_LOGIN_NAME), F_U32(account_row, id),
    F_U32(account_row, messages), F_U32(account_row, devices), F_U64(account_row, octets), F_U64(account_row, created),
    F_U64(account_row, last_login), F_U8(account_row, enabled), F_U8(account_row, pop_before_smtp), END };
static const struct field account_list_answer[] = {
    F_ROWS(answer_account_list, rows, account_row, account_row, LIMIT_ROWS), F_U8(answer_account_list, more), END };
static const struct field account_add_ask[] = {
    F_TEXT(ask_account_add, address, MOST_ADDRESS), F_TEXT(ask_account_add, login, LIMIT_LOGIN_NAME),
    F_SECRET(ask_account_add, secret), F_U8(ask_account_add, pop_before_smtp), F_U8(ask_account_add, hashed), END };
static const struct field account_password_ask[] = {
    F_TEXT(ask_account_password, address, MOST_ADDRESS), F_SECRET(ask_account_password, secret), F_U8(ask_account_password, hashed), END };
static const struct field account_set_ask[] = {
    F_TEXT(ask_account_set, address, MOST_ADDRESS), F_U8(ask_account_set, enabled), F_U8(ask_account_set, pop_before_smtp), END };
static const struct field account_ask[] = { F_TEXT(ask_account, address, MOST_ADDRESS), END };
static const struct field device_add_ask[] = {
    F_TEXT(ask_device_add, address, MOST_ADDRESS), F_TEXT(ask_device_add, name, LIMIT_DEVICE_NAME),
    F_TEXT(ask_device_add, from, MOST_KEY), F_BYTES(ask_device_add, key, MOST_WORD), F_U64(ask_device_add, expires), F_U32(ask_device_add, mechanisms),
    F_U8(ask_device_add, rights), END };
static const struct field device_add_answer[] = { F_SECRET(answer_device_add, secret), END };
static const struct field device_row[] = {
    F_TEXT(device_row, address, MOST_ADDRESS), F_TEXT(device_row, name, LIMIT_DEVICE_NAME), F_TEXT(device_row, from, MOST_KEY), F_BYTES(device_row, key, MOST_WORD),
    F_U64(device_row, created), F_U64(device_row, expires), F_U64(device_row, last_used), F_U32(device_row, mechanisms),
    F_U8(device_row, rights), END };
static const struct field device_list_answer[] = {
    F_ROWS(answer_device_list, rows, device_row, device_row, LIMIT_ROWS), F_U8(answer_device_list, more), END };
static const struct field device_revoke_ask[] = {
    F_TEXT(ask_device_revoke, address, MOST_ADDRESS), F_TEXT(ask_device_revoke, name, LIMIT_DEVICE_NAME), END };
static const struct field count_answer[] = { F_U32(answer_count, count), END };
static const struct field alias_row[] = {
    F_TEXT(alias_row, address, MOST_ADDRESS), F_TEXT(alias_row, target, MOST_ADDRESS), END };
static const struct field alias_list_answer[] = {
    F_ROWS(answer_alias_list, rows, alias_row, alias_row, LIMIT_ROWS), F_U8(answer_alias_list, more), END };
static const struct field domain_row[] = { F_TEXT(domain_row, name, LIMIT_DOMAIN), F_U32(domain_row, accounts), END };
static const struct field domain_list_answer[] = {
    F_ROWS(answer_domain_list, rows, domain_row, domain_row, LIMIT_ROWS), F_U8(answer_domain_list, more), END };
static const struct field domain_ask[] = { F_TEXT(ask_domain, name, LIMIT_DOMAIN), END };
static const struct field lease_row[] = {
    F_TEXT(lease_row, address, MOST_ADDRESS), F_TEXT(lease_row, device, LIMIT_DEVICE_NAME), F_TEXT(lease_row, protocol, MOST_WORD), F_TEXT(lease_row, office, MOST_WORD),
    F_IP(lease_row, peer), F_U32(lease_row, id), F_U32(lease_row, seconds_left), F_U32(lease_row, messages_left),
    F_U32(lease_row, recipients_left), END };
static const struct field shared_row[] = { F_IP(shared_row, network), F_U32(shared_row, accounts), END };
static const struct field lease_list_answer[] = {
    F_ROWS(answer_lease_list, rows, lease_row, lease_row, LIMIT_ROWS),
    F_ROWS(answer_lease_list, shared, shared_row, shared_row, LIMIT_ROWS), F_U8(answer_lease_list, more), END };
static const struct field lease_revoke_ask[] = { F_TEXT(ask_lease_revoke, about, MOST_ADDRESS), END };
static const struct field queue_row[] = {
    F_TEXT(queue_row, sender, MOST_ADDRESS), F_TEXT(queue_row, recipient, MOST_ADDRESS),
    F_TEXT(queue_row, last_reply, LIMIT_REPLY_LINE), F_U64(queue_row, id), F_U64(queue_row, size), F_U64(queue_row, arrived),
    F_U64(queue_row, next), F_U32(queue_row, attempts), F_U8(queue_row, state),
    F_U8(queue_row, delivered), END };
static const struct field queue_list_ask[] = {
    F_U64(ask_queue_list, after_id), F_TEXT(ask_queue_list, after_recipient, MOST_ADDRESS), END };
static const struct field queue_list_answer[] = {
    F_ROWS(answer_queue_list, rows, queue_row, queue_row, LIMIT_ROWS), F_U8(answer_queue_list, more), END };
static const struct field queue_show_ask[] = { F_U64(ask_queue_show, id), END };
static const struct field queue_show_answer[] = {
    F_ROWS(answer_queue_show, rows, queue_row, queue_row, LIMIT_ROWS), F_BYTES(answer_queue_show, header, LIMIT_SHOWN_HEADER), END };
static const struct field queue_change_ask[] = { F_U64(ask_queue_change, id), F_U8(ask_queue_change, change), END };
static const struct field why_ask[] = { F_TEXT(ask_why, about, MOST_ADDRESS), F_U32(ask_why, code), END };
static const struct field why_row[] = {
    F_TEXT(why_row, name, MOST_ADDRESS), F_TEXT(why_row, session, MOST_SESSION), F_TEXT(why_row, detail, MOST_ADDRESS), F_IP(why_row, peer), F_U64(why_row, when),
    F_U32(why_row, code), F_U32(why_row, count), F_U8(why_row, protocol), END };
static const struct field why_answer[] = { F_ROWS(answer_why, rows, why_row, why_row, LIMIT_ROWS), END };
static const struct field status_answer[] = {
    F_TEXT(answer_status, version, MOST_WORD), F_U32(answer_status, accounts), F_U32(answer_status, domains),
    F_U32(answer_status, leases), F_U32(answer_status, sessions), F_U32(answer_status, queued), F_U32(answer_status, schema),
    F_U64(answer_status, messages), F_U64(answer_status, octets), F_U64(answer_status, disk_free),
    F_U64(answer_status, uptime_seconds), F_U64(answer_status, commits), F_U64(answer_status, jobs), END };

static const struct field check_ask[] = { F_U64(ask_check, at), F_U64(ask_check, and_at), F_U8(ask_check, part), END };
static const struct field check_row[] = {
    F_BYTES(check_row, address, MOST_ADDRESS), F_BYTES(check_row, mailbox, MOST_ADDRESS), F_BYTES(check_row, detail, MOST_ADDRESS), F_U64(check_row, id),
    F_U64(check_row, have), F_U64(check_row, want), F_U32(check_row, uid), F_U8(check_row, found), END };
static const struct field check_answer[] = {
    F_ROWS(answer_check, rows, check_row, check_row, LIMIT_ROWS), F_U64(answer_check, at), F_U64(answer_check, and_at), F_U64(answer_check, done),
    F_U8(answer_check, more), END };
static const struct field repair_row[] = { F_U32(repair_row, count), F_U8(repair_row, found), END };
static const struct field repair_answer[] = { F_ROWS(answer_repair, rows, repair_row, repair_row, LIMIT_ROWS), END };
static const struct field body_row[] = {
    F_BYTES(body_row, octets, LIMIT_FRAME), F_BYTES(body_row, digest, MOST_WORD), F_U64(body_row, id), F_U64(body_row, size), F_U64(body_row, stored),
    F_U64(body_row, at), F_U8(body_row, found), END };
static const struct field bodies_ask[] = { F_U64(ask_bodies, id), F_U64(ask_bodies, at), F_U8(ask_bodies, only), END };
static const struct field bodies_answer[] = {
    F_ROWS(answer_bodies, rows, body_row, body_row, LIMIT_ROWS), F_U64(answer_bodies, id), F_U64(answer_bodies, at), END };
static const struct field export_row[] = {
    F_BYTES(export_row, mailbox, MOST_ADDRESS), F_U64(export_row, mailbox_id), F_U64(export_row, blob), F_U64(export_row, received),
    F_U32(export_row, uid), F_U32(export_row, flags), END };
static const struct field export_ask[] = { F_TEXT(ask_export, address, MOST_ADDRESS), F_U64(ask_export, mailbox), F_U32(ask_export, uid), END };
static const struct field export_answer[] = { F_ROWS(answer_export, rows, export_row, export_row, LIMIT_ROWS), F_U8(answer_export, more), END };
static const struct field snapshot_ask[] = { F_U8(ask_snapshot, step), END };
static const struct field snapshot_answer[] = {
    F_U64(answer_snapshot, done), F_U64(answer_snapshot, total), F_U32(answer_snapshot, missing),
    F_U8(answer_snapshot, more), END };

#define GATES   (ROLE_MX | ROLE_USER)
#define SILENT  true
#define ANSWERS false
const struct ask_def ask_defs[ASK_KINDS] = {
    /*                        name                from          when              answered  ask                   answer */
    [ASK_NONE]             = { NULL },
    [ASK_LOGIN]            = { "login",            GATES,        ASK_BEFORE_LOGIN, ANSWERS, login_ask,            login_answer },
    [ASK_LOGIN_DIGEST]     = { "login-digest",     GATES,        ASK_BEFORE_LOGIN, ANSWERS, login_digest_ask,     login_answer },
    [ASK_SCRAM]            = { "scram",            GATES,        ASK_BEFORE_LOGIN, ANSWERS, scram_ask,            scram_answer },
    [ASK_LOGIN_SCRAM]      = { "login-scram",      GATES,        ASK_BEFORE_LOGIN, ANSWERS, login_scram_ask,      login_answer },
    [ASK_LOGIN_TOKEN]      = { "login-token",      GATES,        ASK_BEFORE_LOGIN, ANSWERS, login_token_ask,      login_answer },
    [ASK_LOGIN_KEY]        = { "login-key",        GATES,        ASK_BEFORE_LOGIN, ANSWERS, login_key_ask,        login_answer },
    [ASK_OFFERS]           = { "offers",           GATES,        ASK_ANY_TIME,     ANSWERS, offers_ask,           offers_answer },
    [ASK_REFUSED]          = { "refused",          GATES,        ASK_ANY_TIME,     SILENT,  refused_ask,          NULL },
    [ASK_MAIL]             = { "mail",             GATES,        ASK_ANY_TIME,     ANSWERS, mail_ask,             mail_answer },
    [ASK_RCPT]             = { "rcpt",             GATES,        ASK_ANY_TIME,     ANSWERS, rcpt_ask,             rcpt_answer },
    [ASK_STAGE]            = { "stage",            GATES,        ASK_ANY_TIME,     ANSWERS, stage_ask,            stage_answer },
    [ASK_DELIVER]          = { "deliver",          GATES,        ASK_ANY_TIME,     ANSWERS, deliver_ask,          deliver_answer },
    [ASK_RESET]            = { "reset",            GATES,        ASK_ANY_TIME,     SILENT,  NULL,                 NULL },
    [ASK_END_SESSION]      = { "end-session",      GATES,        ASK_ANY_TIME,     SILENT,  NULL,                 NULL },
    [ASK_DROP_LIST]        = { "drop-list",        ROLE_USER,    ASK_AFTER_LOGIN,  ANSWERS, drop_list_ask,        drop_list_answer },
    [ASK_FETCH]            = { "fetch",            ROLE_USER,    ASK_AFTER_LOGIN,  ANSWERS, fetch_ask,            fetch_answer },
    [ASK_EXPUNGE]          = { "expunge",          ROLE_USER,    ASK_AFTER_LOGIN,  ANSWERS, expunge_ask,          expunge_answer },
    [ASK_CLAIM]            = { "claim",            ROLE_COURIER, ASK_ANY_TIME,     ANSWERS, NULL,                 claim_answer },
    [ASK_QUEUE_BODY]       = { "queue-body",       ROLE_COURIER, ASK_ANY_TIME,     ANSWERS, queue_body_ask,       queue_body_answer },
    [ASK_SETTLE]           = { "settle",           ROLE_COURIER, ASK_ANY_TIME,     ANSWERS, settle_ask,           settle_answer },
    [ASK_ERRAND]           = { "errand",           ROLE_COURIER, ASK_ANY_TIME,     ANSWERS, NULL,                 errand_answer },
    [ASK_ERRAND_DONE]      = { "errand-done",      ROLE_COURIER, ASK_ANY_TIME,     SILENT,  errand_done_ask,      NULL },
    [ASK_ACCOUNT_ADD]      = { "account-add",      ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, account_add_ask,      NULL },
    [ASK_ACCOUNT_LIST]     = { "account-list",     ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, list_ask,             account_list_answer },
    [ASK_ACCOUNT_PASSWORD] = { "account-password", ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, account_password_ask, NULL },
    [ASK_ACCOUNT_SET]      = { "account-set",      ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, account_set_ask,      NULL },
    [ASK_ACCOUNT_REMOVE]   = { "account-remove",   ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, account_ask,          NULL },
    [ASK_DEVICE_ADD]       = { "device-add",       ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, device_add_ask,       device_add_answer },
    [ASK_DEVICE_LIST]      = { "device-list",      ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, list_ask,             device_list_answer },
    [ASK_DEVICE_REVOKE]    = { "device-revoke",    ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, device_revoke_ask,    count_answer },
    [ASK_ALIAS_ADD]        = { "alias-add",        ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, alias_row,            NULL },
    [ASK_ALIAS_LIST]       = { "alias-list",       ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, list_ask,             alias_list_answer },
    [ASK_ALIAS_REMOVE]     = { "alias-remove",     ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, alias_row,            count_answer },
    [ASK_DOMAIN_ADD]       = { "domain-add",       ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, domain_ask,           NULL },
    [ASK_DOMAIN_LIST]      = { "domain-list",      ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, list_ask,             domain_list_answer },
    [ASK_DOMAIN_REMOVE]    = { "domain-remove",    ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, domain_ask,           NULL },
    [ASK_LEASE_LIST]       = { "lease-list",       ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, list_ask,             lease_list_answer },
    [ASK_LEASE_REVOKE]     = { "lease-revoke",     ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, lease_revoke_ask,     count_answer },
    [ASK_QUEUE_LIST]       = { "queue-list",       ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, queue_list_ask,       queue_list_answer },
    [ASK_QUEUE_SHOW]       = { "queue-show",       ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, queue_show_ask,       queue_show_answer },
    [ASK_QUEUE_CHANGE]     = { "queue-change",     ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, queue_change_ask,     count_answer },
    [ASK_STATUS]           = { "status",           ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, NULL,                 status_answer },
    [ASK_WHY]              = { "why",              ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, why_ask,              why_answer },
    [ASK_CHECK]            = { "check",            ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, check_ask,            check_answer },
    [ASK_REPAIR]           = { "repair",           ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, NULL,                 repair_answer },
    [ASK_BODIES]           = { "bodies",           ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, bodies_ask,           bodies_answer },
    [ASK_EXPORT]           = { "export",           ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, export_ask,           export_answer },
    [ASK_SNAPSHOT]         = { "snapshot",         ROLE_CTL,     ASK_ANY_TIME,     ANSWERS, snapshot_ask,         snapshot_answer },
};
/* clang-format on */

const char *role_name(enum role role)
{
    switch (role) {
    case ROLE_MX:
        return "mx";
    case ROLE_USER:
        return "user";
    case ROLE_COURIER:
        return "courier";
    case ROLE_CTL:
        return "ctl";
    case ROLE_KEEPER:
        return "keeper";
    case ROLE_SUPERVISOR:
        return "supervisor";
    case ROLE_POLICY:
        return "policy";
    case ROLE_NONE:
        break;
    }
    return "none";
}

const char *protocol_name(uint8_t protocol)
{
    switch (protocol) {
    case PROTOCOL_SMTP: return "SMTP";
    case PROTOCOL_POP3: return "POP3";
    case PROTOCOL_IMAP: return "IMAP";
    default: return "?";
    }
}

const char *mechanism_name(enum mechanism mechanism)
{
    static const char *const names[MECHANISM_COUNT] = {
        [MECHANISM_PASSWORD] = "PASS",
        [MECHANISM_PLAIN] = "PLAIN",
        [MECHANISM_LOGIN] = "LOGIN",
        [MECHANISM_APOP] = "APOP",
        [MECHANISM_CRAM_MD5] = "CRAM-MD5",
        [MECHANISM_SCRAM_SHA_1] = "SCRAM-SHA-1",
        [MECHANISM_SCRAM_SHA_256] = "SCRAM-SHA-256",
        [MECHANISM_SCRAM_SHA_1_PLUS] = "SCRAM-SHA-1-PLUS",
        [MECHANISM_SCRAM_SHA_256_PLUS] = "SCRAM-SHA-256-PLUS",
        [MECHANISM_OAUTHBEARER] = "OAUTHBEARER",
        [MECHANISM_XOAUTH2] = "XOAUTH2",
        [MECHANISM_EXTERNAL] = "EXTERNAL",
    };
    return mechanism < MECHANISM_COUNT && names[mechanism] ? names[mechanism] : "none";
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

#define ANSWER_BIT  0x80u
#define HEAD_OCTETS 13u /* kind, session, number */
_Static_assert(ASK_KINDS < ANSWER_BIT, "a kind and the answer bit share an octet");

/* Any member of the union: they all begin where it begins. */
static const void *fields_of_ask(const struct ask *ask) { return &ask->login; }
static const void *fields_of_answer(const struct answer *answer) { return &answer->login; }

static enum ask_kind frame_kind(const struct frame *frame)
{
    return frame->is_answer ? frame->answer.kind : frame->ask.kind;
}

static enum status put_answer(struct buf *out, const struct answer *answer)
{
    TRY(buf_put_byte(out, (char)answer->status));
    if (answer->status != STATUS_OK)
        return STATUS_OK;
    return field_put(out, ask_defs[answer->kind].answer, fields_of_answer(answer));
}

enum status frame_put(struct buf *out, const struct frame *frame)
{
    enum ask_kind kind = frame_kind(frame);
    must(kind > ASK_NONE && kind < ASK_KINDS && (!frame->is_answer || !ask_defs[kind].silent));
    size_t before = out->len;
    char head[HEAD_OCTETS];
    head[0] = (char)(frame->is_answer ? kind | ANSWER_BIT : kind);
    memcpy(head + 1, &frame->session, 8);
    memcpy(head + 9, &frame->number, 4);
    enum status status = buf_put(out, (struct slice){ head, sizeof head });
    if (status == STATUS_OK) {
        if (frame->is_answer)
            status = put_answer(out, &frame->answer);
        else
            status = field_put(out, ask_defs[kind].ask, fields_of_ask(&frame->ask));
    }
    if (status != STATUS_OK)
        out->len = before; /* a frame is there whole or not at all */
    return status;
}

static enum status get_answer(struct slice in, struct arena *arena, struct answer *out_answer)
{
    if (in.len == 0 || (unsigned char)in.ptr[0] >= STATUS_COUNT)
        return STATUS_MALFORMED;
    out_answer->status = (enum status)(unsigned char)in.ptr[0];
    in = slice_from(in, 1);
    if (out_answer->status != STATUS_OK)
        return in.len == 0 ? STATUS_OK : STATUS_MALFORMED;
    return field_get(in, ask_defs[out_answer->kind].answer, arena, &out_answer->login);
}

enum status frame_get(struct slice in, struct arena *arena, struct frame *out_frame)
{
    if (in.len < HEAD_OCTETS)
        return STATUS_MALFORMED;
    unsigned char first = (unsigned char)in.ptr[0];
    enum ask_kind kind = (enum ask_kind)(first & ~ANSWER_BIT);
    if (kind == ASK_NONE || kind >= ASK_KINDS)
        return STATUS_MALFORMED;
    struct frame frame = { .is_answer = (first & ANSWER_BIT) != 0 };
    memcpy(&frame.session, in.ptr + 1, 8);
    memcpy(&frame.number, in.ptr + 9, 4);
    in = slice_from(in, HEAD_OCTETS);
    if (frame.is_answer) {
        if (ask_defs[kind].silent)
            return STATUS_MALFORMED;
        frame.answer.kind = kind;
        frame.answer.fd = -1;
        TRY(get_answer(in, arena, &frame.answer));
    } else {
        frame.ask.kind = kind;
        frame.ask.fd = -1;
        TRY(field_get(in, ask_defs[kind].ask, arena, &frame.ask.login));
    }
    *out_frame = frame;
    return STATUS_OK;
}

enum status ask_print(struct buf *out, const struct ask *ask)
{
    must(ask->kind > ASK_NONE && ask->kind < ASK_KINDS);
    TRY(buf_put(out, slice_of(ask_defs[ask->kind].name)));
    return field_print(out, ask_defs[ask->kind].ask, fields_of_ask(ask));
}

enum status answer_print(struct buf *out, const struct answer *answer)
{
    must(answer->kind > ASK_NONE && answer->kind < ASK_KINDS);
    TRY(buf_put(out, slice_of(ask_defs[answer->kind].name)));
    TRY(buf_put_byte(out, ' '));
    TRY(buf_put(out, slice_of(status_name(answer->status))));
    if (answer->status != STATUS_OK)
        return STATUS_OK;
    return field_print(out, ask_defs[answer->kind].answer, fields_of_answer(answer));
}

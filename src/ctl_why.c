/* ctl_why.c - `ekirei why`: what was refused, why, and what to do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip.h"
#include "base/must.h"
#include "ctl_impl.h"
#include "proto/refusal.h"

#define SHOWN 10u /* rows for a person; --json has all that the keeper gave */
#define WIDTH 96u /* columns of a paragraph */
#define BELOW "                      " /* as wide as the time of a row */

/* ---- words for the true reasons ---- */

/* clang-format off */
static const struct detail {
    const char *word, *text[LANGUAGES];
} details[] = {
    { "unknown-name",       { "there is no such account or login name", "そのアカウントやログイン名はありません" } },
    { "wrong-password",     { "the password was wrong", "パスワードが違います" } },
    { "no-scram-verifier",  { "no SCRAM key is stored for the password yet: log in once with PLAIN or LOGIN (set the program to 'normal password' once)",
                              "このパスワードの SCRAM 用の鍵がまだありません。一度 PLAIN または LOGIN でログインしてください (メールソフトの認証方式を一度「通常のパスワード認証」にします)" } },
    { "no-device-password", { "only device passwords are good here (no TLS, or this login method), and it was none", "ここでは機器用パスワードだけが有効です（暗号化なし、またはこの認証方式）。一致するものがありません" } },
    { "disabled",           { "the account is disabled ('ekirei account enable')", "アカウントが停止されています ('ekirei account enable')" } },
    { "account-changed",    { "the account was changed while it logged in", "ログイン中にアカウントが変更されました" } },
    { "device-revoked",     { "the device password was revoked", "機器用パスワードが取り消されています" } },
    { "device-expired",     { "the device password's last day is over", "機器用パスワードの期限が切れています" } },
    { "device-protocol",    { "the device password is not allowed for this protocol (--allow)", "機器用パスワードはこのプロトコルに許可されていません (--allow)" } },
    { "device-mechanism",   { "the device password is not allowed for this login method (--allow)", "機器用パスワードはこのログイン方式に許可されていません (--allow)" } },
    { "device-network",     { "the device password may not be used from this address (--from)", "機器用パスワードはこのアドレスから使えません (--from)" } },
    { "unknown-key",        { "no device has this certificate's key, or no issuer this token's", "証明書またはトークンの鍵に対応するものがありません" } },
    { "keys-not-allowed",   { "keys of certificates are not taken (auth.client_certificates)", "証明書の鍵によるログインは無効になっています (auth.client_certificates)" } },
    { "key-without-tls",    { "a key counts only under TLS", "鍵は TLS の中でだけ有効です" } },
    { "token-of-nobody",    { "the token names nobody who has an account here", "トークンの示す人のアカウントがありません" } },
    { "token-of-another",   { "the token names somebody else than the login name", "トークンの示す人がログイン名と違います" } },
    { "token-without-tls",  { "a token counts only under TLS", "トークンは TLS の中でだけ有効です" } },
    { "no-tokens-here",     { "no tokens are taken (oauth.jwks, oauth.introspection)", "トークンによるログインは設定されていません (oauth.jwks、oauth.introspection)" } },
    { "malformed",          { "the token cannot be read", "トークンを読み取れません" } },
    { "algorithm",          { "the token is signed in a way that is not taken", "トークンの署名方式は受け付けられません" } },
    { "critical-extension", { "the token demands an extension that is not known here", "トークンがここでは未知の拡張を必須としています" } },
    { "type",               { "the token is of a kind that is not for logging in", "トークンの種類がログイン用ではありません" } },
    { "claim",              { "the token names nobody, or by an address that is not verified (oauth.claim)", "トークンに利用者名がないか、確認されていないアドレスです (oauth.claim)" } },
    { "signature",          { "the token's signature is wrong", "トークンの署名が正しくありません" } },
    { "issuer",             { "the token was issued by somebody else (oauth.issuer)", "トークンの発行者が違います (oauth.issuer)" } },
    { "audience",           { "the token is meant for somebody else (oauth.audience)", "トークンの宛先が違います (oauth.audience)" } },
    { "scope",              { "the token does not permit this (oauth.scope)", "トークンではこの操作が許可されていません (oauth.scope)" } },
    { "expired",            { "the token's time is over: log in anew at its issuer", "トークンの期限が切れています。発行元で再ログインしてください" } },
    { "not-yet",            { "the token's time has not begun: look at the clocks", "トークンの有効期間前です。時計を確かめてください" } },
    { "inactive",           { "the issuer says that the token is no longer good", "発行元によればトークンはすでに無効です" } },
    { "scram-nonce",        { "the login did not continue what this session had begun", "このセッションで始めたログインの続きではありません" } },
    { "mechanism-off",      { "this way of logging in is switched off (auth.mechanisms)", "この認証方式は無効になっています (auth.mechanisms)" } },
    { "busy",               { "too many logins to check at once", "確認待ちのログインが多すぎます" } },
    { "login-delay",        { "sooner after the last login than pop3.login_delay permits", "前回のログインから pop3.login_delay が過ぎていません" } },
    { "failed-login",       { "a login had failed in this session, which then may not use a lease", "このセッションでログインに失敗したため、POP before SMTP は使えません" } },
    { "no-lease",           { "no login, and no mail check from this address that would be good for this sender", "ログインがなく、この差出人に有効なメール受信がこのアドレスから行われていません" } },
    { "shared-address",     { "mail was checked, but too many accounts use this address (pop_before_smtp.office_networks)", "メールは受信されましたが、このアドレスを使うアカウントが多すぎます (pop_before_smtp.office_networks)" } },
    { "never-network",      { "mail was checked, but this address never gets a lease (pop_before_smtp.never_networks)", "メールは受信されましたが、このアドレスでは POP before SMTP は使えません (pop_before_smtp.never_networks)" } },
    { "own-address",        { "mail was checked from the server itself, which never gets a lease", "メールはサーバー自身から受信されました。サーバー自身には POP before SMTP は使えません" } },
    { "uses-smtp-auth",     { "mail was checked, but the account sends with SMTP AUTH and is not flagged for POP before SMTP", "メールは受信されましたが、このアカウントは SMTP 認証で送信しており、POP before SMTP に登録されていません" } },
    { "table-full",         { "mail was checked, but there are too many leases", "メールは受信されましたが、送信許可の数が上限に達しています" } },
};
/* clang-format on */

static const char *explain_detail(struct slice word, enum language language)
{
    for (size_t i = 0; i < sizeof details / sizeof *details; i++)
        if (slice_equal(word, slice_of(details[i].word)))
            return details[i].text[language];
    return NULL;
}

/* ---- what was typed ---- */

/* --lang; else LC_ALL, LC_MESSAGES, LANG, of which the first that is set counts, as for every program (setlocale(3)). */
static int choose_language(const struct ctl *ctl, enum language *out_language)
{
    static const char *const names[] = { "LC_ALL", "LC_MESSAGES", "LANG" };
    const char *typed = ctl->values[OPTION_LANG], *wanted = NULL;
    for (size_t i = 0; !wanted && i < sizeof names / sizeof *names; i++) {
        wanted = getenv(names[i]);
        wanted = wanted && *wanted ? wanted : NULL;
    }
    *out_language = wanted && strncmp(wanted, "ja", 2) == 0 ? LANGUAGE_JA : LANGUAGE_EN;
    if (!typed)
        return CTL_DONE;
    if (strcmp(typed, "en") != 0 && strcmp(typed, "ja") != 0)
        return ctl_usage("--lang is en or ja, not '%s'", typed);
    *out_language = strcmp(typed, "ja") == 0 ? LANGUAGE_JA : LANGUAGE_EN;
    return CTL_DONE;
}

/* "17", "EK-17", "[EK-17]": as it stands in a reply, or as a user read it out. */
static bool typed_code(struct slice typed, uint64_t *out_code)
{
    if (slice_starts(typed, S("[")) && typed.ptr[typed.len - 1] == ']')
        typed = slice_upto(slice_from(typed, 1), typed.len - 2);
    if (typed.len > 3 && slice_equal_nocase(slice_upto(typed, 3), S("EK-")))
        typed = slice_from(typed, 3);
    return slice_number(typed, UINT32_MAX, out_code) == STATUS_OK;
}

/* ---- one answer ---- */

struct report {
    struct ctl *ctl;
    enum language language;
    const char *about;
    uint32_t code;        /* what was asked for, or 0 */
    bool served;
    struct rows rows;     /* struct why_row */
};

static bool is_first(const struct report *report, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (row_of(struct why_row, report->rows, i)->code == row_of(struct why_row, report->rows, index)->code)
            return false;
    return true;
}

/* ---- for machines ---- */

static json_t *refusal_object(const struct refusal_row *row, enum language language)
{
    char code[16];
    json_t *object = json_object();
    int len = snprintf(code, sizeof code, "EK-%u", (unsigned)row->number);
    ctl_put_text(object, "code", (struct slice){ code, (size_t)len });
    ctl_put_number(object, "number", row->number);
    ctl_put_text(object, "word", slice_of(row->word));
    ctl_put_text(object, "happened", slice_of(row->text[language].happened));
    ctl_put_text(object, "remedy", slice_of(row->text[language].remedy));
    return object;
}

static json_t *row_object(const struct why_row *row, enum language language)
{
    char ip[IP_TEXT], code[16];
    size_t ip_len = ip_text(row->peer, ip);
    const char *reason = explain_detail(row->detail, language);
    const struct refusal_row *refusal = refusal_find(row->code);
    json_t *object = json_object();
    int len = snprintf(code, sizeof code, "EK-%u", row->code);
    ctl_put_text(object, "code", (struct slice){ code, (size_t)len });
    ctl_put_text(object, "word", refusal ? slice_of(refusal->word) : NO_SLICE);
    ctl_put_time(object, "last", row->when);
    ctl_put_number(object, "count", row->count);
    ctl_put_text(object, "protocol", slice_of(protocol_name(row->protocol)));
    ctl_put_text(object, "ip", (struct slice){ ip, ip_len });
    ctl_put_text(object, "name", row->name);
    ctl_put_text(object, "session", row->session);
    ctl_put_text(object, "detail", row->detail);
    ctl_put_text(object, "reason", reason ? slice_of(reason) : row->detail);
    return object;
}

static json_t *report_object(const struct report *report)
{
    json_t *object = json_object(), *refusals = json_array(), *explanations = json_array();
    for (uint32_t i = 0; i < report->rows.count; i++) {
        const struct why_row *row = row_of(struct why_row, report->rows, i);
        const struct refusal_row *refusal = refusal_find(row->code);
        json_array_append_new(refusals, row_object(row, report->language));
        if (refusal && row->code != report->code && is_first(report, i))
            json_array_append_new(explanations, refusal_object(refusal, report->language));
    }
    if (report->code)
        json_array_append_new(explanations, refusal_object(refusal_find(report->code), report->language));
    ctl_put_text(object, "about", slice_of(report->about));
    ctl_put_text(object, "server", report->served ? S("running") : S("stopped"));
    json_object_set_new(object, "refusals", refusals);
    json_object_set_new(object, "explanations", explanations);
    return object;
}

/* ---- for people ---- */

static bool is_wide(struct slice text) { return (unsigned char)*text.ptr >= 0x80; }

/* What no line is broken in: a word; or a wide character with what must not begin a line behind it. */
static struct slice take_piece(struct slice *text)
{
    static const char *const closers[] = { "、", "。", "」", "）" };
    size_t len = is_wide(*text) ? slice_utf8_prefix(*text) : 0;
    if (len == 0) {
        while (len < text->len && text->ptr[len] != ' ' && !is_wide(slice_from(*text, len)))
            len++;
    }
    for (size_t i = 0; i < sizeof closers / sizeof *closers; i++)
        if (slice_starts(slice_from(*text, len), slice_of(closers[i])))
            len += strlen(closers[i]);
    struct slice piece = slice_upto(*text, len);
    *text = slice_from(*text, len);
    return piece;
}

/* Two columns for a wide character. */
static size_t columns_of(struct slice piece)
{
    size_t columns = 0;
    for (size_t i = 0; i < piece.len; i++)
        columns += (unsigned char)piece.ptr[i] < 0x80 ? 1 : ((unsigned char)piece.ptr[i] & 0xc0) == 0xc0 ? 2 : 0;
    return columns;
}

static void print_paragraph(const char *heading, const char *text)
{
    struct slice rest = slice_of(text);
    size_t column = 0;
    printf("  %s\n", heading);
    while (rest.len > 0) {
        bool space = *rest.ptr == ' ';
        while (rest.len > 0 && *rest.ptr == ' ')
            rest = slice_from(rest, 1);
        if (rest.len == 0)
            break;
        struct slice piece = take_piece(&rest);
        size_t wide = columns_of(piece);
        if (column > 0 && column + space + wide > WIDTH) {
            printf("\n");
            column = 0;
        }
        printf("%s%.*s", column == 0 ? "    " : space ? " " : "", (int)piece.len, piece.ptr);
        column += wide + space;
    }
    printf("\n");
}

static void print_refusal(const struct refusal_row *row, enum language language)
{
    static const char *const happened[] = { [LANGUAGE_EN] = "What happened:", [LANGUAGE_JA] = "何が起きたか:" };
    static const char *const remedy[] = { [LANGUAGE_EN] = "What to do:", [LANGUAGE_JA] = "どうすればよいか:" };
    printf("[EK-%u] %s\n", (unsigned)row->number, row->word);
    print_paragraph(happened[language], row->text[language].happened);
    print_paragraph(remedy[language], row->text[language].remedy);
}

static void print_text(const char *before, struct slice text, const char *after)
{
    if (text.len == 0)
        return;
    printf("%s", before);
    ctl_show_text(text.ptr, text.len);
    printf("%s", after);
}

static void print_row(const struct why_row *row, enum language language)
{
    char ip[IP_TEXT];
    size_t len = ip_text(row->peer, ip);
    bool japanese = language == LANGUAGE_JA;
    const char *reason = explain_detail(row->detail, language);
    json_t *object = json_object();
    ctl_put_time(object, "when", row->when);
    printf("%s  [EK-%u]  ", json_string_value(json_object_get(object, "when")), row->code);
    json_decref(object);
    if (japanese)
        printf("%s、%.*s から、%u 回", protocol_name(row->protocol), (int)len, ip, row->count);
    else
        printf("%s from %.*s, %u time%s", protocol_name(row->protocol), (int)len, ip, row->count, row->count == 1 ? "" : "s");
    print_text(japanese ? "、名前 " : ", as ", row->name, "");
    print_text(japanese ? "、セッション " : ", session ", row->session, "");
    print_text("\n" BELOW, row->detail, "");
    if (reason)
        printf(japanese ? "（%s）" : " (%s)", reason);
    printf("\n");
}

static void print_nothing(const struct report *report)
{
    static const char *const stopped[] = {
        [LANGUAGE_EN] = "No server is running in %s, and what was refused is remembered only while it runs.  Its log has it: lines login.failed, "
                        "smtp.refused, pop3.refused.\n",
        [LANGUAGE_JA] = "%s のサーバーは動いていません。拒否の記録は動作中にだけ保持されます。ログの login.failed、smtp.refused、pop3.refused "
                        "の行を見てください。\n",
    };
    static const char *const nothing[] = {
        [LANGUAGE_EN] = "Nothing was refused to %s since the server started, or within the last week.\n"
                        "Look also at: 'ekirei lease list' (who may send now), 'ekirei queue list' (mail that waits to leave), 'ekirei account "
                        "list', and the log.\nIf the log does not show the connection either, it never arrived: look at the server name and port in "
                        "the mail program, and at firewalls.\n",
        [LANGUAGE_JA] = "サーバーの起動以降、またはこの1週間、%s への拒否はありません。\n"
                        "ほかに 'ekirei lease list'（今送信できる人）、'ekirei queue list'（送信待ちのメール）、'ekirei account "
                        "list'、ログを確かめてください。\nログにも接続がなければ、サーバーに届いていません。メールソフトのサーバー名とポート、ファイアウォ"
                        "ールを確かめてください。\n",
    };
    const char *text = report->served ? nothing[report->language] : stopped[report->language];
    struct slice rest = slice_of(text), head = NO_SLICE;
    bool cut = slice_cut(&rest, '%', &head);
    must(cut && rest.len > 0);
    print_text("", head, "");
    const char *what = report->served ? report->about : report->ctl->dir;
    ctl_show_text(what, strlen(what));
    printf("%.*s", (int)rest.len - 1, rest.ptr + 1);
}

static int print_report(const struct report *report)
{
    if (report->code)
        print_refusal(refusal_find(report->code), report->language);
    if (report->code && report->rows.count > 0)
        printf("\n");
    for (uint32_t i = 0; i < report->rows.count && i < SHOWN; i++)
        print_row(row_of(struct why_row, report->rows, i), report->language);
    if (report->rows.count > SHOWN)
        printf(report->language == LANGUAGE_JA ? "（ほか %u 行。--json ですべて表示）\n" : "(%u more; --json has all)\n", report->rows.count - SHOWN);
    for (uint32_t i = 0; i < report->rows.count && i < SHOWN; i++) {
        const struct refusal_row *row = refusal_find(row_of(struct why_row, report->rows, i)->code);
        if (!row || row->number == report->code || !is_first(report, i))
            continue;
        printf("\n");
        print_refusal(row, report->language);
    }
    if (report->rows.count == 0 && !report->code)
        print_nothing(report);
    return CTL_DONE;
}

static int print_all(const struct ctl *ctl, enum language language)
{
    const struct refusal_row *row;
    json_t *rows = json_array();
    for (size_t i = 0; (row = refusal_each(i)); i++) {
        json_array_append_new(rows, refusal_object(row, language));
        if (!ctl->json)
            print_refusal(row, language);
    }
    return ctl->json ? ctl_print_rows(ctl, rows, NULL, "") : ctl_drop(rows, CTL_DONE);
}

int cmd_why(struct ctl *ctl)
{
    struct report report = { .ctl = ctl, .about = ctl->arguments[0] };
    struct ask ask = { .kind = ASK_WHY, .fd = -1 };
    struct slice about = slice_trim(slice_of(report.about));
    uint64_t code = 0;
    int done = choose_language(ctl, &report.language);
    if (done != CTL_DONE)
        return done;
    if (slice_equal(about, S("all")))
        return print_all(ctl, report.language);
    if (about.len == 0 || about.len > LIMIT_PATH)
        return ctl_usage("name what was refused: a code like EK-17, an address or login name, or an IP address");
    if (typed_code(about, &code)) {
        if (!refusal_find((uint32_t)code))
            return ctl_usage("there is no refusal '%s'; 'ekirei why all' lists all", report.about);
        report.code = ask.why.code = (uint32_t)code;
    } else {
        ask.why.about = about;
    }
    done = ctl_reach(ctl, &report.served);
    struct answer answer = { .fd = -1 };
    if (done == CTL_DONE && report.served)
        done = ctl_ask(ctl, &ask, report.about, &answer);
    if (done != CTL_DONE && !report.code)
        return done;
    if (done == CTL_DONE && report.served)
        report.rows = answer.why.rows;
    return ctl->json ? ctl_print_object(ctl, report_object(&report), NULL) : print_report(&report);
}

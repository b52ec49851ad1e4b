#include "proto/pop3/pop3_reply.h"

#include "base/must.h"
#include "proto/pop3/pop3.h"

const struct language_row language_rows[LANGUAGES] = {
    [LANGUAGE_EN] = { "en", "English" },
    [LANGUAGE_JA] = { "ja", "日本語" },
};

#define ERR_AUTH "-ERR [AUTH]"
#define ERR_TEMP "-ERR [SYS/TEMP]"
#define ERR_PERM "-ERR [SYS/PERM]"

/* clang-format off */
const struct pop3_reply_row pop3_replies[POP3_REPLIES] = {
    [POP3_GREETING]         = { "+OK",    { "ekirei POP3 server ready #", "ekirei POP3 サーバー準備完了 #" } },
    [POP3_CROWDED]          = { ERR_TEMP, { "too many connections, try again later", "接続が多すぎます。後でもう一度お試しください" }, REFUSAL_CROWDED, .told = true },
    [POP3_STOPPING]         = { ERR_TEMP, { "server is stopping", "サーバーを停止します" }, REFUSAL_STOPPING },
    [POP3_DEVICES_ONLY]     = { "-ERR",   { "this port is for the devices of this office only", "このポートは社内機器専用です" }, REFUSAL_DEVICES_ONLY, .told = true },
    [POP3_UNKNOWN]          = { "-ERR",   { "unknown command", "不明なコマンドです" }, REFUSAL_COMMAND },
    [POP3_WRONG_STATE]      = { "-ERR",   { "not in this state", "この状態では使えないコマンドです" }, REFUSAL_SEQUENCE },
    [POP3_BAD_ARGUMENTS]    = { "-ERR",   { "wrong arguments", "引数が正しくありません" }, REFUSAL_ARGUMENT },
    [POP3_TOO_LONG]         = { "-ERR",   { "line too long", "行が長すぎます" }, REFUSAL_LINE_LENGTH },
    [POP3_BAD_LINE]         = { "-ERR",   { "lines end with CRLF and hold no NUL", "行は CRLF で終わり、NUL を含まないようにしてください" }, REFUSAL_LINE_ENDS },
    [POP3_TOO_MANY_ERRORS]  = { "-ERR",   { "too many errors, closing", "エラーが多すぎるため切断します" }, REFUSAL_MANY_ERRORS },
    [POP3_CAPABILITIES]     = { "+OK",    { "capabilities follow", "機能一覧" } },
    [POP3_BEGIN_TLS]        = { "+OK",    { "begin TLS", "TLS を開始してください" } },
    [POP3_TLS_ALREADY]      = { "-ERR",   { "TLS is active already", "すでに TLS を使用しています" }, REFUSAL_SEQUENCE },
    [POP3_TLS_INJECTION]    = { "-ERR",   { "nothing may follow STLS before TLS begins", "STLS の後、TLS 開始前に何も送らないでください" }, REFUSAL_EARLY_TALK },
    [POP3_NEEDS_TLS]        = { ERR_AUTH, { "you must use TLS first: STLS, or port 995", "先に TLS を使用してください (STLS またはポート 995)" }, REFUSAL_NEEDS_TLS, .told = true },
    [POP3_UTF8_ON]          = { "+OK",    { "UTF-8 mode", "UTF-8 モード" } },
    [POP3_LANGUAGES]        = { "+OK",    { "language listing follows:", "言語一覧:" } },
    [POP3_LANGUAGE_SET]     = { "+OK",    { "en language changed", "ja 言語を変更しました" } },
    [POP3_LANGUAGE_UNKNOWN] = { "-ERR",   { "no such language", "その言語はありません" }, REFUSAL_LANGUAGE },
    [POP3_SEND_PASS]        = { "+OK",    { "send PASS", "PASS を送ってください" } },
    [POP3_USER_FIRST]       = { "-ERR",   { "USER first", "先に USER を送ってください" }, REFUSAL_SEQUENCE },
    [POP3_MECHANISMS]       = { "+OK",    { "mechanisms follow", "認証方式一覧" } },
    [POP3_NO_MECHANISM]     = { "-ERR",   { "no such mechanism", "その認証方式はありません" }, REFUSAL_MECHANISM, .told = true },
    [POP3_AUTH_MALFORMED]   = { "-ERR",   { "malformed authentication data", "認証データの形式が正しくありません" }, REFUSAL_LOGIN_FORM },
    [POP3_AUTH_CANCELLED]   = { "-ERR",   { "authentication cancelled", "認証を取り消しました" }, REFUSAL_CANCELLED },
    [POP3_STAMP_USED]       = { "-ERR",   { "the greeting's timestamp was used, connect again for APOP", "挨拶のタイムスタンプは使用済みです。APOP には再接続してください" }, REFUSAL_STAMP_USED },
    [POP3_LOGIN_WRONG]      = { ERR_AUTH, { "wrong name or password", "名前またはパスワードが違います" }, REFUSAL_LOGIN },
    [POP3_LOGIN_BUSY]       = { ERR_TEMP, { "busy, try again later", "混み合っています。後でもう一度お試しください" }, REFUSAL_LOGIN_BUSY },
    [POP3_LOGIN_TOO_SOON]   = { "-ERR [LOGIN-DELAY]", { "too soon after your last login", "前回のログインから時間が経っていません" }, REFUSAL_LOGIN_SOON },
    [POP3_LOGGED_IN]        = { "+OK",    { "maildrop ready, # messages", "メールボックス準備完了、#通" } },
    [POP3_TEMPORARY]        = { ERR_TEMP, { "temporary failure, try again later", "一時的な障害です。後でもう一度お試しください" }, REFUSAL_TEMPORARY },
    [POP3_REVOKED]          = { "-ERR",   { "your account or password changed, log in again", "アカウントまたはパスワードが変更されました。再ログインしてください" }, REFUSAL_REVOKED },
    [POP3_LISTING]          = { "+OK",    { "# messages", "#通" } },
    [POP3_UIDS]             = { "+OK",    { "unique ids follow", "固有 ID 一覧" } },
    [POP3_NO_SUCH_MESSAGE]  = { "-ERR",   { "no such message", "そのメッセージはありません" }, REFUSAL_NO_SUCH_MESSAGE },
    [POP3_DELETED_BEFORE]   = { "-ERR",   { "message is deleted already", "そのメッセージは削除済みです" }, REFUSAL_NO_SUCH_MESSAGE },
    [POP3_GONE]             = { "-ERR",   { "message is gone", "そのメッセージはもうありません" }, REFUSAL_GONE },
    [POP3_CORRUPT]          = { ERR_PERM, { "message is damaged, tell your administrator", "メッセージが壊れています。管理者に連絡してください" }, REFUSAL_CORRUPT },
    [POP3_MESSAGE]          = { "+OK",    { "# octets", "# オクテット" } },
    [POP3_TOP]              = { "+OK",    { "top of message follows", "メッセージの先頭部分" } },
    [POP3_DELETED]          = { "+OK",    { "message deleted", "メッセージを削除します" } },
    [POP3_RESET]            = { "+OK",    { "no message is deleted", "削除を取り消しました" } },
    [POP3_NOTHING]          = { "+OK",    { "fine", "はい" } },
    [POP3_BYE]              = { "+OK",    { "bye", "さようなら" } },
    [POP3_NOT_REMOVED]      = { ERR_TEMP, { "some deleted messages not removed", "削除できなかったメッセージがあります" }, REFUSAL_NOT_REMOVED },
};
/* clang-format on */

void pop3_reply_about(struct session *s, enum pop3_reply reply, struct slice what)
{
    must(reply < POP3_REPLIES && pop3_replies[reply].status);
    const struct pop3_reply_row *row = &pop3_replies[reply];
    const struct pop3 *p = pop3_of(s);
    struct slice text = slice_of(row->text[p->language]);
    size_t mark = slice_find(text, '#');
    session_send(s, slice_of(row->status));
    session_send(s, S(" "));
    session_send(s, slice_upto(text, mark));
    if (mark < text.len)
        session_send(s, what);
    session_send(s, slice_from(text, mark + 1));
    if (row->refusal != REFUSAL_NONE)
        session_print(s, " [EK-%u]", (unsigned)row->refusal);
    session_send(s, S("\r\n"));
    if (row->told)
        session_tell(s, row->refusal, p->account.len > 0 ? p->account : (struct slice){ p->name, p->name_len });
}

void pop3_reply_number(struct session *s, enum pop3_reply reply, uint64_t number)
{
    struct buf text = BUF(20);
    enum status status = buf_put_number(&text, number);
    must(status == STATUS_OK);
    pop3_reply_about(s, reply, buf_slice(&text));
    buf_done(&text);
}

void pop3_reply(struct session *s, enum pop3_reply reply) { pop3_reply_about(s, reply, NO_SLICE); }

#include "mail/notice.h"

#include "base/must.h"
#include "mail/coding.h"
#include "mail/date.h"
#include "mail/trace.h"

#define WORD_OCTETS 45 /* octets in one encoded word: 60 of base64 and 12 around them stay below 75 (RFC 2047 2) */

/* What is said, by kind; the address, time and so on stand between `english` and `english_advice`. */
struct words {
    const char *subject;
    const char *english, *japanese;
    const char *english_advice, *japanese_advice;
};

/* Lines end with LF here, and with CRLF in the message. */
static const struct words words[] = {
    [NOTICE_CLEARTEXT] = {
        "A password came without encryption / パスワードが暗号化されずに送信されました",
        "Somebody tried to log in to your account over a connection without encryption.  The password\n"
        "was not looked at, and nobody was let in; but it may have been read on its way.\n",
        "暗号化されていない接続で、あなたのアカウントへのログインが試みられました。\n"
        "パスワードは確認されず、ログインは拒否されましたが、\n"
        "通信経路の途中で読み取られた可能性があります。\n",
        "If that was you: turn on encryption (TLS, SSL or STARTTLS) in the settings of that mail program,\n"
        "and change your password.  A device that cannot encrypt needs a device password of its own: ask\n"
        "the administrator.  If it was not you, nothing is to be done.\n",
        "心当たりがある場合は、そのメールソフトの設定で暗号化(TLS、SSL または STARTTLS)を有効にし、\n"
        "パスワードを変更してください。\n"
        "暗号化できない機器には専用の機器用パスワードが必要です。管理者にお問い合わせください。\n"
        "心当たりがない場合は、何もする必要はありません。\n" },
    [NOTICE_NEW_PLACE] = {
        "Mail was checked from a new address / 新しい場所からメールが確認されました",
        "Your mail was checked from an address from which your account has not been used before.  For\n"
        "some minutes, mail may be sent from there in your name without a further password (POP before\n"
        "SMTP).\n",
        "これまでに使われたことのないアドレスから、あなたのメールが確認されました。\n"
        "しばらくの間、そのアドレスからはパスワードなしで、あなたの名前でメールを送信できます\n"
        "(POP before SMTP)。\n",
        NULL, NULL },
};

/* NEW_PLACE: what to do depends on whose password it was. */
static const struct {
    const char *english, *japanese;
} advice[2] = {
    { "If that was you, nothing is to be done.  If not, somebody knows your password: change it at once,\n"
      "which also ends that permission, and tell the administrator.\n",
        "心当たりがある場合は、何もする必要はありません。\n"
        "心当たりがない場合は、パスワードが他人に知られています。直ちに変更し\n"
        "(変更すると送信の許可も取り消されます)、管理者に連絡してください。\n" },
    { "If that was your device, nothing is to be done.  If not, somebody knows its password: have the\n"
      "device revoked by the administrator at once, which also ends that permission.\n",
        "あなたの機器であれば、何もする必要はありません。\n"
        "そうでなければ、その機器用パスワードが他人に知られています。\n"
        "直ちに管理者に連絡し、その機器用パスワードを取り消してもらってください。\n"
        "取り消すと送信の許可も終わります。\n" },
};

static enum status put_text(struct buf *out, const char *text) { return buf_put(out, slice_of(text)); }

static enum status put_lines(struct buf *out, const char *text)
{
    struct slice rest = slice_of(text), line;
    while (rest.len > 0 && slice_cut(&rest, '\n', &line)) {
        TRY(buf_put(out, line));
        TRY(put_text(out, "\r\n"));
    }
    return STATUS_OK;
}

/* Names that people chose: no octet of theirs can begin a line, or a field. */
static enum status put_clean(struct buf *out, struct slice text)
{
    while (text.len > 0) {
        unsigned char first = (unsigned char)text.ptr[0];
        size_t len = slice_utf8_prefix(text);
        if (len > 0 && first >= ' ' && first != 0x7f)
            TRY(buf_put(out, slice_upto(text, len)));
        else
            TRY(buf_put_byte(out, '?'));
        text = slice_from(text, len > 0 ? len : 1);
    }
    return STATUS_OK;
}

/* RFC 2047 5 (3): a character is never split over two encoded words. */
static enum status put_encoded(struct buf *out, struct slice text)
{
    for (bool first = true; text.len > 0; first = false) {
        size_t len = 0, next;
        while (len < text.len && (next = slice_utf8_prefix(slice_from(text, len))) > 0 && len + next <= WORD_OCTETS)
            len += next;
        must(len > 0);
        TRY(put_text(out, first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?"));
        TRY(base64_encode(out, slice_upto(text, len)));
        TRY(put_text(out, "?="));
        text = slice_from(text, len);
    }
    return STATUS_OK;
}

static enum status put_header(struct buf *out, const struct notice *notice)
{
    TRY(trace_return_path(out, NO_SLICE));
    TRY(put_text(out, "From: <postmaster@"));
    TRY(put_clean(out, notice->domain));
    TRY(put_text(out, ">\r\nTo: <"));
    TRY(put_clean(out, notice->to));
    TRY(put_text(out, ">\r\nSubject: "));
    TRY(put_encoded(out, slice_of(words[notice->kind].subject)));
    TRY(put_text(out, "\r\n"));
    TRY(trace_date(out, notice->when));
    TRY(trace_message_id(out, notice->id, notice->host));
    return put_text(out, "Auto-Submitted: auto-generated\r\n" /* RFC 3834 5.2 */
                         "MIME-Version: 1.0\r\n"
                         "Content-Type: text/plain; charset=utf-8\r\n"
                         "Content-Transfer-Encoding: 8bit\r\n\r\n");
}

static enum status put_fact(struct buf *out, const char *label, struct slice value)
{
    TRY(put_text(out, label));
    TRY(put_clean(out, value));
    return put_text(out, "\r\n");
}

static enum status put_facts(struct buf *out, const struct notice *notice, bool japanese)
{
    char address[IP_TEXT];
    size_t len = ip_text(notice->peer, address);
    TRY(put_text(out, "\r\n"));
    TRY(put_fact(out, japanese ? "  アカウント: " : "  Account:   ", notice->to));
    TRY(put_fact(out, japanese ? "  アドレス:   " : "  Address:   ", (struct slice){ address, len }));
    TRY(put_text(out, japanese ? "  日時 (UTC): " : "  Time:      "));
    TRY(date_print(out, notice->when));
    TRY(put_text(out, "\r\n"));
    TRY(put_fact(out, japanese ? "  プロトコル: " : "  Protocol:  ", notice->protocol));
    if (notice->kind == NOTICE_NEW_PLACE && notice->device.len > 0)
        TRY(put_fact(out, japanese ? "  機器:       " : "  Device:    ", notice->device));
    if (notice->kind == NOTICE_NEW_PLACE && notice->device.len == 0)
        TRY(put_text(out, japanese ? "  パスワード: アカウント自身のもの\r\n" : "  Password:  the account's own\r\n"));
    if (notice->code > 0)
        TRY(buf_print(out, japanese ? "  コード:     EK-%u\r\n" : "  Code:      EK-%u\r\n", notice->code));
    return put_text(out, "\r\n");
}

static enum status put_half(struct buf *out, const struct notice *notice, bool japanese)
{
    const struct words *row = &words[notice->kind];
    const char *what = japanese ? row->japanese_advice : row->english_advice;
    size_t whose = notice->device.len > 0;
    if (!what)
        what = japanese ? advice[whose].japanese : advice[whose].english;
    TRY(put_lines(out, japanese ? row->japanese : row->english));
    TRY(put_facts(out, notice, japanese));
    TRY(put_lines(out, what));
    TRY(put_text(out, japanese ? "\r\n管理者: postmaster@" : "\r\nAdministrator: postmaster@"));
    TRY(put_clean(out, notice->domain));
    TRY(put_text(out, japanese ? " (メールサーバー " : " (mail server "));
    TRY(put_clean(out, notice->host));
    return put_text(out, ")\r\n");
}

static enum status put_all(struct buf *out, const struct notice *notice)
{
    TRY(put_header(out, notice));
    TRY(put_half(out, notice, false));
    TRY(put_text(out, "\r\n----\r\n\r\n"));
    return put_half(out, notice, true);
}

enum status notice_write(struct buf *out, const struct notice *notice)
{
    size_t before = out->len;
    must(notice->host.len > 0 && notice->domain.len > 0 && notice->id.len > 0);
    enum status status = put_all(out, notice);
    if (status != STATUS_OK)
        out->len = before;
    return status;
}

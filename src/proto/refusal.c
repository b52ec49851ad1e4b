#include "proto/refusal.h"

#include "base/must.h"

/* For the administrator of an office, and for the user who calls him: plain words, then what to press or to write where. */
/* clang-format off */
static const struct refusal_row rows[] = {
    /* ---- login ---- */
    { REFUSAL_LOGIN, "login", {
        { "The login was refused: the name or the password is wrong, or this account or device may not log in this way. The reply never says which, so that nobody can guess names.",
          "User: type the password again (capitals, keyboard layout), and the whole address as the user name; without TLS, and by APOP or CRAM-MD5, only device passwords are good: set the method to 'normal password' with SSL/TLS. Administrator: 'ekirei why ADDRESS' shows the true reason. Then 'ekirei account password ADDRESS' gives a new password, 'ekirei account enable ADDRESS' undoes a disable, 'ekirei device list ADDRESS' shows what a device password is good for: from which networks, for which protocols, until when." },
        { "ログインが拒否されました。名前かパスワードが違うか、このアカウントや機器にはこの方法でのログインが許されていません。名前を推測されないよう、応答ではどれが原因かを伝えません。",
          "利用者: パスワードを入力し直し（大文字・小文字、キーボード配列に注意）、ユーザー名にはメールアドレス全体を入れてください。暗号化なしの接続や APOP・CRAM-MD5 では機器用パスワードだけが有効です。SSL/TLS と「通常のパスワード認証」を選んでください。管理者: 'ekirei why アドレス' で本当の理由が分かります。'ekirei account password アドレス' で新しいパスワードを設定し、'ekirei account enable アドレス' で停止を解除し、'ekirei device list アドレス' で機器用パスワードの使えるネットワーク・プロトコル・期限を確かめてください。" } } },
    { REFUSAL_NEEDS_TLS, "needs-tls", {
        { "A password was about to travel without encryption, where anybody on the way can read it. It was not looked at.",
          "Turn encryption on in the mail program. Outlook: account settings, more settings, Advanced: SSL/TLS, port 995 for receiving, 465 for sending. Thunderbird: Server Settings and Outgoing Server: SSL/TLS (ports 995 and 465) or STARTTLS (110 and 587). A copier that has no encryption: give it a device password ('ekirei device add ADDRESS --name copier --allow pop3,lease') and write its network into legacy.networks. If a person's password went out in clear, change it: 'ekirei account password ADDRESS'." },
        { "パスワードが暗号化なしで送られようとしました。途中で誰にでも読まれるため、サーバーは中身を確かめずに拒否しました。",
          "メールソフトで暗号化を有効にしてください。Outlook: アカウントの設定→詳細設定で SSL/TLS を選び、受信ポート 995、送信ポート 465 にします。Thunderbird: サーバー設定と送信サーバーで SSL/TLS（995 と 465）または STARTTLS（110 と 587）を選びます。暗号化できない複合機には機器用パスワードを作り（'ekirei device add アドレス --name copier --allow pop3,lease'）、そのネットワークを legacy.networks に書いてください。個人のパスワードが暗号化なしで送られた場合は変更してください: 'ekirei account password アドレス'。" } } },
    { REFUSAL_LOGIN_BUSY, "login-busy", {
        { "The server could not check the password just now: it has too many logins to check, or somebody has been guessing passwords for this account.",
          "Try again in a minute; nothing needs to be changed. If it stays: the server is overloaded or under attack, look for login.failed in the log." },
        { "サーバーは今、パスワードを確認できませんでした。ログインが混み合っているか、このアカウントのパスワードを誰かが試し続けています。",
          "1分ほど待ってからもう一度お試しください。設定を変える必要はありません。続く場合はサーバーの過負荷か攻撃です。ログの login.failed を調べてください。" } } },
    { REFUSAL_MANY_LOGINS, "many-logins", {
        { "This connection tried too many wrong passwords and was closed.",
          "Correct the stored password in the mail program or device: it repeats the old one by itself. 'ekirei why ADDRESS' or 'ekirei why IP' shows which login fails." },
        { "この接続では間違ったパスワードが何度も試されたため、切断しました。",
          "メールソフトや機器に保存されたパスワードを直してください。古いパスワードが自動で繰り返されています。どのログインが失敗しているかは 'ekirei why アドレス' または 'ekirei why IP' で分かります。" } } },
    { REFUSAL_LOGIN_SOON, "login-soon", {
        { "The mailbox was opened again sooner than this server allows. The password was right.",
          "Let the mail program check less often (Outlook: Send/Receive groups; Thunderbird: 'Check for new messages every ... minutes'). The administrator sets the pause with pop3.login_delay; 0s means none." },
        { "サーバーが許す間隔より早くメールボックスが再び開かれました。パスワードは正しいものでした。",
          "メールの確認間隔を長くしてください（Outlook: 送受信グループ、Thunderbird:「新着メッセージがないか…分ごとに確認する」）。管理者は pop3.login_delay で間隔を設定できます。0s で制限なしになります。" } } },
    { REFUSAL_LOGIN_FORM, "login-form", {
        { "The mail program sent something as a login that cannot be read (broken base64, too long, or not in the form of its method).",
          "Nothing can be done with the password. Choose another login method in the program ('Normal password' with SSL/TLS works everywhere), or update the program." },
        { "メールソフトが送ったログインデータを読み取れません（base64 の誤り、長すぎる、または方式の形式に合わない）。",
          "パスワードの問題ではありません。メールソフトで別の認証方式を選ぶか（SSL/TLS での「通常のパスワード認証」ならどこでも使えます）、ソフトを更新してください。" } } },
    { REFUSAL_CANCELLED, "cancelled", {
        { "The mail program broke the login off itself.",
          "Usually somebody pressed Cancel at the password prompt. Try again and type the password; if no prompt appears, delete the stored password in the program first. Some programs choose SCRAM-SHA-256-PLUS because it is announced and then cannot do it, as the mutt of Debian 12: write 'set smtp_authenticators=scram-sha-256' (and pop_authenticators) into its muttrc, or leave the -PLUS words out of auth.mechanisms." },
        { "メールソフト側がログインを中断しました。",
          "多くはパスワード入力画面で「キャンセル」が押されたためです。もう一度試して入力してください。入力画面が出ない場合は、ソフトに保存されたパスワードをいったん削除してください。SCRAM-SHA-256-PLUS を選んでおきながら対応できないソフトもあります（Debian 12 の mutt など）。muttrc に 'set smtp_authenticators=scram-sha-256'（と pop_authenticators）を書くか、auth.mechanisms から -PLUS を外してください。" } } },
    { REFUSAL_MECHANISM, "mechanism", {
        { "The mail program asked for a login method that this server does not have, or does not take on this connection.",
          "Choose 'Normal password' (or 'Automatic') with SSL/TLS in the program; switch off NTLM, Kerberos, GSSAPI and Outlook's 'Secure Password Authentication (SPA)'. docs/mechanisms.md lists what is taken where." },
        { "メールソフトが要求したログイン方式は、このサーバーまたはこの接続では使えません。",
          "メールソフトで SSL/TLS と「通常のパスワード認証」（または自動）を選び、NTLM、Kerberos、GSSAPI、Outlook の「セキュリティで保護されたパスワード認証 (SPA)」を無効にしてください。どこで何が使えるかは docs/mechanisms.md にあります。" } } },
    { REFUSAL_STAMP_USED, "stamp-used", {
        { "APOP can be tried only once on a connection: the number in the greeting is good for one answer.",
          "Connect again. A program that tries APOP twice has a wrong device password stored: correct it." },
        { "APOP は1回の接続で1度だけ試せます。最初の挨拶に含まれる番号は1回しか使えません。",
          "接続し直してください。APOP を2度試すソフトには間違った機器用パスワードが保存されています。直してください。" } } },
    { REFUSAL_REVOKED, "revoked", {
        { "The account, its password or the device password was changed or removed while this session was open, so the session was ended.",
          "Log in again with the new password: type it into every device and program that uses this account." },
        { "接続中にアカウント、パスワードまたは機器用パスワードが変更・削除されたため、セッションを終了しました。",
          "新しいパスワードでログインし直してください。このアカウントを使うすべての機器とソフトに新しいパスワードを入れてください。" } } },
    { REFUSAL_DEVICES_ONLY, "devices-only", {
        { "This port is for old devices in listed networks, and the connection came from elsewhere.",
          "Use the usual ports: 465 or 587 for sending, 995 or 110 with TLS for receiving. If it is one of your devices, add its network to legacy.networks in ekirei.conf and reload (SIGHUP)." },
        { "このポートは登録されたネットワークの古い機器専用で、別の場所からの接続でした。",
          "通常のポートを使ってください。送信は 465 または 587、受信は 995 または TLS 付きの 110 です。自社の機器であれば、そのネットワークを ekirei.conf の legacy.networks に加えて再読み込み (SIGHUP) してください。" } } },

    /* ---- the right to send ---- */
    { REFUSAL_PROVE_YOURSELF, "prove-yourself", {
        { "Whoever wants to send has to show who he is, by logging in to the outgoing server or by checking his mail first (POP before SMTP). This connection did neither, or the check was made from another address or for another sender, or from an address that too many accounts share.",
          "Outlook: account settings, more settings, Outgoing Server: tick 'My outgoing server (SMTP) requires authentication', 'Use same settings as my incoming mail server'. Thunderbird: Outgoing Server: 'Normal password' and your address as user name. A copier: turn on 'SMTP authentication', or else 'POP before SMTP' with a device password, so that it checks mail and then sends within ten minutes, from the same address and as the same sender. An office whose people all share one address: write it into pop_before_smtp.office_networks. 'ekirei lease list' shows who may send now; 'ekirei account set ADDRESS --pop-before-smtp' lets an account do it with its own password." },
        { "送信するには、送信サーバーにログインするか、先にメールを受信して（POP before SMTP）本人であることを示す必要があります。この接続ではどちらも行われていないか、受信が別のアドレスから、または別の差出人で行われたか、多数のアカウントが共有するアドレスから行われました。",
          "Outlook: アカウントの設定→詳細設定→送信サーバーで「送信サーバー (SMTP) は認証が必要」「受信メールサーバーと同じ設定を使用する」にチェックを入れます。Thunderbird: 送信サーバーで「通常のパスワード認証」を選び、ユーザー名にメールアドレスを入れます。複合機: 「SMTP 認証」を有効にするか、機器用パスワードで「POP before SMTP」を有効にし、受信してから10分以内に、同じアドレスから同じ差出人で送信するようにします。1つのアドレスを社員全員で使う事務所では、それを pop_before_smtp.office_networks に書いてください。'ekirei lease list' で今送信できる人が分かります。'ekirei account set アドレス --pop-before-smtp' でアカウント自身のパスワードでも使えるようになります。" } } },
    { REFUSAL_LEASE_OVER, "lease-over", {
        { "The time that the mail check opened for sending ran out while the message was on its way.",
          "Check mail again and send at once. For large scans over a slow line let the device check mail right before each job, or make pop_before_smtp.window longer; better still, turn on SMTP AUTH." },
        { "メール受信によって開いた送信可能時間が、送信の途中で切れました。",
          "もう一度メールを受信して、すぐに送信してください。回線が遅く大きなスキャンを送る場合は、送信のたびに直前に受信するよう設定するか、pop_before_smtp.window を長くしてください。SMTP 認証を使えばさらに確実です。" } } },
    { REFUSAL_LEASE_USED_UP, "lease-used-up", {
        { "One mail check permits a limited number of messages and recipients, and they are used up.",
          "Check mail again: that starts a new count. If the device sends more by intention, raise pop_before_smtp.messages or pop_before_smtp.recipients, or turn on SMTP AUTH in it. If nobody sent that much, a device or its password is misused: 'ekirei lease revoke ADDRESS', then 'ekirei device revoke ADDRESS'." },
        { "1回のメール受信で送れる通数と宛先数には上限があり、使い切りました。",
          "もう一度メールを受信すると、数え直しになります。意図して多く送る機器なら pop_before_smtp.messages か pop_before_smtp.recipients を増やすか、SMTP 認証を有効にしてください。心当たりがない場合は、機器やパスワードが悪用されています: 'ekirei lease revoke アドレス' に続けて 'ekirei device revoke アドレス' を実行してください。" } } },
    { REFUSAL_OTHER_ADDRESS, "other-address", {
        { "The mail was checked over one kind of internet address (IPv4 or IPv6) and the message came over the other: for the server these are two different places.",
          "Use the same server name for receiving and sending, and let both use the same kind: in the device switch IPv6 off (or IPv4), or enter the server's IP address in both places. SMTP AUTH does not have this problem." },
        { "メールの受信と送信が、異なる種類のインターネットアドレス（IPv4 と IPv6）で行われました。サーバーからは別の場所に見えます。",
          "受信と送信に同じサーバー名を使い、同じ種類のアドレスで接続するようにしてください。機器の IPv6（または IPv4）を無効にするか、両方の欄にサーバーの IP アドレスを入れます。SMTP 認証ならこの問題は起きません。" } } },
    { REFUSAL_OTHER_HELO, "other-helo", {
        { "The right to send is tied to the device that checked the mail, and another one at the same address tried to use it: it introduced itself with another name (EHLO).",
          "Let the device that sends check the mail itself, with its own device password. If one device has two names, give it one host name in its network settings, or set pop_before_smtp.pin_helo = no." },
        { "送信できるのは受信を行った機器だけですが、同じアドレスの別の機器が送信しようとしました（EHLO で名乗った名前が違います）。",
          "送信する機器自身が、専用の機器用パスワードでメールを受信するようにしてください。1台の機器が2つの名前を名乗る場合は、ネットワーク設定でホスト名を1つにするか、pop_before_smtp.pin_helo = no にしてください。" } } },
    { REFUSAL_TLS_FIRST, "tls-first", {
        { "Somebody tried to send on port 587 without encryption, and without it nobody may send here.",
          "Outlook: outgoing server (SMTP) 587 with 'STARTTLS', or 465 with 'SSL/TLS'. Thunderbird: Outgoing Server, Connection security: STARTTLS or SSL/TLS. A device without encryption: list its network in legacy.networks." },
        { "ポート 587 で暗号化なしの送信が試みられました。このサーバーでは暗号化なしでは送信できません。",
          "Outlook: 送信サーバー (SMTP) を 587 と「STARTTLS」、または 465 と「SSL/TLS」にします。Thunderbird: 送信サーバーの「接続の保護」を STARTTLS か SSL/TLS にします。暗号化できない機器は、そのネットワークを legacy.networks に登録してください。" } } },
    { REFUSAL_SENDER, "sender", {
        { "The message was to be sent under an address that does not belong to whoever logged in (or checked the mail).",
          "Put the account's own address as the sender ('From', 'E-mail address', 'Reply address') into the mail program or device. If the other address is his, too: 'ekirei alias add THAT-ADDRESS ACCOUNT'." },
        { "ログインした（またはメールを受信した）アカウントのものではないアドレスを差出人として送信しようとしました。",
          "メールソフトや機器の差出人（「From」「メールアドレス」「返信先」）を、そのアカウントのアドレスにしてください。そのアドレスも本人のものなら 'ekirei alias add そのアドレス アカウント' で追加できます。" } } },
    { REFUSAL_AUTHOR, "author", {
        { "The message bears the name of somebody else: the address in its From or Sender field does not belong to the account that sends.",
          "Choose the account's own address as 'From' in the mail program; in scripts and business software set the From field to it. If the address is his, too: 'ekirei alias add THAT-ADDRESS ACCOUNT'." },
        { "メッセージの差出人欄（From または Sender）のアドレスが、送信するアカウントのものではありません。",
          "メールソフトの「差出人」にアカウント自身のアドレスを選んでください。スクリプトや業務ソフトでは From 欄をそのアドレスにします。そのアドレスも本人のものなら 'ekirei alias add そのアドレス アカウント' で追加できます。" } } },
    { REFUSAL_RELAYING, "relaying", {
        { "Somebody on port 25 wanted this server to carry mail to a domain that is not served here. That port is for mail to our own people only.",
          "A user or device of yours: use port 587 (STARTTLS) or 465 (SSL/TLS) and log in. If the domain should be served here: 'ekirei domain add DOMAIN'. If you do not know the sender: nothing, this is what strangers try." },
        { "ポート 25 で、このサーバーが扱わないドメイン宛てのメールを中継させようとしました。このポートは自社宛てのメール専用です。",
          "自社の利用者や機器であれば、ポート 587（STARTTLS）か 465（SSL/TLS）を使いログインしてください。そのドメインをこのサーバーで扱う場合は 'ekirei domain add ドメイン' を実行します。送信者に心当たりがなければ、何もする必要はありません。よくある第三者の試みです。" } } },
    { REFUSAL_INTERNAL_ONLY, "internal-only", {
        { "This device password may be used to write to addresses of this server only, and the recipient is elsewhere.",
          "If the device should write to others as well: make it a new password without internal-only ('ekirei device revoke ADDRESS NAME', then 'ekirei device add ADDRESS --name NAME --allow ...')." },
        { "この機器用パスワードでは、このサーバーのアドレス宛てにしか送れません。宛先は外部でした。",
          "外部にも送らせる場合は、internal-only を付けずにパスワードを作り直してください（'ekirei device revoke アドレス 名前' の後に 'ekirei device add アドレス --name 名前 --allow ...'）。" } } },

    /* ---- addresses ---- */
    { REFUSAL_NO_SUCH_USER, "no-such-user", {
        { "There is no such address on this server.",
          "Look for a typing mistake in the recipient's address; delete it from the program's list of suggestions. Administrator: 'ekirei account list' and 'ekirei alias list' show all addresses." },
        { "このサーバーにそのような宛先アドレスはありません。",
          "宛先の入力間違いを確かめ、メールソフトの入力候補から古いアドレスを削除してください。管理者: 'ekirei account list' と 'ekirei alias list' ですべてのアドレスが分かります。" } } },
    { REFUSAL_DISABLED, "disabled", {
        { "The recipient's account is switched off.",
          "The sender has to reach him another way. Administrator: 'ekirei account enable ADDRESS' switches it on again." },
        { "宛先のアカウントは停止されています。",
          "送信者は別の方法で連絡してください。管理者は 'ekirei account enable アドレス' で再開できます。" } } },
    { REFUSAL_ALIAS_TARGETS, "alias-targets", {
        { "The recipient is an alias that leads to itself, or to more addresses than one alias may have.",
          "'ekirei alias list' shows the aliases; remove the circle with 'ekirei alias remove ADDRESS TARGET'." },
        { "宛先のエイリアスが自分自身に戻っているか、転送先が多すぎます。",
          "'ekirei alias list' でエイリアスを確認し、'ekirei alias remove アドレス 転送先' で循環を解いてください。" } } },
    { REFUSAL_NOT_QUALIFIED, "not-qualified", {
        { "The domain of an address is not complete: it has no dot.",
          "Write the whole address, as in name@example.org. In a device, look at 'default domain' or the address book." },
        { "アドレスのドメインが完全ではありません（ドットがありません）。",
          "name@example.org のようにアドレス全体を書いてください。機器では「既定のドメイン」やアドレス帳を確かめてください。" } } },
    { REFUSAL_MANY_RECIPIENTS, "many-recipients", {
        { "The message has more recipients than one message may have; those before this one were taken.",
          "Mail servers send the rest by themselves. In a mail program divide the list, or make an alias or a mailing list. The number is the setting message.recipients." },
        { "1通のメッセージに許される宛先数を超えました。それ以前の宛先は受け付けました。",
          "メールサーバーからの場合、残りは自動で送られます。メールソフトでは宛先を分けて送るか、エイリアスやメーリングリストを作ってください。上限は設定 message.recipients です。" } } },
    { REFUSAL_BAD_ADDRESS, "bad-address", {
        { "What stands where an address should be is not an address.",
          "Correct the address: name@example.org, without spaces, commas or brackets. In a device look at both the sender's and the recipient's field; an empty sender name is a frequent cause." },
        { "アドレスの欄にあるものが、メールアドレスの形になっていません。",
          "name@example.org の形で、空白・コンマ・括弧を入れずに直してください。機器では差出人と宛先の両方を確かめてください。差出人が空欄のことがよくあります。" } } },
    { REFUSAL_UTF8_ADDRESS, "utf8-address", {
        { "An address holds letters outside ASCII, and the sending program did not say that it can handle them (SMTPUTF8).",
          "Use an address in plain letters (a-z), or a mail program that knows internationalized addresses. Look for full-width letters typed by mistake." },
        { "アドレスに ASCII 以外の文字が含まれていますが、送信側は国際化アドレス (SMTPUTF8) に対応すると宣言していません。",
          "半角英数字のアドレスを使うか、国際化アドレスに対応したメールソフトを使ってください。全角文字が誤って入力されていないか確かめてください。" } } },
    { REFUSAL_NO_RECIPIENT, "no-recipient", {
        { "The text of a message was to follow, but no recipient had been accepted.",
          "Look at the refusals before this one: each recipient was refused with a number of its own, which says why." },
        { "メッセージ本文を送ろうとしましたが、受け付けられた宛先がありません。",
          "この前の拒否を見てください。宛先ごとに番号付きで理由が示されています。" } } },

    /* ---- messages ---- */
    { REFUSAL_TOO_LARGE, "too-large", {
        { "The message is larger than this server takes. An attachment grows by a third on its way.",
          "Send a smaller file or a link; on a copier choose a lower resolution, black and white, or PDF with compression, or divide the job. The administrator sets the size with message.size_limit." },
        { "メッセージがこのサーバーの上限より大きいです。添付ファイルは送信時に約3分の1大きくなります。",
          "小さなファイルかリンクにして送ってください。複合機では解像度を下げる、白黒にする、圧縮 PDF にする、または分割してください。上限は管理者が message.size_limit で設定します。" } } },
    { REFUSAL_LINE_ENDS, "line-ends", {
        { "A line did not end as the standard wants (CR LF), or held a stray CR, LF or NUL. Such lines are used to smuggle forged messages, so they are not accepted.",
          "The program that made it is at fault: in scripts end lines with \\r\\n (or let a library send the mail), in devices update the firmware. A device whose network is in legacy.networks may end its commands with LF alone." },
        { "行の終わりが規格どおり (CR LF) でないか、単独の CR、LF、NUL が含まれています。偽メールの紛れ込ませに使われるため受け付けません。",
          "送信プログラムの問題です。スクリプトでは行末を \\r\\n にするか、メール送信ライブラリを使ってください。機器ではファームウェアを更新してください。legacy.networks に登録されたネットワークの機器は、コマンドの行末が LF だけでも構いません。" } } },
    { REFUSAL_NUL, "nul", {
        { "The message holds a NUL octet, which no mail may contain.",
          "The program that made the message is at fault, often by attaching a file without encoding it: attach it as base64." },
        { "メッセージに NUL 文字が含まれています。メールに含めることはできません。",
          "作成したプログラムの問題です。多くはファイルを符号化せずに添付しています。base64 で添付してください。" } } },
    { REFUSAL_BODY_LINE, "body-line", {
        { "One line of the message is longer than a megabyte.",
          "Send such text as an attachment (base64 or quoted-printable); scripts have to break lines after at most 998 characters." },
        { "メッセージの1行が 1MB を超えています。",
          "そのような文は添付ファイル（base64 または quoted-printable）として送ってください。スクリプトでは1行を 998 文字以内にしてください。" } } },
    { REFUSAL_LOOP, "loop", {
        { "The message has been passed on by too many servers: two of them probably forward to each other.",
          "Look for a forwarding at one end that leads back to the other, and remove it: 'ekirei alias list' here, the forwarding rules there." },
        { "メッセージの転送回数が多すぎます。おそらく2つのサーバーが互いに転送し合っています。",
          "一方から他方へ戻る転送を探して削除してください。こちら側は 'ekirei alias list'、相手側は転送設定を確かめます。" } } },
    { REFUSAL_HEADER, "header", {
        { "The header of the message cannot be read, or names its author twice or in a form that nobody could trust.",
          "The program that made the message is at fault: it must write one From line with one address, a space or tab before continued lines, and an empty line before the text." },
        { "メッセージのヘッダーを読み取れないか、差出人が2度書かれている、または信頼できない形で書かれています。",
          "作成したプログラムの問題です。From 行は1つ、アドレスも1つにし、継続行の先頭には空白かタブを、本文の前には空行を入れてください。" } } },
    { REFUSAL_CHUNKS, "chunks", {
        { "The message came in pieces (BDAT) that were too many, or not announced as the standard wants.",
          "The sending program is at fault; switch 'CHUNKING' off in it, or update it." },
        { "メッセージの分割送信 (BDAT) の数が多すぎるか、形式が規格どおりではありません。",
          "送信プログラムの問題です。「CHUNKING」を無効にするか、更新してください。" } } },
    { REFUSAL_ENDLESS, "endless", {
        { "The end of the message did not come, or far too late: the connection was closed, nothing was kept.",
          "Usually the line broke down or is very slow: send again, or a smaller message. If it happens always, look for a firewall or virus scanner between, which changes mail." },
        { "メッセージの終わりが届かないか、遅すぎました。接続を切断し、何も保存していません。",
          "多くは回線の切断か低速が原因です。もう一度、または小さくして送ってください。毎回起きる場合は、途中のファイアウォールやウイルス対策ソフトを調べてください。" } } },

    /* ---- the server, and the connection ---- */
    { REFUSAL_CROWDED, "crowded", {
        { "Too many connections are open at once, from this address or in all.",
          "Close mail programs that are not needed and try again in a minute. A large office behind one address: raise limits.connections_per_address. In all: limits.connections." },
        { "このアドレスから、または全体で、同時接続が多すぎます。",
          "不要なメールソフトを閉じて、1分後にもう一度お試しください。1つのアドレスを使う大きな事務所では limits.connections_per_address を、全体では limits.connections を増やしてください。" } } },
    { REFUSAL_STOPPING, "stopping", {
        { "The server is being stopped or restarted.",
          "Try again in a minute; nothing is lost. Mail servers do so by themselves." },
        { "サーバーが停止または再起動しています。",
          "1分後にもう一度お試しください。何も失われていません。メールサーバーは自動で再試行します。" } } },
    { REFUSAL_TOO_SLOW, "too-slow", {
        { "Nothing came for too long, so the connection was closed.",
          "Try again. If it happens often, look for a bad line, or a firewall that drops quiet connections; limits.command_timeout is how long silence may last." },
        { "長い間何も届かなかったため、接続を切断しました。",
          "もう一度お試しください。頻繁に起きる場合は、回線の不良や、無通信の接続を切るファイアウォールを疑ってください。無通信の許容時間は limits.command_timeout です。" } } },
    { REFUSAL_MANY_ERRORS, "many-errors", {
        { "Too many commands on this connection were refused or led to nothing, so it was closed.",
          "Look at the refusals before this one: their numbers say what is wrong. If you do not know the address: strangers try such things, nothing has to be done." },
        { "この接続では拒否されたコマンドや意味のないコマンドが多すぎたため、切断しました。",
          "この前の拒否の番号を見てください。原因が分かります。心当たりのないアドレスであれば、第三者の試みであり、何もする必要はありません。" } } },
    { REFUSAL_MANY_MESSAGES, "many-messages", {
        { "Enough messages for one connection.",
          "Connect again and go on; mail servers do so by themselves." },
        { "1回の接続で送れるメッセージ数に達しました。",
          "接続し直して続けてください。メールサーバーは自動で行います。" } } },
    { REFUSAL_DISK_FULL, "disk-full", {
        { "The server's disk is full, or nearly: no new mail is taken.",
          "Administrator: 'ekirei status' shows the room on the disk. Make room or give it a larger disk; store.disk_reserve is what is kept free. Senders try again by themselves for days." },
        { "サーバーのディスクがいっぱい、またはほぼいっぱいのため、新しいメールを受け付けません。",
          "管理者: 'ekirei status' で空き容量が分かります。空きを作るか、ディスクを増やしてください。確保しておく空きは store.disk_reserve です。送信側は数日間自動で再試行します。" } } },
    { REFUSAL_TEMPORARY, "temporary", {
        { "The server could not do it just now. Nothing was lost, nothing was kept.",
          "Try again in a few minutes. If it stays: the administrator finds the cause in the log (level error), often the disk." },
        { "サーバーは今それを実行できませんでした。何も失われておらず、何も保存されていません。",
          "数分後にもう一度お試しください。続く場合は、管理者がログ（error レベル）で原因を確かめてください。ディスクが原因のことがよくあります。" } } },
    { REFUSAL_HTTP, "http", {
        { "A web browser spoke to the mail server.",
          "These ports are for mail programs. Somebody typed the wrong port into a browser, or a web page tried to misuse it; nothing has to be done." },
        { "ウェブブラウザーがメールサーバーに接続しました。",
          "このポートはメールソフト用です。ブラウザーに誤ったポートが入力されたか、ウェブページが悪用しようとしました。何もする必要はありません。" } } },
    { REFUSAL_EARLY_TALK, "early-talk", {
        { "The other side went on talking before it had read the reply, at a moment when that is not permitted. Programs that send spam do so, and so do attacks on encryption.",
          "If it is a mail program or device of yours, update it; a firewall or virus scanner that changes mail connections can be the cause, too. A stranger: nothing has to be done." },
        { "相手が、許されない場面で応答を待たずに続きを送りました。迷惑メールの送信プログラムや、暗号化への攻撃の特徴です。",
          "自社のメールソフトや機器であれば更新してください。メール通信を書き換えるファイアウォールやウイルス対策ソフトが原因のこともあります。心当たりのない相手なら、何もする必要はありません。" } } },

    /* ---- commands ---- */
    { REFUSAL_COMMAND, "command", {
        { "The other side used a command that this server does not know, or does not offer on this port.",
          "Mostly harmless: programs ask for what they could use. If logging in to send fails this way, the wrong port is set: use 587 (STARTTLS) or 465 (SSL/TLS), not 25." },
        { "このサーバーにない、またはこのポートでは使えないコマンドが使われました。",
          "多くは無害です。送信のログインがこれで失敗する場合はポートの設定が違います。25 ではなく 587（STARTTLS）か 465（SSL/TLS）を使ってください。" } } },
    { REFUSAL_LINE_LENGTH, "line-length", {
        { "A command was longer than any may be.",
          "The sending program is at fault: update it. Typed by hand: check what was pasted." },
        { "コマンドの行が長すぎます。",
          "送信プログラムの問題です。更新してください。手入力の場合は貼り付けた内容を確かめてください。" } } },
    { REFUSAL_ARGUMENT, "argument", {
        { "A command came with something behind it that does not belong there, or without what it needs.",
          "The mail program or device is at fault: update it. In devices, look for spaces or special letters in names and addresses." },
        { "コマンドの引数が正しくないか、足りません。",
          "メールソフトや機器の問題です。更新してください。機器では、名前やアドレスに空白や特殊文字がないか確かめてください。" } } },
    { REFUSAL_SEQUENCE, "sequence", {
        { "A command came at a moment when it makes no sense, often because the one before it was refused.",
          "Look at the refusals before this one. If there is none, the program is at fault: update it." },
        { "その場面では使えないコマンドが送られました。多くは直前のコマンドが拒否されたためです。",
          "この前の拒否を見てください。なければプログラムの問題です。更新してください。" } } },
    { REFUSAL_LANGUAGE, "language", {
        { "The mail program asked for replies in a language that this server does not speak.",
          "Nothing has to be done: it goes on in English. There are English (en) and Japanese (ja)." },
        { "メールソフトが、このサーバーにない言語での応答を求めました。",
          "何もする必要はありません。これまでの言語のまま続きます。英語 (en) と日本語 (ja) があります。" } } },

    /* ---- the maildrop ---- */
    { REFUSAL_NO_SUCH_MESSAGE, "no-such-message", {
        { "The mail program asked for a message that is not in the mailbox, or that it deleted a moment ago.",
          "Check mail again. If it happens always, remove the account from the mail program and set it up anew." },
        { "メールソフトが、メールボックスにない、または直前に削除したメッセージを要求しました。",
          "もう一度受信してください。毎回起きる場合は、メールソフトからアカウントを削除して設定し直してください。" } } },
    { REFUSAL_GONE, "gone", {
        { "The message was removed by another device while this one had the mailbox open.",
          "Check mail again. So that every device gets everything, let all of them leave messages on the server." },
        { "この機器がメールボックスを開いている間に、別の機器がそのメッセージを削除しました。",
          "もう一度受信してください。すべての機器で受信するには、どの機器でも「サーバーにメッセージを残す」を有効にしてください。" } } },
    { REFUSAL_CORRUPT, "corrupt", {
        { "The stored message is damaged and cannot be shown. The others are not touched.",
          "Administrator: look for it in the log and check the disk (smartctl), then bring the message back from a backup. User: delete the message if the mail program stops at it." },
        { "保存されたメッセージが壊れていて表示できません。ほかのメッセージには影響ありません。",
          "管理者: ログを確かめ、ディスクを検査し (smartctl)、バックアップから復元してください。利用者: メールソフトがそこで止まる場合は、そのメッセージを削除してください。" } } },
    { REFUSAL_NOT_REMOVED, "not-removed", {
        { "Some of the messages that were deleted are still there: the server could not remove them just now.",
          "Nothing is lost; check mail again and delete them once more. If it stays, look at 'ekirei status' and the log: the disk may be full." },
        { "削除したメッセージの一部が残っています。サーバーは今それを削除できませんでした。",
          "何も失われていません。もう一度受信して削除してください。続く場合は 'ekirei status' とログを確かめてください。ディスクがいっぱいかもしれません。" } } },
};
/* clang-format on */
#define ROWS (sizeof rows / sizeof *rows)

const struct refusal_row *refusal_each(size_t index) { return index < ROWS ? &rows[index] : NULL; }

const struct refusal_row *refusal_find(uint32_t number)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].number == number)
            return &rows[i];
    return NULL;
}

struct slice refusal_digits(uint32_t number, char room[REFUSAL_DIGITS])
{
    must(number < REFUSAL_END);
    size_t len = number < 10 ? 1 : 2;
    room[0] = (char)('0' + number / 10);
    room[len - 1] = (char)('0' + number % 10);
    return (struct slice){ room, len };
}

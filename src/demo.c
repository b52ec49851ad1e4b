/* demo.c - `ekirei demo`: a server in a temporary folder, the story of who may send, and then a server to try. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/secret.h"
#include "ctl_impl.h"
#include "demo_impl.h"

/* Groups of letters without those that look alike: to be typed by a person. */
static void make_password(char out[DEMO_SECRET])
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32 of them: five bits each */
    uint8_t octets[16];
    size_t len = 0;
    random_fill(octets, sizeof octets);
    for (size_t at = 0; at < sizeof octets; at++) {
        if (at > 0 && at % 4 == 0)
            out[len++] = '-';
        out[len++] = letters[octets[at] % 32];
    }
    out[len] = '\0';
    wipe(octets, sizeof octets);
}

static bool trust(struct demo *demo)
{
    char ca[FILE_PATH];
    file_path(ca, demo->dir, "tls/ca.pem");
    demo->tls = SSL_CTX_new(TLS_client_method());
    if (!demo->tls || SSL_CTX_load_verify_file(demo->tls, ca) != 1)
        return demo_wrong(demo, "the CA cannot be read");
    SSL_CTX_set_verify(demo->tls, SSL_VERIFY_PEER, NULL);
    return true;
}

static void print_account(const struct demo *demo, const char *name, const char *address, const char *password)
{
    printf("\n  %s\n", name);
    printf("    %-22s %s\n", demo->japanese ? "メールアドレス" : "Email address", address);
    printf("    %-22s %s\n", demo->japanese ? "ユーザー名" : "User name", address);
    printf("    %-22s %s\n", demo->japanese ? "パスワード" : "Password", password);
}

/* In the words of Thunderbird's account dialogue. */
static void print_table(const struct demo *demo)
{
    char ca[FILE_PATH];
    file_path(ca, demo->dir, "tls/ca.pem");
    demo_say(demo, "\nTo try it yourself, type this into Thunderbird (Account Setup, \"Configure manually\"):",
        "\n自分で試すには、Thunderbird の「手動設定」に次のとおり入力してください。");
    demo_say(demo, "  First trust the CA: Settings, Privacy & Security, Certificates, Manage, Authorities, Import:",
        "  先に CA を信頼させます: 設定 → プライバシーとセキュリティ → 証明書を管理 → 認証局証明書 → インポート");
    printf("    %s\n\n", ca);
    printf("    %-10s %-10s %-10s %-7s %-10s %s\n", "", "Protocol", "Hostname", "Port", "Security", "Authentication");
    printf("    %-10s %-10s %-10s %-7u %-10s %s\n", "Incoming", "POP3", "localhost", demo->offset + DEMO_POP3S,
        "SSL/TLS", "Normal password");
    printf("    %-10s %-10s %-10s %-7u %-10s %s\n", "", "or POP3", "localhost", demo->offset + DEMO_POP3, "STARTTLS",
        "Normal password");
    printf("    %-10s %-10s %-10s %-7u %-10s %s\n", "Outgoing", "SMTP", "localhost", demo->offset + DEMO_SUBMISSIONS,
        "SSL/TLS", "Normal password");
    printf("    %-10s %-10s %-10s %-7u %-10s %s\n", "", "or SMTP", "localhost", demo->offset + DEMO_SUBMISSION,
        "STARTTLS", "Normal password; No authentication after a mail check (Hanako)");
    print_account(demo, "Hanako (POP before SMTP)", "hanako@" DEMO_DOMAIN, demo->hanako);
    print_account(demo, "Taro", "taro@" DEMO_DOMAIN, demo->taro);
    printf("    %-22s %s\n", demo->japanese ? "機器用パスワード" : "Scanner's password", demo->scanner);
    printf("\n  %s\n    ekirei account list --dir %s\n  %s\n    %s\n",
        demo->japanese ? "コマンドも使えます:" : "The command line works on it, too:", demo->dir,
        demo->japanese ? "サーバーのログ:" : "The server's log:", demo->log);
}

int cmd_demo(struct ctl *ctl)
{
    const char *lang = getenv("LC_ALL");
    struct demo demo = { .ready = -1 };
    if (!lang || lang[0] == '\0')
        lang = getenv("LC_MESSAGES");
    if (!lang || lang[0] == '\0')
        lang = getenv("LANG");
    demo.japanese = lang && strncmp(lang, "ja", 2) == 0;
    if (ctl->json)
        return ctl_usage("the demo is for people: it has no --json");
    if (ctl->values[OPTION_DIR])
        return ctl_usage("the demo makes a temporary folder (in $TMPDIR, else /tmp): it has no --dir");
    make_password(demo.hanako);
    make_password(demo.taro);
    demo_say(&demo,
        "ekirei: a mail server that asks everyone who wants to send: show your bell.\nStarting one in a temporary "
        "folder ...",
        "駅鈴: 手紙を運んでほしい人に「鈴を見せてください」と尋ねるメールサーバーです。\n一時フォルダーで起動します "
        "...");
    bool done = demo_make(&demo) && trust(&demo) && demo_serve(&demo) && demo_story(&demo);
    if (done && !ctl->values[OPTION_ONCE]) {
        print_table(&demo);
        demo_say(&demo, "\nserving until Ctrl-C", "\nserving until Ctrl-C (Ctrl-C で終わります)");
        demo_wait(&demo);
    }
    bool wanted = done || demo_is_over();
    demo_unmake(&demo);
    wipe(&demo, sizeof demo);
    return wanted ? CTL_DONE : CTL_FAILED;
}

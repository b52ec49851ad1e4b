/* replies.h - reads what an engine sends as a strict client would, and fails where a reply is out of form. */
#pragma once

#include "base/buf.h"

enum replies_kind { REPLIES_SMTP, REPLIES_POP3 };

struct replies {
    enum replies_kind kind;
    struct buf line;       /* the one that is not whole yet */
    unsigned code;         /* SMTP: of a reply whose last line has not come; else 0 */
    bool in_listing;       /* POP3: behind a +OK that begins several lines */
    bool in_message;       /* and what follows is a message: lines of any length */
};

void replies_init(struct replies *replies, enum replies_kind kind);
void replies_feed(struct replies *replies, struct slice sent);
bool replies_are_whole(const struct replies *replies); /* no line and no reply is half said */
void replies_done(struct replies *replies);

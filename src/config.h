/* config.h - ekirei.conf: one table of settings (name, default, unit, range, help), read strictly.
 *
 *   # comment
 *   [section]
 *   key = value            the setting section.key
 *   section.key = value    the same, outside any section
 *
 * Errors name file and line.  A list is divided by commas; an empty value is an empty list. */
#pragma once

#include "base/settings.h"

/* All defaults, hostname "localhost". */
struct settings *config_default(void);
/* Sets one; the name is "section.key".  NOT_FOUND: no such setting; MALFORMED: `why` says what is wrong and what would be right. */
MUST_USE enum status config_set(struct settings *settings, struct slice name, struct slice value, struct buf *why);
/* Checks what only holds for the whole (pairs of certificate and key, cap not below window ...). */
MUST_USE enum status config_finish(struct settings *settings, struct buf *why);
/* Reads a whole file's text over the defaults.  On failure `why` is "NAME:LINE: what, and what to do". */
MUST_USE enum status config_parse(struct slice text, const char *file_name, struct settings **out_settings, struct buf *why);

/* What an administrator should be reminded of, one sentence each; NULL past the end.  Said by `config check` and at every start. */
const char *config_risk(const struct settings *settings, size_t index);

struct config_row {
    const char *name, *preset, *unit, *range, *help;
};
const struct config_row *config_each(size_t index);   /* NULL past the end */
MUST_USE enum status config_print(const struct settings *settings, size_t index, struct buf *out); /* the value as it would be written */

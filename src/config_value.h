/* config_value.h - the kinds of values that ekirei.conf knows: reading one strictly, and writing it back.
 *
 * Times: a number and ms, s, min, h or d.  Sizes: a number and nothing, KB, MB, GB or TB (1 KB is 1024 octets).  A
 * range is two values of the row's own kind, or the words that may stand there, divided by '|'. */
#pragma once

#include "config.h"

enum config_kind {
    KIND_TEXT,      /* struct slice, at most 1024 octets */
    KIND_HOST,      /* struct slice, a host name */
    KIND_NUMBER,    /* uint32_t */
    KIND_YESNO,     /* bool */
    KIND_TIME,      /* msec */
    KIND_SIZE,      /* uint64_t octets */
    KIND_WORD,      /* uint32_t: `first` + place within the range's words */
    KIND_WORDS,     /* uint32_t: a set of 1 << (`first` + place within the range's words) */
    KIND_PATHS,     /* struct slices */
    KIND_ADDRESSES, /* struct slices: addresses without port */
    KIND_SERVERS,   /* struct slices: address[:port] */
    KIND_NETWORKS,  /* struct networks */
    KIND_OFFICES,   /* lease_office_networks and lease_office_names together */
    KIND_SMARTHOST, /* smarthost_host and smarthost_port together */
};

struct config_setting {
    struct config_row row;
    enum config_kind kind;
    uint16_t at;    /* offset within struct settings */
    uint32_t first; /* KIND_WORD: value of the first word; KIND_WORDS: its bit */
};

/* On failure the settings are as before, and `why` says what would be right. */
MUST_USE enum status config_value_put(
    struct settings *settings, const struct config_setting *setting, struct slice text, struct buf *why);
MUST_USE enum status config_value_print(
    const struct settings *settings, const struct config_setting *setting, struct buf *out);
/* Adds to an explanation; what does not fit is left out. */
void config_say(struct buf *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for octets that a person typed: quoted, cut, without control octets. */
void config_quote(struct buf *why, struct slice text);

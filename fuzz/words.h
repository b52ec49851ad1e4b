/* words.h - the words of each protocol, from the very rows that the engines read (DESIGN 4): each words_x.c includes the source that has the table. */
#pragma once

/* `before` and `behind` go round the word: "AUTH ", "PLAIN", "\r\n". */
typedef void words_put(const char *before, const char *word, const char *behind);

void words_smtp(words_put *put);
void words_envelope(words_put *put);
void words_pop3(words_put *put);
void words_policy(words_put *put);

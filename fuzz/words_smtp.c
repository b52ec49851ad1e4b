#include "proto/smtp/smtp.c"

#include "words.h"

void words_smtp(words_put *put)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        put("", commands[i].verb, commands[i].argument == ARGUMENT_SOME ? " " : "\r\n");
        if (commands[i].keyword)
            put("", commands[i].keyword, "");
    }
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        put("", extensions[i].keyword, "");
    put("", http_verbs[0], " / HTTP/1.1\r\n");
}

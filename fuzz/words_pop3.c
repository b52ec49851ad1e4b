#include "proto/pop3/pop3.c"

#include "words.h"

void words_pop3(words_put *put)
{
    static const char *const behind[] = { "\r\n", " 1\r\n", " 1 0\r\n" };
    for (size_t i = 0; i < sizeof commands / sizeof *commands && commands[i].verb[0] != '\0'; i++)
        for (size_t count = commands[i].least; count <= commands[i].most && count < 3; count++)
            put("", commands[i].verb, behind[count]);
}

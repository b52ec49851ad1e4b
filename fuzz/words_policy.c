#include "proto/policy/policy.c"

#include "words.h"

void words_policy(words_put *put)
{
    for (size_t i = 0; i < ATTRIBUTES; i++)
        put("", names[i], "=");
}

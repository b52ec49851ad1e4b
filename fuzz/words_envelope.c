#include "proto/smtp/smtp_envelope.c"

#include "words.h"

void words_envelope(words_put *put)
{
    for (size_t i = 0; i < PARAMETERS; i++)
        put(" ", parameters[i].name, parameters[i].needs_value ? "=" : "");
}

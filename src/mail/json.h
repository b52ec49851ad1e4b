/* json.h - JSON from strangers, for the files of this room: one reading with bounds, and no doubt about names.
 *
 * RFC 8259 4 leaves open what twice the same name means, and two readers that differ are a way in (RFC 7515 4): it is refused here. */
#pragma once

#include <jansson.h>

#include "base/slice.h"

#define JSON_DEPTH 16u /* arrays and objects within one another */

/* An object, to be released with json_decref(); NULL where the text is no such thing, or too deep. */
json_t *json_read(struct slice text);
/* A member that is a string; NO_SLICE: there is none, or it is something else.  Lives as long as `object`. */
struct slice json_text(const json_t *object, const char *name);
/* The value's text is `wanted`, or one of its strings is where it is an array. */
bool json_names(const json_t *value, struct slice wanted);
/* The hash of names is keyed, so that nobody can make them collide; once, before the first reading and before the jail. */
void json_start(uint64_t random);

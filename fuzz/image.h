/* image.h - a small store as octets, and how an input damages it.
 *
 * The store is made anew at the start of each run, so that nothing large has to be kept: an input is a row of changes to it.  Some change octets of the
 * files; others change cells through SQL, with every constraint taken out of the schema, so that what SQLite itself would notice does not hide
 * what we believe of a row. */
#pragma once

#include "fuzz.h"

void image_make(void);                     /* once */
const char *image_dir(void);               /* where the store lies */
void image_put(struct input *in);          /* the store anew, and damaged as the input says; what is left of the input is the caller's */

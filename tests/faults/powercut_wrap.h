/* powercut_wrap.h - chance and time as the scene wants them. */
#pragma once

#include <stdint.h>

void powercut_seed(uint64_t seed, uint64_t time);
void powercut_time(uint64_t time);
void powercut_folder(int folder);    /* in which the next bodies go; -1: in one of four */
unsigned powercut_checkpoints(void); /* since powercut_seed() */

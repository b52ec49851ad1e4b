/* sip.h - SipHash-2-4 (Aumasson and Bernstein, 2012): 64 bits that nobody foresees who does not know the key. */
#pragma once

#include "base/slice.h"

uint64_t sip_hash(struct slice text, const uint64_t key[2]);

/* gate.h - the role that meets strangers: accepts, drives protocol engines, asks the keeper.  Has no paths. */
#pragma once

#include "ask/ask.h"
#include "net/boot.h"

/* role: ROLE_MX or ROLE_USER.  Returns the exit status of the process. */
int gate_run(enum role role, struct role_start *start);

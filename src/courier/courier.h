/* courier.h - the role that connects out: claims due mail, attempts delivery, settles. */
#pragma once

#include "net/boot.h"

/* Returns the exit status of the process. */
int courier_run(struct role_start *start);

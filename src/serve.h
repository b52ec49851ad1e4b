/* serve.h - `ekirei serve`, and the start of a role: what stands between the settings file and the processes. */
#pragma once

/* Runs the server in the foreground until SIGTERM; returns the exit status. */
int serve_main(const char *dir);
/* One role, as the supervisor starts it (supervisor/supervisor.h); returns the exit status. */
int serve_role(const char *name);

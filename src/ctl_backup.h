/* ctl_backup.h - what `backup` and `restore` know of a backup. */
#pragma once

#include <sys/types.h>

#define BACKUP_ABOUT "backup.txt"

extern const char *const backup_entries[]; /* all that one holds; NULL at the end */
/* A file's mode, as `init` gives it: certificates and settings may be read by others, nothing else. */
mode_t backup_mode(const char *path);

/* must.h - assertions that stay on in release builds.
 *
 * must() is for bugs of ours only, never for what a peer, a disk or another process did.  It prints
 * the condition and aborts; the supervisor restarts the role.  The condition has no side effects. */
#pragma once

_Noreturn void must_failed(const char *condition, const char *file, int line);

#define must(condition) ((condition) ? (void)0 : must_failed(#condition, __FILE__, __LINE__))

/* Linux calls that Swift cannot import: variadic functions and function-like macros. */
#ifndef CASEMATE_CLINUX_H
#define CASEMATE_CLINUX_H
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
int casemate_open(const char *path, int flags, mode_t mode);
int casemate_openat(int directory, const char *path, int flags, mode_t mode);

/* A gate: one word, 0 when made. Opened once; opening happens before every return from a wait. */
void casemate_gate_open(uint32_t *gate);
void casemate_gate_wait(uint32_t *gate);
bool casemate_gate_is_open(const uint32_t *gate);

/* Keeps whole pages out of core dumps and forked children; true if they are also locked in memory. */
bool casemate_protect_secret(void *pages, size_t byte_count);

/* A word that is not zero in the process that asked first and zero in its forked children; NULL without memory. */
const uint64_t *casemate_fork_sentinel(void);
#endif

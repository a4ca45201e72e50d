/* Linux calls that Swift cannot import: variadic functions and function-like macros. */
#ifndef CASEMATE_CLINUX_H
#define CASEMATE_CLINUX_H
#include "CLinuxProcess.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "HostFile.h"
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

/* Files. Each returns 0 or an error number, unless it says otherwise. */
int casemate_set_direct(int descriptor, bool direct);
int casemate_set_blocking(int descriptor);
int casemate_allocate(int descriptor, uint64_t offset, uint64_t byte_count);
int casemate_punch(int descriptor, uint64_t offset, uint64_t byte_count);
int casemate_block_device_bytes(int descriptor, uint64_t *byte_count);
/* Whether nothing is stored in the range (a hole, or extents allocated and never written). */
bool casemate_is_unwritten(int descriptor, uint64_t offset, uint64_t byte_count);
/* Whether all of the range was written before. */
bool casemate_is_written(int descriptor, uint64_t offset, uint64_t byte_count);
/* pwritev2 with RWF_DSYNC: bytes written, or -1 with errno. */
ssize_t casemate_durable_pwrite(int descriptor, const void *bytes, size_t byte_count, uint64_t offset);
/* The write flag that makes one write durable. */
int casemate_durable_flag(void);

/* Starts a thread that takes no signals; it runs run(context). Returns 0 or an error number. */
int casemate_start_thread(unsigned long *thread, void *(*run)(void *), void *context);

/* The sum of a fast 64-bit hash over the sectors of 512 bytes that are not zero, each hashed with its number, which
   counts from first_sector. For telling contents apart; no protection against anybody. */
uint64_t casemate_fingerprint(const void *sectors, size_t sector_count, uint64_t first_sector);
/* Whether two ranges hold the same bytes. */
bool casemate_are_equal(const void *left, const void *right, size_t byte_count);
/* memmem(3): whether the bytes of needle stand somewhere in bytes. */
bool casemate_contains(const void *bytes, size_t byte_count, const void *needle, size_t needle_count);
#endif

/* Makes calls of the crypto library and of the system fail, as tests ask for.
 *
 * The names that FailingCalls.c defines stand before those of the shared libraries for everything in the program; each
 * passes on to the real one unless the calling thread has asked for failures. Calls inside of the libraries are not seen. */
#ifndef CASEMATE_FAILING_CALLS_H
#define CASEMATE_FAILING_CALLS_H
#include <stdint.h>

enum {
    /* Ciphers, digests, authenticators, key derivation, random bytes. Each fails as the library's functions do. */
    CASEMATE_FAILING_CRYPTO = 1,
    /* pread, pwrite, pwritev2. */
    CASEMATE_FAILING_TRANSFER = 2,
    /* fsync, fdatasync. */
    CASEMATE_FAILING_FLUSH = 4,
    /* open, fstat, flock, ftruncate, fallocate. */
    CASEMATE_FAILING_FILE = 8,
    /* io_uring: setting up, probing, submitting. */
    CASEMATE_FAILING_RING = 16,
    /* mmap. */
    CASEMATE_FAILING_MAPPING = 32,
    /* pthread_create. */
    CASEMATE_FAILING_THREAD = 64,
    /* Reads and writes by io_uring: they complete with EBADF, whatever the error asked for, or with half. */
    CASEMATE_FAILING_REQUEST = 128,
    /* io_uring: waiting for a completion. */
    CASEMATE_FAILING_COMPLETION = 256,
    /* io_uring: asking what the kernel knows, which then is nothing. */
    CASEMATE_FAILING_PROBE = 512,
};

/* As an error number: the call transfers half of what it was asked to. */
enum { CASEMATE_SHORT_TRANSFER = -1 };

/* Has calls of these kinds by this thread fail with an error number: `times` calls, once `after` of them have succeeded. */
void casemate_fail_calls(unsigned kinds, uint64_t after, uint64_t times, int error);

/* Whether mmap and pthread_create can be made to fail: a sanitizer has to see those itself. */
int casemate_resources_can_fail(void);

/* Ends that; how many calls of the kinds there were, those that failed included. */
uint64_t casemate_end_failing(void);
#endif

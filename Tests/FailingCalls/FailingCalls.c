#define _GNU_SOURCE
#include "FailingCalls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local struct {
    unsigned kinds;
    int error;
    uint64_t seen, after, times;
} plan;

void casemate_fail_calls(unsigned kinds, uint64_t after, uint64_t times, int error) {
    plan.kinds = kinds;
    plan.error = error;
    plan.seen = 0;
    plan.after = after;
    plan.times = times;
}

uint64_t casemate_end_failing(void) {
    plan.kinds = 0;
    return plan.seen;
}

/* Counts a call, and says whether it is one that is to fail. */
static bool fails(unsigned kind) {
    if (!(plan.kinds & kind)) return false;
    uint64_t number = plan.seen++;
    return number >= plan.after && number - plan.after < plan.times;
}

static int failure(void) {
    errno = plan.error;
    return -1;
}

/* Of a transfer that is to fail: whether it is only to be cut short. */
static bool is_short(size_t bytes) { return plan.error == CASEMATE_SHORT_TRANSFER && bytes > 1; }

/* The function of that name in the library. */
#define REAL(name)                                                               \
    ({                                                                           \
        static __typeof__(&name) real;                                           \
        __typeof__(real) found = __atomic_load_n(&real, __ATOMIC_RELAXED);       \
        if (!found) {                                                            \
            found = (__typeof__(real))dlsym(RTLD_NEXT, #name);                   \
            __atomic_store_n(&real, found, __ATOMIC_RELAXED);                    \
        }                                                                        \
        found;                                                                   \
    })

/* A function of the crypto library, which fails with `failed`. */
#define CRYPTO(result, failed, name, parameters, arguments) \
    result name parameters { return fails(CASEMATE_FAILING_CRYPTO) ? failed : REAL(name) arguments; }

/* A function of the system, which fails with -1 and an error number. */
#define SYSTEM(kind, name, parameters, arguments) \
    int name parameters { return fails(kind) ? failure() : REAL(name) arguments; }

CRYPTO(int, 0, RAND_bytes, (unsigned char *bytes, int count), (bytes, count))
CRYPTO(EVP_CIPHER_CTX *, NULL, EVP_CIPHER_CTX_new, (void), ())
CRYPTO(int, 0, EVP_EncryptInit_ex2,
       (EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher, const unsigned char *key, const unsigned char *nonce,
        const OSSL_PARAM parameters[]),
       (context, cipher, key, nonce, parameters))
CRYPTO(int, 0, EVP_DecryptInit_ex2,
       (EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher, const unsigned char *key, const unsigned char *nonce,
        const OSSL_PARAM parameters[]),
       (context, cipher, key, nonce, parameters))
CRYPTO(int, 0, EVP_EncryptUpdate,
       (EVP_CIPHER_CTX *context, unsigned char *output, int *written, const unsigned char *input, int count),
       (context, output, written, input, count))
CRYPTO(int, 0, EVP_DecryptUpdate,
       (EVP_CIPHER_CTX *context, unsigned char *output, int *written, const unsigned char *input, int count),
       (context, output, written, input, count))
CRYPTO(int, 0, EVP_EncryptFinal_ex, (EVP_CIPHER_CTX *context, unsigned char *output, int *written),
       (context, output, written))
CRYPTO(int, 0, EVP_CIPHER_CTX_ctrl, (EVP_CIPHER_CTX *context, int command, int number, void *pointer),
       (context, command, number, pointer))
CRYPTO(EVP_MAC_CTX *, NULL, EVP_MAC_CTX_new, (EVP_MAC *mac), (mac))
CRYPTO(int, 0, EVP_MAC_init,
       (EVP_MAC_CTX *context, const unsigned char *key, size_t count, const OSSL_PARAM parameters[]),
       (context, key, count, parameters))
CRYPTO(int, 0, EVP_MAC_update, (EVP_MAC_CTX *context, const unsigned char *bytes, size_t count),
       (context, bytes, count))
CRYPTO(int, 0, EVP_MAC_final, (EVP_MAC_CTX *context, unsigned char *output, size_t *written, size_t room),
       (context, output, written, room))
CRYPTO(int, 0, EVP_Q_digest,
       (OSSL_LIB_CTX *library, const char *name, const char *properties, const void *bytes, size_t count,
        unsigned char *output, size_t *written),
       (library, name, properties, bytes, count, output, written))
CRYPTO(EVP_MD_CTX *, NULL, EVP_MD_CTX_new, (void), ())
CRYPTO(int, 0, EVP_DigestInit_ex2, (EVP_MD_CTX *context, const EVP_MD *digest, const OSSL_PARAM parameters[]),
       (context, digest, parameters))
CRYPTO(int, 0, EVP_DigestUpdate, (EVP_MD_CTX *context, const void *bytes, size_t count), (context, bytes, count))
CRYPTO(int, 0, EVP_DigestFinal_ex, (EVP_MD_CTX *context, unsigned char *output, unsigned *written),
       (context, output, written))
CRYPTO(EVP_KDF_CTX *, NULL, EVP_KDF_CTX_new, (EVP_KDF *kdf), (kdf))
CRYPTO(int, 0, EVP_KDF_derive,
       (EVP_KDF_CTX *context, unsigned char *output, size_t count, const OSSL_PARAM parameters[]),
       (context, output, count, parameters))
CRYPTO(int, 0, EVP_PBE_scrypt,
       (const char *passphrase, size_t passphrase_count, const unsigned char *salt, size_t salt_count, uint64_t n,
        uint64_t r, uint64_t p, uint64_t limit, unsigned char *output, size_t count),
       (passphrase, passphrase_count, salt, salt_count, n, r, p, limit, output, count))

ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset) {
    if (fails(CASEMATE_FAILING_TRANSFER)) {
        if (!is_short(count)) return failure();
        count /= 2;
    }
    return REAL(pread)(descriptor, bytes, count, offset);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    if (fails(CASEMATE_FAILING_TRANSFER)) {
        if (!is_short(count)) return failure();
        count /= 2;
    }
    return REAL(pwrite)(descriptor, bytes, count, offset);
}

/* The program writes one piece at a time. */
ssize_t pwritev2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags) {
    struct iovec first = *pieces;
    if (fails(CASEMATE_FAILING_TRANSFER)) {
        if (!is_short(first.iov_len)) return failure();
        first.iov_len /= 2;
        pieces = &first;
        count = 1;
    }
    return REAL(pwritev2)(descriptor, pieces, count, offset, flags);
}

SYSTEM(CASEMATE_FAILING_FLUSH, fsync, (int descriptor), (descriptor))
SYSTEM(CASEMATE_FAILING_FLUSH, fdatasync, (int descriptor), (descriptor))
SYSTEM(CASEMATE_FAILING_FILE, fstat, (int descriptor, struct stat *status), (descriptor, status))
SYSTEM(CASEMATE_FAILING_FILE, flock, (int descriptor, int operation), (descriptor, operation))
SYSTEM(CASEMATE_FAILING_FILE, ftruncate, (int descriptor, off_t size), (descriptor, size))
SYSTEM(CASEMATE_FAILING_FILE, fallocate, (int descriptor, int mode, off_t offset, off_t count),
       (descriptor, mode, offset, count))

int open(const char *path, int flags, ...) {
    if (fails(CASEMATE_FAILING_FILE)) return failure();
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return REAL(open)(path, flags, mode);
}

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags) {
    return fails(CASEMATE_FAILING_RING) ? -plan.error : REAL(io_uring_queue_init)(entries, ring, flags);
}

struct io_uring_probe *io_uring_get_probe_ring(struct io_uring *ring) {
    if (fails(CASEMATE_FAILING_RING)) return NULL;
    struct io_uring_probe *probe = REAL(io_uring_get_probe_ring)(ring);
    if (probe && fails(CASEMATE_FAILING_PROBE)) {
        for (unsigned index = 0; index < probe->ops_len; index++) probe->ops[index].flags = 0;
    }
    return probe;
}

/* Has prepared reads and writes that are to fail be refused by the kernel, or be shorter. */
static void change_requests(struct io_uring *ring) {
    for (unsigned at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++) {
        struct io_uring_sqe *entry = &ring->sq.sqes[at & ring->sq.ring_mask];
        if (entry->opcode != IORING_OP_READ && entry->opcode != IORING_OP_WRITE) continue;
        if (!fails(CASEMATE_FAILING_REQUEST)) continue;
        if (is_short(entry->len)) {
            entry->len /= 2;
        } else {
            entry->fd = -1;
        }
    }
}

int io_uring_submit(struct io_uring *ring) {
    if (fails(CASEMATE_FAILING_RING)) return -plan.error;
    change_requests(ring);
    return REAL(io_uring_submit)(ring);
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count) {
    if (fails(CASEMATE_FAILING_RING)) return -plan.error;
    change_requests(ring);
    return REAL(io_uring_submit_and_wait)(ring, count);
}

/* What waiting for a completion that is not there yet comes to. */
int __io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **completion, unsigned submit, unsigned count,
                       sigset_t *signals) {
    if (count > 0 && fails(CASEMATE_FAILING_COMPLETION)) return -plan.error;
    return REAL(__io_uring_get_cqe)(ring, completion, submit, count, signals);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

#ifdef IS_SANITIZED
int casemate_resources_can_fail(void) { return 0; }
#else
int casemate_resources_can_fail(void) { return 1; }

void *mmap(void *place, size_t count, int protection, int flags, int descriptor, off_t offset) {
    if (fails(CASEMATE_FAILING_MAPPING)) {
        errno = plan.error;
        return MAP_FAILED;
    }
    return REAL(mmap)(place, count, protection, flags, descriptor, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *context) {
    return fails(CASEMATE_FAILING_THREAD) ? plan.error : REAL(pthread_create)(thread, attributes, body, context);
}
#endif

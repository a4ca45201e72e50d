#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int casemate_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }

int casemate_openat(int directory, const char *path, int flags, mode_t mode) {
    return openat(directory, path, flags, mode);
}

enum { GATE_SHUT, GATE_AWAITED, GATE_OPEN };

void casemate_gate_open(uint32_t *gate) {
    if (__atomic_exchange_n(gate, GATE_OPEN, __ATOMIC_RELEASE) == GATE_AWAITED)
        syscall(SYS_futex, gate, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void casemate_gate_wait(uint32_t *gate) {
    for (;;) {
        uint32_t seen = __atomic_load_n(gate, __ATOMIC_ACQUIRE);
        if (seen == GATE_OPEN) return;
        if (seen == GATE_SHUT &&
            !__atomic_compare_exchange_n(gate, &seen, GATE_AWAITED, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            continue;
        syscall(SYS_futex, gate, FUTEX_WAIT_PRIVATE, GATE_AWAITED, NULL, NULL, 0);
    }
}

bool casemate_gate_is_open(const uint32_t *gate) { return __atomic_load_n(gate, __ATOMIC_ACQUIRE) == GATE_OPEN; }

bool casemate_protect_secret(void *pages, size_t byte_count) {
    madvise(pages, byte_count, MADV_DONTDUMP);
    madvise(pages, byte_count, MADV_WIPEONFORK);
    return mlock(pages, byte_count) == 0;
}

const uint64_t *casemate_fork_sentinel(void) {
    uint64_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (word == MAP_FAILED) return NULL;
    if (madvise(word, 4096, MADV_WIPEONFORK) != 0) {
        munmap(word, 4096);
        return NULL;
    }
    *word = 1;
    return word;
}

static int status_flag(int descriptor, int flag, bool on) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return errno;
    return fcntl(descriptor, F_SETFL, on ? flags | flag : flags & ~flag) < 0 ? errno : 0;
}

int casemate_set_direct(int descriptor, bool direct) { return status_flag(descriptor, O_DIRECT, direct); }

int casemate_set_blocking(int descriptor) { return status_flag(descriptor, O_NONBLOCK, false); }

static int fallocate_retrying(int descriptor, int mode, uint64_t offset, uint64_t byte_count) {
    int done;
    do
        done = fallocate(descriptor, mode, (off_t)offset, (off_t)byte_count);
    while (done != 0 && errno == EINTR);
    return done == 0 ? 0 : errno;
}

int casemate_allocate(int descriptor, uint64_t offset, uint64_t byte_count) {
    return fallocate_retrying(descriptor, 0, offset, byte_count);
}

int casemate_punch(int descriptor, uint64_t offset, uint64_t byte_count) {
    return fallocate_retrying(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, byte_count);
}

int casemate_block_device_bytes(int descriptor, uint64_t *byte_count) {
    return ioctl(descriptor, BLKGETSIZE64, byte_count) == 0 ? 0 : errno;
}

bool casemate_is_unwritten(int descriptor, uint64_t offset, uint64_t byte_count) {
    off_t data = lseek(descriptor, (off_t)offset, SEEK_DATA);
    return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + byte_count;
}

bool casemate_is_written(int descriptor, uint64_t offset, uint64_t byte_count) {
    off_t hole = lseek(descriptor, (off_t)offset, SEEK_HOLE);
    return hole >= 0 && (uint64_t)hole >= offset + byte_count;
}

ssize_t casemate_durable_pwrite(int descriptor, const void *bytes, size_t byte_count, uint64_t offset) {
    struct iovec piece = {(void *)bytes, byte_count};
    return pwritev2(descriptor, &piece, 1, (off_t)offset, RWF_DSYNC);
}

int casemate_durable_flag(void) { return RWF_DSYNC; }

int casemate_start_thread(unsigned long *thread, void *(*run)(void *), void *context) {
    sigset_t all, before;
    sigfillset(&all);
    /* A thread inherits the mask of its maker. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

enum { SECTOR_WORDS = 512 / 8 };

uint64_t casemate_fingerprint(const void *sectors, size_t sector_count, uint64_t first_sector) {
    uint64_t sum = 0;
    for (size_t sector = 0; sector < sector_count; sector++) {
        uint64_t words[SECTOR_WORDS], any = 0, hash = (first_sector + sector) * 0x9e3779b97f4a7c15u;
        memcpy(words, (const char *)sectors + sector * sizeof words, sizeof words);
        for (size_t at = 0; at < SECTOR_WORDS; at++) {
            any |= words[at];
            hash = (hash ^ words[at]) * 0xff51afd7ed558ccdu;
            hash ^= hash >> 32;
        }
        if (!any) continue;
        hash *= 0xc4ceb9fe1a85ec53u;
        sum += hash ^ hash >> 29;
    }
    return sum;
}

bool casemate_are_equal(const void *left, const void *right, size_t byte_count) {
    return byte_count == 0 || memcmp(left, right, byte_count) == 0;
}

bool casemate_contains(const void *bytes, size_t byte_count, const void *needle, size_t needle_count) {
  return bytes != NULL && memmem(bytes, byte_count, needle, needle_count) != NULL;
}

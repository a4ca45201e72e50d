#define _GNU_SOURCE
#include "CLinux.h"

#include <linux/futex.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/syscall.h>
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

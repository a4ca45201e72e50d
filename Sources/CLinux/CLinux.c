#define _GNU_SOURCE
#include "CLinux.h"

int casemate_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }

int casemate_openat(int directory, const char *path, int flags, mode_t mode) {
    return openat(directory, path, flags, mode);
}

#define _GNU_SOURCE
#include "HostFile.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

const int CASEMATE_OPEN_NO_ACCESS_TIME = O_NOATIME;

static struct timespec time_of(struct statx_timestamp stamp) {
    struct timespec time = {.tv_sec = stamp.tv_sec, .tv_nsec = stamp.tv_nsec};
    return time;
}

static int status(int directory, const char *name, int flags, struct casemate_status *status) {
    struct statx found;
    if (statx(directory, name, flags | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &found) != 0) return -1;
    memset(status, 0, sizeof *status);
    status->device = makedev(found.stx_dev_major, found.stx_dev_minor);
    status->inode = found.stx_ino;
    status->size = found.stx_size;
    status->blocks512 = found.stx_blocks;
    status->rdev = makedev(found.stx_rdev_major, found.stx_rdev_minor);
    status->mode = found.stx_mode;
    status->links = found.stx_nlink;
    status->user = found.stx_uid;
    status->group = found.stx_gid;
    status->preferred_bytes = found.stx_blksize;
    status->birth_known = (found.stx_mask & STATX_BTIME) != 0;
    status->accessed = time_of(found.stx_atime);
    status->modified = time_of(found.stx_mtime);
    status->changed = time_of(found.stx_ctime);
    status->born = status->birth_known ? time_of(found.stx_btime) : status->changed;
    return 0;
}

int casemate_status(int descriptor, struct casemate_status *result) {
    return status(descriptor, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, result);
}

int casemate_status_at(int directory, const char *name, struct casemate_status *result) {
    return status(directory, name, AT_SYMLINK_NOFOLLOW, result);
}

/* /proc/self/fd/N leads to the very file that N refers to, without a walk by name. */
struct magic_link {
    char path[32];
};

static struct magic_link magic_link(int descriptor) {
    struct magic_link link;
    snprintf(link.path, sizeof link.path, "/proc/self/fd/%d", descriptor);
    return link;
}

int casemate_open_path(int directory, const char *name) {
    return openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

int casemate_open_root(const char *path) { return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); }

int casemate_path_of(int descriptor) { return open(magic_link(descriptor).path, O_PATH | O_CLOEXEC); }

int casemate_reopen(int descriptor, int flags) { return open(magic_link(descriptor).path, flags | O_CLOEXEC | O_NOCTTY); }

int casemate_create(int directory, const char *name, mode_t mode) {
    return openat(directory, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDONLY | O_CLOEXEC, mode);
}

int casemate_create_unnamed(int directory, mode_t mode) {
    return openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
}

int casemate_change_owner(int descriptor, uid_t user, gid_t group) {
    return fchownat(descriptor, "", user, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

int casemate_change_mode(int descriptor, mode_t mode) { return chmod(magic_link(descriptor).path, mode); }

int casemate_change_times(int descriptor, const struct timespec times[2]) {
    return utimensat(descriptor, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

int casemate_truncate(int descriptor, off_t size) { return truncate(magic_link(descriptor).path, size); }

int casemate_link(int descriptor, int is_symbolic_link, int directory, const char *name) {
    if (is_symbolic_link) return linkat(descriptor, "", directory, name, AT_EMPTY_PATH);
    return linkat(AT_FDCWD, magic_link(descriptor).path, directory, name, AT_SYMLINK_FOLLOW);
}

ssize_t casemate_read_link(int descriptor, char *target, size_t bytes) {
    return readlinkat(descriptor, "", target, bytes);
}

int casemate_rename(int directory, const char *name, int new_directory, const char *new_name, unsigned flags) {
    return renameat2(directory, name, new_directory, new_name, flags);
}

ssize_t casemate_list(int descriptor, void *buffer, size_t bytes) { return getdents64(descriptor, buffer, bytes); }

ssize_t casemate_append(int descriptor, const void *bytes, size_t count) {
    struct iovec piece = {.iov_base = (void *)bytes, .iov_len = count};
    return pwritev2(descriptor, &piece, 1, -1, RWF_APPEND);
}

int casemate_host_allocate(int descriptor, int mode, off_t offset, off_t length) {
    static const int modes[] = {
        0,
        FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_COLLAPSE_RANGE,
        FALLOC_FL_INSERT_RANGE,
    };
    if (mode < 0 || (size_t)mode >= sizeof modes / sizeof modes[0]) {
        errno = EINVAL;
        return -1;
    }
    return fallocate(descriptor, modes[mode], offset, length);
}

off_t casemate_seek(int descriptor, off_t offset, int hole) {
    return lseek(descriptor, offset, hole ? SEEK_HOLE : SEEK_DATA);
}

int casemate_sync_filesystem(int descriptor) { return syncfs(descriptor); }

ssize_t casemate_get_attribute(int descriptor, const char *name, void *value, size_t bytes) {
    return getxattr(magic_link(descriptor).path, name, value, bytes);
}

ssize_t casemate_list_attributes(int descriptor, char *names, size_t bytes) {
    return listxattr(magic_link(descriptor).path, names, bytes);
}

int casemate_set_attribute(int descriptor, const char *name, const void *value, size_t bytes, int mode) {
    return setxattr(magic_link(descriptor).path, name, value, bytes, mode);
}

int casemate_remove_attribute(int descriptor, const char *name) {
    return removexattr(magic_link(descriptor).path, name);
}

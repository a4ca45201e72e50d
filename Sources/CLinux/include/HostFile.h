/* Calls on files of the host that glibc declares for C with _GNU_SOURCE only. All return -1 with errno set on failure. */
#ifndef CASEMATE_HOSTFILE_H
#define CASEMATE_HOSTFILE_H
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* What statx(2) tells, without its reserved fields. */
struct casemate_status {
    uint64_t device, inode, size, blocks512, rdev;
    uint32_t mode, links, user, group, preferred_bytes;
    int birth_known;
    struct timespec accessed, modified, changed, born;
};

/* The file behind `descriptor` itself, O_PATH descriptors and symbolic links included. */
int casemate_status(int descriptor, struct casemate_status *status);
/* The entry `name` of a directory; a symbolic link is not followed. */
int casemate_status_at(int directory, const char *name, struct casemate_status *status);

/* An O_PATH descriptor of one path component; a symbolic link is opened itself. */
int casemate_open_path(int directory, const char *name);
/* An O_PATH descriptor of a directory by path; symbolic links in it are followed. */
int casemate_open_root(const char *path);
/* An O_PATH descriptor of the file that `descriptor` refers to. */
int casemate_path_of(int descriptor);
/* Opens the file behind an O_PATH descriptor; it must be a regular file or a directory. */
int casemate_reopen(int descriptor, int flags);
/* Makes a regular file; fails where anything has the name, a symbolic link too. */
int casemate_create(int directory, const char *name, mode_t mode);
/* Makes a regular file without a name. */
int casemate_create_unnamed(int directory, mode_t mode);

int casemate_change_owner(int descriptor, uid_t user, gid_t group);
int casemate_change_mode(int descriptor, mode_t mode);
/* UTIME_NOW and UTIME_OMIT of utimensat(2), for the nanoseconds of `times`. */
enum { CASEMATE_TIME_NOW = (1 << 30) - 1, CASEMATE_TIME_OMIT = (1 << 30) - 2 };
/* O_NOATIME of open(2). */
extern const int CASEMATE_OPEN_NO_ACCESS_TIME;
int casemate_change_times(int descriptor, const struct timespec times[2]);
int casemate_truncate(int descriptor, off_t size);
int casemate_link(int descriptor, int is_symbolic_link, int directory, const char *name);
/* The target of a symbolic link, by an O_PATH descriptor of the link itself; not NUL-terminated. */
ssize_t casemate_read_link(int descriptor, char *target, size_t bytes);
int casemate_rename(int directory, const char *name, int new_directory, const char *new_name, unsigned flags);

ssize_t casemate_list(int descriptor, void *buffer, size_t bytes);
/* Appends, and leaves the file position just past what was written. */
ssize_t casemate_append(int descriptor, const void *bytes, size_t count);
/* mode: 0 allocate, 1 keeping size, 2 punch, 3 zero, 4 zero keeping size, 5 collapse, 6 insert. */
int casemate_host_allocate(int descriptor, int mode, off_t offset, off_t length);
off_t casemate_seek(int descriptor, off_t offset, int hole);
int casemate_sync_filesystem(int descriptor);

ssize_t casemate_get_attribute(int descriptor, const char *name, void *value, size_t bytes);
ssize_t casemate_list_attributes(int descriptor, char *names, size_t bytes);
/* mode: 0 either, 1 create, 2 replace. */
int casemate_set_attribute(int descriptor, const char *name, const void *value, size_t bytes, int mode);
int casemate_remove_attribute(int descriptor, const char *name);
#endif

/* Linux calls that Swift cannot import: variadic functions and function-like macros. */
#ifndef CASEMATE_CLINUX_H
#define CASEMATE_CLINUX_H
#include <fcntl.h>
#include <stdint.h>
#include <sys/types.h>
int casemate_open(const char *path, int flags, mode_t mode);
int casemate_openat(int directory, const char *path, int flags, mode_t mode);
#endif

#ifndef CASEMATE_CLIBURING_H
#define CASEMATE_CLIBURING_H
/* liburing.h asks for X/Open's view of the C library; Swift's Glibc module has another. The first view taken stays. */
#include <sys/select.h>

#include <liburing.h>
#endif

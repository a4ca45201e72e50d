#ifndef CASEMATE_CLIBURING_H
#define CASEMATE_CLIBURING_H
#include <liburing.h>
#endif

#define _GNU_SOURCE
#include "CLinuxProcess.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

void casemate_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

static void ignore_interrupt(int signal) { (void)signal; }

int casemate_interrupt_signal(void) {
    int signal = SIGRTMIN + 5;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = ignore_interrupt;
    sigemptyset(&action.sa_mask);
    return sigaction(signal, &action, NULL) == 0 ? signal : -errno;
}

/* Written before the handler is installed, with the signal ignored meanwhile. */
static char removed_path[PATH_MAX];
static volatile int interrupt_status;

static void exit_on_interrupt(int signal) {
    (void)signal;
    if (removed_path[0] != 0) unlink(removed_path);
    _exit(interrupt_status);
}

static int set_interrupt(void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigfillset(&action.sa_mask);
    return sigaction(SIGINT, &action, NULL) == 0 ? 0 : -errno;
}

int casemate_ignore_interrupt(void) { return set_interrupt(SIG_IGN); }

int casemate_exit_on_interrupt(int status, const char *path) {
    if (path != NULL && strlen(path) >= sizeof removed_path) return -ENAMETOOLONG;
    int result = casemate_ignore_interrupt();
    if (result != 0) return result;
    interrupt_status = status;
    removed_path[0] = 0;
    if (path != NULL) strcpy(removed_path, path);
    return set_interrupt(exit_on_interrupt);
}

void casemate_unblock_signal(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* A descriptor plus one in every used place: zero is free. Read by the handler, so nothing but atomics. */
enum { watcher_limit = 16, end_signal_count = 3 };
static _Atomic int watchers[watcher_limit];
static const int end_signals[end_signal_count] = {SIGINT, SIGTERM, SIGHUP};
static struct sigaction former_actions[end_signal_count];
static struct sigaction former_pipe_action;
static pthread_mutex_t watchers_mutex = PTHREAD_MUTEX_INITIALIZER;
static int watcher_count;

static void announce_end(int signal) {
    (void)signal;
    int saved = errno;
    uint64_t one = 1;
    for (int i = 0; i < watcher_limit; i++) {
        int descriptor = atomic_load(&watchers[i]) - 1;
        if (descriptor >= 0 && write(descriptor, &one, sizeof one) < 0) continue;
    }
    errno = saved;
}

static int install_handlers(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigfillset(&action.sa_mask);
    for (int i = 0; i < end_signal_count; i++) {
        if (sigaction(end_signals[i], NULL, &former_actions[i]) != 0) return -errno;
        /* nohup(1): what was ignored stays ignored. */
        if (former_actions[i].sa_handler == SIG_IGN) continue;
        action.sa_handler = announce_end;
        action.sa_flags = SA_RESTART;
        if (sigaction(end_signals[i], &action, NULL) != 0) return -errno;
    }
    action.sa_handler = SIG_IGN;
    return sigaction(SIGPIPE, &action, &former_pipe_action) == 0 ? 0 : -errno;
}

int casemate_watch_end_signals(int descriptor) {
    int result = -EMFILE;
    pthread_mutex_lock(&watchers_mutex);
    for (int i = 0; i < watcher_limit; i++) {
        if (atomic_load(&watchers[i]) != 0) continue;
        result = watcher_count == 0 ? install_handlers() : 0;
        if (result == 0) {
            atomic_store(&watchers[i], descriptor + 1);
            watcher_count++;
        }
        break;
    }
    pthread_mutex_unlock(&watchers_mutex);
    /* Started by a program that blocks them, we would inherit that. */
    for (int s = 0; s < end_signal_count; s++) casemate_unblock_signal(end_signals[s]);
    return result;
}

void casemate_unwatch_end_signals(int descriptor) {
    pthread_mutex_lock(&watchers_mutex);
    for (int i = 0; i < watcher_limit; i++) {
        if (atomic_load(&watchers[i]) != descriptor + 1) continue;
        atomic_store(&watchers[i], 0);
        if (--watcher_count > 0) break;
        for (int s = 0; s < end_signal_count; s++) sigaction(end_signals[s], &former_actions[s], NULL);
        sigaction(SIGPIPE, &former_pipe_action, NULL);
        break;
    }
    pthread_mutex_unlock(&watchers_mutex);
}

int casemate_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int casemate_forbid_dumps(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -errno; }

void casemate_bound_heap(int arenas, int large) {
    /* Either may be refused by another allocator, which then has its own ways. */
    mallopt(M_ARENA_MAX, arenas);
    mallopt(M_MMAP_THRESHOLD, large);
}

int casemate_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }

int casemate_peer_user(int socket, uid_t *user) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return -errno;
    *user = peer.uid;
    return 0;
}

int casemate_ioctl(int descriptor, unsigned long request, void *argument) {
    return ioctl(descriptor, request, argument);
}

int casemate_spawn_attributes_detached(posix_spawnattr_t *attributes) {
    sigset_t none, changed;
    sigemptyset(&none);
    sigemptyset(&changed);
    for (int i = 0; i < end_signal_count; i++) sigaddset(&changed, end_signals[i]);
    sigaddset(&changed, SIGPIPE);
    int result = posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (result == 0) result = posix_spawnattr_setsigmask(attributes, &none);
    return result == 0 ? posix_spawnattr_setsigdefault(attributes, &changed) : result;
}

int casemate_spawn_close_from(posix_spawn_file_actions_t *actions, int first) {
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

int casemate_syncfs(int descriptor) { return syncfs(descriptor); }

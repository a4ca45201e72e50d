/* Process-wide calls for programs that serve a mount. */
#ifndef CASEMATE_CLINUX_PROCESS_H
#define CASEMATE_CLINUX_PROCESS_H
#include <sys/types.h>

/* Names the calling thread; at most 15 bytes. */
void casemate_name_thread(const char *name);

/* Installs a handler that does nothing, without SA_RESTART, for a real-time signal, and returns its number: sent to a
   thread, it ends a blocked system call with EINTR. Negative: minus errno. */
int casemate_interrupt_signal(void);

/* Lets the calling thread take the signal, whatever mask it inherited. */
void casemate_unblock_signal(int signal);

/* From now on SIGINT, SIGTERM and SIGHUP write 8 bytes to descriptor (an eventfd); SIGPIPE is ignored. Signals that
   were ignored stay so; the calling thread takes them, whatever mask it inherited. At most 16 descriptors. Returns 0 or minus errno. */
int casemate_watch_end_signals(int descriptor);

/* Ends what casemate_watch_end_signals began; with the last one the signals' former dispositions return. */
void casemate_unwatch_end_signals(int descriptor);

/* From now on SIGINT removes path, if it is not NULL, and ends the process at once with status. path is copied; a
   longer one than PATH_MAX is refused. For work that only reads, or whose half-made result is of no use. Returns 0 or
   minus errno. */
int casemate_exit_on_interrupt(int status, const char *path);

/* SIGINT does nothing from now on. */
int casemate_ignore_interrupt(void);

/* eventfd(2), close-on-exec. */
int casemate_eventfd(void);

/* PR_SET_DUMPABLE 0. Returns 0 or minus errno. */
int casemate_forbid_dumps(void);

/* mallopt(3): so many arenas at most, and what is larger than so many bytes goes back to the system when it is freed. */
void casemate_bound_heap(int arenas, int large);

/* SO_PEERCRED of a connected socket: who called connect(2), or for the caller's end listen(2). Returns 0 or minus errno. */
int casemate_peer_user(int socket, uid_t *user);

/* accept4(2), close-on-exec: the connection, or -1 with errno. */
int casemate_accept(int listener);

int casemate_ioctl(int descriptor, unsigned long request, void *argument);

/* syncfs(2). */
int casemate_syncfs(int descriptor);

/* Spawn attributes: a session of its own, nothing blocked, default dispositions. Returns 0 or an error number. */
#include <spawn.h>
int casemate_spawn_attributes_detached(posix_spawnattr_t *attributes);
int casemate_spawn_close_from(posix_spawn_file_actions_t *actions, int first);
#endif

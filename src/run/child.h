/* A child process with a line protocol: started, written to, read by lines, killed, explained.
 *
 * Its lines come on descriptor PROTOCOL_ANSWERS_FD, which its environment names and no library
 * knows.  What it writes to standard output and standard error, much or little, is its log.
 *
 * Owns the process (in a process group of its own, so a terminal's Ctrl-C reaches only the parent
 * and a kill reaches all of it), its pipes and the tail of its log.  Knows nothing of what the
 * lines mean.  Never waits without a deadline. */
#ifndef RUN_CHILD_H
#define RUN_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/status.h"

#define CHILD_LOG_LINES 20 /* of its log that a failure shows */

typedef struct child child;

typedef struct child_options {
    const char *const *argv; /* program (searched in PATH) and arguments, NULL at the end */
    const char *const *env;  /* NAME=VALUE beyond the parent's own, NULL at the end; may be NULL */
    size_t line_max;         /* a longer line is an error */
    bool plain; /* its answers are its standard output, and it speaks no protocol: a command */
    /* Whether a line of the log is an answer that went astray; looked at until the first answer
     * has come.  May be NULL. */
    bool (*is_astray)(const char *line, size_t length);
    const volatile sig_atomic_t *interrupted; /* ends every wait when not 0; may be NULL */
} child_options;

/* Start the program.  BE_UNAVAILABLE if there is no such program, BE_IO if no pipe or process can
 * be had. */
BE_CHECKED be_status child_start(child **out, const child_options *options, be_error *err);

/* Write all bytes before the deadline (clock_now_ns).  BE_IO with the reason of its end if the
 * child has gone, BE_FAILED at the deadline, BE_INTERRUPTED.  After an error only child_stop. */
BE_CHECKED be_status child_send(child *c, const char *bytes, size_t length, int64_t deadline_ns,
                                be_error *err);

/* The next line of its answers, without the '\n', terminated, valid until the next call.
 * *arrived_ns (may be NULL) is the time when its last byte was read.  BE_IO with the reason of its
 * end if the child has gone, BE_BAD_DATA for a line over line_max or one astray, BE_FAILED at the
 * deadline (the child is killed: it hangs), BE_INTERRUPTED.  After an error only child_stop. */
BE_CHECKED be_status child_read_line(child *c, const char **line, size_t *length,
                                     int64_t *arrived_ns, int64_t deadline_ns, be_error *err);

/* For who waits for several things at once, and never here: what to wait for (its answers, its log;
 * a descriptor is -1 once it is closed), and the next line of its answers if it has come, else
 * *line is NULL; *has_ended: there will be none any more.  BE_BAD_DATA for a line over line_max. */
void child_watch(const child *c, struct pollfd out[2]);
BE_CHECKED be_status child_take_line(child *c, const char **line, bool *has_ended, be_error *err);

/* BE_OK if the child has written nothing that is not read yet; else BE_BAD_DATA with the text:
 * asked before a request, this finds output that is no answer to anything. */
BE_CHECKED be_status child_expect_silence(child *c, be_error *err);

/* Close its standard input, give it grace_s seconds to end, then kill it; frees c.  The text of
 * its end ("exited with 0") goes to `ending` and its peak memory to *peak_rss_bytes (both may be
 * NULL).  Returns the exit code, or -signal. */
int child_stop(child *c, double grace_s, char *ending, size_t size, int64_t *peak_rss_bytes);

/* The last CHILD_LOG_LINES lines of its log, cleaned for a terminal; "" if none. */
char *child_log(child *c, char *out, size_t size);

/* Largest resident memory so far in bytes, -1 where the system does not tell (a child that has
 * ended tells through child_stop). */
int64_t child_peak_rss_bytes(const child *c);

/* Processor time of all its threads so far in ns, -1 where the system does not tell. */
int64_t child_cpu_ns(const child *c);

/* The same with the processes that it started and that are alive; where the system does not list
 * them, its own alone.  Costs a look at every process of the machine. */
int64_t child_group_cpu_ns(const child *c);

/* Wait until the child sleeps: none of its threads runs in two looks, or, where the system does not
 * tell their states, they use under 5 % of a processor.  Thread pools spin for a while after their
 * work (libgomp about 1 ms, OpenBLAS about 30 ms), which would disturb whoever is timed next.
 * Returns the seconds waited, negative if it was still busy after limit_s, 0 where the system tells
 * nothing. */
double child_settle(const child *c, double limit_s);

int64_t child_pid(const child *c);

#endif

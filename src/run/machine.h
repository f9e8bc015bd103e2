/* The limits of this machine's devices, measured once and kept.
 *
 * One JSON file for each machine, device, number of threads, driver and build below
 * $XDG_CACHE_HOME/breakeven/machine, good for a week.  A file that is damaged, too old or of
 * something else is measured again.  The measuring is done by a runner: a child process that
 * holds the device, and ends.  A processor's limits that were measured while other programs were at
 * work are too low, and are not kept. */
#ifndef RUN_MACHINE_H
#define RUN_MACHINE_H

#include <signal.h>
#include <stdbool.h>

#include "core/file.h"
#include "measure/limits.h"
#include "run/engine.h"

#define MACHINE_EXPIRY_S (7 * 24 * 3600)

/* Where limits came from; beside the result. */
typedef struct machine_source {
    bool cached;                /* read from the file, not measured now */
    char path[FILE_PATH_BYTES]; /* of the file; "" where there is no place for one */
    char bus[32];               /* of the device, where its driver tells; see sensors_gpu_find */
    char note[600];             /* why they could not be kept; "" */
} machine_source;

typedef struct machine_options {
    bool refresh;     /* measure again whatever the file says */
    double seconds;   /* of measuring; 0: as limits_measure likes */
    double limit_s;   /* for each answer of the runner; 0: as long as drivers may take */
    double busy_most; /* share for other programs up to which they are kept; 0: LOAD_BUSY */
    const volatile sig_atomic_t *interrupted;
    machine_source *source; /* may be NULL */
} machine_options;

/* The limits of a device of the native engine; `threads` are those of the CPU.  BE_UNAVAILABLE with
 * the reason if it is not usable, or computes nothing.  That they cannot be kept is no error. */
BE_CHECKED be_status machine_limits(const engine *native, const char *device, int threads,
                                    const machine_options *options, limits *out, be_error *err);

#endif

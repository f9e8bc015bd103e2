/* The environment that stands in every record: the machine, the system, this build, its libraries.
 *
 * Reads what the system tells; owns nothing, changes nothing, prints nothing.  What cannot be known
 * is -1, NAN or "", and null in the record, never 0. */
#ifndef MACHINE_ENVIRONMENT_H
#define MACHINE_ENVIRONMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "machine/sensors.h"

#define ENVIRONMENT_TEXT 128
#define ENVIRONMENT_WARNINGS 4

typedef struct environment {
    char cpu_model[ENVIRONMENT_TEXT], cpu_vendor[ENVIRONMENT_TEXT];
    char isa[ENVIRONMENT_TEXT];         /* the vector sets that matter here, "avx2 avx512f" */
    char governor[ENVIRONMENT_TEXT];    /* of the first processor */
    int cores, threads;                 /* physical, logical; that this process may use */
    int machine_cores, machine_threads; /* that the machine has */
    int numa_nodes;
    double quota;                           /* processors that the control groups allow */
    int usual_threads;                      /* without --threads: cores and quota together */
    int64_t cache_bytes[4];                 /* [1] L1 data, [2] L2 of one core, [3] L3 of one */
    int64_t memory_bytes;                   /* of the machine */
    int64_t memory_limit_bytes;             /* of the control group */
    char system[ENVIRONMENT_TEXT];          /* "Debian GNU/Linux 12 (bookworm)" */
    char kernel[ENVIRONMENT_TEXT];          /* "Linux 6.1.0" */
    char machine[ENVIRONMENT_TEXT];         /* "x86_64" */
    char virtual_machine[ENVIRONMENT_TEXT]; /* its kind where it shows: "KVM" */
    char container[ENVIRONMENT_TEXT];       /* its kind where it shows: "docker" */
    double load[3];                         /* averages over 1, 5, 15 minutes */
    const char *version, *commit, *compiler, *build_type, *sanitizers; /* of this build */
    sensors sensors;                                                   /* when it was read */
    const char *warnings[ENVIRONMENT_WARNINGS]; /* static texts, NULL after the last */
} environment;

/* `root` is put before the paths of /proc, /sys and /etc, for tests; NULL for the real ones.
 * with_gpus: their sensors too. */
void environment_read(const char *root, bool with_gpus, environment *out);

/* What makes every time of this build unfit for comparison, for the results of its own engine: a
 * text on a debug or sanitizer build, or NULL. */
const char *environment_build_warning(void);

/* The object "environment" of a record: the struct, the libraries with their versions, the
 * variables that steer threads and libraries, and the warnings. */
BE_CHECKED be_status environment_to_json(const environment *e, json_t **out, be_error *err);

/* The names and versions of the libraries that this program uses: an object of strings. */
json_t *environment_libraries(void);

#endif

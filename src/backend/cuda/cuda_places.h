/* Where NVIDIA's libraries are looked for, and opening them.
 *
 * The order: already loaded, the user's folder (--cuda-lib-dir, BREAKEVEN_CUDA_LIB_DIR), Python
 * wheels, the system, the toolkit.  Libraries are opened by their versioned names only, so that a
 * wrong major version is never taken.  Nothing is closed again but by library_close. */
#ifndef BACKEND_CUDA_CUDA_PLACES_H
#define BACKEND_CUDA_CUDA_PLACES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/file.h"
#include "core/memory.h"

/* Folders in the order of search, by kind. */
#define CUDA_PLACE_LIST(X)                          \
    X(USER, "the folder of BREAKEVEN_CUDA_LIB_DIR") \
    X(WHEELS, "the Python packages")                \
    X(SYSTEM, "the system's libraries")             \
    X(TOOLKIT, "the CUDA toolkit")

typedef enum cuda_place {
#define X(id, text) CUDA_PLACE_##id,
    CUDA_PLACE_LIST(X)
#undef X
        CUDA_PLACE_COUNT
} cuda_place;

typedef struct cuda_places {
    char **folders[CUDA_PLACE_COUNT];
    size_t counts[CUDA_PLACE_COUNT], capacities[CUDA_PLACE_COUNT];
    bool loader; /* also ask the system's loader by name; off in tests */
} cuda_places;

/* The folders of this machine; `driver_only`: those where a driver may be, not a toolkit's, whose
 * libcuda.so is a stub.  Runs no program: folders of wheels are found beside the Pythons on PATH.
 */
BE_CHECKED be_status cuda_places_find(cuda_places *out, bool driver_only, be_error *err);
BE_CHECKED be_status cuda_places_add(cuda_places *places, cuda_place kind, const char *folder,
                                     be_error *err);
void cuda_places_free(cuda_places *places);

#define CUDA_LIBRARY_REASON 480

/* A library that was looked for. */
typedef struct cuda_library {
    const char *name; /* the versioned name that was found, else the first that was wanted */
    void *handle;     /* NULL: not there; reason says why */
    char path[512];
    char version[64];
    char reason[CUDA_LIBRARY_REASON];
} cuda_library;

/* Open the first of `names` (a list that ends with NULL) that is anywhere; the order of names
 * counts more than that of places.  `install`: what a user without it should do. */
void library_open(cuda_library *out, const cuda_places *places, const char *const *names,
                  const char *install);
void library_close(cuda_library *library);

/* Find out where it was loaded from, by one of its functions. */
void library_locate(cuda_library *library, const char *symbol);

/* The address of a function, or NULL. */
void *library_symbol(const cuda_library *library, const char *symbol);

#endif

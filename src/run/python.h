/* The Pythons of this machine: which there are, what each of them has, and how one is started.
 *
 * They are looked for in the order in which a user would take them to be meant: the active
 * environment, the folders of PATH, the system's own.  They are asked side by side, each once by
 * whoever keeps the answers (pythons_known); a module is looked for, not loaded.  Knows no engine.
 */
#ifndef RUN_PYTHON_H
#define RUN_PYTHON_H

#include <signal.h>
#include <stdbool.h>

#include "core/file.h"
#include "core/status.h"

#define PYTHONS_MAX 32 /* that are asked; a PATH with more of them has its first ones */

/* name, the module that is looked for, and the packages that bring it.  Of a package in several
 * distributions, as MLX, the folder alone is no module. */
#define PYTHON_MODULE_LIST(X)                                                  \
    X(torch, "torch", "torch")                                                 \
    X(tensorflow, "tensorflow",                                                \
      "tensorflow tensorflow-cpu tensorflow-rocm tensorflow-macos tf-nightly") \
    X(mlx, "mlx.core", "mlx")

typedef enum python_module {
#define X(name, module, packages) PYTHON_MODULE_##name,
    PYTHON_MODULE_LIST(X)
#undef X
        PYTHON_MODULE_COUNT
} python_module;

typedef struct python_has {
    bool is_there;
    char version[64]; /* "" unknown */
    char origin[400]; /* its first file: two Pythons may share it */
} python_has;

typedef struct python {
    char path[FILE_PATH_BYTES];
    bool is_asked;
    be_status status; /* BE_OK: `has` is known; else the error says why, and what to do */
    be_error error;
    python_has has[PYTHON_MODULE_COUNT];
} python;

/* Those that were asked, with their answers: all zero at the start.  What is found points into it.
 */
typedef struct pythons_known {
    int count;
    python list[PYTHONS_MAX];
} pythons_known;

typedef struct python_list {
    int count;
    const python *list[PYTHONS_MAX];
} python_list;

/* All of them, in order and asked.  `own` (may be NULL) is one of the program's own, which comes
 * after the active environment. */
void python_find_all(pythons_known *pythons, python_list *out, const char *own,
                     const volatile sig_atomic_t *interrupted);

/* The one at this path, or of this name on PATH, asked; NULL where there is no room for it. */
const python *python_ask(pythons_known *pythons, const char *path,
                         const volatile sig_atomic_t *interrupted);

#define PYTHON_VARIABLES 24

/* What to lay over the environment of a Python that this program starts, so that it imports nothing
 * from the current folder and computes as it would by itself.  Owns its texts. */
typedef struct python_environment {
    char search[2 * FILE_PATH_BYTES];
    const char *env[PYTHON_VARIABLES]; /* NULL at the end, with room for two more */
} python_environment;

BE_CHECKED be_status python_environment_make(python_environment *out, be_error *err);

#endif

/* The Pythons of this machine: which there are, what each of them has, and how one is started.
 *
 * They are looked for in the order in which a user would take them to be meant: the active
 * environment, the folders of PATH, the system's own.  Each is asked once in the life of the
 * program, all of them side by side; a module is looked for, not loaded.  The answers are kept here
 * until the program ends.  Knows no engine. */
#ifndef RUN_PYTHON_H
#define RUN_PYTHON_H

#include <signal.h>
#include <stdbool.h>

#include "core/file.h"
#include "core/status.h"

#define PYTHONS_MAX 32 /* that are asked; a PATH with more of them has its first ones */

/* module, and the packages that bring it */
#define PYTHON_MODULE_LIST(X) \
    X(torch, "torch")         \
    X(tensorflow, "tensorflow tensorflow-cpu tensorflow-rocm tensorflow-macos tf-nightly")

typedef enum python_module {
#define X(name, packages) PYTHON_MODULE_##name,
    PYTHON_MODULE_LIST(X)
#undef X
        PYTHON_MODULE_COUNT
} python_module;

typedef struct python_has {
    bool found;
    char version[64]; /* "" unknown */
    char origin[400]; /* its first file: two Pythons may share it */
} python_has;

typedef struct python {
    char path[FILE_PATH_BYTES];
    bool asked;
    be_status status; /* BE_OK: `has` is known; else the error says why, and what to do */
    be_error error;
    python_has has[PYTHON_MODULE_COUNT];
} python;

typedef struct python_list {
    int count;
    const python *list[PYTHONS_MAX];
} python_list;

/* All of them, in order and asked.  `own` (may be NULL) is one of the program's own, which comes
 * after the active environment. */
void python_find_all(python_list *out, const char *own, const volatile sig_atomic_t *interrupted);

/* The one at this path, or of this name on PATH, asked. */
const python *python_ask(const char *path, const volatile sig_atomic_t *interrupted);

#define PYTHON_VARIABLES 24

/* What to lay over the environment of a Python that this program starts, so that it imports nothing
 * from the current folder and computes as it would by itself.  Owns its texts. */
typedef struct python_environment {
    char search[2 * FILE_PATH_BYTES];
    const char *env[PYTHON_VARIABLES]; /* NULL at the end, with room for two more */
} python_environment;

BE_CHECKED be_status python_environment_make(python_environment *out, be_error *err);

#endif

/* The engines that this program can measure, and how the runner of each is started.
 *
 * The native one is this program itself; the others are scripts in runners/ under a Python that has
 * them.  Owns nothing but the texts inside the struct. */
#ifndef RUN_ENGINE_H
#define RUN_ENGINE_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>

#include "core/file.h"
#include "core/status.h"
#include "run/python.h"

/* name, what people call it, the engine that it is a form of, the form: a word to its runner, or
 * NULL for what the engine does by itself */
#define ENGINE_LIST(X)                                                 \
    X("native", "native", "native", NULL)                              \
    X("torch", "PyTorch", "torch", NULL)                               \
    X("tensorflow", "TensorFlow", "tensorflow", NULL)                  \
    X("mlx", "MLX", "mlx", NULL)                                       \
    X("torch-compile", "torch.compile", "torch", "compile")            \
    X("torch-graph", "PyTorch graph", "torch", "graph")                \
    X("torch-channels-last", "PyTorch NHWC", "torch", "channels-last") \
    X("torch-pageable", "PyTorch pageable", "torch", "pageable")       \
    X("tensorflow-xla", "TF XLA", "tensorflow", "xla")

#define X(name, title, family, form) +1
enum { ENGINE_COUNT = 0 ENGINE_LIST(X) };
#undef X

extern const char *const engine_names[ENGINE_COUNT];
const char *engine_title(const char *name);

/* The engine that it is a form of: "torch" of "torch-compile", and of "torch". */
const char *engine_family(const char *name);

/* "compile" of "torch-compile"; NULL of what an engine does by itself.  Forms take part where they
 * are asked for: their first step may take a minute. */
const char *engine_form(const char *name);

/* Whether its users have it on systems like this one: MLX on macOS.  Elsewhere it takes part where
 * it is named. */
bool engine_is_usual(const char *name);

typedef struct engine {
    const char *name;
    char program[FILE_PATH_BYTES], script[FILE_PATH_BYTES];
    const char *argv[8];    /* of the runner, NULL at the end */
    const char *const *env; /* likewise; NULL: the program's own */
    python_list pythons;    /* that have it: the one that is taken, then the others */
    python_module module;   /* that they have */
    python_environment environment;
    const volatile sig_atomic_t *interrupted;
} engine;

typedef struct engine_options {
    const char *isa, *library; /* of the native engine; NULL: its own choice */
    bool lone_blas;            /* PyTorch's OpenBLAS on one thread, however many its loops have */
    const char *devices;       /* separated by commas: only their drivers are started, where the
                                  engine can tell them apart; NULL: all */
    pythons_known *pythons;    /* what was asked before; outlives the engine.  Of the native one
                                  nobody is asked: it may be NULL */
    const volatile sig_atomic_t *interrupted;
} engine_options;

/* BE_UNAVAILABLE with what to install, BE_USAGE for a name that is no engine's.  The struct points
 * into itself and must not be copied. */
BE_CHECKED be_status engine_find(engine *out, const char *name, const engine_options *options,
                                 be_error *err);

/* The Pythons that have the engine, the one that is taken first: a list of {python, version}, to be
 * released; empty for the native one. */
json_t *engine_pythons(const engine *e);

/* "PyTorch 2.5 of /a/python3 is taken; …", or "" where no other Python has it. */
char *engine_pythons_text(const engine *e, char *out, size_t size);

/* An engine that is asked who it is. */
typedef struct engine_question {
    engine *engine;   /* filled by engine_find; NULL: not asked */
    be_status status; /* how finding and asking it ended, with its error */
    be_error error;
    json_t *hello; /* the answer (docs/runner-protocol.md), to be released; NULL without one */
} engine_question;

/* Find the engines, in the order of engine_names, start the runner of each once and ask who it is.
 * They load side by side: it takes seconds. */
void engine_ask(engine_question questions[ENGINE_COUNT], const engine_options *options);

#endif

/* Where the engines are on this machine. */
#include "run/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "run/runner.h"

#define ASK_LIMIT_S 60.0 /* a large engine loads slowly from a cold disk */
#define PYTHON_LIMIT_S 20.0

const char *const engine_names[ENGINE_COUNT] = {
#define X(id, title) #id,
    ENGINE_LIST(X)
#undef X
};

const char *engine_title(const char *name)
{
    static const char *const titles[] = {
#define X(id, title) title,
        ENGINE_LIST(X)
#undef X
    };
    for (int i = 0; i < ENGINE_COUNT; i++)
        if (strcmp(engine_names[i], name) == 0) return titles[i];
    return name;
}

static be_status find_native(engine *out, const engine_options *options, be_error *err)
{
    int n = 0;
    TRY(file_own_program(out->program, err));
    out->argv[n++] = out->program;
    out->argv[n++] = "runner";
    if (options->isa) {
        out->argv[n++] = "--isa";
        out->argv[n++] = options->isa;
    }
    if (options->library) {
        out->argv[n++] = "--library";
        out->argv[n++] = options->library;
    }
    return BE_OK;
}

/* $BREAKEVEN_RUNNERS; ../share/breakeven/runners beside an installed program; ../runners beside one
 * in its build folder; where the source was. */
static be_status find_script(engine *out, const char *name, be_error *err)
{
    const char *wanted = getenv("BREAKEVEN_RUNNERS");
    char program[FILE_PATH_BYTES];
    if (wanted && *wanted) {
        TRY(file_format_path(out->script, err, "%s/%s", wanted, name));
        if (file_exists(out->script)) return BE_OK;
        FAIL(err, BE_UNAVAILABLE,
             "expected %s in the folder that BREAKEVEN_RUNNERS names (%s), "
             "found none; correct or unset it",
             name, wanted);
    }
    TRY(file_own_program(program, err));
    char *end = strrchr(program, '/');
    if (end) *end = 0;
    TRY(file_format_path(out->script, err, "%s/../share/breakeven/runners/%s", program, name));
    if (file_exists(out->script)) return BE_OK;
    TRY(file_format_path(out->script, err, "%s/../runners/%s", program, name));
    if (file_exists(out->script)) return BE_OK;
    TRY(file_format_path(out->script, err, "%s/runners/%s", BUILD_SOURCE, name));
    if (file_exists(out->script)) return BE_OK;
    FAIL(err, BE_UNAVAILABLE,
         "expected %s in ../share/breakeven/runners or ../runners beside the program, found none; "
         "install it there, or name its folder in BREAKEVEN_RUNNERS",
         name);
}

/* Does this Python have the module?  It is looked for, not loaded: that is the runner's task. */
static bool python_has(const char *python, const char *module, const engine_options *options)
{
    char code[200];
    child *c = NULL;
    snprintf(code, sizeof code,
             "import importlib.util, sys; sys.exit(importlib.util.find_spec('%s') is None)",
             module);
    const char *argv[] = {python, "-c", code, NULL};
    child_options start = {.argv = argv, .line_max = 4096, .interrupted = options->interrupted};
    if (child_start(&c, &start, NULL) != BE_OK) return false;
    return child_stop(c, PYTHON_LIMIT_S, NULL, 0, NULL) == 0;
}

/* An engine whose runner is a script in Python. */
typedef struct python_engine {
    const char *name, *script, *module;
    const char *variable; /* names the Python of this engine alone; NULL: there is none */
    const char *folder;   /* in the cache of the user: its own environment; NULL: it has none */
    const char *install;
} python_engine;

static const python_engine python_engines[] = {
    {.name = "torch",
     .script = "torch_runner.py",
     .module = "torch",
     .install = "'apt-get install python3-torch libopenblas0-pthread' or 'pip install torch', or "
                "name the Python that has it in BREAKEVEN_PYTHON"},
    {.name = "tensorflow",
     .script = "tensorflow_runner.py",
     .module = "tensorflow",
     .variable = "BREAKEVEN_TENSORFLOW_PYTHON",
     .folder = "tensorflow",
     .install = "'make tensorflow' in the source of breakeven installs it from PyPI into a folder "
                "of its own, or name the Python that has it in BREAKEVEN_TENSORFLOW_PYTHON"},
};

/* The Python that the variable names, which must have the module then; *found false if it names
 * none. */
static be_status python_named(engine *out, const char *variable, const python_engine *wanted,
                              const engine_options *options, bool *found, be_error *err)
{
    const char *python = variable ? getenv(variable) : NULL;
    *found = python && *python;
    if (!*found) return BE_OK;
    TRY(file_format_path(out->program, err, "%s", python));
    if (python_has(python, wanted->module, options)) return BE_OK;
    FAIL(err, BE_UNAVAILABLE,
         "expected the Python of %s (%s) to have %s, found that it has not; install it there, or "
         "name another Python%s%s",
         variable, python, wanted->module,
         wanted->variable && strcmp(wanted->variable, variable) != 0 ? " in " : "",
         wanted->variable && strcmp(wanted->variable, variable) != 0 ? wanted->variable : "");
}

/* The engine's own variable or else $BREAKEVEN_PYTHON alone, if set; else its environment in the
 * cache; else Debian's own, which has Debian's modules whatever stands first on PATH; else the
 * first on PATH. */
static be_status find_python(engine *out, const python_engine *wanted,
                             const engine_options *options, be_error *err)
{
    const char *variables[] = {wanted->variable, "BREAKEVEN_PYTHON"};
    const char *candidates[] = {"", "/usr/bin/python3", "python3"};
    char cache[FILE_PATH_BYTES], cached[FILE_PATH_BYTES] = "";
    bool found = false;
    for (int i = 0; i < 2 && !found; i++)
        TRY(python_named(out, variables[i], wanted, options, &found, err));
    if (found) return BE_OK;
    if (wanted->folder && file_xdg(cache, FILE_CACHE, NULL) == BE_OK)
        TRY(file_format_path(cached, err, "%s/%s/bin/python3", cache, wanted->folder));
    if (*cached && file_exists(cached)) candidates[0] = cached;
    for (int i = 0; i < 3; i++)
        if (*candidates[i] && python_has(candidates[i], wanted->module, options))
            return file_format_path(out->program, err, "%s", candidates[i]);
    FAIL(err, BE_UNAVAILABLE,
         "expected %s in %s%s/usr/bin/python3 or in the python3 on PATH, found none; %s",
         wanted->module, cached, *cached ? ", " : "", wanted->install);
}

static be_status find_script_engine(engine *out, const engine_options *options, be_error *err)
{
    const python_engine *wanted = NULL;
    for (size_t i = 0; i < sizeof python_engines / sizeof *python_engines; i++)
        if (strcmp(python_engines[i].name, out->name) == 0) wanted = &python_engines[i];
    MUST(wanted);
    TRY(find_script(out, wanted->script, err));
    TRY(find_python(out, wanted, options, err));
    out->argv[0] = out->program;
    out->argv[1] = out->script;
    out->env[0] = "PYTHONDONTWRITEBYTECODE=1";
    if (options->lone_blas) out->env[1] = "OPENBLAS_NUM_THREADS=1";
    return BE_OK;
}

be_status engine_find(engine *out, const char *name, const engine_options *options, be_error *err)
{
    *out = (engine){0};
    for (int i = 0; i < ENGINE_COUNT; i++)
        if (strcmp(engine_names[i], name) == 0) out->name = engine_names[i];
    if (!out->name)
        FAIL(err, BE_USAGE, "engine \"%s\": expected native, torch or tensorflow", name);
    be_status status = strcmp(name, "native") == 0 ? find_native(out, options, err)
                                                   : find_script_engine(out, options, err);
    if (status != BE_OK) status_prefix(err, "engine %s", name);
    return status;
}

static runner_options asking(const engine *e, const engine_options *options)
{
    return (runner_options){.name = e->name,
                            .argv = e->argv,
                            .env = e->env,
                            .device = options->devices,
                            .start_limit_s = ASK_LIMIT_S,
                            .interrupted = options->interrupted};
}

void engine_ask(engine_question questions[ENGINE_COUNT], const engine_options *options)
{
    runner runners[ENGINE_COUNT];
    for (int i = 0; i < ENGINE_COUNT; i++) {
        engine_question *q = &questions[i];
        if (!q->engine) continue;
        q->hello = NULL;
        q->status = engine_find(q->engine, engine_names[i], options, &q->error);
        runner_options start = asking(q->engine, options);
        if (q->status == BE_OK) q->status = runner_begin(&runners[i], &start, &q->error);
    }
    for (int i = 0; i < ENGINE_COUNT; i++) {
        engine_question *q = &questions[i];
        if (!q->engine || q->status != BE_OK) continue;
        runner_options start = asking(q->engine, options);
        q->status = runner_greet(&runners[i], &start, &q->error);
        if (q->status != BE_OK) continue;
        q->hello = json_incref(runners[i].hello.json);
        runner_clear(&runners[i]);
    }
}

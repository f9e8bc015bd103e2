/* Where the engines are on this machine. */
#include "run/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "core/text.h"
#include "run/runner.h"

#define ASK_LIMIT_S 60.0 /* a large engine loads slowly from a cold disk */

const char *const engine_names[ENGINE_COUNT] = {
#define X(name, title, family, form) name,
    ENGINE_LIST(X)
#undef X
};

typedef struct engine_words {
    const char *title, *family, *form;
} engine_words;

static const engine_words *words_of(const char *name)
{
    static const engine_words words[] = {
#define X(name, title, family, form) {title, family, form},
        ENGINE_LIST(X)
#undef X
    };
    for (int i = 0; i < ENGINE_COUNT; i++)
        if (strcmp(engine_names[i], name) == 0) return &words[i];
    return NULL;
}

const char *engine_title(const char *name)
{
    const engine_words *words = words_of(name);
    return words ? words->title : name;
}

const char *engine_family(const char *name)
{
    const engine_words *words = words_of(name);
    return words ? words->family : name;
}

const char *engine_form(const char *name)
{
    const engine_words *words = words_of(name);
    return words ? words->form : NULL;
}

bool engine_is_usual(const char *name)
{
#ifdef __APPLE__
    (void)name;
    return true;
#else
    return strcmp(name, "mlx") != 0;
#endif
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
    const char *folder = getenv("BREAKEVEN_RUNNERS");
    char program[FILE_PATH_BYTES];
    if (folder && *folder) {
        TRY(file_format_path(out->script, err, "%s/%s", folder, name));
        if (file_exists(out->script)) return BE_OK;
        FAIL(err, BE_UNAVAILABLE,
             "expected %s in the folder that BREAKEVEN_RUNNERS names (%s), "
             "found none; correct or unset it",
             name, folder);
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

/* An engine whose runner is a script in Python. */
typedef struct python_engine {
    const char *name, *script;
    python_module module;
    const char *variable; /* names the Python of this engine, before BREAKEVEN_PYTHON */
    const char *folder;   /* in the cache of the user: its own environment; NULL: it has none */
    const char *install;
} python_engine;

static const python_engine python_engines[] = {
    {.name = "torch",
     .script = "torch_runner.py",
     .module = PYTHON_MODULE_torch,
     .variable = "BREAKEVEN_PYTHON",
     .install = "'apt-get install python3-torch libopenblas0-pthread' or 'pip install torch', or "
                "name the Python that has it in BREAKEVEN_PYTHON"},
    {.name = "tensorflow",
     .script = "tensorflow_runner.py",
     .module = PYTHON_MODULE_tensorflow,
     .variable = "BREAKEVEN_TENSORFLOW_PYTHON",
     .folder = "tensorflow",
     .install = "'make tensorflow' in the source of breakeven installs it from PyPI into a folder "
                "of its own, or name the Python that has it in BREAKEVEN_TENSORFLOW_PYTHON"},
    {.name = "mlx",
     .script = "mlx_runner.py",
     .module = PYTHON_MODULE_mlx,
     .variable = "BREAKEVEN_MLX_PYTHON",
     .folder = "mlx",
     .install = "'make mlx' in the source of breakeven installs it from PyPI into a folder of its "
                "own, or name the Python that has it in BREAKEVEN_MLX_PYTHON"},
};

/* What the engine's own variable names, or else BREAKEVEN_PYTHON; NULL if neither is set. */
static const char *named_by(const python_engine *like, const char **variable)
{
    const char *own = getenv(like->variable), *any = getenv("BREAKEVEN_PYTHON");
    *variable = own && *own ? like->variable : "BREAKEVEN_PYTHON";
    return own && *own ? own : any && *any ? any : NULL;
}

/* The Python that the user named must have the engine: there is no other then. */
static be_status find_named(engine *out, pythons_known *pythons, const python_engine *like,
                            const char *path, const char *variable, be_error *err)
{
    const python *p = python_ask(pythons, path, out->interrupted);
    if (!p || p->status != BE_OK)
        FAIL(err, BE_UNAVAILABLE,
             "expected the Python of %s (%.200s) to work, found that it does not: %.600s", variable,
             path, p ? p->error.text : "its path is too long");
    if (!p->has[like->module].is_there)
        FAIL(err, BE_UNAVAILABLE,
             "expected the Python of %s (%.200s) to have %s, found that it has not; install it "
             "there, or name another Python in %s",
             variable, path, like->name, like->variable);
    out->pythons = (python_list){.count = 1, .list = {p}};
    return BE_OK;
}

/* "/a/python3, /b/python3": as many as fit. */
static void list_paths(const python_list *all, char *out, size_t size)
{
    text_buffer b = text_begin(out, size);
    for (int i = 0; i < all->count; i++) text_add(&b, "%s%s", i ? ", " : "", all->list[i]->path);
}

/* None of them has it.  Where one cannot even be asked, that is the reason to tell. */
static be_status none_has(const python_list *all, const python_engine *like, be_error *err)
{
    char paths[300];
    list_paths(all, paths, sizeof paths);
    for (int i = 0; i < all->count; i++)
        if (all->list[i]->status != BE_OK)
            FAIL(err, BE_UNAVAILABLE, "expected %s in %s, found that %.200s does not work: %.400s",
                 like->name, paths, all->list[i]->path, all->list[i]->error.text);
    if (!all->count)
        FAIL(err, BE_UNAVAILABLE,
             "expected a python3 with %s in the active environment or on PATH, found no python3; "
             "%s",
             like->name, like->install);
    FAIL(err, BE_UNAVAILABLE, "expected %s in %s, found none; %s", like->name, paths,
         like->install);
}

/* Of all that have it the first, and behind it those that have another installation of it. */
static void keep_those_with(const python_list *all, python_module module, python_list *out)
{
    for (int i = 0; i < all->count; i++) {
        const python_has *has = &all->list[i]->has[module];
        bool is_passed_over = !has->is_there;
        for (int k = 0; k < out->count && !is_passed_over; k++)
            is_passed_over = strcmp(out->list[k]->has[module].origin, has->origin) == 0;
        if (!is_passed_over) out->list[out->count++] = all->list[i];
    }
}

/* The one that the user named; the active environment; the engine's own environment, which somebody
 * made for this program; the first on PATH that has it; the system's. */
static be_status find_python(engine *out, pythons_known *pythons, const python_engine *like,
                             be_error *err)
{
    char cache[FILE_PATH_BYTES], own[FILE_PATH_BYTES] = "";
    const char *variable = NULL, *name = named_by(like, &variable);
    python_list all;
    if (name) return find_named(out, pythons, like, name, variable, err);
    if (like->folder && file_xdg(cache, FILE_CACHE, NULL) == BE_OK)
        TRY(file_format_path(own, err, "%s/%s/bin/python3", cache, like->folder));
    python_find_all(pythons, &all, *own ? own : NULL, out->interrupted);
    keep_those_with(&all, like->module, &out->pythons);
    return out->pythons.count ? BE_OK : none_has(&all, like, err);
}

static const python_engine *python_of(const char *name)
{
    for (size_t i = 0; i < sizeof python_engines / sizeof *python_engines; i++)
        if (strcmp(python_engines[i].name, name) == 0) return &python_engines[i];
    return NULL;
}

static be_status find_script_engine(engine *out, const engine_options *options, be_error *err)
{
    const python_engine *like = python_of(engine_family(out->name));
    MUST(like && options->pythons);
    TRY(find_script(out, like->script, err));
    out->module = like->module;
    out->interrupted = options->interrupted;
    be_status status = find_python(out, options->pythons, like, err);
    if (options->interrupted && *options->interrupted)
        FAIL(err, BE_INTERRUPTED, "stopped by a signal");
    TRY(status);
    TRY(file_format_path(out->program, err, "%s", out->pythons.list[0]->path));
    out->argv[0] = out->program;
    out->argv[1] = out->script;
    out->argv[2] = engine_form(out->name);
    TRY(python_environment_make(&out->environment, err));
    int count = 0;
    while (out->environment.env[count]) count++;
    if (options->lone_blas) out->environment.env[count] = "OPENBLAS_NUM_THREADS=1";
    out->env = out->environment.env;
    return BE_OK;
}

json_t *engine_pythons(const engine *e)
{
    json_t *all = json_array();
    for (int i = 0; i < e->pythons.count; i++) {
        const python *p = e->pythons.list[i];
        const char *version = p->has[e->module].version;
        json_array_append_new(
            all, json_pack("{s:s, s:s*}", "python", p->path, "version", *version ? version : NULL));
    }
    return all;
}

char *engine_pythons_text(const engine *e, char *out, size_t size)
{
    text_buffer b = text_begin(out, size);
    bool is_told = e->pythons.count > 1 && !engine_form(e->name); /* a form has its engine's */
    for (int i = 0; is_told && i < e->pythons.count; i++) {
        const char *version = e->pythons.list[i]->has[e->module].version;
        text_add(&b, "%s%s%s of %s%s", i == 0 ? engine_title(e->name) : "",
                 i == 1 ? ""
                 : i    ? ", "
                        : " ",
                 *version ? version : "(version unknown)", e->pythons.list[i]->path,
                 i ? "" : " is taken; also there: ");
    }
    if (b.used > 0) text_add(&b, "; %s chooses another", python_of(e->name)->variable);
    return out;
}

be_status engine_find(engine *out, const char *name, const engine_options *options, be_error *err)
{
    *out = (engine){0};
    for (int i = 0; i < ENGINE_COUNT; i++)
        if (strcmp(engine_names[i], name) == 0) out->name = engine_names[i];
    if (!out->name)
        FAIL(err, BE_USAGE,
             "engine \"%s\": expected one of native, torch, torch-compile, "
             "torch-graph, torch-channels-last, torch-pageable, tensorflow, tensorflow-xla, mlx",
             name);
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
                            .try_devices = true,
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

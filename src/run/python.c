/* Looking for Pythons, and asking them. */
#include "run/python.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/text.h"
#include "run/child.h"

#define ASK_LIMIT_NS 20000000000
#define ANSWER_MAX 16384
#define SYSTEM_PYTHON "/usr/bin/python3"

/* The current folder comes first in what a -c imports from, unless told otherwise, and older
 * Pythons cannot be told: what is built in needs no folder, and takes it away before all else.  A
 * folder of the module's name without code in it is no module: it has no origin. */
static const char question[] =
    "import sys\n"
    "sys.path[:] = [p for p in sys.path if p]\n"
    "import importlib.metadata, importlib.util, json, os\n"
    "def look(module, packages):\n"
    "    try:\n"
    "        origin = getattr(importlib.util.find_spec(module), 'origin', None)\n"
    "    except (ImportError, ValueError):\n"
    "        origin = None\n"
    "    for package in packages.split():\n"
    "        try:\n"
    "            return {'origin': origin, 'version': importlib.metadata.version(package)}\n"
    "        except Exception:\n"
    "            pass\n"
    "    return {'origin': origin}\n"
    "with os.fdopen(int(os.environ['BREAKEVEN_ANSWERS_FD']), 'w') as answers:\n"
    "    json.dump({module: look(module, packages) for module, packages in [\n"
#define X(name, module, packages) "('" module "', '" packages "'),"
    PYTHON_MODULE_LIST(X)
#undef X
        "]}, answers)\n"
        "    answers.write('\\n')\n";

/* ------------------------------------------------------------- how it starts */

/* Of the folders that a user adds to the search for modules those that are the same wherever the
 * program is started: a relative one, and an empty one, mean the current folder. */
static be_status keep_absolute(char *out, size_t room, const char *folders, be_error *err)
{
    text_buffer b = text_begin(out, room);
    for (const char *at = folders; *at; at += *at == ':') {
        size_t length = strcspn(at, ":");
        if (*at == '/') {
            if (b.used + length + 2 > room)
                FAIL(err, BE_USAGE,
                     "PYTHONPATH: expected at most %zu bytes, found more; shorten it", room - 2);
            text_add(&b, "%s%.*s", b.used ? ":" : "", (int)length, at);
        }
        at += length;
    }
    return BE_OK;
}

be_status python_environment_make(python_environment *out, be_error *err)
{
    /* Empty is unset.  What makes Python talk, wait for a terminal, fail on a warning, skip what
     * its libraries rely on, or compute slower than it does for anybody else. */
    static const char *const settings[] = {
        "PYTHONSAFEPATH=1",   "PYTHONDONTWRITEBYTECODE=1", "PYTHONINSPECT=",     "PYTHONSTARTUP=",
        "PYTHONOPTIMIZE=",    "PYTHONWARNINGS=",           "PYTHONDEVMODE=",     "PYTHONDEBUG=",
        "PYTHONVERBOSE=",     "PYTHONBREAKPOINT=",         "PYTHONTRACEMALLOC=", "PYTHONMALLOC=",
        "PYTHONMALLOCSTATS=", "PYTHONPROFILEIMPORTTIME=",  "PYTHONUNBUFFERED=",
    };
    enum { COUNT = sizeof settings / sizeof *settings };
    _Static_assert(COUNT + 4 <= PYTHON_VARIABLES, "two variables and the end fit");
    const char *before = getenv("PYTHONPATH");
    *out = (python_environment){0};
    memcpy(out->env, settings, sizeof settings);
    int start = snprintf(out->search, sizeof out->search, "PYTHONPATH=");
    out->env[COUNT] = out->search;
    return keep_absolute(out->search + start, sizeof out->search - (size_t)start,
                         before ? before : "", err);
}

/* -------------------------------------------------------------------- asking */

/* Of a log the line that tells most: the last one that names an error, else the last. */
static void last_words(char *log, char *out, size_t size)
{
    const char *words = "", *last = "";
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
        if (strstr(line, "Error") || strstr(line, "error")) words = line;
        if (*line) last = line;
    }
    snprintf(out, size, "%s", *words ? words : last);
}

/* What helps a Python that does not start. */
static const char *advice(const char *reason)
{
    static const struct {
        const char *sign, *advice;
    } known_reasons[] = {
        {"Too many open files", "raise `ulimit -n`"},
        {"MemoryError", "raise `ulimit -v`, or free memory"},
        {"annot allocate memory", "raise `ulimit -v`, or free memory"},
        {"failed to map segment", "raise `ulimit -v`, or free memory"},
    };
    const char *home = getenv("PYTHONHOME");
    for (size_t i = 0; i < sizeof known_reasons / sizeof *known_reasons; i++)
        if (strstr(reason, known_reasons[i].sign)) return known_reasons[i].advice;
    return home && *home ? "PYTHONHOME is set: unset it, or let it name the home of this Python"
                         : "start it by hand to see more";
}

/* It did not answer: why, from its end and its log. */
static void explain(python *p, child *c, const be_error *failure)
{
    char log[4096], ending[200], words[500];
    child_log(c, log, sizeof log);
    int code = child_stop(c, 0.1, ending, sizeof ending, NULL);
    last_words(log, words, sizeof words);
    if (p->status == BE_FAILED || code == 0)
        snprintf(p->error.text, sizeof p->error.text, "%.800s", failure->text);
    else
        snprintf(p->error.text, sizeof p->error.text, "it %s: %s; %s", ending,
                 *words ? words : "without a word", advice(words));
}

static void take_answer(python *p, const char *line, size_t length)
{
    static const char *const names[] = {
#define X(name, module, packages) module,
        PYTHON_MODULE_LIST(X)
#undef X
    };
    json_t *answer = json_loadb(line, length, 0, NULL);
    for (int m = 0; m < PYTHON_MODULE_COUNT; m++) {
        const json_t *member = json_object_get(answer, names[m]);
        const char *origin = json_string_value(json_object_get(member, "origin"));
        const char *version = json_string_value(json_object_get(member, "version"));
        p->has[m].is_there = origin != NULL;
        snprintf(p->has[m].origin, sizeof p->has[m].origin, "%s", origin ? origin : "");
        snprintf(p->has[m].version, sizeof p->has[m].version, "%s", version ? version : "");
    }
    json_decref(answer);
}

/* Ask those that nobody has asked: all of them start before the first is waited for. */
static void ask_all(python *const *list, int count, const volatile sig_atomic_t *interrupted)
{
    python_environment environment;
    child *children[PYTHONS_MAX] = {NULL};
    be_error unset = {0};
    be_status settable = python_environment_make(&environment, &unset);
    for (int i = 0; i < count; i++) {
        python *p = list[i];
        if (p->is_asked) continue;
        p->status = settable;
        p->error = unset;
        const char *argv[] = {p->path, "-c", question, NULL};
        child_options start = {.argv = argv,
                               .env = environment.env,
                               .line_max = ANSWER_MAX,
                               .interrupted = interrupted};
        if (p->status == BE_OK) p->status = child_start(&children[i], &start, &p->error);
        p->is_asked = true;
    }
    for (int i = 0; i < count; i++) {
        const char *line = NULL;
        size_t length = 0;
        be_error failure = {0};
        if (!children[i]) continue;
        list[i]->status = child_read_line(children[i], &line, &length, NULL,
                                          clock_now_ns() + ASK_LIMIT_NS, &failure);
        if (list[i]->status == BE_OK) {
            take_answer(list[i], line, length);
            child_stop(children[i], 1, NULL, 0, NULL);
        } else {
            explain(list[i], children[i], &failure);
        }
    }
}

/* ------------------------------------------------------------------- finding */

/* The one at this path, new if it is not known; NULL if there is no room for it. */
static python *take(pythons_known *pythons, const char *path)
{
    for (int i = 0; i < pythons->count; i++)
        if (strcmp(pythons->list[i].path, path) == 0) return &pythons->list[i];
    if (pythons->count == PYTHONS_MAX || strlen(path) >= FILE_PATH_BYTES) return NULL;
    python *p = &pythons->list[pythons->count++];
    *p = (python){0};
    snprintf(p->path, sizeof p->path, "%s", path);
    return p;
}

/* Two paths start the same Python if their folders and what they lead to are the same: an
 * environment differs from its parent by its folder alone. */
static bool is_same(const char *a, const char *b)
{
    char folder_a[FILE_PATH_BYTES], folder_b[FILE_PATH_BYTES];
    snprintf(folder_a, sizeof folder_a, "%.*s", (int)(strrchr(a, '/') - a), a);
    snprintf(folder_b, sizeof folder_b, "%.*s", (int)(strrchr(b, '/') - b), b);
    char *real[] = {realpath(folder_a, NULL), realpath(folder_b, NULL), realpath(a, NULL),
                    realpath(b, NULL)};
    bool same = real[0] && real[1] && real[2] && real[3] && strcmp(real[0], real[1]) == 0 &&
                strcmp(real[2], real[3]) == 0;
    for (int i = 0; i < 4; i++) free(real[i]);
    return same;
}

typedef struct search {
    pythons_known *known;
    int count;
    python *list[PYTHONS_MAX];
} search;

/* BE_USAGE for a path that does not fit or does not start at the root is the same as none there. */
static bool add(search *s, const char *folder, size_t length, const char *name)
{
    char path[FILE_PATH_BYTES];
    if (*folder != '/' ||
        snprintf(path, sizeof path, "%.*s/%s", (int)length, folder, name) >= (int)sizeof path ||
        !file_exists(path) || access(path, X_OK) != 0)
        return false;
    for (int i = 0; i < s->count; i++)
        if (is_same(s->list[i]->path, path)) return true;
    python *p = s->count < PYTHONS_MAX ? take(s->known, path) : NULL;
    if (p) s->list[s->count++] = p;
    return true;
}

/* The python3 of a folder, or what it calls python if it has none of that name. */
static void add_folder(search *s, const char *folder, size_t length)
{
    if (length > 0 && !add(s, folder, length, "python3")) add(s, folder, length, "python");
}

void python_find_all(pythons_known *pythons, python_list *out, const char *own,
                     const volatile sig_atomic_t *interrupted)
{
    static const char *const environments[] = {"VIRTUAL_ENV", "CONDA_PREFIX"};
    search s = {.known = pythons};
    for (size_t i = 0; i < sizeof environments / sizeof *environments; i++) {
        const char *active = getenv(environments[i]);
        char folder[FILE_PATH_BYTES];
        if (active && *active && file_format_path(folder, NULL, "%s/bin", active) == BE_OK)
            add_folder(&s, folder, strlen(folder));
    }
    if (own) add(&s, own, (size_t)(strrchr(own, '/') - own), strrchr(own, '/') + 1);
    const char *folders = getenv("PATH");
    for (const char *at = folders ? folders : ""; *at; at += *at == ':') {
        size_t length = strcspn(at, ":");
        add_folder(&s, at, length);
        at += length;
    }
    add_folder(&s, SYSTEM_PYTHON, (size_t)(strrchr(SYSTEM_PYTHON, '/') - SYSTEM_PYTHON));
    ask_all(s.list, s.count, interrupted);
    out->count = s.count;
    for (int i = 0; i < s.count; i++) out->list[i] = s.list[i];
}

const python *python_ask(pythons_known *pythons, const char *path,
                         const volatile sig_atomic_t *interrupted)
{
    python *p = take(pythons, path);
    if (p) ask_all(&p, 1, interrupted);
    return p;
}

/* A user's own model as a workload: named by its file, known to the runner of its library alone. */
#include <ctype.h>
#include <string.h>

#include "core/file.h"
#include "core/memory.h"
#include "workloads/workload.h"

#define OWN_BATCH 64
#define SOURCE_MOST (1 << 20)

bool workload_is_file(const char *name)
{
    size_t length = strlen(name);
    const char *colon = strchr(name, ':');
    bool is_function = colon && colon > name && colon[1] && strncmp(name, "op:", 3) != 0;
    return is_function || (length > 3 && strcmp(name + length - 3, ".py") == 0);
}

workload workload_of_file(const char *name)
{
    return (workload){.name = name,
                      .file = name,
                      .library = "torch",
                      .summary = "a model of the user's own",
                      .batch = OWN_BATCH,
                      .epochs = 1,
                      .gate = {.batch = 8, .steps = 3}};
}

/* Whether a line of a source says "import NAME…" or "from NAME…". */
static bool imports(const char *line, const char *name)
{
    size_t word = strncmp(line, "import ", 7) == 0 ? 7 : strncmp(line, "from ", 5) == 0 ? 5 : 0;
    size_t length = strlen(name);
    if (!word) return false;
    const char *at = line + word + strspn(line + word, " ");
    return strncmp(at, name, length) == 0 && !isalnum((unsigned char)at[length]) &&
           at[length] != '_';
}

static bool source_imports(const char *source, const char *name)
{
    for (const char *line = source; *line; line += strcspn(line, "\n")) {
        line += strspn(line, "\n \t");
        if (imports(line, name)) return true;
    }
    return false;
}

/* "nets.py" of "nets:small", "my/nets.py" of "my.nets:small". */
static be_status source_path(const char *name, char out[FILE_PATH_BYTES])
{
    const char *colon = strchr(name, ':');
    if (!colon) return file_format_path(out, NULL, "%s", name);
    TRY(file_format_path(out, NULL, "%.*s.py", (int)(colon - name), name));
    for (char *at = out; at < out + (colon - name); at++)
        if (*at == '.') *at = '/';
    return BE_OK;
}

const char *workload_file_library(const char *name)
{
    char path[FILE_PATH_BYTES];
    void *source = NULL;
    size_t bytes = 0;
    if (source_path(name, path) != BE_OK) return "torch";
    if (file_read(&source, &bytes, path, SOURCE_MOST, NULL) != BE_OK) return "torch";
    bool keras = source_imports(source, "keras") || source_imports(source, "tensorflow");
    bool torch = source_imports(source, "torch"), mlx = source_imports(source, "mlx");
    memory_free(source);
    return torch ? "torch" : keras ? "tensorflow" : mlx ? "mlx" : "torch";
}

/* A user's own model as a workload: named by its file, known to PyTorch's runner alone. */
#include <string.h>

#include "workloads/workload.h"

#define OWN_BATCH 64

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
                      .summary = "a PyTorch model of the user's own",
                      .batch = OWN_BATCH,
                      .epochs = 1,
                      .gate = {.batch = 8, .steps = 3}};
}

/* Names of checkpoint files. */
#include "train/checkpoint_folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char suffix[] = ".safetensors";

be_status checkpoint_folder_path(char out[FILE_PATH_BYTES], const char *folder,
                                 const char *workload, int64_t step, be_error *err)
{
    if (step == CHECKPOINT_FOLDER_BEST)
        return file_format_path(out, err, "%s/%s-best%s", folder, workload, suffix);
    return file_format_path(out, err, "%s/%s-%010" PRId64 "%s", folder, workload, step, suffix);
}

/* The step in WORKLOAD-STEP and this ending, or −1. */
static int64_t step_of(const char *name, const char *workload, const char *ending)
{
    size_t length = strlen(workload);
    char *end = NULL;
    if (strncmp(name, workload, length) != 0 || name[length] != '-') return -1;
    name += length + 1;
    if (!isdigit((unsigned char)*name)) return -1;
    int64_t step = strtoll(name, &end, 10);
    return strcmp(end, ending) == 0 ? step : -1;
}

static void insert(checkpoint_folder *f, int64_t step)
{
    int at = f->count;
    while (at > 0 && f->steps[at - 1] < step) at--;
    if (at == CHECKPOINT_FOLDER_MAX) return;
    int behind = f->count - at - (f->count == CHECKPOINT_FOLDER_MAX);
    memmove(&f->steps[at + 1], &f->steps[at], (size_t)behind * sizeof *f->steps);
    f->steps[at] = step;
    if (f->count < CHECKPOINT_FOLDER_MAX) f->count++;
}

be_status checkpoint_folder_list(checkpoint_folder *out, const char *folder, const char *workload,
                                 be_error *err)
{
    out->count = 0;
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT) return BE_OK;
    if (!dir) return file_error(err, "read the folder", folder, errno);
    for (struct dirent *entry; (entry = readdir(dir));) {
        int64_t step = step_of(entry->d_name, workload, suffix);
        if (step >= 0) insert(out, step);
    }
    closedir(dir);
    return BE_OK;
}

static bool is_unfinished_best(const char *name, const char *workload)
{
    size_t length = strlen(workload);
    return strncmp(name, workload, length) == 0 &&
           strcmp(name + length, "-best.safetensors.tmp") == 0;
}

be_status checkpoint_folder_sweep(const char *folder, const char *workload, int64_t step,
                                  be_error *err)
{
    be_status status = BE_OK;
    DIR *dir = opendir(folder);
    if (!dir) return file_error(err, "read the folder", folder, errno);
    for (struct dirent *entry; status == BE_OK && (entry = readdir(dir));) {
        char path[FILE_PATH_BYTES];
        int64_t number = step_of(entry->d_name, workload, ".safetensors.tmp");
        if ((number < 0 || number > step) && !is_unfinished_best(entry->d_name, workload)) continue;
        status = file_format_path(path, err, "%s/%s", folder, entry->d_name);
        if (status == BE_OK) status = file_remove(path, err);
    }
    closedir(dir);
    return status;
}

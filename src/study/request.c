/* Requests and watches of studies. */
#include "study/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "run/engine.h"

#define LINE_BYTES 1600 /* a reason can name several paths */

void study_progress(const study_watch *watch, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    if (!watch->progress) return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    watch->progress(watch->context, line);
}

void study_note(const study_watch *watch, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    if (!watch->note) return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    watch->note(watch->context, line);
}

int64_t study_batch(const study_request *request, const workload *w)
{
    return request->batches.count ? request->batches.number[0] : w->batch;
}

bool study_is_own(const study_request *request)
{
    return request->workload_count > 0 && request->workloads[0]->file;
}

bool study_names_have(const study_names *names, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->name[i], name) == 0) return true;
    return false;
}

bool study_wants_engine(const study_names *engines, const char *name)
{
    if (study_names_have(engines, name)) return true;
    if (!engine_is_usual(name)) return false;
    return engines->count ? study_names_have(engines, "all") : !engine_form(name);
}

be_status study_find_library(const study_names *engines, workload *own, be_error *err)
{
    const char *name = NULL;
    own->library = workload_file_library(own->file);
    for (int i = 0; i < engines->count; i++) {
        const char *family = engine_family(engines->name[i]);
        if (strcmp(family, "all") == 0) continue;
        if (strcmp(family, "native") == 0 || (name && strcmp(name, family) != 0))
            FAIL(err, BE_USAGE,
                 "--engine: expected torch, tensorflow or mlx, or forms of one of them, for the "
                 "model of your own %s, found \"%s\"%s%s; its library alone computes it",
                 own->name, name ? name : family, name ? " beside " : "", name ? family : "");
        name = family;
    }
    if (name) own->library = name;
    return BE_OK;
}

bool study_takes_own(const study_request *request, const char *name)
{
    const study_names *engines = &request->engines;
    if (strcmp(engine_family(name), request->workloads[0]->library) != 0) return false;
    /* A library that is not usual here is needed all the same. */
    return study_names_have(engines, name) ||
           (engines->count ? study_names_have(engines, "all") : !engine_form(name));
}

be_status study_open_data(const study_watch *watch, const dataset_options *options,
                          const workload *w, dataset_split split, be_dataset **out, be_error *err)
{
    TRY(workload_data(w, split, options, out, err));
    if ((*out)->note && split == SPLIT_TRAIN) study_note(watch, "%s", (*out)->note);
    return BE_OK;
}

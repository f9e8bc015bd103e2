/* See store_fixture.h. */
#include "store_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"

int store_set_up(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->folder = support_make_folder();
    support_path(w->path, sizeof w->path, w->folder, "data/results.db");
    support_path(w->file, sizeof w->file, w->folder, "records.jsonl");
    *state = w;
    return 0;
}

int store_tear_down(void **state)
{
    world *w = *state;
    support_remove_folder(w->folder);
    free(w);
    return 0;
}

/* ---------------------------------------------------------------- planted records */

json_t *plant_environment(const char *cpu, const char *commit)
{
    return json_pack("{s:{s:s, s:i}, s:I, s:{s:s}}", "cpu", "model", cpu, "threads", 4,
                     "memory_bytes", (json_int_t)8 << 30, "build", "commit", commit);
}

json_t *plant_record(const char *workload, const char *device, double step_s)
{
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:{s:f}, s:f, s:[f], s:o}",
                     "schema", 1, "kind", "bench", "time", "2026-11-20T10:00:00Z", "workload",
                     workload, "engine", "native", "device", device, "batch", 10, "mode", "train",
                     "status", "OK", "step_s", "median", step_s, "samples_per_s", 10 / step_s,
                     "blocks", step_s, "environment", plant_environment("a processor", "abc123"));
}

int64_t plant_run(store *s, const char *command, int64_t began_s)
{
    be_error err = {0};
    int64_t run = 0;
    store_run facts = {.command = command,
                       .machine = "A Processor, 4 threads",
                       .commit = "abc123",
                       .began_s = began_s};
    ASSERT_OK(store_add_run(s, &facts, &run, &err));
    return run;
}

int64_t put_record(store *s, int64_t run, const char *workload, double step_s)
{
    be_error err = {0};
    int64_t id = 0;
    json_t *record = plant_record(workload, "cuda:0", step_s);
    ASSERT_OK(store_add_record(s, run, record, &id, &err));
    json_decref(record);
    return id;
}

be_status take_line(void *context, const char *line, int64_t run, be_error *err)
{
    (void)run, (void)err;
    json_array_append_new(context, json_string(line));
    return BE_OK;
}

json_t *lines_of(store *s, int64_t run)
{
    be_error err = {0};
    json_t *lines = json_array();
    store_filter filter = {.run = run, .since_s = -1, .until_s = -1};
    ASSERT_OK(store_read(s, &filter, take_line, lines, &err));
    return lines;
}

size_t count_lines(store *s, int64_t run)
{
    json_t *lines = lines_of(s, run);
    size_t count = json_array_size(lines);
    json_decref(lines);
    return count;
}

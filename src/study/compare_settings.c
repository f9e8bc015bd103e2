/* See compare_settings.h. */
#include "study/compare_settings.h"

#include <inttypes.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"

#define VALUE_BYTES 120

/* A setting as a text, "" where it is not known. */
typedef void setting_text(const record_measured *r, text_buffer *out);

static void add_text(text_buffer *out, const char *text)
{
    char clean[VALUE_BYTES];
    text_add(out, "%s", text_clean(text, strlen(text), false, clean, sizeof clean));
}

static void add_count(text_buffer *out, int64_t count)
{
    if (count >= 0) text_add(out, "%" PRId64, count);
}

#define SETTING(name, call)                                             \
    static void name##_text(const record_measured *r, text_buffer *out) \
    {                                                                   \
        call;                                                           \
    }
SETTING(machine, add_text(out, r->environment.cpu.model))
SETTING(device, add_text(out, r->device_name))
SETTING(threads, add_count(out, r->threads))
SETTING(version, add_text(out, r->engine_version))
SETTING(implementation, add_text(out, r->implementation))
SETTING(order, add_text(out, r->launch_order))
SETTING(build, add_text(out, r->environment.build.commit))
SETTING(system, add_text(out, r->environment.system))
SETTING(data, add_text(out, r->data_source))
SETTING(samples, add_count(out, r->data_count))
SETTING(place, add_text(out, r->data_on))
SETTING(turns, add_count(out, r->accumulate > 1 ? r->accumulate : 1))
SETTING(seed, add_count(out, r->seed))
SETTING(parameters, add_count(out, r->params))

static const struct {
    const char *name;
    setting_text *text;
} settings[] = {
    {"processor", machine_text},
    {"device", device_text},
    {"threads", threads_text},
    {"version of the engine", version_text},
    {"implementation", implementation_text},
    {"order of the launches", order_text},
    {"build of breakeven", build_text},
    {"system", system_text},
    {"data", data_text},
    {"samples of the data", samples_text},
    {"place of the data", place_text},
    {"turns of a batch", turns_text},
    {"seed", seed_text},
    {"parameters", parameters_text},
};

/* The first row in which two sides differ, and how many do. */
static json_t *difference(const compare_request *request, const compare_row *rows, size_t count,
                          int side, setting_text *text)
{
    char value[VALUE_BYTES], base[VALUE_BYTES];
    json_t *row = NULL;
    int differing = 0, common = 0;
    for (size_t r = 0; r < count; r++) {
        text_buffer ours = TEXT_BUFFER(value), theirs = TEXT_BUFFER(base);
        if (!rows[r].has[side] || !rows[r].has[request->baseline]) continue;
        common++;
        text(&rows[r].of[side], &ours);
        text(&rows[r].of[request->baseline], &theirs);
        if (strcmp(value, base) == 0) continue;
        differing++;
        if (!row)
            row = json_pack("{s:o, s:o}", "value", json_of_known(value), "baseline",
                            json_of_known(base));
    }
    if (!row) return NULL;
    json_object_set_new(row, "rows", json_integer(differing));
    json_object_set_new(row, "of", json_integer(common));
    return row;
}

json_t *compare_differences(const compare_request *request, const compare_row *rows, size_t count)
{
    json_t *list = json_array();
    for (int s = 0; s < request->side_count; s++) {
        const char letter[2] = {(char)('A' + s), 0};
        for (size_t i = 0; s != request->baseline && i < sizeof settings / sizeof *settings; i++) {
            json_t *row = difference(request, rows, count, s, settings[i].text);
            if (!row) continue;
            json_object_set_new(row, "setting", json_string(settings[i].name));
            json_object_set_new(row, "letter", json_string(letter));
            json_array_append_new(list, row);
        }
    }
    return list;
}

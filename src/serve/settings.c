/* See settings.h. */
#include "serve/settings.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "graph/precision.h"
#include "report/members.h"
#include "run/engine.h"
#include "study/axis.h"
#include "workloads/workload.h"

typedef enum setting_kind {
    KIND_WORKLOAD,
    KIND_COUNT,
    KIND_REAL,
    KIND_PRECISION,
    KIND_DEVICES,
    KIND_ENGINES,
    KIND_AXIS,
    KIND_FLAG,
} setting_kind;

#define X(id, name, kind, least, most, usual, option, title) #name,
const char *const setting_names[SETTING_COUNT] = {SETTING_LIST(X)};
#undef X
#define X(id, name, kind, least, most, usual, option, title) title,
const char *const setting_titles[SETTING_COUNT] = {SETTING_LIST(X)};
#undef X
#define X(id, name, kind, least, most, usual, option, title) least,
const double setting_least[SETTING_COUNT] = {SETTING_LIST(X)};
#undef X
#define X(id, name, kind, least, most, usual, option, title) most,
const double setting_most[SETTING_COUNT] = {SETTING_LIST(X)};
#undef X
#define X(id, name, kind, least, most, usual, option, title) KIND_##kind,
static const setting_kind kinds[SETTING_COUNT] = {SETTING_LIST(X)};
#undef X
#define X(id, name, kind, least, most, usual, option, title) usual,
static const char *const usuals[SETTING_COUNT] = {SETTING_LIST(X)};
#undef X
#define X(id, name, kind, least, most, usual, option, title) option,
static const char *const options[SETTING_COUNT] = {SETTING_LIST(X)};
#undef X

settings settings_usual(void)
{
    settings s = {0};
    for (int i = 0; i < SETTING_COUNT; i++) snprintf(s.value[i], SETTING_BYTES, "%s", usuals[i]);
    return s;
}

/* ---------------------------------------------------------------- taking */

/* What was found, short and clean, for an error. */
static const char *shown(const char *value, char out[60])
{
    return text_clean(value, strlen(value), false, out, 60);
}

static be_status take_number(setting_id id, const char *value, char *out, be_error *err)
{
    char *end = NULL, quote[60];
    errno = 0;
    double number = strtod(value, &end);
    bool whole = kinds[id] == KIND_COUNT;
    bool good = end != value && !*end && !errno && number >= setting_least[id] &&
                number <= setting_most[id] && (!whole || number == floor(number)) &&
                !strpbrk(value, "xXpPnN \t\r\n\v\f+");
    if (!good)
        FAIL(err, BE_USAGE, "%s: expected a %snumber from %.15g to %.15g, found \"%s\"",
             setting_names[id], whole ? "whole " : "", setting_least[id], setting_most[id],
             shown(value, quote));
    snprintf(out, SETTING_BYTES, whole ? "%.0f" : "%.6g", number);
    return BE_OK;
}

/* The program's own names of a kind, one after the other; NULL at the end, "" for a device that
 * cannot be used. */
static const char *name_of(setting_kind kind, const json_t *devices, size_t i)
{
    if (kind == KIND_WORKLOAD) return i < WORKLOAD_COUNT ? workload_table[i]->name : NULL;
    if (kind == KIND_ENGINES) return i < ENGINE_COUNT ? engine_names[i] : NULL;
    if (kind == KIND_AXIS) return i < AXIS_COUNT ? axis_table[i].name : NULL;
    if (kind == KIND_PRECISION) {
        static const be_precision all[] = {BE_PRECISION_FP32, BE_PRECISION_TF32, BE_PRECISION_BF16};
        return i < sizeof all / sizeof *all ? precision_name(all[i]) : NULL;
    }
    const json_t *device = json_array_get(devices, i);
    if (!device) return NULL;
    return report_is(device, device, usable) ? report_string(device, device, device) : "";
}

/* A device is there once for each engine that has it. */
static bool was_named(setting_kind kind, const json_t *devices, size_t i)
{
    const char *name = name_of(kind, devices, i);
    for (size_t before = 0; before < i; before++)
        if (strcmp(name_of(kind, devices, before), name) == 0) return true;
    return false;
}

/* The program's own spelling of a name: what is kept is never the text that came in. */
static be_status find_name(setting_id id, const json_t *devices, const char *name, const char **out,
                           be_error *err)
{
    char quote[60], list[600] = "";
    text_buffer names = TEXT_BUFFER(list);
    for (size_t i = 0; (*out = name_of(kinds[id], devices, i)); i++) {
        if (strcmp(*out, name) == 0) return BE_OK;
        if (**out && !was_named(kinds[id], devices, i))
            text_add(&names, "%s%s", names.used ? ", " : "", *out);
    }
    if (kinds[id] == KIND_DEVICES && !devices)
        FAIL(err, BE_UNAVAILABLE,
             "the devices of this machine are still being asked for; try again in a moment");
    FAIL(err, BE_USAGE, "%s: expected one of %s, found \"%s\"", setting_names[id], list,
         shown(name, quote));
}

static be_status take_list(settings *s, const json_t *devices, setting_id id, const char *value,
                           be_error *err)
{
    char *list = s->value[id];
    for (const char *at = value; *at; at += strspn(at, ",")) {
        char name[SETTING_BYTES];
        const char *own = NULL;
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < 100 ? length : 100), at);
        at += length;
        if (!*name) continue;
        TRY(find_name(id, devices, name, &own, err));
        if (settings_has(s, id, own)) continue;
        if (strlen(list) + strlen(own) + 2 > SETTING_BYTES)
            FAIL(err, BE_USAGE, "%s: expected fewer names", setting_names[id]);
        snprintf(list + strlen(list), SETTING_BYTES - strlen(list), "%s%s", *list ? "," : "", own);
    }
    return BE_OK;
}

be_status settings_take(settings *s, const json_t *devices, const char *name, const char *value,
                        be_error *err)
{
    char quote[60];
    const char *own = NULL;
    int id = 0;
    while (id < SETTING_COUNT && strcmp(setting_names[id], name) != 0) id++;
    if (id == SETTING_COUNT)
        FAIL(err, BE_USAGE, "expected a setting of a study, found \"%s\"; docs/api.md lists them",
             shown(name, quote));
    if (kinds[id] == KIND_DEVICES || kinds[id] == KIND_ENGINES)
        return take_list(s, devices, (setting_id)id, value, err);
    if (!*value) { /* left empty in a form: as nobody says */
        snprintf(s->value[id], SETTING_BYTES, "%s", usuals[id]);
        return BE_OK;
    }
    if (kinds[id] == KIND_COUNT || kinds[id] == KIND_REAL)
        return take_number((setting_id)id, value, s->value[id], err);
    if (kinds[id] == KIND_FLAG) {
        if (strcmp(value, "1") != 0)
            FAIL(err, BE_USAGE, "%s: expected 1 or nothing, found \"%s\"", name,
                 shown(value, quote));
        own = "1";
    } else {
        TRY(find_name((setting_id)id, devices, value, &own, err));
    }
    snprintf(s->value[id], SETTING_BYTES, "%s", own);
    return BE_OK;
}

static be_status take_json(settings *s, const json_t *devices, const char *name,
                           const json_t *value, be_error *err)
{
    char text[64];
    const json_t *item;
    size_t i;
    if (json_is_string(value))
        return settings_take(s, devices, name, json_string_value(value), err);
    if (json_is_true(value)) return settings_take(s, devices, name, "1", err);
    if (json_is_false(value) || json_is_null(value))
        return settings_take(s, devices, name, "", err);
    if (json_is_number(value)) {
        snprintf(text, sizeof text, "%.15g", json_number_value(value));
        return settings_take(s, devices, name, text, err);
    }
    if (!json_is_array(value))
        FAIL(err, BE_USAGE, "%s: expected a text, a number, true or a list of texts",
             text_clean(name, strlen(name), false, text, sizeof text));
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item))
            FAIL(err, BE_USAGE, "%s: expected a list of texts",
                 text_clean(name, strlen(name), false, text, sizeof text));
        TRY(settings_take(s, devices, name, json_string_value(item), err));
    }
    return BE_OK;
}

be_status settings_read(settings *s, const json_t *devices, const json_t *object,
                        const char *const *others, be_error *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object))
        FAIL(err, BE_USAGE, "expected an object in JSON, found something else");
    json_object_foreach((json_t *)object, name, value)
    {
        bool is_other = false;
        for (const char *const *other = others; *other; other++)
            is_other |= strcmp(*other, name) == 0;
        if (!is_other) TRY(take_json(s, devices, name, value, err));
    }
    return BE_OK;
}

bool settings_has(const settings *s, setting_id id, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = s->value[id]; *at; at += strspn(at, ",")) {
        size_t own = strcspn(at, ",");
        if (own == length && strncmp(at, name, length) == 0) return true;
        at += own;
    }
    return false;
}

/* ---------------------------------------------------------------- giving */

void settings_address(const settings *s, char *out, size_t size)
{
    text_buffer b = text_begin(out, size);
    /* Names and numbers have no character that an address would have to escape. */
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strcmp(s->value[i], usuals[i]) != 0)
            text_add(&b, "%s%s=%s", b.used ? "&" : "", setting_names[i], s->value[i]);
}

void command_add(command *c, const char *word)
{
    size_t length = strlen(word) + 1;
    MUST(c->count < COMMAND_WORDS && c->used + length <= sizeof c->text);
    memcpy(c->text + c->used, word, length);
    c->word[c->count++] = c->text + c->used;
    c->used += length;
}

void settings_command(const settings *s, const char *program, const char *verb, unsigned with,
                      const char *device, command *out)
{
    char word[SETTING_BYTES + 80];
    *out = (command){0};
    command_add(out, program);
    command_add(out, verb);
    command_add(out, s->value[SETTING_WORKLOAD]);
    if (with & 1u << SETTING_AXIS) {
        snprintf(word, sizeof word, "--over=%.40s=%.20s..%.20s", s->value[SETTING_AXIS],
                 s->value[SETTING_FROM], s->value[SETTING_TO]);
        command_add(out, word);
    }
    for (int i = 0; i < SETTING_COUNT; i++) {
        const char *value = i == SETTING_DEVICE && device ? device : s->value[i];
        if (!(with & 1u << i) || !options[i] || !*value) continue;
        if (kinds[i] == KIND_FLAG)
            snprintf(word, sizeof word, "%s", options[i]);
        else
            snprintf(word, sizeof word, "%s=%s", options[i], value);
        command_add(out, word);
    }
    command_add(out, "--events");
}

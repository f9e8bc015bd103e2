/* Opening a device by its id: the backend's name, a colon and a number where it has several. */
#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/topology.h"

static const struct {
    const char *name;
    be_status (*open)(const be_device_options *, be_device **, be_error *);
} backend_table[] = {
#define X(name, open, text) {#name, open},
    BACKEND_LIST(X)
#undef X
};

static const struct {
    const char *name;
    be_status (*open)(const backend_place *, be_device **, be_error *);
} numbered_table[] = {
#define X(name, open, text) {#name, open},
    NUMBERED_BACKEND_LIST(X)
#undef X
};

/* The number in "NAME:N", 0 for "NAME", or −1 if the id is something else. */
static int number_of(const char *id, const char *name)
{
    size_t length = strlen(name);
    if (strncmp(id, name, length) != 0) return -1;
    if (id[length] == 0) return 0;
    const char *digits = id + length + 1;
    size_t count = strspn(digits, "0123456789");
    if (id[length] != ':' || count < 1 || count > 3 || digits[count]) return -1;
    return atoi(digits);
}

static const struct {
    const char *name, *backend;
} library_table[] = {
#define X(name, backend) {#name, backend},
    LIBRARY_LIST(X)
#undef X
};

#define LIBRARIES (sizeof library_table / sizeof library_table[0])

bool backend_is_named(const char *id, const char *word)
{
    size_t length = strlen(word);
    return strcmp(id, word) == 0 || (strncmp(id, word, length) == 0 && !strcmp(id + length, ":0"));
}

bool backend_computes(const char *id)
{
    return number_of(id, "null") < 0;
}

bool backend_has_library(const char *id, const char *library)
{
    for (size_t i = 0; library && i < LIBRARIES; i++)
        if (strcmp(library_table[i].name, library) == 0)
            return !*library_table[i].backend || number_of(id, library_table[i].backend) >= 0;
    return !library;
}

static be_status check_library(const char *id, const char *library, be_error *err)
{
    bool known = !library;
    for (size_t i = 0; library && i < LIBRARIES; i++)
        known |= strcmp(library_table[i].name, library) == 0;
    if (!known)
        FAIL(err, BE_USAGE, "library: expected native, onednn, cudnn or clblast, found \"%s\"",
             library);
    if (backend_has_library(id, library)) return BE_OK;
    FAIL(err, BE_UNAVAILABLE,
         "library %s: the device %s does not have it; leave --library out, or name a device that "
         "does (onednn: cpu, cudnn: cuda:N, clblast: opencl:N)",
         library, id);
}

be_status be_device_open(const char *id, const be_device_options *options, be_device **out,
                         be_error *err)
{
    static const be_device_options defaults = {0};
    *out = NULL;
    if (!options) options = &defaults;
    TRY(check_library(id, options->library, err));
    for (size_t i = 0; i < sizeof backend_table / sizeof backend_table[0]; i++)
        if (strcmp(backend_table[i].name, id) == 0) return backend_table[i].open(options, out, err);
    for (size_t i = 0; i < sizeof numbered_table / sizeof numbered_table[0]; i++) {
        int number = number_of(id, numbered_table[i].name);
        backend_place place = {.index = number, .id = id, .options = options};
        if (number >= 0) return numbered_table[i].open(&place, out, err);
    }
    FAIL(err, BE_UNAVAILABLE,
         "device \"%s\": expected one of those that `breakeven devices` lists (cpu …)", id);
}

/* ---------------------------------------------------------------- listing */

static void list_cpu(json_t *devices)
{
    json_array_append_new(devices, json_pack("{s:s, s:o, s:b}", "id", "cpu", "name",
                                             json_of_text(topology_get()->cpu_name), "usable", 1));
}

/* The id of the usable device of another backend that is the same hardware, or NULL. */
static const char *twin_of(const json_t *devices, const backend_entry *e)
{
    size_t i;
    json_t *device;
    json_array_foreach(devices, i, device)
    {
        const char *id = json_string_value(json_object_get(device, "id"));
        const char *name = json_string_value(json_object_get(device, "name"));
        bool same = e->is_cpu ? strcmp(id, "cpu") == 0 : strcmp(name, e->name) == 0;
        if (same && json_is_true(json_object_get(device, "usable"))) return id;
    }
    return NULL;
}

#define OPENCL_MOST 16

static void list_opencl(json_t *devices)
{
    backend_entry found[OPENCL_MOST];
    int count = opencl_list(found, OPENCL_MOST);
    json_t *opencl = json_array();
    for (int i = 0; i < count && i < OPENCL_MOST; i++) {
        const backend_entry *e = &found[i];
        json_t *device = json_pack("{s:s, s:o, s:b}", "id", e->id, "name", json_of_text(e->name),
                                   "usable", e->usable);
        if (e->usable) {
            const char *twin = twin_of(devices, e);
            json_object_set_new(device, "driver", json_of_text(e->software));
            json_object_set_new(device, "memory_bytes", json_integer((json_int_t)e->memory_bytes));
            if (twin) json_object_set_new(device, "duplicate_of", json_string(twin));
            if (e->is_cpu) json_object_set_new(device, "is_cpu", json_true());
        } else {
            json_object_set_new(device, "reason", json_of_text(e->reason));
        }
        json_array_append_new(opencl, device);
    }
    json_array_extend(devices, opencl);
    json_decref(opencl);
}

static void list_null(json_t *devices)
{
    json_array_append_new(devices, json_pack("{s:s, s:s, s:b}", "id", "null:0", "name",
                                             "no hardware; computes nothing", "usable", 1));
}

/* Is one of the ids, separated by commas, of this backend? */
static bool is_wanted(const char *ids, const char *backend)
{
    char id[24];
    for (const char *p = ids; *p; p += strspn(p, ",")) {
        size_t length = strcspn(p, ",");
        if (length < sizeof id) {
            memcpy(id, p, length);
            id[length] = 0;
            if (number_of(id, backend) >= 0) return true;
        }
        p += length;
    }
    return false;
}

json_t *backend_list(const char *ids)
{
    json_t *devices = json_array();
    if (!ids || is_wanted(ids, "cpu")) list_cpu(devices);
    if (!ids || is_wanted(ids, "cuda")) cuda_list(devices);
    if (!ids || is_wanted(ids, "opencl")) list_opencl(devices);
    if (ids && is_wanted(ids, "null")) list_null(devices);
    return devices;
}

/* The environment as the object that stands in records. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include <hwloc.h>

#include "backend/backend.h"
#include "core/json.h"
#include "machine/environment.h"

extern char **environ;

/* Variables whose names begin so change how fast something runs. */
static const char *const environment_prefixes[] = {
    "OMP_",     "GOMP_",   "KMP_",    "OPENBLAS_",   "GOTO_",   "BLIS_",   "MKL_",
    "DNNL_",    "ONEDNN_", "ACL_",    "CUDA_",       "CUBLAS_", "NVIDIA_", "TORCH_",
    "PYTORCH_", "VECLIB_", "MALLOC_", "LD_PRELOAD=", "TF_",     "XLA_",    "KERAS_",
};

json_t *environment_libraries(void)
{
    json_t *object = json_object();
    unsigned hwloc = hwloc_get_api_version();
    json_object_set_new(object, "blas", json_string(cpu_library_version()));
    json_object_set_new(object, "zlib", json_string(zlibVersion()));
    json_object_set_new(object, "jansson", json_string(jansson_version_str()));
    json_object_set_new(object, "hwloc",
                        json_sprintf("%u.%u.%u", hwloc >> 16, hwloc >> 8 & 0xFF, hwloc & 0xFF));
#ifdef _OPENMP
    json_object_set_new(object, "openmp", json_sprintf("%d", _OPENMP));
#endif
#ifdef __GLIBC__
    json_object_set_new(object, "glibc", json_string(gnu_get_libc_version()));
#endif
    return object;
}

static json_t *environment_variables(void)
{
    json_t *object = json_object();
    size_t prefixes = sizeof environment_prefixes / sizeof *environment_prefixes;
    for (char **v = environ; *v; v++) {
        const char *equals = strchr(*v, '=');
        if (!equals) continue;
        for (size_t i = 0; i < prefixes; i++) {
            const char *prefix = environment_prefixes[i];
            if (strncmp(*v, prefix, strlen(prefix)) != 0) continue;
            json_t *name = json_stringn(*v, (size_t)(equals - *v));
            json_t *value = json_of_text(equals + 1);
            if (name && value) json_object_set(object, json_string_value(name), value);
            json_decref(name);
            json_decref(value);
        }
    }
    return object;
}

static json_t *environment_cpu(const environment *e)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "model", json_of_known(e->cpu_model), "vendor", json_of_known(e->cpu_vendor),
                     "isa", json_of_known(e->isa), "cores", json_of_count(e->cores), "threads",
                     json_of_count(e->threads), "machine_cores", json_of_count(e->machine_cores),
                     "machine_threads", json_of_count(e->machine_threads), "numa_nodes",
                     json_of_count(e->numa_nodes), "quota", json_of_real(e->quota), "usual_threads",
                     json_of_count(e->usual_threads), "governor", json_of_known(e->governor),
                     "l1d_bytes", json_of_count(e->cache_bytes[1]), "l2_bytes",
                     json_of_count(e->cache_bytes[2]), "l3_bytes",
                     json_of_count(e->cache_bytes[3]));
}

static json_t *environment_build(const environment *e)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "version", json_of_known(e->version), "commit",
                     json_of_known(e->commit), "compiler", json_of_known(e->compiler), "type",
                     json_of_known(e->build_type), "sanitizers", json_of_known(e->sanitizers));
}

be_status environment_to_json(const environment *e, json_t **out, be_error *err)
{
    json_t *load = json_array(), *warnings = json_array();
    for (int i = 0; i < 3; i++) json_array_append_new(load, json_of_real(e->load[i]));
    for (int i = 0; i < ENVIRONMENT_WARNINGS && e->warnings[i]; i++)
        json_array_append_new(warnings, json_of_text(e->warnings[i]));
    *out = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "cpu",
        environment_cpu(e), "memory_bytes", json_of_count(e->memory_bytes), "memory_limit_bytes",
        json_of_count(e->memory_limit_bytes), "system", json_of_known(e->system), "kernel",
        json_of_known(e->kernel), "machine", json_of_known(e->machine), "virtual_machine",
        json_of_known(e->virtual_machine), "container", json_of_known(e->container), "load_average",
        load, "sensors", sensors_to_json(&e->sensors), "build", environment_build(e), "libraries",
        environment_libraries(), "variables", environment_variables(), "warnings", warnings);
    if (*out) return BE_OK;
    FAIL(err, BE_NO_MEMORY, "environment: no memory left for the record; free some");
}

/* Variants in metadata. */
#include "train/variant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int variant_write(const workload_variant *variant, safetensors_string out[WORKLOAD_DIMENSIONS],
                  char text[WORKLOAD_DIMENSIONS][VARIANT_VALUE_BYTES])
{
    int count = 0;
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++) {
        int value = workload_variant_get(variant, (workload_dimension)d);
        if (!value) continue;
        snprintf(text[count], VARIANT_VALUE_BYTES, "%d", value);
        out[count] = (safetensors_string){workload_dimension_names[d], text[count]};
        count++;
    }
    return count;
}

be_status variant_read(const safetensors *file, const char *path, workload_variant *out,
                       be_error *err)
{
    *out = (workload_variant){0};
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++) {
        const char *name = workload_dimension_names[d], *text = safetensors_metadata(file, name);
        char *end = NULL;
        if (!text) continue;
        long long value = strtoll(text, &end, 10);
        if (end == text || *end || value < 1 || value > INT32_MAX)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected the variant's \"%s\" as a number from 1 on, found \"%.40s\"; name a "
                 "file that 'breakeven train' wrote",
                 path, name, text);
        *workload_variant_at(out, (workload_dimension)d) = (int)value;
    }
    return BE_OK;
}

static be_status take(const safetensors *file, const char *path, const workload *w,
                      workload_variant *variant, be_error *err)
{
    const char *name = safetensors_metadata(file, "workload");
    workload_variant from_file;
    if (!name || strcmp(name, w->name) != 0) return BE_OK;
    TRY(variant_read(file, path, &from_file, err));
    for (int i = 0; i < WORKLOAD_DIMENSIONS; i++) {
        workload_dimension d = (workload_dimension)i;
        int value = workload_variant_get(&from_file, d), *place = workload_variant_at(variant, d);
        if (!*place && value != workload_variant_get(&w->own, d)) *place = value;
    }
    return BE_OK;
}

be_status variant_take(const char *path, const workload *w, workload_variant *variant,
                       be_error *err)
{
    safetensors *file = NULL;
    if (safetensors_open(&file, path, NULL) != BE_OK) return BE_OK;
    be_status status = take(file, path, w, variant, err);
    safetensors_close(file);
    return status;
}

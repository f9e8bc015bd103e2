/* Fuzzes the reading of safetensors files. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/status.h"
#include "data/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read every byte that the tensors claim. */
static void touch(const safetensors *file, size_t size)
{
    size_t total = 0;
    for (int i = 0; i < safetensors_count(file); i++) {
        const safetensors_tensor *t = safetensors_at(file, i);
        volatile uint8_t sum = 0;
        for (size_t b = 0; b < t->bytes; b++) sum = (uint8_t)(sum + ((const uint8_t *)t->data)[b]);
        MUST((uintptr_t)t->data % safetensors_dtype_bytes(t->dtype) == 0);
        /* How long an element of an unknown type is nobody knows. */
        MUST(t->dtype == SAFETENSORS_OTHER ||
             t->bytes == (size_t)t->count * safetensors_dtype_bytes(t->dtype));
        MUST(safetensors_find(file, t->name) == t);
        total += t->bytes;
    }
    MUST(total <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    safetensors *file = NULL;
    be_error err = {0};
    be_status status = safetensors_parse(&file, data, size, "input", &err);
    MUST((status == BE_OK) == (file != NULL));
    if (file) {
        touch(file, size);
        const char *value = safetensors_metadata(file, "step");
        MUST(!value || strlen(value) < size);
        safetensors_close(file);
        return 0;
    }
    MUST(status == BE_BAD_DATA && strstr(err.text, "input: ") == err.text);
    for (const char *c = err.text; *c; c++) MUST(*c >= ' ' && *c < 127); /* fit for a terminal */
    return 0;
}

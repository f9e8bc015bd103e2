/* Fuzzes the reading of pickled batches. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/memory.h"
#include "data/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    be_error err = {0};
    pickle_batch batch;
    be_status status = pickle_read_batch(data, size, "input", &batch, &err);
    MUST(status == BE_OK || (status == BE_BAD_DATA && strstr(err.text, "input: ") == err.text));
    MUST(status == BE_OK || !batch.labels);
    if (status == BE_OK) {
        MUST(batch.rows >= 0 && batch.row_bytes > 0);
        MUST(batch.data >= data);
        MUST(batch.data + batch.rows * batch.row_bytes <= data + size);
        int64_t sum = 0;
        for (int64_t i = 0; i < batch.label_count; i++) sum += batch.labels[i];
        MUST(sum <= batch.label_count * (int64_t)INT32_MAX);
    }
    memory_free_array(batch.labels);
    return 0;
}

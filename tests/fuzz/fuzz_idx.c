/* Fuzzes the reading of IDX files, plain and gzip.  The first byte gives rank and limit. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/memory.h"
#include "core/status.h"
#include "data/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    gzip_reader *r = NULL;
    be_error err = {0};
    idx_array array = {0};
    int rank = 1 + data[0] % IDX_RANK_MAX;
    int64_t limit = data[0] / IDX_RANK_MAX;
    be_status status = gzip_open_memory(&r, data + 1, size - 1, "input", &err);
    if (status == BE_OK) {
        status = idx_read(r, rank, limit, &array, &err);
        gzip_close(r);
    }
    MUST((status == BE_OK) == (array.bytes != NULL));
    if (array.bytes) {
        int64_t bytes = 1;
        for (int i = 0; i < rank; i++) bytes *= array.shape[i];
        MUST(array.shape[0] <= array.file_count && (limit == 0 || array.shape[0] <= limit));
        volatile uint8_t last = bytes ? array.bytes[bytes - 1] : 0;
        (void)last;
    }
    MUST(status == BE_OK || (status == BE_BAD_DATA && strstr(err.text, "input: ") == err.text));
    memory_free(array.bytes);
    return 0;
}

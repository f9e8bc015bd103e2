/* Fuzzes the reading of plain and gzip bytes.  The first byte says in what pieces they are read. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/status.h"
#include "data/gzip.h"

#define BYTES_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[4096];
    if (size < 1) return 0;
    gzip_reader *r = NULL;
    be_error err = {0};
    int64_t total = 0;
    size_t piece = 1 + data[0] * 16u, got = 0;
    be_status status = gzip_open_memory(&r, data + 1, size - 1, "input", &err);
    if (status == BE_OK) {
        int64_t most = gzip_most_bytes(r);
        do {
            status = gzip_read_some(r, out, piece, &got, &err);
            MUST(got <= piece);
            total += (int64_t)got;
        } while (status == BE_OK && got == piece && total < BYTES_MAX);
        MUST(total <= most);
        if (status == BE_OK) status = gzip_end(r, &err);
        gzip_close(r);
    }
    MUST(status == BE_OK || (status == BE_BAD_DATA && strstr(err.text, "input: ") == err.text));
    return 0;
}

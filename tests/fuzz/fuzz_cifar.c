/* Fuzzes the reading of CIFAR-10's binary files, plain and gzip.  The first byte is the limit. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/status.h"
#include "data/cifar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    gzip_reader *r = NULL;
    be_error err = {0};
    cifar_records records = {0};
    be_status status = gzip_open_memory(&r, data + 1, size - 1, "input", &err);
    if (status == BE_OK) {
        status = cifar_append(r, data[0], &records, &err);
        gzip_close(r);
    }
    MUST(status != BE_OK || records.count > 0);
    MUST(data[0] == 0 || records.count <= data[0]);
    for (int64_t i = 0; i < records.count; i++)
        MUST(records.labels[i] >= 0 && records.labels[i] < CIFAR_CLASSES);
    MUST(status == BE_OK || (status == BE_BAD_DATA && strstr(err.text, "input: ") == err.text));
    cifar_free(&records);
    return 0;
}

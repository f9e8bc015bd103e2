/* Fuzzes the reading of records from a file. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/text.h"
#include "protocol/protocol.h"
#include "run/record_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    record_set set;
    be_error err = {0};
    be_status status = record_set_parse(&set, "records", (const char *)data, size, &err);
    MUST(status == BE_OK || status == BE_BAD_DATA);
    for (size_t i = 0; i < set.count; i++) {
        const record_measured *r = &set.list[i];
        bool speed = r->step_s.median > 0;
        MUST(r->workload[0] && r->engine[0] && r->batch > 0);
        MUST(!speed || (r->status == BE_OK && r->step_s.median < 1e7));
    }
    /* What is shown must be text: it goes to terminals. */
    char clean[sizeof err.text];
    text_clean(err.text, strlen(err.text), true, clean, sizeof clean);
    MUST(status == BE_OK || !strcmp(clean, err.text));
    record_set_free(&set);
    return 0;
}

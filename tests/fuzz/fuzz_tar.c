/* Fuzzes the reading of tar archives, plain and gzip. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/status.h"
#include "data/tar.h"

#define MEMBERS_MAX 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gzip_reader *r = NULL;
    be_error err = {0};
    tar_member member = {0};
    bool found = false;
    uint8_t out[100];
    be_status status = gzip_open_memory(&r, data, size, "input", &err);
    for (int i = 0; status == BE_OK && i < MEMBERS_MAX; i++) {
        size_t got = 0;
        status = tar_next(r, &member, &found, &err);
        if (status != BE_OK || !found) break;
        MUST(!strchr(member.name, '/') && member.bytes >= 0);
        if (i % 2) status = tar_read(r, &member, out, sizeof out, &got, &err);
        MUST(got <= sizeof out);
    }
    MUST(status == BE_OK || (status == BE_BAD_DATA && strstr(err.text, "input: ") == err.text));
    gzip_close(r);
    return 0;
}

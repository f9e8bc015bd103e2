/* Fuzzes the import of records: all of a text is taken or nothing, and a second time nothing. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/text.h"
#include "store/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static be_status count_line(void *context, const char *line, int64_t run, be_error *err)
{
    (void)err;
    MUST(line[0] && run > 0);
    ++*(int64_t *)context;
    return BE_OK;
}

static int64_t count_of(store *s)
{
    int64_t count = 0;
    store_filter all = {.since_s = -1, .until_s = -1};
    MUST(store_read(s, &all, count_line, &count, NULL) == BE_OK);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    store *s = NULL;
    import_count count, again;
    be_error err = {0};
    MUST(store_open(&s, ":memory:", &err) == BE_OK);
    be_status status = import_text(s, "records", (const char *)data, size, &count, &err);
    MUST(status == BE_OK || status == BE_BAD_DATA);
    MUST(count_of(s) == count.added);
    char clean[sizeof err.text];
    text_clean(err.text, strlen(err.text), true, clean, sizeof clean);
    MUST(status == BE_OK || !strcmp(clean, err.text));
    MUST(import_text(s, "records", (const char *)data, size, &again, &err) == status);
    MUST(again.added == 0 &&
         again.known == (count.added ? count.added + count.known : count.known));
    MUST(count_of(s) == count.added);
    store_close(s);
    return 0;
}

/* Fuzzes the documents of runs: records of kinds from which nothing is computed are taken as they
 * are by an import, so that whatever they hold must be told, drawn and escaped. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "store/choose.h"
#include "store/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef be_status write_page(const report_page *page, FILE *out, be_error *err);

/* The document, to be freed. */
static char *written(write_page *write, const report_page *page)
{
    char *text = NULL;
    size_t bytes = 0;
    be_error err = {0};
    FILE *out = open_memstream(&text, &bytes);
    MUST(out);
    MUST(write(page, out, &err) == BE_OK);
    MUST(fclose(out) == 0);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    store *s = NULL;
    import_count count;
    be_error err = {0};
    store_filter all = {.since_s = -1, .until_s = -1};
    json_t *runs = json_array();
    MUST(store_open(&s, ":memory:", &err) == BE_OK);
    if (import_text(s, "records", (const char *)data, size, &count, &err) == BE_OK) {
        MUST(choose_collect(s, &all, runs, &err) == BE_OK);
        report_page page = {runs, NULL};
        char *html = written(page_write_html, &page), *md = written(page_write_md, &page);
        char *csv = written(page_write_csv, &page);
        MUST(!strstr(html, "<script") && !strstr(html, "<img") && !strstr(html, "<b>"));
        MUST(strlen(csv) > 0 && strlen(md) > 0);
        free(html);
        free(md);
        free(csv);
    }
    json_decref(runs);
    store_close(s);
    return 0;
}

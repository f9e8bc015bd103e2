/* The quick verdict on one page of 80 columns: the machine, the contenders with their steps as
 * bars, the cause, the advice, and what to do next; all made from records.  This is what people
 * paste. */
#ifndef REPORT_QUICK_H
#define REPORT_QUICK_H

#include "report/sheet.h"

typedef struct quick_page {
    const json_t *records; /* of one group (report/bench.h), with "explain" and "cause" */
    const json_t *advice;  /* report/advice.h; NULL: there is none */
    const json_t *missing; /* what took no part: a list of {name, reason} */
} quick_page;

void quick_write(const quick_page *page, FILE *out);

#endif

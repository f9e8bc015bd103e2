/* How records were measured and on what machine: for the end of a report. */
#ifndef REPORT_METHOD_H
#define REPORT_METHOD_H

#include "report/sheet.h"

/* The method in words, a table of how each was measured, the blocks as they were read, the memory
 * that each took, and all that is known of the machine; in HTML drawn and folded away. */
void method_write(const json_t *records, FILE *out);

#endif

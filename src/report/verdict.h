/* What a run found, in a few sentences: who is fastest and how surely, where the answer flips, what
 * to take, how far a training came. */
#ifndef REPORT_VERDICT_H
#define REPORT_VERDICT_H

#include "report/sheet.h"

#define VERDICT_LINES 12 /* groups that are told at most */

/* Of records of any kinds; it says so where there is nothing to tell. */
void verdict_write(const json_t *records, FILE *out);

#endif

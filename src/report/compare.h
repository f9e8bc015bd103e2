/* A comparison of sets of records, for people and for programs, made from its object alone. */
#ifndef REPORT_COMPARE_H
#define REPORT_COMPARE_H

#include "report/sheet.h"

/* The object is that of study/compare.h.  json and jsonl write it; csv its rows. */
BE_CHECKED be_status compare_write(const json_t *result, report_format format, FILE *out,
                                   be_error *err);

#endif

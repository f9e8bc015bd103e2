/* What the native engine's devices can do at most, for 'breakeven devices --measure': tables below
 * that of the devices. */
#ifndef CLI_DEVICES_LIMITS_H
#define CLI_DEVICES_LIMITS_H

#include "cli/cli.h"
#include "report/sheet.h"

/* For CSV: columns that have no title. */
#define DEVICES_LIMITS_COLUMNS 14
extern const report_column devices_limits_columns[DEVICES_LIMITS_COLUMNS];

/* The tables, in the form of --format. */
BE_CHECKED be_status devices_limits_print(const cli_options *options, const json_t *records,
                                          be_error *err);

#endif

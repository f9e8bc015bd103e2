/* The event files that TensorBoard reads: a training's scalars by its steps.
 *
 * A file is a sequence of records (TensorFlow's core/lib/io/record_writer.h): the length in 8
 * bytes, its masked CRC-32C, the bytes, their masked CRC-32C.  The bytes are an Event
 * (core/util/event.proto) in the encoding of protocol buffers.  What was added lies in the file at
 * once, so that a page can follow; a killed writer leaves a file that is good up to its last whole
 * record. */
#ifndef TRAIN_EVENTS_H
#define TRAIN_EVENTS_H

#include "core/file.h"

typedef struct events_file {
    int fd; /* -1: closed */
    char path[FILE_PATH_BYTES];
} events_file;

/* A scalar; one that is not finite is written as it is, for TensorBoard shows that. */
typedef struct events_value {
    const char *tag; /* "loss/train": what stands before the slash is its group */
    double value;
} events_value;

/* A new file in the folder, which is made where it is missing; TensorBoard takes all files of a
 * folder for one training. */
BE_CHECKED be_status events_open(events_file *f, const char *folder, be_error *err);

/* Of one step. */
BE_CHECKED be_status events_add(events_file *f, int64_t step, const events_value *values, int count,
                                be_error *err);

void events_close(events_file *f); /* twice is fine */

#endif

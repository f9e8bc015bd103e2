/* References that were computed before, kept below the user's cache folder: a file each, found by
 * all that made it (the key) and believed only if key and hash are right.
 *
 * Bounded in size: what was used longest ago goes first.  Several processes may use it at once; a
 * file is whole or not there.  What cannot be kept is computed anew the next time. */
#ifndef RUN_GATE_STORE_H
#define RUN_GATE_STORE_H

#include <jansson.h>

#include "protocol/trace.h"

#define GATE_STORE_BYTES ((int64_t)1 << 30)

/* The hash of this program's file: another build may compute another reference.  BE_UNAVAILABLE
 * where the system does not tell where it is. */
BE_CHECKED be_status gate_store_build(uint64_t *out, be_error *err);

/* A 64-bit hash that goes on from `hash`; of no use against who wants to deceive. */
#define GATE_STORE_HASH UINT64_C(0xcbf29ce484222325)
uint64_t gate_store_hash(uint64_t hash, const void *bytes, size_t count);

/* The trace of this key; BE_UNAVAILABLE if there is none that can be believed. */
BE_CHECKED be_status gate_store_load(trace *out, const json_t *key, be_error *err);

/* Keep it; its values are float's already (trace_round). */
BE_CHECKED be_status gate_store_save(const trace *t, const json_t *key, be_error *err);

/* Remove the files of the folder that were used longest ago, until the rest takes `most_bytes`. */
BE_CHECKED be_status gate_store_trim(int64_t most_bytes, be_error *err);

#endif

/* The largest request, `prepare`, as JSON; for protocol.c alone. */
#ifndef PROTOCOL_PROTOCOL_PREPARE_H
#define PROTOCOL_PROTOCOL_PREPARE_H

#include "protocol/protocol.h"

/* BE_USAGE for a job that the protocol does not allow. */
BE_CHECKED be_status protocol_check_job(const protocol_job *job, be_error *err);

/* Of a checked job; NULL: no memory. */
json_t *protocol_prepare_object(const protocol_job *job);

#endif

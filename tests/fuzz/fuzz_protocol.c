/* Fuzzes the reading of a runner's answers.  The first byte says which request is answered. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/status.h"
#include "core/text.h"
#include "protocol/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    protocol_call call = {
        .request = (protocol_request)((data[0] & 0x7F) % (PROTOCOL_QUIT + 1)),
        .steps = 2,
        .losses = data[0] & 0x80,
    };
    protocol_answer answer;
    be_error err = {0};
    be_status status = protocol_parse(&call, (const char *)data + 1, size - 1, &answer, &err);
    MUST((status == BE_OK) == (answer.json != NULL));
    /* What is shown must be text: it goes to terminals and into records. */
    char clean[sizeof err.text];
    text_clean(err.text, strlen(err.text), true, clean, sizeof clean);
    MUST(status == BE_OK || !strcmp(clean, err.text));
    protocol_answer_clear(&answer);
    return 0;
}

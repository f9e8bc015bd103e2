/* What NVRTC made for sm_90, read as far as the tests need. */
#ifndef TESTS_MACHINE_CODE_H
#define TESTS_MACHINE_CODE_H

#include <stdbool.h>
#include <stddef.h>

/* Does every kernel wait for those in front of it before it touches memory outside of its group?
 * If not, why: the first that does not, by name. */
bool machine_code_waits(const void *code, size_t bytes, char *why, size_t size);

#endif

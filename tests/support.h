/* What the C tests share: cmocka in its one right order, checks of statuses and error texts, a
 * folder of the test's own, and the injected allocation faults in a loop.
 *
 * Owns the folders it makes.  May use src/core alone of the engine. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/status.h"

/* The call takes &err as its last argument, err being a be_error in scope. */
#define ASSERT_OK(call) support_assert_ok((call), &err, #call, __FILE__, __LINE__)

/* The call fails with `status`, and the text of err holds each of the given pieces. */
#define ASSERT_FAILS(call, status, ...)                                                         \
    support_assert_fails((call), (status), &err, (const char *[]){__VA_ARGS__, NULL}, __FILE__, \
                         __LINE__)

void support_assert_ok(be_status found, const be_error *err, const char *call, const char *file,
                       int line);
void support_assert_fails(be_status found, be_status expected, const be_error *err,
                          const char *const *pieces, const char *file, int line);

/* A new empty folder below the system's temporary one; aborts the test if there is none.  Free with
 * support_remove_folder, which removes it with all it holds. */
char *support_make_folder(void);
void support_remove_folder(char *folder);

/* "FOLDER/NAME" in a buffer of `room` bytes, which is returned. */
char *support_path(char *out, size_t room, const char *folder, const char *name);

/* Write a file, replacing it; fails the test where that does not work. */
void support_write_file(const char *path, const void *bytes, size_t count);

/* Call `attempt` with the first allocation failing, then the second, and so on until it succeeds:
 * each failure must be BE_NO_MEMORY, and must leave nothing behind (LeakSanitizer tells).  Returns
 * how many allocations were made to fail; more than `limit` fails the test. */
int support_fail_each_allocation(be_status (*attempt)(void *context, be_error *err), void *context,
                                 int limit);

/* From now on PoCL compiles kernels without optimizing: for kernels that run only once or twice. */
void support_quick_kernels(void);

#endif

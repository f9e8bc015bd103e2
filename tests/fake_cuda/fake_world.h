/* CUDA's fakes in the place of driver and libraries, with a cache folder of its own: setup and
 * teardown of a test program's group. */
#ifndef FAKE_WORLD_H
#define FAKE_WORLD_H

#include <stdlib.h>

#include "backend/cuda/cuda_driver.h"
#include "support.h"

static char *fake_world_cache;

static inline int fake_world_open(void **state)
{
    (void)state;
    setenv("BREAKEVEN_CUDA_LIB_DIR", getenv("BREAKEVEN_FAKE_CUDA"), 1);
    fake_world_cache = support_make_folder();
    setenv("XDG_CACHE_HOME", fake_world_cache, 1);
    return 0;
}

static inline int fake_world_close(void **state)
{
    (void)state;
    cuda_math_forget();
    cuda_libraries_forget();
    support_remove_folder(fake_world_cache);
    return 0;
}

#endif

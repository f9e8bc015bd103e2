/* The fastest of cuBLASLt's algorithms for a product on this device, found by timing those that the
 * library offers, and kept in the user's cache folder.
 *
 * A choice that was kept is taken ever after: two runs on a device give the same bits as long as
 * the folder stays.  For the same reason the library's own favourite is taken where nothing can be
 * kept, and is kept where no time is left: until there is a longer limit.  The driver counts what
 * was searched, and what was not. */
#ifndef BACKEND_CUDA_CUBLASLT_SEARCH_H
#define BACKEND_CUDA_CUBLASLT_SEARCH_H

#include "backend/cuda/cublaslt_plan.h"
#include "backend/cuda/cuda_driver.h"

/* Let the plan, which is not bound yet, take it.  `may_try`: work may run on the device; without it
 * the folder alone is asked.  A trial that fails is no error: then the plan stays as it is. */
BE_CHECKED be_status cublaslt_search(cuda_driver *driver, const cublaslt_product *product,
                                     bool may_try, cublaslt_plan *plan, be_error *err);

#endif

/* The fastest of cuDNN's engines for a table on this device, found by timing the first of those
 * that its heuristics give and that may be taken; kept in the user's cache folder, and for the same
 * reasons as a product's algorithm (cublaslt_search.h). */
#ifndef BACKEND_CUDA_CUDNN_SEARCH_H
#define BACKEND_CUDA_CUDNN_SEARCH_H

#include "backend/cuda/cuda_driver.h"
#include "backend/cuda/cudnn_plan.h"

/* `rank` for cudnn_place; 0, the favourite, where nothing is known.  `may_try`: work may run on the
 * device; without it the folder alone is asked.  A trial that fails is no error. */
BE_CHECKED be_status cudnn_search(cuda_driver *driver, const cudnn_graph *graph, bool may_try,
                                  int *rank, be_error *err);

#endif

/* See broadcast.h. */
#include "ops/eltwise/broadcast.h"

be_status broadcast_check(const be_shape *small, const be_shape *large, const char *name,
                          be_error *err)
{
    char text[64], expected[64];
    bool fits = small->dtype == BE_F32 && small->rank >= 0 && small->rank <= large->rank;
    for (int d = 1; fits && d <= small->rank; d++) {
        int64_t own = small->dim[small->rank - d];
        fits = own == 1 || own == large->dim[large->rank - d];
    }
    if (fits) return BE_OK;
    FAIL(err, BE_USAGE, "%s: expected f32 whose dimensions are the last ones of %s, or 1, found %s",
         name, shape_text(large, expected), shape_text(small, text));
}

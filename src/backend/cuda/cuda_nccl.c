/* NCCL: opened and probed. */
#include "backend/cuda/cuda_nccl.h"

#include <stdio.h>
#include <stdlib.h>

void nccl_library_open(cuda_library *out, const cuda_places *places, bool newer)
{
    static const char *const names[] = {"libnccl.so.2", NULL};
    library_open(out, places, names,
                 newer ? "install it, as by 'pip install nvidia-nccl-cu13'"
                       : "install it, as by 'pip install nvidia-nccl-cu12'");
    library_locate(out, "ncclGetVersion");
}

/* NCCL reads these when it starts.  A multicast over NVLink leaves the order of a sum to the
 * switch, and so would a choice of algorithm that is made anew: the ring adds up in one order.
 * Who sets NCCL_ALGO wants to see what another one does. */
static void choose_order(void)
{
    setenv("NCCL_NVLS_ENABLE", "0", 1);
    setenv("NCCL_ALGO", "Ring", 0);
    /* A program's graphs run one after the other, and nothing else uses the ranks' link then. */
    setenv("NCCL_GRAPH_MIXING_SUPPORT", "0", 0);
}

be_status cuda_nccl_open(cuda_nccl *out, const cuda_places *places, bool newer, be_error *err)
{
    const char *missing = NULL;
    *out = (cuda_nccl){0};
    choose_order();
    nccl_library_open(&out->library, places, newer);
    if (!out->library.handle) FAIL(err, BE_UNAVAILABLE, "%s", out->library.reason);
#define X(member, symbol, parameters)                                     \
    *(void **)&out->call.member = library_symbol(&out->library, #symbol); \
    if (!out->call.member && !missing) missing = #symbol;
    NCCL_FUNCTION_LIST(X)
#undef X
    *(void **)&out->call.error_string = library_symbol(&out->library, "ncclGetErrorString");
    *(void **)&out->call.last_error = library_symbol(&out->library, "ncclGetLastError");
    if (!out->call.error_string) missing = "ncclGetErrorString";
    if (missing)
        FAIL(err, BE_UNAVAILABLE, "%.200s lacks %s; install another NCCL", out->library.path,
             missing);
    if (out->call.version(&out->version) != NCCL_OK || out->version < NCCL_OLDEST)
        FAIL(err, BE_UNAVAILABLE,
             "%.200s: expected NCCL 2.10 or later, found the version number %d; install another "
             "NCCL",
             out->library.path, out->version);
    snprintf(out->library.version, sizeof out->library.version, "%d.%d.%d", out->version / 10000,
             out->version / 100 % 100, out->version % 100);
    snprintf(out->title, sizeof out->title, "NCCL %.32s", out->library.version);
    return BE_OK;
}

void cuda_nccl_close(cuda_nccl *nccl)
{
    library_close(&nccl->library);
}

static struct {
    cuda_nccl nccl;
    be_error error;
    be_status status;
    bool looked;
} nccl_found;

be_status cuda_nccl_get(const cuda_libraries *libraries, const cuda_nccl **out, be_error *err)
{
    *out = NULL;
    if (!nccl_found.looked) {
        cuda_places places;
        TRY(cuda_places_find(&places, false, err));
        nccl_found.status = cuda_nccl_open(&nccl_found.nccl, &places,
                                           libraries->driver_version >= 13000, &nccl_found.error);
        nccl_found.looked = true;
        cuda_places_free(&places);
    }
    if (nccl_found.status == BE_OK)
        *out = &nccl_found.nccl;
    else if (err)
        *err = nccl_found.error;
    return nccl_found.status;
}

void cuda_nccl_forget(void)
{
    cuda_nccl_close(&nccl_found.nccl);
    nccl_found.looked = false;
}

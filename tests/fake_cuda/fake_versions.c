/* Libraries of which only the version is asked, for tests: cuBLASLt and cuDNN. */
#include <stddef.h>

size_t cublasLtGetVersion(void)
{
    return 130002;
}

size_t cudnnGetVersion(void)
{
    return 91400;
}

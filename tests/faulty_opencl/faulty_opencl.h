/* A libOpenCL.so.1 between the program and the system's, for tests.
 *
 * It forwards every call, counts the objects that are made and given back, and does what it is told
 * by these functions, or by the environment when it is loaded:
 *
 *   FAULTY_OPENCL_FAIL_AT    the n-th call from the start fails with FAULTY_OPENCL_STATUS (-5)
 *   FAULTY_OPENCL_STICKY     and so do all later ones; what gives back still does so
 *   FAULTY_OPENCL_PLATFORMS  0: there is no platform
 *   FAULTY_OPENCL_DEVICES    0: platforms have no device
 *   FAULTY_OPENCL_MEMORY     bytes that each device says to have, and has
 *   FAULTY_OPENCL_DRIVER     the version of the driver */
#ifndef TESTS_FAULTY_OPENCL_H
#define TESTS_FAULTY_OPENCL_H

/* The n-th call from now fails with `status`, 0: none; `sticky`: and all later ones. */
void faulty_opencl_fail_at(int n, int status, int sticky);
int faulty_opencl_calls(void);        /* since faulty_opencl_fail_at, or the start */
const char *faulty_opencl_last(void); /* the function that was made to fail, "" */
int faulty_opencl_live(void);         /* objects that were not given back */
int faulty_opencl_builds(void);       /* programs built since the start */

#endif

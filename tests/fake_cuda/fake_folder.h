/* Folders with some of the fake libraries, and the places that name them. */
#ifndef TESTS_FAKE_FOLDER_H
#define TESTS_FAKE_FOLDER_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support.h"
#include "backend/cuda/cuda_places.h"

/* A new folder with links to the named fakes (a list that ends with NULL). */
static inline char *fake_folder(const char *const *names)
{
    const char *fakes = getenv("BREAKEVEN_FAKE_CUDA");
    char *folder = support_make_folder(), from[4096], to[4096];
    assert_non_null(fakes);
    for (; *names; names++) {
        support_path(from, sizeof from, fakes, *names);
        support_path(to, sizeof to, folder, *names);
        assert_int_equal(symlink(from, to), 0);
    }
    return folder;
}

/* Places that are this folder alone: not even the system's loader is asked. */
static inline cuda_places fake_places(const char *folder)
{
    cuda_places places = {0};
    be_error err = {0};
    ASSERT_OK(cuda_places_add(&places, CUDA_PLACE_USER, folder, &err));
    return places;
}

#endif

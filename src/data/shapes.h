/* The generated set `shapes`: pictures of ten classes of drawn figures under random place, size,
 * stretch, rotation, stroke, contrast (either sign), clutter and noise.  A stand-in, and a
 * learnable one, where a real data set is not on the machine.
 *
 * A picture depends on (seed, its index, its form) alone: the same bytes on every machine, with any
 * number of threads.  May not read files or allocate. */
#ifndef DATA_SHAPES_H
#define DATA_SHAPES_H

#include <stddef.h>
#include <stdint.h>

#define SHAPES_CLASSES 10
#define SHAPES_SIZE_MAX 32
#define SHAPES_TEST_FIRST 0x40000000u /* index of the first picture of the test split */

typedef struct shapes_form {
    uint64_t seed;
    int channels;   /* 1: grey, 3: colour */
    int size;       /* height and width in pixels, at most SHAPES_SIZE_MAX */
    uint32_t first; /* index of the first picture */
} shapes_form;

/* The class of a figure: "ring", "triangle", … */
const char *shapes_class_name(int label);

/* Draw `count` pictures: images count × channels × size × size, labels count.  In parallel. */
void shapes_draw(const shapes_form *form, int64_t count, uint8_t *images, int32_t *labels);

#endif

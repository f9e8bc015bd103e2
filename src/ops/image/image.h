/* Attributes of the ops on pictures, for their definitions and implementations. */
#ifndef OPS_IMAGE_IMAGE_H
#define OPS_IMAGE_IMAGE_H

#include "ops/op_list.h"

typedef struct resize_attrs {
    int64_t height, width; /* of the result; backward: of x */
} resize_attrs;

/* Where a pixel of the result takes its value along a side: pixel `first` and, for the part
 * `second`, the next one. */
typedef struct resize_place {
    int64_t first;
    double second;
} resize_place;

/* Pixel `to` of `out` along a side that had `in`.  Whole numbers, so that all devices agree. */
static inline resize_place resize_place_of(int64_t to, int64_t out, int64_t in)
{
    int64_t at = (2 * to + 1) * in - out, whole = 2 * out;
    if (at <= 0) return (resize_place){0, 0.0};
    if (at / whole >= in - 1) return (resize_place){in - 1, 0.0};
    return (resize_place){at / whole, (double)(at % whole) / (double)whole};
}

typedef struct augment_attrs {
    int padding;
    int channels; /* of mean and std: 0 where nothing is normalised */
    float mean[4], std[4];
} augment_attrs;

/* What one picture's draws in ±1 mean: how far it is moved, and whether it is turned over. */
typedef struct augment_move {
    int64_t row, column; /* of x is pixel (0, 0) of what is cut out, from −padding on */
    bool flips;
} augment_move;

/* In floats, whose rounding is the same on all devices: an offset is one for all. */
static inline int64_t augment_offset(float draw, int padding)
{
    int64_t places = 2 * padding + 1, place = (int64_t)((draw + 1.0f) * (0.5f * (float)places));
    return (place < 0 ? 0 : place < places ? place : places - 1) - padding;
}

static inline augment_move augment_move_of(float row, float column, float flip, int padding)
{
    return (augment_move){augment_offset(row, padding), augment_offset(column, padding), flip < 0};
}

#endif

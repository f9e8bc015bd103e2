/* Filled figures in colour pictures: what the generated sets of 224×224 are drawn with.
 *
 * A picture depends on what is asked for alone: the same bytes on every machine.  Allocates
 * nothing. */
#ifndef DATA_PAINT_H
#define DATA_PAINT_H

#include <stdint.h>

#include "core/rng.h"

#define PAINT_FIGURES 10
#define PAINT_COLOURS 10
#define PAINT_TEXTURES 5
#define PAINT_OBJECTS 3
#define PAINT_SIZE_MAX 1024

/* "circle", "red", "plain": words of captions. */
extern const char *const paint_figure_names[PAINT_FIGURES];
extern const char *const paint_colour_names[PAINT_COLOURS];

typedef struct paint_object {
    int figure, colour, texture;
    float x, y, radius; /* of a picture of size 1 */
    float turn;         /* the tangent of half the angle that it is turned by */
    float light;        /* its colour's brightness, 1 as it is */
} paint_object;

typedef struct paint_picture {
    int size; /* height and width, at most PAINT_SIZE_MAX */
    int count;
    paint_object objects[PAINT_OBJECTS]; /* a later one lies over an earlier one */
    float ground[3], slope_x[3], slope_y[3], noise;
} paint_picture;

/* A light ground under the objects, which are the caller's. */
void paint_ground(rng *r, paint_picture *p);

/* The three planes of the picture, red, green and blue.  `noise` is a key of its own. */
void paint_draw(const paint_picture *p, rng_key noise, uint8_t *image);

#endif

/* Data sets that are drawn from a seed when they are opened: no file is needed, and a model can
 * learn them, so that accuracy means something.
 *
 * A sample depends on (seed, split, its index, the form) alone: the same bytes on every machine,
 * with any number of threads.  May not read files. */
#ifndef DATA_GENERATED_H
#define DATA_GENERATED_H

#include "data/dataset.h"

/* What the samples are made to, and how many there are where no limit is given. */
typedef struct generated_form {
    int sequence;   /* tokens of a sample, shorter ones padded with 0 */
    int vocabulary; /* tokens */
    int size;       /* height and width of pictures, 8 to PAINT_SIZE_MAX */
    int classes;    /* of pictures, 1 to PICTURES_CLASSES */
    int64_t train, test;
} generated_form;

/* Sequences of one of ten classes: five topics, each with two signs, of which one stands in the
 * first half of the sequence and the other in the second.  Both signs are as frequent in both
 * classes of a topic, so that who counts words is right half of the time at most.
 * Fields: tokens i32 [T], lengths i32 (T / 4 to T, at least 8), labels i32.  Token 0 is padding
 * alone.  BE_USAGE below 8 tokens or a vocabulary of 32. */
#define SEQUENCES_CLASSES 10
BE_CHECKED be_status generated_sequences(const generated_form *form, dataset_split split,
                                         const dataset_options *options, be_dataset **out,
                                         be_error *err);

/* Pairs of sentences as BERT reads them: 101 first 102 second 102, then padding 0.  One of eight
 * pairs of signs is in them, one sign in each sentence: which of the two is in the first one is the
 * label, 0 or 1, and counts of words do not tell it.
 * Fields: tokens i32 [T], segments i32 [T] (1 in the second sentence and its end), lengths i32,
 * labels i32.  BE_USAGE below 16 tokens or a vocabulary of 160. */
#define PAIRS_CLASSES 2
BE_CHECKED be_status generated_pairs(const generated_form *form, dataset_split split,
                                     const dataset_options *options, be_dataset **out,
                                     be_error *err);

/* Colour pictures of filled figures: the class says the figure (10), its colour (10), its texture
 * (5) and whether there are one or two of it, the figure changing fastest; place, size, turn,
 * brightness, ground and noise do not matter.
 * Fields: images u8 [3, size, size], normalised, labels i32. */
#define PICTURES_CLASSES 1000
BE_CHECKED be_status generated_pictures(const generated_form *form, dataset_split split,
                                        const dataset_options *options, be_dataset **out,
                                        be_error *err);

/* Colour pictures of one to three filled figures in a line, with captions: "a small red circle left
 * of a large blue square".
 * Fields: images u8 [3, size, size], normalised, tokens i32 [T], lengths i32.  A caption begins
 * with the vocabulary's last token but one and ends with its last one, at lengths - 1; padding, 0,
 * follows.  BE_USAGE below 20 tokens or a vocabulary of 64. */
BE_CHECKED be_status generated_scenes(const generated_form *form, dataset_split split,
                                      const dataset_options *options, be_dataset **out,
                                      be_error *err);

/* The word of a token of a caption, or NULL. */
const char *generated_scene_word(int32_t token);

#endif

/* A text as training data: its tokens in a row, and windows over them as samples.
 *
 * The text is a file of the user's, mapped and never changed; it must be good UTF-8. */
#ifndef DATA_TEXT_H
#define DATA_TEXT_H

#include "data/dataset.h"

typedef struct text_form {
    int sequence;   /* tokens of a window */
    int vocabulary; /* of the model: every token is below it */
    int drawn[2];   /* windows of a text that is drawn, to train and to test on */
    int stride; /* tokens from one window to the next; 0: `sequence`, so that none is seen twice */
} text_form;

#define TEXT_TEST_PART 10 /* one in this many tokens, the last ones, is to test on */

/* Windows over the text options->text by the tokenizer options->tokenizer (data/tokenizer.h), or,
 * without one, by a vocabulary of form->vocabulary tokens at most that is learnt from the text to
 * train on.  Without a text that of tinyshakespeare where it is in the data folders; with
 * options->synthetic tokens drawn from the seed, each of which mostly follows from the one before.
 * Fields: tokens i32 [T] and targets i32 [T] (each token's next one), windows of one row.
 * BE_BAD_DATA for bad UTF-8 (with its place), an empty file, a tokenizer that is larger than the
 * vocabulary, and a text shorter than a window. */
BE_CHECKED be_status text_open(const text_form *form, dataset_split split,
                               const dataset_options *options, be_dataset **out, be_error *err);

/* Write the tokenizer of a set that was opened with a text as tokenizer.json. */
BE_CHECKED be_status text_save_tokenizer(const be_dataset *d, const char *path, be_error *err);

#endif

/* See scalars.h. */
#include "train/scalars.h"

#include <math.h>
#include <stdio.h>

#include "core/status.h"

#define TAG_BYTES 64

be_status scalars_open(scalars *s, const char *folder, const char *measure, be_error *err)
{
    *s = (scalars){.file = {.fd = -1}};
    TRY(events_open(&s->file, folder, err));
    s->measure = measure;
    return BE_OK;
}

void scalars_close(scalars *s)
{
    if (s->measure) events_close(&s->file);
    s->measure = NULL;
}

static const char *add(scalars *s, int64_t step, const events_value *values, int count)
{
    if (events_add(&s->file, step, values, count, &s->reason) == BE_OK) return NULL;
    status_prefix(&s->reason, "TensorBoard's file ends here, the training goes on");
    scalars_close(s);
    return s->reason.text;
}

static const char *tag_of(const scalars *s, const char *split, char out[TAG_BYTES])
{
    snprintf(out, TAG_BYTES, "%.40s/%s", s->measure, split);
    return out;
}

const char *scalars_add_progress(scalars *s, const train_progress *p)
{
    char tag[TAG_BYTES];
    if (!s->measure || p->step == p->steps) return NULL; /* the epoch tells of its end */
    const events_value values[] = {{"loss/train", p->loss},
                                   {tag_of(s, "train", tag), p->accuracy},
                                   {"speed/samples_per_s", p->samples_per_s}};
    return add(s, (p->epoch - 1) * p->steps + p->step, values, 3);
}

const char *scalars_add_epoch(scalars *s, const train_epoch *e)
{
    char trained[TAG_BYTES], validated[TAG_BYTES];
    if (!s->measure) return NULL;
    events_value values[9] = {{"loss/train", e->loss},
                              {tag_of(s, "train", trained), e->accuracy},
                              {"learning_rate", e->learning_rate},
                              {"speed/samples_per_s", e->samples_per_s}};
    int count = 4;
    if (e->validation.count) {
        values[count++] = (events_value){"loss/validation", e->validation.loss};
        values[count++] =
            (events_value){tag_of(s, "validation", validated),
                           (double)e->validation.correct / (double)e->validation.answers};
        if (e->validation.back >= 0)
            values[count++] =
                (events_value){"retrieval back/validation",
                               (double)e->validation.back / (double)e->validation.answers};
    }
    if (!isnan(e->back)) values[count++] = (events_value){"retrieval back/train", e->back};
    if (!isnan(e->gradient_norm))
        values[count++] = (events_value){"gradient_norm", e->gradient_norm};
    return add(s, e->step, values, count);
}

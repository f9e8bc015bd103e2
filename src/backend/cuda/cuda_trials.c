/* See cuda_trials.h. */
#include "backend/cuda/cuda_trials.h"

be_status cuda_trials_new(const cuda_driver *d, int forms, cuda_trials *out, be_error *err)
{
    MUST(forms <= CUDA_FORMS);
    *out = (cuda_trials){.forms = forms};
    for (int i = 0; i < forms * CUDA_ROUNDS; i++) {
        CUDA_TRY(d->libraries, d->facts.id, d->libraries->cu.event_new(&out->begin[i], 0),
                 "make an event");
        CUDA_TRY(d->libraries, d->facts.id, d->libraries->cu.event_new(&out->end[i], 0),
                 "make an event");
    }
    return BE_OK;
}

void cuda_trials_free(const cuda_driver *d, cuda_trials *t)
{
    for (int i = 0; i < t->forms * CUDA_ROUNDS; i++) {
        if (t->begin[i]) d->libraries->cu.event_free(t->begin[i]);
        if (t->end[i]) d->libraries->cu.event_free(t->end[i]);
    }
    *t = (cuda_trials){0};
}

be_status cuda_trials_launch(const cuda_driver *d, cuda_trials *t, const cuda_exec *forms,
                             be_error *err)
{
    const cuda_functions *cu = &d->libraries->cu;
    int i = t->given;
    bool is_trial = i < t->forms * CUDA_ROUNDS;
    cuda_result result = is_trial ? cu->event_record(t->begin[i], d->stream) : CUDA_OK;
    if (result == CUDA_OK) result = cu->exec_launch(forms[is_trial ? i % t->forms : 0], d->stream);
    if (result == CUDA_OK && is_trial) result = cu->event_record(t->end[i], d->stream);
    CUDA_TRY(d->libraries, d->facts.id, result, "start a step");
    t->given += is_trial;
    return BE_OK;
}

/* The middle one of three. */
static float median(const float *ms)
{
    float low = ms[0] < ms[1] ? ms[0] : ms[1], high = ms[0] < ms[1] ? ms[1] : ms[0];
    return ms[2] < low ? low : ms[2] > high ? high : ms[2];
}

be_status cuda_trials_decide(const cuda_driver *d, const cuda_trials *t, int *out, be_error *err)
{
    float least = 0;
    *out = -1;
    if (t->given < t->forms * CUDA_ROUNDS) return BE_OK;
    for (int f = 0; f < t->forms; f++) {
        float ms[CUDA_ROUNDS - 1];
        for (int r = 1; r < CUDA_ROUNDS; r++) {
            int i = r * t->forms + f;
            cuda_result result = d->libraries->cu.event_elapsed(&ms[r - 1], t->begin[i], t->end[i]);
            if (result == CUDA_NOT_READY) {
                *out = -1;
                return BE_OK;
            }
            CUDA_TRY(d->libraries, d->facts.id, result, "time a step");
        }
        if (f == 0 || median(ms) < least) {
            *out = f;
            least = median(ms);
        }
    }
    return BE_OK;
}

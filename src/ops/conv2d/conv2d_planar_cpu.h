/* Convolution with at most 8 channels on one side, where blocks of channels would be mostly empty:
 * the vectors run along the rows of planes [channel][row][column] instead.  Part of the native
 * convolution; compiled once for each instruction set. */
#ifndef OPS_CONV2D_CONV2D_PLANAR_CPU_H
#define OPS_CONV2D_CONV2D_PLANAR_CPU_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/vec.h"
#include "ops/conv2d/conv2d.h"

#define planar_takes CPU_KERNEL(conv2d_planar_takes)
#define planar_prepare CPU_KERNEL(conv2d_planar_prepare)
#define planar_forward_run CPU_KERNEL(conv2d_planar_forward_run)
#define planar_backward_run CPU_KERNEL(conv2d_planar_backward_run)
#define planar_input_floats CPU_KERNEL(conv2d_planar_input_floats)
#define planar_input_gradient CPU_KERNEL(conv2d_planar_input_gradient)

#define PLANAR_CHANNELS 8

/* Does this call run on planes as a whole?  A plain image to few channels, as in a first layer. */
bool planar_takes(const cpu_call *call);

/* For such calls: the kernels' functions. */
be_status planar_prepare(cpu_call *call, arena *memory, be_error *err);
be_status planar_forward_run(const cpu_call *call, be_error *err);
be_status planar_backward_run(const cpu_call *call, be_error *err);

/* The gradient of a blocked image of few channels, from the bordered gradient image of the output.
 */
typedef struct planar_input {
    conv2d_sizes s;
    int border;
    const float *w; /* turned: [o][row][column][planar_round(c)], see planar_pack */
} planar_input;

/* Floats of scratch that each thread needs for it. */
size_t planar_input_floats(const planar_input *input);
/* It is added to `sum` (NULL: to nothing), which may be dx itself. */
void planar_input_gradient(const planar_input *input, const float *dy, const float *sum, float *dx,
                           float *scratch);

/* The numbers of channels that are compiled; others take the next larger. */
static inline int planar_round(int64_t channels)
{
    return channels <= 4 ? 4 : channels <= 6 ? 6 : 8;
}

/* Weights [in][row][column][planar_round(out)] from w [O][C][K][K]; `turned`: in is O, out is C,
 * and the kernel is turned by half a turn. */
static inline void planar_pack(const conv2d_sizes *s, const float *w, float *to, bool turned)
{
    int64_t taps = s->k[0] * s->k[0], ins = turned ? s->o : s->c, outs = turned ? s->c : s->o;
    for (int64_t in = 0; in < ins; in++)
        for (int64_t rq = 0; rq < taps; rq++)
            for (int64_t out = 0; out < planar_round(outs); out++, to++) {
                if (out >= outs)
                    *to = 0.0f;
                else if (turned)
                    *to = w[(in * outs + out) * taps + taps - 1 - rq];
                else
                    *to = w[(out * ins + in) * taps + rq];
            }
}

#endif

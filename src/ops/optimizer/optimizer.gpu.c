/* The optimizers: one pass over the whole parameter block, whose first `decayed` elements have a
 * weight decay.  The rules: sgd.c, adam.c.  NARROWS: whether the new parameters are written as
 * bf16, too; CLIPS: whether the gradients are multiplied by a factor. */
PARAMETERS(NARROWS CLIPS NARROW_T)

#if NARROWS
#define STORE_NARROW(i, w) STORE(NARROW, narrow, i, w)
#else
#define STORE_NARROW(i, w)
#endif

#if CLIPS
#define CLIPPED(g) ((g)*scale)
#define OPEN_FACTOR         \
    OPEN_IN(float, factor); \
    float scale = factor[0]
#else
#define CLIPPED(g) (g)
#define OPEN_FACTOR
#endif

KERNEL sgd_momentum(ITEM_ARG ARG_OUT(float, p), ARG_IN(float, gradient), ARG_IN(float, rate),
                    ARG_IN(float, factor), ARG_OUT(float, buffer), ARG_OUT(NARROW_T, narrow),
                    ARG_INT(count), ARG_FLOAT(momentum), ARG_FLOAT(decay), ARG_INT(decayed))
{
    OPEN_OUT(float, p);
    OPEN_IN(float, gradient);
    OPEN_IN(float, rate);
    OPEN_OUT(float, buffer);
    OPEN_OUT(NARROW_T, narrow);
    OPEN_FACTOR;
    float r = rate[0];
    EACH (i, count) {
        float moved = momentum * buffer[i] +
                      (CLIPPED(gradient[i]) + (i < (u32)decayed ? decay : 0.0f) * p[i]);
        buffer[i] = moved;
        float w = p[i] - r * moved;
        p[i] = w;
        STORE_NARROW(i, w);
    }
}

KERNEL sgd_plain(ITEM_ARG ARG_OUT(float, p), ARG_IN(float, gradient), ARG_IN(float, rate),
                 ARG_IN(float, factor), ARG_OUT(NARROW_T, narrow), ARG_INT(count), ARG_FLOAT(decay),
                 ARG_INT(decayed))
{
    OPEN_OUT(float, p);
    OPEN_IN(float, gradient);
    OPEN_IN(float, rate);
    OPEN_OUT(NARROW_T, narrow);
    OPEN_FACTOR;
    float r = rate[0];
    EACH (i, count) {
        float w = p[i] - r * (CLIPPED(gradient[i]) + (i < (u32)decayed ? decay : 0.0f) * p[i]);
        p[i] = w;
        STORE_NARROW(i, w);
    }
}

/* The rate of the step, by one item of one group. */
KERNEL schedule(ITEM_ARG ARG_IN(int, clock), ARG_IN(float, rates), ARG_OUT(float, rate),
                ARG_INT(last))
{
    OPEN_IN(int, clock);
    OPEN_IN(float, rates);
    OPEN_OUT(float, rate);
    if (LOCAL_ID == 0 && GROUP_ID == 0) rate[0] = rates[clock[0] < last ? clock[0] : last];
}

#define WIDE_TYPE F32

/* 1 − beta^t is −expm1(t · log beta): 1 − pow(beta, t) would lose half of the digits.  `l2` is
 * Adam's decay, `decay` is AdamW's.  Blocks lie at 16 bytes: eight elements an item and round. */
KERNEL adam(ITEM_ARG ARG_OUT(float, p), ARG_IN(float, gradient), ARG_IN(float, rate),
            ARG_IN(int, clock), ARG_IN(float, factor), ARG_OUT(float, m), ARG_OUT(float, v),
            ARG_OUT(NARROW_T, narrow), ARG_INT(count), ARG_FLOAT(beta1), ARG_FLOAT(beta2),
            ARG_FLOAT(keep1), ARG_FLOAT(keep2), ARG_FLOAT(log_beta1), ARG_FLOAT(log_beta2),
            ARG_FLOAT(epsilon), ARG_FLOAT(l2), ARG_FLOAT(decay), ARG_INT(decayed))
{
    OPEN_OUT(float, p);
    OPEN_IN(float, gradient);
    OPEN_IN(float, rate);
    OPEN_IN(int, clock);
    OPEN_OUT(float, m);
    OPEN_OUT(float, v);
    OPEN_OUT(NARROW_T, narrow);
    OPEN_FACTOR;
    float t = (float)(clock[0] + 1), r = rate[0];
    float step = r / -EXPM1(t * log_beta1);
    float inverse_root2 = 1.0f / SQRT(-EXPM1(t * log_beta2));
    float shrink = 1.0f - r * decay;
    EACH (k, ((u32)count + 7u) / 8u) {
        u32 from = 8u * k;
        float w[8] = {0}, g[8] = {0}, first[8] = {0}, second[8] = {0};
        if (from + 8u <= (u32)count) {
            LOAD_8(WIDE, w, p, from);
            LOAD_8(WIDE, g, gradient, from);
            LOAD_8(WIDE, first, m, from);
            LOAD_8(WIDE, second, v, from);
        } else {
            for (u32 j = 0; j < 8u && from + j < (u32)count; j++) {
                w[j] = p[from + j];
                g[j] = gradient[from + j];
                first[j] = m[from + j];
                second[j] = v[from + j];
            }
        }
        UNROLL for (u32 j = 0; j < 8u; j++)
        {
            int is_decayed = from + j < (u32)decayed;
            float slope = CLIPPED(g[j]) + (is_decayed ? l2 : 0.0f) * w[j];
            first[j] = beta1 * first[j] + keep1 * slope;
            second[j] = beta2 * second[j] + keep2 * slope * slope;
            w[j] = (is_decayed ? shrink : 1.0f) * w[j] -
                   step * first[j] / (SQRT(second[j]) * inverse_root2 + epsilon);
        }
        if (from + 8u <= (u32)count) {
            STORE_8(WIDE, m, from, first);
            STORE_8(WIDE, v, from, second);
            STORE_8(WIDE, p, from, w);
#if NARROWS
            STORE_8(NARROW, narrow, from, w);
#endif
        } else {
            for (u32 j = 0; j < 8u && from + j < (u32)count; j++) {
                m[from + j] = first[j];
                v[from + j] = second[j];
                p[from + j] = w[j];
                STORE_NARROW(from + j, w[j]);
            }
        }
    }
}

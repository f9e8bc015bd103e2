/* The optimizers: one pass over the whole parameter block, whose first `decayed` elements have a
 * weight decay.  The rules: sgd.c, adam.c.  NARROWS: whether the new parameters are written as
 * bf16, too; CLIPS: whether the gradients are multiplied by a factor. */
PARAMETERS(NARROWS CLIPS NARROW_T)

#define WIDE_TYPE F32

/* An item takes four elements a round, and those beside it the next ones: blocks lie at 16 bytes.
 * Here is one that has four elements from `from` on; fewer are left at the end of a block. */
#define IS_WHOLE (from + 4u <= (u32)count)
#define EACH_LEFT(j) for (u32 j = 0; j < 4u && from + j < (u32)count; j++)

#if NARROWS
#define STORE_NARROW(i, w) STORE(NARROW, narrow, i, w)
#define STORE_NARROW_4(w) STORE_4(NARROW, narrow, from, w)
#else
#define STORE_NARROW(i, w)
#define STORE_NARROW_4(w)
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
    EACH (k, ((u32)count + 3u) / 4u) {
        u32 from = 4u * k;
        float w[4] = {0}, g[4] = {0}, moved[4] = {0};
        if (IS_WHOLE) {
            LOAD_4(WIDE, w, p, from);
            LOAD_4(WIDE, g, gradient, from);
            LOAD_4(WIDE, moved, buffer, from);
        } else {
            EACH_LEFT(j)
            {
                w[j] = p[from + j];
                g[j] = gradient[from + j];
                moved[j] = buffer[from + j];
            }
        }
        UNROLL for (u32 j = 0; j < 4u; j++)
        {
            float slope = CLIPPED(g[j]) + (from + j < (u32)decayed ? decay : 0.0f) * w[j];
            moved[j] = momentum * moved[j] + slope;
            w[j] -= r * moved[j];
        }
        if (IS_WHOLE) {
            STORE_4(WIDE, buffer, from, moved);
            STORE_4(WIDE, p, from, w);
            STORE_NARROW_4(w);
        } else {
            EACH_LEFT(j)
            {
                buffer[from + j] = moved[j];
                p[from + j] = w[j];
                STORE_NARROW(from + j, w[j]);
            }
        }
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
    EACH (k, ((u32)count + 3u) / 4u) {
        u32 from = 4u * k;
        float w[4] = {0}, g[4] = {0};
        if (IS_WHOLE) {
            LOAD_4(WIDE, w, p, from);
            LOAD_4(WIDE, g, gradient, from);
        } else {
            EACH_LEFT(j)
            {
                w[j] = p[from + j];
                g[j] = gradient[from + j];
            }
        }
        UNROLL for (u32 j = 0; j < 4u; j++) w[j] -=
            r * (CLIPPED(g[j]) + (from + j < (u32)decayed ? decay : 0.0f) * w[j]);
        if (IS_WHOLE) {
            STORE_4(WIDE, p, from, w);
            STORE_NARROW_4(w);
        } else {
            EACH_LEFT(j)
            {
                p[from + j] = w[j];
                STORE_NARROW(from + j, w[j]);
            }
        }
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

/* 1 − beta^t is −expm1(t · log beta): 1 − pow(beta, t) would lose half of the digits.  `l2` is
 * Adam's decay, `decay` is AdamW's. */
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
    EACH (k, ((u32)count + 3u) / 4u) {
        u32 from = 4u * k;
        float w[4] = {0}, g[4] = {0}, first[4] = {0}, second[4] = {0};
        if (IS_WHOLE) {
            LOAD_4(WIDE, w, p, from);
            LOAD_4(WIDE, g, gradient, from);
            LOAD_4(WIDE, first, m, from);
            LOAD_4(WIDE, second, v, from);
        } else {
            EACH_LEFT(j)
            {
                w[j] = p[from + j];
                g[j] = gradient[from + j];
                first[j] = m[from + j];
                second[j] = v[from + j];
            }
        }
        UNROLL for (u32 j = 0; j < 4u; j++)
        {
            int is_decayed = from + j < (u32)decayed;
            float slope = CLIPPED(g[j]) + (is_decayed ? l2 : 0.0f) * w[j];
            first[j] = beta1 * first[j] + keep1 * slope;
            second[j] = beta2 * second[j] + keep2 * slope * slope;
            w[j] = (is_decayed ? shrink : 1.0f) * w[j] -
                   step * first[j] / (SQRT(second[j]) * inverse_root2 + epsilon);
        }
        if (IS_WHOLE) {
            STORE_4(WIDE, m, from, first);
            STORE_4(WIDE, v, from, second);
            STORE_4(WIDE, p, from, w);
            STORE_NARROW_4(w);
        } else {
            EACH_LEFT(j)
            {
                m[from + j] = first[j];
                v[from + j] = second[j];
                p[from + j] = w[j];
                STORE_NARROW(from + j, w[j]);
            }
        }
    }
}

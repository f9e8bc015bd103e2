/* The optimizers: one pass over the whole parameter block, whose first `decayed` elements have a
 * weight decay.  The rules: sgd.c, adam.c. */
KERNEL sgd_momentum(ITEM_ARG ARG_OUT(float, p), ARG_IN(float, gradient), ARG_IN(float, rate),
                    ARG_OUT(float, buffer), ARG_INT(count), ARG_FLOAT(momentum), ARG_FLOAT(decay),
                    ARG_INT(decayed))
{
    OPEN_OUT(float, p);
    OPEN_IN(float, gradient);
    OPEN_IN(float, rate);
    OPEN_OUT(float, buffer);
    float r = rate[0];
    EACH (i, count) {
        float moved =
            momentum * buffer[i] + (gradient[i] + (i < (u32)decayed ? decay : 0.0f) * p[i]);
        buffer[i] = moved;
        p[i] -= r * moved;
    }
}

KERNEL sgd_plain(ITEM_ARG ARG_OUT(float, p), ARG_IN(float, gradient), ARG_IN(float, rate),
                 ARG_INT(count), ARG_FLOAT(decay), ARG_INT(decayed))
{
    OPEN_OUT(float, p);
    OPEN_IN(float, gradient);
    OPEN_IN(float, rate);
    float r = rate[0];
    EACH (i, count) p[i] -= r * (gradient[i] + (i < (u32)decayed ? decay : 0.0f) * p[i]);
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
            ARG_IN(int, clock), ARG_OUT(float, m), ARG_OUT(float, v), ARG_INT(count),
            ARG_FLOAT(beta1), ARG_FLOAT(beta2), ARG_FLOAT(keep1), ARG_FLOAT(keep2),
            ARG_FLOAT(log_beta1), ARG_FLOAT(log_beta2), ARG_FLOAT(epsilon), ARG_FLOAT(l2),
            ARG_FLOAT(decay), ARG_INT(decayed))
{
    OPEN_OUT(float, p);
    OPEN_IN(float, gradient);
    OPEN_IN(float, rate);
    OPEN_IN(int, clock);
    OPEN_OUT(float, m);
    OPEN_OUT(float, v);
    float t = (float)(clock[0] + 1), r = rate[0];
    float step = r / -EXPM1(t * log_beta1);
    float inverse_root2 = 1.0f / SQRT(-EXPM1(t * log_beta2));
    float shrink = 1.0f - r * decay;
    EACH (i, count) {
        float g = gradient[i] + (i < (u32)decayed ? l2 : 0.0f) * p[i];
        float first = beta1 * m[i] + keep1 * g;
        float second = beta2 * v[i] + keep2 * g * g;
        m[i] = first;
        v[i] = second;
        p[i] = (i < (u32)decayed ? shrink : 1.0f) * p[i] -
               step * first / (SQRT(second) * inverse_root2 + epsilon);
    }
}

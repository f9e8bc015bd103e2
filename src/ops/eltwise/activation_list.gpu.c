/* The activations that are a formula of x alone: f and its derivative df, written once in words of
 * the kernel dialect.  Kernels read it as floats; activation.c includes it with NUMBER as double
 * for the reference, activation_cpu.c with float.  CONSTANT(c) is c in that type, FLOATS whether it
 * is float; F and DF, for the files behind this one, name the formula at hand. */
PARAMETERS(CONSTANT NUMBER FLOATS F DF)

#define ROOT_2_OVER_PI CONSTANT(0.79788456080286536)
#define ROOT_HALF CONSTANT(0.70710678118654752)
#define ROOT_1_OVER_2PI CONSTANT(0.39894228040143268)

DEVICE NUMBER tanh_f(NUMBER x)
{
    return TANH(x);
}

DEVICE NUMBER tanh_df(NUMBER x)
{
    NUMBER y = TANH(x);
    return CONSTANT(1.0) - y * y;
}

/* Φ, the normal distribution.  In floats, where erf would cancel and take twice as long, its tail
 * is exp of a polynomial: a minimax fit of the tail on [0, 6], with an error of 8e-9 before
 * rounding, and next to nothing beyond. */
DEVICE NUMBER normal(NUMBER x)
{
#if FLOATS
    NUMBER a = ABS(x), p = CONSTANT(1.92153857e-06);
    p = p * a - CONSTANT(2.67708911e-05);
    p = p * a + CONSTANT(1.26536499e-04);
    p = p * a + CONSTANT(1.01101046e-04);
    p = p * a - CONSTANT(4.90433397e-03);
    p = p * a + CONSTANT(3.63937058e-02);
    p = p * a + CONSTANT(3.18296582e-01);
    p = p * a + CONSTANT(7.97885716e-01);
    p = p * a + CONSTANT(6.93147182e-01);
    NUMBER tail = DECAY(p), rest = CONSTANT(1.0) - tail;
    return SELECT(x < CONSTANT(0.0), tail, rest);
#else
    return CONSTANT(0.5) * (CONSTANT(1.0) + ERF(x * ROOT_HALF));
#endif
}

/* x · Φ(x) (Hendrycks, Gimpel: "Gaussian Error Linear Units", 2016). */
DEVICE NUMBER gelu_f(NUMBER x)
{
    return x * normal(x);
}

DEVICE NUMBER gelu_df(NUMBER x)
{
    return normal(x) + x * (ROOT_1_OVER_2PI * DECAY(CONSTANT(0.5) * x * x));
}

/* The same with Φ by a tanh, which is a logistic function of twice its argument. */
DEVICE NUMBER gelu_tanh_f(NUMBER x)
{
    NUMBER twice = CONSTANT(2.0) * ROOT_2_OVER_PI * x;
    NUMBER at = twice * (CONSTANT(1.0) + CONSTANT(0.044715) * x * x);
    return x * RECIPROCAL(CONSTANT(1.0) + DECAY(at));
}

/* The slope of the logistic function s is s (1 − s), but 1 − s would have no digits left where x is
 * large. */
DEVICE NUMBER gelu_tanh_df(NUMBER x)
{
    NUMBER square = x * x, twice = CONSTANT(2.0) * ROOT_2_OVER_PI;
    NUMBER at = twice * x * (CONSTANT(1.0) + CONSTANT(0.044715) * square), e = DECAY(ABS(at));
    NUMBER s = RECIPROCAL(CONSTANT(1.0) + e), rest = e * s;
    NUMBER own = twice * (CONSTANT(1.0) + CONSTANT(0.134145) * square);
    return SELECT(at < CONSTANT(0.0), rest, s) + x * (s * rest) * own;
}

/* The same with Φ by a logistic function: x / (1 + exp(−1.702 x)). */
DEVICE NUMBER gelu_quick_f(NUMBER x)
{
    return x * RECIPROCAL(CONSTANT(1.0) + DECAY(CONSTANT(1.702) * x));
}

DEVICE NUMBER gelu_quick_df(NUMBER x)
{
    NUMBER s = RECIPROCAL(CONSTANT(1.0) + DECAY(CONSTANT(1.702) * x));
    return s * (CONSTANT(1.0) + CONSTANT(1.702) * x * (CONSTANT(1.0) - s));
}

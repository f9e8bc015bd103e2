/* The activations that are a formula of x alone: f and its derivative df, written once in words of
 * the kernel dialect.  Kernels read it as floats; activation.c includes it with NUMBER as double
 * for the reference, activation_cpu.c with float.  CONSTANT(c) is c in that type; F and DF, for the
 * files behind this one, name the formula at hand. */
PARAMETERS(CONSTANT NUMBER F DF)

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

/* x · Φ(x), Φ the normal distribution (Hendrycks, Gimpel: "Gaussian Error Linear Units", 2016). */
DEVICE NUMBER gelu_f(NUMBER x)
{
    return CONSTANT(0.5) * x * (CONSTANT(1.0) + ERF(x * ROOT_HALF));
}

DEVICE NUMBER gelu_df(NUMBER x)
{
    NUMBER density = ROOT_1_OVER_2PI * EXP(CONSTANT(-0.5) * x * x);
    return CONSTANT(0.5) * (CONSTANT(1.0) + ERF(x * ROOT_HALF)) + x * density;
}

/* The same with Φ by a tanh. */
DEVICE NUMBER gelu_tanh_f(NUMBER x)
{
    NUMBER inner = ROOT_2_OVER_PI * (x + CONSTANT(0.044715) * x * x * x);
    return CONSTANT(0.5) * x * (CONSTANT(1.0) + TANH(inner));
}

/* The slope of tanh is 4 e / (1 + e)² with e = exp(−2 |inner|): 1 − tanh² would have no digits left
 * where x is large. */
DEVICE NUMBER gelu_tanh_df(NUMBER x)
{
    NUMBER inner = ROOT_2_OVER_PI * (x + CONSTANT(0.044715) * x * x * x);
    NUMBER e = EXP(CONSTANT(2.0) * (inner < CONSTANT(0.0) ? inner : -inner));
    NUMBER slope = CONSTANT(4.0) * e / ((CONSTANT(1.0) + e) * (CONSTANT(1.0) + e));
    NUMBER own = ROOT_2_OVER_PI * (CONSTANT(1.0) + CONSTANT(0.134145) * x * x);
    return CONSTANT(0.5) * (CONSTANT(1.0) + TANH(inner) + x * slope * own);
}

/* The same with Φ by a logistic function: x / (1 + exp(−1.702 x)). */
DEVICE NUMBER gelu_quick_f(NUMBER x)
{
    return x / (CONSTANT(1.0) + EXP(CONSTANT(-1.702) * x));
}

DEVICE NUMBER gelu_quick_df(NUMBER x)
{
    NUMBER s = CONSTANT(1.0) / (CONSTANT(1.0) + EXP(CONSTANT(-1.702) * x));
    return s * (CONSTANT(1.0) + CONSTANT(1.702) * x * (CONSTANT(1.0) - s));
}

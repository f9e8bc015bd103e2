/* Chains of multiplications and additions that no memory is needed for.  What for: gpu_reference.h.
 */
KERNEL reference(ITEM_ARG ARG_OUT(float, y), ARG_INT(rounds))
{
    OPEN_OUT(float, y);
    float a = (float)LOCAL_ID, b = a + 1.0f, c = a + 2.0f, d = a + 3.0f;
    float e = a + 4.0f, f = a + 5.0f, g = a + 6.0f, h = a + 7.0f;
    for (int r = 0; r < rounds; r++) {
        a = a * 0.999f + 0.001f;
        b = b * 0.999f + 0.001f;
        c = c * 0.999f + 0.001f;
        d = d * 0.999f + 0.001f;
        e = e * 0.999f + 0.001f;
        f = f * 0.999f + 0.001f;
        g = g * 0.999f + 0.001f;
        h = h * 0.999f + 0.001f;
    }
    y[GROUP_ID * LOCAL_SIZE + LOCAL_ID] = a + b + c + d + e + f + g + h;
}

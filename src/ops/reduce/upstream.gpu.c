/* What flows back through ReLU: dy where y is above 0, and where y is not a number dy too, but with
 * NAN_STOPS nothing.  dz has the type of dy, the op's input 3. */
KERNEL upstream(ITEM_ARG ARG_IN(float, y), ARG_IN(IN3_T, dy), ARG_OUT(IN3_T, dz), ARG_INT(count))
{
    OPEN_IN(float, y);
    OPEN_IN(IN3_T, dy);
    OPEN_OUT(IN3_T, dz);
    EACH (i, count) {
        int stops = NAN_STOPS ? !(y[i] > 0.0f) : y[i] <= 0.0f;
        float value = stops ? 0.0f : LOAD(IN3, dy, i);
        STORE(IN3, dz, i, value);
    }
}

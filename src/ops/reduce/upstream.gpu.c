/* What flows back through ReLU: dy where y is above 0, and where y is not a number dy too, but with
 * NAN_STOPS nothing.  The host side says the type of dy and dz (X_T). */
PARAMETERS(X_T NAN_STOPS)

KERNEL upstream(ITEM_ARG ARG_IN(float, y), ARG_IN(X_T, dy), ARG_OUT(X_T, dz), ARG_INT(count))
{
    OPEN_IN(float, y);
    OPEN_IN(X_T, dy);
    OPEN_OUT(X_T, dz);
    EACH (i, count) {
        int stops = NAN_STOPS ? !(y[i] > 0.0f) : y[i] <= 0.0f;
        float value = stops ? 0.0f : LOAD(X, dy, i);
        STORE(X, dz, i, value);
    }
}

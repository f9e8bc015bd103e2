/* Where all of attention's kernels find keys and values. */
PARAMETERS(PACKED HAS_LENGTHS KEYS)

/* With PACKED q holds k and v too. */
#if PACKED
#define K_HOLDER q
#define V_HOLDER q
#else
#define K_HOLDER k
#define V_HOLDER v
#endif

/* The keys of a sample: those below its length. */
DEVICE int keys_of(GLOBAL const int *lengths, int sample)
{
#if HAS_LENGTHS
    int length = lengths[sample];
    return length < 0 ? 0 : length > KEYS ? KEYS : length;
#else
    return KEYS;
#endif
}

// lrn_direct
#define POWER(b) (1.0f / (sqrt(b) * sqrt(sqrt(b))))
#define TILE 64
#define WINDOW 5
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define lrn_direct_terms lrn_direct_terms_9a488f370104

#ifdef __clang__
#define sqrt(v) __builtin_sqrtf(v)
#endif
__kernel WORK_GROUP
void lrn_direct_terms(
    __global const real *restrict x,        // N, C, positions
    __global const real *restrict dy,       // as x
    __global float *restrict terms,         // as x: dy x base^(-BETA - 1)
    __global float *restrict powers,        // as x: base^-BETA
    const float k, const float scale,       // scale: alpha / WINDOW
    const int batch, const int channels, const int positions,
    const int tiles, const int tasks_each)
{
    const int tasks = batch * channels * tiles;
    const int first = get_global_id(0) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int position = task % tiles * TILE;
        const int c = task / tiles % channels;
        const int image = task / tiles / channels * channels;
        const int most = positions - position < TILE ? positions - position : TILE;
        const int below = c - WINDOW / 2, above = c + (WINDOW - 1) / 2;
        const int begin = below > 0 ? below : 0;
        const int end = above < channels - 1 ? above : channels - 1;
        float sums[TILE];
        for (int j = 0; j < most; ++j) sums[j] = 0.0f;
        for (int neighbour = begin; neighbour <= end; ++neighbour) {
            const int from = (image + neighbour) * positions + position;
            for (int j = 0; j < most; ++j) {
                const float value = LOAD(x, from + j);
                sums[j] += value * value;
            }
        }
        const int at = (image + c) * positions + position;
        for (int j = 0; j < most; ++j) {
            const float base = k + scale * sums[j];
            const float power = POWER(base);
            terms[at + j] = LOAD(dy, at + j) * LOAD(x, at + j) * power / base;
            powers[at + j] = power;
        }
    }
}
#undef sqrt

#undef POWER
#undef TILE
#undef WINDOW
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef lrn_direct_terms

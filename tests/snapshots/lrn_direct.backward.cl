// lrn_direct
#define POWER(b) (1.0f / (sqrt(b) * sqrt(sqrt(b))))
#define TILE 1
#define WINDOW 5
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define lrn_direct_backward lrn_direct_backward_96a6ba16aa98

__kernel WORK_GROUP
void lrn_direct_backward(
    __global const real *restrict x,        // N, C, positions
    __global const real *restrict dy,       // as x
    __global const float *restrict terms,   // as x
    __global const float *restrict powers,  // as x
    __global real *restrict dx,             // as x
    const float factor,                     // 2 alpha BETA / WINDOW
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
        const int below = c - (WINDOW - 1) / 2, above = c + WINDOW / 2;
        const int begin = below > 0 ? below : 0;
        const int end = above < channels - 1 ? above : channels - 1;
        float sums[TILE];
        for (int j = 0; j < most; ++j) sums[j] = 0.0f;
        for (int neighbour = begin; neighbour <= end; ++neighbour) {
            const int from = (image + neighbour) * positions + position;
            for (int j = 0; j < most; ++j) {
                sums[j] += terms[from + j];
            }
        }
        const int at = (image + c) * positions + position;
        for (int j = 0; j < most; ++j) {
            STORE(dx, at + j, LOAD(dy, at + j) * powers[at + j] - factor * LOAD(x, at + j) * sums[j]);
        }
    }
}

#undef POWER
#undef TILE
#undef WINDOW
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef lrn_direct_backward

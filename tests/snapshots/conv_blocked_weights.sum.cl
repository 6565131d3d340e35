// conv_blocked_weights
#define BLOCK 8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define conv_weights_sum conv_weights_sum_d52666d78083

__kernel WORK_GROUP
void conv_weights_sum(
    __global const float *restrict partial,
    __global real *restrict dw,   // K, C / groups, kernel rows and columns
    const int channels, const int filters, const int k_tiles,   // of one group
    const int taps, const int x_block, const int tile_k,        // kernel rows * columns, X_BLOCK and tile_k of the first kernel
    const int splits)
{
    const int block = (int)get_global_id(0);
    const int group = (int)get_global_id(1) / k_tiles;
    const int first_filter = ((int)get_global_id(1) - group * k_tiles) * tile_k * BLOCK;
    const int channel_count = min(x_block, channels - block * x_block);
    const size_t item = (size_t)taps * x_block * tile_k * BLOCK;
    const size_t slab = get_global_size(1) * get_global_size(0) * item;
    __global const float *first = partial + (get_global_id(1) * get_global_size(0) + block) * item;

    for (int k = 0; k < tile_k; ++k) {
        const int filter = first_filter + k * BLOCK;
        const int filter_count = min(BLOCK, filters - filter);
        for (int channel = 0; channel < channel_count; ++channel) {
            __global real *out = dw + ((size_t)(group * filters + filter) * channels + block * x_block + channel) * taps;
            for (int tap = 0; tap < taps; ++tap) {
                __global const float *terms = first + ((tap * x_block + channel) * tile_k + k) * BLOCK;
                vec sum = *(__global const vec *)terms;
                for (int split = 1; split < splits; ++split)
                    sum += *(__global const vec *)(terms + split * slab);
                float lanes[BLOCK];
                vstore8(sum, 0, lanes);
                for (int lane = 0; lane < filter_count; ++lane)
                    STORE(out, (size_t)lane * channels * taps + tap, lanes[lane]);
            }
        }
    }
}

#undef BLOCK
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef conv_weights_sum

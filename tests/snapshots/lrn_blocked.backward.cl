// lrn_blocked
#define BLOCK 8
#define RUN 16
#define ZERO_RUN(p, n) for (int z_ = 0; z_ < (n); ++z_) STORE((p), z_, 0.0f)
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define lrn_blocked_backward lrn_blocked_backward_7efac7ca0074

__kernel WORK_GROUP
void lrn_blocked_backward(
    __global const real *restrict x,        // N, channel blocks, rows, columns, BLOCK
    const int x_offset, const int x_image, const int x_plane, const int x_row,
    __global const real *restrict dy,       // as x
    const int dy_offset, const int dy_image, const int dy_plane, const int dy_row,
    __global const float *restrict terms,
    __global const float *restrict powers,
    __global real *restrict dx,      // as x
    const int dx_offset, const int dx_image, const int dx_plane, const int dx_row,
    const int dx_above, const int dx_below, const int dx_left, const int dx_right,   // elements of halo
    const float factor,                     // 2 alpha BETA / WINDOW
    const int channels,
    const int positions,                    // of a plane
    const int row_count, const int width,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, row_count);
    const int block = (int)get_global_id(1);
    const int blocks = (channels + BLOCK - 1) / BLOCK;
    const int lanes = min(BLOCK, channels - block * BLOCK);
    __global const real *x_plane0 = x + get_global_id(2) * x_image + block * x_plane + x_offset;
    __global const real *dy_plane0 = dy + get_global_id(2) * dy_image + block * dy_plane + dy_offset;
    const size_t scratch0 = (get_global_id(2) * blocks + block) * positions * BLOCK;
    __global real *output = dx + get_global_id(2) * dx_image + block * dx_plane + dx_offset;
    if (row0 == 0)
        ZERO_RUN(output - dx_above - dx_left, dx_above);

    for (int row = row0; row < row1; ++row) {
        const int count = min(width, positions - row * width);
        __global real *out = output + row * dx_row;
        ZERO_RUN(out - dx_left, dx_left);
        for (int first = 0; first < count; first += RUN) {
            const int run = min(RUN, count - first);
            __global const real *x_at = x_plane0 + row * x_row + first * BLOCK;
            __global const real *dy_at = dy_plane0 + row * dy_row + first * BLOCK;
            const size_t scratch = scratch0 + (size_t)(row * width + first) * BLOCK;
            float sums[RUN * BLOCK] __attribute__((aligned(64)));
            for (int j = 0; j < run; ++j) {
                vec before1 = (vec)(0.0f);
                if (block + -1 >= 0 && block + -1 < blocks)
                {
                    before1 = *(__global const vec *)(terms + scratch + (-1 * positions + j) * BLOCK);
                }
                vec own = (vec)(0.0f);
                {
                    own = *(__global const vec *)(terms + scratch + (0 * positions + j) * BLOCK);
                }
                vec behind1 = (vec)(0.0f);
                if (block + 1 >= 0 && block + 1 < blocks)
                {
                    behind1 = *(__global const vec *)(terms + scratch + (1 * positions + j) * BLOCK);
                }
                vec sum = (vec)(0.0f);
                sum += (vec)(before1.s7, own.s0, own.s1, own.s2, own.s3, own.s4, own.s5, own.s6);
                sum += (vec)(own.s0, own.s1, own.s2, own.s3, own.s4, own.s5, own.s6, own.s7);
                sum += (vec)(own.s1, own.s2, own.s3, own.s4, own.s5, own.s6, own.s7, behind1.s0);
                sum += (vec)(own.s2, own.s3, own.s4, own.s5, own.s6, own.s7, behind1.s0, behind1.s1);
                *(vec *)(sums + j * BLOCK) = sum;
            }
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#endif
            for (int i = 0; i < run * BLOCK; ++i) {
                const int live = (i & (BLOCK - 1)) < lanes;
                const float value = LOAD(dy_at, i) * powers[scratch + i] - factor * LOAD(x_at, i) * sums[i];
                STORE(out, first * BLOCK + i, live ? value : 0.0f);
            }
        }
        ZERO_RUN(out + width * BLOCK, dx_right);
    }
    if (row1 == row_count)
        ZERO_RUN(output + row_count * dx_row - dx_left, dx_below);
}

#undef BLOCK
#undef RUN
#undef ZERO_RUN
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef lrn_blocked_backward

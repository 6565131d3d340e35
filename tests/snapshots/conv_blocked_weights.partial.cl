// conv_blocked_weights
#define BLOCK 8
#define DILATION_H 1
#define DILATION_W 1
#define KERNEL_H 3
#define KERNEL_W 3
#define STRIDE_H 2
#define STRIDE_W 2
#define TILE_K 16
#define X_BLOCK 8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define conv_weights_partial conv_weights_partial_cd78cf536bac

__kernel WORK_GROUP
void conv_weights_partial(
    __global const real *restrict x,    // N, input blocks, rows, columns, X_BLOCK
    __global const real *restrict dy,   // N, output blocks, P, Q, BLOCK
    __global float *restrict partial,
    const int x_offset, const int x_image, const int x_plane, const int x_row,
    const int dy_offset, const int dy_image, const int dy_plane, const int dy_row,
    const int channel_blocks, const int filter_blocks, const int k_tiles,   // of one group
    const int blocks_per_item,                                              // input blocks in a run
    const int p_count, const int q_count,                                   // size of an output plane
    const int rows_per_unit, const int units_per_image, const int units, const int splits)
{
    const int first_block = (int)get_global_id(0) * blocks_per_item;
    const int end_block = min(first_block + blocks_per_item, channel_blocks);
    const int group = (int)get_global_id(1) / k_tiles;
    const int filter_block = ((int)get_global_id(1) - group * k_tiles) * 2;
    const int split = (int)get_global_id(2);
    const int begin_unit = (int)((long)split * units / splits);
    const int end_unit = (int)((long)(split + 1) * units / splits);
    const size_t tile = (size_t)split * get_global_size(1) + get_global_id(1);
    __global float *slab = partial + tile * channel_blocks * (KERNEL_H * KERNEL_W * X_BLOCK * TILE_K);

    for (int unit = begin_unit; unit < end_unit; ++unit) {
        const int image = unit / units_per_image;
        const int p0 = (unit - image * units_per_image) * rows_per_unit;
        const int p1 = min(p0 + rows_per_unit, p_count);
        // The last tile may reach beyond the output blocks: it repeats the last block there, and nobody reads those sums.
        __global const real *gradient = dy + (size_t)image * dy_image + group * filter_blocks * dy_plane + dy_offset;
        __global const real *gradient0 = gradient + min(filter_block + 0, filter_blocks - 1) * dy_plane;
        __global const real *gradient1 = gradient + min(filter_block + 1, filter_blocks - 1) * dy_plane;
        for (int block = first_block; block < end_block; ++block) {
            __global const real *input = x + (size_t)image * x_image + x_offset + (group * channel_blocks + block) * x_plane;
            for (int r = 0; r < KERNEL_H; ++r) {
                for (int channel = 0; channel < X_BLOCK; channel += 2) {
                    const int column = (block * KERNEL_H + r) * KERNEL_W + 0;
                    __global float *sums = slab + ((size_t)column * X_BLOCK + channel) * TILE_K;
                    vec sum0_0_0 = 0.0f, sum1_0_0 = 0.0f;
                    vec sum0_1_0 = 0.0f, sum1_1_0 = 0.0f;
                    vec sum0_0_1 = 0.0f, sum1_0_1 = 0.0f;
                    vec sum0_1_1 = 0.0f, sum1_1_1 = 0.0f;
                    if (unit != begin_unit) {
                        sum0_0_0 = *(__global const vec *)(sums + (0 * X_BLOCK + 0) * TILE_K + 0 * BLOCK);
                        sum1_0_0 = *(__global const vec *)(sums + (0 * X_BLOCK + 0) * TILE_K + 1 * BLOCK);
                        sum0_1_0 = *(__global const vec *)(sums + (0 * X_BLOCK + 1) * TILE_K + 0 * BLOCK);
                        sum1_1_0 = *(__global const vec *)(sums + (0 * X_BLOCK + 1) * TILE_K + 1 * BLOCK);
                        sum0_0_1 = *(__global const vec *)(sums + (1 * X_BLOCK + 0) * TILE_K + 0 * BLOCK);
                        sum1_0_1 = *(__global const vec *)(sums + (1 * X_BLOCK + 0) * TILE_K + 1 * BLOCK);
                        sum0_1_1 = *(__global const vec *)(sums + (1 * X_BLOCK + 1) * TILE_K + 0 * BLOCK);
                        sum1_1_1 = *(__global const vec *)(sums + (1 * X_BLOCK + 1) * TILE_K + 1 * BLOCK);
                    }
                    for (int p = p0; p < p1; ++p) {
                        __global const real *seen = input + (p * STRIDE_H + r * DILATION_H) * x_row
                            + 0 * DILATION_W * X_BLOCK + channel;
                        __global const real *row0 = gradient0 + p * dy_row;
                        __global const real *row1 = gradient1 + p * dy_row;
                        for (int q = 0; q < q_count; ++q) {
                            const vec dy0 = LOADV(row0, q * BLOCK);
                            const vec dy1 = LOADV(row1, q * BLOCK);
                            __global const real *at = seen + q * (STRIDE_W * X_BLOCK);
                            {
                                const vec value = (vec)(LOAD(at, 0 * DILATION_W * X_BLOCK + 0));
                                sum0_0_0 += value * dy0;
                                sum1_0_0 += value * dy1;
                            }
                            {
                                const vec value = (vec)(LOAD(at, 0 * DILATION_W * X_BLOCK + 1));
                                sum0_1_0 += value * dy0;
                                sum1_1_0 += value * dy1;
                            }
                            {
                                const vec value = (vec)(LOAD(at, 1 * DILATION_W * X_BLOCK + 0));
                                sum0_0_1 += value * dy0;
                                sum1_0_1 += value * dy1;
                            }
                            {
                                const vec value = (vec)(LOAD(at, 1 * DILATION_W * X_BLOCK + 1));
                                sum0_1_1 += value * dy0;
                                sum1_1_1 += value * dy1;
                            }
                        }
                    }
                    *(__global vec *)(sums + (0 * X_BLOCK + 0) * TILE_K + 0 * BLOCK) = sum0_0_0;
                    *(__global vec *)(sums + (0 * X_BLOCK + 0) * TILE_K + 1 * BLOCK) = sum1_0_0;
                    *(__global vec *)(sums + (0 * X_BLOCK + 1) * TILE_K + 0 * BLOCK) = sum0_1_0;
                    *(__global vec *)(sums + (0 * X_BLOCK + 1) * TILE_K + 1 * BLOCK) = sum1_1_0;
                    *(__global vec *)(sums + (1 * X_BLOCK + 0) * TILE_K + 0 * BLOCK) = sum0_0_1;
                    *(__global vec *)(sums + (1 * X_BLOCK + 0) * TILE_K + 1 * BLOCK) = sum1_0_1;
                    *(__global vec *)(sums + (1 * X_BLOCK + 1) * TILE_K + 0 * BLOCK) = sum0_1_1;
                    *(__global vec *)(sums + (1 * X_BLOCK + 1) * TILE_K + 1 * BLOCK) = sum1_1_1;
                }
                for (int channel = 0; channel < X_BLOCK; channel += 2) {
                    const int column = (block * KERNEL_H + r) * KERNEL_W + 2;
                    __global float *sums = slab + ((size_t)column * X_BLOCK + channel) * TILE_K;
                    vec sum0_0_0 = 0.0f, sum1_0_0 = 0.0f;
                    vec sum0_1_0 = 0.0f, sum1_1_0 = 0.0f;
                    if (unit != begin_unit) {
                        sum0_0_0 = *(__global const vec *)(sums + (0 * X_BLOCK + 0) * TILE_K + 0 * BLOCK);
                        sum1_0_0 = *(__global const vec *)(sums + (0 * X_BLOCK + 0) * TILE_K + 1 * BLOCK);
                        sum0_1_0 = *(__global const vec *)(sums + (0 * X_BLOCK + 1) * TILE_K + 0 * BLOCK);
                        sum1_1_0 = *(__global const vec *)(sums + (0 * X_BLOCK + 1) * TILE_K + 1 * BLOCK);
                    }
                    for (int p = p0; p < p1; ++p) {
                        __global const real *seen = input + (p * STRIDE_H + r * DILATION_H) * x_row
                            + 2 * DILATION_W * X_BLOCK + channel;
                        __global const real *row0 = gradient0 + p * dy_row;
                        __global const real *row1 = gradient1 + p * dy_row;
                        for (int q = 0; q < q_count; ++q) {
                            const vec dy0 = LOADV(row0, q * BLOCK);
                            const vec dy1 = LOADV(row1, q * BLOCK);
                            __global const real *at = seen + q * (STRIDE_W * X_BLOCK);
                            {
                                const vec value = (vec)(LOAD(at, 0 * DILATION_W * X_BLOCK + 0));
                                sum0_0_0 += value * dy0;
                                sum1_0_0 += value * dy1;
                            }
                            {
                                const vec value = (vec)(LOAD(at, 0 * DILATION_W * X_BLOCK + 1));
                                sum0_1_0 += value * dy0;
                                sum1_1_0 += value * dy1;
                            }
                        }
                    }
                    *(__global vec *)(sums + (0 * X_BLOCK + 0) * TILE_K + 0 * BLOCK) = sum0_0_0;
                    *(__global vec *)(sums + (0 * X_BLOCK + 0) * TILE_K + 1 * BLOCK) = sum1_0_0;
                    *(__global vec *)(sums + (0 * X_BLOCK + 1) * TILE_K + 0 * BLOCK) = sum0_1_0;
                    *(__global vec *)(sums + (0 * X_BLOCK + 1) * TILE_K + 1 * BLOCK) = sum1_1_0;
                }
            }
        }
    }
}

#undef BLOCK
#undef DILATION_H
#undef DILATION_W
#undef KERNEL_H
#undef KERNEL_W
#undef STRIDE_H
#undef STRIDE_W
#undef TILE_K
#undef X_BLOCK
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef conv_weights_partial

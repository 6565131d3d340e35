// conv_depthwise
#define ACTIVATE(v) ((v) < (vec)(low) ? (vec)(low) : (v))
#define BLOCK 8
#define GROUP 1
#define KERNEL_H 3
#define KERNEL_W 3
#define OUT_STRIDE_H 1
#define OUT_STRIDE_W 1
#define READ_STRIDE_H 2
#define READ_STRIDE_W 2
#define STEP_H 1
#define STEP_W 1
#define TAPS_H 3
#define TAPS_W 3
#define TAP_STEP_H 1
#define TAP_STEP_W 1
#define TILE_W 2
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define conv_depthwise conv_depthwise_b73f4644c0e5

__kernel WORK_GROUP
void conv_depthwise(
    __global const real *restrict x,         // N, channel blocks, rows, columns, BLOCK
    __global const real *restrict w,         // channel blocks, KERNEL_H, KERNEL_W, GROUP, BLOCK
    const int has_bias, const int has_residual, const float low,
    __global const real *restrict bias,
    __global const real *restrict residual,
    const int residual_image, const int residual_plane, const int residual_row, const int residual_offset,
    __global real *restrict y,               // N, channel blocks, rows, columns, BLOCK
    const int x_image, const int x_plane, const int x_row, const int x_offset,
    const int w_offset,
    const int y_image, const int y_plane, const int y_row, const int y_offset,
    const int channels,
    const int out_h, const int out_w,        // rows and columns of output positions
    const int rows_per_item,
    const int writes_halo, const int y_first,
    const int y_rows, const int y_columns, const int y_top, const int y_left, const int y_h, const int y_w)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, out_h);
    const int block = (int)get_global_id(1);
    const size_t image = get_global_id(2);
    __global const real *input = x + image * x_image + block * x_plane + x_offset;
    __global const real *weights = w + block * (KERNEL_H * KERNEL_W * GROUP * BLOCK) + w_offset;
    __global real *output = y + image * y_image + block * y_plane + y_offset;
    __global const real *added = residual + image * residual_image + block * residual_plane + residual_offset;
    // Lanes that are channels; the others are stored as zero, whatever the sums.
    const int live = channels - block * BLOCK;
    const int8 mask = (int8)(0, 1, 2, 3, 4, 5, 6, 7) < (int8)(live);
    // The bias has no padding: nothing beyond the last channel may be read.
    float start_lanes[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane)
        start_lanes[lane] = has_bias && lane < live ? LOAD(bias, block * BLOCK + lane) : 0.0f;
    const vec start = vload8(0, start_lanes);

    for (int row = row0; row < row1; ++row) {
        for (int first = 0; first < out_w; first += TILE_W) {
            const int column = min(first, out_w - TILE_W);
            vec sum0 = start, sum1 = start;
            __global const real *source = input + row * READ_STRIDE_H * x_row + column * READ_STRIDE_W * BLOCK;
            for (int r = 0; r < TAPS_H; ++r) {
                {
                    __global const real *seen = source + r * (STEP_H * x_row) + 0 * STEP_W * BLOCK;
                    __global const real *taps = weights + r * (TAP_STEP_H * KERNEL_W * GROUP * BLOCK) + 0 * TAP_STEP_W * GROUP * BLOCK;
                    const vec w0_0 = LOADV(taps, (0 * TAP_STEP_W * GROUP + 0) * BLOCK);
                    const vec w1_0 = LOADV(taps, (1 * TAP_STEP_W * GROUP + 0) * BLOCK);
                    const vec w2_0 = LOADV(taps, (2 * TAP_STEP_W * GROUP + 0) * BLOCK);
                    {
                        const vec value = LOADV(seen, 0 * BLOCK);
                        sum0 += value * w0_0;
                    }
                    {
                        const vec value = LOADV(seen, 1 * BLOCK);
                        sum0 += value * w1_0;
                    }
                    {
                        const vec value = LOADV(seen, 2 * BLOCK);
                        sum0 += value * w2_0;
                        sum1 += value * w0_0;
                    }
                    {
                        const vec value = LOADV(seen, 3 * BLOCK);
                        sum1 += value * w1_0;
                    }
                    {
                        const vec value = LOADV(seen, 4 * BLOCK);
                        sum1 += value * w2_0;
                    }
                }
            }
            __global real *stored = output + row * OUT_STRIDE_H * y_row + column * (OUT_STRIDE_W * BLOCK);
            __global const real *more = added + row * OUT_STRIDE_H * residual_row + column * (OUT_STRIDE_W * BLOCK);
            if (has_residual) {
                sum0 += LOADV(more, 0 * OUT_STRIDE_W * BLOCK);
                sum1 += LOADV(more, 1 * OUT_STRIDE_W * BLOCK);
            }
            sum0 = ACTIVATE(sum0);
            STOREV(stored, 0 * OUT_STRIDE_W * BLOCK, mask ? sum0 : (vec)(0.0f));
            sum1 = ACTIVATE(sum1);
            STOREV(stored, 1 * OUT_STRIDE_W * BLOCK, mask ? sum1 : (vec)(0.0f));
        }
    }

    // Every item zeroes the halo beside its own part of the plane, which its core has at hand; the first and the last that above and below.
    if (writes_halo) {
        __global real *plane = y + image * y_image + block * y_plane + y_first;
        const int begin = row0 == 0 ? 0 : y_top + (int)((long)row0 * y_h / out_h);
        const int end = row1 == out_h ? y_rows : y_top + (int)((long)row1 * y_h / out_h);
        for (int row = begin; row < end; ++row) {
            const int inside = row >= y_top && row < y_top + y_h;
            for (int column = 0; column < (inside ? y_left : y_columns); ++column)
                STOREV(plane, row * y_row + column * BLOCK, (vec)(0.0f));
            for (int column = y_left + y_w; inside && column < y_columns; ++column)
                STOREV(plane, row * y_row + column * BLOCK, (vec)(0.0f));
        }
    }
}

#undef ACTIVATE
#undef BLOCK
#undef GROUP
#undef KERNEL_H
#undef KERNEL_W
#undef OUT_STRIDE_H
#undef OUT_STRIDE_W
#undef READ_STRIDE_H
#undef READ_STRIDE_W
#undef STEP_H
#undef STEP_W
#undef TAPS_H
#undef TAPS_W
#undef TAP_STEP_H
#undef TAP_STEP_W
#undef TILE_W
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef conv_depthwise

// conv_blocked
#define ACTIVATE(v) ((v) < (vec)(low) ? (vec)(low) : (v))
#define BLOCK 4
#define BLOCK_IN 4
#define CHUNK 2
#define KERNEL_H 3
#define KERNEL_W 1
#define LINE 16
#define LINES 3
#define OUT_STRIDE_H 1
#define OUT_STRIDE_W 1
#define PARTIAL_SUMS 8192
#define READ(p) (((__global const struct __attribute__((packed)) { float4 all; } *)(p))->all)
#define READ_LANES(p) (((const struct __attribute__((packed)) { float4 all; } *)(p))->all)
#define READ_STRIDE_H 1
#define READ_STRIDE_W 1
#define STEP_H 1
#define STEP_W 1
#define STEP_WEIGHTS 4
#define TAPS_H 3
#define TAPS_W 1
#define TAP_STEP_H 1
#define TAP_STEP_W 1
#define TILE_H 1
#define TILE_K 1
#define TILE_W 2
#define UNROLL 4
#define WRITE_LANES(v, p) (((__private struct __attribute__((packed)) { float4 all; } *)(p))->all = (v))
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float4
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define conv_blocked conv_blocked_fc5d419fa658

#ifndef PREFETCH
#ifdef __clang__
#define PREFETCH(p) __builtin_prefetch((p), 0, 3)
#else
#define PREFETCH(p)
#endif
#endif
__kernel WORK_GROUP
void conv_blocked(
    __global const real *restrict x,         // N, input blocks, rows, columns, BLOCK_IN
    __global const real *restrict w,         // groups * filters, channels, KERNEL_H, KERNEL_W
    const int has_bias, const int has_residual, const float low,
    __global const real *restrict bias,
    __global const real *restrict residual,
    const int residual_image, const int residual_plane, const int residual_row, const int residual_offset,
    __global real *restrict y,               // N, output blocks, rows, columns, BLOCK
    const int x_image, const int x_plane, const int x_row, const int x_offset,
    const int w_offset,
    const int y_image, const int y_plane, const int y_row, const int y_offset,
    const int channels, const int filters,   // of one group
    const int out_h, const int out_w,        // rows and columns of output positions
    const int tiles_in_row, const int wide,  // tiles in a row; of them the first `wide` have tile_w columns, the others one less
    const int tiles, const int tiles_per_item,
    const int writes_halo, const int y_first, // whether; where the first padded plane starts; its rows and columns; where the map lies
    const int y_rows, const int y_columns, const int y_top, const int y_left, const int y_h, const int y_w)
{
    const int channel_tiles = (filters + TILE_K * BLOCK - 1) / (TILE_K * BLOCK);
    const int group = (int)get_global_id(1) / channel_tiles;
    const int block0 = ((int)get_global_id(1) - group * channel_tiles) * TILE_K;
    const size_t image = get_global_id(2);
    const int tile0 = (int)get_global_id(0) * tiles_per_item;
    const int tile_end = min(tiles, tile0 + tiles_per_item);
    const int input_blocks = (channels + BLOCK_IN - 1) / BLOCK_IN;
    const int y_block0 = group * ((filters + BLOCK - 1) / BLOCK) + block0;
    const int4 lane = (int4)(0, 1, 2, 3);

    __global const real *input = x + image * x_image + group * input_blocks * x_plane + x_offset;
    const int length = channels * (KERNEL_H * KERNEL_W);
    __global const real *first_weights = w + (size_t)(group * filters + block0 * BLOCK) * length;
    __global real *output = y + image * y_image + y_block0 * y_plane + y_offset;
    __global const real *added = residual + image * residual_image + y_block0 * residual_plane + residual_offset;

    // Lanes of an output block that are channels; the others are stored as zero, whatever the sums, so that NaN stays out of them.
    const int live0 = filters - (block0 + 0) * BLOCK;
    const int4 mask0 = lane < (int4)(live0);
    // The bias has no padding: nothing beyond the last filter may be read.
    float start[TILE_K * BLOCK];
    for (int i = 0; i < TILE_K * BLOCK; ++i)
        start[i] = has_bias && block0 * BLOCK + i < filters ? LOAD(bias, group * filters + block0 * BLOCK + i) : 0.0f;
    const vec start0 = vload4(0, start);

    vec partial[PARTIAL_SUMS / BLOCK];
    float packed[CHUNK * BLOCK * KERNEL_H * KERNEL_W * STEP_WEIGHTS];
    const int steps = (tile_end - tile0) * (CHUNK * TAPS_H * TAPS_W);
    const int lines = (STEP_WEIGHTS * LINES + steps - 1) / steps;   // cache lines to prefetch in each
    for (int chunk = 0; chunk < input_blocks; chunk += CHUNK) {
    const int last = chunk + CHUNK >= input_blocks;
    __global const real *plain = first_weights + chunk * (BLOCK * KERNEL_H * KERNEL_W);
    __global const real *next = last ? first_weights + STEP_WEIGHTS * length : plain + CHUNK * BLOCK * KERNEL_H * KERNEL_W;
    const int elements = min(CHUNK * BLOCK, channels - chunk * BLOCK) * (KERNEL_H * KERNEL_W), live = filters - block0 * BLOCK;
    for (int k = 0; k < TILE_K; ++k) {
        __global const real *rows = plain + k * BLOCK * length;
        const int live_rows = clamp(live - k * BLOCK, 0, BLOCK);
        float *to = packed + k * BLOCK;
        int e = 0;
        for (; live_rows == BLOCK && e + BLOCK <= elements; e += BLOCK) {
            const vec row0_0 = READ(rows + 0 * length + e);
            const vec row0_1 = READ(rows + 1 * length + e);
            const vec row0_2 = READ(rows + 2 * length + e);
            const vec row0_3 = READ(rows + 3 * length + e);
            vec row1_0, row1_1;
            row1_0.even = row0_0.lo;
            row1_0.odd = row0_2.lo;
            row1_1.even = row0_0.hi;
            row1_1.odd = row0_2.hi;
            vec row1_2, row1_3;
            row1_2.even = row0_1.lo;
            row1_2.odd = row0_3.lo;
            row1_3.even = row0_1.hi;
            row1_3.odd = row0_3.hi;
            vec row2_0, row2_1;
            row2_0.even = row1_0.lo;
            row2_0.odd = row1_2.lo;
            row2_1.even = row1_0.hi;
            row2_1.odd = row1_2.hi;
            vec row2_2, row2_3;
            row2_2.even = row1_1.lo;
            row2_2.odd = row1_3.lo;
            row2_3.even = row1_1.hi;
            row2_3.odd = row1_3.hi;
            WRITE_LANES(row2_0, to + (e + 0) * STEP_WEIGHTS);
            WRITE_LANES(row2_1, to + (e + 1) * STEP_WEIGHTS);
            WRITE_LANES(row2_2, to + (e + 2) * STEP_WEIGHTS);
            WRITE_LANES(row2_3, to + (e + 3) * STEP_WEIGHTS);
        }
        for (; e < elements; ++e)
            for (int row = 0; row < BLOCK; ++row)
                to[e * STEP_WEIGHTS + row] = row < live_rows ? LOAD(rows, row * length + e) : 0.0f;
    }
    for (int tile = tile0; tile < tile_end; ++tile) {
        const int tile_row = tile / tiles_in_row;
        const int tile_column = tile - tile_row * tiles_in_row;
        const int row = min(tile_row * TILE_H, out_h - TILE_H);
        const int narrow = tile_column < wide ? 0 : 1;
        const int column = min(tile_column * TILE_W - max(0, tile_column - wide), out_w - TILE_W + narrow);
        if (!narrow) {
            // 1 x 2 positions
            vec sum0_0_0 = start0;
            vec sum0_0_1 = start0;
            vec *kept = partial + (tile - tile0) * (TILE_H * TILE_W * TILE_K);
            if (chunk > 0) {
                sum0_0_0 = kept[0];
                sum0_0_1 = kept[1];
            }
            const float *weights = packed;
            __global const real *source = input + row * READ_STRIDE_H * x_row + column * READ_STRIDE_W * BLOCK_IN + chunk * x_plane;
            int ahead = (tile - tile0) * (CHUNK * TAPS_H * TAPS_W) * lines;
            for (int b = 0; b < min(CHUNK, channels / BLOCK - chunk); ++b) {
                #pragma unroll 1
                for (int r = 0; r < TAPS_H; ++r) {
                    const float *taps = weights + r * (TAP_STEP_H * KERNEL_W * STEP_WEIGHTS);
                    __global const real *row0 = source + (r * STEP_H + 0 * READ_STRIDE_H) * x_row;
                    PREFETCH(row0 + (2 + TAPS_W - 1) * BLOCK_IN + 0);
                    #pragma unroll 1
                    for (int s = 0; s < TAPS_W; ++s) {
                        for (int line = 0; line < lines; ++line, ++ahead)
                            PREFETCH(next + ahead / LINES * length + ahead % LINES * LINE);
                        #pragma unroll UNROLL
                        for (int i = 0; i < BLOCK; ++i)
                        {
                            const vec w0 = READ_LANES(taps + (i * KERNEL_H * KERNEL_W * TILE_K + 0) * BLOCK);
                            {
                                const vec value = (vec)(LOAD(row0, i + 0 * READ_STRIDE_W * BLOCK_IN));
                                sum0_0_0 += value * w0;
                            }
                            {
                                const vec value = (vec)(LOAD(row0, i + 1 * READ_STRIDE_W * BLOCK_IN));
                                sum0_0_1 += value * w0;
                            }
                        }
                        row0 += STEP_W * BLOCK_IN;
                        taps += TAP_STEP_W * STEP_WEIGHTS;
                    }
                }
                source += x_plane;
                weights += KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK;
            }
            if (!last) {
                kept[0] = sum0_0_0;
                kept[1] = sum0_0_1;
                continue;
            }
            __global real *stored = output + row * OUT_STRIDE_H * y_row + column * (OUT_STRIDE_W * BLOCK);
            __global const real *more = added + row * OUT_STRIDE_H * residual_row + column * (OUT_STRIDE_W * BLOCK);
            if (live0 > 0) {
                if (has_residual) {
                    sum0_0_0 += LOADV(more, 0 * residual_plane + 0 * OUT_STRIDE_H * residual_row + 0 * OUT_STRIDE_W * BLOCK);
                    sum0_0_1 += LOADV(more, 0 * residual_plane + 0 * OUT_STRIDE_H * residual_row + 1 * OUT_STRIDE_W * BLOCK);
                }
                STOREV(stored, 0 * y_plane + 0 * OUT_STRIDE_H * y_row + 0 * OUT_STRIDE_W * BLOCK,
                    mask0 ? ACTIVATE(sum0_0_0) : (vec)(0.0f));
                STOREV(stored, 0 * y_plane + 0 * OUT_STRIDE_H * y_row + 1 * OUT_STRIDE_W * BLOCK,
                    mask0 ? ACTIVATE(sum0_0_1) : (vec)(0.0f));
            }
        } else {
            // 1 x 1 positions
            vec sum0_0_0 = start0;
            vec *kept = partial + (tile - tile0) * (TILE_H * TILE_W * TILE_K);
            if (chunk > 0) {
                sum0_0_0 = kept[0];
            }
            const float *weights = packed;
            __global const real *source = input + row * READ_STRIDE_H * x_row + column * READ_STRIDE_W * BLOCK_IN + chunk * x_plane;
            int ahead = (tile - tile0) * (CHUNK * TAPS_H * TAPS_W) * lines;
            for (int b = 0; b < min(CHUNK, channels / BLOCK - chunk); ++b) {
                #pragma unroll 1
                for (int r = 0; r < TAPS_H; ++r) {
                    const float *taps = weights + r * (TAP_STEP_H * KERNEL_W * STEP_WEIGHTS);
                    __global const real *row0 = source + (r * STEP_H + 0 * READ_STRIDE_H) * x_row;
                    PREFETCH(row0 + (1 + TAPS_W - 1) * BLOCK_IN + 0);
                    #pragma unroll 1
                    for (int s = 0; s < TAPS_W; ++s) {
                        for (int line = 0; line < lines; ++line, ++ahead)
                            PREFETCH(next + ahead / LINES * length + ahead % LINES * LINE);
                        #pragma unroll UNROLL
                        for (int i = 0; i < BLOCK; ++i)
                        {
                            const vec w0 = READ_LANES(taps + (i * KERNEL_H * KERNEL_W * TILE_K + 0) * BLOCK);
                            {
                                const vec value = (vec)(LOAD(row0, i + 0 * READ_STRIDE_W * BLOCK_IN));
                                sum0_0_0 += value * w0;
                            }
                        }
                        row0 += STEP_W * BLOCK_IN;
                        taps += TAP_STEP_W * STEP_WEIGHTS;
                    }
                }
                source += x_plane;
                weights += KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK;
            }
            if (!last) {
                kept[0] = sum0_0_0;
                continue;
            }
            __global real *stored = output + row * OUT_STRIDE_H * y_row + column * (OUT_STRIDE_W * BLOCK);
            __global const real *more = added + row * OUT_STRIDE_H * residual_row + column * (OUT_STRIDE_W * BLOCK);
            if (live0 > 0) {
                if (has_residual) {
                    sum0_0_0 += LOADV(more, 0 * residual_plane + 0 * OUT_STRIDE_H * residual_row + 0 * OUT_STRIDE_W * BLOCK);
                }
                STOREV(stored, 0 * y_plane + 0 * OUT_STRIDE_H * y_row + 0 * OUT_STRIDE_W * BLOCK,
                    mask0 ? ACTIVATE(sum0_0_0) : (vec)(0.0f));
            }
        }
    }
    }

    // The item with the first tile also zeroes the halo of its planes.
    if (writes_halo && tile0 == 0) {
        for (int k = 0; k < TILE_K && (block0 + k) * BLOCK < filters; ++k) {
            __global real *plane = y + image * y_image + (y_block0 + k) * y_plane + y_first;
            for (int row = 0; row < y_rows; ++row) {
                const int inside = row >= y_top && row < y_top + y_h;
                for (int column = 0; column < (inside ? y_left : y_columns); ++column)
                    STOREV(plane, row * y_row + column * BLOCK, (vec)(0.0f));
                for (int column = y_left + y_w; inside && column < y_columns; ++column)
                    STOREV(plane, row * y_row + column * BLOCK, (vec)(0.0f));
            }
        }
    }
}

#undef ACTIVATE
#undef BLOCK
#undef BLOCK_IN
#undef CHUNK
#undef KERNEL_H
#undef KERNEL_W
#undef LINE
#undef LINES
#undef OUT_STRIDE_H
#undef OUT_STRIDE_W
#undef PARTIAL_SUMS
#undef READ
#undef READ_LANES
#undef READ_STRIDE_H
#undef READ_STRIDE_W
#undef STEP_H
#undef STEP_W
#undef STEP_WEIGHTS
#undef TAPS_H
#undef TAPS_W
#undef TAP_STEP_H
#undef TAP_STEP_W
#undef TILE_H
#undef TILE_K
#undef TILE_W
#undef UNROLL
#undef WRITE_LANES
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef conv_blocked

// conv_blocked
#define ACTIVATE(v) ((v) < (vec)(low) ? (vec)(low) : (v))
#define BLOCK 8
#define BLOCK_IN 8
#define CHUNK 2
#define KERNEL_H 1
#define KERNEL_W 1
#define OUT_STRIDE_H 1
#define OUT_STRIDE_W 1
#define PARTIAL_SUMS 8192
#define READ_STRIDE_H 1
#define READ_STRIDE_W 1
#define STEP_H 1
#define STEP_W 1
#define STEP_WEIGHTS 8
#define TAPS_H 1
#define TAPS_W 1
#define TAP_STEP_H 1
#define TAP_STEP_W 1
#define TILE_H 1
#define TILE_K 1
#define TILE_W 2
#define UNROLL 4
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define conv_blocked conv_blocked_d6d89e6c9cbc

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
    __global const real *restrict w,         // groups, channel tiles, input blocks, KERNEL_H, KERNEL_W, BLOCK_IN, tile_k * BLOCK
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
    const int8 lane = (int8)(0, 1, 2, 3, 4, 5, 6, 7);

    __global const real *input = x + image * x_image + group * input_blocks * x_plane + x_offset;
    __global const real *first_weights = w + get_global_id(1) * (size_t)(input_blocks * (KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK_IN)) + w_offset;
    __global real *output = y + image * y_image + y_block0 * y_plane + y_offset;
    __global const real *added = residual + image * residual_image + y_block0 * residual_plane + residual_offset;

    // Lanes of an output block that are channels; the others are stored as zero, whatever the sums, so that NaN stays out of them.
    const int live0 = filters - (block0 + 0) * BLOCK;
    const int8 mask0 = lane < (int8)(live0);
    // The bias has no padding: nothing beyond the last filter may be read.
    float start[TILE_K * BLOCK];
    for (int i = 0; i < TILE_K * BLOCK; ++i)
        start[i] = has_bias && block0 * BLOCK + i < filters ? LOAD(bias, group * filters + block0 * BLOCK + i) : 0.0f;
    const vec start0 = vload8(0, start);

    vec partial[PARTIAL_SUMS / BLOCK];
    const int lines = (TILE_K * BLOCK * BLOCK / 16 + tile_end - tile0 - 1) / (tile_end - tile0);
    for (int chunk = 0; chunk < input_blocks; chunk += CHUNK) {
    const int last = chunk + CHUNK >= input_blocks;
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
            __global const real *weights = first_weights + chunk * (KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK);
            __global const real *source = input + row * READ_STRIDE_H * x_row + column * READ_STRIDE_W * BLOCK_IN + chunk * x_plane;
            __global const real *ahead = weights + CHUNK * (KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK) + (tile - tile0) * (CHUNK * TAPS_H * TAPS_W) * lines * 16;
            for (int b = 0; b < min(CHUNK, channels / BLOCK - chunk); ++b) {
                #pragma unroll 1
                for (int r = 0; r < TAPS_H; ++r) {
                    __global const real *taps = weights + r * (TAP_STEP_H * KERNEL_W * STEP_WEIGHTS * BLOCK_IN);
                    __global const real *row0 = source + (r * STEP_H + 0 * READ_STRIDE_H) * x_row;
                    PREFETCH(row0 + (2 + TAPS_W - 1) * BLOCK_IN + 0);
                    #pragma unroll 1
                    for (int s = 0; s < TAPS_W; ++s) {
                        for (int line = 0; line < lines; ++line)
                            PREFETCH(ahead + line * 16);
                        ahead += lines * 16;
                        #pragma unroll UNROLL
                        for (int i = 0; i < BLOCK; ++i)
                        {
                            const vec w0 = LOADV(taps, (i * TILE_K + 0) * BLOCK);
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
                        taps += TAP_STEP_W * STEP_WEIGHTS * BLOCK_IN;
                    }
                }
                source += x_plane;
                weights += KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK;
            }
            if (last) {
                const int rest = channels % BLOCK;
                #pragma unroll 1
                for (int r = 0; r < TAPS_H; ++r) {
                    __global const real *taps = weights + r * (TAP_STEP_H * KERNEL_W * STEP_WEIGHTS * BLOCK_IN);
                    __global const real *row0 = source + (r * STEP_H + 0 * READ_STRIDE_H) * x_row;
                    PREFETCH(row0 + (2 + TAPS_W - 1) * BLOCK_IN + 0);
                    #pragma unroll 1
                    for (int s = 0; s < TAPS_W; ++s) {
                        for (int line = 0; line < lines; ++line)
                            PREFETCH(ahead + line * 16);
                        ahead += lines * 16;
                        #pragma unroll 1
                        for (int i = 0; i < rest; ++i)
                        {
                            const vec w0 = LOADV(taps, (i * TILE_K + 0) * BLOCK);
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
                        taps += TAP_STEP_W * STEP_WEIGHTS * BLOCK_IN;
                    }
                }
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
            __global const real *weights = first_weights + chunk * (KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK);
            __global const real *source = input + row * READ_STRIDE_H * x_row + column * READ_STRIDE_W * BLOCK_IN + chunk * x_plane;
            __global const real *ahead = weights + CHUNK * (KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK) + (tile - tile0) * (CHUNK * TAPS_H * TAPS_W) * lines * 16;
            for (int b = 0; b < min(CHUNK, channels / BLOCK - chunk); ++b) {
                #pragma unroll 1
                for (int r = 0; r < TAPS_H; ++r) {
                    __global const real *taps = weights + r * (TAP_STEP_H * KERNEL_W * STEP_WEIGHTS * BLOCK_IN);
                    __global const real *row0 = source + (r * STEP_H + 0 * READ_STRIDE_H) * x_row;
                    PREFETCH(row0 + (1 + TAPS_W - 1) * BLOCK_IN + 0);
                    #pragma unroll 1
                    for (int s = 0; s < TAPS_W; ++s) {
                        for (int line = 0; line < lines; ++line)
                            PREFETCH(ahead + line * 16);
                        ahead += lines * 16;
                        #pragma unroll UNROLL
                        for (int i = 0; i < BLOCK; ++i)
                        {
                            const vec w0 = LOADV(taps, (i * TILE_K + 0) * BLOCK);
                            {
                                const vec value = (vec)(LOAD(row0, i + 0 * READ_STRIDE_W * BLOCK_IN));
                                sum0_0_0 += value * w0;
                            }
                        }
                        row0 += STEP_W * BLOCK_IN;
                        taps += TAP_STEP_W * STEP_WEIGHTS * BLOCK_IN;
                    }
                }
                source += x_plane;
                weights += KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK;
            }
            if (last) {
                const int rest = channels % BLOCK;
                #pragma unroll 1
                for (int r = 0; r < TAPS_H; ++r) {
                    __global const real *taps = weights + r * (TAP_STEP_H * KERNEL_W * STEP_WEIGHTS * BLOCK_IN);
                    __global const real *row0 = source + (r * STEP_H + 0 * READ_STRIDE_H) * x_row;
                    PREFETCH(row0 + (1 + TAPS_W - 1) * BLOCK_IN + 0);
                    #pragma unroll 1
                    for (int s = 0; s < TAPS_W; ++s) {
                        for (int line = 0; line < lines; ++line)
                            PREFETCH(ahead + line * 16);
                        ahead += lines * 16;
                        #pragma unroll 1
                        for (int i = 0; i < rest; ++i)
                        {
                            const vec w0 = LOADV(taps, (i * TILE_K + 0) * BLOCK);
                            {
                                const vec value = (vec)(LOAD(row0, i + 0 * READ_STRIDE_W * BLOCK_IN));
                                sum0_0_0 += value * w0;
                            }
                        }
                        row0 += STEP_W * BLOCK_IN;
                        taps += TAP_STEP_W * STEP_WEIGHTS * BLOCK_IN;
                    }
                }
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
#undef OUT_STRIDE_H
#undef OUT_STRIDE_W
#undef PARTIAL_SUMS
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
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef conv_blocked

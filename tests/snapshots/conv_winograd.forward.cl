// conv_winograd
#define ACTIVATE(v) ((v) < (vec)(low) ? (vec)(low) : (v))
#define BLOCK 8
#define CHUNK 16
#define DILATION_H 1
#define DILATION_W 1
#define OUTPUTS_H 2
#define OUTPUTS_W 2
#define PRODUCTS_H 4
#define PRODUCTS_W 4
#define READ_STRIDE_H 1
#define READ_STRIDE_W 1
#define TILE_K 1
#define WIDTH 2
#define WRITE_STRIDE_H 1
#define WRITE_STRIDE_W 1
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define conv_winograd conv_winograd_88ef693aca88

#ifndef PREFETCH
#ifdef __clang__
#define PREFETCH(p) __builtin_prefetch((p), 0, 3)
#else
#define PREFETCH(p)
#endif
#endif
__kernel WORK_GROUP
void conv_winograd(
    __global const float *restrict x,         // N, input blocks, rows, columns, BLOCK
    __global const float *restrict w,         // groups, channel tiles, products, channels, tile_k * BLOCK
    const int has_bias, const int has_residual, const float low,
    __global const real *restrict bias,
    __global const real *restrict residual,
    const int residual_image, const int residual_plane, const int residual_row, const int residual_offset,
    __global float *restrict y,               // N, output blocks, rows, columns, BLOCK
    __local float *restrict data,
    __local float *restrict sums,
    const int x_image, const int x_plane, const int x_row, const int x_offset,
    const int y_image, const int y_plane, const int y_row, const int y_offset,
    const int channels, const int filters,    // of one group
    const int out_h, const int out_w,
    const int phase_tiles_h, const int phase_tiles_w,  // tiles of one residue
    const int tiles_h, const int tiles_w, const int tiles,  // of an image; of all images
    const int parts, const int slices,
    const int slots,                          // tiles of a part, those that only fill up a run included
    const int product_step,
    const int writes_halo, const int y_first, // whether; where the first padded plane starts; its rows and columns; where the map lies
    const int y_rows, const int y_columns, const int y_top, const int y_left, const int y_h, const int y_w)
{
    const int channel_tiles = (filters + TILE_K * BLOCK - 1) / (TILE_K * BLOCK);
    const int group = (int)get_global_id(1) / slices;
    const int slice = (int)get_global_id(1) - group * slices;
    const int tile_k0 = slice * channel_tiles / slices;
    const int tile_k1 = (slice + 1) * channel_tiles / slices;
    const int input_blocks = (channels + BLOCK - 1) / BLOCK;
    const int output_blocks = (filters + BLOCK - 1) / BLOCK;
    const int padded_channels = input_blocks * BLOCK;
    const int8 lane = (int8)(0, 1, 2, 3, 4, 5, 6, 7);

    for (int part = get_global_id(0); part < parts; part += get_global_size(0)) {
        const int begin = (int)((long)part * tiles / parts);
        const int count = (int)((long)(part + 1) * tiles / parts) - begin;
        const int runs = (count + WIDTH - 1) / WIDTH;
        const int wide = max(0, count - runs * (WIDTH - 1));
        const int filled = max(count, runs * (WIDTH - 1));
        // Every run prefetches its share of the next chunk of weights: so many cache lines for each block of channels.
        const int lines = (TILE_K * BLOCK * BLOCK / 16 + runs - 1) / runs;

        // 1. The transform of the data. Tiles that only fill up a run are zero.
        for (int b = 0; b < input_blocks; ++b) {
            __global const float *plane = x + (group * input_blocks + b) * x_plane + x_offset;
            int image = begin / (tiles_h * tiles_w);
            int tile_h = (begin - image * tiles_h * tiles_w) / tiles_w;
            int tile_w = begin - (image * tiles_h + tile_h) * tiles_w;
            for (int t = 0; t < filled; ++t) {
                const int split = wide * WIDTH;
                const int run_width = t < split ? WIDTH : WIDTH - 1;
                const int in_run = t < split ? t % WIDTH : (t - split) % (WIDTH - 1);
                __local float *target = data + (t - in_run) * padded_channels + (b * run_width + in_run) * BLOCK;
                if (t >= count) {
                    for (int product = 0; product < PRODUCTS_H * PRODUCTS_W; ++product)
                        *(__local vec *)(target + product * product_step) = (vec)(0.0f);
                    continue;
                }
            const int phase_h = tile_h / phase_tiles_h;
            const int count_h = (out_h - phase_h + DILATION_H - 1) / DILATION_H;
            const int wanted_h = (tile_h - phase_h * phase_tiles_h) * OUTPUTS_H;
            const int first_h = min(wanted_h, (count_h - OUTPUTS_H + WRITE_STRIDE_H - 1) / WRITE_STRIDE_H * WRITE_STRIDE_H);
            const int phase_w = tile_w / phase_tiles_w;
            const int count_w = (out_w - phase_w + DILATION_W - 1) / DILATION_W;
            const int wanted_w = (tile_w - phase_w * phase_tiles_w) * OUTPUTS_W;
            const int first_w = min(wanted_w, (count_w - OUTPUTS_W + WRITE_STRIDE_W - 1) / WRITE_STRIDE_W * WRITE_STRIDE_W);
                __global const float *source = plane + (size_t)image * x_image
                    + (phase_h + first_h / WRITE_STRIDE_H * READ_STRIDE_H * DILATION_H) * x_row
                    + (phase_w + first_w / WRITE_STRIDE_W * READ_STRIDE_W * DILATION_W) * BLOCK;
                vec mid[16];
                #pragma unroll 1
                for (int j = 0; j < 4; ++j) {
                    const vec in0 = *(__global const vec *)(source + 0 * DILATION_H * x_row + j * DILATION_W * BLOCK);
                    const vec in1 = *(__global const vec *)(source + 1 * DILATION_H * x_row + j * DILATION_W * BLOCK);
                    const vec in2 = *(__global const vec *)(source + 2 * DILATION_H * x_row + j * DILATION_W * BLOCK);
                    const vec in3 = *(__global const vec *)(source + 3 * DILATION_H * x_row + j * DILATION_W * BLOCK);
                    const vec out0 = -in0 + in2;
                    const vec out3 = -in1 + in3;
                    const vec out1_even = in2;
                    const vec out1_odd = in1;
                    const vec out1 = out1_even + out1_odd;
                    const vec out2 = out1_even - out1_odd;
                    mid[0 + j] = out0;
                    mid[4 + j] = out1;
                    mid[8 + j] = out2;
                    mid[12 + j] = out3;
                }
                #pragma unroll 1
                for (int i = 0; i < 4; ++i) {
                    const vec in0 = mid[i * 4 + 0];
                    const vec in1 = mid[i * 4 + 1];
                    const vec in2 = mid[i * 4 + 2];
                    const vec in3 = mid[i * 4 + 3];
                    const vec out0 = -in0 + in2;
                    const vec out3 = -in1 + in3;
                    const vec out1_even = in2;
                    const vec out1_odd = in1;
                    const vec out1 = out1_even + out1_odd;
                    const vec out2 = out1_even - out1_odd;
                    *(__local vec *)(target + (i * PRODUCTS_W + 0) * product_step) = out0;
                    *(__local vec *)(target + (i * PRODUCTS_W + 1) * product_step) = out1;
                    *(__local vec *)(target + (i * PRODUCTS_W + 2) * product_step) = out2;
                    *(__local vec *)(target + (i * PRODUCTS_W + 3) * product_step) = out3;
                }
                if (++tile_w == tiles_w) {
                    tile_w = 0;
                    if (++tile_h == tiles_h) {
                        tile_h = 0;
                        ++image;
                    }
                }
            }
        }

        for (int tile_k = tile_k0; tile_k < tile_k1; ++tile_k) {
            // 2. Products.
            __global const float *chunk_weights = w + (size_t)(group * channel_tiles + tile_k) * (PRODUCTS_H * PRODUCTS_W) * channels * (TILE_K * BLOCK);
            for (int product = 0; product < PRODUCTS_H * PRODUCTS_W; ++product) {
                __local const float *chunk_data = data + product * product_step;
                __local float *stored = sums + product * (TILE_K * slots * BLOCK);
                for (int first = 0; first < channels; first += CHUNK) {
                    const int end = min(channels - first, CHUNK);
                    __global const float *next_weights = chunk_weights + end * (TILE_K * BLOCK);
                    int tile = 0;
                    for (int run = 0; run < wide; ++run) {
                    {
                        vec sum0_0, sum0_1;
                        __local float *kept = stored + tile * BLOCK;
                        if (first == 0) {
                            sum0_0 = (vec)(0.0f);
                            sum0_1 = (vec)(0.0f);
                        } else {
                            sum0_0 = *(__local const vec *)(kept + 0 * slots * BLOCK + 0 * BLOCK);
                            sum0_1 = *(__local const vec *)(kept + 0 * slots * BLOCK + 1 * BLOCK);
                        }
                        __local const float *values = chunk_data + (tile * padded_channels + first * 2);
                        __global const float *weights = chunk_weights;
                        __global const float *ahead = next_weights + run * lines * 16;
                        for (int b = 0; b < end / BLOCK; ++b) {
                            for (int line = 0; line < lines; ++line)
                                PREFETCH(ahead + line * 16);
                            ahead += TILE_K * BLOCK * BLOCK;
                            #pragma unroll
                            for (int i = 0; i < BLOCK; ++i)
                            {
                                const vec w0 = *(__global const vec *)(weights + (i * TILE_K + 0) * BLOCK);
                                {
                                    const vec value = (vec)(values[0 * BLOCK + i]);
                                    sum0_0 += value * w0;
                                }
                                {
                                    const vec value = (vec)(values[1 * BLOCK + i]);
                                    sum0_1 += value * w0;
                                }
                            }
                            values += 2 * BLOCK;
                            weights += TILE_K * BLOCK * BLOCK;
                        }
                        for (int i = 0; i < end % BLOCK; ++i)
                            {
                                const vec w0 = *(__global const vec *)(weights + (i * TILE_K + 0) * BLOCK);
                                {
                                    const vec value = (vec)(values[0 * BLOCK + i]);
                                    sum0_0 += value * w0;
                                }
                                {
                                    const vec value = (vec)(values[1 * BLOCK + i]);
                                    sum0_1 += value * w0;
                                }
                            }
                        *(__local vec *)(kept + 0 * slots * BLOCK + 0 * BLOCK) = sum0_0;
                        *(__local vec *)(kept + 0 * slots * BLOCK + 1 * BLOCK) = sum0_1;
                    }
                        tile += WIDTH;
                    }
                    for (int run = wide; run < runs; ++run) {
                    {
                        vec sum0_0;
                        __local float *kept = stored + tile * BLOCK;
                        if (first == 0) {
                            sum0_0 = (vec)(0.0f);
                        } else {
                            sum0_0 = *(__local const vec *)(kept + 0 * slots * BLOCK + 0 * BLOCK);
                        }
                        __local const float *values = chunk_data + (tile * padded_channels + first * 1);
                        __global const float *weights = chunk_weights;
                        __global const float *ahead = next_weights + run * lines * 16;
                        for (int b = 0; b < end / BLOCK; ++b) {
                            for (int line = 0; line < lines; ++line)
                                PREFETCH(ahead + line * 16);
                            ahead += TILE_K * BLOCK * BLOCK;
                            #pragma unroll
                            for (int i = 0; i < BLOCK; ++i)
                            {
                                const vec w0 = *(__global const vec *)(weights + (i * TILE_K + 0) * BLOCK);
                                {
                                    const vec value = (vec)(values[0 * BLOCK + i]);
                                    sum0_0 += value * w0;
                                }
                            }
                            values += 1 * BLOCK;
                            weights += TILE_K * BLOCK * BLOCK;
                        }
                        for (int i = 0; i < end % BLOCK; ++i)
                            {
                                const vec w0 = *(__global const vec *)(weights + (i * TILE_K + 0) * BLOCK);
                                {
                                    const vec value = (vec)(values[0 * BLOCK + i]);
                                    sum0_0 += value * w0;
                                }
                            }
                        *(__local vec *)(kept + 0 * slots * BLOCK + 0 * BLOCK) = sum0_0;
                    }
                        tile += WIDTH - 1;
                    }
                    chunk_weights = next_weights;
                }
            }

            // 3. The transform of the sums, and the epilogue. Lanes that are no channels are stored as zero, whatever the sums.
            for (int k = 0; k < TILE_K && (tile_k * TILE_K + k) * BLOCK < filters; ++k) {
                const int block = tile_k * TILE_K + k;
                const int live = filters - block * BLOCK;
                const int8 mask = lane < (int8)(live);
                // The bias has no padding: nothing beyond the last filter may be read.
                float start[BLOCK];
                for (int i = 0; i < BLOCK; ++i)
                    start[i] = has_bias && i < live ? bias[group * filters + block * BLOCK + i] : 0.0f;
                const vec offset = vload8(0, start);
                __global float *plane = y + (group * output_blocks + block) * y_plane + y_offset;
                int image = begin / (tiles_h * tiles_w);
                int tile_h = (begin - image * tiles_h * tiles_w) / tiles_w;
                int tile_w = begin - (image * tiles_h + tile_h) * tiles_w;
                for (int t = 0; t < count; ++t) {
                    __local const float *source = sums + (k * slots + t) * BLOCK;
                    vec positions[OUTPUTS_H * OUTPUTS_W];
                    vec mid[8];
                    #pragma unroll 1
                    for (int j = 0; j < 4; ++j) {
                        const vec in0 = *(__local const vec *)(source + (0 * PRODUCTS_W + j) * (TILE_K * slots * BLOCK));
                        const vec in1 = *(__local const vec *)(source + (1 * PRODUCTS_W + j) * (TILE_K * slots * BLOCK));
                        const vec in2 = *(__local const vec *)(source + (2 * PRODUCTS_W + j) * (TILE_K * slots * BLOCK));
                        const vec in3 = *(__local const vec *)(source + (3 * PRODUCTS_W + j) * (TILE_K * slots * BLOCK));
                        const vec out0_even1 = in1 + in2;
                        const vec out0_odd1 = in1 - in2;
                        const vec out0 = out0_even1 + in0;
                        const vec out1 = out0_odd1 + in3;
                        mid[0 + j] = out0;
                        mid[4 + j] = out1;
                    }
                    #pragma unroll 1
                    for (int i = 0; i < 2; ++i) {
                        const vec in0 = mid[i * 4 + 0];
                        const vec in1 = mid[i * 4 + 1];
                        const vec in2 = mid[i * 4 + 2];
                        const vec in3 = mid[i * 4 + 3];
                        const vec out0_even1 = in1 + in2;
                        const vec out0_odd1 = in1 - in2;
                        const vec out0 = out0_even1 + in0;
                        const vec out1 = out0_odd1 + in3;
                        positions[i * 2 + 0] = out0 + offset;
                        positions[i * 2 + 1] = out1 + offset;
                    }
            const int phase_h = tile_h / phase_tiles_h;
            const int count_h = (out_h - phase_h + DILATION_H - 1) / DILATION_H;
            const int wanted_h = (tile_h - phase_h * phase_tiles_h) * OUTPUTS_H;
            const int first_h = min(wanted_h, (count_h - OUTPUTS_H + WRITE_STRIDE_H - 1) / WRITE_STRIDE_H * WRITE_STRIDE_H);
            const int phase_w = tile_w / phase_tiles_w;
            const int count_w = (out_w - phase_w + DILATION_W - 1) / DILATION_W;
            const int wanted_w = (tile_w - phase_w * phase_tiles_w) * OUTPUTS_W;
            const int first_w = min(wanted_w, (count_w - OUTPUTS_W + WRITE_STRIDE_W - 1) / WRITE_STRIDE_W * WRITE_STRIDE_W);
                    const int row = phase_h + first_h * DILATION_H;
                    const int column = phase_w + first_w * DILATION_W;
                    __global float *target = plane + (size_t)image * y_image + row * y_row + column * BLOCK;
                    __global const float *added = residual + (size_t)image * residual_image + (group * output_blocks + block) * residual_plane
                        + residual_offset + row * residual_row + column * BLOCK;
                    const int end_h = min(OUTPUTS_H, count_h - first_h), end_w = min(OUTPUTS_W, count_w - first_w);
                    #pragma unroll 1
                    for (int i = wanted_h - first_h; i < end_h; ++i)
                        #pragma unroll 1
                        for (int j = wanted_w - first_w; j < end_w; ++j) {
                            vec value = positions[i * OUTPUTS_W + j];
                            if (has_residual)
                                value += *(__global const vec *)(added + i * DILATION_H * residual_row + j * DILATION_W * BLOCK);
                            value = ACTIVATE(value);
                            *(__global vec *)(target + i * DILATION_H * y_row + j * DILATION_W * BLOCK) = mask ? value : (vec)(0.0f);
                        }
                    if (++tile_w == tiles_w) {
                        tile_w = 0;
                        if (++tile_h == tiles_h) {
                            tile_h = 0;
                            ++image;
                        }
                    }
                }
            }
        }
    }

    // Worker by worker, the halo of the images is zeroed.
    for (int image = get_global_id(0); writes_halo && image < tiles / (tiles_h * tiles_w); image += get_global_size(0))
        for (int block = tile_k0 * TILE_K; block < min(tile_k1 * TILE_K, output_blocks); ++block) {
            __global float *plane = y + (size_t)image * y_image + (group * output_blocks + block) * y_plane + y_first;
            for (int row = 0; row < y_rows; ++row) {
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
#undef CHUNK
#undef DILATION_H
#undef DILATION_W
#undef OUTPUTS_H
#undef OUTPUTS_W
#undef PRODUCTS_H
#undef PRODUCTS_W
#undef READ_STRIDE_H
#undef READ_STRIDE_W
#undef TILE_K
#undef WIDTH
#undef WRITE_STRIDE_H
#undef WRITE_STRIDE_W
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef conv_winograd

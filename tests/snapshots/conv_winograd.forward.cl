// conv_winograd
#define ACTIVATE(v) ((v) < (vec)(0.0f) ? (vec)(0.0f) : (v))
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
#define conv_winograd conv_winograd_ee48e7779af4

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
    __global const float *restrict bias,      // groups * filters
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
                const vec in0_0 = *(__global const vec *)(source + 0 * DILATION_H * x_row + 0 * DILATION_W * BLOCK);
                const vec in0_1 = *(__global const vec *)(source + 0 * DILATION_H * x_row + 1 * DILATION_W * BLOCK);
                const vec in0_2 = *(__global const vec *)(source + 0 * DILATION_H * x_row + 2 * DILATION_W * BLOCK);
                const vec in0_3 = *(__global const vec *)(source + 0 * DILATION_H * x_row + 3 * DILATION_W * BLOCK);
                const vec in1_0 = *(__global const vec *)(source + 1 * DILATION_H * x_row + 0 * DILATION_W * BLOCK);
                const vec in1_1 = *(__global const vec *)(source + 1 * DILATION_H * x_row + 1 * DILATION_W * BLOCK);
                const vec in1_2 = *(__global const vec *)(source + 1 * DILATION_H * x_row + 2 * DILATION_W * BLOCK);
                const vec in1_3 = *(__global const vec *)(source + 1 * DILATION_H * x_row + 3 * DILATION_W * BLOCK);
                const vec in2_0 = *(__global const vec *)(source + 2 * DILATION_H * x_row + 0 * DILATION_W * BLOCK);
                const vec in2_1 = *(__global const vec *)(source + 2 * DILATION_H * x_row + 1 * DILATION_W * BLOCK);
                const vec in2_2 = *(__global const vec *)(source + 2 * DILATION_H * x_row + 2 * DILATION_W * BLOCK);
                const vec in2_3 = *(__global const vec *)(source + 2 * DILATION_H * x_row + 3 * DILATION_W * BLOCK);
                const vec in3_0 = *(__global const vec *)(source + 3 * DILATION_H * x_row + 0 * DILATION_W * BLOCK);
                const vec in3_1 = *(__global const vec *)(source + 3 * DILATION_H * x_row + 1 * DILATION_W * BLOCK);
                const vec in3_2 = *(__global const vec *)(source + 3 * DILATION_H * x_row + 2 * DILATION_W * BLOCK);
                const vec in3_3 = *(__global const vec *)(source + 3 * DILATION_H * x_row + 3 * DILATION_W * BLOCK);
                const vec mid0_0 = -in0_0 + in2_0;
                const vec mid3_0 = -in1_0 + in3_0;
                const vec mid1_0_even = in2_0;
                const vec mid1_0_odd = in1_0;
                const vec mid1_0 = mid1_0_even + mid1_0_odd;
                const vec mid2_0 = mid1_0_even - mid1_0_odd;
                const vec mid0_1 = -in0_1 + in2_1;
                const vec mid3_1 = -in1_1 + in3_1;
                const vec mid1_1_even = in2_1;
                const vec mid1_1_odd = in1_1;
                const vec mid1_1 = mid1_1_even + mid1_1_odd;
                const vec mid2_1 = mid1_1_even - mid1_1_odd;
                const vec mid0_2 = -in0_2 + in2_2;
                const vec mid3_2 = -in1_2 + in3_2;
                const vec mid1_2_even = in2_2;
                const vec mid1_2_odd = in1_2;
                const vec mid1_2 = mid1_2_even + mid1_2_odd;
                const vec mid2_2 = mid1_2_even - mid1_2_odd;
                const vec mid0_3 = -in0_3 + in2_3;
                const vec mid3_3 = -in1_3 + in3_3;
                const vec mid1_3_even = in2_3;
                const vec mid1_3_odd = in1_3;
                const vec mid1_3 = mid1_3_even + mid1_3_odd;
                const vec mid2_3 = mid1_3_even - mid1_3_odd;
                const vec out0_0 = -mid0_0 + mid0_2;
                const vec out0_3 = -mid0_1 + mid0_3;
                const vec out0_1_even = mid0_2;
                const vec out0_1_odd = mid0_1;
                const vec out0_1 = out0_1_even + out0_1_odd;
                const vec out0_2 = out0_1_even - out0_1_odd;
                const vec out1_0 = -mid1_0 + mid1_2;
                const vec out1_3 = -mid1_1 + mid1_3;
                const vec out1_1_even = mid1_2;
                const vec out1_1_odd = mid1_1;
                const vec out1_1 = out1_1_even + out1_1_odd;
                const vec out1_2 = out1_1_even - out1_1_odd;
                const vec out2_0 = -mid2_0 + mid2_2;
                const vec out2_3 = -mid2_1 + mid2_3;
                const vec out2_1_even = mid2_2;
                const vec out2_1_odd = mid2_1;
                const vec out2_1 = out2_1_even + out2_1_odd;
                const vec out2_2 = out2_1_even - out2_1_odd;
                const vec out3_0 = -mid3_0 + mid3_2;
                const vec out3_3 = -mid3_1 + mid3_3;
                const vec out3_1_even = mid3_2;
                const vec out3_1_odd = mid3_1;
                const vec out3_1 = out3_1_even + out3_1_odd;
                const vec out3_2 = out3_1_even - out3_1_odd;
                *(__local vec *)(target + 0 * product_step) = out0_0;
                *(__local vec *)(target + 1 * product_step) = out0_1;
                *(__local vec *)(target + 2 * product_step) = out0_2;
                *(__local vec *)(target + 3 * product_step) = out0_3;
                *(__local vec *)(target + 4 * product_step) = out1_0;
                *(__local vec *)(target + 5 * product_step) = out1_1;
                *(__local vec *)(target + 6 * product_step) = out1_2;
                *(__local vec *)(target + 7 * product_step) = out1_3;
                *(__local vec *)(target + 8 * product_step) = out2_0;
                *(__local vec *)(target + 9 * product_step) = out2_1;
                *(__local vec *)(target + 10 * product_step) = out2_2;
                *(__local vec *)(target + 11 * product_step) = out2_3;
                *(__local vec *)(target + 12 * product_step) = out3_0;
                *(__local vec *)(target + 13 * product_step) = out3_1;
                *(__local vec *)(target + 14 * product_step) = out3_2;
                *(__local vec *)(target + 15 * product_step) = out3_3;
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
                    start[i] = i < live ? bias[group * filters + block * BLOCK + i] : 0.0f;
                const vec offset = vload8(0, start);
                __global float *plane = y + (group * output_blocks + block) * y_plane + y_offset;
                int image = begin / (tiles_h * tiles_w);
                int tile_h = (begin - image * tiles_h * tiles_w) / tiles_w;
                int tile_w = begin - (image * tiles_h + tile_h) * tiles_w;
                for (int t = 0; t < count; ++t) {
                    __local const float *source = sums + (k * slots + t) * BLOCK;
                    const vec in0_0 = *(__local const vec *)(source + 0 * (TILE_K * slots * BLOCK));
                    const vec in0_1 = *(__local const vec *)(source + 1 * (TILE_K * slots * BLOCK));
                    const vec in0_2 = *(__local const vec *)(source + 2 * (TILE_K * slots * BLOCK));
                    const vec in0_3 = *(__local const vec *)(source + 3 * (TILE_K * slots * BLOCK));
                    const vec in1_0 = *(__local const vec *)(source + 4 * (TILE_K * slots * BLOCK));
                    const vec in1_1 = *(__local const vec *)(source + 5 * (TILE_K * slots * BLOCK));
                    const vec in1_2 = *(__local const vec *)(source + 6 * (TILE_K * slots * BLOCK));
                    const vec in1_3 = *(__local const vec *)(source + 7 * (TILE_K * slots * BLOCK));
                    const vec in2_0 = *(__local const vec *)(source + 8 * (TILE_K * slots * BLOCK));
                    const vec in2_1 = *(__local const vec *)(source + 9 * (TILE_K * slots * BLOCK));
                    const vec in2_2 = *(__local const vec *)(source + 10 * (TILE_K * slots * BLOCK));
                    const vec in2_3 = *(__local const vec *)(source + 11 * (TILE_K * slots * BLOCK));
                    const vec in3_0 = *(__local const vec *)(source + 12 * (TILE_K * slots * BLOCK));
                    const vec in3_1 = *(__local const vec *)(source + 13 * (TILE_K * slots * BLOCK));
                    const vec in3_2 = *(__local const vec *)(source + 14 * (TILE_K * slots * BLOCK));
                    const vec in3_3 = *(__local const vec *)(source + 15 * (TILE_K * slots * BLOCK));
                    const vec mid0_0_even1 = in1_0 + in2_0;
                    const vec mid0_0_odd1 = in1_0 - in2_0;
                    const vec mid0_0 = mid0_0_even1 + in0_0;
                    const vec mid1_0 = mid0_0_odd1 + in3_0;
                    const vec mid0_1_even1 = in1_1 + in2_1;
                    const vec mid0_1_odd1 = in1_1 - in2_1;
                    const vec mid0_1 = mid0_1_even1 + in0_1;
                    const vec mid1_1 = mid0_1_odd1 + in3_1;
                    const vec mid0_2_even1 = in1_2 + in2_2;
                    const vec mid0_2_odd1 = in1_2 - in2_2;
                    const vec mid0_2 = mid0_2_even1 + in0_2;
                    const vec mid1_2 = mid0_2_odd1 + in3_2;
                    const vec mid0_3_even1 = in1_3 + in2_3;
                    const vec mid0_3_odd1 = in1_3 - in2_3;
                    const vec mid0_3 = mid0_3_even1 + in0_3;
                    const vec mid1_3 = mid0_3_odd1 + in3_3;
                    const vec out0_0_even1 = mid0_1 + mid0_2;
                    const vec out0_0_odd1 = mid0_1 - mid0_2;
                    const vec out0_0 = out0_0_even1 + mid0_0;
                    const vec out0_1 = out0_0_odd1 + mid0_3;
                    const vec out1_0_even1 = mid1_1 + mid1_2;
                    const vec out1_0_odd1 = mid1_1 - mid1_2;
                    const vec out1_0 = out1_0_even1 + mid1_0;
                    const vec out1_1 = out1_0_odd1 + mid1_3;
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
                    if (first_h + 0 >= wanted_h && first_h + 0 < count_h) {
                        if (first_w + 0 >= wanted_w && first_w + 0 < count_w) {
                            vec value = out0_0;
                            value += offset;
                            value = ACTIVATE(value);
                            *(__global vec *)(target + 0 * DILATION_H * y_row + 0 * DILATION_W * BLOCK) = mask ? value : (vec)(0.0f);
                        }
                        if (first_w + 1 >= wanted_w && first_w + 1 < count_w) {
                            vec value = out0_1;
                            value += offset;
                            value = ACTIVATE(value);
                            *(__global vec *)(target + 0 * DILATION_H * y_row + 1 * DILATION_W * BLOCK) = mask ? value : (vec)(0.0f);
                        }
                    }
                    if (first_h + 1 >= wanted_h && first_h + 1 < count_h) {
                        if (first_w + 0 >= wanted_w && first_w + 0 < count_w) {
                            vec value = out1_0;
                            value += offset;
                            value = ACTIVATE(value);
                            *(__global vec *)(target + 1 * DILATION_H * y_row + 0 * DILATION_W * BLOCK) = mask ? value : (vec)(0.0f);
                        }
                        if (first_w + 1 >= wanted_w && first_w + 1 < count_w) {
                            vec value = out1_1;
                            value += offset;
                            value = ACTIVATE(value);
                            *(__global vec *)(target + 1 * DILATION_H * y_row + 1 * DILATION_W * BLOCK) = mask ? value : (vec)(0.0f);
                        }
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

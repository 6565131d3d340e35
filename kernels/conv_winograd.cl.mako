## conv_winograd.cl.mako -- convolution (or a dense data gradient) by minimal filtering, transforms and products in one kernel.
##
## A tile of OUTPUTS_H x OUTPUTS_W positions needs PRODUCTS = PRODUCTS_H * PRODUCTS_W products a pair of channels, instead of one for every
## position and tap (Lavin and Gray 2016). One work-item takes every workers-th part (a run of neighbouring tiles, over images as well) and
## a slice of the output channels:
##     1. all input channels of its tiles are transformed into `data`, which stays in the caches: products, runs, input blocks, tile of the
##        run, BLOCK;
##     2. for every channel tile (tile_k blocks of output channels) and every product a small matrix product: the sums of a run of `width`
##        (or width - 1) tiles are in registers, the weights of `chunk` input channels stay in the first cache for all runs;
##     3. the sums, in `sums`: products, tile_k, tiles, BLOCK, are transformed to positions; then the epilogue.
## Index space, fastest first:
##     get_global_id(0)  worker
##     get_global_id(1)  group * slices + slice of the channel tiles
##
## A tile that starts at output j starts at input j / WRITE_STRIDE * READ_STRIDE: a strided convolution has READ_STRIDE above 1, its data
## gradient WRITE_STRIDE. A dilated kernel filters each residue of the positions modulo the dilation by itself. The last tiles of an axis are moved back to end
## with it; they store only what no other tile does.
##
## Header constants: BLOCK, TILE_K, WIDTH, OUTPUTS_*, PRODUCTS_*, DILATION_*, READ_STRIDE_*, WRITE_STRIDE_*, CHUNK (input channels, whole blocks), ACTIVATE(v).
## Render arguments: block; tile_k; width; data_maps, output_maps: the transforms B^T and A^T of (rows, columns); tail: the last input block
##     is not full; local_data, local_sums: `data` and `sums` are local memory, not global.
##
## Lesson: without the prefetch the 14 x 14 and 7 x 7 maps, where weights come from memory, take 1.3 times as long.
<%namespace name="common" file="common.cl.mako"/>\
<%!
    from clconv.codegen.linear_map import transform
%>\
<%page args="block, tile_k, width, data_maps, output_maps, tail, local_data, local_sums"/>\
<%
    blocks = range(tile_k)
    outputs = [len(matrix) for matrix in output_maps]
    products = [len(matrix) for matrix in data_maps]
    windows = [len(matrix[0]) for matrix in data_maps]
    space = "__local" if local_data else "__global"
    sums_space = "__local" if local_sums else "__global"
    def lines(matrix, inputs, results, indent):
        return "".join(" " * indent + line + "\n" for line in transform(matrix, inputs, results))
%>\
## Columns and then rows of a plane of `sizes` values: `load(i, j)` and `store(i, j, value)` are C, of a run-time `j` or `i`. Rolled loops: the
## values between lie on the stack either way, and written out they take three times as long to compile.
<%def name="plane_transform(maps, sizes, indent, load, store)">\
<% pad = " " * indent %>\
${pad}vec mid[${len(maps[0]) * sizes[1]}];
${pad}#pragma unroll 1
${pad}for (int j = 0; j < ${sizes[1]}; ++j) {
% for i in range(sizes[0]):
${pad}    const vec in${i} = ${load(i, "j")};
% endfor
${lines(maps[0], [f"in{i}" for i in range(sizes[0])], [f"out{i}" for i in range(len(maps[0]))], indent + 4)}\
% for i in range(len(maps[0])):
${pad}    mid[${i * sizes[1]} + j] = out${i};
% endfor
${pad}}
${pad}#pragma unroll 1
${pad}for (int i = 0; i < ${len(maps[0])}; ++i) {
% for j in range(sizes[1]):
${pad}    const vec in${j} = mid[i * ${sizes[1]} + ${j}];
% endfor
${lines(maps[1], [f"in{j}" for j in range(sizes[1])], [f"out{j}" for j in range(len(maps[1]))], indent + 4)}\
% for j in range(len(maps[1])):
${pad}    ${store("i", j, f"out{j}")};
% endfor
${pad}}
</%def>\
<%def name="axis(name, tile, size, per_phase)">\
<% upper = name.upper() %>\
            const int phase_${name} = ${tile} / ${per_phase};
            const int count_${name} = (${size} - phase_${name} + DILATION_${upper} - 1) / DILATION_${upper};
            const int wanted_${name} = (${tile} - phase_${name} * ${per_phase}) * OUTPUTS_${upper};
            const int first_${name} = min(wanted_${name}, (count_${name} - OUTPUTS_${upper} + WRITE_STRIDE_${upper} - 1) / WRITE_STRIDE_${upper} * WRITE_STRIDE_${upper});
</%def>\
<%def name="products_of_run(count)">\
                    {
                        vec ${", ".join(f"sum{k}_{t}" for k in blocks for t in range(count))};
                        ${sums_space} float *kept = stored + tile * BLOCK;
                        if (first == 0) {
                        % for k in blocks:
                        % for t in range(count):
                            sum${k}_${t} = (vec)(0.0f);
                        % endfor
                        % endfor
                        } else {
                        % for k in blocks:
                        % for t in range(count):
                            sum${k}_${t} = *(${sums_space} const vec *)(kept + ${k} * slots * BLOCK + ${t} * BLOCK);
                        % endfor
                        % endfor
                        }
                        ${space} const float *values = chunk_data + (tile * padded_channels + first * ${count});
                        __global const float *weights = chunk_weights;
                        __global const float *ahead = next_weights + run * lines * 16;
                        for (int b = 0; b < end / BLOCK; ++b) {
                            for (int line = 0; line < lines; ++line)
                                PREFETCH(ahead + line * 16);
                            ahead += TILE_K * BLOCK * BLOCK;
                            #pragma unroll
                            for (int i = 0; i < BLOCK; ++i)
${step(count, "i")}\
                            values += ${count} * BLOCK;
                            weights += TILE_K * BLOCK * BLOCK;
                        }
                        % if tail:
                        for (int i = 0; i < end % BLOCK; ++i)
${step(count, "i")}\
                        % endif
                        % for k in blocks:
                        % for t in range(count):
                        *(${sums_space} vec *)(kept + ${k} * slots * BLOCK + ${t} * BLOCK) = sum${k}_${t};
                        % endfor
                        % endfor
                    }
</%def>\
<%def name="step(count, channel)">\
                            {
                                % for k in blocks:
                                const vec w${k} = *(__global const vec *)(weights + (${channel} * TILE_K + ${k}) * BLOCK);
                                % endfor
                                % for t in range(count):
                                {
                                    const vec value = (vec)(values[${t} * BLOCK + ${channel}]);
                                    % for k in blocks:
                                    sum${k}_${t} += value * w${k};
                                    % endfor
                                }
                                % endfor
                            }
</%def>\
${common.prefetch()}\
__kernel WORK_GROUP
void conv_winograd(
    __global const float *restrict x,         // N, input blocks, rows, columns, BLOCK
    __global const float *restrict w,         // groups, channel tiles, products, channels, tile_k * BLOCK
${common.epilogue_arguments()}\
    __global float *restrict y,               // N, output blocks, rows, columns, BLOCK
    % if local_data:
    __local float *restrict data,
    % else:
    __global float *restrict all_data,        // for every work-item PRODUCTS * product_step
    % endif
    % if local_sums:
    __local float *restrict sums,
    % else:
    __global float *restrict all_sums,        // for every work-item PRODUCTS * TILE_K * slots * BLOCK
    % endif
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
    const int${block} lane = (int${block})(${", ".join(map(str, range(block)))});
    % if not local_data:
    __global float *data = all_data + (get_global_id(1) * get_global_size(0) + get_global_id(0)) * (size_t)(PRODUCTS_H * PRODUCTS_W * product_step);
    % endif
    % if not local_sums:
    __global float *sums = all_sums
        + (get_global_id(1) * get_global_size(0) + get_global_id(0)) * (size_t)(PRODUCTS_H * PRODUCTS_W * TILE_K * BLOCK * slots);
    % endif

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
                ${space} float *target = data + (t - in_run) * padded_channels + (b * run_width + in_run) * BLOCK;
                if (t >= count) {
                    for (int product = 0; product < PRODUCTS_H * PRODUCTS_W; ++product)
                        *(${space} vec *)(target + product * product_step) = (vec)(0.0f);
                    continue;
                }
${axis("h", "tile_h", "out_h", "phase_tiles_h")}\
${axis("w", "tile_w", "out_w", "phase_tiles_w")}\
                __global const float *source = plane + (size_t)image * x_image
                    + (phase_h + first_h / WRITE_STRIDE_H * READ_STRIDE_H * DILATION_H) * x_row
                    + (phase_w + first_w / WRITE_STRIDE_W * READ_STRIDE_W * DILATION_W) * BLOCK;
<%
    def load_data(i, j):
        return f"*(__global const vec *)(source + {i} * DILATION_H * x_row + {j} * DILATION_W * BLOCK)"
    def store_data(i, j, value):
        return f"*({space} vec *)(target + ({i} * PRODUCTS_W + {j}) * product_step) = {value}"
    def load_sum(i, j):
        return f"*({sums_space} const vec *)(source + ({i} * PRODUCTS_W + {j}) * (TILE_K * slots * BLOCK))"
    def store_position(i, j, value):
        return f"positions[{i} * {outputs[1]} + {j}] = {value} + offset"
%>\
${plane_transform(data_maps, windows, 16, load_data, store_data)}\
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
                ${space} const float *chunk_data = data + product * product_step;
                ${sums_space} float *stored = sums + product * (TILE_K * slots * BLOCK);
                for (int first = 0; first < channels; first += CHUNK) {
                    const int end = min(channels - first, CHUNK);
                    __global const float *next_weights = chunk_weights + end * (TILE_K * BLOCK);
                    int tile = 0;
                    for (int run = 0; run < wide; ++run) {
${products_of_run(width)}\
                        tile += WIDTH;
                    }
                    for (int run = wide; run < runs; ++run) {
${products_of_run(width - 1)}\
                        tile += WIDTH - 1;
                    }
                    chunk_weights = next_weights;
                }
            }

            // 3. The transform of the sums, and the epilogue. Lanes that are no channels are stored as zero, whatever the sums.
            for (int k = 0; k < TILE_K && (tile_k * TILE_K + k) * BLOCK < filters; ++k) {
                const int block = tile_k * TILE_K + k;
                const int live = filters - block * BLOCK;
                const int${block} mask = lane < (int${block})(live);
                // The bias has no padding: nothing beyond the last filter may be read.
                float start[BLOCK];
                for (int i = 0; i < BLOCK; ++i)
                    start[i] = has_bias && i < live ? bias[group * filters + block * BLOCK + i] : 0.0f;
                const vec offset = vload${block}(0, start);
                __global float *plane = y + (group * output_blocks + block) * y_plane + y_offset;
                int image = begin / (tiles_h * tiles_w);
                int tile_h = (begin - image * tiles_h * tiles_w) / tiles_w;
                int tile_w = begin - (image * tiles_h + tile_h) * tiles_w;
                for (int t = 0; t < count; ++t) {
                    ${sums_space} const float *source = sums + (k * slots + t) * BLOCK;
                    vec positions[OUTPUTS_H * OUTPUTS_W];
${plane_transform(output_maps, products, 20, load_sum, store_position)}\
${axis("h", "tile_h", "out_h", "phase_tiles_h")}\
${axis("w", "tile_w", "out_w", "phase_tiles_w")}\
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
${common.zero_halo(12)}\
        }
}

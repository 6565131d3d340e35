## conv_blocked.cl.mako -- convolution, or one phase of its data gradient, on channel-blocked tensors, in register tiles.
##
## One work-item computes up to tiles_per_item register tiles with the same weights: tile_h x tile_w output positions times tile_k blocks
## of BLOCK output channels, the sums in vector registers. A step takes one input channel at one kernel tap: tile_k vectors of weights,
## and for every position one input value that multiplies them all. Index space, fastest first:
##     get_global_id(0)  runs of tiles: the weights of a run stay in the second-level cache
##     get_global_id(1)  group * channel tiles + channel tile
##     get_global_id(2)  n
## A row of positions is cut into tiles of tile_w and then of tile_w - 1 columns, so that none is computed twice. Where a kernel stands in that
## was built for other maps, the last tile of a row is moved back, as the last tiles of a column are moved up: they overlap their neighbours,
## so never in place, and never on memory that the residual shares.
##
## Position j of an axis lies at first + j * OUT_STRIDE in the output and sums, for t < TAPS, the input at offset + j * READ_STRIDE +
## t * STEP times the weights of tap tap0 + t * TAP_STEP; x_offset, w_offset and y_offset hold the offset, tap0 and first of both axes.
## A forward pass is one such call, a data gradient one for every residue of the positions modulo the stride.
##
## Header constants: TILE_*, BLOCK, BLOCK_IN (BLOCK, or 1 for an input that is not blocked), KERNEL_*, TAPS_*, STEP_*, TAP_STEP_*,
##     READ_STRIDE_*, OUT_STRIDE_*, STEP_WEIGHTS (weights of one input channel at one tap), UNROLL, ACTIVATE(v); with `packs` LINE (elements
##     of a cache line), LINES (of a filter in a chunk), and those of conv_blocked_pack.cl.mako.
## Render arguments: block; tile_h, tile_w, tile_k; blocked_input; tail: the last input block is not full; empty: no taps; joint: groups
##     share blocks, so that there is one group to the kernel, whose channel tiles each read the range of input blocks that their groups lie
##     in, with weights of zero for what belongs to others; prefetch: fetch the columns of the next tile, 16 floats to a cache line;
##     chunked: all tiles of a work-item use the weights of CHUNK input blocks, which the first-level cache holds, before the next ones, of
##     which every tile prefetches its share. Sums wait in `partial`. For small maps, which else wait for weights from memory;
##     packs: the weights are plain (groups, filters, channels, taps); a work-item brings those of a chunk into its own memory, in the order
##     channels, taps, filters of the tile. For weights that are used once: to pack them apart takes three times the memory traffic.
##
## Lessons: write a += b * w (a call of fma() is not inlined everywhere); write the tile out, arrays of sums go to memory; keep the tap
## loops rolled, or the body outgrows the processor's cache of decoded instructions.
<%namespace name="common" file="common.cl.mako"/>\
<%namespace name="chunks" file="conv_blocked_pack.cl.mako"/>\
<%page args="block, tile_h, tile_w, tile_k, blocked_input, tail, empty, joint, prefetch, chunked, packs"/>\
<%
    from itertools import product
    blocks = range(tile_k)
    # How far apart weights are that follow each other in channels, and in taps.
    channel_step, tap_step = ("KERNEL_H * KERNEL_W * TILE_K", "STEP_WEIGHTS") if packs else ("TILE_K", "STEP_WEIGHTS * BLOCK_IN")
    pointer = "const float *" if packs else "__global const real *"
    weight = (lambda at: f"READ_LANES(taps + {at})") if packs else (lambda at: f"LOADV(taps, {at})")
%>\
<%def name="step(width, channel, tap)">\
                        {
                        % for k in blocks:
                            const vec w${k} = ${weight(f"({channel} * {channel_step} + {k}) * BLOCK")};
                        % endfor
                        % for h in range(tile_h):
                        % for c in range(width):
                            {
                                const vec value = (vec)(LOAD(row${h}, ${tap} + ${c} * READ_STRIDE_W * BLOCK_IN));
                            % for k in blocks:
                                sum${k}_${h}_${c} += value * w${k};
                            % endfor
                            }
                        % endfor
                        % endfor
                        }
</%def>\
<%def name="tap_row()">\
                    ${pointer}taps = weights + r * (TAP_STEP_H * KERNEL_W * ${tap_step});
                % for h in range(tile_h):
                    __global const real *row${h} = source + (r * STEP_H + ${h} * READ_STRIDE_H) * x_row;
                % endfor
</%def>\
<%def name="input_block(width, channels, unroll)">\
                #pragma unroll 1
                for (int r = 0; r < TAPS_H; ++r) {
${tap_row()}\
                % if prefetch:
                % for h in range(tile_h):
                % for value in range(0, width * block, 16):
                    PREFETCH(row${h} + (${width} + TAPS_W - 1) * BLOCK_IN + ${value});
                % endfor
                % endfor
                % endif
                    #pragma unroll 1
                    for (int s = 0; s < TAPS_W; ++s) {
                        % if packs:
                        for (int line = 0; line < lines; ++line, ++ahead)
                            PREFETCH(next + ahead / LINES * length + ahead % LINES * LINE);
                        % elif chunked:
                        for (int line = 0; line < lines; ++line)
                            PREFETCH(ahead + line * 16);
                        ahead += lines * 16;
                        % endif
                        #pragma unroll ${unroll}
                        for (int i = 0; i < ${channels}; ++i)
${step(width, "i", "i")}\
                    % for h in range(tile_h):
                        row${h} += STEP_W * BLOCK_IN;
                    % endfor
                        taps += TAP_STEP_W * ${tap_step};
                    }
                }
</%def>\
<%def name="all_inputs(width)">\
            ${pointer}weights = ${"packed" if packs else "first_weights"}${" + chunk * (KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK)" if chunked and not packs else ""};
            __global const real *source = input + row * READ_STRIDE_H * x_row + column * READ_STRIDE_W * BLOCK_IN${" + chunk * x_plane" if chunked else ""};
            % if packs:
            int ahead = (tile - tile0) * (CHUNK * TAPS_H * TAPS_W) * lines;
            % elif chunked:
            __global const real *ahead = weights + CHUNK * (KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK) + (tile - tile0) * (CHUNK * TAPS_H * TAPS_W) * lines * 16;
            % endif
            % if blocked_input:
            for (int b = 0; b < ${"live_inputs" if joint else "min(CHUNK, channels / BLOCK - chunk)" if chunked else "channels / BLOCK"}; ++b) {
${input_block(width, "BLOCK", "UNROLL")}\
                source += x_plane;
                weights += KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK;
            }
            % if tail:
            ${"if (last) " if chunked else ""}{
                const int rest = channels % BLOCK;
${input_block(width, "rest", 1)}\
            }
            % endif
            % else:
            for (int b = 0; b < channels; ++b) {
                #pragma unroll 1
                for (int r = 0; r < TAPS_H; ++r) {
${tap_row()}\
                    #pragma unroll UNROLL
                    for (int s = 0; s < TAPS_W; ++s)
${step(width, "s * TAP_STEP_W", "s * STEP_W")}\
                }
                source += x_plane;
                weights += KERNEL_H * KERNEL_W * STEP_WEIGHTS;
            }
            % endif
</%def>\
<%def name="register_tile(width)">\
            // ${tile_h} x ${width} positions
            % for h in range(tile_h):
            % for c in range(width):
            vec ${", ".join(f"sum{k}_{h}_{c} = start{k}" for k in blocks)};
            % endfor
            % endfor
            % if chunked:
            vec *kept = partial + (tile - tile0) * (TILE_H * TILE_W * TILE_K);
            if (chunk > 0) {
            % for i, (k, h, c) in enumerate(product(blocks, range(tile_h), range(width))):
                sum${k}_${h}_${c} = kept[${i}];
            % endfor
            }
            % endif
            % if not empty:
${all_inputs(width)}\
            % endif
            % if chunked:
            if (!last) {
            % for i, (k, h, c) in enumerate(product(blocks, range(tile_h), range(width))):
                kept[${i}] = sum${k}_${h}_${c};
            % endfor
                continue;
            }
            % endif
            __global real *stored = output + row * OUT_STRIDE_H * y_row + column * (OUT_STRIDE_W * BLOCK);
            __global const real *more = added + row * OUT_STRIDE_H * residual_row + column * (OUT_STRIDE_W * BLOCK);
            % for k in blocks:
            if (live${k} > 0) {
                if (has_residual) {
                % for h in range(tile_h):
                % for c in range(width):
                    sum${k}_${h}_${c} += LOADV(more, ${k} * residual_plane + ${h} * OUT_STRIDE_H * residual_row + ${c} * OUT_STRIDE_W * BLOCK);
                % endfor
                % endfor
                }
            % for h in range(tile_h):
            % for c in range(width):
                STOREV(stored, ${k} * y_plane + ${h} * OUT_STRIDE_H * y_row + ${c} * OUT_STRIDE_W * BLOCK,
                    mask${k} ? ACTIVATE(sum${k}_${h}_${c}) : (vec)(0.0f));
            % endfor
            % endfor
            }
            % endfor
</%def>\
% if prefetch or chunked:
${common.prefetch()}\
% endif
__kernel WORK_GROUP
void conv_blocked(
    __global const real *restrict x,         // N, input blocks, rows, columns, BLOCK_IN
    __global const real *restrict w,         // ${"groups * filters, channels, KERNEL_H, KERNEL_W" if packs else "groups, channel tiles, input blocks, KERNEL_H, KERNEL_W, BLOCK_IN, tile_k * BLOCK"}
${common.epilogue_arguments()}\
    __global real *restrict y,               // N, output blocks, rows, columns, BLOCK
    const int x_image, const int x_plane, const int x_row, const int x_offset,
    const int w_offset,
    const int y_image, const int y_plane, const int y_row, const int y_offset,
    % if joint:
    const int group_channels, const int group_filters,
    % endif
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
    % if joint:
    const int last_group = (min((block0 + TILE_K) * BLOCK, filters) - 1) / group_filters;
    const int first_input = block0 * BLOCK / group_filters * group_channels / BLOCK;
    const int live_inputs = ((last_group + 1) * group_channels - 1) / BLOCK + 1 - first_input;
    % endif
    const int${block} lane = (int${block})(${", ".join(map(str, range(block)))});

    __global const real *input = x + image * x_image + ${"first_input" if joint else "group * input_blocks"} * x_plane + x_offset;
    % if packs:
    const int length = channels * (KERNEL_H * KERNEL_W);
    __global const real *first_weights = w + (size_t)(group * filters + block0 * BLOCK) * length;
    % else:
    __global const real *first_weights = w + get_global_id(1) * (size_t)(input_blocks * (KERNEL_H * KERNEL_W * STEP_WEIGHTS * BLOCK_IN)) + w_offset;
    % endif
    __global real *output = y + image * y_image + y_block0 * y_plane + y_offset;
    __global const real *added = residual + image * residual_image + y_block0 * residual_plane + residual_offset;

    // Lanes of an output block that are channels; the others are stored as zero, whatever the sums, so that NaN stays out of them.
    % for k in blocks:
    const int live${k} = filters - (block0 + ${k}) * BLOCK;
    const int${block} mask${k} = lane < (int${block})(live${k});
    % endfor
    // The bias has no padding: nothing beyond the last filter may be read.
    float start[TILE_K * BLOCK];
    for (int i = 0; i < TILE_K * BLOCK; ++i)
        start[i] = has_bias && block0 * BLOCK + i < filters ? LOAD(bias, group * filters + block0 * BLOCK + i) : 0.0f;
    % for k in blocks:
    const vec start${k} = vload${block}(${k}, start);
    % endfor

    % if chunked:
    vec partial[PARTIAL_SUMS / BLOCK];
    % if packs:
    float packed[CHUNK * BLOCK * KERNEL_H * KERNEL_W * STEP_WEIGHTS];
    const int steps = (tile_end - tile0) * (CHUNK * TAPS_H * TAPS_W);
    const int lines = (STEP_WEIGHTS * LINES + steps - 1) / steps;   // cache lines to prefetch in each
    % else:
    const int lines = (TILE_K * BLOCK * BLOCK / 16 + tile_end - tile0 - 1) / (tile_end - tile0);
    % endif
    for (int chunk = 0; chunk < input_blocks; chunk += CHUNK) {
    const int last = chunk + CHUNK >= input_blocks;
    % if packs:
    __global const real *plain = first_weights + chunk * (BLOCK * KERNEL_H * KERNEL_W);
    __global const real *next = last ? first_weights + STEP_WEIGHTS * length : plain + CHUNK * BLOCK * KERNEL_H * KERNEL_W;
    const int elements = min(CHUNK * BLOCK, channels - chunk * BLOCK) * (KERNEL_H * KERNEL_W), live = filters - block0 * BLOCK;
${chunks.pack(block)}\
    % endif
    % endif
    for (int tile = tile0; tile < tile_end; ++tile) {
        const int tile_row = tile / tiles_in_row;
        const int tile_column = tile - tile_row * tiles_in_row;
        const int row = min(tile_row * TILE_H, out_h - TILE_H);
        const int narrow = tile_column < wide ? 0 : 1;
        const int column = min(tile_column * TILE_W - max(0, tile_column - wide), out_w - TILE_W + narrow);
        if (!narrow) {
${register_tile(tile_w)}\
        } else {
${register_tile(tile_w - 1)}\
        }
    }
    % if chunked:
    }
    % endif

    // The item with the first tile also zeroes the halo of its planes.
    if (writes_halo && tile0 == 0) {
        for (int k = 0; k < TILE_K && (block0 + k) * BLOCK < filters; ++k) {
            __global real *plane = y + image * y_image + (y_block0 + k) * y_plane + y_first;
${common.zero_halo(12)}\
        }
    }
}

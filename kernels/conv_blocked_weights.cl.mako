## conv_blocked_weights.cl.mako -- the gradient of a convolution with respect to its weights, on channel-blocked tensors.
##
##     dw[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] x[n, c, p STRIDE_H + r DILATION_H, q STRIDE_W + s DILATION_W]
## where x is counted with its padding.
##
## conv_weights_partial: one work-item sums over a range of units (some rows of one image) for one tile of tile_k blocks of output
## channels and a run of input blocks. For each kernel row it holds tile_k x tile_c x (up to) tile_s vectors of sums in registers: output
## blocks, input channels, kernel columns. A step is one output position: tile_k vectors of dy, and for each input value one broadcast
## and tile_k multiply-adds. Between units the sums live in the item's own part of `partial`, which stays in the first cache. Index space,
## fastest first:
##     get_global_id(0)  run of input blocks of a group
##     get_global_id(1)  group * k_tiles + tile of output blocks
##     get_global_id(2)  split of the units
##
## conv_weights_sum: one work-item adds the splits of one (output tile, input block) and writes them in the plain layout. Index space:
##     get_global_id(0)  input block of a group
##     get_global_id(1)  group * k_tiles + tile of output blocks
##
## partial: splits, groups * k_tiles, channel_blocks, KERNEL_H, KERNEL_W, X_BLOCK, tile_k * BLOCK   (float)
## Header constants: BLOCK, X_BLOCK (BLOCK, or 1 for an input of few channels), KERNEL_*, STRIDE_*, DILATION_*, TILE_K = tile_k * BLOCK.
## Render arguments: kernel, the one of the two to render ("partial" or "sum"); for the first tile_k, tile_c, and column_tiles: (first
##     kernel column, how many) of each register tile; for the second block.
##
## Lessons: write a += b * w, never fma(); write the tile out, arrays of sums go to memory.
<%page args="kernel, block=0, tile_k=0, tile_c=0, column_tiles=()"/>\
<%
    blocks = range(tile_k)
    channels = range(tile_c)
%>\
% if kernel == "partial":
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
    const int filter_block = ((int)get_global_id(1) - group * k_tiles) * ${tile_k};
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
        % for k in blocks:
        __global const real *gradient${k} = gradient + min(filter_block + ${k}, filter_blocks - 1) * dy_plane;
        % endfor
        for (int block = first_block; block < end_block; ++block) {
            __global const real *input = x + (size_t)image * x_image + x_offset + (group * channel_blocks + block) * x_plane;
            for (int r = 0; r < KERNEL_H; ++r) {
            % for first, count in column_tiles:
                for (int channel = 0; channel < X_BLOCK; channel += ${tile_c}) {
                    const int column = (block * KERNEL_H + r) * KERNEL_W + ${first};
                    __global float *sums = slab + ((size_t)column * X_BLOCK + channel) * TILE_K;
                    % for s in range(count):
                    % for c in channels:
                    vec ${", ".join(f"sum{k}_{c}_{s} = 0.0f" for k in blocks)};
                    % endfor
                    % endfor
                    if (unit != begin_unit) {
                    % for s in range(count):
                    % for c in channels:
                    % for k in blocks:
                        sum${k}_${c}_${s} = *(__global const vec *)(sums + (${s} * X_BLOCK + ${c}) * TILE_K + ${k} * BLOCK);
                    % endfor
                    % endfor
                    % endfor
                    }
                    for (int p = p0; p < p1; ++p) {
                        __global const real *seen = input + (p * STRIDE_H + r * DILATION_H) * x_row
                            + ${first} * DILATION_W * X_BLOCK + channel;
                        % for k in blocks:
                        __global const real *row${k} = gradient${k} + p * dy_row;
                        % endfor
                        for (int q = 0; q < q_count; ++q) {
                            % for k in blocks:
                            const vec dy${k} = LOADV(row${k}, q * BLOCK);
                            % endfor
                            __global const real *at = seen + q * (STRIDE_W * X_BLOCK);
                            % for s in range(count):
                            % for c in channels:
                            {
                                const vec value = (vec)(LOAD(at, ${s} * DILATION_W * X_BLOCK + ${c}));
                                % for k in blocks:
                                sum${k}_${c}_${s} += value * dy${k};
                                % endfor
                            }
                            % endfor
                            % endfor
                        }
                    }
                    % for s in range(count):
                    % for c in channels:
                    % for k in blocks:
                    *(__global vec *)(sums + (${s} * X_BLOCK + ${c}) * TILE_K + ${k} * BLOCK) = sum${k}_${c}_${s};
                    % endfor
                    % endfor
                    % endfor
                }
            % endfor
            }
        }
    }
}
% else:
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
                vstore${block}(sum, 0, lanes);
                for (int lane = 0; lane < filter_count; ++lane)
                    STORE(out, (size_t)lane * channels * taps + tap, lanes[lane]);
            }
        }
    }
}
% endif

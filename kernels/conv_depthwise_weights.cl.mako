## conv_depthwise_weights.cl.mako -- the gradient with respect to its weights of a convolution within the lanes of channel-blocked tensors.
##
##     dw[k, j, r, s] = sum over n, p, q of dy[n, k, p, q] x[n, channel j of k's group, p STRIDE_H + r DILATION_H, q STRIDE_W + s DILATION_W]
## where x is counted with its padding.
##
## depthwise_weights_partial: one work-item sums over a range of output rows, counted through all images, of one channel block. It holds
## (up to) tile_r x tile_s x GROUP vectors of sums in registers: kernel rows, kernel columns, channels of a group. For larger kernels it
## goes through its rows several times. Index space, fastest first:
##     get_global_id(0)  channel block
##     get_global_id(1)  split of the rows
## depthwise_weights_sum: one work-item adds the splits of one channel block and writes them in the plain layout. Index space:
##     get_global_id(0)  channel block
##
## partial: splits, channel blocks, KERNEL_H, KERNEL_W, GROUP, BLOCK   (float)
## Header constants: BLOCK, GROUP, KERNEL_*; for the first kernel STRIDE_*, DILATION_*.
## Render arguments: kernel, the one of the two to render ("partial" or "sum"), block; for the first turns: for each channel of a group the
##     components that bring it to all lanes of its group; columns: (first kernel column, how many) of each tile; tile_r, and rest_r, the
##     kernel rows that are left over.
<%page args="kernel, block, turns=(), columns=(), tile_r=0, rest_r=0"/>\
<%def name="tile(rows, first, count)">\
        {
            % for r in range(rows):
            % for s in range(count):
            vec ${", ".join(f"sum{r}_{s}_{j} = (vec)(0.0f)" for j in range(len(turns)))};
            % endfor
            % endfor
            for (int unit = begin; unit < end; ++unit) {
                const int image = unit / p_count;
                const int p = unit - image * p_count;
                __global const real *gradient = dy_plane0 + (size_t)image * dy_image + p * dy_row;
                __global const real *seen = x_plane0 + (size_t)image * x_image + (p * STRIDE_H + r0 * DILATION_H) * x_row + ${first} * DILATION_W * BLOCK;
                for (int q = 0; q < q_count; ++q) {
                    const vec dy_value = LOADV(gradient, q * BLOCK);
                    % for r in range(rows):
                    % for s in range(count):
                    {
                        const vec value = LOADV(seen, ${r} * DILATION_H * x_row + (q * STRIDE_W + ${s} * DILATION_W) * BLOCK);
                        % for j, turn in enumerate(turns):
                        sum${r}_${s}_${j} += value${turn} * dy_value;
                        % endfor
                    }
                    % endfor
                    % endfor
                }
            }
            % for r in range(rows):
            __global float *to${r} = slab + ((r0 + ${r}) * KERNEL_W + ${first}) * (GROUP * BLOCK);
            % for s in range(count):
            % for j in range(len(turns)):
            *(__global vec *)(to${r} + ${s * len(turns) + j} * BLOCK) = sum${r}_${s}_${j};
            % endfor
            % endfor
            % endfor
        }
</%def>\
% if kernel == "partial":
__kernel WORK_GROUP
void depthwise_weights_partial(
    __global const real *restrict x,    // N, channel blocks, rows, columns, BLOCK
    __global const real *restrict dy,   // N, channel blocks, P, Q, BLOCK
    __global float *restrict partial,
    const int x_offset, const int x_image, const int x_plane, const int x_row,
    const int dy_offset, const int dy_image, const int dy_plane, const int dy_row,
    const int p_count, const int q_count,   // size of an output plane
    const int units, const int splits)      // output rows of all images, and into how many parts they are split
{
    const int block = (int)get_global_id(0);
    const int split = (int)get_global_id(1);
    const int begin = (int)((long)split * units / splits);
    const int end = (int)((long)(split + 1) * units / splits);
    __global const real *x_plane0 = x + block * x_plane + x_offset;
    __global const real *dy_plane0 = dy + block * dy_plane + dy_offset;
    __global float *slab = partial + ((size_t)split * get_global_size(0) + block) * (KERNEL_H * KERNEL_W * GROUP * BLOCK);

    % for first, count in columns:
    for (int r0 = 0; r0 + ${tile_r} <= KERNEL_H; r0 += ${tile_r})
${tile(tile_r, first, count)}\
    % if rest_r:
    {
        const int r0 = KERNEL_H - ${rest_r};
${tile(rest_r, first, count)}\
    }
    % endif
    % endfor
}
% else:
__kernel WORK_GROUP
void depthwise_weights_sum(
    __global const float *restrict partial,
    __global real *restrict dw,   // channels, GROUP, kernel rows and columns
    const int channels, const int splits)
{
    const int block = (int)get_global_id(0);
    const int lanes = min(BLOCK, channels - block * BLOCK);
    const size_t slab = get_global_size(0) * (KERNEL_H * KERNEL_W * GROUP * BLOCK);
    __global const float *first = partial + (size_t)block * (KERNEL_H * KERNEL_W * GROUP * BLOCK);
    __global real *out = dw + (size_t)block * BLOCK * (GROUP * KERNEL_H * KERNEL_W);

    for (int tap = 0; tap < KERNEL_H * KERNEL_W; ++tap)
        for (int j = 0; j < GROUP; ++j) {
            __global const float *terms = first + (tap * GROUP + j) * BLOCK;
            vec sum = *(__global const vec *)terms;
            for (int split = 1; split < splits; ++split)
                sum += *(__global const vec *)(terms + split * slab);
            float sums[BLOCK];
            vstore${block}(sum, 0, sums);
            for (int lane = 0; lane < lanes; ++lane)
                STORE(out, (lane * GROUP + j) * (KERNEL_H * KERNEL_W) + tap, sums[lane]);
        }
}
% endif

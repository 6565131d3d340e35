## conv_depthwise.cl.mako -- convolution within the lanes of channel-blocked tensors, or one phase of its data gradient: depthwise, or in
## groups of GROUP channels of which several fill a block.
##
## One work-item computes some rows of one plane of blocks, in register tiles of TILE_W output positions; the last tile of a row is moved
## up and overlaps its neighbour: never in place, and never on memory that the residual shares. Index space, fastest first:
##     get_global_id(0)  run of rows
##     get_global_id(1)  channel block
##     get_global_id(2)  n
## Position j of an axis lies at first + j * OUT_STRIDE in the output and sums, for t < TAPS, the input at offset + j * READ_STRIDE +
## t * STEP times the weights of tap tap0 + t * TAP_STEP; x_offset, w_offset and y_offset hold the offset, tap0 and first of both axes.
##
## Header constants: BLOCK, TILE_W, GROUP, KERNEL_*, TAPS_*, STEP_*, TAP_STEP_*, READ_STRIDE_*, OUT_STRIDE_*, ACTIVATE(v).
## Render arguments: block, tile_w; turns: for each channel of a group the components that bring it to all lanes of its group; parts: the
##     kernel columns in runs, with the input columns that each reads and who uses them (Part), none without taps.
##
## Lessons: an input column is loaded once and used at once by all positions: fewer loads than multiply-adds, and few live registers.
<%page args="block, tile_w, turns, parts, looped"/>\
<%namespace name="common" file="common.cl.mako"/>\
<% positions = range(tile_w) %>\
<%def name="kernel_row(part)">\
                {
                    __global const real *seen = source + r * (STEP_H * x_row) + ${'s' if looped else part.first} * STEP_W * BLOCK;
                    __global const real *taps = weights + r * (TAP_STEP_H * KERNEL_W * GROUP * BLOCK) + ${'s' if looped else part.first} * TAP_STEP_W * GROUP * BLOCK;
                    % for tap in range(part.taps):
                    % for j, turn in enumerate(turns):
                    const vec w${tap}_${j} = LOADV(taps, (${tap} * TAP_STEP_W * GROUP + ${j}) * BLOCK);
                    % endfor
                    % endfor
                    % for column, uses in part.reads:
                    {
                        const vec value = LOADV(seen, ${column} * BLOCK);
                        % for j, turn in enumerate(turns):
                        % for position, tap in uses:
                        sum${position} += value${turn} * w${tap}_${j};
                        % endfor
                        % endfor
                    }
                    % endfor
                }
</%def>\
__kernel WORK_GROUP
void conv_depthwise(
    __global const real *restrict x,         // N, channel blocks, rows, columns, BLOCK
    __global const real *restrict w,         // channel blocks, KERNEL_H, KERNEL_W, GROUP, BLOCK
${common.epilogue_arguments()}\
    __global real *restrict y,               // N, channel blocks, rows, columns, BLOCK
    const int x_image, const int x_plane, const int x_row, const int x_offset,
    const int w_offset,
    const int y_image, const int y_plane, const int y_row, const int y_offset,
    const int channels,
    const int out_h, const int out_w,        // rows and columns of output positions
    const int rows_per_item,
${common.halo_arguments()}\
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
    const int${block} mask = (int${block})(${", ".join(map(str, range(block)))}) < (int${block})(live);
    // The bias has no padding: nothing beyond the last channel may be read.
    float start_lanes[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane)
        start_lanes[lane] = has_bias && lane < live ? LOAD(bias, block * BLOCK + lane) : 0.0f;
    const vec start = vload${block}(0, start_lanes);

    for (int row = row0; row < row1; ++row) {
        for (int first = 0; first < out_w; first += TILE_W) {
            const int column = min(first, out_w - TILE_W);
            vec ${", ".join(f"sum{i} = start" for i in positions)};
            % if parts:
            __global const real *source = input + row * READ_STRIDE_H * x_row + column * READ_STRIDE_W * BLOCK;
            for (int r = 0; r < TAPS_H; ++r) {
                % if looped:
                #pragma unroll 1
                for (int s = 0; s < TAPS_W; ++s)
                % endif
                % for part in parts:
${kernel_row(part)}\
                % endfor
            }
            % endif
            __global real *stored = output + row * OUT_STRIDE_H * y_row + column * (OUT_STRIDE_W * BLOCK);
            __global const real *more = added + row * OUT_STRIDE_H * residual_row + column * (OUT_STRIDE_W * BLOCK);
            if (has_residual) {
                % for i in positions:
                sum${i} += LOADV(more, ${i} * OUT_STRIDE_W * BLOCK);
                % endfor
            }
            % for i in positions:
            sum${i} = ACTIVATE(sum${i});
            STOREV(stored, ${i} * OUT_STRIDE_W * BLOCK, mask ? sum${i} : (vec)(0.0f));
            % endfor
        }
    }

    // Every item zeroes the halo beside its own part of the plane, which its core has at hand; the first and the last that above and below.
    if (writes_halo) {
        __global real *plane = y + image * y_image + block * y_plane + y_first;
        const int begin = row0 == 0 ? 0 : y_top + (int)((long)row0 * y_h / out_h);
        const int end = row1 == out_h ? y_rows : y_top + (int)((long)row1 * y_h / out_h);
${common.zero_halo(8, "begin", "end")}\
    }
}

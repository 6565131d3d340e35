## shuffle_blocked.cl.mako -- channels of channel-blocked tensors dealt out in turns: y[c] = x[c % groups * (channels / groups) + c / groups].
##
## One work-item writes some rows of one plane of blocks, each lane from a channel of its own. Index space, fastest first:
##     get_global_id(0)  run of rows
##     get_global_id(1)  channel block of y
##     get_global_id(2)  image
## Lanes beyond the last channel and the halo of y are written as zero.
##
## Header constants: BLOCK, ZERO_RUN(p, n).   Render arguments: block.
<%page args="block"/>\
__kernel WORK_GROUP
void shuffle_blocked(
    __global const real *restrict x,   // N, channel blocks, H, W, BLOCK
    const int x_offset, const int x_image, const int x_plane, const int x_row,
    __global real *restrict y,         // as x
    const int y_offset, const int y_image, const int y_plane, const int y_row,
    const int y_above, const int y_below, const int y_left, const int y_right,   // elements of halo
    const int channels, const int groups,
    const int h, const int w,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, h);
    const int block = (int)get_global_id(1);
    __global const real *input = x + get_global_id(2) * x_image + x_offset;
    __global real *output = y + get_global_id(2) * y_image + block * y_plane + y_offset;
    const int${block} live = (int${block})(${", ".join(map(str, range(block)))}) < (int${block})(channels - block * BLOCK);
    int lanes[BLOCK];   // where each begins
    for (int lane = 0; lane < BLOCK; ++lane) {
        const int channel = min(block * BLOCK + lane, channels - 1);
        const int taken = channel % groups * (channels / groups) + channel / groups;
        lanes[lane] = taken / BLOCK * x_plane + taken % BLOCK;
    }
    % for lane in range(block):
    const int lane${lane} = lanes[${lane}];
    % endfor

    if (row0 == 0) ZERO_RUN(output - y_above - y_left, y_above);
    for (int row = row0; row < row1; ++row) {
        __global real *out = output + row * y_row;
        ZERO_RUN(out - y_left, y_left);
        for (int column = 0; column < w; ++column) {
            __global const real *in = input + row * x_row + column * BLOCK;
            const vec value = (vec)(${", ".join(f"LOAD(in, lane{lane})" for lane in range(block))});
            STOREV(out, column * BLOCK, live ? value : (vec)(0.0f));
        }
        ZERO_RUN(out + w * BLOCK, y_right);
    }
    if (row1 == h) ZERO_RUN(output + h * y_row - y_left, y_below);
}

// shuffle_blocked
#define BLOCK 8
#define ZERO_RUN(p, n) for (int z_ = 0; z_ < (n); ++z_) STORE((p), z_, 0.0f)
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define shuffle_blocked shuffle_blocked_5acef7467bb1

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
    const int8 live = (int8)(0, 1, 2, 3, 4, 5, 6, 7) < (int8)(channels - block * BLOCK);
    int lanes[BLOCK];   // where each begins
    for (int lane = 0; lane < BLOCK; ++lane) {
        const int channel = min(block * BLOCK + lane, channels - 1);
        const int taken = channel % groups * (channels / groups) + channel / groups;
        lanes[lane] = taken / BLOCK * x_plane + taken % BLOCK;
    }
    const int lane0 = lanes[0];
    const int lane1 = lanes[1];
    const int lane2 = lanes[2];
    const int lane3 = lanes[3];
    const int lane4 = lanes[4];
    const int lane5 = lanes[5];
    const int lane6 = lanes[6];
    const int lane7 = lanes[7];

    if (row0 == 0) ZERO_RUN(output - y_above - y_left, y_above);
    for (int row = row0; row < row1; ++row) {
        __global real *out = output + row * y_row;
        ZERO_RUN(out - y_left, y_left);
        for (int column = 0; column < w; ++column) {
            __global const real *in = input + row * x_row + column * BLOCK;
            const vec value = (vec)(LOAD(in, lane0), LOAD(in, lane1), LOAD(in, lane2), LOAD(in, lane3), LOAD(in, lane4), LOAD(in, lane5), LOAD(in, lane6), LOAD(in, lane7));
            STOREV(out, column * BLOCK, live ? value : (vec)(0.0f));
        }
        ZERO_RUN(out + w * BLOCK, y_right);
    }
    if (row1 == h) ZERO_RUN(output + h * y_row - y_left, y_below);
}

#undef BLOCK
#undef ZERO_RUN
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef shuffle_blocked

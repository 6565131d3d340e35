// reorder_blocked
#define BLOCK 8
#define X_STEP 1
#define Y_STEP 1
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define reorder_blocked reorder_blocked_b6f9688d8398

__kernel WORK_GROUP
void reorder_blocked(
    __global const half *restrict x_data,
    const int x_offset, const int x_image, const int x_plane, const int x_row, const int x_column,
    __global float *restrict y_data,
    const int y_offset, const int y_image, const int y_plane, const int y_row, const int y_column,
    const int y_above, const int y_below, const int y_left, const int y_right,   // elements of halo
    const int channels,
    const int positions,          // of a plane
    const int row_count, const int width,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, row_count);
    const int block = (int)get_global_id(1);
    const long image = get_global_id(2);   // strides of a view may be negative
    const long x_block = (long)block * x_plane;
    const long y_block = (long)block * y_plane * BLOCK;
    __global const half *source = x_data + x_offset + image * x_image + x_block;
    __global float *target = y_data + y_offset + image * y_image + y_block;
    const int lanes = min(BLOCK, channels - block * BLOCK);
    for (int lane = 0; lane < lanes; ++lane, target += y_plane) {
    if (row0 == 0)
        for (int i = -y_above - y_left; i < -y_left; ++i) target[i] = (float)0;
    for (int row = row0; row < row1; ++row) {
        const int count = min(width, positions - row * width);
        __global const half *from = source + row * x_row;
        __global float *to = target + row * y_row;
        for (int i = -y_left; i < 0; ++i) to[i] = (float)0;
        for (int column = 0; column < count; ++column) {
            const float element = vload_half(column * BLOCK + lane, from);
            to[column * Y_STEP] = element;
        }
        for (int i = count; i < count + y_right; ++i) to[i] = (float)0;
    }
    if (row1 == row_count)
        for (int i = row_count * y_row - y_left; i < row_count * y_row + y_below - y_left; ++i) target[i] = (float)0;
    }
}

#undef BLOCK
#undef X_STEP
#undef Y_STEP
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef reorder_blocked

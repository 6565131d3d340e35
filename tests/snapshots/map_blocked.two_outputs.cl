// map_blocked
#define BLOCK 8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define map_blocked map_blocked_0a2f035b7379

__kernel WORK_GROUP
void map_blocked(
    __global const float *x0_data,
    const int x0_offset, const int x0_image, const int x0_plane, const int x0_row,
    __global const float *x1_data,
    const int x1_image, const int x1_channel,
    __global float *y0_data,
    const int y0_offset, const int y0_image, const int y0_plane, const int y0_row,
    const int y0_above, const int y0_below, const int y0_left, const int y0_right,   // elements of halo
    __global float *y1_data,
    const int y1_offset, const int y1_image, const int y1_plane, const int y1_row,
    const int y1_above, const int y1_below, const int y1_left, const int y1_right,   // elements of halo
    const int channels,
    const int positions,          // of a plane
    const int row_count, const int width,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, row_count);
    const int block = (int)get_global_id(1);
    const int image = (int)get_global_id(2);
    const int lanes = min(BLOCK, channels - block * BLOCK);
    __global const float *x0_plane0 = x0_data + (size_t)image * x0_image
        + block * x0_plane + x0_offset;
    float x1_lane[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane) {
        const int at = image * x1_image + (block * BLOCK + min(lane, lanes - 1)) * x1_channel;
        x1_lane[lane] = x1_data[at];
    }
    __global float *y0_plane0 = y0_data + (size_t)image * y0_image + block * y0_plane + y0_offset;
    if (row0 == 0)
        for (int i = -y0_above - y0_left; i < -y0_left; ++i)
            y0_plane0[i] = 0.0f;
    __global float *y1_plane0 = y1_data + (size_t)image * y1_image + block * y1_plane + y1_offset;
    if (row0 == 0)
        for (int i = -y1_above - y1_left; i < -y1_left; ++i)
            y1_plane0[i] = 0.0f;
    for (int row = row0; row < row1; ++row) {
        const int count = min(width, positions - row * width);
        __global const float *x0_at = x0_plane0 + row * x0_row;
        __global float *y0_at = y0_plane0 + row * y0_row;
        for (int i = -y0_left; i < 0; ++i)
            y0_at[i] = 0.0f;
        __global float *y1_at = y1_plane0 + row * y1_row;
        for (int i = -y1_left; i < 0; ++i)
            y1_at[i] = 0.0f;
        for (int column = 0; column < count; ++column) {
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)   // in place is safe: see above
#endif
            for (int lane = 0; lane < BLOCK; ++lane) {
                const uint index = (uint)(image * channels + block * BLOCK + lane) * (uint)positions + (uint)(row * width + column);
                const float x0 = x0_at[column * BLOCK + lane];
                const float x1 = x1_lane[lane];
                const float t0 = x0 * x1;
                const float y0 = t0 < 0.0f ? 0.0f : t0;
                const float y1 = (float)index;
                y0_at[column * BLOCK + lane] = lane < lanes ? y0 : 0.0f;
                y1_at[column * BLOCK + lane] = lane < lanes ? y1 : 0.0f;
            }
        }
        for (int i = width * BLOCK; i < width * BLOCK + y0_right; ++i)
            y0_at[i] = 0.0f;
        for (int i = width * BLOCK; i < width * BLOCK + y1_right; ++i)
            y1_at[i] = 0.0f;
    }
    if (row1 == row_count)
        for (int i = -y0_left; i < y0_below - y0_left; ++i)
            y0_plane0[row_count * y0_row + i] = 0.0f;
    if (row1 == row_count)
        for (int i = -y1_left; i < y1_below - y1_left; ++i)
            y1_plane0[row_count * y1_row + i] = 0.0f;
}

#undef BLOCK
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef map_blocked

// reorder_strided
#define TILE_COLUMNS 8
#define TILE_ROWS 32
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define reorder_strided reorder_strided_ba3df659c95d

__kernel WORK_GROUP void reorder_strided(
    __global const float *restrict x_data,
    const int x_offset,
    const int x_stride0,
    const int x_stride1,
    const int x_stride2,
    const int x_across,
    const int x_step,
    __global float *restrict y_data,
    const int y_stride0,
    const int y_stride1,
    const int y_stride2,
    const int y_across,
    const int extent1,
    const int extent2,
    const int line_count,
    const int line_blocks,
    const uint item_count,
    const int column_count,
    const int columns_per_item,
    const uint column_chunks)
{
    const uint item = get_global_id(0);
    if (item >= item_count) return;
    const int begin = (int)(item % column_chunks) * columns_per_item;
    const int end = begin + min(columns_per_item, column_count - begin);
    const int line_begin = (int)(item / column_chunks) % line_blocks * TILE_ROWS;
    const int line_end = min(line_begin + TILE_ROWS, line_count);
    int position2 = (int)(item / column_chunks) / line_blocks;
    int position1 = position2 / extent2;
    position2 %= extent2;
    int position0 = position1 / extent1;
    position1 %= extent1;

    __global const float *x_row = x_data + x_offset + position0 * x_stride0 + position1 * x_stride1 + position2 * x_stride2;
    __global float *y_row = y_data + position0 * y_stride0 + position1 * y_stride1 + position2 * y_stride2;
    for (int first = begin; first < end; first += TILE_COLUMNS) {
        if (first + TILE_COLUMNS <= end) {
            for (int line = line_begin; line < line_end; ++line) {
                #pragma unroll
                for (int i = 0; i < TILE_COLUMNS; ++i) {
                    const float v = (x_row + line * x_across)[(first + i) * x_step];
                    (y_row + line * y_across)[first + i] = v;
                }
            }
        } else {
            for (int line = line_begin; line < line_end; ++line) {
                for (int column = first; column < end; ++column) {
                    const float v = (x_row + line * x_across)[(column) * x_step];
                    (y_row + line * y_across)[column] = v;
                }
            }
        }
    }
}

#undef TILE_COLUMNS
#undef TILE_ROWS
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef reorder_strided

// reorder_strided
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define reorder_strided reorder_strided_3201a9458bf7

__kernel WORK_GROUP void reorder_strided(
    __global const float *restrict x_data,
    const int x_offset,
    const int x_stride0,
    const int x_stride1,
    const int x_stride2,
    const int x_step,
    __global float *restrict y_data,
    const int y_stride0,
    const int y_stride1,
    const int y_stride2,
    const int extent1,
    const int extent2,
    const int row_count,
    const int rows_per_item,
    const uint item_count,
    const int column_count,
    const int columns_per_item,
    const uint column_chunks)
{
    const uint item = get_global_id(0);
    if (item >= item_count) return;
    const int begin = (int)(item % column_chunks) * columns_per_item;
    const int end = begin + min(columns_per_item, column_count - begin);
    const int row_begin = (int)(item / column_chunks) * rows_per_item;
    const int row_end = row_begin + min(rows_per_item, row_count - row_begin);
    int position2 = row_begin;
    int position1 = position2 / extent2;
    position2 %= extent2;
    int position0 = position1 / extent1;
    position1 %= extent1;

    for (int row = row_begin; row < row_end; ++row) {
        __global const float *x_row = x_data + x_offset + position0 * x_stride0 + position1 * x_stride1 + position2 * x_stride2;
        __global float *y_row = y_data + position0 * y_stride0 + position1 * y_stride1 + position2 * y_stride2;
        for (int column = begin; column < end; ++column) {
            const float v = x_row[(column) * x_step];
            y_row[column] = v;
        }
        ++position2;
        if (position2 == extent2) { position2 = 0; ++position1; }
        if (position1 == extent1) { position1 = 0; ++position0; }
    }
}

#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef reorder_strided

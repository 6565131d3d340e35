// map_strided
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define map_strided map_strided_31117d4c8dc1

__kernel WORK_GROUP void map_strided(
    __global const float *x0_data,
    __global const float *x1_data,
    const int x1_stride0,
    const int x1_stride1,
    const int x1_stride2,
    __global float *y0_data,
    __global float *y1_data,
    const int row_count,
    const int rows_per_item,
    const int extent1,
    const int extent2,
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
        const int first = row * column_count;
        __global const float *x0_row = x0_data + first;
        __global const float *x1_row = x1_data + position0 * x1_stride0 + position1 * x1_stride1 + position2 * x1_stride2;
        const float x1 = x1_row[0];
        __global float *y0_row = y0_data + first;
        __global float *y1_row = y1_data + first;
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)   // in place is safe: an element is read before it is written
#endif
        for (int column = begin; column < end; ++column) {
            const uint index = (uint)(first + column);
            const float x0 = x0_row[column];
            const float t0 = x0 * x1;
            const float y0 = t0 < 0.0f ? 0.0f : t0;
            const float y1 = (float)index;
            y0_row[column] = y0;
            y1_row[column] = y1;
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
#undef map_strided

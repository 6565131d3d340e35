// reorder_blocked
#define BLOCK 8
#define LOADU(p, i) (*(__global const loose *)((p) + (i)))
#define STOREU(p, i, v) (*(__global loose *)((p) + (i)) = (v))
#define X_STEP 1
#define Y_STEP 1
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define reorder_blocked reorder_blocked_b8a2a44ef103

__kernel WORK_GROUP
void reorder_blocked(
    __global const float *restrict x_data,
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
    const long x_block = (long)block * x_plane * BLOCK;
    const long y_block = (long)block * y_plane;
    __global const float *source = x_data + x_offset + image * x_image + x_block;
    __global float *target = y_data + y_offset + image * y_image + y_block;
    const int lanes = min(BLOCK, channels - block * BLOCK);
    typedef vec loose __attribute__((aligned(4)));
    const int position0 = row0 * width, position1 = min(row1 * width, positions);
    const int is_moved = lanes == BLOCK && position1 - position0 >= BLOCK;
    for (int position = position0; is_moved && position < position1; position += BLOCK) {
        const int first = min(position, position1 - BLOCK);
        int row = first / width, column = first - row * width;
        const int at0 = row * y_row + column * BLOCK;
        if (++column == width) {
            column = 0;
            ++row;
        }
        const int at1 = row * y_row + column * BLOCK;
        if (++column == width) {
            column = 0;
            ++row;
        }
        const int at2 = row * y_row + column * BLOCK;
        if (++column == width) {
            column = 0;
            ++row;
        }
        const int at3 = row * y_row + column * BLOCK;
        if (++column == width) {
            column = 0;
            ++row;
        }
        const int at4 = row * y_row + column * BLOCK;
        if (++column == width) {
            column = 0;
            ++row;
        }
        const int at5 = row * y_row + column * BLOCK;
        if (++column == width) {
            column = 0;
            ++row;
        }
        const int at6 = row * y_row + column * BLOCK;
        if (++column == width) {
            column = 0;
            ++row;
        }
        const int at7 = row * y_row + column * BLOCK;
        if (++column == width) {
            column = 0;
            ++row;
        }
        {
            const vec row0_0 = LOADU(source, 0 * x_plane + first);
            const vec row0_1 = LOADU(source, 1 * x_plane + first);
            const vec row0_2 = LOADU(source, 2 * x_plane + first);
            const vec row0_3 = LOADU(source, 3 * x_plane + first);
            const vec row0_4 = LOADU(source, 4 * x_plane + first);
            const vec row0_5 = LOADU(source, 5 * x_plane + first);
            const vec row0_6 = LOADU(source, 6 * x_plane + first);
            const vec row0_7 = LOADU(source, 7 * x_plane + first);
            vec row1_0, row1_1;
            row1_0.even = row0_0.lo;
            row1_0.odd = row0_4.lo;
            row1_1.even = row0_0.hi;
            row1_1.odd = row0_4.hi;
            vec row1_2, row1_3;
            row1_2.even = row0_1.lo;
            row1_2.odd = row0_5.lo;
            row1_3.even = row0_1.hi;
            row1_3.odd = row0_5.hi;
            vec row1_4, row1_5;
            row1_4.even = row0_2.lo;
            row1_4.odd = row0_6.lo;
            row1_5.even = row0_2.hi;
            row1_5.odd = row0_6.hi;
            vec row1_6, row1_7;
            row1_6.even = row0_3.lo;
            row1_6.odd = row0_7.lo;
            row1_7.even = row0_3.hi;
            row1_7.odd = row0_7.hi;
            vec row2_0, row2_1;
            row2_0.even = row1_0.lo;
            row2_0.odd = row1_4.lo;
            row2_1.even = row1_0.hi;
            row2_1.odd = row1_4.hi;
            vec row2_2, row2_3;
            row2_2.even = row1_1.lo;
            row2_2.odd = row1_5.lo;
            row2_3.even = row1_1.hi;
            row2_3.odd = row1_5.hi;
            vec row2_4, row2_5;
            row2_4.even = row1_2.lo;
            row2_4.odd = row1_6.lo;
            row2_5.even = row1_2.hi;
            row2_5.odd = row1_6.hi;
            vec row2_6, row2_7;
            row2_6.even = row1_3.lo;
            row2_6.odd = row1_7.lo;
            row2_7.even = row1_3.hi;
            row2_7.odd = row1_7.hi;
            vec row3_0, row3_1;
            row3_0.even = row2_0.lo;
            row3_0.odd = row2_4.lo;
            row3_1.even = row2_0.hi;
            row3_1.odd = row2_4.hi;
            vec row3_2, row3_3;
            row3_2.even = row2_1.lo;
            row3_2.odd = row2_5.lo;
            row3_3.even = row2_1.hi;
            row3_3.odd = row2_5.hi;
            vec row3_4, row3_5;
            row3_4.even = row2_2.lo;
            row3_4.odd = row2_6.lo;
            row3_5.even = row2_2.hi;
            row3_5.odd = row2_6.hi;
            vec row3_6, row3_7;
            row3_6.even = row2_3.lo;
            row3_6.odd = row2_7.lo;
            row3_7.even = row2_3.hi;
            row3_7.odd = row2_7.hi;
            STOREV(target, at0, row3_0);
            STOREV(target, at1, row3_1);
            STOREV(target, at2, row3_2);
            STOREV(target, at3, row3_3);
            STOREV(target, at4, row3_4);
            STOREV(target, at5, row3_5);
            STOREV(target, at6, row3_6);
            STOREV(target, at7, row3_7);
        }
    }
    if (row0 == 0)
        for (int i = -y_above - y_left; i < -y_left; ++i) target[i] = (float)0;
    for (int row = row0; row < row1; ++row) {
        const int count = min(width, positions - row * width);
        __global const float *from = source + row * x_row;
        __global float *to = target + row * y_row;
        for (int i = -y_left; i < 0; ++i) to[i] = (float)0;
        if (is_moved) {} else
        if (lanes == BLOCK)
            for (int column = 0; column < count; ++column)
                for (int lane = 0; lane < BLOCK; ++lane) {
                    const float element = from[lane * x_plane + column * X_STEP];
                    to[column * BLOCK + lane] = element;
                }
        else
            for (int column = 0; column < count; ++column) {
                for (int lane = 0; lane < lanes; ++lane) {
                    const float element = from[lane * x_plane + column * X_STEP];
                    to[column * BLOCK + lane] = element;
                }
                for (int i = column * BLOCK + lanes; i < (column + 1) * BLOCK; ++i) to[i] = (float)0;
            }
        for (int i = count * BLOCK; i < count * BLOCK + y_right; ++i) to[i] = (float)0;
    }
    if (row1 == row_count)
        for (int i = row_count * y_row - y_left; i < row_count * y_row + y_below - y_left; ++i) target[i] = (float)0;
}

#undef BLOCK
#undef LOADU
#undef STOREU
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

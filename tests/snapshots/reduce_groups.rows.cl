// reduce_groups
#define COMBINE(a, v) ((a) + (v))
#define GROUP 256
#define IDENTITY 0.0f
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(256, 1, 1)))
#define reduce_groups reduce_groups_20767143cded

__kernel WORK_GROUP void reduce_groups(
    __global const float *x0_data,
    const int x0_kept0,
    const int x0_kept1,
    const int x0_reduced0,
    const int x0_reduced1,
    __global const float *x1_data,
    const int x1_kept0,
    const int x1_kept1,
    const int x1_reduced0,
    const int x1_reduced1,
    __global float *y0_data,
    __global float *y1_data,
    const int kept_extent1,
    const int reduced_extent1,
    const float count,
    const int output_count, const int slices, const int row_count, const int rows_per_piece, const int column_count,
    const int lanes, const int columns_per_piece, const int column_pieces)
{
    __local float r0_shared[GROUP];
    __local float r1_shared[GROUP];
    const int item = get_local_id(0);
    const int piece = get_group_id(1);
    const int slice = item % slices;
    const int own = item / slices;
    const int apart = 1;                // work-items from one slice to the next
    const int row_begin = piece / column_pieces * rows_per_piece;
    const int begin = piece % column_pieces * columns_per_piece + slice % lanes;
    const int end = min((piece % column_pieces + 1) * columns_per_piece, column_count);
    const int first = slice / lanes, every = slices / lanes;   // rows of a work-item
    const int row_end = min(row_begin + rows_per_piece, row_count);
    const int output = (int)get_group_id(0) * (GROUP / slices) + own;
    const int live = min(output, output_count - 1);   // behind the last output: the last one again, not stored
    int kept1 = live;
    const int kept0 = kept1 / kept_extent1;
    kept1 -= kept0 * kept_extent1;
    __global const float *x0_kept = x0_data + kept0 * x0_kept0 + kept1 * x0_kept1;
    __global const float *x1_kept = x1_data + kept0 * x1_kept0 + kept1 * x1_kept1;
    float r0_total = IDENTITY;
    float r1_total = IDENTITY;

    for (int row = row_begin + first; row < row_end; row += every) {
        int reduced1 = row;
        const int reduced0 = reduced1 / reduced_extent1;
        reduced1 -= reduced0 * reduced_extent1;
        __global const float *x0_row = x0_kept + reduced0 * x0_reduced0 + reduced1 * x0_reduced1;
        __global const float *x1_row = x1_kept + reduced0 * x1_reduced0 + reduced1 * x1_reduced1;
        #pragma unroll 4
        for (int column = begin; column < end; column += lanes) {
            const float x0 = x0_row[column];
            const float x1 = x1_row[0];
            const float t0 = x0 - x1;
            const float r0 = t0;
            const float r1 = t0 * t0;
            r0_total = COMBINE(r0_total, r0);
            r1_total = COMBINE(r1_total, r1);
        }
    }

    r0_shared[item] = r0_total;
    r1_shared[item] = r1_total;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = slices / 2; half_way > 0; half_way /= 2) {
        if (slice < half_way) {
            r0_shared[item] = COMBINE(r0_shared[item], r0_shared[item + half_way * apart]);
            r1_shared[item] = COMBINE(r1_shared[item], r1_shared[item + half_way * apart]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (slice == 0 && output < output_count) {
        const float r0 = r0_shared[item];
        const float r1 = r1_shared[item];
        { const float r = r0; y0_data[output] = (r); }
        { const float r = r1; y1_data[output] = (r / count); }
    }
}

#undef COMBINE
#undef GROUP
#undef IDENTITY
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef reduce_groups

// reduce_groups
#define COMBINE(a, v) ((a) + (v))
#define GROUP 64
#define IDENTITY 0.0f
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define reduce_groups reduce_groups_9b882a7b437d

__kernel WORK_GROUP void reduce_groups(
    __global const float *x0_data,
    const int x0_kept0,
    const int x0_kept1,
    const int x0_reduced0,
    const int x0_reduced1,
    __global float *part0_data,
    const int kept_extent1,
    const int reduced_extent1,
    const int output_count, const int slices, const int row_count, const int rows_per_piece, const int column_count)
{
    __local float r0_shared[GROUP];
    const int item = get_local_id(0);
    const int piece = get_group_id(1);
    const int apart = GROUP / slices;
    const int slice = item / apart;
    const int own = item - slice * apart;
    const int row_begin = piece * rows_per_piece;
    const int first = slice, every = slices;
    const int row_end = min(row_begin + rows_per_piece, row_count);
    const int output = (int)get_group_id(0) * (GROUP / slices) + own;
    const int live = min(output, output_count - 1);   // behind the last output: the last one again, not stored
    const int kept_row = live / column_count;
    const int column = live - kept_row * column_count;
    int kept1 = kept_row;
    const int kept0 = kept1 / kept_extent1;
    kept1 -= kept0 * kept_extent1;
    __global const float *x0_kept = x0_data + kept0 * x0_kept0 + kept1 * x0_kept1;
    float r0_total = IDENTITY;

    #pragma unroll 4
    for (int row = row_begin + first; row < row_end; row += every) {
        int reduced1 = row;
        const int reduced0 = reduced1 / reduced_extent1;
        reduced1 -= reduced0 * reduced_extent1;
        __global const float *x0_row = x0_kept + reduced0 * x0_reduced0 + reduced1 * x0_reduced1;
        const float x0 = x0_row[column];
        const float r0 = x0;
        r0_total = COMBINE(r0_total, r0);
    }

    r0_shared[item] = r0_total;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = slices / 2; half_way > 0; half_way /= 2) {
        if (slice < half_way) {
            r0_shared[item] = COMBINE(r0_shared[item], r0_shared[item + half_way * apart]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (slice == 0 && output < output_count) {
        const float r0 = r0_shared[item];
        part0_data[piece * output_count + output] = r0;
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

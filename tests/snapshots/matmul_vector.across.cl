// matmul_vector
#define GROUP 256
#define ROWS 2
#define SLICES 8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(256, 1, 1)))
#define matmul_vector matmul_vector_a34f4d7671c6

__kernel WORK_GROUP
void matmul_vector(
    __global const real *restrict few,      // batch, few_count vectors of all_k
    __global const real *restrict many,     // batch, many_count vectors of all_k
    __global float *restrict partial,       // parts, then as y
    const int batch, const int few_count, const int many_count, const int all_k, const int k_each, const int blocks,
    const int few_step, const int few_k, const int many_step, const int many_k, const int y_few, const int y_many)
{
    __local float sums[ROWS * GROUP];   // row of the few, work-item
    const int item = get_local_id(0);
    const int own = item % (GROUP / SLICES);
    const int slice = item / (GROUP / SLICES);
    const int apart = GROUP / SLICES;
    const int entry = (int)get_group_id(2) / blocks;
    const int first = ((int)get_group_id(2) - entry * blocks) * ROWS;
    const int at = (int)get_group_id(0) * (GROUP / SLICES) + own;
    const int k_begin = (int)get_group_id(1) * k_each;
    const int k_end = min(k_begin + k_each, all_k);
    // What lies behind the last of them is the last one again, and never stored.
    __global const real *from = many + entry * many_count * all_k + min(at, many_count - 1) * many_step;
    __global const real *vectors = few + entry * few_count * all_k;
    const int row0 = min(first + 0, few_count - 1) * few_step;
    float sum0 = 0.0f;
    const int row1 = min(first + 1, few_count - 1) * few_step;
    float sum1 = 0.0f;
    #pragma unroll 4
    for (int k = k_begin + slice; k < k_end; k += SLICES) {
        const float value = LOAD(from, k * many_k);
        sum0 += value * LOAD(vectors, row0 + k * few_k);
        sum1 += value * LOAD(vectors, row1 + k * few_k);
    }
    sums[0 * GROUP + item] = sum0;
    sums[1 * GROUP + item] = sum1;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = SLICES / 2; half_way > 0; half_way /= 2) {
        if (slice < half_way) {
            sums[0 * GROUP + item] += sums[0 * GROUP + item + half_way * apart];
            sums[1 * GROUP + item] += sums[1 * GROUP + item + half_way * apart];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    // The slices share the rows.
    for (int row = slice; row < ROWS; row += SLICES) {
        if (first + row >= few_count || at >= many_count) continue;
        float value = sums[row * GROUP + item - slice * apart];
        const int to = entry * few_count * many_count + (first + row) * y_few + at * y_many;
        partial[(size_t)get_group_id(1) * batch * few_count * many_count + to] = value;
    }
}

#undef GROUP
#undef ROWS
#undef SLICES
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef matmul_vector

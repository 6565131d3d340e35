## matmul_vector.cl.mako -- products of matrices of which one has few rows (or columns): sums that a work-group shares, for GPUs.
##
## The few are at most ROWS vectors `few`; each is multiplied with every vector of `many`, which are read once. A work-item keeps ROWS sums
## over every SLICES-th k of one of the many. Then the slices' sums are added up in local memory, as a tree: always in the same order.
## `along`: the many are contiguous along k, so that neighbouring work-items take neighbouring k; else they take neighbours of the many.
## Which operand has the few, and how either is stored, is steps: from one vector to the next, and along k.
## Index spaces:
##     get_group_id(0)  GROUP / SLICES of the many
##     get_group_id(1)  part of the sum over k, where it is split
##     get_group_id(2)  entry of the batch * blocks of ROWS of the few + block
##
## Header constants: ROWS, SLICES (a power of two), GROUP, ACTIVATE where not `split`.   Render arguments: rows, along, split.
<%page args="rows, along, split"/>\
__kernel WORK_GROUP
void matmul_vector(
    __global const real *restrict few,      // batch, few_count vectors of all_k
    __global const real *restrict many,     // batch, many_count vectors of all_k
% if split:
    __global float *restrict partial,       // parts, then as y
% else:
    __global const real *restrict bias,     // for the few or the many, never read without has_bias
    __global const real *restrict residual, // as y, never read without has_residual
    __global real *restrict y,              // batch, the few and the many in either order
    const int has_bias, const int has_residual, const float slope,   // what a sum below 0 is multiplied with
    const int bias_few, const int bias_many,                         // 1 where the bias is theirs, else 0
% endif
    const int batch, const int few_count, const int many_count, const int all_k, const int k_each, const int blocks,
    const int few_step, const int few_k, const int many_step, const int many_k, const int y_few, const int y_many)
{
    __local float sums[ROWS * GROUP];   // row of the few, work-item
    const int item = get_local_id(0);
% if along:
    const int slice = item % SLICES;
    const int own = item / SLICES;
    const int apart = 1;                // work-items from one slice to the next
% else:
    const int own = item % (GROUP / SLICES);
    const int slice = item / (GROUP / SLICES);
    const int apart = GROUP / SLICES;
% endif
    const int entry = (int)get_group_id(2) / blocks;
    const int first = ((int)get_group_id(2) - entry * blocks) * ROWS;
    const int at = (int)get_group_id(0) * (GROUP / SLICES) + own;
    const int k_begin = (int)get_group_id(1) * k_each;
    const int k_end = min(k_begin + k_each, all_k);
    // What lies behind the last of them is the last one again, and never stored.
    __global const real *from = many + entry * many_count * all_k + min(at, many_count - 1) * many_step;
    __global const real *vectors = few + entry * few_count * all_k;
% for r in range(rows):
    const int row${r} = min(first + ${r}, few_count - 1) * few_step;
    float sum${r} = 0.0f;
% endfor
    #pragma unroll 4
    for (int k = k_begin + slice; k < k_end; k += SLICES) {
        const float value = LOAD(from, k * many_k);
    % for r in range(rows):
        sum${r} += value * LOAD(vectors, row${r} + k * few_k);
    % endfor
    }
% for r in range(rows):
    sums[${r} * GROUP + item] = sum${r};
% endfor
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = SLICES / 2; half_way > 0; half_way /= 2) {
        if (slice < half_way) {
        % for r in range(rows):
            sums[${r} * GROUP + item] += sums[${r} * GROUP + item + half_way * apart];
        % endfor
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    // The slices share the rows.
    for (int row = slice; row < ROWS; row += SLICES) {
        if (first + row >= few_count || at >= many_count) continue;
        float value = sums[row * GROUP + item - slice * apart];
        const int to = entry * few_count * many_count + (first + row) * y_few + at * y_many;
    % if split:
        partial[(size_t)get_group_id(1) * batch * few_count * many_count + to] = value;
    % else:
        if (has_bias) value += LOAD(bias, (first + row) * bias_few + at * bias_many);
        if (has_residual) value += LOAD(residual, to);
        STORE(y, to, ACTIVATE(value));
    % endif
    }
}

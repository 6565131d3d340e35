## pool_direct_adaptive.cl.mako -- means of O x P x Q windows that cover a D x H x W plane, neighbours overlapping where sizes do not divide.
##
## Window i of `outputs` over `size` elements spans START(i) .. END(i) - 1; the windows that hold element i are START .. END - 1 with the
## two sizes exchanged. One work-item does `tasks_each` tasks. Index space:
##     get_global_id(0)  run of tasks: forward one output (plane, o, p, q), backward a run of TILE columns of one row
##                       (plane, z, row) of dx
## Header constants: TILE, LANES (partial sums of a row), START(i, outputs, size), END(i, outputs, size).   Render argument: backward.
<%page args="backward"/>\
% if not backward:
__kernel WORK_GROUP
void pool_direct_adaptive(
    __global const real *restrict x,   // planes, D, H, W
    __global real *restrict y,         // planes, O, P, Q
    const int planes,                  // N * C
    const int depth, const int height, const int width,
    const int o_count, const int p_count, const int q_count,
    const int tasks_each)
{
    const int tasks = planes * o_count * p_count * q_count;
    const int first = get_global_id(0) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int q = task % q_count;
        const int p = task / q_count % p_count;
        const int o = task / q_count / p_count % o_count;
        const int plane = task / q_count / p_count / o_count;
        const int z0 = START(o, o_count, depth), z1 = END(o, o_count, depth);
        const int row0 = START(p, p_count, height), row1 = END(p, p_count, height);
        const int column0 = START(q, q_count, width), column1 = END(q, q_count, width);
        float part[LANES];
        for (int l = 0; l < LANES; ++l) part[l] = 0.0f;
        for (int z = z0; z < z1; ++z) {
            for (int row = row0; row < row1; ++row) {
                const int from = ((plane * depth + z) * height + row) * width;
                int column = column0;
                for (; column + LANES <= column1; column += LANES) {
                    for (int l = 0; l < LANES; ++l) part[l] += LOAD(x, from + column + l);
                }
                for (; column < column1; ++column) part[0] += LOAD(x, from + column);
            }
        }
        float total = part[0];
        for (int l = 1; l < LANES; ++l) total += part[l];
        STORE(y, task, total / (float)((z1 - z0) * (row1 - row0) * (column1 - column0)));
    }
}
% else:
__kernel WORK_GROUP
void pool_direct_adaptive_backward(
    __global const real *restrict dy,  // planes, O, P, Q
    __global real *restrict dx,        // planes, D, H, W
    const int planes,                  // N * C
    const int depth, const int height, const int width,
    const int o_count, const int p_count, const int q_count,
    const int tiles, const int tasks_each)
{
    const int tasks = planes * depth * height * tiles;
    const int first = get_global_id(0) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int column0 = task % tiles * TILE;
        const int row = task / tiles % height;
        const int z = task / tiles / height % depth;
        const int plane = task / tiles / height / depth;
        const int most = width - column0 < TILE ? width - column0 : TILE;
        float sums[TILE];
        for (int j = 0; j < most; ++j) sums[j] = 0.0f;

        for (int o = START(z, depth, o_count); o < END(z, depth, o_count); ++o) {
            const int deep = END(o, o_count, depth) - START(o, o_count, depth);
            for (int p = START(row, height, p_count); p < END(row, height, p_count); ++p) {
                const int rows = END(p, p_count, height) - START(p, p_count, height);
                for (int q = START(column0, width, q_count); q < END(column0 + most - 1, width, q_count); ++q) {
                    const int left = START(q, q_count, width), right = END(q, q_count, width);
                    const float share = LOAD(dy, ((plane * o_count + o) * p_count + p) * q_count + q) / (float)(deep * rows * (right - left));
                    const int begin = left > column0 ? left - column0 : 0;
                    const int end = right - column0 < most ? right - column0 : most;
                    for (int j = begin; j < end; ++j) sums[j] += share;
                }
            }
        }
        const int to = ((plane * depth + z) * height + row) * width + column0;
        for (int j = 0; j < most; ++j) STORE(dx, to + j, sums[j]);
    }
}
% endif

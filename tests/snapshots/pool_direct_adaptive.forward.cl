// pool_direct_adaptive
#define END(i, outputs, size) ((int)((((int)(i) + 1) * (size) + (outputs) - 1) / (outputs)))
#define LANES 8
#define START(i, outputs, size) ((int)((int)(i) * (size) / (outputs)))
#define TILE 64
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define pool_direct_adaptive pool_direct_adaptive_23d7ec7da1da

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

#undef END
#undef LANES
#undef START
#undef TILE
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef pool_direct_adaptive

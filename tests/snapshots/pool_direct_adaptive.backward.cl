// pool_direct_adaptive
#define END(i, outputs, size) ((int)((((int)(i) + 1) * (size) + (outputs) - 1) / (outputs)))
#define LANES 8
#define START(i, outputs, size) ((int)((int)(i) * (size) / (outputs)))
#define TILE 64
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define pool_direct_adaptive_backward pool_direct_adaptive_backward_aa85db7d6aa8

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

#undef END
#undef LANES
#undef START
#undef TILE
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef pool_direct_adaptive_backward

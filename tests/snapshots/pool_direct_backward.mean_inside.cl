// pool_direct_backward
#define CEIL_DIV(a, b) ((a) > 0 ? ((a) + (b) - 1) / (b) : -(-(a) / (b)))
#define DILATION_D (1)
#define DILATION_H (1)
#define DILATION_W (1)
#define KERNEL_D (1)
#define KERNEL_H (3)
#define KERNEL_W (3)
#define PAD_D (0)
#define PAD_END_D (0)
#define PAD_END_H (1)
#define PAD_END_W (1)
#define PAD_H (1)
#define PAD_W (1)
#define STRIDE_D (1)
#define STRIDE_H (2)
#define STRIDE_W (2)
#define TAPS_AT(start, limit, axis) CEIL_DIV((limit) - (start), DILATION_##axis)
#define TAPS_BELOW(start, limit, axis) (TAPS_AT(start, limit, axis) < 0 ? 0 : TAPS_AT(start, limit, axis) < KERNEL_##axis ? TAPS_AT(start, limit, axis) : KERNEL_##axis)
#define TILE 64
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define pool_direct_backward pool_direct_backward_1c7956bebd2e

__kernel WORK_GROUP
void pool_direct_backward(
    __global const real *restrict dy,       // planes, O, P, Q
    __global real *restrict dx,             // planes, D, H, W
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
        const int inside = (z * height + row) * width + column0;
        float sums[TILE];
        for (int j = 0; j < most; ++j) sums[j] = 0.0f;

        for (int t = 0; t < KERNEL_D; ++t) {
            const int over_d = z + PAD_D - t * DILATION_D;
            const int o = over_d / STRIDE_D;
            if (over_d < 0 || over_d % STRIDE_D != 0 || o >= o_count) continue;
            for (int r = 0; r < KERNEL_H; ++r) {
                const int over_h = row + PAD_H - r * DILATION_H;
                const int p = over_h / STRIDE_H;
                if (over_h < 0 || over_h % STRIDE_H != 0 || p >= p_count) continue;
                const int from = ((plane * o_count + o) * p_count + p) * q_count;
                const int front = o * STRIDE_D - PAD_D;
                const int top = p * STRIDE_H - PAD_H;
                const int rows = TAPS_BELOW(front, depth, D) - TAPS_BELOW(front, 0, D);
                const int columns = TAPS_BELOW(top, height, H) - TAPS_BELOW(top, 0, H);
                for (int s = 0; s < KERNEL_W; ++s) {
                    const int shift = s * DILATION_W - PAD_W - column0;     // place in the run of q: q * STRIDE_W + shift
                    const int lowest = CEIL_DIV(-shift, STRIDE_W);
                    const int highest = CEIL_DIV(most - shift, STRIDE_W);
                    const int begin = lowest > 0 ? lowest : 0;
                    const int end = highest < q_count ? highest : q_count;
                    for (int q = begin; q < end; ++q) {
                        const int j = q * STRIDE_W + shift;
                        const float gradient = LOAD(dy, from + q);
                        const int left = q * STRIDE_W - PAD_W;
                        const int across = TAPS_BELOW(left, width, W) - TAPS_BELOW(left, 0, W);
                        sums[j] += gradient / (float)(rows * columns * across);
                    }
                }
            }
        }
        const int to = plane * depth * height * width + inside;
        for (int j = 0; j < most; ++j) STORE(dx, to + j, sums[j]);
    }
}

#undef CEIL_DIV
#undef DILATION_D
#undef DILATION_H
#undef DILATION_W
#undef KERNEL_D
#undef KERNEL_H
#undef KERNEL_W
#undef PAD_D
#undef PAD_END_D
#undef PAD_END_H
#undef PAD_END_W
#undef PAD_H
#undef PAD_W
#undef STRIDE_D
#undef STRIDE_H
#undef STRIDE_W
#undef TAPS_AT
#undef TAPS_BELOW
#undef TILE
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef pool_direct_backward

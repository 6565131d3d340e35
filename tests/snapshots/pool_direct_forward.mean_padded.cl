// pool_direct_forward
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
#define TILE 1
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define pool_direct_forward pool_direct_forward_06bbd67408bc

__kernel WORK_GROUP
void pool_direct_forward(
    __global const real *restrict x,   // planes, D, H, W
    __global real *restrict y,         // planes, O, P, Q
    const int planes,                  // N * C
    const int depth, const int height, const int width,
    const int o_count, const int p_count, const int q_count,
    const int tiles, const int tasks_each)
{
    const int tasks = planes * o_count * p_count * tiles;
    const int first = get_global_id(0) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int q0 = task % tiles * TILE;
        const int p = task / tiles % p_count;
        const int o = task / tiles / p_count % o_count;
        const int plane = task / tiles / p_count / o_count;
        const int most = q_count - q0 < TILE ? q_count - q0 : TILE;
        const int front = o * STRIDE_D - PAD_D;
        const int top = p * STRIDE_H - PAD_H;

        float total[TILE], line[TILE];   // of the windows and of a row of each: rounding errors grow with the length of a chain of sums
        for (int j = 0; j < most; ++j) total[j] = line[j] = 0.0f;
        for (int t = 0; t < KERNEL_D; ++t) {
            const int z = front + t * DILATION_D;
            if (z < 0 || z >= depth) continue;
            for (int r = 0; r < KERNEL_H; ++r) {
                const int row = top + r * DILATION_H;
                if (row < 0 || row >= height) continue;
                for (int s = 0; s < KERNEL_W; ++s) {
                    const int shift = s * DILATION_W - PAD_W;       // column of q: q * STRIDE_W + shift
                    const int lowest = CEIL_DIV(-shift, STRIDE_W) - q0;
                    const int highest = CEIL_DIV(width - shift, STRIDE_W) - q0;
                    const int begin = lowest > 0 ? lowest : 0;
                    const int end = highest < most ? highest : most;
                    const int inside = (z * height + row) * width + q0 * STRIDE_W + shift;
                    const int from = plane * depth * height * width + inside;
                    for (int j = begin; j < end; ++j) {
                        const float value = LOAD(x, from + j * STRIDE_W);
                        line[j] += value;
                    }
                }
                for (int j = 0; j < most; ++j) {
                    total[j] += line[j];
                    line[j] = 0.0f;
                }
            }
        }
        const int to = ((plane * o_count + o) * p_count + p) * q_count + q0;
        const int rows = TAPS_BELOW(front, depth + PAD_END_D, D);
        const int columns = TAPS_BELOW(top, height + PAD_END_H, H);
        for (int j = 0; j < most; ++j) {
            const int left = (q0 + j) * STRIDE_W - PAD_W;
            const int across = TAPS_BELOW(left, width + PAD_END_W, W);
            STORE(y, to + j, total[j] / (float)(rows * columns * across));
        }
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
#undef pool_direct_forward

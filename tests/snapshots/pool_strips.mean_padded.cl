// pool_strips
#define CEIL_DIV(a, b) ((a) > 0 ? ((a) + (b) - 1) / (b) : -(-(a) / (b)))
#define DILATION_D (1)
#define DILATION_H (1)
#define DILATION_W (1)
#define KERNEL_D (1)
#define KERNEL_H (3)
#define KERNEL_W (2)
#define PAD_D (0)
#define PAD_END_D (0)
#define PAD_END_H (1)
#define PAD_END_W (1)
#define PAD_H (1)
#define PAD_W (1)
#define ROWS 2
#define STRIDE_D (1)
#define STRIDE_H (2)
#define STRIDE_W (2)
#define TAPS_AT(start, limit, axis) CEIL_DIV((limit) - (start), DILATION_##axis)
#define TAPS_BELOW(start, limit, axis) (TAPS_AT(start, limit, axis) < 0 ? 0 : TAPS_AT(start, limit, axis) < KERNEL_##axis ? TAPS_AT(start, limit, axis) : KERNEL_##axis)
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(256, 1, 1)))
#define pool_strips pool_strips_886e0be1d8ef

__kernel WORK_GROUP
void pool_strips(
    __global const real *restrict x,    // planes, height, width
    __global real *restrict y,          // planes, p_count, q_count
    const int height, const int width, const int p_count, const int q_count, const int strips, const int item_count)
{
    const int item = get_global_id(0);
    if (item >= item_count) return;
    const int column = item % q_count;
    const int strip = item / q_count % strips;
    const int plane = item / q_count / strips;
    const int left = column * STRIDE_W - PAD_W;
    const int top = strip * ROWS * STRIDE_H - PAD_H;
    const int map_at = plane * height * width;
    const int inside0 = (uint)(left + 0 * DILATION_W) < (uint)width;
    const int x0 = clamp(left + 0 * DILATION_W, 0, width - 1);
    const int inside1 = (uint)(left + 1 * DILATION_W) < (uint)width;
    const int x1 = clamp(left + 1 * DILATION_W, 0, width - 1);
    float total0 = 0.0f;
    float total1 = 0.0f;
    {
        const int row = top + 0;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const float value0 = inside & inside0 ? read0 : 0.0f;
        const float read1 = LOAD(x, map_at + at + x1);
        const float value1 = inside & inside1 ? read1 : 0.0f;
        total0 += value0;
        total0 += value1;
    }
    {
        const int row = top + 1;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const float value0 = inside & inside0 ? read0 : 0.0f;
        const float read1 = LOAD(x, map_at + at + x1);
        const float value1 = inside & inside1 ? read1 : 0.0f;
        total0 += value0;
        total0 += value1;
    }
    {
        const int row = top + 2;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const float value0 = inside & inside0 ? read0 : 0.0f;
        const float read1 = LOAD(x, map_at + at + x1);
        const float value1 = inside & inside1 ? read1 : 0.0f;
        total0 += value0;
        total0 += value1;
        total1 += value0;
        total1 += value1;
    }
    {
        const int row = top + 3;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const float value0 = inside & inside0 ? read0 : 0.0f;
        const float read1 = LOAD(x, map_at + at + x1);
        const float value1 = inside & inside1 ? read1 : 0.0f;
        total1 += value0;
        total1 += value1;
    }
    {
        const int row = top + 4;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const float value0 = inside & inside0 ? read0 : 0.0f;
        const float read1 = LOAD(x, map_at + at + x1);
        const float value1 = inside & inside1 ? read1 : 0.0f;
        total1 += value0;
        total1 += value1;
    }

    const int to = (plane * p_count + strip * ROWS) * q_count + column;
    const int across = TAPS_BELOW(left, width + PAD_END_W, W);
    if (strip * ROWS + 0 < p_count) {
        const int start = top + 0 * STRIDE_H;
        const int down = TAPS_BELOW(start, height + PAD_END_H, H);
        STORE(y, to + 0 * q_count, total0 / (float)(down * across));
    }
    if (strip * ROWS + 1 < p_count) {
        const int start = top + 1 * STRIDE_H;
        const int down = TAPS_BELOW(start, height + PAD_END_H, H);
        STORE(y, to + 1 * q_count, total1 / (float)(down * across));
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
#undef ROWS
#undef STRIDE_D
#undef STRIDE_H
#undef STRIDE_W
#undef TAPS_AT
#undef TAPS_BELOW
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef pool_strips

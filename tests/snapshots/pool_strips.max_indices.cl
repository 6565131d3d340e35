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
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(256, 1, 1)))
#define pool_strips pool_strips_7f733524ddbc

__kernel WORK_GROUP
void pool_strips(
    __global const real *restrict x,    // planes, height, width
    __global real *restrict y,          // planes, p_count, q_count
    __global int *restrict indices,     // as y: position in the input plane
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
    float best0 = -INFINITY;   // padding never wins: an all -inf window stays -inf
    int where0 = -1;
    float best1 = -INFINITY;   // padding never wins: an all -inf window stays -inf
    int where1 = -1;
    {
        const int row = top + 0;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const int holds0 = inside & inside0;
        const float value0 = holds0 ? read0 : -INFINITY;
        const float read1 = LOAD(x, map_at + at + x1);
        const int holds1 = inside & inside1;
        const float value1 = holds1 ? read1 : -INFINITY;
        where0 = holds0 & ((value0 > best0) | (value0 != value0) | (where0 < 0)) ? at + x0 : where0;
        // NaN enters, and nothing beats it.
        best0 = value0 > best0 || value0 != value0 ? value0 : best0;
        where0 = holds1 & ((value1 > best0) | (value1 != value1) | (where0 < 0)) ? at + x1 : where0;
        // NaN enters, and nothing beats it.
        best0 = value1 > best0 || value1 != value1 ? value1 : best0;
    }
    {
        const int row = top + 1;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const int holds0 = inside & inside0;
        const float value0 = holds0 ? read0 : -INFINITY;
        const float read1 = LOAD(x, map_at + at + x1);
        const int holds1 = inside & inside1;
        const float value1 = holds1 ? read1 : -INFINITY;
        where0 = holds0 & ((value0 > best0) | (value0 != value0) | (where0 < 0)) ? at + x0 : where0;
        // NaN enters, and nothing beats it.
        best0 = value0 > best0 || value0 != value0 ? value0 : best0;
        where0 = holds1 & ((value1 > best0) | (value1 != value1) | (where0 < 0)) ? at + x1 : where0;
        // NaN enters, and nothing beats it.
        best0 = value1 > best0 || value1 != value1 ? value1 : best0;
    }
    {
        const int row = top + 2;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const int holds0 = inside & inside0;
        const float value0 = holds0 ? read0 : -INFINITY;
        const float read1 = LOAD(x, map_at + at + x1);
        const int holds1 = inside & inside1;
        const float value1 = holds1 ? read1 : -INFINITY;
        where0 = holds0 & ((value0 > best0) | (value0 != value0) | (where0 < 0)) ? at + x0 : where0;
        // NaN enters, and nothing beats it.
        best0 = value0 > best0 || value0 != value0 ? value0 : best0;
        where0 = holds1 & ((value1 > best0) | (value1 != value1) | (where0 < 0)) ? at + x1 : where0;
        // NaN enters, and nothing beats it.
        best0 = value1 > best0 || value1 != value1 ? value1 : best0;
        where1 = holds0 & ((value0 > best1) | (value0 != value0) | (where1 < 0)) ? at + x0 : where1;
        // NaN enters, and nothing beats it.
        best1 = value0 > best1 || value0 != value0 ? value0 : best1;
        where1 = holds1 & ((value1 > best1) | (value1 != value1) | (where1 < 0)) ? at + x1 : where1;
        // NaN enters, and nothing beats it.
        best1 = value1 > best1 || value1 != value1 ? value1 : best1;
    }
    {
        const int row = top + 3;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const int holds0 = inside & inside0;
        const float value0 = holds0 ? read0 : -INFINITY;
        const float read1 = LOAD(x, map_at + at + x1);
        const int holds1 = inside & inside1;
        const float value1 = holds1 ? read1 : -INFINITY;
        where1 = holds0 & ((value0 > best1) | (value0 != value0) | (where1 < 0)) ? at + x0 : where1;
        // NaN enters, and nothing beats it.
        best1 = value0 > best1 || value0 != value0 ? value0 : best1;
        where1 = holds1 & ((value1 > best1) | (value1 != value1) | (where1 < 0)) ? at + x1 : where1;
        // NaN enters, and nothing beats it.
        best1 = value1 > best1 || value1 != value1 ? value1 : best1;
    }
    {
        const int row = top + 4;
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
        const float read0 = LOAD(x, map_at + at + x0);
        const int holds0 = inside & inside0;
        const float value0 = holds0 ? read0 : -INFINITY;
        const float read1 = LOAD(x, map_at + at + x1);
        const int holds1 = inside & inside1;
        const float value1 = holds1 ? read1 : -INFINITY;
        where1 = holds0 & ((value0 > best1) | (value0 != value0) | (where1 < 0)) ? at + x0 : where1;
        // NaN enters, and nothing beats it.
        best1 = value0 > best1 || value0 != value0 ? value0 : best1;
        where1 = holds1 & ((value1 > best1) | (value1 != value1) | (where1 < 0)) ? at + x1 : where1;
        // NaN enters, and nothing beats it.
        best1 = value1 > best1 || value1 != value1 ? value1 : best1;
    }

    const int to = (plane * p_count + strip * ROWS) * q_count + column;
    if (strip * ROWS + 0 < p_count) {
        STORE(y, to + 0 * q_count, best0);
        indices[to + 0 * q_count] = where0;
    }
    if (strip * ROWS + 1 < p_count) {
        STORE(y, to + 1 * q_count, best1);
        indices[to + 1 * q_count] = where1;
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
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef pool_strips

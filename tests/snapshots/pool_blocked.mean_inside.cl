// pool_blocked
#define BLOCK 8
#define DILATION_H 1
#define DILATION_W 1
#define END_H 1
#define END_W 1
#define KERNEL_H 3
#define KERNEL_W 3
#define PAD_H 1
#define PAD_W 1
#define STRIDE_H 2
#define STRIDE_W 2
#define TILE 4
#define ZERO_INTS(p, n) for (int z_ = 0; z_ < (n); ++z_) (p)[z_] = 0
#define ZERO_RUN(p, n) for (int z_ = 0; z_ < (n); ++z_) STORE((p), z_, 0.0f)
#define ivec int8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define pool_forward pool_forward_ae4293829e13

__kernel WORK_GROUP
void pool_forward(
    __global const real *restrict x,   // N, channel blocks, H, W, BLOCK
    const int x_offset, const int x_image, const int x_plane, const int x_row,
    __global real *restrict y,         // N, channel blocks, P, Q, BLOCK
    const int y_offset, const int y_image, const int y_plane, const int y_row,
    const int y_above, const int y_below, const int y_left, const int y_right,   // elements
    const int h, const int w,          // size of an input plane
    const int p_count, const int q_count,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, p_count);
    const int block = (int)get_global_id(1);
    __global const real *input = x + get_global_id(2) * x_image + block * x_plane + x_offset;
    __global real *output = y + get_global_id(2) * y_image + block * y_plane + y_offset;
    // The columns whose windows lie inside the input.
    const int reach = (KERNEL_W - 1) * DILATION_W;
    const int inside0 = min((PAD_W + STRIDE_W - 1) / STRIDE_W, q_count);
    const int inside1 = max(inside0, w - 1 + PAD_W - reach < 0 ? 0 : min(q_count, (w - 1 + PAD_W - reach) / STRIDE_W + 1));

    if (row0 == 0)
        ZERO_RUN(output - y_above - y_left, y_above);
    for (int p = row0; p < row1; ++p) {
        __global real *out = output + p * y_row;
        ZERO_RUN(out - y_left, y_left);
        const int start = p * STRIDE_H - PAD_H;
        const int r0 = start < 0 ? (DILATION_H - 1 - start) / DILATION_H : 0;
        const int r1 = min(KERNEL_H, (h - start + DILATION_H - 1) / DILATION_H);
        const int counted_rows = r1 - r0;
        for (int q = 0; q < inside0; ++q) {
            const int left = q * STRIDE_W - PAD_W;
            const int s0 = left < 0 ? (DILATION_W - 1 - left) / DILATION_W : 0;
            const int s1 = min(KERNEL_W, (w - left + DILATION_W - 1) / DILATION_W);
            vec total = (vec)(0.0f);
            for (int r = r0; r < r1; ++r) {
                __global const real *at = input + (p * STRIDE_H - PAD_H + r * DILATION_H) * x_row + left * BLOCK;
                vec line = (vec)(0.0f);   // a sum of its own: rounding errors grow with the length of a chain
                for (int s = s0; s < s1; ++s) {
                    const vec value = LOADV(at, s * DILATION_W * BLOCK);
                    line += value;
                }
                total += line;
            }
            const float count = (float)(counted_rows * (s1 - s0));
            STOREV(out, q * BLOCK, total / count);
        }
        int q = inside0;
        if (r1 - r0 == KERNEL_H && inside1 - inside0 >= TILE)
            for (; q < inside1; q += TILE) {
                const int first = min(q, inside1 - TILE);   // the last tile overlaps its neighbour
                __global const real *at = input + start * x_row + (first * STRIDE_W - PAD_W) * BLOCK;
                vec total0 = (vec)(0.0f), total1 = (vec)(0.0f), total2 = (vec)(0.0f), total3 = (vec)(0.0f);
                {
                    const vec value0 = LOADV(at, 0 * DILATION_H * x_row + 0 * BLOCK);
                    const vec value1 = LOADV(at, 1 * DILATION_H * x_row + 0 * BLOCK);
                    const vec value2 = LOADV(at, 2 * DILATION_H * x_row + 0 * BLOCK);
                    const vec sum = value0 + value1 + value2;
                    total0 += sum;
                }
                {
                    const vec value0 = LOADV(at, 0 * DILATION_H * x_row + 1 * BLOCK);
                    const vec value1 = LOADV(at, 1 * DILATION_H * x_row + 1 * BLOCK);
                    const vec value2 = LOADV(at, 2 * DILATION_H * x_row + 1 * BLOCK);
                    const vec sum = value0 + value1 + value2;
                    total0 += sum;
                }
                {
                    const vec value0 = LOADV(at, 0 * DILATION_H * x_row + 2 * BLOCK);
                    const vec value1 = LOADV(at, 1 * DILATION_H * x_row + 2 * BLOCK);
                    const vec value2 = LOADV(at, 2 * DILATION_H * x_row + 2 * BLOCK);
                    const vec sum = value0 + value1 + value2;
                    total0 += sum;
                    total1 += sum;
                }
                {
                    const vec value0 = LOADV(at, 0 * DILATION_H * x_row + 3 * BLOCK);
                    const vec value1 = LOADV(at, 1 * DILATION_H * x_row + 3 * BLOCK);
                    const vec value2 = LOADV(at, 2 * DILATION_H * x_row + 3 * BLOCK);
                    const vec sum = value0 + value1 + value2;
                    total1 += sum;
                }
                {
                    const vec value0 = LOADV(at, 0 * DILATION_H * x_row + 4 * BLOCK);
                    const vec value1 = LOADV(at, 1 * DILATION_H * x_row + 4 * BLOCK);
                    const vec value2 = LOADV(at, 2 * DILATION_H * x_row + 4 * BLOCK);
                    const vec sum = value0 + value1 + value2;
                    total1 += sum;
                    total2 += sum;
                }
                {
                    const vec value0 = LOADV(at, 0 * DILATION_H * x_row + 5 * BLOCK);
                    const vec value1 = LOADV(at, 1 * DILATION_H * x_row + 5 * BLOCK);
                    const vec value2 = LOADV(at, 2 * DILATION_H * x_row + 5 * BLOCK);
                    const vec sum = value0 + value1 + value2;
                    total2 += sum;
                }
                {
                    const vec value0 = LOADV(at, 0 * DILATION_H * x_row + 6 * BLOCK);
                    const vec value1 = LOADV(at, 1 * DILATION_H * x_row + 6 * BLOCK);
                    const vec value2 = LOADV(at, 2 * DILATION_H * x_row + 6 * BLOCK);
                    const vec sum = value0 + value1 + value2;
                    total2 += sum;
                    total3 += sum;
                }
                {
                    const vec value0 = LOADV(at, 0 * DILATION_H * x_row + 7 * BLOCK);
                    const vec value1 = LOADV(at, 1 * DILATION_H * x_row + 7 * BLOCK);
                    const vec value2 = LOADV(at, 2 * DILATION_H * x_row + 7 * BLOCK);
                    const vec sum = value0 + value1 + value2;
                    total3 += sum;
                }
                {
                    const vec value0 = LOADV(at, 0 * DILATION_H * x_row + 8 * BLOCK);
                    const vec value1 = LOADV(at, 1 * DILATION_H * x_row + 8 * BLOCK);
                    const vec value2 = LOADV(at, 2 * DILATION_H * x_row + 8 * BLOCK);
                    const vec sum = value0 + value1 + value2;
                    total3 += sum;
                }
                const float count = (float)(counted_rows * KERNEL_W);
                STOREV(out, (first + 0) * BLOCK, total0 / count);
                STOREV(out, (first + 1) * BLOCK, total1 / count);
                STOREV(out, (first + 2) * BLOCK, total2 / count);
                STOREV(out, (first + 3) * BLOCK, total3 / count);
            }
        for (; q < inside1; ++q) {
            const int left = q * STRIDE_W - PAD_W;
            vec total = (vec)(0.0f);
            for (int r = r0; r < r1; ++r) {
                __global const real *at = input + (p * STRIDE_H - PAD_H + r * DILATION_H) * x_row + left * BLOCK;
                vec line = (vec)(0.0f);   // a sum of its own: rounding errors grow with the length of a chain
                for (int s = 0; s < KERNEL_W; ++s) {
                    const vec value = LOADV(at, s * DILATION_W * BLOCK);
                    line += value;
                }
                total += line;
            }
            const float count = (float)(counted_rows * (KERNEL_W));
            STOREV(out, q * BLOCK, total / count);
        }
        for (int q = inside1; q < q_count; ++q) {
            const int left = q * STRIDE_W - PAD_W;
            const int s0 = left < 0 ? (DILATION_W - 1 - left) / DILATION_W : 0;
            const int s1 = min(KERNEL_W, (w - left + DILATION_W - 1) / DILATION_W);
            vec total = (vec)(0.0f);
            for (int r = r0; r < r1; ++r) {
                __global const real *at = input + (p * STRIDE_H - PAD_H + r * DILATION_H) * x_row + left * BLOCK;
                vec line = (vec)(0.0f);   // a sum of its own: rounding errors grow with the length of a chain
                for (int s = s0; s < s1; ++s) {
                    const vec value = LOADV(at, s * DILATION_W * BLOCK);
                    line += value;
                }
                total += line;
            }
            const float count = (float)(counted_rows * (s1 - s0));
            STOREV(out, q * BLOCK, total / count);
        }
        ZERO_RUN(out + q_count * BLOCK, y_right);
    }
    if (row1 == p_count)
        ZERO_RUN(output + p_count * y_row - y_left, y_below);
}

#undef BLOCK
#undef DILATION_H
#undef DILATION_W
#undef END_H
#undef END_W
#undef KERNEL_H
#undef KERNEL_W
#undef PAD_H
#undef PAD_W
#undef STRIDE_H
#undef STRIDE_W
#undef TILE
#undef ZERO_INTS
#undef ZERO_RUN
#undef ivec
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef pool_forward

// pool_blocked
#define BLOCK 8
#define DILATION_H 2
#define DILATION_W 1
#define END_H 0
#define END_W 1
#define KERNEL_H 3
#define KERNEL_W 3
#define PAD_H 1
#define PAD_W 0
#define STRIDE_H 2
#define STRIDE_W 2
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
#define pool_backward pool_backward_1f7b9e6680c9

__kernel WORK_GROUP
void pool_backward(
    __global const real *restrict dy,       // N, channel blocks, P, Q, BLOCK
    const int dy_offset, const int dy_image, const int dy_plane, const int dy_row,
    __global real *restrict dx,             // N, channel blocks, H, W, BLOCK
    const int dx_offset, const int dx_image, const int dx_plane, const int dx_row,
    const int dx_above, const int dx_below, const int dx_left, const int dx_right,   // elements
    const int h, const int w,               // size of an input plane
    const int p_count, const int q_count,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, h);
    __global const real *gradient = dy + get_global_id(2) * dy_image + get_global_id(1) * dy_plane + dy_offset;
    __global real *output = dx + get_global_id(2) * dx_image + get_global_id(1) * dx_plane + dx_offset;
    const int reach_h = (KERNEL_H - 1) * DILATION_H;
    const int reach_w = (KERNEL_W - 1) * DILATION_W;
    // The windows that count all their elements: near the border a mean has a divisor of its own.
    const int full_p0 = 0;
    const int full_p1 = h - 1 + PAD_H - reach_h + END_H < 0 ? 0 : (h - 1 + PAD_H - reach_h + END_H) / STRIDE_H + 1;
    const int full_q0 = 0;
    const int full_q1 = w - 1 + PAD_W - reach_w + END_W < 0 ? 0 : (w - 1 + PAD_W - reach_w + END_W) / STRIDE_W + 1;

    if (row0 == 0)
        ZERO_RUN(output - dx_above - dx_left, dx_above);
    for (int row = row0; row < row1; ++row) {
        __global real *out = output + row * dx_row;
        ZERO_RUN(out - dx_left, dx_left);
        const int below = row + PAD_H - reach_h;   // windows p with below <= p * STRIDE_H <= row + PAD_H
        const int p0 = below > 0 ? (below + STRIDE_H - 1) / STRIDE_H : 0;
        const int p1 = min(p_count, (row + PAD_H) / STRIDE_H + 1);
        for (int column = 0; column < w; ++column) {
            const int before = column + PAD_W - reach_w;
            const int q0 = before > 0 ? (before + STRIDE_W - 1) / STRIDE_W : 0;
            const int q1 = min(q_count, (column + PAD_W) / STRIDE_W + 1);
            vec total = (vec)(0.0f);
            if (p0 >= full_p0 && p1 <= full_p1 && q0 >= full_q0 && q1 <= full_q1) {
                for (int p = p0; p < p1; ++p) {
                    const int top = p * STRIDE_H - PAD_H;
                    if ((row - top) % DILATION_H != 0) continue;
                    for (int q = q0; q < q1; ++q) {
                        const int left = q * STRIDE_W - PAD_W;
                        if ((column - left) % DILATION_W != 0) continue;
                        const vec value = LOADV(gradient, p * dy_row + q * BLOCK);
                        total += value;
                    }
                }
                total /= (float)(KERNEL_H * KERNEL_W);
            } else {
                for (int p = p0; p < p1; ++p) {
                    const int top = p * STRIDE_H - PAD_H;
                    if ((row - top) % DILATION_H != 0) continue;
                    const int counted_rows = min(KERNEL_H, (h + END_H - (top) + DILATION_H - 1) / DILATION_H);
                    for (int q = q0; q < q1; ++q) {
                        const int left = q * STRIDE_W - PAD_W;
                        if ((column - left) % DILATION_W != 0) continue;
                        const int counted_columns = min(KERNEL_W, (w + END_W - (left) + DILATION_W - 1) / DILATION_W);
                        const vec value = LOADV(gradient, p * dy_row + q * BLOCK);
                        total += value / (float)(counted_rows * counted_columns);
                    }
                }
            }
            STOREV(out, column * BLOCK, total);
        }
        ZERO_RUN(out + w * BLOCK, dx_right);
    }
    if (row1 == h)
        ZERO_RUN(output + h * dx_row - dx_left, dx_below);
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
#undef pool_backward

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
#define pool_forward pool_forward_7cc50a74401d

__kernel WORK_GROUP
void pool_forward(
    __global const real *restrict x,   // N, channel blocks, H, W, BLOCK
    const int x_offset, const int x_image, const int x_plane, const int x_row,
    __global real *restrict y,         // N, channel blocks, P, Q, BLOCK
    const int y_offset, const int y_image, const int y_plane, const int y_row,
    const int y_above, const int y_below, const int y_left, const int y_right,   // elements
    __global int *restrict indices,    // as y: row * W + column of the largest
    const int indices_offset, const int indices_image, const int indices_plane, const int indices_row,
    const int indices_above, const int indices_below, const int indices_left, const int indices_right,   // elements
    const int channels,
    const int h, const int w,          // size of an input plane
    const int p_count, const int q_count,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, p_count);
    const int block = (int)get_global_id(1);
    __global const real *input = x + get_global_id(2) * x_image + block * x_plane + x_offset;
    __global real *output = y + get_global_id(2) * y_image + block * y_plane + y_offset;
    __global int *index_plane = indices + get_global_id(2) * indices_image + block * indices_plane + indices_offset;
    const ivec lane = (ivec)(0, 1, 2, 3, 4, 5, 6, 7);
    const ivec live = lane < (ivec)(channels - block * BLOCK);
    // The columns whose windows lie inside the input.
    const int reach = (KERNEL_W - 1) * DILATION_W;
    const int inside0 = min((PAD_W + STRIDE_W - 1) / STRIDE_W, q_count);
    const int inside1 = max(inside0, w - 1 + PAD_W - reach < 0 ? 0 : min(q_count, (w - 1 + PAD_W - reach) / STRIDE_W + 1));

    if (row0 == 0)
        ZERO_RUN(output - y_above - y_left, y_above);
    if (row0 == 0)
        ZERO_INTS(index_plane - indices_above - indices_left, indices_above);
    for (int p = row0; p < row1; ++p) {
        __global real *out = output + p * y_row;
        ZERO_RUN(out - y_left, y_left);
        __global int *positions = index_plane + p * indices_row;
        ZERO_INTS(positions - indices_left, indices_left);
        const int start = p * STRIDE_H - PAD_H;
        const int r0 = start < 0 ? (DILATION_H - 1 - start) / DILATION_H : 0;
        const int r1 = min(KERNEL_H, (h - start + DILATION_H - 1) / DILATION_H);
        const int top = start + r0 * DILATION_H;
        for (int q = 0; q < inside0; ++q) {
            const int left = q * STRIDE_W - PAD_W;
            const int s0 = left < 0 ? (DILATION_W - 1 - left) / DILATION_W : 0;
            const int s1 = min(KERNEL_W, (w - left + DILATION_W - 1) / DILATION_W);
            vec best = (vec)(-INFINITY);
            ivec index = (ivec)(top * w + left + s0 * DILATION_W);
            for (int r = r0; r < r1; ++r) {
                __global const real *at = input + (p * STRIDE_H - PAD_H + r * DILATION_H) * x_row + left * BLOCK;
                for (int s = s0; s < s1; ++s) {
                    const vec value = LOADV(at, s * DILATION_W * BLOCK);
                    // A NaN enters and nothing beats it but another NaN.
                    const ivec better = (value > best) | (value != value);
                    best = better ? value : best;
                    index = better ? (ivec)((p * STRIDE_H - PAD_H + r * DILATION_H) * w + left + s * DILATION_W) : index;
                }
            }
            STOREV(out, q * BLOCK, best);
            *(__global ivec *)(positions + q * BLOCK) = live ? index : (ivec)(0);
        }
        int q = inside0;
        for (; q < inside1; ++q) {
            const int left = q * STRIDE_W - PAD_W;
            vec best = (vec)(-INFINITY);
            ivec index = (ivec)(top * w + left + 0 * DILATION_W);
            for (int r = r0; r < r1; ++r) {
                __global const real *at = input + (p * STRIDE_H - PAD_H + r * DILATION_H) * x_row + left * BLOCK;
                for (int s = 0; s < KERNEL_W; ++s) {
                    const vec value = LOADV(at, s * DILATION_W * BLOCK);
                    // A NaN enters and nothing beats it but another NaN.
                    const ivec better = (value > best) | (value != value);
                    best = better ? value : best;
                    index = better ? (ivec)((p * STRIDE_H - PAD_H + r * DILATION_H) * w + left + s * DILATION_W) : index;
                }
            }
            STOREV(out, q * BLOCK, best);
            *(__global ivec *)(positions + q * BLOCK) = live ? index : (ivec)(0);
        }
        for (int q = inside1; q < q_count; ++q) {
            const int left = q * STRIDE_W - PAD_W;
            const int s0 = left < 0 ? (DILATION_W - 1 - left) / DILATION_W : 0;
            const int s1 = min(KERNEL_W, (w - left + DILATION_W - 1) / DILATION_W);
            vec best = (vec)(-INFINITY);
            ivec index = (ivec)(top * w + left + s0 * DILATION_W);
            for (int r = r0; r < r1; ++r) {
                __global const real *at = input + (p * STRIDE_H - PAD_H + r * DILATION_H) * x_row + left * BLOCK;
                for (int s = s0; s < s1; ++s) {
                    const vec value = LOADV(at, s * DILATION_W * BLOCK);
                    // A NaN enters and nothing beats it but another NaN.
                    const ivec better = (value > best) | (value != value);
                    best = better ? value : best;
                    index = better ? (ivec)((p * STRIDE_H - PAD_H + r * DILATION_H) * w + left + s * DILATION_W) : index;
                }
            }
            STOREV(out, q * BLOCK, best);
            *(__global ivec *)(positions + q * BLOCK) = live ? index : (ivec)(0);
        }
        ZERO_RUN(out + q_count * BLOCK, y_right);
        ZERO_INTS(positions + q_count * BLOCK, indices_right);
    }
    if (row1 == p_count)
        ZERO_RUN(output + p_count * y_row - y_left, y_below);
    if (row1 == p_count)
        ZERO_INTS(index_plane + p_count * indices_row - indices_left, indices_below);
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
#undef pool_forward

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
#define pool_backward pool_backward_660a43145e8f

__kernel WORK_GROUP
void pool_backward(
    __global const real *restrict dy,       // N, channel blocks, P, Q, BLOCK
    const int dy_offset, const int dy_image, const int dy_plane, const int dy_row,
    __global const int *restrict indices,   // as dy: row * W + column of the largest
    const int indices_offset, const int indices_image, const int indices_plane, const int indices_row,
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
    __global const int *index_plane = indices + get_global_id(2) * indices_image + get_global_id(1) * indices_plane + indices_offset;
    const int reach_h = (KERNEL_H - 1) * DILATION_H;
    const int reach_w = (KERNEL_W - 1) * DILATION_W;

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
            for (int p = p0; p < p1; ++p)
                for (int q = q0; q < q1; ++q) {
                    const vec value = LOADV(gradient, p * dy_row + q * BLOCK);
                    const ivec won = *(__global const ivec *)(index_plane + p * indices_row + q * BLOCK) == (ivec)(row * w + column);
                    total += won ? value : (vec)(0.0f);
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
